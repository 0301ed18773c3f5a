"""TadTR as a detector from features and frames, decomposed, and distilled."""

import copy

import pytest
import torch
from mmengine.structures import InstanceData
from tiny_detectors import (
    NUM_CLASSES,
    build,
    detector_config,
    distiller_config,
    gradients,
    losses_of,
    raw_batch,
    reaches,
    write_teacher,
)

from mmtad_decomp.structures import TADDataSample, TimeGrid

HEAD = dict(
    type='TadTRHead',
    num_classes=NUM_CLASSES,
    in_channels=16,
    embed_dims=16,
    num_queries=4,
    num_encoder_layers=1,
    num_decoder_layers=2,
    hidden_dims=16,
    num_heads=2,
    num_groups=4,
    roi_bins=4,
)


def with_tadtr(config):
    """A detector's or distiller's config with TadTR in the place of ActionFormer."""
    config = copy.deepcopy(config)
    student = config.get('student', config)
    student.get('detector', student)['head'] = HEAD
    if 'distill' in config:
        config['distill']['mimics']['prediction']['loss'] = dict(type='QueryPredictionMimicLoss')
    return config


@pytest.fixture
def teacher(tmp_path):
    config = with_tadtr(detector_config(modality='TemporalGradientInput'))
    return write_teacher(tmp_path / 'teacher.pth', config)


def distiller(teacher, decomposed):
    model = build(with_tadtr(distiller_config(teacher, decomposed)))
    model.teacher.load()
    return model


def test_detector_from_features():
    model = build(
        dict(
            type='TADDetector',
            data_preprocessor=dict(type='TADDataPreprocessor', modality=dict(type='FeatureInput')),
            head={**HEAD, 'in_channels': 6},
        )
    )
    samples = []
    for index, steps in enumerate((9, 1)):
        grid = TimeGrid(fps=30, stride=4, offset=8, start=300)
        sample = TADDataSample(metainfo=dict(video_id=str(index), time_grid=grid, duration=60.0))
        segments, labels = torch.tensor([[10.3, 10.9]]), torch.tensor([index])
        sample.gt_instances = InstanceData(segments=segments, labels=labels)
        sample.set_metainfo(dict(window=(75, 75 + steps), num_steps=steps))
        samples.append(sample)
    batch = dict(
        inputs=dict(features=[torch.randn(6, 9), torch.randn(6, 1)]), data_samples=samples
    )
    losses = losses_of(model, batch)
    assert all(torch.isfinite(loss) for loss in losses.values())
    model.eval()
    for sample, steps in zip(model.val_step(batch), (9, 1)):
        centers = sample.pred_instances.segments.mean(1)
        # The window's valid steps cover `steps` strides around their middles.
        begin, end = ((300 + 8 + g * 4) / 30 for g in (-0.5, steps - 0.5))
        assert len(centers) == 4 * NUM_CLASSES
        assert (centers > begin).all() and (centers < end).all()


def test_decomposed_losses_and_where_they_reach(teacher):
    model = distiller(teacher, decomposed=True)
    losses = losses_of(model, raw_batch())
    student = model.student
    parts = ('cls', 'l1', 'iou', 'aux_cls', 'aux_l1', 'aux_iou', 'actionness')
    expected = {f'{branch}_loss_{part}' for branch in ('joint', 'app') for part in parts}
    assert set(losses) == expected | {'loss_feature', 'loss_prediction'}
    mimic = losses['loss_prediction']
    assert mimic > 0
    assert reaches(mimic, student.neck.motion) and reaches(mimic, student.shared_head)
    for part in (student.neck.appearance, student.head, student.fusion):
        assert not any(grad.any() for grad in gradients(mimic, part))
    joint = sum(loss for name, loss in losses.items() if name.startswith('joint_'))
    assert reaches(joint, student.head) and reaches(joint, student.neck.motion)
    assert not any(grad.any() for grad in gradients(joint, student.shared_head))
    assert not any(parameter.requires_grad for parameter in model.teacher.parameters())


def test_conventional_mimic_reaches_the_only_head(teacher):
    model = distiller(teacher, decomposed=False)
    losses = losses_of(model, raw_batch())
    assert reaches(losses['loss_prediction'], model.student.head)
    assert reaches(losses['loss_prediction'], model.student.backbone)


def test_the_teachers_own_student_has_nothing_to_mimic(tmp_path):
    """Same weights and input, one layer, no dropout: the sets are equal, their distance zero."""
    config = with_tadtr(distiller_config(None, decomposed=False))
    config['student']['head'] = {**HEAD, 'dropout': 0.0, 'num_decoder_layers': 1}
    config['distill']['teacher'] = {}
    model = build(config)
    model.teacher.detector.load_state_dict(model.student.state_dict())
    model.student.eval()
    batch = model.data_preprocessor(raw_batch(), training=True)
    assert model(**batch, mode='loss')['loss_prediction'].item() == pytest.approx(0, abs=1e-4)


def test_loss_of_another_head_says_which_to_take(teacher):
    config = with_tadtr(distiller_config(teacher))
    config['distill']['mimics']['prediction']['loss'] = dict(type='PointPredictionMimicLoss')
    model = build(config)
    model.teacher.load()
    with pytest.raises(TypeError, match='take QueryPredictionMimicLoss'):
        losses_of(model, raw_batch())


def test_teacher_with_other_queries_is_refused(tmp_path):
    config = with_tadtr(detector_config(modality='TemporalGradientInput'))
    config['head'] = {**HEAD, 'num_queries': 7}
    path = write_teacher(tmp_path / 'teacher.pth', config)
    model = build(with_tadtr(distiller_config(path)))
    with pytest.raises(ValueError, match=r'does not fit `distill\.teacher\.detector`'):
        model.teacher.load()
