"""Parts of configs that do not go together: the error says what to change."""

import copy
import json

import pytest
import torch
from config_helpers import base_detector, batch_for, build, load
from mmaction.registry import MODELS

from mmtad_decomp.annotations import AnnotationError
from mmtad_decomp.evaluation import ProposalMetric, TADMetric


def step(model, num_classes):
    model.train()
    return model(**model.data_preprocessor(batch_for(model, num_classes), True), mode='loss')


def model_of(path, **head):
    model = load(path).model
    base_detector(model).head.update(head)
    return model


def test_flow_into_a_stem_of_three_channels():
    model = model_of('teacher/actionformer_tsm18_thumos_of.py')
    model.backbone.in_channels = None
    with pytest.raises(ValueError, match=r'2 channels, .* reads 3: set `backbone.in_channels=2`'):
        build(model, device='meta')


@pytest.mark.parametrize('kind', ['decomp', 'conventional'])
def test_a_flow_teacher_whose_stem_was_forgotten(kind):
    model = model_of(f'{kind}/actionformer_tsm18_thumos_of.py')
    del model.distill.teacher['backbone']
    with pytest.raises(ValueError, match=r'2 channels, .* reads 3: set `backbone.in_channels=2`'):
        build(model, device='meta')


def test_flow_from_weights_of_rgb_without_saying_how(tmp_path):
    model = model_of('teacher/actionformer_tsm50_thumos_of.py').backbone
    plain = copy.deepcopy(model)
    plain.update(in_channels=None, stem_init=None, init_cfg=None)
    weights = {f'backbone.{k}': v for k, v in MODELS.build(plain).backbone.state_dict().items()}
    torch.save(dict(state_dict=weights), tmp_path / 'rgb.pth')
    model.update(
        stem_init=None, init_cfg=dict(type='Pretrained', checkpoint=f'{tmp_path}/rgb.pth')
    )
    with pytest.raises(
        ValueError, match=r"read 3 channels, .* reads 2: set .*stem_init='average'"
    ):
        MODELS.build(model).init_weights()


def test_flow_that_the_pipeline_does_not_load():
    model = build(model_of('decomp/actionformer_tsm18_fir_of.py'))
    data = batch_for(model, 5)
    del data['inputs']['flow']
    with pytest.raises(ValueError, match=r'OpticalFlowInput needs "flow", .* change the pipeline'):
        model.data_preprocessor(data, True)


def test_a_teacher_of_another_feature_stride():
    model = model_of('decomp/actionformer_tsm18_thumos.py')
    model.distill.teacher.detector = load('teacher/actionformer_i3d_thumos_tg.py').model
    del model.distill.teacher['modality']
    with pytest.raises(ValueError, match=r'every 1 frames, the teacher every 8.*same temporal'):
        build(model, device='meta')


def distiller_with_teacher(folder, student, teacher):
    """A distiller whose checkpoint is of another config."""
    state = build(load(teacher).model).state_dict()
    torch.save(dict(state_dict=state), folder / 'teacher.pth')
    model = build(model_of(student))
    model.teacher.checkpoint = str(folder / 'teacher.pth')
    return model


@pytest.mark.parametrize(
    ('teacher', 'message'),
    [
        # Eight classes where the data set has five.
        (
            'actionformer_tsm18_weizmann_tg',
            r'another shape.*same backbone, neck, head and classes',
        ),
        (
            'gtad_tsm18_fir_tg',
            r'is missing, such as head\..*same backbone, neck, head and classes',
        ),
        ('actionformer_tsm18_fir_of', 'another shape, such as backbone.*Train the'),
    ],
)
def test_a_teacher_of_other_classes_head_or_input(tmp_path, teacher, message):
    student = 'decomp/actionformer_tsm18_fir.py'
    model = distiller_with_teacher(tmp_path, student, f'teacher/{teacher}.py')
    with pytest.raises(ValueError, match=f'does not fit `distill.teacher.detector`: .*{message}'):
        model.teacher.load()


@pytest.mark.parametrize(
    ('path', 'loss', 'message'),
    [
        ('decomp/tadtr_tsm18_fir.py', 'PointPredictionMimicLoss', 'take QueryPredictionMimicLoss'),
        ('conventional/tadtr_tsm18_fir.py', 'GTADPredictionMimicLoss', 'QueryPredictionMimicLoss'),
        ('conventional/gtad_tsm18_fir.py', 'PointPredictionMimicLoss', 'GTADPredictionMimicLoss'),
        ('decomp/actionformer_tsm18_fir.py', 'QueryPredictionMimicLoss', 'PointPrediction'),
    ],
)
def test_a_mimic_loss_of_another_kind_of_head(path, loss, message):
    model = model_of(path)
    model.distill.mimics.prediction.loss = dict(type=loss)
    with pytest.raises(TypeError, match=message):
        step(build(model), 5)


def test_a_student_and_a_teacher_with_different_heads():
    model = model_of('decomp/tadtr_tsm18_fir.py')
    teacher = load('teacher/actionformer_tsm18_fir_tg.py').model
    teacher.data_preprocessor.pad_to = None
    model.distill.teacher.detector = teacher
    with pytest.raises(TypeError, match='teacher gives PointOutputs'):
        step(build(model), 5)


@pytest.mark.parametrize('backbone', ['i3d', 'slowfast50'])
def test_a_window_that_the_backbone_cannot_divide(backbone):
    model = model_of(f'baseline/actionformer_{backbone}_thumos.py')
    without = copy.deepcopy(model)
    model.data_preprocessor.pad_to = 100
    model.backbone.init_cfg = None
    message = r'windows have 100 frames, .* needs a multiple of 8: set .*pad_to.* such as 104'
    with torch.device('meta'), pytest.raises(ValueError, match=message):
        MODELS.build(model)
    unpadded = build(without)
    data = batch_for(unpadded, 20)
    for frames in data['inputs'].values():
        frames[:] = [frame[:30] for frame in frames]
    with pytest.raises(ValueError, match=r'windows have 30 frames, .* such as 32'):
        unpadded(**unpadded.data_preprocessor(data, True), mode='loss')


@pytest.mark.parametrize('head', ['gtad', 'tadtr', 'actionformer'])
def test_a_head_that_is_not_as_wide_as_the_neck(head):
    model = build(model_of(f'baseline/{head}_tsm18_fir.py', in_channels=64))
    with pytest.raises(
        ValueError, match=r"expected features \(N, 64, T\).*set the head's in_chan"
    ):
        step(model, 5)


@pytest.fixture
def activitynet(tmp_path):
    """The ActivityNet config with an annotation file of one video."""
    video = dict(subset='validation', duration=9.0, annotations=[dict(segment=[1, 2], label='x')])
    (tmp_path / 'annotations.json').write_text(json.dumps(dict(database=dict(a=video))))
    (tmp_path / 'blocked.json').write_text('[]')
    metrics = copy.deepcopy(load('baseline/actionformer_slowfast50_activitynet.py').test_evaluator)
    for metric in metrics:
        metric.pop('type')
        metric.ann_file = str(tmp_path / 'annotations.json')
        metric.exclude_videos = str(tmp_path / 'blocked.json')
    return tmp_path, metrics


def test_scores_of_the_external_classifier_that_are_not_there(activitynet):
    folder, (detections, proposals) = activitynet
    ProposalMetric(**proposals)
    detections.post_processor.classifier.path = str(folder / 'scores.json')
    with pytest.raises(ValueError, match=r'scores\.json do not exist; put the file there, or set'):
        TADMetric(**detections)
    (folder / 'scores.json').write_text('{"results": {"a": [1.0]}, "class": ["x"]}')
    TADMetric(**detections)


def test_blocked_videos_leave_the_data_set_and_the_evaluation(activitynet):
    folder, (detections, _) = activitynet
    (folder / 'blocked.json').write_text('["a"]')
    with pytest.raises(AnnotationError, match='1 are excluded'):
        TADMetric(**detections)
    (folder / 'blocked.json').unlink()
    with pytest.raises(ValueError, match=r'blocked\.json cannot be read'):
        TADMetric(**detections)
