"""Scheduling the weights of the distillation losses."""

from __future__ import annotations

from mmaction.registry import HOOKS
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmtad_decomp.utils import unwrap_model


@HOOKS.register_module()
class DistillScheduleHook(Hook):
    """Change the factors of a distiller's losses linearly over epochs, and log them.

    Each factor goes from ``start`` at the beginning of epoch ``begin`` to ``stop`` at the
    beginning of epoch ``end``, iteration by iteration, and is constant before and after. Every
    factor is logged as ``factor_<name>`` beside the losses that it multiplies. A training that
    counts iterations begins an epoch whenever its processes have seen the whole data set.

    Args:
        schedule: Maps names in :attr:`CrossModalDistiller.loss_factors` (the mimics, and ``app``)
            to ``dict(start=0.0, stop=1.0, begin=0, end=5)``.

    Raises:
        ValueError: If a ramp has other keys, no ``end``, or ends before it begins.
    """

    def __init__(self, schedule: dict[str, dict] | None = None) -> None:
        self.schedule = dict(schedule or {})
        for name, ramp in self.schedule.items():
            unknown = set(ramp) - {'start', 'stop', 'begin', 'end'}
            if unknown or 'end' not in ramp or ramp['end'] < ramp.get('begin', 0):
                raise ValueError(
                    f'DistillScheduleHook: schedule[{name!r}] needs start, stop, begin and end '
                    f'with begin <= end, got {dict(ramp)}'
                )

    @staticmethod
    def _factors(runner: Runner) -> dict[str, float]:
        model = unwrap_model(runner.model)
        factors = getattr(model, 'loss_factors', None)
        if factors is None:
            raise TypeError(
                f'DistillScheduleHook needs a CrossModalDistiller, the model is '
                f'{type(model).__name__}; remove the hook from `custom_hooks`'
            )
        return factors

    def before_train(self, runner: Runner) -> None:
        """Check that every scheduled name exists.

        Raises:
            ValueError: If one does not.
            TypeError: If the model is no distiller.
        """
        factors = self._factors(runner)
        unknown = sorted(set(self.schedule) - set(factors))
        if unknown:
            raise ValueError(
                f'DistillScheduleHook: no loss is named {unknown}; the distiller has '
                f'{sorted(factors)}'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Set the factors of this iteration."""
        factors = self._factors(runner)
        # Not from `runner.iter`: a resumed training may have other batches than before.
        iterations = _iterations_per_epoch(runner.train_dataloader)
        epoch = (runner.epoch * iterations + batch_idx) / iterations
        for name, ramp in self.schedule.items():
            factors[name] = self.value(epoch, **ramp)
        for name, factor in factors.items():
            runner.message_hub.update_scalar(f'train/factor_{name}', factor)

    @staticmethod
    def value(
        epoch: float, end: float, begin: float = 0.0, start: float = 0.0, stop: float = 1.0
    ) -> float:
        """The factor at a (fractional) epoch."""
        if epoch >= end:
            return stop
        if epoch <= begin:
            return start
        return start + (stop - start) * (epoch - begin) / (end - begin)


def _iterations_per_epoch(dataloader: DataLoader) -> float:
    """Iterations in which the processes together see the data set once."""
    iterations = max(1, len(dataloader))
    if isinstance(dataloader.sampler, InfiniteSampler):  # in each process of the whole length
        return iterations / get_world_size()
    return iterations
