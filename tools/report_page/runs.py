"""What a report needs of a run: its config, its detections and the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmengine.config import Config

from mmtad_decomp.annotations import load_annotations
from mmtad_decomp.datasets.tad_dataset import stored_file
from mmtad_decomp.evaluation import ground_truth_table, prediction_table, read_submission
from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.structures import AnnotationSet, VideoAnnotation
from mmtad_decomp.utils import of_class
from tools.analysis_tools.evaluate import demand_overlap

DETECTION_FILES = ('detections.json', 'validation.json')
# Configs in a study's folder of tests that are not of the detections of the validation.
_OTHER_TESTS = {'train_and_test.py', 'training.py'}


class ReportError(ValueError):
    """A report cannot be made of what was named; the message says what is missing."""


@dataclass(frozen=True)
class Run:
    """A tested model.

    Attributes:
        name: As the page shows it; no two runs of a page have the same.
        folder: Its work directory.
        config: Its config.
        detections_file: Where its detections come from.
        annotations: Ground truth that its config is tested on.
        detections: By video id.
        tious: Thresholds of its evaluator.
    """

    name: str
    folder: Path
    config: Config
    detections_file: Path
    annotations: AnnotationSet
    detections: dict[str, Detections]
    tious: tuple[float, ...]

    def video_file(self, video: VideoAnnotation) -> Path:
        """Where the data set that it is tested on has a video.

        A data set of frames or features may have videos beside them: by the ``path`` of the
        annotation, else ``<id>.mp4`` in ``data_prefix.video``.
        """
        dataset = self.config.test_dataloader.dataset
        root = dataset.get('data_root') or ''
        folder = Path(root, (dataset.get('data_prefix') or {}).get('video', ''))
        of_videos = dataset.get('source', 'video') == 'video'
        template = dataset.get('template') if of_videos else None
        return stored_file(video, root, str(folder), template=template)


def load_runs(
    paths: Sequence[str | Path],
    configs: Sequence[str | Path] | None = None,
    names: Sequence[str] | None = None,
) -> list[Run]:
    """Read the runs of a page, see :func:`load_run`.

    Args:
        paths: One for each run.
        configs: One for each run; None as in :func:`load_run`.
        names: One for each run; None takes those of their folders, with as many parent folders
            before them as tell them apart, and of runs in one folder those of their files.
    """
    none = [None] * len(paths)
    runs = [load_run(*parts) for parts in zip(paths, configs or none, names or none)]
    if names is not None:
        return runs
    places = [run.folder.resolve() for run in runs]
    if len(set(places)) < len(places):
        places = [run.detections_file.resolve().with_suffix('') for run in runs]
    depth, most = 1, max(len(place.parts) for place in places)
    while depth < most and len({place.parts[-depth:] for place in places}) < len(places):
        depth += 1
    shown = [Path(*place.parts[-depth:]).as_posix() for place in places]
    return [replace(run, name=name) for run, name in zip(runs, shown)]


def load_run(path: str | Path, config: str | Path | None = None, name: str | None = None) -> Run:
    """Read a run.

    Args:
        path: Work directory of a training or of a study's run, with the detections of a test in
            it (:data:`DETECTION_FILES`, the newest one), or such a file.
        config: Config file; None takes the one that training put into the work directory.
        name: As the page shows it; None takes the folder's name.

    Raises:
        ReportError: If there is no config, no detections, or nothing that was tested.
        SubmissionError: If no annotated video has a detection.
    """
    path = Path(path)
    if path.is_dir():
        files = [file for pattern in DETECTION_FILES for file in path.rglob(pattern)]
        if not files:
            raise ReportError(
                f'{path}: no detections in it; run tools/test.py CONFIG CHECKPOINT --dump-json '
                f'{path / DETECTION_FILES[0]}, or name the file of detections'
            )
        folder, file = path, max(files, key=lambda file: file.stat().st_mtime)
    elif path.is_file():
        folder, file = path.parent, path
    else:
        raise ReportError(f'{path} does not exist; name a work directory or a file of detections')
    settings = Config.fromfile(config or _find_config(folder, file))
    evaluator = _evaluator(settings)
    annotations = load_annotations(
        evaluator['ann_file'],
        evaluator.get('subset'),
        evaluator.get('classes'),
        evaluator.get('ignore_labels', ()),
        evaluator.get('exclude_videos', ()),
        evaluator.get('label_fields', ('label',)),
    )
    submission = read_submission(file, annotations.classes)
    demand_overlap(
        annotations,
        submission,
        ground_truth_table(annotations),
        prediction_table(annotations, submission.videos),
        fix='name the config of their test by --config',
    )
    return Run(
        name or folder.resolve().name,
        folder,
        settings,
        file,
        annotations,
        submission.videos,
        _thresholds(evaluator),
    )


def _find_config(folder: Path, detections: Path) -> Path:
    """The config of a test, else that in its work directory.

    A study's run has a config for each test of its own, named as the detections are, and that of
    the training beside the folder of tests.
    """
    own = detections.with_suffix('.py')
    if own.is_file():
        return own
    folder = folder.resolve()
    for place in (folder, folder / 'train', folder.parent):
        others = _OTHER_TESTS if place.name.startswith('test-') else ()
        found = [file for file in sorted(place.glob('*.py')) if file.name not in others]
        if len(found) == 1:
            return found[0]
        if (place / 'config.py').is_file():
            return place / 'config.py'
    raise ReportError(f'{folder}: not one config in it; name it by --config')


def _evaluator(config: Config) -> dict:
    """The evaluator of detections."""
    found = of_class(config.get('test_evaluator') or config.get('val_evaluator'), 'TADMetric')
    if not found:
        raise ReportError(f'{config.filename}: has no TADMetric in `test_evaluator`')
    return found[0]


def _thresholds(evaluator: dict) -> tuple[float, ...]:
    """All thresholds of the evaluator, ascending."""
    tious = evaluator.get('tious') or (0.3, 0.4, 0.5, 0.6, 0.7)
    parts = tious.values() if isinstance(tious, dict) else [tious]
    return tuple(sorted({float(tiou) for part in parts for tiou in part}))
