"""Values of the official releases that configs follow; a default that drifts fails here."""

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from config_helpers import CONFIGS, base_detector, build, load
from mmaction.registry import MODELS, TASK_UTILS
from mmengine.optim import build_optim_wrapper
from release_values import RELEASES

read = cache(load)
FOLDERS = ('baseline', 'teacher', 'conventional', 'decomp')


def files(head, data, folders=FOLDERS):
    """Configs of a head on a data set, below ``configs/``."""
    found = [
        str(path.relative_to(CONFIGS))
        for folder in folders
        for path in (CONFIGS / folder).rglob(f'{head}_*_{data}*.py')
    ]
    assert found
    return sorted(found)


@pytest.mark.parametrize('head', ['actionformer', 'afsd', 'gtad', 'tadtr', 'tags'])
def test_no_multi_class_suppression_votes(head):
    """ActionFormer votes in its class-agnostic branch only, the others never."""
    for path in files(head, 'thumos'):
        config = read(path)
        for evaluator in (config.val_evaluator, config.test_evaluator):
            assert evaluator.post_processor.get('voting_iou') is None, path


def test_actionformer_post_processing():
    for path in files('actionformer', 'thumos'):
        config = read(path)
        wanted = dict(
            type='PostProcessor',
            score_thr=0.001,
            min_length=0.05,
            nms=dict(type='soft_nms', sigma=0.5, min_score=0.001),
            max_per_video=200,
            pre_nms_topk=None,
        )
        assert config.val_evaluator.post_processor == wanted, path
        assert config.test_evaluator.post_processor == wanted, path
    for path in files('actionformer', 'activitynet'):
        detections = read(path).test_evaluator[0].post_processor
        assert detections.nms == dict(type='soft_nms', sigma=0.75, min_score=0.001)
        # class-agnostic with an external classifier, as released, or with classes of its own
        assert detections.get('voting_iou') == (None if 'classes' in path else 0.9), path


def test_gtad_on_thumos():
    for path in files('gtad', 'thumos', ('baseline', 'teacher')):
        head = read(path).model.head
        assert head.max_duration == 107, path


@pytest.mark.parametrize('data', ['thumos', 'activitynet'])
def test_actionformer_averages_its_weights(data):
    for path in files('actionformer', data):
        assert read(path).default_hooks.ema == dict(type='EMAHook', momentum=0.001), path


@pytest.mark.parametrize(
    ('path', 'base_rate', 'backbone'),
    [
        ('baseline/actionformer_tsm18_thumos.py', 1e-4, (1e-4, 5e-6)),
        ('baseline/actionformer_slowfast50_activitynet.py', 1e-4, (1e-4, 5e-6)),
        ('baseline/actionformer_tsm18narrow_grid_mini.py', 1e-3, None),
    ],
)
def test_actionformer_decays_matrices_and_kernels_only(path, base_rate, backbone):
    """Nor does the schedule from scratch, which has one rate for backbone and head."""
    config = load(path)
    model = build(config.model, device='meta')
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    decay = {p: group['weight_decay'] for group in optimizer.param_groups for p in group['params']}
    rate = {p: group['lr'] for group in optimizer.param_groups for p in group['params']}
    flat = 0
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if backbone and name.startswith('backbone'):
            wanted = backbone
        else:
            wanted = 0.0 if parameter.ndim == 1 else 0.05, base_rate
            flat += parameter.ndim == 1
        assert (decay[parameter], rate[parameter]) == pytest.approx(wanted), name
    assert flat > 50


def test_actionformer_on_activitynet():
    for path in files('actionformer', 'activitynet', ('baseline', 'teacher')):
        head = read(path).model.head
        assert head.loss_reg == dict(loss_weight=2.0), path
        assert head.min_length == 0.001, path


@pytest.mark.parametrize('head', ['gtad', 'tadtr', 'tags', 'afsd'])
def test_e2e_tad_has_no_warm_up(head):
    for path in files(head, 'thumos'):
        schedule = read(path).param_scheduler
        assert [part.type for part in schedule] == ['MultiStepLR'], path


def test_afsd_keeps_all_detections():
    for path in files('afsd', 'thumos'):
        post_processor = read(path).test_evaluator.post_processor
        assert post_processor.score_thr == 0.01, path
        assert post_processor.max_per_video is None, path
        assert post_processor.pre_nms_topk is None, path


def value_at(root, path):
    """What a path of attributes, keys and indices leads to; tensors as numbers."""
    for part in path.split('.'):
        if isinstance(root, dict):
            root = root[part]
        elif part.isdigit():
            root = root[int(part)]
        else:
            root = getattr(root, part)
    return root


def test_releases_cover_the_rows_of_the_paper():
    """Every baseline of THUMOS'14 and ActivityNet but those with a written reason."""
    own = {'baseline/actionformer_slowfast50_activitynet_classes.py'}  # classes of its own: ours
    found = {
        str(path.relative_to(CONFIGS))
        for data in ('thumos', 'activitynet*')
        for path in (CONFIGS / 'baseline').glob(f'*_{data}.py')
    }
    assert found - own == set(RELEASES)


@pytest.mark.parametrize('path', RELEASES)
def test_built_configs_have_the_values_of_the_releases(path):
    config = load(path)
    detector = SimpleNamespace(head=MODELS.build(config.model.head))
    metrics = config.test_evaluator
    metric = metrics[0] if isinstance(metrics, list) else metrics
    settings = dict(metric.post_processor)
    post = vars(TASK_UTILS.build({**settings, 'classifier': None, 'max_proposals': None}))
    post |= {key: settings[key] for key in ('classifier', 'max_proposals') if key in settings}
    wrong = []
    for key, wanted in RELEASES[path].items():
        place, _, rest = key.partition('.')
        if place == 'head':
            value = value_at(detector, key)
        elif place == 'post':
            value = value_at(post, rest)
        else:
            value = value_at(config, key)
        if isinstance(wanted, (tuple, list)):
            value, wanted = list(value), list(wanted)
        if value != wanted:
            wrong.append(f'{key}: {value!r}, released: {wanted!r}')
    assert not wrong, f'{path}: {"; ".join(wrong)}'


def rows(folders=FOLDERS[1:]):
    """Teachers, students and ablations of THUMOS'14 and ActivityNet, below ``configs/``."""
    return sorted(
        str(path.relative_to(CONFIGS))
        for folder in folders
        for path in (CONFIGS / folder).rglob('*.py')
        if 'thumos' in path.stem or 'activitynet' in path.stem
    )


@pytest.mark.parametrize('path', rows(FOLDERS))
def test_headers_name_the_release_and_the_differences(path):
    text = (CONFIGS / path).read_text(encoding='utf-8')
    header = ' '.join(line.lstrip('# ') for line in text.splitlines() if line.startswith('#'))
    assert 'Follows ' in header and 'Differences: ' in header, path
    if not path.startswith('baseline'):  # the header of the file that it names says more
        named = header.partition('Follows ')[2].split('.py')[0] + '.py'
        followed = (CONFIGS / path).parent.joinpath(named).resolve()
        assert str(followed.relative_to(CONFIGS)) in rows(FOLDERS), path
        assert f"'{named}'" in text, path


def of_the_release(config):
    """What a row has in common with its baseline: all but its input and its distillation."""
    detector = base_detector(config.model)
    parts = dict(neck=detector.get('neck'), head=detector.head)
    parts['backbone'] = dict(detector.get('backbone') or {})
    for key in ('in_channels', 'stem_init'):  # of flow
        parts['backbone'].pop(key, None)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = config[key].to_dict()
        loader['dataset'].pop('pipeline')
        parts[key] = loader
    settings = ('optim_wrapper', 'param_scheduler', 'train_cfg', 'default_hooks')
    evaluators = ('val_evaluator', 'test_evaluator')
    return parts | {key: config[key] for key in (*settings, *evaluators)}


@pytest.mark.parametrize('path', rows())
def test_rows_follow_the_release_of_their_baseline(path):
    """So the table of releases, which has the baselines, holds for every row of the paper."""
    stem = next(
        Path(name).stem
        for name in sorted(RELEASES, key=len, reverse=True)
        if Path(path).stem.startswith(Path(name).stem)
    )
    row, baseline = (of_the_release(read(name)) for name in (path, f'baseline/{stem}.py'))
    assert row.keys() == baseline.keys()
    assert [key for key in row if row[key] != baseline[key]] == []


def test_augmentation_is_that_of_e2e_tad():
    """The transforms' defaults are E2E-TAD's (tests of the transforms); nothing changes them."""
    for path in (
        name for head in ('gtad', 'tadtr', 'afsd', 'tags') for name in files(head, 'thumos')
    ):
        if path.endswith('_of.py'):  # flow is loaded beside the frames
            continue
        pipeline = read(path).train_dataloader.dataset.pipeline
        steps = {step.type: dict(step) for step in pipeline}
        assert steps['PhotometricDistortion'] == dict(type='PhotometricDistortion'), path
        assert steps['RandomRotation'] == dict(type='RandomRotation', degrees=45, prob=0.5), path
