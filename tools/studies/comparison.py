"""Differences between rows, with intervals by the bootstrap over videos and seeds."""

from __future__ import annotations

import numpy as np

from .definition import StudyError
from .draws import read_draws
from .results import Results


class Comparer:
    """Estimates differences between the rows of a study.

    A draw takes as many videos as there are, with replacement, and as many seeds as both rows
    have; both rows are evaluated on the same drawn videos and seeds (the difference is paired).
    The interval spans the 2.5th to the 97.5th percentile of the draws (Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, chapter 13). Draws of videos without any instance are left
    out.

    Args:
        results: Results of the runs, with their draws of videos.
        seed: Seed of the draws of seeds.
    """

    def __init__(self, results: Results, seed: int = 0) -> None:
        self.results = results
        self.study = results.catalog.study
        self.seed = seed

    def compare(self, first: str, second: str) -> dict | None:
        """The difference ``first - second`` in the study's metric.

        Returns:
            ``difference``, ``low`` and ``high`` in [-1, 1], and what they are of; ``dropped``, the
            number of draws without an instance, if there were any. Where a run has no draws, the
            difference that the results file has, if it is of the same runs. None if there is
            neither.
        """
        seeds = [s for s in self.results.seeds(first) if s in self.results.seeds(second)]
        if not seeds:
            return None
        marks = {
            f'{row}/seed{seed}': self.results.fingerprints(row, seed)
            for row in (first, second)
            for seed in seeds
        }
        pair = dict(first=first, second=second, metric=self.study.metric, seeds=seeds)
        kept = [
            entry
            for entry in self.results.content['comparisons']
            if entry.items() >= (pair | dict(fingerprints=marks)).items()
        ]
        draws = [[self.results.draws(row, seed) for seed in seeds] for row in (first, second)]
        pairs = [(a, b) for a, b in zip(*draws) if a is not None and b is not None]
        if len(pairs) < len(seeds):
            return kept[0] if kept else None
        differences = [self._difference(a, b, first, second) for a, b in pairs]
        rng = np.random.default_rng(self.seed)
        values = np.array(differences)  # (S, 1 + B), the first column of all videos
        chosen = rng.integers(len(seeds), size=(len(seeds), values.shape[1] - 1))
        drawn = np.take_along_axis(values[:, 1:], chosen, axis=0).mean(axis=0)
        finite = drawn[np.isfinite(drawn)]  # a draw of videos without an instance has no mAP
        low, high = np.percentile(finite, [2.5, 97.5])
        numbers = dict(difference=values[:, 0].mean(), low=low, high=high)
        numbers = {name: float(value) for name, value in numbers.items()}
        if len(finite) < len(drawn):
            numbers['dropped'] = len(drawn) - len(finite)
        return {**pair, **numbers, 'resamples': self.study.resamples, 'fingerprints': marks}

    def _difference(self, a: dict, b: dict, first: str, second: str) -> np.ndarray:
        if a['videos'] != b['videos']:
            raise StudyError(
                f'{self.study.file}: `compare`: rows {first!r} and {second!r} are tested on other '
                'videos, so that they cannot be paired'
            )
        return read_draws(a) - read_draws(b)
