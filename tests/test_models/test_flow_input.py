"""Optical flow as an input: alone, padded, and for a teacher beside its student's frames."""

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.structures import InstanceData
from tiny_detectors import NUM_CLASSES, detector_config, mimics

from mmtad_decomp.structures import TADDataSample, TimeGrid


def preprocessor(**settings):
    modality = dict(type='OpticalFlowInput', **settings)
    return MODELS.build(dict(type='TADDataPreprocessor', modality=modality))


def clips(*lengths: int) -> dict:
    torch.manual_seed(0)
    frames = [torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8) for n in lengths]
    return dict(frames=frames, flow=[torch.randn(n, 2, 16, 16) * 3 for n in lengths])


def samples(*lengths: int) -> list[TADDataSample]:
    made = []
    for index, steps in enumerate(lengths):
        meta = dict(video_id=str(index), window=(0, steps), num_steps=steps, duration=steps / 10)
        sample = TADDataSample(metainfo=dict(meta, time_grid=TimeGrid(fps=10)))
        segments = torch.tensor([[0.1, steps / 20]], dtype=torch.float64)
        sample.gt_instances = InstanceData(segments=segments, labels=torch.tensor([1]))
        made.append(sample)
    return made


def test_scaled_and_padded_by_stillness():
    inputs = clips(4, 7)
    batch = preprocessor(std=2.5)(dict(inputs=inputs))
    assert batch['inputs'].shape == (2, 7, 2, 16, 16) and batch['inputs'].dtype == torch.float32
    for row, flow in zip(batch['inputs'], inputs['flow']):
        torch.testing.assert_close(row[: len(flow)], flow / 2.5)
        assert not row[len(flow) :].any()
    assert batch['masks'].sum(1).tolist() == [4, 7]
    plain = preprocessor()(dict(inputs=clips(4, 7)))['inputs']
    torch.testing.assert_close(plain, 2.5 * batch['inputs'])
    with pytest.raises(ValueError, match='std must be above 0'):
        preprocessor(std=0)


def test_flow_that_the_pipeline_does_not_load():
    with pytest.raises(
        ValueError, match=r'OpticalFlowInput needs "flow", .* \[.frames.\]; change'
    ):
        preprocessor()(dict(inputs=dict(frames=clips(4)['frames'])))


def distiller(**teacher):
    torch.manual_seed(0)
    modality = dict(type='OpticalFlowInput')
    student = detector_config()
    distill = dict(teacher=dict(modality=modality, **teacher), mimics=mimics(decomposed=False))
    return MODELS.build(dict(type='CrossModalDistiller', student=student, distill=distill))


def test_the_student_sees_frames_and_the_teacher_flow():
    model = distiller(backbone=dict(in_channels=2)).train()
    data = dict(inputs=clips(16, 12), data_samples=samples(16, 12))
    batch = model.data_preprocessor(data, training=True)
    assert batch['inputs'].shape == (2, 16, 3, 16, 16)
    assert batch['teacher_batch']['inputs'].shape == (2, 16, 2, 16, 16)
    assert torch.equal(batch['masks'], batch['teacher_batch']['masks'])
    losses = model(**batch, mode='loss')
    assert {'loss_feature', 'loss_prediction'} < set(losses)
    moved = dict(data, inputs=dict(data['inputs'], flow=[-f for f in data['inputs']['flow']]))
    other = model.data_preprocessor(moved, training=True)
    assert torch.equal(other['inputs'], batch['inputs'])
    feature = model(**other, mode='loss')['loss_feature']
    assert feature != losses['loss_feature'], 'the flow reaches the teacher'


def test_testing_needs_no_flow():
    model = distiller(backbone=dict(in_channels=2)).eval()
    data = dict(inputs=dict(frames=clips(16)['frames']), data_samples=samples(16))
    with torch.no_grad():
        (sample,) = model.val_step(data)
    assert len(sample.pred_instances) and sample.pred_instances.labels.max() < NUM_CLASSES


def test_a_teacher_whose_stem_reads_three_channels_is_named():
    with pytest.raises(ValueError, match=r'the input has 2 channels.*reads 3.*in_channels=2'):
        model = distiller().train()
        data = dict(inputs=clips(16), data_samples=samples(16))
        model(**model.data_preprocessor(data, training=True), mode='loss')
