"""Randomness that starts anew in every epoch, so that a resumed training repeats it."""

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
    """Seed an epoch by the run's seed and its number.

    A training that was killed and resumed then draws what one that ran through drew: dropout and
    the like from this process's generators, augmentation from a generator for each epoch and
    sample (:meth:`~mmtad_decomp.datasets.TADDataset.seed_epoch`), whatever the number of workers
    and of processes.

    Trainings that count iterations have no epochs, and are left alone; so is the augmentation of
    data sets that a wrapper repeats (``RepeatDataset``).
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the generators of this process and the data sets."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        seed, epoch = runner.seed, runner.epoch
        for dataset in _datasets(runner.train_dataloader.dataset):
            dataset.seed_epoch(seed, epoch)
        state = seed_of(seed, epoch)
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
