"""Every mixin config: what it leaves of MMAction2's, one training step, gradients, predictions."""

import copy

import pytest
import torch
from mixin_helpers import CONFIGS, NAMES, batch, build, config, write_teacher
from mmengine.config import Config
from tiny_detectors import losses_of, reaches

from mmtad_decomp.utils import check_config

BASES = dict(
    bmn_activitynet='bmn/bmn_2xb8-400x100-9e_activitynet-feature.py',
    tem_activitynet='bsn/bsn_tem_1xb16-400x100-20e_activitynet-feature.py',
    tcanet_hacs='tcanet/tcanet_2xb8-700x100-9e_hacs-feature.py',
)
KINDS = ('baseline', 'teacher', 'conventional', 'decomp')
FILES = sorted(path.stem for path in CONFIGS.glob('*.py'))


def plain(node):
    """A part of a config without the marks of the registry's scope that bases leave."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items() if key != '_scope_'}
    return [plain(value) for value in node] if isinstance(node, (list, tuple)) else node


def localizer_of(model):
    while 'head' not in model:
        model = model.get('student') or model['detector']
    return model['head']


def test_there_are_four_configs_of_each_localizer():
    assert sorted(f'{name}_{kind}' for name in NAMES for kind in KINDS) == FILES


@pytest.mark.parametrize('file', FILES)
def test_of_mmaction2s_config_everything_stays_but_what_is_named(file, tmp_path):
    own = Config.fromfile(CONFIGS / f'{file}.py')
    check_config(own)
    name = file.rpartition('_')[0]
    child = tmp_path / 'base.py'
    child.write_text(f"_base_ = ['mmaction::localization/{BASES[name]}']")
    base = Config.fromfile(child)
    assert localizer_of(own.model) == base.model
    for key in ('train_cfg', 'optim_wrapper', 'param_scheduler', 'val_pipeline', 'test_pipeline'):
        assert own[key] == base[key]
    old, new = (plain(c.train_dataloader.dataset.pipeline) for c in (base, own))
    added = [step for step in new if step not in old]
    assert [step for step in new if step in old] == old
    expected = ['MatchProposals'] if name == 'tcanet_hacs' else []
    if expected and ('decomp' in file or 'conventional' in file):
        expected.append('LoadMotionFeature')
    assert [step['type'] for step in added] == expected
    assert own.work_dir == f'work_dirs/mixin/{file}'
    if 'teacher_checkpoint' in own.model:
        assert own.model.teacher_checkpoint == f'work_dirs/mixin/{name}_teacher'


def test_the_guides_ten_lines_are_the_config(tmp_path):
    guide = CONFIGS.parents[1] / 'docs' / 'en' / 'user_guides' / 'mix_into_existing_configs.md'
    block = guide.read_text().split('```python\n')[1].split('```')[0]
    assert len(block.splitlines()) <= 10
    (tmp_path / 'ten.py').write_text(block)
    ten = Config.fromfile(tmp_path / 'ten.py')
    check_config(ten)
    config = Config.fromfile(CONFIGS / 'bmn_activitynet_decomp.py')
    assert plain(ten.model) == plain(config.model)


@pytest.mark.parametrize('file', ['tem_activitynet_conventional', 'tem_activitynet_decomp'])
def test_tems_logits_are_compared_as_its_sigmoid_reads_them(file):
    content = Config.fromfile(CONFIGS / f'{file}.py').model
    ratio = build(localizer_of(content.student)).conv3_ratio
    mimic = content.distill.mimics.prediction.loss
    assert ratio == mimic.logit_scale and 'temperature' not in mimic


@pytest.fixture(scope='module')
def teachers(tmp_path_factory):
    folder = tmp_path_factory.mktemp('teachers')
    return {name: write_teacher(folder / f'{name}.pth', name) for name in NAMES}


def model_of(file, teachers):
    content = config(file).model
    name = file.rpartition('_')[0]
    if 'teacher_checkpoint' in content:
        content.teacher_checkpoint = teachers[name]
    model = build(content)
    model.init_weights()
    return model, name


@pytest.mark.parametrize('file', FILES)
def test_trains_and_predicts(file, teachers):
    model, name = model_of(file, teachers)
    losses = losses_of(model, batch(name))
    assert all(torch.isfinite(loss) for loss in losses.values())
    model.parse_losses(losses)[0].backward()
    weights = dict(model.named_parameters())
    idle = [key for key, weight in weights.items() if weight.requires_grad and weight.grad is None]
    assert not idle and all(w.grad is None or w.grad.isfinite().all() for w in weights.values())
    model.eval()
    with torch.no_grad():
        results = model.val_step(dict(batch(name), inputs=rgb_of(batch(name)['inputs'])))
    assert len(results) == 2
    if name == 'tem_activitynet':
        assert [video for video, scores in results] == ['v_0', 'v_1']
        assert all(scores.shape == (8, 5) for video, scores in results)
    else:
        assert [result['video_name'] for result in results] == ['v_0', 'v_1']
        assert all(result['proposal_list'] for result in results)


def rgb_of(inputs):
    """The test pipeline is MMAction2's own: a bare list of features."""
    return inputs['features'] if isinstance(inputs, dict) else inputs


@pytest.mark.parametrize('name', NAMES)
def test_gradients_go_where_they_should(name, teachers):
    model, _ = model_of(f'{name}_decomp', teachers)
    losses = losses_of(model, batch(name))
    student, parts = model.student, dict(joint=0, app=0, loss=0)
    for key, loss in losses.items():
        parts[key.partition('_')[0]] += loss
    for part in ('app', 'loss'):
        assert not reaches(parts[part], student.head) and not reaches(parts[part], student.fusion)
        assert reaches(parts[part], student.shared_head)
    assert reaches(parts['app'], student.neck.appearance)
    assert not reaches(parts['app'], student.neck.motion)
    assert reaches(parts['loss'], student.neck.motion)
    assert not reaches(parts['loss'], student.neck.appearance)
    assert not reaches(parts['joint'], student.shared_head)
    for module in (student.head, student.fusion, student.neck.motion, student.neck.appearance):
        assert reaches(parts['joint'], module)
    for mimic in model.mimics:
        assert losses[f'loss_{mimic}'] > 0
        assert reaches(losses[f'loss_{mimic}'], student.neck.motion), mimic


@pytest.mark.parametrize('name', NAMES)
def test_teacher_reads_motion_and_stays_as_it_is(name, teachers):
    model, _ = model_of(f'{name}_decomp', teachers)
    raw = batch(name)
    seen = model.data_preprocessor(raw, training=True)
    if name == 'tcanet_hacs':
        own, motion = raw['inputs']['features'], raw['inputs']['motion_features']
    else:
        own, motion = ([x[s] for x in raw['inputs']] for s in (slice(0, 6), slice(6, 12)))
    assert torch.equal(seen['inputs'], torch.stack(own))
    assert torch.equal(seen['teacher_batch']['inputs'], torch.stack(motion))
    before = copy.deepcopy(dict(model.teacher.state_dict()))
    model.parse_losses(losses_of(model, raw))[0].backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert not any(module.training for module in model.teacher.modules())
    after = dict(model.teacher.state_dict())
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize('name', NAMES)
def test_a_student_that_is_the_teacher_has_nothing_to_mimic(name, teachers):
    """With the teacher's weights and input, every mimic of the conventional config is zero."""
    content = config(f'{name}_conventional').model
    content.teacher_checkpoint = teachers[name]
    content.student.data_preprocessor.modality = content.distill.teacher.modality
    model = build(content)
    model.init_weights()
    model.student.load_state_dict(torch.load(teachers[name], weights_only=True)['state_dict'])
    for module in model.student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, 'attn') and hasattr(module.attn, 'dropout'):
            module.attn.dropout = 0.0
    losses = losses_of(model, batch(name))
    for mimic in model.mimics:
        assert losses[f'loss_{mimic}'].item() == pytest.approx(0, abs=1e-5), mimic


def test_published_students_predict_as_before(teachers):
    from mmtad_decomp.apis.publishing import published_model, published_state

    model, name = model_of('tem_activitynet_decomp', teachers)
    content = config('tem_activitynet_decomp').model
    alone = build(published_model(content))
    alone.load_state_dict(published_state(model.state_dict(), distilled=True), strict=True)
    with torch.no_grad():
        before, after = (m.eval().val_step(batch(name)) for m in (model, alone))
    for one, other in zip(before, after):
        assert one[0] == other[0] and (one[1] == other[1]).all()
    with pytest.raises(RuntimeError, match='shared_head=True'):
        losses_of(alone, batch(name))


def test_the_appearance_branch_of_a_localizer_is_published_as_the_plain_one(teachers):
    """It predicts as the whole model does whose joint localizer sees that branch."""
    from mmtad_decomp.apis.publishing import published_model, published_state

    model, name = model_of('tem_activitynet_decomp', teachers)
    content = config('tem_activitynet_decomp').model
    plain = build(published_model(content, 'appearance'))
    assert type(plain).__name__ == 'LocalizerDetector'
    state = published_state(model.state_dict(), distilled=True, branch='appearance')
    plain.load_state_dict(state, strict=True)
    student = model.student
    student.head = student.shared_head
    student.head_input = lambda feats, masks: student.neck(feats, masks).appearance
    with torch.no_grad():
        before, after = (m.eval().val_step(batch(name)) for m in (model, plain))
    for one, other in zip(before, after):
        assert one[0] == other[0] and (one[1] == other[1]).all()


def change(path, value):
    def apply(content):
        *parents, last = path.split('.')
        for key in parents:
            content = content[key]
        content[last] = value

    return apply


def another_length(content):
    detector = copy.deepcopy(content.student.detector)
    detector.data_preprocessor.modality = content.distill.teacher.pop('modality')
    detector.head.temporal_dim = 4
    content.distill.teacher.detector = detector
    content.teacher_checkpoint = None


def more_outputs(content):
    another_length(content)
    content.distill.teacher.detector.head.update(temporal_dim=8, output_dim=5)


def no_neck(content):
    content.student.detector.pop('neck')


@pytest.mark.parametrize(
    'spoil, error, message',
    [
        (change('teacher_checkpoint', None), FileNotFoundError, 'teacher_checkpoint'),
        (change('teacher_checkpoint', 'gone'), FileNotFoundError, 'gone'),
        (change('student.detector.head.tem_hidden_dim', 4), ValueError, 'does not fit'),
        (change('student.detector.head.output_dim', 5), ValueError, 'classes'),
        (change('distill.teacher.modality.channels', (0, 40)), ValueError, 'modality.channels'),
        (change('distill.teacher.modality.channels', (0, 5)), ValueError, 'neck.in_channels'),
        (another_length, ValueError, 'reads sequences of 4 steps'),
        (more_outputs, ValueError, 'same classes'),
        (no_neck, ValueError, 'detector.neck'),
        (change('student.detector.raw_mode', 'predict'), ValueError, 'raw_mode'),
    ],
)
def test_wrong_combinations_say_what_to_change(spoil, error, message, teachers):
    content = config('tem_activitynet_decomp').model
    content.teacher_checkpoint = teachers['tem_activitynet']
    spoil(content)
    with pytest.raises(error, match=message):
        model = build(content)
        if spoil not in (another_length, more_outputs):
            model.init_weights()
        losses_of(model, batch('tem_activitynet'))


def test_features_of_several_lengths_are_refused(teachers):
    model, name = model_of('bmn_activitynet_baseline', teachers)
    raw = batch(name)
    raw['inputs'][1] = raw['inputs'][1][:, :5]
    with pytest.raises(ValueError, match=r'8 steps.*lengths \[5, 8\]'):
        losses_of(model, raw)
