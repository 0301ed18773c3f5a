"""Refusing checkpoints of another model than the one that is tested or resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mmaction.registry import HOOKS
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import BaseLoop, FlexibleRunner, Runner

from mmtad_decomp.utils import CheckpointError, latest_checkpoint


@HOOKS.register_module()
class StrictLoadingHook(Hook):
    """Make a run refuse checkpoints that do not fit; MMEngine leaves what they lack at random.

    It concerns checkpoints that are tested or resumed. First weights of a training (``load_from``)
    may be of a part of the model. Weights that are missing, left over or of another shape raise a
    :class:`~mmtad_decomp.utils.CheckpointError` where the checkpoint is loaded, after the other
    hooks that take part in loading it. Weights that fit, but were trained with another network,
    such as one of another ``fusion.window``, are a warning. So is a training with an ``EMAHook``
    that is resumed without one: it goes on from the averaged weights.
    """

    def before_run(self, runner: Runner) -> None:
        """Make the run's checkpoint load strictly."""
        use = _strict_use(runner)
        if use is None or isinstance(runner, FlexibleRunner):  # which has loaded it by now
            return
        load = type(runner).load_checkpoint.__get__(runner)

        def load_strictly(filename: str, *args, **kwargs) -> dict:
            with _explained(runner, use, filename):
                content = load(filename, *args, **{**kwargs, 'strict': True})
            _warn_of_other_network(runner, content, filename)
            return content

        runner.load_checkpoint = load_strictly

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Warn of averaged weights; let a ``FlexibleRunner``, whose come next, load strictly."""
        use = _strict_use(runner)
        if use == 'resume':
            _warn_of_averaged_weights(runner, checkpoint)
        if use is None or not isinstance(runner, FlexibleRunner):
            return
        named = runner._resume if isinstance(runner._resume, str) else runner._load_from
        filename = str(named or latest_checkpoint(runner.work_dir))
        strategy = runner.strategy
        load = type(strategy).load_model_state_dict.__get__(strategy)

        def load_strictly(state_dict: dict, **kwargs) -> None:
            with _explained(runner, use, filename):
                load(state_dict, **{**kwargs, 'strict': True})

        strategy.load_model_state_dict = load_strictly
        _warn_of_other_network(runner, checkpoint, filename)


def _strict_use(runner: Runner) -> str | None:
    """What a run does with a checkpoint that has to fit; None if it may be of a part."""
    if not isinstance(runner._train_loop, BaseLoop):
        return 'test'
    return 'resume' if runner._resume else None


@contextmanager
def _explained(runner: Runner, use: str, filename: str) -> Iterator[None]:
    """Say what does not fit in terms of the config.

    Args:
        runner: The runner.
        use: What it does with the checkpoint.
        filename: The checkpoint.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, CheckpointError):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise CheckpointError(
            f'checkpoint {filename} does not fit the model of {runner.cfg.filename}; {use} it '
            f'with the config that it was trained with ({" ".join(lines[:3])[:400]})'
        ) from error


def _warn_of_other_network(runner: Runner, content: Mapping, filename: str) -> None:
    # The package of inference needs hooks.
    from mmtad_decomp.apis.publishing import other_network

    if 'model' in runner.cfg:
        warning = other_network(runner.cfg, content, filename)
        if warning:
            runner.logger.warning(warning)


def _warn_of_averaged_weights(runner: Runner, checkpoint: Mapping) -> None:
    if 'ema_state_dict' in checkpoint and not any(isinstance(h, EMAHook) for h in runner.hooks):
        runner.logger.warning(
            'the resumed checkpoint is of a training with an EMAHook, and this config has none: '
            'training goes on from the averaged weights, with the optimizer state of the others. '
            'Resume it with the config that it was trained with'
        )
