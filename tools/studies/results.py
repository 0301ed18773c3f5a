"""Results of a study: a JSON file to commit, and the matches of each run in its folder."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmaction.registry import METRICS
from mmengine.config import Config

from mmtad_decomp.evaluation.annotation_tables import ground_truth_table, prediction_table
from mmtad_decomp.evaluation.functional import (
    Matches,
    match_videos,
    pool_matches,
    resampled_average_precision,
)
from mmtad_decomp.evaluation.metrics import TADMetric
from mmtad_decomp.evaluation.submission import load_submission
from mmtad_decomp.utils import atomic_write, folder_lock, write_json

from .catalog import SUBSETS, Catalog, Run, detection_metric
from .definition import StudyError
from .draws import make_draws


def build_metric(cfg: Config, where: str) -> TADMetric:
    """The metric of a config, for detections that are post-processed already."""
    settings = {**detection_metric(cfg, where), 'post_processor': None}
    return METRICS.build({**settings, 'dump_path': None, 'raw_path': None})


def match_detections(metric: TADMetric, detections: Path) -> tuple[Matches, list[str]]:
    """Compare a file of detections with the annotations.

    Args:
        metric: Result of :func:`build_metric`.
        detections: ActivityNet-style JSON.

    Returns:
        The matches, and the ids of the videos.
    """
    videos = load_submission(detections, metric.result_classes)
    annotations = metric.annotations
    matches = match_videos(
        ground_truth_table(annotations),
        prediction_table(annotations, videos),
        metric.tious,
        len(annotations.classes),
        len(annotations.videos),
    )
    return matches, list(annotations.videos)


def write_matches(path: Path, matches: Matches, videos: Sequence[str]) -> None:
    """Write matches compressed and atomically."""
    columns = matches._asdict() | dict(video_ids=np.array(videos))
    with atomic_write(path) as file:
        np.savez_compressed(file, **columns)


def read_matches(path: Path) -> tuple[Matches, list[str]]:
    """Read what :func:`write_matches` wrote."""
    with np.load(path) as content:
        columns = {name: content[name] for name in Matches._fields}
        return Matches(**columns), content['video_ids'].tolist()


def metrics_of(metric: TADMetric, matches: Matches) -> dict[str, float]:
    """mAP by threshold and group of thresholds, in [0, 1]."""
    whole = np.ones((1, len(matches.positives)), dtype=np.int64)
    return metric.summary(resampled_average_precision(matches, whole)[0])


class Results:
    """The JSON file of a study.

    ``runs`` maps keys such as ``rgb/seed0`` to their ``fingerprint``, metrics and costs;
    ``scores`` maps ``rgb/seed0`` to the metrics over all folds and to ``draws``, from which the
    intervals are made; ``comparisons`` lists differences with their intervals. The file is
    written anew after each run. Several processes may add to one file: each keeps what the others
    have written since it read it.

    Args:
        catalog: The runs of the study.

    Raises:
        StudyError: If the file is malformed or belongs to another study.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.path = catalog.study.results
        self.content: dict = dict(study=catalog.study.name, runs={}, scores={}, comparisons=[])
        if self.path.is_file() and self.path.stat().st_size:
            self.content.update(self._read(self.path))
        self._known = copy.deepcopy(self.content)

    def _read(self, path: Path) -> dict:
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except OSError as error:
            raise StudyError(f'results {path} cannot be read: {error}') from error
        except ValueError as error:
            raise StudyError(
                f'results {path} is not valid JSON ({error}); restore it or remove it'
            ) from error
        name = content.get('study') if isinstance(content, dict) else None
        if name != self.catalog.study.name or not isinstance(content.get('runs'), dict):
            raise StudyError(
                f'results {path} is not of study {self.catalog.study.name!r} (field "study": '
                f'{name!r}); name another file in `results` of {self.catalog.study.file}'
            )
        return content

    @property
    def runs(self) -> dict[str, dict]:
        """Entries by the runs' keys."""
        return self.content['runs']

    def is_done(self, run: Run, mark: str) -> bool:
        """Whether the run has a result with this fingerprint."""
        return self.runs.get(run.key, {}).get('fingerprint') == mark

    def add(self, run: Run, entry: Mapping) -> None:
        """Keep a run's result, and the score of its seed if that was the last fold."""
        self.runs[run.key] = dict(entry)
        self._update_score(run.row, run.seed)
        self.save()

    def merge(self, path: Path) -> list[str]:
        """Take over what another results file of the study has and this one lacks.

        Args:
            path: Results of the same study, from another machine for instance.

        Returns:
            Keys of the runs that were taken over. Results of other configs or data are left out.

        Raises:
            StudyError: If the file cannot be read, is malformed or belongs to another study.
        """
        other = dict(scores={}, comparisons=[]) | self._read(path)
        found = {run.key: run for run in self.catalog.runs()}
        added = [
            key
            for key, entry in other['runs'].items()
            if key in found and entry.get('fingerprint') == self.catalog.mark(found[key])
            if not self.is_done(found[key], entry['fingerprint'])
        ]
        self.runs.update({key: other['runs'][key] for key in added})
        for run in found.values():
            key = f'{run.row}/seed{run.seed}'
            marks, theirs = self.fingerprints(run.row, run.seed), other['scores'].get(key)
            if marks and self.score(run.row, run.seed) is None:
                if theirs and theirs['fingerprints'] == marks:
                    self.content['scores'][key] = theirs
                else:
                    self._update_score(run.row, run.seed)
        self.content['comparisons'] += other['comparisons']
        return added

    def save(self) -> None:
        """Write the file: what it has by now, and over it what changed here.

        Raises:
            StudyError: If it is malformed by now or belongs to another study.
        """
        with folder_lock(self.path.parent):
            if self.path.is_file() and self.path.stat().st_size:
                self._take_over(self._read(self.path))
            write_json(self.path, self.content, indent=1)
        self._known = copy.deepcopy(self.content)

    def _take_over(self, written: dict) -> None:
        for kind in ('runs', 'scores'):
            here, known = self.content[kind], self._known[kind]
            changed = {key: entry for key, entry in here.items() if entry != known.get(key)}
            self.content[kind] = {**written.get(kind, {}), **changed}
        if self.content['comparisons'] == self._known['comparisons']:
            self.content['comparisons'] = written.get('comparisons', [])

    def fold_runs(self, row: str, seed: int) -> list[Run]:
        """The runs that make one score."""
        return [Run(row, seed, fold) for fold in self.catalog.study.folds]

    def fingerprints(self, row: str, seed: int) -> list[str] | None:
        """Fingerprints of the runs of a score as they should be; None if one is missing."""
        runs = self.fold_runs(row, seed)
        marks = [self.catalog.mark(run) for run in runs]
        done = all(self.is_done(run, mark) for run, mark in zip(runs, marks))
        return marks if done else None

    def seeds(self, row: str) -> list[int]:
        """Seeds for which a row has a complete, current score."""
        return [seed for seed in self.catalog.study.seeds if self.score(row, seed) is not None]

    def score(self, row: str, seed: int) -> dict | None:
        """Metrics of a row and seed over all folds; None if they are missing or out of date."""
        score = self.content['scores'].get(f'{row}/seed{seed}')
        marks = self.fingerprints(row, seed)
        return score if score and marks and score['fingerprints'] == marks else None

    def stale(self) -> list[str]:
        """Keys of results that are not of the study's present configs and data."""
        known = {run.key: run for run in self.catalog.runs()}
        return [
            key
            for key, entry in self.runs.items()
            if key not in known or entry.get('fingerprint') != self.catalog.mark(known[key])
        ]

    def matches(self, row: str, seed: int, subset: str) -> tuple[Matches, list[str]] | None:
        """Matches over all folds; None if the file of one is gone."""
        runs = self.fold_runs(row, seed)
        files = [self.catalog.test_folder(run) / f'{subset}.npz' for run in runs]
        if not all(file.is_file() for file in files):
            return None
        parts, names = zip(*map(read_matches, files))
        ids = [f'{run.fold or ""}/{name}' for run, videos in zip(runs, names) for name in videos]
        return pool_matches(parts), ids

    def metric(self, row: str) -> TADMetric:
        """The metric by which a row is tested."""
        run = self.catalog.runs([row])[0]
        return build_metric(self.catalog.config(run), self.catalog.study.file)

    def draws(self, row: str, seed: int) -> dict | None:
        """The metric on draws of videos (:func:`.draws.make_draws`).

        They are made from the matches, and kept in the score, where it lacks them.

        Returns:
            None without a score, or where it lacks them and the matches are gone.
        """
        score, study = self.score(row, seed), self.catalog.study
        if score is None:
            return None
        settings = dict(metric=study.metric, resamples=study.resamples, seed=0)
        kept = score.get('draws')
        if kept is None or not settings.items() <= kept.items():
            found = self.matches(row, seed, 'validation')
            if found is None:
                return None
            kept = make_draws(settings, *found, self.metric(row).rows_of(study.metric))
            score['draws'] = kept
        return kept

    def _update_score(self, row: str, seed: int) -> None:
        marks = self.fingerprints(row, seed)
        if marks is None:
            return
        score: dict[str, object] = dict(fingerprints=marks)
        metric = self.metric(row)
        for subset in SUBSETS:
            found = self.matches(row, seed, subset)
            if found is not None:
                score[subset] = metrics_of(metric, found[0])
        if 'validation' in score:
            self.content['scores'][f'{row}/seed{seed}'] = score
            self.draws(row, seed)
