"""Checkpoints that a kill cannot break and that load without running code."""

from __future__ import annotations

import os.path as osp
from collections import deque
from pathlib import Path
from typing import Any

from mmaction.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mmtad_decomp.engine.resuming import resume_from_work_dir
from mmtad_decomp.utils import checkpoint as _checkpoint  # noqa: F401  (registers the loaders)
from mmtad_decomp.utils.atomic import atomic_write, remove_temporary_files
from mmtad_decomp.utils.serialization import from_plain, to_plain


@register_backend('atomic_local', force=True)
class AtomicLocalBackend(LocalBackend):
    """MMEngine's local files, written under a temporary name and renamed when complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to ``filepath``."""
        with atomic_write(filepath) as file:
            file.write(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text to ``filepath``."""
        with atomic_write(filepath, 'w', encoding=encoding) as file:
            file.write(obj)


class _DeferredRemovals:
    """A file backend that notes removals and does them when asked to."""

    def __init__(self, backend: object) -> None:
        self._backend = backend
        self._removals: dict[str, str] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._removals[str(path)] = 'remove'

    def rmtree(self, path: str) -> None:
        self._removals[str(path)] = 'rmtree'

    def carry_out(self, keep: set[str]) -> None:
        """Remove what was noted, except for paths that have been written anew since."""
        for path, method in self._removals.items():
            if path not in keep:
                getattr(self._backend, method)(path)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook`` with six promises; its arguments are the same.

    1. At every moment ``last_checkpoint`` names a complete file: checkpoints and
       ``last_checkpoint`` are written under temporary names, flushed and renamed, and an older
       checkpoint is removed only after the newer one and ``last_checkpoint`` are complete.
       What a killed run left under temporary names is removed when training starts.
    2. ``torch.load(path, weights_only=True)`` reads every checkpoint: its content is converted to
       tensors and plain types, and back when it is loaded.
    3. Entries of ``meta`` or ``message_hub`` that have no plain form are left out with a warning;
       anywhere else they raise ``TypeError``.
    4. A ``save_best`` that no metric returns is refused before training, and a metric that is NaN
       is never the best.
    5. A training resumed where a validation was due, after an epoch or an iteration, repeats that
       validation, which its checkpoint does not know of: no result and no best checkpoint is lost.
    6. It removes files of the directory that it writes to alone. A training that is resumed in a
       copied or moved directory goes on with the latest and the best checkpoint there, and one
       that is resumed from another directory leaves that one's as it is.
    """

    backend_args: dict | None
    best_ckpt_path: str | None
    file_backend: Any
    keep_ckpt_ids: deque[int]

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        remote = '://' in str(self.out_dir)
        if self.backend_args is None and self.file_client_args is None and not remote:
            self.backend_args = dict(backend='atomic_local')
        self._training = False

    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint to resume, for MMEngine's own Runner too."""
        super().before_run(runner)
        resume_from_work_dir(runner)

    def before_train(self, runner: Runner) -> None:
        """Prepare as MMEngine does, and clear what a killed run left half-written.

        Raises:
            ValueError: If ``save_best`` names no metric of the evaluation.
        """
        super().before_train(runner)
        self._training = True
        self._find_best_here(runner)
        self._check_save_best(runner)
        if is_main_process() and isinstance(self.file_backend, AtomicLocalBackend):
            self._remove_half_written(runner)
        if is_main_process():
            self._remove_outdated_best(runner)
        self._repeat_validation(runner)

    def _remove_half_written(self, runner: Runner) -> None:
        removed = remove_temporary_files(runner.work_dir, 'last_checkpoint')
        for names in (self.filename_tmpl.format('*'), 'best_*'):
            removed += remove_temporary_files(self.out_dir, names)
        for path in removed:
            runner.logger.warning(f'Removed half-written {path} of an interrupted run')

    def _best_paths(self) -> list[str]:
        best = [getattr(self, 'best_ckpt_path', None)]
        best += getattr(self, 'best_ckpt_path_dict', {}).values()
        return [str(path) for path in best if path]

    def _here(self, path: str) -> str:
        """The file of that name in the directory of the checkpoints."""
        return self.file_backend.join_path(self.out_dir, osp.basename(path))

    def _find_best_here(self, runner: Runner) -> None:
        """Replace best checkpoints that the resumed one names by those in the own directory."""
        if not self.save_best:
            return
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = self._best_here(runner, 'best_ckpt', self.best_ckpt_path)
            return
        for key, path in self.best_ckpt_path_dict.items():
            best = self._best_here(runner, f'best_ckpt_{key}', path)
            self.best_ckpt_path_dict[key] = best

    def _best_here(self, runner: Runner, name: str, path: str | None) -> str | None:
        if not path or not self.file_backend.isfile(self._here(path)):
            return None
        runner.message_hub.update_info(name, self._here(path))
        return self._here(path)

    def _remove_outdated_best(self, runner: Runner) -> None:
        """Remove earlier best checkpoints that a run was killed before it removed them."""
        for path in map(self._here, runner.message_hub.get_info('outdated_best', [])):
            if path not in self._best_paths() and self.file_backend.isfile(path):
                self.file_backend.remove(path)

    def _repeat_validation(self, runner: Runner) -> None:
        loop = runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop):
            step, last = loop.epoch, loop.max_epochs
        elif isinstance(loop, IterBasedTrainLoop):
            step, last = loop.iter, loop.max_iters
        else:
            return
        if runner.val_loop is None or step < max(1, loop.val_begin):
            return
        loop._decide_current_val_interval()  # `dynamic_intervals`
        if step % loop.val_interval and step != last:
            return
        resumed = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))
        if self.file_backend.isfile(resumed):  # learns of a new best, as after any validation
            self.last_ckpt = resumed
        runner.val_loop.run()

    def _check_save_best(self, runner: Runner) -> None:
        """Compare ``save_best`` with the names that the metrics say they return."""
        if not self.save_best or runner.val_loop is None:
            return
        metrics = runner.val_loop.evaluator.metrics
        if not all(hasattr(metric, 'names') for metric in metrics):
            return
        known = [name for metric in metrics for name in metric.names()]
        unknown = [key for key in self.key_indicators if key not in (*known, 'auto')]
        if unknown:
            raise ValueError(
                f'default_hooks.checkpoint.save_best: {unknown[0]!r} is no metric of '
                f"`val_evaluator`; name one of {known}, or 'auto'"
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Convert the checkpoint to plain types, after other hooks have put in theirs."""
        dropped: list[str] = []
        for key, value in checkpoint.items():
            lenient = dropped if key in ('meta', 'message_hub') else None
            checkpoint[key] = to_plain(value, f'checkpoint[{key!r}]', lenient)
        if dropped:
            runner.logger.warning(
                f'Left out of the checkpoint, having no plain form: {", ".join(dropped)}'
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn plain types back into arrays and history buffers."""
        from_plain(checkpoint)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = self._add_to_kept(runner, step)
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            with atomic_write(osp.join(runner.work_dir, 'last_checkpoint'), 'w') as file:
                file.write(self.last_ckpt)
            for old in outdated:
                path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old))
                if self.file_backend.isfile(path):
                    self.file_backend.remove(path)
        if outdated:
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))

    def _add_to_kept(self, runner: Runner, step: int) -> list[int]:
        """Note a step among those kept; returns the steps that it pushes out.

        The checkpoint about to be written still lists these, so that a run killed before their
        removal removes them when it resumes.
        """
        if self.max_keep_ckpts <= 0:
            return []
        steps = [*(kept for kept in self.keep_ckpt_ids if kept != step), step]
        runner.message_hub.update_info('keep_ckpt_ids', steps)
        self.keep_ckpt_ids = deque(steps, self.max_keep_ckpts)
        return steps[: -self.max_keep_ckpts]

    def _publish_model(self, runner: Runner, ckpt_path: str | None) -> None:
        if ckpt_path is not None:  # of several `save_best`, one may have had no number yet
            super()._publish_model(runner, ckpt_path)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self._training:  # `Runner.val()` alone.
            return
        # In the checkpoint that learns of a new best, for a run that resumes from it.
        runner.message_hub.update_info('outdated_best', self._best_paths())
        backend = self.file_backend
        self.file_backend = deferred = _DeferredRemovals(backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        deferred.carry_out(keep={*self._best_paths(), str(self.last_ckpt)})
