"""Randomness that depends on epoch and step alone, so that a resumed training repeats it."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import torch
from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmtad_decomp.utils import seed_of


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed the augmentation of an epoch by its number, and each step by its own.

    A training that was killed and resumed then draws what one that ran through drew: dropout and
    the like from this process's generators, augmentation from a generator for each epoch and
    sample (:meth:`~mmtad_decomp.datasets.TADDataset.seed_epoch`), whatever the number of workers
    and of processes. Steps are seeded one by one because a data loader draws from this process's
    generators when it starts its workers, which persistent workers do once in a process.

    The augmentation is left alone in trainings that count iterations, which have no epochs, and so
    is that of data sets that a wrapper repeats (``RepeatDataset``).
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the data sets."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            for dataset in _datasets(runner.train_dataloader.dataset):
                dataset.seed_epoch(runner.seed, runner.epoch)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Seed the generators of this process."""
        state = seed_of(runner.seed, runner.iter)
        random.seed(state)
        np.random.seed(state)
        torch.manual_seed(state)


def _datasets(dataset: object) -> Iterator:
    """A data set, or those that it joins, which can be seeded.

    Not those that a wrapper repeats: each repetition would draw the same.
    """
    if hasattr(dataset, 'seed_epoch'):
        yield dataset
    for part in getattr(dataset, 'datasets', ()):  # of a ConcatDataset
        yield from _datasets(part)
