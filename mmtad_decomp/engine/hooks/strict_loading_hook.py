"""Refusing checkpoints of another model than the one that is tested or resumed."""

from __future__ import annotations

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner

from mmtad_decomp.utils import CheckpointError


@HOOKS.register_module()
class StrictLoadingHook(Hook):
    """Make a run refuse checkpoints that do not fit; MMEngine leaves what they lack at random.

    It concerns checkpoints that are tested or resumed. First weights of a training (``load_from``)
    may be of a part of the model. Weights that are missing, left over or of another shape raise a
    :class:`~mmtad_decomp.utils.CheckpointError` where the checkpoint is loaded, after the other
    hooks that take part in loading it. Weights that fit, but were trained with another network,
    such as one of another ``fusion.window``, are a warning.
    """

    def before_run(self, runner: Runner) -> None:
        """Make the run's checkpoint load strictly."""
        trains = isinstance(runner._train_loop, BaseLoop)
        if not trains or runner._resume:
            _load_strictly(runner, 'resume' if trains else 'test')


def _load_strictly(runner: Runner, use: str) -> None:
    """Replace the method of a runner that loads checkpoints.

    Args:
        runner: The runner.
        use: What it does with the checkpoint, for the message.
    """
    # The package of inference needs hooks.
    from mmtad_decomp.apis.publishing import other_network

    load = type(runner).load_checkpoint.__get__(runner)

    def load_strictly(filename: str, *args, **kwargs) -> dict:
        try:
            content = load(filename, *args, **{**kwargs, 'strict': True})
        except RuntimeError as error:
            if isinstance(error, CheckpointError):
                raise
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise CheckpointError(
                f'checkpoint {filename} does not fit the model of {runner.cfg.filename}; {use} it '
                f'with the config that it was trained with ({" ".join(lines[:3])[:400]})'
            ) from error
        if 'model' in runner.cfg:
            warning = other_network(runner.cfg, content, filename)
            if warning:
                runner.logger.warning(warning)
        return content

    runner.load_checkpoint = load_strictly
