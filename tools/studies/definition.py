"""Study files: which systems are trained, with which seeds, and which are compared."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from mmengine.config import Config

from mmtad_decomp.annotations.content import as_names

Value = TypeVar('Value')
Default = TypeVar('Default')


class StudyError(ValueError):
    """A study cannot run as it is; the message names file, field and fix."""


@dataclass(frozen=True)
class Row:
    """One system of a study.

    Attributes:
        name: Short name, which folders and options use.
        config: Config file.
        title: Its name in tables.
        cfg_options: Settings that replace the config's, by dotted key.
        teacher: Names of the rows whose runs of the same seed (and fold) teach it: one, or
            several that each left out other videos.
        start: Name of the row whose run of the same seed (and fold) gives the first weights of its
            backbone.
        fuse: Names of the rows whose candidates of the same seed (and fold) are post-processed
            together, by this config's test: late fusion. Such a row trains nothing.
        cost: Time of a run relative to other rows', for estimates before one has ended.
    """

    name: str
    config: str
    title: str = ''
    cfg_options: Mapping = field(default_factory=dict)
    teacher: tuple[str, ...] = ()
    start: str | None = None
    fuse: tuple[str, ...] = ()
    cost: float = 1.0

    @property
    def needs(self) -> list[str]:
        """Rows that are trained before this one."""
        return [*([] if self.start is None else [self.start]), *self.teacher]


@dataclass(frozen=True)
class Study:
    """Content of a study file.

    Attributes:
        rows: Systems, in the order of the table.
        seeds: Random seeds; all rows run with each.
        name: Name of the study; default: the file's.
        title: Heading of table and plot.
        cfg_options: Settings for all rows, by dotted key.
        detector_options: Settings for the detector of each row's config, wherever that has it (a
            student's, not its teacher's), by dotted key below it; a row's own replace them.
        compare: Pairs of row names whose difference in ``metric`` is estimated.
        metric: A metric of TADMetric, such as ``'mAP_0.3:0.7'``.
        fold_variable: Environment variable by which the configs choose a fold; None: no folds.
        folds: Its values. Every row runs on each, and the held-out videos are evaluated together.
        data: Files whose content the results depend on, besides the annotation files.
        code_version: Change it when results of older code must not count any more.
        test_on_training: Also test on the training videos, to see overfitting.
        resamples: Draws of the bootstrap.
        work_dir: Where runs are; default: ``work_dirs/studies/<name>``.
        results: JSON file of the results; default: ``<work_dir>/<name>.json``.
        file: The study file.
    """

    rows: Mapping[str, Row]
    seeds: tuple[int, ...]
    name: str
    title: str
    cfg_options: Mapping
    detector_options: Mapping
    compare: tuple[tuple[str, str], ...]
    metric: str
    fold_variable: str | None
    folds: tuple[str | None, ...]
    data: tuple[str, ...]
    code_version: str
    test_on_training: bool
    resamples: int
    work_dir: Path
    results: Path
    file: str


_NAME = re.compile(r'[A-Za-z0-9][\w.-]*')


class _Reader:
    """Checked access to the fields of one mapping of a study file."""

    def __init__(self, where: str, content: Mapping, known: Sequence[str]) -> None:
        self.where, self.content = where, content
        for key in content:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                fix = f'did you mean `{close[0]}`?' if close else f'known are {sorted(known)}'
                raise StudyError(f'{where}: unknown field `{key}`; {fix}')

    def get(
        self,
        key: str,
        kind: type[Value] | tuple[type[Value], ...],
        default: Default,
        wanted: str,
    ) -> Value | Default:
        """A field's value, or ``default`` where it is missing or None."""
        value = self.content.get(key)
        if value is None:
            return default
        wrong_bool = isinstance(value, bool) and kind is not bool
        if not isinstance(value, kind) or wrong_bool:
            raise StudyError(f'{self.where}: `{key}` must be {wanted}, got {value!r}')
        return value

    def need(self, key: str, kind: type[Value] | tuple[type[Value], ...], wanted: str) -> Value:
        """A field's value, which must be there and not empty."""
        value = self.get(key, kind, None, wanted)
        if value is None or value in ('', [], ()):
            raise StudyError(f'{self.where}: `{key}` is missing; set it to {wanted}')
        return value


def _name(reader: _Reader, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise StudyError(
            f'{reader.where}: `name` {value!r} becomes the name of a folder; use letters, digits, '
            '`_`, `-` and `.`'
        )
    return value


def _cost(reader: _Reader) -> float:
    cost = reader.get('cost', (int, float), 1.0, 'a number > 0')
    if cost <= 0:
        raise StudyError(f'{reader.where}: `cost` must be a number > 0, got {cost}')
    return float(cost)


def _read_row(where: str, content: object) -> Row:
    if not isinstance(content, Mapping):
        raise StudyError(f'{where} must be a dict of a row, got {content!r}')
    reader = _Reader(where, content, [f.name for f in fields(Row)])
    name = _name(reader, reader.need('name', str, 'a short name'))
    config = reader.need('config', str, 'the path of a config file')
    if not Path(config).is_file():
        raise StudyError(
            f'{where} ({name}): `config` {config} does not exist; paths are relative to the '
            "project's root, where the study is started"
        )
    options = reader.get('cfg_options', dict, {}, 'a dict of settings by dotted key')
    for key in options:
        if key == 'model.teacher_checkpoint' or key.split('.')[0] in ('work_dir', 'randomness'):
            raise StudyError(
                f'{where} ({name}): `cfg_options` must not set `{key}`, the study does: name the '
                'teacher in `teacher`, so that it is the run of the same seed, and list `seeds`'
            )
    return Row(
        name,
        config,
        reader.get('title', str, name, 'a text'),
        dict(options),
        as_names(
            reader.get('teacher', (str, list, tuple), (), 'the name of a row, or a list of them')
        ),
        reader.get('start', str, None, 'the name of a row'),
        tuple(reader.get('fuse', (list, tuple), (), 'a list of names of rows')),
        _cost(reader),
    )


def _read_rows(file: str, items: Sequence) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for index, item in enumerate(items):
        row = _read_row(f'{file}: rows[{index}]', item)
        if row.name in rows:
            raise StudyError(f'{file}: rows[{index}]: `name` {row.name!r} is taken; rename one')
        rows[row.name] = row
    for row in rows.values():
        _check_fusion(file, row, rows)
        _check_needs(file, row, rows)
    for row in rows.values():
        _check_circles(file, [row.name], rows)
    return rows


def _check_needs(file: str, row: Row, rows: Mapping[str, Row]) -> None:
    needed = [('teacher', name) for name in row.teacher]
    if row.start is not None:
        needed.append(('start', row.start))
    for key, name in needed:
        where = f'{file}: row {row.name!r}: `{key}`'
        if row.fuse:
            raise StudyError(f'{where}: this row trains nothing; remove its `{key}`')
        if name not in rows:
            raise StudyError(f'{where} {name!r} is not a row; rows are {list(rows)}')
        if rows[name].fuse:
            raise StudyError(
                f'{where} {name!r} trains nothing, it fuses other rows; name one that trains'
            )


def _check_circles(file: str, chain: list[str], rows: Mapping[str, Row]) -> None:
    for name in rows[chain[-1]].needs:
        if name in chain:
            circle = ' -> '.join([*chain, name])
            raise StudyError(
                f'{file}: `teacher` and `start` go round in a circle: {circle}; break it'
            )
        _check_circles(file, [*chain, name], rows)


def _check_fusion(file: str, row: Row, rows: Mapping[str, Row]) -> None:
    where = f'{file}: row {row.name!r}: `fuse`'
    if len(row.fuse) == 1:
        raise StudyError(f'{where} must name two rows or more, got {list(row.fuse)}')
    for name in row.fuse:
        if name not in rows or rows[name].fuse:
            trained = [other.name for other in rows.values() if not other.fuse]
            raise StudyError(f'{where}: {name!r} is not a row that trains; those are {trained}')


def _read_seeds(reader: _Reader) -> tuple[int, ...]:
    seeds = reader.need('seeds', (list, tuple), 'a list of whole numbers')
    if not all(type(seed) is int and seed >= 0 for seed in seeds) or len({*seeds}) < len(seeds):
        raise StudyError(
            f'{reader.where}: `seeds` must be different whole numbers >= 0, got {seeds}'
        )
    return tuple(seeds)


def _read_compare(reader: _Reader, rows: Mapping[str, Row]) -> tuple[tuple[str, str], ...]:
    wanted = 'a list of pairs of row names'
    pairs = reader.get('compare', (list, tuple), (), wanted)
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise StudyError(f'{reader.where}: `compare` must be {wanted}, got {pair!r} in it')
        for name in pair:
            if name not in rows:
                raise StudyError(
                    f'{reader.where}: `compare`: {name!r} is not a row; rows are {list(rows)}'
                )
    return tuple((first, second) for first, second in pairs)


def _read_folds(reader: _Reader) -> tuple[str | None, ...]:
    folds = reader.get('folds', (list, tuple), (), 'a list of values of `fold_variable`')
    variable = reader.get('fold_variable', str, None, 'the name of an environment variable')
    if bool(folds) != bool(variable):
        raise StudyError(
            f'{reader.where}: `folds` and `fold_variable` belong together: the values, and the '
            'environment variable by which the configs choose a fold'
        )
    names = [str(fold) for fold in folds]
    if len(set(names)) < len(names) or not all(_NAME.fullmatch(name) for name in names):
        raise StudyError(f'{reader.where}: `folds` must be different plain names, got {names}')
    return tuple(names) or (None,)


def load_study(file: str | Path, results: str | None = None) -> Study:
    """Read and check a study file.

    Args:
        file: A Python config with the fields of :class:`Study`.
        results: Replaces the file's ``results``.

    Raises:
        StudyError: If a field is missing, unknown or wrong.
    """
    file = str(file)
    if not Path(file).is_file():
        raise StudyError(f'study file {file} does not exist')
    content = Config.fromfile(file)._cfg_dict.to_dict()
    known = [f.name for f in fields(Study) if f.name != 'file']
    reader = _Reader(file, content, known)
    rows = _read_rows(file, reader.need('rows', (list, tuple), 'a list of rows'))
    name = _name(reader, reader.get('name', str, Path(file).stem, 'a short name'))
    work_dir = Path(reader.get('work_dir', str, f'work_dirs/studies/{name}', 'a folder'))
    default = str(work_dir / f'{name}.json')
    target = Path(results or reader.get('results', str, default, 'the path of a .json file'))
    if target.suffix != '.json':
        raise StudyError(f'{file}: `results` must name a .json file, got {target}')
    resamples = reader.get('resamples', int, 1000, 'a whole number')
    if resamples < 100:
        raise StudyError(f'{file}: `resamples` must be at least 100, got {resamples}')
    return Study(
        rows=rows,
        seeds=_read_seeds(reader),
        name=name,
        title=reader.get('title', str, name, 'a text'),
        cfg_options=reader.get('cfg_options', dict, {}, 'a dict of settings by dotted key'),
        detector_options=reader.get(
            'detector_options', dict, {}, 'a dict of settings by dotted key'
        ),
        compare=_read_compare(reader, rows),
        metric=reader.get('metric', str, 'mAP', "a metric's name"),
        fold_variable=content.get('fold_variable'),
        folds=_read_folds(reader),
        data=tuple(reader.get('data', (list, tuple), (), 'a list of files')),
        code_version=str(content.get('code_version', '1')),
        test_on_training=reader.get('test_on_training', bool, True, 'True or False'),
        resamples=resamples,
        work_dir=work_dir,
        results=target,
        file=file,
    )
