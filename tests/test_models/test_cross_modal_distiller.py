"""CrossModalDistiller: frozen teacher, gradients, scheduling, other detectors by config."""

import copy

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.model import BaseDataPreprocessor, BaseModel, ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from tiny_detectors import (
    build,
    detector_config,
    distiller_config,
    losses_of,
    raw_batch,
    reaches,
    write_teacher,
)

from mmtad_decomp.apis.publishing import published_model, published_state
from mmtad_decomp.models.distillers import cross_modal_distiller


@pytest.fixture
def checkpoint(tmp_path):
    return write_teacher(tmp_path / 'teacher.pth')


def distiller(checkpoint, decomposed=True, **teacher):
    model = build(distiller_config(checkpoint, decomposed, **teacher))
    model.init_weights()
    return model


@pytest.mark.parametrize('decomposed', [True, False])
def test_losses_of_one_step(checkpoint, decomposed):
    losses = losses_of(distiller(checkpoint, decomposed), raw_batch())
    own = {'loss_cls', 'loss_reg'}
    if decomposed:
        own = {f'{side}_{name}' for side in ('joint', 'app') for name in own}
    assert set(losses) == own | {'loss_feature', 'loss_prediction'}
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert losses['loss_feature'] > 0 and losses['loss_prediction'] > 0


def test_losses_compare_the_named_outputs(checkpoint):
    model = distiller(checkpoint, decomposed=False)
    for module in model.student.modules():
        if hasattr(module, 'drop_prob'):
            module.drop_prob = 0.0
    batch = model.data_preprocessor(raw_batch(), training=True)
    losses = model(**batch, mode='loss')
    student, teacher = model.student, model.teacher.detector
    masks, other = batch['masks'], batch['teacher_batch']
    own = student.neck(student.backbone(batch['inputs'], masks)[0], masks)
    theirs = teacher.neck(teacher.backbone(other['inputs'], masks)[0], masks)
    expected = model.mimics['feature'](own, theirs, masks)
    torch.testing.assert_close(losses['loss_feature'], expected, rtol=1e-4, atol=1e-6)


def test_teacher_sees_its_own_modality(checkpoint):
    model = distiller(checkpoint)
    batch = model.data_preprocessor(raw_batch((8, 8)), training=True)
    frames = torch.stack(raw_batch((8, 8))['inputs']['frames']).float()
    gradient = batch['teacher_batch']['inputs']
    torch.testing.assert_close(gradient[:, 1:] * 20, frames[:, 1:] - frames[:, :-1])
    assert not torch.allclose(batch['inputs'], gradient)
    assert 'teacher_batch' not in model.data_preprocessor(raw_batch(), training=False)


def test_teacher_is_frozen_and_hidden(checkpoint):
    model = distiller(checkpoint).train()
    teacher = model.teacher
    before = copy.deepcopy(dict(teacher.state_dict()))
    weights = [p.clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    model.train_step(raw_batch(), OptimWrapper(optimizer))
    torch.testing.assert_close(dict(teacher.state_dict()), before, rtol=0, atol=0)
    assert not any(module.training for module in teacher.modules())
    assert all(p.grad is None for p in teacher.parameters())
    hidden = {id(p) for p in teacher.parameters()}
    assert not hidden & {id(p) for p in model.parameters()}
    assert not any('teacher' in key for key in model.state_dict())
    moved = [not torch.equal(old, new) for old, new in zip(weights, model.parameters())]
    assert sum(moved) > len(moved) // 2


def test_teacher_follows_the_student_to_another_dtype(checkpoint):
    model = distiller(checkpoint).double()
    assert {p.dtype for p in model.teacher.parameters()} == {torch.float64}


def test_gradients_go_where_they_should(checkpoint):
    model = distiller(checkpoint)
    losses = losses_of(model, raw_batch())
    student = model.student
    app = losses['app_loss_cls'] + losses['app_loss_reg']
    joint = losses['joint_loss_cls'] + losses['joint_loss_reg']
    for mimic in (losses['loss_feature'], losses['loss_prediction']):
        assert not reaches(mimic, student.head) and not reaches(mimic, student.fusion)
        assert not reaches(mimic, student.neck.appearance)
        assert reaches(mimic, student.neck.motion) and reaches(mimic, student.backbone)
    assert not reaches(app, student.head)
    assert reaches(app, student.shared_head)
    assert reaches(losses['loss_prediction'], student.shared_head)
    assert not reaches(joint, student.shared_head)
    assert reaches(app, student.backbone) and reaches(joint, student.backbone)


def test_separate_heads_share_no_gradient(checkpoint):
    """The ablation of the shared head: its place on the motion branch has another head."""
    config = distiller_config(checkpoint, True)
    config['student']['separate_heads'] = True
    model = build(config)
    model.init_weights()
    losses = losses_of(model, raw_batch())
    student = model.student
    app, mimic = losses['app_loss_cls'] + losses['app_loss_reg'], losses['loss_prediction']
    assert reaches(app, student.shared_head) and not reaches(app, student.separate_head)
    assert reaches(mimic, student.separate_head) and not reaches(mimic, student.shared_head)
    assert reaches(mimic, student.neck.motion)
    published = build(published_model(config))
    state = published_state(model.state_dict(), distilled=True)
    assert not any('separate_head' in name or 'shared_head' in name for name in state)
    assert set(state) == set(published.state_dict())


def test_factors_scale_their_losses(checkpoint):
    model = distiller(checkpoint)
    assert set(model.loss_factors) == {'app', 'feature', 'prediction'}
    state = copy.deepcopy(model.state_dict())

    def losses(**factors):
        model.load_state_dict(state)
        model.loss_factors.update(factors)
        torch.manual_seed(3)
        return {name: loss.item() for name, loss in losses_of(model, raw_batch()).items()}

    plain = losses()
    scaled = losses(app=0.5, feature=0.0, prediction=3.0)
    factors = dict(app_loss_cls=0.5, app_loss_reg=0.5, loss_feature=0, loss_prediction=3)
    for name, value in plain.items():
        assert scaled[name] == pytest.approx(value * factors.get(name, 1), rel=1e-5), name


def test_a_plain_student_has_no_appearance_factor(checkpoint):
    assert set(distiller(checkpoint, False).loss_factors) == {'feature', 'prediction'}


@pytest.mark.parametrize('decomposed', [True, False])
def test_predicts_as_the_student_alone(checkpoint, decomposed):
    model = distiller(checkpoint, decomposed).eval()
    with torch.no_grad():
        own = model.val_step(raw_batch())
        alone = model.student.val_step(raw_batch())
    for first, second in zip(own, alone):
        assert len(first.pred_instances.scores)
        assert torch.equal(first.pred_instances.scores, second.pred_instances.scores)
        assert torch.equal(first.pred_instances.segments, second.pred_instances.segments)


def test_predicting_needs_no_teacher():
    model = build(distiller_config(None)).eval()
    with torch.no_grad():
        assert model.val_step(raw_batch())


def test_training_without_a_teacher_stops_before_it_starts(tmp_path):
    with pytest.raises(FileNotFoundError, match='teacher_checkpoint'):
        distiller(None)
    with pytest.raises(FileNotFoundError, match='gone'):
        distiller(tmp_path / 'gone.pth')


def test_recorders_let_go_after_a_step_and_after_an_error(checkpoint, monkeypatch):
    model = distiller(checkpoint)

    def recorded():
        recorders = [r for parts in model._recorders.values() for r in parts.values()]
        hooked = [r for r in recorders if r._module._forward_hooks]
        return [output for r in recorders for output in r._outputs], hooked

    losses_of(model, raw_batch())
    assert recorded() == ([], [])

    def fail(*args):
        raise RuntimeError('broken loss')

    monkeypatch.setattr(model.mimics['feature'], 'forward', fail)
    with pytest.raises(RuntimeError, match='broken loss'):
        losses_of(model, raw_batch())
    assert recorded() == ([], [])
    monkeypatch.setattr(model.student.head, 'forward', fail)
    with pytest.raises(RuntimeError, match='broken loss'):
        losses_of(model, raw_batch())
    assert recorded() == ([], [])


def test_a_deep_copy_is_independent_and_trains(checkpoint):
    model = distiller(checkpoint)
    twin = copy.deepcopy(model)
    torch.manual_seed(0)
    expected = losses_of(model, raw_batch())
    torch.manual_seed(0)
    actual = losses_of(twin, raw_batch())
    torch.testing.assert_close(actual, expected)
    assert not {id(p) for p in model.parameters()} & {id(p) for p in twin.parameters()}


def test_a_deep_copy_shares_the_teacher_and_leaves_it_where_it_is(checkpoint):
    model = distiller(checkpoint)
    copied: dict = {}
    twin = copy.deepcopy(model, copied)
    assert {id(weight) for weight in model.parameters()} <= set(copied)
    assert not {id(weight) for weight in model.teacher.parameters()} & set(copied)
    assert twin.teacher is model.teacher
    twin.double()
    assert {p.dtype for p in twin.parameters()} == {torch.float64}
    assert {p.dtype for p in model.teacher.parameters()} == {torch.float32}
    assert all(torch.isfinite(loss) for loss in losses_of(model, raw_batch()).values())


@pytest.mark.parametrize('moved', ['copy', 'original'])
def test_a_copy_that_trains_elsewhere_than_its_teacher_takes_one_of_its_own(checkpoint, moved):
    model, reference = distiller(checkpoint), distiller(checkpoint)
    twin = copy.deepcopy(model)
    kinds = {'copy': torch.float32, 'original': torch.float32, moved: torch.float64}
    (twin if moved == 'copy' else model).double()
    reference.to(dtype=kinds['copy'])
    torch.testing.assert_close(
        losses_as(twin, kinds['copy']), losses_as(reference, kinds['copy']), rtol=0, atol=0
    )
    assert twin.teacher is not model.teacher and not twin.teacher.training
    assert not any(p.requires_grad for p in twin.teacher.parameters())
    for name, value in twin.teacher.state_dict().items():
        assert torch.equal(model.teacher.state_dict()[name].to(value.dtype), value), name
    twin.half()  # from now on its own moves with it
    assert {p.dtype for p in twin.teacher.parameters()} == {torch.float16}
    assert {p.dtype for p in model.teacher.parameters()} == {kinds['original']}


def losses_as(model, kind):
    """Losses of a step whose input has the type of the weights."""
    torch.manual_seed(0)
    batch = model.train().data_preprocessor(raw_batch(), training=True)
    for part in (batch, batch['teacher_batch']):
        part['inputs'] = part['inputs'].to(kind)
    return model(**batch, mode='loss')


def test_a_copy_on_another_device_asks_a_teacher_there(checkpoint, monkeypatch):
    model = distiller(checkpoint)
    batch = model.data_preprocessor(raw_batch(), training=True)
    twin = copy.deepcopy(model).to('meta')  # which stands in for a second GPU, and runs nothing
    monkeypatch.setattr(twin.student, 'forward', lambda **_: {})
    monkeypatch.setattr(twin, '_ask_teachers', lambda _: devices(twin.teacher))
    monkeypatch.setattr(twin, '_add_mimics', lambda losses, masks, asked: asked)
    assert twin(**batch, mode='loss') == devices(twin.student) == {'meta'}
    assert devices(model.teacher) == {'cpu'}
    for recorders in twin._teacher_recorders.values():
        assert all(r._module in set(twin.teacher.modules()) for r in recorders)


def devices(model):
    return {weight.device.type for weight in model.parameters()}


def test_averaging_of_weights_leaves_the_teacher_out(checkpoint):
    model = distiller(checkpoint)
    average = ExponentialMovingAverage(model, momentum=0.25)
    teacher = copy.deepcopy(dict(model.teacher.state_dict()))
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    expected: dict = {}
    for seed in range(4):
        model.train_step(raw_batch(seed=seed), optimizer)
        average.update_parameters(model)
        for name, weight in model.named_parameters():
            weight = weight.detach().clone()
            expected[name] = 0.75 * expected[name] + 0.25 * weight if seed else weight
    torch.testing.assert_close(dict(average.module.named_parameters()), expected)
    torch.testing.assert_close(dict(model.teacher.state_dict()), teacher, rtol=0, atol=0)
    assert {key.removeprefix('module.') for key in average.state_dict()} == {
        'steps',
        *model.state_dict(),
    }
    with torch.no_grad():
        assert average.module.eval().val_step(raw_batch())


def wrong(change):
    config = distiller_config(None)
    change(config['distill'])
    return config


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda d: d.update(mimic={}), r"distill lacks \[\] and has unknown keys \['mimic'\]"),
        (lambda d: d.pop('mimics'), r"distill lacks \['mimics'\]"),
        (lambda d: d['teacher'].update(modalty=1), r'distill\.teacher .*modalty'),
        (lambda d: d['mimics']['feature'].pop('teacher'), r"mimics\.feature lacks \['teacher'\]"),
        (lambda d: d['mimics']['feature']['student'].update(items=1), r'feature\.student.*items'),
        (
            lambda d: d['mimics']['feature']['teacher'].update(source='nek'),
            r"distill\.mimics\.feature\.teacher: .*no module 'nek'",
        ),
        (lambda d: d['mimics'].update(app=d['mimics']['feature']), "'app'"),
    ],
)
def test_mistakes_in_the_config_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        build(wrong(change))


def test_a_mimic_must_not_hide_a_loss_of_the_student(checkpoint):
    config = distiller_config(checkpoint, decomposed=False)
    config['distill']['mimics'] = dict(cls=config['distill']['mimics']['feature'])
    model = build(config)
    model.init_weights()
    with pytest.raises(ValueError, match="`loss_cls` of its own; rename the mimic 'cls'"):
        losses_of(model, raw_batch())


def test_a_teacher_without_preprocessor_has_no_modality_to_replace():
    config = distiller_config(None, decomposed=False)
    del config['student']['data_preprocessor']
    with pytest.raises(ValueError, match='data_preprocessor'):
        build(config)


def features_distiller(**teacher):
    """A distiller of a detector on 8 channels of features."""
    config = distiller_config(None, decomposed=False)
    student = config['student']
    student['backbone'] = None
    student['data_preprocessor'] = dict(
        type='TADDataPreprocessor', modality=dict(type='FeatureInput')
    )
    modality = dict(type='FeatureInput', key='motion_features')
    config['distill']['teacher'] = dict(modality=modality, **teacher)
    return config


def test_a_teacher_on_features_of_another_width():
    model = build(features_distiller(neck=dict(in_channels=5))).train()
    data = raw_batch()
    lengths = [sample.num_steps for sample in data['data_samples']]
    data['inputs'] = dict(
        features=[torch.randn(8, steps) for steps in lengths],
        motion_features=[torch.randn(5, steps) for steps in lengths],
    )
    feature = losses_of(model, data)['loss_feature']
    data['inputs']['motion_features'] = [-x for x in data['inputs']['motion_features']]
    assert losses_of(model, data)['loss_feature'] != feature
    with pytest.raises(ValueError, match=r'teacher\.backbone: the teacher reads features'):
        build(features_distiller(backbone=dict(in_channels=5)))
    config = features_distiller(neck=dict(in_channels=5))
    config['student']['neck'] = None
    with pytest.raises(ValueError, match=r'teacher\.neck: the teacher has no projection'):
        build(config)


def test_masks_of_the_features_can_be_named(checkpoint):
    config = distiller_config(checkpoint)
    config['distill']['mimics']['feature']['masks'] = dict(source='backbone', item=1)
    named = build(config)
    named.init_weights()
    usual = distiller(checkpoint)
    torch.manual_seed(0)
    expected = losses_of(usual, raw_batch())['loss_feature']
    torch.manual_seed(0)
    torch.testing.assert_close(losses_of(named, raw_batch())['loss_feature'], expected)


def test_mimics_get_the_masks_that_the_encoder_made(checkpoint):
    model, seen = distiller(checkpoint), []
    model.student.backbone.register_forward_hook(lambda _, args, output: seen.append(output[1]))
    mimic = model.mimics['feature']
    mimic.register_forward_hook(lambda _, args, output: seen.append(args[2]))
    losses_of(model, raw_batch())
    made, read = seen
    assert read is made and made.sum(dim=1).tolist() == [8, 6]


class StackingPreprocessor(BaseDataPreprocessor):
    """Another library's way of batching."""

    def forward(self, data, training=False):
        inputs = torch.stack(data['inputs']['frames']).float()
        return dict(inputs=self.cast_data(inputs), data_samples=data['data_samples'])


@MODELS.register_module()
class ForeignDetector(BaseModel):
    """A detector that knows nothing of this package: no masks, its own names and outputs."""

    def __init__(self, width=4):
        super().__init__(StackingPreprocessor())
        self.trunk = torch.nn.Conv1d(3, width, 3, padding=1)
        self.scores = torch.nn.Conv1d(width, 2, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        scores = self.scores(self.trunk(inputs.mean(dim=(3, 4)).transpose(1, 2)))
        if mode == 'loss':
            return dict(loss_start=scores.square().mean())
        return dict(scores=scores)


def foreign_distiller(tmp_path):
    """A foreign student and a wider foreign teacher, compared at two modules."""
    torch.manual_seed(1)
    path = tmp_path / 'foreign.pth'
    torch.save(dict(state_dict=ForeignDetector(width=6).state_dict()), path)
    adapter = dict(in_channels=4, out_channels=6)
    trunk, scores = dict(source='trunk'), dict(source='scores')
    feature = dict(type='FeatureMimicLoss', adapter=adapter)
    model = build(
        dict(
            type='CrossModalDistiller',
            student=dict(type='ForeignDetector'),
            distill=dict(
                teacher=dict(detector=dict(type='ForeignDetector', width=6)),
                mimics=dict(
                    trunk=dict(loss=feature, student=trunk, teacher=trunk),
                    scores=dict(
                        loss=dict(type='FeatureMimicLoss'), student=scores, teacher=scores
                    ),
                ),
            ),
            teacher_checkpoint=str(path),
        )
    )
    model.init_weights()
    return model


def test_any_registered_detector_can_be_distilled_by_config(tmp_path):
    model = foreign_distiller(tmp_path)
    batch = raw_batch((8, 8))
    losses = losses_of(model, batch)
    assert set(losses) == {'loss_start', 'loss_trunk', 'loss_scores'}
    assert reaches(losses['loss_trunk'], model.student.trunk)
    assert reaches(losses['loss_scores'], model.student.scores)
    log = model.train_step(batch, OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01)))
    assert torch.isfinite(log['loss'])


def test_recorders_see_what_compiled_modules_return(tmp_path):
    model = foreign_distiller(tmp_path)
    batch = model.data_preprocessor(raw_batch((8, 8)), training=True)
    expected = model(**batch, mode='loss')
    compiled = torch.compile(model, backend='eager')
    for _ in range(2):
        torch.testing.assert_close(compiled(**batch, mode='loss'), expected)


def test_the_fusion_is_one_config_line_away(checkpoint):
    for fusion in ('ConcatFusion', 'SumFusion', 'SelfAttentionFusion', 'DiffAttentionFusion'):
        config = distiller_config(checkpoint)
        config['student']['fusion'] = dict(type=fusion)
        losses = losses_of(build(config), raw_batch())
        assert all(torch.isfinite(loss) for loss in losses.values())


def test_the_config_is_left_as_it_was(checkpoint):
    config = distiller_config(checkpoint)
    expected = copy.deepcopy(config)
    MODELS.build(config)
    assert config == expected
    assert detector_config() == expected['student']['detector']


@MODELS.register_module(force=True)
class PairNet(BaseModel):
    """A 3-D backbone with a step for every two frames."""

    feat_dim = 8

    def __init__(self, temporal_stride=2, temporal_offset=0.5):
        super().__init__()
        self.temporal_stride, self.temporal_offset = temporal_stride, temporal_offset
        self.conv = torch.nn.Conv3d(3, 8, 2, stride=2)

    def forward(self, frames):
        return self.conv(frames)


@MODELS.register_module(force=True)
class PlainEncoder(BaseModel):
    """An encoder that does not tell where its steps lie: in the middle of two frames each."""

    temporal_stride = 2

    def forward(self, frames, masks):
        return frames.mean(dim=(3, 4))[:, ::2].transpose(1, 2), masks[:, ::2]


def test_mimics_get_the_masks_of_feature_steps(tmp_path):
    config = distiller_config(tmp_path / 'teacher.pth')
    detector = config['student']['detector']
    detector['backbone']['backbone'] = dict(type='PairNet')
    write_teacher(tmp_path / 'teacher.pth', detector)
    model = build(config)
    model.init_weights()
    seen = []
    model.mimics['feature'].register_forward_hook(lambda _, args, __: seen.append(args[2]))
    losses_of(model, raw_batch(lengths=(8, 3)))
    assert seen[0].tolist() == [[True] * 4, [True, True, False, False]]


@pytest.mark.parametrize(
    'stride, offset, problem',
    [
        (2, 0.5, None),
        (2, None, None),
        (2, 1.5, None),
        (4, 0.5, r'every 2 frames, the teacher every 4.*temporal stride'),
        (2, 1.75, r'at frame 0\.5, the teacher\'s at 1\.75, with 2 frames.*temporal offset'),
    ],
)
def test_steps_of_the_teacher_lie_where_the_students_do(stride, offset, problem, monkeypatch):
    logged = []
    monkeypatch.setattr(cross_modal_distiller, 'print_log', lambda text, **_: logged.append(text))
    net = dict(type='PairNet', temporal_stride=stride, temporal_offset=offset)
    student, teacher = (
        dict(detector_config(), backbone=dict(type='VideoEncoder', backbone=backbone))
        for backbone in (dict(type='PairNet'), net)
    )
    if offset is None:
        teacher['backbone'] = dict(type='PlainEncoder')
    config = distiller_config(None, detector=teacher)
    config['student']['detector'] = student
    if problem is None:
        build(config)
        assert len(logged) == (offset == 1.5)
        assert all("at frame 0.5, the teacher's at 1.5" in text for text in logged)
    else:
        with pytest.raises(ValueError, match=problem):
            build(config)
