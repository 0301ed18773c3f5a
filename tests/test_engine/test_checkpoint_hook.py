"""SafeCheckpointHook: content, resuming, order of writing and removing, and kills."""

import logging
import multiprocessing
import multiprocessing.forkserver
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_runner import RisingMetric, build, final_state, train, train_and_die
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

from mmtad_decomp.engine.concise_runner import ConciseRunner
from mmtad_decomp.engine.hooks import safe_checkpoint_hook as hook_module

BALLAST = 500_000  # float32: a file of 4 MB with EMA


def names(folder):
    return {path.name for path in Path(folder).iterdir() if path.suffix == '.pth'}


def load(path):
    return torch.load(path, weights_only=True)


def assert_equal(actual, expected):
    """Compare nested states exactly."""
    assert type(actual) is type(expected)
    if isinstance(expected, torch.Tensor):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key in expected:
            assert_equal(actual[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected):
            assert_equal(a, b)
    else:
        assert actual == expected


def test_every_checkpoint_loads_as_weights_only(tmp_path):
    build(tmp_path, 3, save_best='tiny/acc').train()
    expected = {'epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth', 'best_tiny_acc_epoch_3.pth'}
    assert names(tmp_path) == expected
    for name in expected:
        assert 'state_dict' in load(tmp_path / name)
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_3.pth')
    assert load(tmp_path / 'epoch_3.pth')['message_hub']['runtime_info']['best_score'] == 3


class StopHook(Hook):
    """Interrupts training in the middle of the third epoch."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 7:
            raise KeyboardInterrupt


@pytest.mark.parametrize('workers', [0, 1])
def test_resumed_training_equals_uninterrupted(tmp_path, workers):
    straight = build(tmp_path / 'straight', 4, workers=workers)
    straight.train()
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / 'parts', 4, extra_hooks=[StopHook()], workers=workers).train()
    resumed = build(tmp_path / 'parts', 4, resume=True, workers=workers)
    resumed.train()
    assert_equal(final_state(resumed), final_state(straight))
    assert resumed.iter == 12


def test_message_hub_comes_back_as_history_buffers(tmp_path):
    first = build(tmp_path, 2, ema=False)
    first.train()
    resumed = build(tmp_path, 2, resume=True, ema=False)
    resumed.load_or_resume()
    before = first.message_hub.get_scalar('train/loss')
    after = resumed.message_hub.get_scalar('train/loss')
    assert isinstance(after, HistoryBuffer)
    np.testing.assert_array_equal(after.data, before.data)


class OddHook(Hook):
    """Puts arrays and an object without plain form into the checkpoint."""

    def __init__(self, key='message_hub'):
        self.key = key

    def before_save_checkpoint(self, runner, checkpoint):
        place = checkpoint.setdefault(self.key, {})
        place['runtime_info' if self.key == 'message_hub' else 'x'] = dict(
            grid=np.arange(3, dtype=np.int16), names=np.array(['a', 'b']), odd=logging.Formatter()
        )


def test_arrays_come_back_and_odd_objects_are_left_out(tmp_path):
    runner = build(tmp_path, 1, extra_hooks=[OddHook()])
    warned = []
    runner.logger.warning = warned.append
    runner.train()
    assert any("['odd']" in text for text in warned)
    checkpoint = build(tmp_path, 1, ema=False).load_checkpoint(str(tmp_path / 'epoch_1.pth'))
    info = checkpoint['message_hub']['runtime_info']
    assert info['grid'].dtype == np.int16 and info['grid'].tolist() == [0, 1, 2]
    assert info['names'].tolist() == ['a', 'b'] and set(info) == {'grid', 'names'}


def test_odd_objects_elsewhere_are_an_error(tmp_path):
    runner = build(tmp_path, 1, extra_hooks=[OddHook('my_hook')])
    with pytest.raises(TypeError, match=r"checkpoint\['my_hook'\].*logging.Formatter"):
        runner.train()


@pytest.mark.parametrize('options', [dict(max_keep_ckpts=2), dict(save_begin=2), dict()])
@pytest.mark.parametrize('save_best', [None, 'tiny/acc'])
def test_keeps_the_same_files_as_mmengine(tmp_path, options, save_best):
    build(tmp_path / 'safe', 3, save_best=save_best, **options).train()
    other = build(tmp_path / 'plain', 3)
    other._hooks.pop()
    other.register_hook(CheckpointHook(**dict(interval=1, save_best=save_best) | options))
    other.train()
    assert names(tmp_path / 'safe') == names(tmp_path / 'plain')
    last = [(tmp_path / kind / 'last_checkpoint').read_text() for kind in ('safe', 'plain')]
    assert Path(last[0]).name == Path(last[1]).name


def test_by_iteration(tmp_path):
    build(tmp_path, 1, by_epoch=False, max_keep_ckpts=1).train()
    assert names(tmp_path) == {'iter_3.pth'}


def test_old_checkpoints_go_only_after_the_new_ones(tmp_path, monkeypatch):
    """When anything is removed, ``last_checkpoint`` already names a complete newer file."""
    from mmengine.fileio import LocalBackend

    removed, remove = [], LocalBackend.remove

    def checked(self, path):
        last = Path((tmp_path / 'last_checkpoint').read_text())
        assert last != Path(path)
        assert load(last)['meta']['epoch'] > load(path)['meta']['epoch']
        best = load(last)['message_hub']['runtime_info'].get('best_ckpt')
        if 'best' in Path(path).name:
            assert best != path and load(best)
        removed.append(Path(path).name)
        remove(self, path)

    monkeypatch.setattr(LocalBackend, 'remove', checked)
    build(tmp_path, 3, max_keep_ckpts=1, save_best='tiny/acc').train()
    bests = ['best_tiny_acc_epoch_1.pth', 'best_tiny_acc_epoch_2.pth']
    assert sorted(removed) == [*bests, 'epoch_1.pth', 'epoch_2.pth']


@pytest.mark.parametrize('killed_at', [1, 2, 3])
@pytest.mark.parametrize('epochs', [3, 4])
def test_a_run_killed_before_it_removes_the_last_best_does_so_later(
    tmp_path, monkeypatch, killed_at, epochs
):
    carry_out, calls = hook_module._DeferredRemovals.carry_out, []

    def killed(self, keep):
        calls.append(keep)
        if len(calls) == killed_at:
            raise KeyboardInterrupt
        carry_out(self, keep)

    monkeypatch.setattr(hook_module._DeferredRemovals, 'carry_out', killed)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, epochs, save_best='tiny/acc').train()
    monkeypatch.undo()
    # The metric starts at 1 again, so validations after the resume are no better.
    build(tmp_path, epochs, save_best='tiny/acc', resume=True).train()
    last = load(tmp_path / f'epoch_{epochs}.pth')['message_hub']['runtime_info']
    best = {name for name in names(tmp_path) if name.startswith('best')}
    assert best == {Path(last['best_ckpt']).name}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


class SecondMetric(RisingMetric):
    default_prefix = 'second'


@pytest.mark.parametrize('save_best', ['tiny/acc', ['tiny/acc', 'second/acc']])
def test_a_training_resumed_in_a_copy_leaves_the_original_alone(tmp_path, save_best):
    """It reads the copy's checkpoint, and replaces the copy's best."""
    one, copy = tmp_path / 'one', tmp_path / 'copy'
    settings = dict(save_best=save_best, rule='greater', runner=ConciseRunner, ema=False)

    def start(*args, **more):
        runner = build(*args, **settings, **more)
        SecondMetric.calls = 0
        runner.val_loop.evaluator.metrics.append(SecondMetric())
        return runner

    start(one, 2).train()
    shutil.copytree(one, copy)
    (one / 'epoch_2.pth').write_bytes(b'reading this fails')
    before = contents(one)
    resumed = start(copy, 3, resume=True)
    RisingMetric.calls = SecondMetric.calls = 5  # better than before
    resumed.train()
    assert contents(one) == before
    keys = [save_best] if isinstance(save_best, str) else save_best
    best = {f'best_{key.replace("/", "_")}_epoch_3.pth' for key in keys}
    assert names(copy) == {'epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth', *best}


def test_a_best_checkpoint_is_found_in_a_copy_that_gets_no_better(tmp_path):
    """So that the next resume, and whoever reads the checkpoint, find it."""
    build(tmp_path / 'one', 2, save_best='tiny/acc', runner=ConciseRunner).train()
    shutil.copytree(tmp_path / 'one', tmp_path / 'copy')
    build(tmp_path / 'copy', 3, resume=True, save_best='tiny/acc', runner=ConciseRunner).train()
    info = load(tmp_path / 'copy' / 'epoch_3.pth')['message_hub']['runtime_info']
    assert info['best_ckpt'] == str(tmp_path / 'copy' / 'best_tiny_acc_epoch_2.pth')


@pytest.mark.parametrize('runner', [Runner, ConciseRunner])
def test_a_training_goes_on_after_its_directory_is_moved(tmp_path, runner):
    settings = dict(save_best='tiny/acc', runner=runner)
    build(tmp_path / 'one', 2, **settings).train()
    (tmp_path / 'one').rename(tmp_path / 'moved')
    resumed = build(tmp_path / 'moved', 3, resume=True, **settings)
    RisingMetric.calls = 5
    resumed.train()
    assert resumed.iter == 9 and not (tmp_path / 'one').exists()
    every = {'epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth', 'best_tiny_acc_epoch_3.pth'}
    assert names(tmp_path / 'moved') == every


def test_resuming_from_another_directory_removes_nothing_there(tmp_path):
    build(tmp_path / 'one', 2, save_best='tiny/acc').train()
    last = str(tmp_path / 'one' / 'epoch_2.pth')
    outdated = load(last)['message_hub']['runtime_info']['outdated_best']
    Path(*outdated).write_bytes(b'left by a kill')
    before = contents(tmp_path / 'one')
    resumed = build(tmp_path / 'new', 3, resume=True, load_from=last, save_best='tiny/acc')
    RisingMetric.calls = 5
    resumed.train()
    assert contents(tmp_path / 'one') == before
    assert names(tmp_path / 'new') == {'epoch_3.pth', 'best_tiny_acc_epoch_3.pth'}


def test_an_outdated_best_is_removed_from_the_copy(tmp_path):
    """A kill left it in the original, which was copied."""
    build(tmp_path / 'one', 2, save_best='tiny/acc').train()
    (tmp_path / 'one' / 'best_tiny_acc_epoch_1.pth').write_bytes(b'left by a kill')
    shutil.copytree(tmp_path / 'one', tmp_path / 'copy')
    settings = dict(save_best='tiny/acc', runner=ConciseRunner)
    build(tmp_path / 'copy', 2, resume=True, **settings).train()
    assert 'best_tiny_acc_epoch_1.pth' in names(tmp_path / 'one')
    assert 'best_tiny_acc_epoch_1.pth' not in names(tmp_path / 'copy')


def test_leftover_temporary_files_are_cleared(tmp_path):
    for name in ('.epoch_9.pth.77-aa.tmp', '.last_checkpoint.77-aa.tmp', '.other.77-aa.tmp'):
        (tmp_path / name).write_bytes(b'half')
    runner = build(tmp_path, 1, resume=True)
    runner.train()
    assert [path.name for path in tmp_path.glob('.*')] == ['.other.77-aa.tmp']
    assert names(tmp_path) == {'epoch_1.pth'}


@pytest.fixture(scope='module')
def server():
    """Processes that start from one with everything imported."""
    context = multiprocessing.get_context('forkserver')
    here = Path(__file__).resolve().parent
    with pytest.MonkeyPatch.context() as patch:
        # The server of Python 3.11 does not take over sys.path before it imports.
        patch.setenv('PYTHONPATH', os.pathsep.join([str(here), str(here.parents[1])]))
        context.set_forkserver_preload(['checkpoint_runner'])
        multiprocessing.forkserver.ensure_running()
    return context


def run(server, target, *args):
    process = server.Process(target=target, args=args)
    process.start()
    return process


def check_folder(folder):
    """``last_checkpoint``, if there, names a complete file; so does every final name."""
    pointer = folder / 'last_checkpoint'
    for name in names(folder):
        assert load(folder / name)['meta']['epoch'] >= 1
    if pointer.exists():
        assert Path(pointer.read_text()).name in names(folder)


def wait_for_first_file(process, folder):
    """Returns once the process has put something new into the folder, or has ended."""
    before, deadline = len(list(folder.iterdir())), time.monotonic() + 60
    while process.is_alive() and len(list(folder.iterdir())) <= before:
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture(scope='module')
def uninterrupted(server, tmp_path_factory):
    """Final state of a run that was left alone, and its seconds from the first file on."""
    folder = tmp_path_factory.mktemp('uninterrupted')
    process = run(server, train, str(folder), BALLAST)
    wait_for_first_file(process, folder)
    start = time.monotonic()
    process.join(120)
    assert process.exitcode == 0
    return load(folder / 'final.pt'), time.monotonic() - start


@pytest.mark.slow
def test_a_kill_before_any_rename_or_removal(server, uninterrupted, tmp_path):
    """Dies before each rename and removal of a run in turn, resuming from the same folder."""
    deaths = 0
    for kill_at in (1, 2, 3, 4, 5, 6, 7, 5, 6):
        process = run(server, train_and_die, str(tmp_path), kill_at, 1000)
        process.join(120)
        check_folder(tmp_path)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        deaths += 1
    assert deaths >= 5
    process = run(server, train, str(tmp_path), 1000)
    process.join(120)
    assert process.exitcode == 0
    assert load(tmp_path / 'final.pt')['progress'] == uninterrupted[0]['progress']


@pytest.mark.slow
def test_kills_at_random_moments(server, uninterrupted, tmp_path):
    """SIGKILL over and over; the run ends in the state of one that was left alone."""
    state, seconds = uninterrupted
    rng, kills = random.Random(0), 0
    for _ in range(6):
        process = run(server, train, str(tmp_path), BALLAST)
        wait_for_first_file(process, tmp_path)
        process.join(rng.uniform(0.0, 0.35 * seconds))
        kills += process.is_alive()
        process.kill()
        process.join()
        check_folder(tmp_path)
    process = run(server, train, str(tmp_path), BALLAST)
    process.join(120)
    assert process.exitcode == 0 and kills >= 2
    final = load(tmp_path / 'final.pt')
    assert_equal(final, state)
    leftovers = [path.name for path in tmp_path.glob('.*.tmp')]
    assert not leftovers
    assert {name for name in names(tmp_path) if name.startswith('epoch')} == {'epoch_4.pth'}


def test_a_metric_of_nan_is_never_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr(RisingMetric, 'compute_metrics', lambda *_: dict(acc=float('nan')))
    build(tmp_path, 2, save_best='tiny/acc').train()
    assert names(tmp_path) == {'epoch_1.pth', 'epoch_2.pth'}


@pytest.mark.parametrize('published', [None, ['state_dict']])
def test_one_of_two_metrics_may_never_have_a_best(tmp_path, monkeypatch, published):
    """It is NaN in the first training, and a number after the resume."""
    keys = ['tiny/acc', 'second/acc']
    settings = dict(save_best=keys, rule='greater', published_keys=published, ema=False)

    def start(epochs, **more):
        runner = build(tmp_path, epochs, **settings, **more)
        runner.val_loop.evaluator.metrics.append(SecondMetric())
        return runner

    def final(start_of_name):
        found = {name for name in names(tmp_path) if name.startswith(start_of_name)}
        return {name.partition('-')[0].removesuffix('.pth') for name in found}

    monkeypatch.setattr(SecondMetric, 'compute_metrics', lambda *_: dict(acc=float('nan')))
    start(2).train()
    assert final('best') == {'best_tiny_acc_epoch_2'}
    assert any('-' in name for name in names(tmp_path)) == (published is not None)
    monkeypatch.setattr(SecondMetric, 'compute_metrics', lambda *_: dict(acc=0.5))
    start(3, resume=True).train()
    assert 'best_second_acc_epoch_2' in final('best_second')


def test_a_wrong_name_of_the_best_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(RisingMetric, 'names', lambda _: ['tiny/acc'], raising=False)
    with pytest.raises(ValueError, match=r"save_best: 'tiny/mAP' .*\['tiny/acc'\]"):
        build(tmp_path, 1, save_best='tiny/mAP', rule='greater').train()
    assert names(tmp_path) == set()


def test_validation_alone_saves_nothing(tmp_path):
    assert build(tmp_path, 1, save_best='tiny/acc').val() == {'tiny/acc': 1.0}
    assert names(tmp_path) == set()


def test_resuming_a_finished_training_does_nothing(tmp_path):
    build(tmp_path, 2).train()
    runner = build(tmp_path, 2, resume=True)
    runner.train()
    assert runner.epoch == 2 and names(tmp_path) == {'epoch_1.pth', 'epoch_2.pth'}


@pytest.mark.parametrize(
    'loop, step',
    [
        (dict(by_epoch=True, max_epochs=2, val_interval=1), 'epoch'),
        (dict(by_epoch=False, max_iters=2, val_interval=1), 'iter'),
        (
            dict(by_epoch=True, max_epochs=3, val_interval=10, dynamic_intervals=[(2, 1)]),
            'epoch',
        ),
    ],
)
def test_a_validation_that_a_kill_cut_off_is_made_up_for(tmp_path, monkeypatch, loop, step):
    """Training ends in the middle of the second validation, after the checkpoint before it."""
    settings = dict(train_cfg=loop, by_epoch=loop['by_epoch'], save_best='tiny/acc')

    class Killed(BaseException):
        pass

    def die(self, results):
        if RisingMetric.calls == 1:
            raise Killed
        return compute(self, results)

    compute = RisingMetric.compute_metrics
    monkeypatch.setattr(RisingMetric, 'compute_metrics', die)
    with pytest.raises(Killed):
        build(tmp_path, 2, **settings).train()
    written = {f'{step}_1.pth', f'{step}_2.pth'}
    assert names(tmp_path) == {*written, f'best_tiny_acc_{step}_1.pth'}
    monkeypatch.setattr(RisingMetric, 'compute_metrics', lambda *_: dict(acc=7.0))
    build(tmp_path, 2, resume=True, **settings).train()
    best = f'best_tiny_acc_{step}_2.pth'
    assert names(tmp_path) - {'epoch_3.pth'} == {*written, best}
    info = load(tmp_path / f'{step}_2.pth')['message_hub']['runtime_info']
    assert info['best_score'] == 7.0 and info['best_ckpt'] == str(tmp_path / best)
