"""Telling in words when an output of a model in training has died."""

from __future__ import annotations

from mmaction.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmtad_decomp.utils import unwrap_model

from .training_probe import TrainingProbe


class UnhealthyOutputError(RuntimeError):
    """An output of the model cannot learn any more, and the hook was told to stop then."""


@HOOKS.register_module()
class OutputHealthHook(Hook):
    """Look at a training iteration now and then, log figures and warn of what is dead.

    The figures, see :class:`.training_probe.TrainingProbe`, go to the visualizer as
    ``health/...``, hence to ``vis_data/scalars.json``. Every head whose outputs have ``signals()``
    is looked at; a localizer of MMAction2 shows its gradients alone.

    Args:
        interval: Look at every so many iterations.
        stop: Raise an error instead of warning.

    Raises:
        ValueError: If the interval is not positive.
        UnhealthyOutputError: In training, with ``stop``, when something is wrong.
    """

    priority = 'NORMAL'

    def __init__(self, interval: int = 100, stop: bool = False) -> None:
        if interval < 1:
            raise ValueError(f'OutputHealthHook: interval must be at least 1, got {interval}')
        self.interval = interval
        self.stop = stop
        self._probe: TrainingProbe | None = None
        self._known: set[str] = set()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Begin to watch, if it is the turn of this iteration."""
        if self.every_n_train_iters(runner, self.interval):
            self._probe = TrainingProbe(unwrap_model(runner.model))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Log what was seen, and warn of what was not wrong the last time."""
        if self._probe is None:
            return
        figures, problems = self._probe.finish()
        self._probe = None
        self._log(runner, figures)
        if problems and self.stop:
            raise UnhealthyOutputError(
                f'iteration {runner.iter + 1}: {"; ".join(problems)}. Training would go on '
                'without it. Change the recipe or the head, or set `stop=False` of the '
                'OutputHealthHook to go on'
            )
        for problem in problems:
            if problem not in self._known:
                runner.logger.warning(f'iteration {runner.iter + 1}: {problem}')
        self._known = set(problems)

    @master_only
    def _log(self, runner: Runner, figures: dict[str, float]) -> None:
        runner.visualizer.add_scalars(
            {f'health/{name}': value for name, value in figures.items()},
            step=runner.iter + 1,
            file_path=f'{runner.timestamp}.json',
        )
