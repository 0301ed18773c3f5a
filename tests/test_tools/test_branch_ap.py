"""tools/analysis_tools/branch_ap.py against tests of one branch at a time."""

import json

import pytest
import torch
from mmaction.registry import MODELS
from tiny_training import ROOT, config, options, write_videos

from mmtad_decomp.models.detectors import DecomposedDetector
from mmtad_decomp.structures import TADDataSample, TimeGrid
from mmtad_decomp.utils import CheckpointError, ConfigError
from tools import test as test_tool
from tools._cli import load_config
from tools.analysis_tools import branch_ap


@MODELS.register_module(force=True)
class OneBranch(DecomposedDetector):
    """Detects with the shared head on one branch."""

    branch = 0

    def detect(self, inputs, masks):
        feats, masks = self.encode(inputs, masks)
        return self.shared_head(self.neck(feats, masks)[self.branch], masks)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp('tiny') / 'data')


def write_weights(path, kind, data, seed):
    """Weights of an untrained model, whose scores differ enough to rank."""
    cfg = load_config(test_tool.parse_args([config(kind), 'none', *options(data)]))
    torch.manual_seed(seed)
    model = MODELS.build(cfg.model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if 'head' in name:
                weight.add_(0.1 * torch.randn_like(weight))
    torch.save(dict(meta={}, state_dict=model.state_dict()), path)
    return path


@pytest.fixture(scope='module')
def checkpoint(data, tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp('weights') / 'epoch_1.pth', 'decomp', data, 0)


@pytest.fixture(scope='module')
def teacher(data, tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp('teacher') / 'epoch_1.pth', 'teacher', data, 1)


def run(data, checkpoint, out, *flags, **more):
    arguments = [config('decomp'), str(checkpoint), '--out-dir', str(out), *flags]
    arguments += ['--work-dir', str(out / 'work'), *options(data, **more)]
    return branch_ap.main(arguments)


def test_every_branch_is_what_a_test_of_it_alone_gives(data, checkpoint, tmp_path, monkeypatch):
    results = run(data, checkpoint, tmp_path / 'out', '--dump-json')
    kinds = dict(appearance='OneBranch', motion='OneBranch', joint='DecomposedDetector')
    scores = {}
    for branch, kind in kinds.items():
        monkeypatch.setattr(OneBranch, 'branch', int(branch == 'motion'))
        submission = tmp_path / f'{branch}.json'
        flags = ['--classwise', '--dump-json', str(submission), '--work-dir', str(tmp_path / 'w')]
        more = options(data, **{'model.student.type': kind})
        metrics = test_tool.main([config('decomp'), str(checkpoint), *flags, *more])
        mine = {**results[branch]['mAP']}
        mine.update({f'AP_{name}': ap for name, ap in results[branch]['AP'].items()})
        assert mine == {key.removeprefix('tad/'): value for key, value in metrics.items()}
        expected = json.loads(submission.read_text())['results']
        written = json.loads((tmp_path / 'out' / f'{branch}.json').read_text())['results']
        assert written == expected and expected['v2']
        scores[branch] = [found['score'] for found in expected['v2'][:5]]
    assert len({tuple(values) for values in scores.values()}) == 3


def test_branches_of_i3d_are_where_its_feature_steps_are():
    """A step of I3D is not centred on the 8 frames that it strides over."""
    detector = dict(
        data_preprocessor=dict(type='TADDataPreprocessor', modality=dict(type='RGBInput')),
        backbone=dict(type='VideoEncoder', backbone=dict(type='InceptionI3D')),
        neck=dict(type='TemporalProjection', in_channels=1024, out_channels=16),
        head=dict(
            type='ActionFormerHead',
            num_classes=2,
            in_channels=16,
            num_levels=1,
            encoder=dict(embed_dims=16, window_size=3),
        ),
    )
    config = dict(detector=dict(type='TADDetector', **detector), fusion=dict(type='SumFusion'))
    torch.manual_seed(0)
    model = MODELS.build(dict(type='BranchDetector', **config)).eval()
    grid = TimeGrid(fps=10, start=20)
    sample = TADDataSample(metainfo=dict(window=(20, 36), time_grid=grid))
    frames, masks = torch.rand(1, 16, 3, 32, 32), torch.ones(1, 16, dtype=torch.bool)
    with torch.no_grad():
        branches = model.branches(frames, masks)
        (found,) = model.predict(frames, masks, [sample])
    heads = (model.shared_head, model.shared_head, model.head)
    for branch, head in zip(branch_ap.BRANCHES, heads):
        (candidates,) = head.predict_by_feat(getattr(branches, branch))
        # The first frame of the window is centred at 2.05 s, step g 5 + 8 g frames later.
        expected = (20.5 + 5 + 8 * candidates.segments.double()) / 10
        actual = found.get(f'{branch}_instances')
        assert len(actual.scores)
        torch.testing.assert_close(actual.segments, expected)
        torch.testing.assert_close(actual.scores, candidates.scores)


def test_teacher_is_what_its_own_test_gives(data, checkpoint, teacher, tmp_path):
    more = {'model.teacher_checkpoint': str(teacher)}
    plain = run(data, checkpoint, tmp_path / 'plain')
    results = run(data, checkpoint, tmp_path / 'out', '--with-teacher', '--dump-json', **more)
    assert {branch: results[branch] for branch in branch_ap.BRANCHES} == plain
    submission = tmp_path / 'teacher.json'
    flags = ['--classwise', '--dump-json', str(submission), '--work-dir', str(tmp_path / 'w')]
    metrics = test_tool.main([config('teacher'), str(teacher), *flags, *options(data)])
    mine = {**results['teacher']['mAP']}
    mine.update({f'AP_{name}': ap for name, ap in results['teacher']['AP'].items()})
    assert mine == {key.removeprefix('tad/'): value for key, value in metrics.items()}
    written = {
        branch: json.loads((tmp_path / 'out' / f'{branch}.json').read_text())['results']
        for branch in branch_ap.WITH_TEACHER
    }
    assert written['teacher'] == json.loads(submission.read_text())['results']
    assert written['joint_by_teacher']['v2'] != written['joint']['v2']
    table = (tmp_path / 'out' / 'branch_ap.txt').read_text()
    assert table.splitlines()[0].endswith('teacher  joint by teacher')


def test_joint_head_on_the_features_that_the_mimic_compares(data, teacher):
    """The motion branch is replaced by what the feature mimic takes from the teacher."""
    more = {'model.teacher_checkpoint': str(teacher)}
    cfg = load_config(test_tool.parse_args([config('decomp'), 'none', *options(data, **more)]))
    torch.manual_seed(0)
    cfg.model.student.type = 'BranchDetector'
    model = MODELS.build({**cfg.model, 'type': 'BranchDistiller'}).eval()
    frames = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    sample = TADDataSample(metainfo=dict(window=(0, 16), time_grid=TimeGrid(fps=10, start=0)))
    batch = model.data_preprocessor(dict(inputs=dict(frames=[frames]), data_samples=[sample]))
    recorder = model._teacher_recorders['feature'][0]
    with torch.no_grad(), recorder.recording():
        (found,) = model(**batch, mode='predict')
        student = model.student
        feats, masks = student.encode(batch['inputs'], batch['masks'])
        fused = student.fusion(student.neck(feats, masks)[0], recorder.output(), masks)
        (candidates,) = student.head.predict_by_feat(student.head(fused, masks))
    recorder.clear()
    actual = found.joint_by_teacher_instances
    torch.testing.assert_close(actual.scores, candidates.scores)
    torch.testing.assert_close(
        actual.segments, student.in_seconds([candidates], [sample])[0].segments
    )
    assert not torch.equal(actual.scores, found.joint_instances.scores)


def test_students_without_a_teacher_are_refused(data, checkpoint, tmp_path):
    cfg = load_config(test_tool.parse_args([config('decomp'), 'none', *options(data)]))
    cfg.model = cfg.model.student
    args = branch_ap.parse_args(['c.py', 'w', '--out-dir', str(tmp_path), '--with-teacher'])
    with pytest.raises(
        ConfigError, match=r'--with-teacher: `model` is DecomposedDetector, which has no'
    ):
        branch_ap.use_branches(cfg, args)


def test_several_teachers_are_refused(tmp_path):
    cfg = load_config(
        test_tool.parse_args([str(ROOT / 'configs/decomp/actionformer_tsm18_grid.py'), 'x'])
    )
    cfg.model.teacher_checkpoint = ['a.pth', 'b.pth']
    args = branch_ap.parse_args(['c.py', 'w', '--out-dir', str(tmp_path), '--with-teacher'])
    with pytest.raises(ConfigError, match=r'lists 2 teachers .*: --cfg-options model\.teach'):
        branch_ap.use_branches(cfg, args)


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        (
            'actionformer_tsm18_grid_of',
            'LoadVideoFrames LoadOpticalFlow CenterSpatialCrop PackTADInputs',
        ),
        ('actionformer_features_salads', 'LoadFeatures LoadFeatures PackTADInputs'),
        # Teacher and student read parts of the same features.
        ('actionformer_features_thumos', 'LoadFeatures PackTADInputs'),
        ('actionformer_tsm18_grid', 'LoadVideoFrames CenterSpatialCrop PackTADInputs'),
    ],
)
def test_inputs_of_the_teacher_are_read(name, expected):
    """Where the config reads them in training, and once."""
    path = f'configs/decomp/{name}.py'
    cfg = load_config(test_tool.parse_args([str(ROOT / path), 'none']))
    args = branch_ap.parse_args([path, 'w', '--out-dir', 'o', '--with-teacher'])
    branch_ap.use_branches(cfg, args)
    pipeline = cfg.test_dataloader.dataset.pipeline
    assert [transform['type'] for transform in pipeline] == expected.split()
    keys = [transform.get('key') for transform in pipeline if transform['type'] == 'LoadFeatures']
    assert len(set(keys)) == len(keys)


def test_files_and_validation_split(data, checkpoint, tmp_path):
    other = {'test_evaluator.tious': '[0.9]'}
    for part in ('val', 'test'):
        loop = f'Autocast{part.capitalize()}Loop'
        other.update({f'{part}_cfg.type': loop, f'{part}_cfg.dtype': 'float32'})
    results = run(data, checkpoint, tmp_path, '--split', 'val', **other)
    assert 'mAP@0.5' in results['joint']['mAP'] and list(results['motion']['AP']) == ['shake']
    content = json.loads((tmp_path / 'branch_ap.json').read_text())
    assert content['branches'] == results and content['split'] == 'val'
    table = (tmp_path / 'branch_ap.txt').read_text()
    assert table.splitlines()[0].split()[:3] == ['appearance', 'motion', 'joint']
    assert (tmp_path / 'branch_ap.png').read_bytes()[1:4] == b'PNG'
    assert not (tmp_path / 'joint.json').exists()


@pytest.mark.parametrize('flags', [(), ('--with-teacher',)])
def test_another_network_than_the_trained_one_is_a_warning(
    data, checkpoint, teacher, tmp_path, flags
):
    cfg = load_config(test_tool.parse_args([config('decomp'), 'none', *options(data)]))
    weights = torch.load(checkpoint, weights_only=True)
    torch.save({**weights, 'meta': dict(cfg=cfg.pretty_text)}, tmp_path / 'with_config.pth')
    key = 'model.student.fusion.window'
    for name, more, times in (('same', {}, 0), ('other', {key: 3}, 1)):
        more['model.teacher_checkpoint'] = str(teacher)
        run(data, tmp_path / 'with_config.pth', tmp_path / name, *flags, **more)
        (log,) = (tmp_path / name / 'work').glob('*/*.log')
        text = log.read_text()
        assert text.count('was trained with another network') == times
        assert text.count(f'{key} was') == times


def test_table_shows_the_gain_over_the_better_branch():
    results = {
        branch: dict(AP=dict(jump=ap), mAP=dict(mAP=ap))
        for branch, ap in (('appearance', 0.4), ('motion', 0.5), ('joint', 0.575))
    }
    line = branch_ap.format_branches(results).splitlines()[2]
    assert line.split() == ['jump', '40.0', '50.0', '57.5', '+7.5']


def test_published_students_are_refused(data, checkpoint, tmp_path):
    with pytest.raises(ConfigError, match=r'shared_head=False.*config and the checkpoint of its'):
        run(data, checkpoint, tmp_path, **{'model.student.shared_head': False})
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    bare = {k.removeprefix('student.'): v for k, v in state.items() if 'shared_head' not in k}
    torch.save(dict(meta={}, state_dict=bare), tmp_path / 'published.pth')
    with pytest.raises(CheckpointError, match=r'published\.pth has no weights of a shared head'):
        run(data, tmp_path / 'published.pth', tmp_path)


def test_models_without_branches_are_refused(data, checkpoint, tmp_path):
    arguments = [config('baseline'), str(checkpoint), '--out-dir', str(tmp_path)]
    with pytest.raises(ConfigError, match='TADDetector without a DecomposedDetector'):
        branch_ap.main([*arguments, '--work-dir', str(tmp_path), *options(data)])


def test_no_ground_truth_gives_no_number_and_one_sentence(data, checkpoint, tmp_path, capsys):
    content = json.loads((data / 'annotations.json').read_text())
    content['database']['v2']['annotations'] = []
    file = tmp_path / 'empty.json'
    file.write_text(json.dumps(content))
    keys = ('test_evaluator.ann_file', 'test_dataloader.dataset.ann_file')
    results = run(data, checkpoint, tmp_path, **dict.fromkeys(keys, file))
    written = json.loads((tmp_path / 'branch_ap.json').read_text())['branches']
    assert written == results
    for branch in branch_ap.BRANCHES:
        assert results[branch]['AP'] == {}
        assert results[branch]['mAP'] and not any(results[branch]['mAP'].values())
    rows = (tmp_path / 'branch_ap.txt').read_text().splitlines()[2:]
    assert rows and all(row.split()[1:] == ['-'] * 4 for row in rows)
    assert not (tmp_path / 'branch_ap.png').exists()
    assert capsys.readouterr().out.count('there is no ground truth') <= 1
    (log,) = (tmp_path / 'work').glob('*/*.log')
    assert log.read_text().count('there is no ground truth') == 1
