"""Generated features, and MMAction2's configs trained on them by our tools and by its own."""

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import mmaction
import numpy as np
import pytest

from tools import test as test_tool
from tools import train as train_tool
from tools.data import generate_features

ROOT = Path(__file__).resolve().parents[2]
_RUNS = count()
STEPS, CHANNELS, WIDTH = 12, 6, 16


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    out = tmp_path_factory.mktemp('generated')
    size = ['--steps', STEPS, '--channels', CHANNELS, '--train', 4, '--val', 2, '--proposals', 6]
    for name, more in (('anet', []), ('hacs', ['--separate'])):
        arguments = [str(x) for x in ['--out', out / name, *size, *more]]
        assert generate_features.main(arguments) == 0
    return out


def options(data, name, kind, teacher=None):
    """``--cfg-options`` that reduce a mixin config to the generated set."""
    at = {'teacher': 'model', 'conventional': 'model.student', 'decomp': 'model.student.detector'}
    detector = at[kind]
    separate = name == 'tcanet_hacs'
    folder = data / ('hacs' if separate else 'anet')
    features = folder / (('flow' if kind == 'teacher' else 'rgb') if separate else 'two_stream')
    settings = {
        'experiment_name': f'mixin_{os.getpid()}_{next(_RUNS)}',
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        f'{detector}.neck.in_channels': CHANNELS,
        f'{detector}.neck.out_channels': WIDTH,
        f'{detector}.head.temporal_dim': STEPS,
        'train_dataloader.batch_size': 2,
        'val_dataloader.batch_size': 1,
    }
    for loader in ('train', 'val', 'test'):
        subset = 'train' if loader == 'train' else 'val'
        settings |= {
            f'{loader}_dataloader.num_workers': 0,
            f'{loader}_dataloader.persistent_workers': False,
            f'{loader}_dataloader.dataset.ann_file': folder / f'anno_{subset}.json',
            f'{loader}_dataloader.dataset.data_prefix.video': features,
        }
    if name == 'tem_activitynet':
        settings |= {
            f'{detector}.head.tem_feat_dim': WIDTH,
            'val_evaluator.1.ann_file': folder / 'anno_val.json',
            'test_evaluator.1.ann_file': folder / 'anno_val.json',
        }
    if name == 'tcanet_hacs':
        settings |= {f'{detector}.head.feat_dim': WIDTH}
        if kind != 'teacher':
            settings['train_dataloader.dataset.pipeline.4.folder'] = folder / 'flow'
    else:
        half = f'[{CHANNELS},{2 * CHANNELS}]' if kind == 'teacher' else f'[0,{CHANNELS}]'
        settings[f'{detector}.data_preprocessor.modality.channels'] = half
        if teacher:
            channels = f'[{CHANNELS},{2 * CHANNELS}]'
            settings['model.distill.teacher.modality.channels'] = channels
    if teacher:
        settings['model.teacher_checkpoint'] = teacher
    return [f'{key}={value}' for key, value in settings.items()]


def config(name, kind):
    return str(ROOT / 'configs' / 'mixin' / f'{name}_{kind}.py')


def losses_in(work_dir):
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return lines


@pytest.mark.slow
@pytest.mark.parametrize('name', ['tem_activitynet', 'tcanet_hacs'])
def test_teacher_and_students_train_and_test(name, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    teacher = tmp_path / 'teacher'
    for kind in ('teacher', 'conventional', 'decomp'):
        own = options(data, name, kind, None if kind == 'teacher' else teacher)
        own += ['default_hooks.logger.interval=1']
        arguments = [config(name, kind), '--work-dir', str(tmp_path / kind), '--cfg-options', *own]
        train_tool.main(arguments)
        lines = losses_in(tmp_path / kind)
        assert all(np.isfinite(line['loss']) for line in lines if 'loss' in line)
        assert any('AR@100' in line for line in lines)
        if kind != 'teacher':
            assert 'loss_feature' in lines[0] and 'loss_prediction' in lines[0]
    own = options(data, name, 'decomp', teacher)
    test_tool.main([config(name, 'decomp'), str(tmp_path / 'decomp'), '--cfg-options', *own])


@pytest.mark.slow
def test_mmaction2s_own_tools(data, tmp_path, monkeypatch):
    tools = Path(mmaction.__file__).parent / '.mim' / 'tools'
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')

    def command_line(kind, *arguments, teacher=None):
        return [
            *(config('tem_activitynet', kind), *arguments, '--work-dir', str(tmp_path / kind)),
            *('--cfg-options', *options(data, 'tem_activitynet', kind, teacher)),
        ]

    def run(tool, *arguments, teacher):
        command = [
            *(sys.executable, str(tools / tool)),
            *command_line('decomp', *arguments, teacher=teacher),
        ]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout + done.stderr

    monkeypatch.chdir(tmp_path)
    train_tool.main(command_line('teacher'))
    output = run('train.py', teacher=tmp_path / 'teacher')
    assert 'teacher loaded from' in output and 'joint_loss_action' in output
    checkpoint = (tmp_path / 'decomp' / 'last_checkpoint').read_text()
    assert 'AR@100' in run('test.py', checkpoint, teacher=tmp_path / 'teacher')


def test_generated_sets_repeat_and_are_well_formed(data, tmp_path):
    arguments = ['--steps', STEPS, '--channels', CHANNELS, '--train', 4, '--val', 2]
    generate_features.main([str(x) for x in ['--out', tmp_path, '--proposals', 6, *arguments]])
    for subset, size in (('train', 4), ('val', 2)):
        videos = json.loads((tmp_path / f'anno_{subset}.json').read_text())
        assert videos == json.loads((data / 'anet' / f'anno_{subset}.json').read_text())
        assert len(videos) == size
        for name, video in videos.items():
            file = tmp_path / 'two_stream' / f'{name}.csv'
            assert file.read_bytes() == (data / 'anet' / 'two_stream' / file.name).read_bytes()
            table = np.loadtxt(file, delimiter=',', skiprows=1)
            assert table.shape == (STEPS, 2 * CHANNELS)
            times = [item['segment'] for item in video['annotations']]
            assert 1 <= len(times) <= 3
            flat = np.ravel(times)
            assert (
                (np.diff(flat) > 0).all() and flat[0] >= 0 and flat[-1] <= video['duration_second']
            )
            proposals = np.array(video['proposals'])
            assert proposals.shape == (6, 3) and (proposals[:, 0] < proposals[:, 1]).all()
            assert proposals.min() >= 0 and proposals.max() <= 1


def test_coverage_is_the_share_of_each_step():
    segments = np.array([[0.05, 0.33], [0.5, 0.95]])
    fine = (np.arange(100_000) + 0.5) / 100_000
    inside = ((fine > 0.05) & (fine < 0.33)) | ((fine > 0.5) & (fine < 0.95))
    expected = inside.reshape(10, -1).mean(axis=1)
    np.testing.assert_allclose(generate_features.coverage(segments, 10), expected, atol=1e-3)


def test_flow_tells_actions_better_than_rgb():
    rng = np.random.default_rng(0)
    channels, steps = 200, 100
    codes = {
        name: rng.choice([-1.0, 1.0], (5, channels)) for name in ('context', 'trace', 'motion')
    }
    actions, others = np.array([[0.2, 0.4]]), np.array([[0.6, 0.8]])
    rgb, flow = generate_features.make_features(rng, codes, actions, others, 0, steps)
    inside = np.zeros(steps, bool)
    inside[20:40] = True
    look = rgb @ codes['context'][0] / channels
    move = flow @ codes['motion'][0] / channels
    assert move[inside].min() > move[~inside].max() - 0.1 and move[inside].mean() > 0.2
    assert look[60:80].mean() > 0.15  # looks like the action, is none


def test_wrong_sizes_are_an_error(tmp_path, capsys):
    assert generate_features.main(['--out', str(tmp_path), '--steps', '0']) == 2
    assert '--steps' in capsys.readouterr().err


def test_annotations_of_the_user_are_not_replaced(tmp_path, capsys):
    size = ['--steps', 4, '--channels', 6, '--train', 1, '--val', 1]
    arguments = [str(x) for x in ['--out', tmp_path, *size]]
    mine = tmp_path / 'anno_val.json'
    mine.write_text('{"v_train0000": {}, "my_video": {}}')
    assert generate_features.main(arguments) == 2
    assert f'{mine} would be replaced' in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == [mine] and 'my_video' in mine.read_text()
    mine.unlink()
    for seed in ('1', '2'):
        assert generate_features.main([*arguments, '--seed', seed]) == 0
