"""Every config builds, takes a training step at reduced size, and predicts in seconds."""

import re
from functools import cache
from pathlib import Path

import pytest
from config_helpers import (
    CONFIGS,
    base_detector,
    build,
    check_predictions,
    load,
    shapes,
    take_step,
)
from mmengine.config import Config

from mmtad_decomp.utils import check_config
from mmtad_decomp.utils.config_check import runner_keys

FILES = sorted(
    (
        path.relative_to(CONFIGS)
        for folder in ('baseline', 'teacher', 'conventional', 'decomp')
        for path in (CONFIGS / folder).rglob('*.py')
    ),
    key=lambda path: (path.stem, path),
)
VARIABLES = {
    'activitynet_head', 'ann_file', 'cache_dir', 'classes', 'classifier', 'crop', 'data_root',
    'dataset', 'detections', 'distill', 'evaluation', 'exclude_videos', 'fine_tuned',
    'flow_channels', 'flow_detector', 'flow_test_pipeline', 'flow_train_pipeline', 'fusion',
    'i3d_rgb', 'ignore_labels', 'imagenet_resnet18', 'kinetics_slowfast50', 'kinetics_tsm50',
    'load_features', 'load_flow', 'load_frames', 'load_motion', 'num_classes', 'one_class',
    'paired_test_pipeline', 'paired_train_pipeline', 'proposals', 'ramp', 'resize_features',
    'rgb_channels', 'slow_weights', 'test_pipeline', 'train_pipeline', 'uncached_frames',
    'vis_backends', 'window',
}  # fmt: skip
FUSIONS = ('concat', 'sum', 'self_attn', 'cross_attn', 'diff_attn', 'local_attn')
SYSTEMS = [
    *(f'actionformer_{backbone}_thumos' for backbone in ('tsm18', 'tsm50', 'i3d', 'slowfast50')),
    'gtad_tsm18_thumos',
    'tadtr_tsm18_thumos',
]


@cache
def teacher_shapes(path):
    return shapes(build(load(path).model, device='meta'))


def teacher_of(model):
    """Config file of the teacher that a distiller loads."""
    folder, name = Path(model.teacher_checkpoint).parts[-2:]
    return f'{folder}/{name}.py'


@pytest.mark.parametrize('system', SYSTEMS)
def test_every_system_of_the_paper_is_there(system):
    names = {str(path) for path in FILES}
    wanted = {f'baseline/{system}.py', f'teacher/{system}_tg.py', f'teacher/{system}_of.py'}
    for kind in ('decomp', 'conventional'):
        wanted |= {f'{kind}/{system}.py', f'{kind}/{system}_of.py'}
    assert wanted <= names


def test_the_ablation_and_the_other_data_sets_are_there():
    names = {str(path) for path in FILES}
    for fusion in FUSIONS:
        for data in ('thumos', 'fir'):
            assert f'decomp/ablation/actionformer_tsm18_{data}_{fusion}.py' in names
    for data in ('fir', 'weizmann', 'synthetic'):
        name = f'actionformer_tsm18_{data}'
        assert f'teacher/{name}_tg.py' in names
        assert {f'{kind}/{name}.py' for kind in ('baseline', 'conventional', 'decomp')} < names
    for data in ('thumos', 'activitynet'):
        name = f'actionformer_features_{data}'
        roles = ('baseline', 'teacher', 'conventional', 'decomp')
        assert {f'{role}/{name}.py' for role in roles} < names
    best = 'actionformer_slowfast50_activitynet'
    assert {f'baseline/{best}.py', f'teacher/{best}_of.py', f'decomp/{best}_of.py'} < names
    assert {f'baseline/{head}_tsm18_activitynet.py' for head in ('gtad', 'tadtr')} < names


@pytest.mark.parametrize(
    ('baseline', 'fragment', 'student'),
    [
        ('baseline/actionformer_features_salads', 'accelerometers', 'DecomposedDetector'),
        ('mixin/tem_activitynet_baseline', 'tem', 'DecomposedLocalizer'),
    ],
)
def test_the_method_lies_over_configs_of_the_package_from_anywhere(
    tmp_path, baseline, fragment, student
):
    """MMEngine marks what comes from another package by a key ``_scope_``."""
    bases = [f'mmtad_decomp::{baseline}.py', f'mmtad_decomp::_base_/distill/decomp_{fragment}.py']
    file = tmp_path / 'mine.py'
    file.write_text(
        f"_base_ = {bases}\nmodel = dict(_delete_=True, type='CrossModalDistiller', "
        f"student=dict(type='{student}', detector=_base_.model, fusion=_base_.fusion), "
        'distill=_base_.distill)\n'
    )
    model = build(Config.fromfile(file).model, device='meta')
    assert type(model.student.neck).__name__ == 'DualBranchNeck'


@pytest.mark.parametrize('path', FILES, ids=str)
def test_every_key_is_known_and_agrees(path):
    config = load(path)
    check_config(config)
    assert set(config) <= runner_keys() | VARIABLES
    detector = base_detector(config.model)
    assert detector.head.num_classes == config.num_classes
    assert detector.data_preprocessor.pad_to == config.window
    loaders = (config.train_dataloader, config.val_dataloader, config.test_dataloader)
    for loader in loaders:
        steps = loader.dataset.get('window') or loader.dataset.get('num_samples')
        if loader.dataset.get('source') == 'feature':
            crops = [step for step in loader.dataset.pipeline if step.type == 'RandomFeatureCrop']
            assert len(crops) == (loader is config.train_dataloader)
            resized = [s.steps for s in loader.dataset.pipeline if s.type == 'ResizeFeatures']
            assert resized == ([config.window] if 'activitynet' in path.stem else [])
            steps = crops[0].max_length if crops else config.window
        assert steps == config.window
        assert loader.dataset.data_root == config.data_root
    for evaluators in (config.val_evaluator, config.test_evaluator):
        for metric in evaluators if isinstance(evaluators, list) else [evaluators]:
            assert metric.ann_file == config.data_root + config.test_dataloader.dataset.ann_file
            assert metric.subset == config.test_dataloader.dataset.subset
            groups = metric.get('tious')  # MMEngine sorts their names in configs that it writes
            assert not isinstance(groups, dict) or metric.get('main') in groups
            for key in ('ignore_labels', 'exclude_videos'):
                assert all(loader.dataset.get(key) == metric.get(key) for loader in loaders)
            if 'classes' in config:
                assert len(metric.classes) == config.num_classes
                assert all(loader.dataset.metainfo.classes == metric.classes for loader in loaders)
    if 'teacher_checkpoint' in config.model:
        teacher = load(teacher_of(config.model))
        assert teacher.get('classes') == config.get('classes')
        assert teacher.model.data_preprocessor.modality == config.model.distill.teacher.modality


@pytest.mark.parametrize('path', [p for p in FILES if 'activitynet' in p.stem], ids=str)
def test_activitynet_measures_detections_and_proposals(path):
    config = load(path)
    detections, proposals = config.test_evaluator
    assert (detections.type, proposals.type) == ('TADMetric', 'ProposalMetric')
    assert config.train_dataloader.dataset.exclude_videos == config.data_root + 'blocked.json'
    classifier = detections.post_processor.get('classifier')
    if classifier is not None:
        assert classifier.path == config.data_root + 'cuhk_val_simp_share.json'
    assert (classifier is None) == (config.num_classes == 200) == ('classes' in path.stem)
    assert 'classifier' not in proposals.post_processor


@pytest.mark.parametrize('path', [p for p in FILES if re.search('_of$', p.stem)], ids=str)
def test_flow_is_loaded_where_it_is_needed(path):
    config = load(path)
    loads = [
        [step.type for step in loader.dataset.pipeline if step.type.startswith('Load')]
        for loader in (config.train_dataloader, config.test_dataloader)
    ]
    if path.parts[0] == 'teacher':
        assert loads == [['LoadOpticalFlow'], ['LoadOpticalFlow']]
    else:
        video = any(data in path.stem for data in ('_fir', '_grid'))
        frames = 'LoadVideoFrames' if video else 'LoadFrameFolder'
        assert loads == [[frames, 'LoadOpticalFlow'], [frames]]


@pytest.mark.parametrize('path', FILES, ids=str)
def test_trains_and_predicts(path):
    config = load(path)
    model = build(config.model)
    if 'teacher_checkpoint' in config.model:
        assert shapes(model.teacher.detector) == teacher_shapes(teacher_of(config.model))
    take_step(model, config.num_classes)
    check_predictions(model, config.num_classes)
