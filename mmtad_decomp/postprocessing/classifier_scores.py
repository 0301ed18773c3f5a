"""Reading video-level class scores, in the layouts in which classifiers publish them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmtad_decomp.utils import refuse_duplicates

THUMOS14_IN_UCF101 = 'thumos14_in_ucf101'
_PATTERN = "a pattern such as 'video_test_{:07d}'"
_UCF101_COLUMNS = {
    'BaseballPitch': 6,
    'BasketballDunk': 8,
    'Billiards': 11,
    'CleanAndJerk': 20,
    'CliffDiving': 21,
    'CricketBowling': 22,
    'CricketShot': 23,
    'Diving': 25,
    'FrisbeeCatch': 30,
    'GolfSwing': 32,
    'HammerThrow': 35,
    'HighJump': 39,
    'JavelinThrow': 44,
    'LongJump': 50,
    'PoleVault': 67,
    'Shotput': 78,
    'SoccerPenalty': 84,
    'TennisSwing': 91,
    'ThrowDiscus': 92,
    'VolleyballSpiking': 96,
}
"""Where the 20 classes of THUMOS'14 stand among the 101 of UCF101, counted from 0."""


class ClassifierScoresError(ValueError):
    """A file of class scores is malformed or does not fit; the message names file and fix."""


@dataclass(frozen=True)
class ClassifierScores:
    """Scores of every class for every video of a file.

    Attributes:
        path: The file, for messages.
        scores: ``(R, K)`` float64.
        rows: Row of each video id.
        columns: Column of each class name.
    """

    path: str
    scores: np.ndarray
    rows: dict[str, int]
    columns: dict[str, int]

    def row(self, video_id: str) -> int | None:
        """Row of a video; ActivityNet's ``v_`` may stand before either id. None if missing."""
        for name in (video_id, video_id.removeprefix('v_'), f'v_{video_id}'):
            if name in self.rows:
                return self.rows[name]
        return None


def load_classifier_scores(
    path: str | Path,
    columns: Sequence[str] | Mapping[str, int] | str | None = None,
    video_ids: Sequence[str] | str | None = None,
) -> ClassifierScores:
    """Read a file of video-level class scores.

    JSON, where ``results`` may also be the whole file:

    * ``{"results": {video: [score, ...]}, "class": [name, ...]}``: CUHK's scores for ActivityNet
      as G-TAD and ActionFormer share them (``cuhk_val_simp_share.json``); also ``"classes"``;
    * ``{"results": {video: [{"label": name, "score": s}, ...]}}``: a submission to ActivityNet's
      classification task, such as MMAction2's ``cuhk_anet17_pred.json``;
    * ``{video: {name: score}}``; a class that a video does not name has score 0;
    * ``{"video_ids": [...], "scores": [[...], ...], "classes": [...]}``.

    ``.npz`` has the arrays of the last layout. ``.npy`` is one ``(videos, classes)`` array, whose
    rows and columns ``video_ids`` and ``columns`` explain: of UntrimmedNet's scores for THUMOS'14
    (``uNet_test.npy``), row n - 1 is ``'video_test_{:07d}'`` of n and the columns are UCF101's.

    Args:
        path: The file.
        columns: Class of each column, where the file does not say it: names, a text file with a
            name per line, a dict from name to column, or ``'thumos14_in_ucf101'``.
        video_ids: Video of each row, where the file does not say it: ids, a text file with an id
            per line, or a pattern that makes the id of row n - 1 of the number n, such as
            ``'video_test_{:07d}'``. Other ids, such as those of another subset, have no row.

    Raises:
        ClassifierScoresError: If the file is missing or not in one of these layouts.
    """
    file = Path(path)
    if not file.is_file():
        raise ClassifierScoresError(
            f'class scores {path} do not exist; put the file there, or set `path` of the '
            '`post_processor.classifier` (None, with a head of as many classes as the data set, '
            'goes without)'
        )
    if file.suffix == '.json':
        content = _read_json(file)
    elif file.suffix in ('.npy', '.npz'):
        content = _read_numpy(file)
    else:
        raise ClassifierScoresError(
            f'class scores {path} must be .json, .npy or .npz; pickles are not read, since '
            'reading one can run code: convert it to one of these'
        )
    names, ids, scores = content
    return ClassifierScores(
        str(path),
        scores,
        _rows(path, scores, ids, video_ids),
        _columns(path, scores, names, columns),
    )


_Content = tuple[list[str] | None, list[str] | None, np.ndarray]
"""Class names and video ids, as far as the file has them, and the matrix."""


def _matrix(scores: object, where: str) -> np.ndarray:
    try:
        matrix = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ClassifierScoresError(
            f'{where}: scores must be numbers, equally many for every video ({error})'
        ) from error
    if not matrix.size:
        raise ClassifierScoresError(f'{where} has scores of no video; make the file again')
    if matrix.ndim == 3 and matrix.shape[1] == 1:
        matrix = matrix[:, 0]
    if matrix.ndim != 2:
        raise ClassifierScoresError(
            f'{where}: scores must be a (videos, classes) table, got shape {matrix.shape}'
        )
    if not np.isfinite(matrix).all():
        raise ClassifierScoresError(f'{where}: scores must be finite, got NaN or infinity')
    return matrix


def _read_numpy(file: Path) -> _Content:
    try:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return None, None, _matrix(content, str(file))
        with content:
            arrays = {name: content[name] for name in content.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, ClassifierScoresError):
            raise
        raise ClassifierScoresError(
            f'{file} cannot be read as NumPy arrays ({error}); save plain arrays of numbers and '
            'of strings, not of objects'
        ) from error
    if 'scores' not in arrays:
        raise ClassifierScoresError(f'{file}: array "scores" is missing, got {sorted(arrays)}')
    names, ids = (
        [str(x) for x in arrays[key]] if key in arrays else None
        for key in ('classes', 'video_ids')
    )
    return names, ids, _matrix(arrays['scores'], str(file))


def _read_json(file: Path) -> _Content:
    try:
        text = file.read_text(encoding='utf-8-sig')
        content = json.loads(text, object_pairs_hook=refuse_duplicates)
    except KeyError as error:
        raise ClassifierScoresError(
            f'{file}: key {error} occurs twice in one object; correct the file'
        ) from error
    except (ValueError, RecursionError) as error:
        raise ClassifierScoresError(f'{file} is not valid JSON: {error}') from error
    if not isinstance(content, dict):
        raise ClassifierScoresError(f'{file}: must be an object, got a {type(content).__name__}')
    names = content.get('class', content.get('classes'))
    if 'video_ids' in content and 'scores' in content:
        return names, content['video_ids'], _matrix(content['scores'], str(file))
    results = content.get('results', content)
    if not isinstance(results, dict):
        raise ClassifierScoresError(f'{file}: field "results" must map video ids to scores')
    # Of a video that the classifier gave no class the entry is empty, in every layout.
    first: object = next(filter(None, results.values()), {})
    if isinstance(first, dict) or (isinstance(first, list) and isinstance(first[0], dict)):
        names, matrix = _named_scores(file, results)
        return names, list(results), matrix
    return names, list(results), _matrix(list(results.values()), str(file))


def _named_scores(file: Path, results: dict) -> tuple[list[str], np.ndarray]:
    """Names and table of the layouts in which every score has its class beside it."""
    videos = []
    for video_id, scores in results.items():
        try:
            pairs = (
                scores.items()
                if isinstance(scores, dict)
                else [(item['label'], item['score']) for item in scores]
            )
            videos.append({str(name): float(score) for name, score in pairs})
        except (TypeError, KeyError, ValueError) as error:
            raise ClassifierScoresError(
                f'{file}: video "{video_id}" must have {{class: score}} or a list of '
                f'{{"label": class, "score": number}}, got {str(scores)[:80]}'
            ) from error
    names = sorted(set().union(*videos))
    column = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(videos), len(names)))
    for row, scores in enumerate(videos):
        matrix[row, [column[name] for name in scores]] = list(scores.values())
    return names, _matrix(matrix, str(file))


def _lines(value: Sequence[str] | str | None, what: str, kinds: str = 'a list') -> list[str]:
    """The names given, or those in the text file given."""
    if not isinstance(value, str):
        return [str(name) for name in value or ()]
    try:
        text = Path(value).read_text(encoding='utf-8-sig')
    except OSError as error:
        raise ClassifierScoresError(
            f'{what}={value!r} is neither {kinds} nor a text file that can be read ({error})'
        ) from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _numbered(pattern: str, count: int) -> list[str]:
    """Ids that a pattern makes of the numbers from 1 on."""
    try:
        return [pattern.format(number) for number in range(1, count + 1)]
    except (ValueError, LookupError, AttributeError) as error:
        raise ClassifierScoresError(f'video_ids={pattern!r} is not {_PATTERN}: {error}') from error


def _unique(names: Sequence[str], count: int, what: str) -> dict[str, int]:
    index = {str(name): i for i, name in enumerate(names)}
    if len(names) != count or len(index) != count:
        raise ClassifierScoresError(
            f'{what}: there are {count}, but {len(names)} names, {len(index)} of them different'
        )
    return index


def _rows(
    path: str | Path,
    scores: np.ndarray,
    inside: list[str] | None,
    given: Sequence[str] | str | None,
) -> dict[str, int]:
    if inside is not None and given is not None:
        raise ClassifierScoresError(f'{path} names its videos itself; leave `video_ids` out')
    if inside is None and given is None:
        raise ClassifierScoresError(
            f'{path} does not say which video a row is; set `video_ids` to their ids, a text file '
            f'or {_PATTERN}, which makes the id of row n - 1 of n'
        )
    if isinstance(given, str) and '{' in given:
        names = _numbered(given, len(scores))
    else:
        names = inside or _lines(given, 'video_ids', f'a list, {_PATTERN}')
    return _unique(names, len(scores), f'rows (videos) of {path}')


def _columns(
    path: str | Path,
    scores: np.ndarray,
    inside: list[str] | None,
    given: Sequence[str] | Mapping[str, int] | str | None,
) -> dict[str, int]:
    count = scores.shape[1]
    if inside is not None and given is not None:
        raise ClassifierScoresError(f'{path} names its classes itself; leave `columns` out')
    if inside is None and given is None:
        raise ClassifierScoresError(
            f'{path} does not say which class a column is; set `columns` to the {count} names in '
            'their order, a text file with them, or a dict from name to column'
        )
    if given == THUMOS14_IN_UCF101:
        if count != 101:
            raise ClassifierScoresError(
                f'{path} has {count} columns, but UCF101 has 101 classes; set `columns` to the '
                'names of these'
            )
        given = _UCF101_COLUMNS
    if isinstance(given, Mapping):
        outside = {name: at for name, at in given.items() if not 0 <= at < count}
        if outside:
            raise ClassifierScoresError(
                f'{path} has {count} columns, but `columns` names {outside}; count from 0'
            )
        return dict(given)
    names = inside if inside is not None else _lines(given, 'columns')
    return _unique(names, count, f'columns (classes) of {path}')
