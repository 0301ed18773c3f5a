"""tools/train.py and tools/test.py on tiny videos, their messages, kills and processes."""

import json
import os
import pickle
import platform
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tiny_training import ROOT, config, options, write_videos

from mmtad_decomp.evaluation.metrics import TADMetric
from mmtad_decomp.postprocessing import RawPredictions
from mmtad_decomp.utils import (
    CheckpointError,
    ConfigError,
    OutputPathError,
    WorkDirInUseError,
    WorkDirLock,
)
from tools import test as test_tool
from tools import train as train_tool
from tools._cli import load_config


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp('tiny') / 'data')


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
    """A folder in which the baseline was trained for one epoch, into its default work dir."""
    folder, before = tmp_path_factory.mktemp('run'), os.getcwd()
    os.chdir(folder)
    try:
        train_tool.main([config('baseline'), '--resume', *options(data)])
    finally:
        os.chdir(before)
    return folder


def work_dir(folder, kind='baseline'):
    return folder / 'work_dirs' / kind / Path(config(kind)).stem


def epoch_of(path):
    return torch.load(path, weights_only=True)['meta']['epoch']


def test_training_writes_to_the_default_work_dir(trained):
    last = Path((work_dir(trained) / 'last_checkpoint').read_text())
    assert last.name == 'epoch_1.pth'
    assert epoch_of(work_dir(trained) / 'epoch_1.pth') == 1


def test_a_training_with_nothing_to_resume_says_so(trained):
    text = min(work_dir(trained).glob('*/*.log')).read_text()
    assert re.search(r'nothing to resume in \S+baseline\S+: training starts anew', text)
    assert 'Auto resumed' not in text


def test_precision_threads_and_memory_are_logged(trained):
    (log,) = work_dir(trained).glob('*/*.log')
    text = log.read_text()
    assert re.search(r'\d+ threads on \S+', text)
    assert 'training in ' in text and 'validation in ' in text
    assert platform.libc_ver()[0] != 'glibc' or 'malloc: ' in text


@pytest.fixture(scope='module')
def first_screen(data, tmp_path_factory):
    """What a training writes to the screen and to its log, and its work directory."""
    folder = tmp_path_factory.mktemp('screen')
    arguments = [config('baseline'), '--work-dir', folder, '--cfg-options', *options(data)[1:]]
    result = subprocess.run(**command(*arguments), timeout=300, text=True)
    assert result.returncode == 0, result.stdout[-2000:]
    (log,) = folder.glob('*/*.log')
    return result.stdout, log.read_text(), folder


def test_a_run_starts_with_five_lines(first_screen):
    screen, _, folder = first_screen
    summary = [
        rf'config: {re.escape(config("baseline"))}',
        r'data: train: .*annotations\.json \[training\]: 2 videos, 2 instances; \d+ windows.*'
        r'; val: .*annotations\.json \[validation\]: 1 videos, 1 instances; 2 windows',
        r'model: TADDetector, \d+\.\d\d M parameters, \d+\.\d\d M of them trained',
        r'device: cpu, 1 threads on .+; train in \w+, val in \w+',
        rf'work directory: {re.escape(str(folder))}',
    ]
    prefix = r'[^\n]* - mmengine - [^\n]*INFO[^\n]* - '
    assert re.search(''.join(f'{prefix}{line}\n' for line in summary), screen), screen[:4000]
    before = screen[: screen.index('config: ')]
    assert before.count('\n') < 10, before


def test_listings_go_to_the_log_file_only(first_screen):
    screen, log, folder = first_screen
    for listing in ('Config:\n', 'Hooks will be executed', 'System environment:'):
        assert listing in log and listing not in screen
    assert 'Epoch(train) [1][' in screen and 'Epoch(train) [1][' in log
    assert (folder / Path(config('baseline')).name).is_file()


def test_known_notices_of_others_are_silent(first_screen):
    for notice in ('FileClient', 'HardDiskBackend', 'MultiScaleDeformableAttention'):
        assert notice not in first_screen[0]


def test_a_seed_gives_the_same_weights_twice(data, tmp_path):
    states = []
    for folder in (tmp_path / 'one', tmp_path / 'two'):
        train_tool.main(
            [config('baseline'), '--seed', '3', '--work-dir', str(folder), *options(data)]
        )
        states.append(torch.load(folder / 'epoch_1.pth', weights_only=True)['state_dict'])
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


def test_resume_goes_on_from_the_last_epoch(trained, data, monkeypatch):
    monkeypatch.chdir(trained)
    train_tool.main([config('baseline'), '--resume', *options(data, epochs=2)])
    assert epoch_of(work_dir(trained) / 'epoch_2.pth') == 2
    logs = sorted(work_dir(trained).glob('*/*.log'), key=lambda path: path.stat().st_mtime)
    text = logs[-1].read_text()
    assert 'Auto resumed from the latest checkpoint' in text
    assert 'Epoch(train) [2]' in text and 'Epoch(train) [1]' not in text


def test_testing_dumps_and_reports(trained, data, tmp_path):
    raw, submission = tmp_path / 'raw.pkl', tmp_path / 'submission.json'
    candidates = tmp_path / 'candidates.npz'
    flags = ['--dump', str(raw), '--dump-json', str(submission), '--classwise']
    flags += ['--dump-raw', str(candidates)]
    flags += ['--work-dir', str(tmp_path / 'test')]
    metrics = test_tool.main([config('baseline'), str(work_dir(trained)), *flags, *options(data)])
    assert {'tad/mAP', 'tad/mAP@0.5', 'tad/AP_shake'} <= set(metrics)
    results = json.loads(submission.read_text())['results']
    assert set(results) == {'v2'} and set(results['v2'][0]) == {'segment', 'score', 'label'}
    windows = pickle.loads(raw.read_bytes())
    assert len(windows) == 2
    assert all(len(window['pred_instances']['scores']) for window in windows)
    with RawPredictions(candidates) as saved:
        assert 'v2' in saved and 'v1' not in saved


@pytest.mark.parametrize(
    'option, message',
    [
        (
            'train_dataloder.batch_size=1',
            r'synthetic\.py: .*`train_dataloder`.*`train_dataloader\.batch_size`',
        ),
        (
            'model.head.num_clases=3',
            r'synthetic\.py: .*`model\.head\.num_clases` of ActionFormerHead.*`num_classes`',
        ),
        ('test_evaluator.classwize=True', r'`test_evaluator\.classwize`.*`classwise`'),
        ('optim_wrapper.optimizer.weight_decy=0', r'`optim_wrapper.*weight_decy`.*`weight_decay`'),
    ],
)
def test_misspelt_keys_are_named_with_a_suggestion(option, message):
    with pytest.raises(ConfigError, match=message):
        load_config(train_tool.parse_args([config('baseline'), '--cfg-options', option]))


def test_a_misspelt_key_below_a_default_is_named_with_its_place(data, tmp_path):
    arguments = [config('baseline'), '--work-dir', str(tmp_path), *options(data)]
    arguments.append('model.head.encoder.embed_dim=8')
    with pytest.raises(
        ConfigError, match=r'embed_dims`.*\(key `model\.head\.encoder\.embed_dim`\)'
    ):
        train_tool.main(arguments)


def test_a_base_config_is_no_config():
    base = str(ROOT / 'configs/_base_/datasets/synthetic_videos.py')
    with pytest.raises(ConfigError, match='key `model` is missing'):
        load_config(train_tool.parse_args([base]))


def test_a_missing_checkpoint_is_named(data, tmp_path):
    for main in (
        lambda: test_tool.main([config('baseline'), str(tmp_path / 'no.pth'), *options(data)]),
        lambda: train_tool.main(
            [config('baseline'), '--resume', str(tmp_path / 'no.pth'), *options(data)]
        ),
    ):
        with pytest.raises(FileNotFoundError, match=r'no\.pth does not exist.*train the model'):
            main()


def test_a_missing_teacher_stops_training(data, tmp_path):
    flags = ['--work-dir', str(tmp_path), *options(data)]
    flags.append(f'model.teacher_checkpoint={tmp_path / "teacher"}')
    with pytest.raises(FileNotFoundError, match=r'teacher does not exist.*train the model'):
        train_tool.main([config('decomp'), *flags])


@pytest.mark.parametrize('same', [True, False])
def test_weights_that_fit_another_network_are_a_warning(trained, data, tmp_path, same):
    key = 'model.head.encoder.window_size'
    flags = ['--work-dir', str(tmp_path), *options(data), *([] if same else [f'{key}=3'])]
    test_tool.main([config('baseline'), str(work_dir(trained)), *flags])
    (log,) = tmp_path.rglob('*.log')
    warned = re.search(
        rf'was trained with another network than that of .*: {key} was \d+ and is 3; add '
        rf'--cfg-options {key}=\d+, or give',
        log.read_text(),
    )
    assert (warned is None) == same


def test_only_trainings_replace_the_config_of_the_work_directory(trained, data, tmp_path):
    run = tmp_path / 'run'
    shutil.copytree(work_dir(trained), run)
    written = run / Path(config('baseline')).name
    before, key = written.read_text(), 'model.head.encoder.window_size'
    flags = ['--work-dir', str(run), *options(data)]
    test_tool.main([config('baseline'), str(run), *flags, f'{key}=3'])
    with pytest.raises(CheckpointError, match='does not fit'):
        train_tool.main(
            [config('baseline'), '--resume', *flags, 'model.head.encoder.num_stem_layers=2']
        )
    assert written.read_text() == before
    train_tool.main([config('baseline'), '--resume', *flags, f'{key}=3'])
    assert written.read_text() != before
    assert Config.fromfile(written).model.head.encoder.window_size == 3


def test_a_checkpoint_of_another_model_is_refused(trained, data, tmp_path):
    flags = ['--work-dir', str(tmp_path), *options(data)]
    with pytest.raises(CheckpointError, match=r'does not fit the model of .*decomp'):
        test_tool.main([config('decomp'), str(work_dir(trained)), *flags])
    another = 'model.head.encoder.num_stem_layers=2'
    with pytest.raises(CheckpointError, match=r'does not fit .*baseline.*; resume it with'):
        train_tool.main([config('baseline'), '--resume', str(work_dir(trained)), *flags, another])
    # MMAction2's own train.py builds MMEngine's Runner.
    flags = ['--resume', str(work_dir(trained)), '--work-dir', str(tmp_path), *options(data)]
    args = train_tool.parse_args([config('baseline'), *flags, another])
    runner = Runner.from_cfg(train_tool.merge_args(load_config(args), args))
    with pytest.raises(CheckpointError, match=r'does not fit .*baseline.*; resume it with'):
        runner.train()


def test_a_flexible_runner_refuses_a_checkpoint_of_another_model(trained, data, tmp_path):
    flags = ['--work-dir', str(tmp_path), *options(data), 'runner_type=FlexibleRunner']
    flags.append('model.head.encoder.num_stem_layers=2')
    with pytest.raises(CheckpointError, match=r'does not fit .*baseline.*; test it with'):
        test_tool.main([config('baseline'), str(work_dir(trained)), *flags])
    with pytest.raises(CheckpointError, match=r'does not fit .*baseline.*; resume it with'):
        train_tool.main([config('baseline'), '--resume', str(work_dir(trained)), *flags])


def test_a_checkpoint_of_another_input_is_refused(trained, data, tmp_path):
    flags = ['--work-dir', str(tmp_path), *options(data)]
    with pytest.raises(ValueError, match=r'trained with RGBInput, .*TemporalGradientInput: test'):
        test_tool.main([config('teacher'), str(work_dir(trained)), *flags])


def test_averaged_weights_are_tested(data, tmp_path):
    """EMAHook swaps weights while a checkpoint is loaded, and needs the run to have begun."""
    path = tmp_path / 'averaged.py'
    path.write_text(f"_base_ = '{config('baseline')}'\ncustom_hooks = [dict(type='EMAHook')]\n")
    flags = ['--work-dir', str(tmp_path / 'work'), *options(data)]
    train_tool.main([str(path), *flags])
    metrics = test_tool.main([str(path), str(tmp_path / 'work'), *flags])
    assert 'tad/mAP' in metrics


def merged(*flags):
    args = train_tool.parse_args([config('baseline'), *flags])
    return train_tool.merge_args(load_config(args), args)


PLAIN = ('--cfg-options', 'optim_wrapper.type=OptimWrapper')


def amp_of(*options):
    wrapper = merged('--amp', *options).optim_wrapper
    return wrapper.type, wrapper.dtype


def test_amp_on_a_cpu_is_bfloat16():
    assert merged().optim_wrapper.get('dtype', 'auto') == 'auto'
    assert merged(*PLAIN).optim_wrapper.type == 'OptimWrapper'
    assert amp_of() == amp_of(*PLAIN) == ('mmaction.AutocastOptimWrapper', 'bfloat16')
    assert amp_of('--cfg-options', 'optim_wrapper.dtype=auto')[1] == 'bfloat16'


@pytest.mark.parametrize('capability, dtype', [((7, 5), 'float16'), ((8, 0), 'bfloat16')])
def test_amp_on_a_gpu(capability, dtype, monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: capability)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'Some GPU')
    assert amp_of() == amp_of(*PLAIN) == ('mmaction.AutocastOptimWrapper', dtype)
    for explicit in ('float16', 'bfloat16'):
        assert amp_of('--cfg-options', f'optim_wrapper.dtype={explicit}')[1] == explicit


def test_flags_of_training():
    cfg = merged('--seed', '5', '--deterministic', '--no-validate', '--auto-scale-lr')
    assert cfg.randomness == dict(seed=5, deterministic=True)
    assert cfg.val_dataloader is None and cfg.auto_scale_lr.enable
    assert not merged().get('resume') and merged('--resume').resume


def test_first_weights_count_until_there_is_something_to_resume(tmp_path):
    first = ['--work-dir', str(tmp_path), '--cfg-options', 'load_from=first.pth']
    cfg = merged('--resume', *first)
    assert not cfg.resume and cfg.load_from == 'first.pth'
    (tmp_path / 'epoch_1.pth').touch()
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_1.pth')
    cfg = merged('--resume', *first)
    assert cfg.resume and cfg.load_from is None  # MMEngine's way to say the latest one
    cfg = merged('--resume', str(tmp_path), *first)
    assert cfg.resume and cfg.load_from == str(tmp_path / 'epoch_1.pth')


def test_auto_scale_lr_needs_a_base(tmp_path):
    path = tmp_path / 'plain.py'
    path.write_text("model = dict(type='TADDetector')\noptim_wrapper = dict()\n")
    args = train_tool.parse_args([str(path), '--auto-scale-lr'])
    with pytest.raises(ConfigError, match=r'auto_scale_lr\.base_batch_size'):
        train_tool.merge_args(load_config(args), args)


def test_a_finished_training_resumes_to_nothing(trained, data, monkeypatch):
    monkeypatch.chdir(trained)
    last = Path((work_dir(trained) / 'last_checkpoint').read_text())
    train_tool.main([config('baseline'), '--resume', *options(data, epochs=epoch_of(last))])
    assert (work_dir(trained) / 'last_checkpoint').read_text() == str(last)


def test_no_workers_load_in_the_main_process():
    loaders = ('train_dataloader', 'val_dataloader', 'test_dataloader')
    cfg = merged('--cfg-options', *(f'{loader}.num_workers=0' for loader in loaders))
    for loader in loaders:
        assert merged()[loader].persistent_workers and not cfg[loader].persistent_workers


@pytest.mark.parametrize('flag', ['--dump', '--dump-json', '--dump-raw'])
def test_outputs_that_cannot_be_written_stop_the_test_before_it_begins(flag, tmp_path):
    (tmp_path / 'file').touch()
    path = str(tmp_path / 'file' / f'x{dict(dump=".pkl").get(flag[2:], ".npz")}')
    args = test_tool.parse_args([config('baseline'), 'x.pth', flag, path])
    with pytest.raises(OutputPathError, match=rf'{flag} .*is no folder'):
        test_tool.merge_args(load_config(args), args)


@pytest.mark.parametrize(
    'flag', [['--dump-json', 'x.json'], ['--dump-raw', 'x.npz'], ['--classwise']]
)
def test_flags_that_no_metric_takes_are_refused(flag, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(ROOT / 'configs/mixin/bmn_activitynet_baseline.py')
    args = test_tool.parse_args([path, 'x.pth', *flag])
    message = rf'{flag[0]} has no effect.*bmn_activitynet_baseline\.py is LocalizerProposalMetric'
    with pytest.raises(ConfigError, match=message):
        test_tool.merge_args(load_config(args), args)


def test_flags_go_to_the_metrics_that_take_them():
    args = ['c.py', 'x.pth', '--dump-json', 'x.json', '--dump-raw', 'x.npz']
    written = dict(dump_path='x.json', raw_path='x.npz')
    proposals, both = (
        [dict(type='ProposalMetric')],
        [dict(type='ProposalMetric'), dict(type=TADMetric)],
    )
    test_tool.set_flags_of_metrics(proposals, test_tool.parse_args(args))
    assert proposals == [dict(type='ProposalMetric', **written)]
    test_tool.set_flags_of_metrics(both, test_tool.parse_args([*args, '--classwise']))
    assert both == [dict(type='ProposalMetric'), dict(type=TADMetric, classwise=True, **written)]


def test_a_work_directory_in_use_is_not_shared(data, tmp_path):
    with WorkDirLock(tmp_path), pytest.raises(WorkDirInUseError, match=str(tmp_path)):
        train_tool.main([config('baseline'), '--work-dir', str(tmp_path), *options(data)])


def test_dump_must_be_a_pickle(data, tmp_path):
    args = test_tool.parse_args([config('baseline'), 'x.pth', '--dump', 'x.json'])
    with pytest.raises(ValueError, match=r'--dump must name a \.pkl file, got x\.json'):
        test_tool.merge_args(load_config(args), args)


def test_processes_without_gpus_use_gloo(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setenv('RANK', '0')
    cfg = load_config(train_tool.parse_args([config('baseline'), '--launcher', 'pytorch']))
    assert cfg.env_cfg.dist_cfg.backend == 'gloo'
    assert cfg.model_wrapper_cfg == dict(type='MMDistributedDataParallel', device_ids=None)


def command(*arguments, launcher=()):
    environment = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
    line = [sys.executable, *launcher, str(ROOT / 'tools/train.py'), *map(str, arguments)]
    return dict(args=line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.slow
def test_a_killed_training_resumes(data, tmp_path):
    arguments = [config('baseline'), '--work-dir', tmp_path, '--resume', *options(data, epochs=6)]
    with open(tmp_path / 'output.log', 'w') as log:
        process = subprocess.Popen(**{**command(*arguments), 'stdout': log})
        deadline = time.monotonic() + 240
        while not (tmp_path / 'last_checkpoint').exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(random.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
    reached = epoch_of((tmp_path / 'last_checkpoint').read_text())
    train_tool.main([str(argument) for argument in arguments])
    assert epoch_of(tmp_path / 'epoch_6.pth') == 6
    log = max(tmp_path.glob('*/*.log')).read_text()
    assert reached == 6 or f'Epoch(train) [{reached + 1}]' in log
    assert f'Epoch(train) [{reached}]' not in log


def test_a_student_of_teachers_that_left_out_other_videos(data, tmp_path):
    """The commands of the guide: the ids travel by the checkpoints."""
    folders = [str(tmp_path / f'teacher{part}') for part in range(2)]
    for part, folder in enumerate(folders):
        flags = [*options(data), f'train_dataloader.dataset.leave_out=({part},2)']
        train_tool.main([config('teacher'), '--work-dir', folder, *flags])
        meta = torch.load(f'{folder}/epoch_1.pth', weights_only=False)['meta']
        assert meta['dataset_meta']['left_out'] == [f'v{part}']
    student = [config('decomp'), '--work-dir', str(tmp_path / 'student'), *options(data)]
    with pytest.raises(ValueError, match=r"each teacher .* was trained on video 'v1'"):
        train_tool.main([*student, f'model.teacher_checkpoint=[{folders[0]},{folders[0]}]'])
    train_tool.main([*student, f'model.teacher_checkpoint=[{folders[0]},{folders[1]}]'])
    state = torch.load(tmp_path / 'student/epoch_1.pth', weights_only=True)['state_dict']
    assert all(torch.isfinite(value).all() for value in state.values())


@pytest.mark.slow
def test_two_processes_train_a_distiller(data, tmp_path):
    teacher = tmp_path / 'teacher'
    train_tool.main([config('teacher'), '--work-dir', str(teacher), *options(data)])
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        port = sock.getsockname()[1]
    launcher = ['-m', 'torch.distributed.run', '--nproc_per_node=2', f'--master_port={port}']
    arguments = [config('decomp'), '--launcher', 'pytorch', '--work-dir', tmp_path / 'student']
    arguments += [*options(data), f'model.teacher_checkpoint={teacher}']
    result = subprocess.run(**command(*arguments, launcher=launcher), timeout=400, text=True)
    assert result.returncode == 0, result.stdout[-3000:]
    assert 'loss_feature' in result.stdout and 'factor_feature' in result.stdout
    state = torch.load(tmp_path / 'student/epoch_1.pth', weights_only=True)['state_dict']
    assert not any('teacher' in key for key in state)
    assert all(torch.isfinite(value).all() for value in state.values())


def test_published_configs_keep_their_name_in_the_work_dir(tmp_path, monkeypatch):
    folder = tmp_path / 'mine'
    folder.mkdir()
    (folder / 'detector.py').write_text("model = dict(type='TADDetector')\n")
    cfg = load_config(train_tool.parse_args([str(folder / 'detector.py')]))
    assert cfg.work_dir == os.path.join('work_dirs', 'mine', 'detector')
    assert isinstance(cfg, Config)
