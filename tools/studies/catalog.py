"""The runs of a study: their configs, their folders, and what their results depend on."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger

from mmtad_decomp.evaluation.metrics.tad_metric import DEFAULT_TIOUS, find_rows, parse_tious
from mmtad_decomp.utils import class_name, of_class, resolve_checkpoint
from mmtad_decomp.utils.config_check import ConfigError, runner_keys
from tools.config_overrides import set_options

from .definition import Row, Study, StudyError

# Keys of a config that results do not depend on.
_WITHOUT_EFFECT = {
    'default_hooks',
    'launcher',
    'log_level',
    'log_processor',
    'randomness',
    'resume',
    'vis_backends',
    'visualizer',
    'work_dir',
    'experiment_name',
}
_WATCHING_HOOKS = {'OutputHealthHook'}
_LOADER_KEYS = {'num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor'}
_NAMING = {'main'}  # of an evaluator: names one of its metrics
_TESTING = ('val_', 'test_')
SUBSETS = ('validation', 'training')


@dataclass(frozen=True)
class Run:
    """One training: a row with a seed, on a fold where the study has folds."""

    row: str
    seed: int
    fold: str | None = None

    def of(self, row: str) -> Run:
        """The run of another row with the same seed and fold."""
        return Run(row, self.seed, self.fold)

    @property
    def key(self) -> str:
        """Such as ``rgb/seed0`` or ``rgb/seed0/fold03``."""
        return f'{self.row}/seed{self.seed}' + (f'/fold{self.fold}' if self.fold else '')


@contextlib.contextmanager
def _environment(name: str | None, value: str | None) -> Iterator[None]:
    """Set a variable, about which MMEngine would print a line for each config."""
    if name is None or value is None:
        yield
        return
    before = os.environ.get(name)
    logger = MMLogger.get_current_instance()
    level = logger.level
    os.environ[name] = value
    logger.setLevel('WARNING')
    try:
        yield
    finally:
        logger.setLevel(level)
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _digest(*parts: object) -> str:
    content = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


@cache
def _file_digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def detection_metric(cfg: Config, where: str) -> ConfigDict:
    """The TADMetric of a config's ``test_evaluator``.

    Raises:
        StudyError: If there is none.
    """
    found = of_class(cfg.get('test_evaluator'), 'TADMetric')
    if not found:
        raise StudyError(f'{where}: `test_evaluator` has no TADMetric, by which studies compare')
    return found[0]


def find_backbone(cfg: Config, where: str, field: str) -> tuple[str, ConfigDict]:
    """The prefix of a detector's backbone in a checkpoint, and the backbone's settings.

    In a distiller it is the student's.

    Args:
        cfg: The config.
        where: Study and row, for the message.
        field: Field of the study that needs a backbone, for the message.

    Raises:
        StudyError: If a model has no backbone, or several.
    """

    def search(node: ConfigDict, path: tuple[str, ...]) -> Iterator[tuple[str, ConfigDict]]:
        for key, value in node.items():
            if key == 'backbone' and isinstance(value, Mapping):
                yield '.'.join([*path, key]), value
            elif isinstance(value, Mapping) and key != 'teacher':
                yield from search(value, (*path, key))

    found = list(search(cfg.model, ()))
    if len(found) != 1:
        raise StudyError(
            f'{where}: `{field}` needs models with one `backbone` each, one has {len(found)}; '
            f'remove `{field}`, or name rows and configs that have a detector'
        )
    return found[0]


def training_config(cfg: Config, where: str) -> Config:
    """A config whose test is of the training videos, by the pipeline of testing.

    Raises:
        StudyError: If the data set of training names no annotation file.
    """
    cfg = copy.deepcopy(cfg)
    trained, tested = cfg.train_dataloader.dataset, cfg.test_dataloader.dataset
    if 'ann_file' not in trained:
        raise StudyError(
            f'{where}: `train_dataloader.dataset` ({trained.get("type")}) has no `ann_file`, so '
            'its videos cannot be tested; set `test_on_training = False` in the study'
        )
    same = trained.ann_file == tested.ann_file
    tested.ann_file, tested.subset = trained.ann_file, trained.get('subset')
    metric = detection_metric(cfg, where)
    metric.subset = tested.subset
    if not same:
        metric.ann_file = os.path.join(trained.get('data_root', ''), trained.ann_file)
    cfg.test_evaluator = metric
    return cfg


class Catalog:
    """All runs of a study.

    Args:
        study: Content of the study file.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self._configs: dict[tuple, Config] = {}
        self._marks: dict[tuple[Run, bool], str] = {}

    @cached_property
    def row_order(self) -> list[str]:
        """Rows in the order of the file, but after those that they need or fuse."""
        order: list[str] = []

        def add(name: str) -> None:
            row = self.study.rows[name]
            for other in (*row.fuse, *row.needs):
                add(other)
            if name not in order:
                order.append(name)

        for name in self.study.rows:
            add(name)
        return order

    def runs(
        self, rows: Sequence[str] | None = None, seeds: Sequence[int] | None = None
    ) -> list[Run]:
        """All runs in the order in which they are worked off: by seed, then fold, then row."""
        return [
            Run(row, seed, fold)
            for seed in self.study.seeds
            for fold in self.study.folds
            for row in self.row_order
            if (rows is None or row in rows) and (seeds is None or seed in seeds)
        ]

    def row(self, run: Run) -> Row:
        """The row of a run."""
        return self.study.rows[run.row]

    def teachers(self, run: Run) -> list[Run]:
        """The runs that teach a run: of the same seed and fold."""
        return [run.of(name) for name in self.row(run).teacher]

    def start(self, run: Run) -> Run | None:
        """The run whose backbone a run starts from: of the same seed and fold."""
        start = self.row(run).start
        return None if start is None else run.of(start)

    def needs(self, run: Run) -> list[Run]:
        """The runs that are trained before a run: of the same seed and fold."""
        return [run.of(name) for name in self.row(run).needs]

    def parts(self, run: Run) -> list[Run]:
        """The runs that a run fuses, of the same seed and fold; none for one that trains."""
        return [run.of(name) for name in self.row(run).fuse]

    @property
    def subsets(self) -> tuple[str, ...]:
        """Subsets that runs are tested on; ``training`` shows overfitting."""
        return SUBSETS if self.study.test_on_training else SUBSETS[:1]

    def raw_files(self, run: Run) -> dict[str, Path]:
        """Raw predictions of each subset, of a run that another row fuses; else none."""
        if not any(run.row in row.fuse for row in self.study.rows.values()):
            return {}
        return {name: self.test_folder(run) / f'{name}-raw.npz' for name in self.subsets}

    def config(self, run: Run) -> Config:
        """The resolved config of a run, with its seed and the work directories that it needs."""
        cfg = copy.deepcopy(self._resolved(run.row, run.fold))
        cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': run.seed}
        teachers = [str(self.folder(teacher) / 'train') for teacher in self.teachers(run)]
        if teachers:
            cfg.model.teacher_checkpoint = teachers if len(teachers) > 1 else teachers[0]
        start = self.start(run)
        if start is not None:
            folder = str(self.folder(start) / 'train')
            file = resolve_checkpoint(folder) if self.is_trained(start) else folder
            where = self.where(run.row)
            prefix, _ = find_backbone(self._resolved(start.row, run.fold), where, 'start')
            _, backbone = find_backbone(cfg, where, 'start')
            backbone.init_cfg = dict(type='Pretrained', checkpoint=file, prefix=prefix)
        return cfg

    def test_configs(self, run: Run) -> dict[str, Config]:
        """The resolved config by which a run is tested on each of the :attr:`subsets`.

        Raises:
            StudyError: If the data set of training names no annotation file.
        """
        cfg = self.config(run)
        configs = dict(validation=cfg)
        if self.study.test_on_training:
            configs['training'] = training_config(cfg, self.row(run).config)
        return configs

    def where(self, row: str) -> str:
        """Study, row and its config, for messages."""
        return f'{self.study.file}: row {row!r}: {self.study.rows[row].config}'

    def _resolved(self, name: str, fold: str | None) -> Config:
        if (name, fold) not in self._configs:
            row = self.study.rows[name]
            with _environment(self.study.fold_variable, fold):
                cfg = Config.fromfile(row.config)
            inside = self._detector_options(cfg, name)
            options = {**self.study.cfg_options, **inside, **row.cfg_options}
            try:
                set_options(cfg, options, 'cfg_options')
            except ConfigError as error:
                raise StudyError(f'{self.study.file}: row {name!r}: {error}') from error
            self._check_teacher(row, cfg)
            self._check_metric(detection_metric(cfg, self.where(name)), name)
            if row.start is not None:
                for other in (cfg, self._resolved(row.start, fold)):
                    find_backbone(other, self.where(name), 'start')
            self._configs[name, fold] = cfg
        return self._configs[name, fold]

    def _detector_options(self, cfg: Config, row: str) -> dict[str, object]:
        """The study's ``detector_options`` by their keys in a row's config."""
        options = self.study.detector_options
        if not options:
            return {}
        backbone, _ = find_backbone(cfg, self.where(row), 'detector_options')
        place = f'model.{backbone}'.removesuffix('backbone')
        return {f'{place}{key}': value for key, value in options.items()}

    def _check_metric(self, evaluator: Mapping, row: str) -> None:
        try:
            thresholds = parse_tious(evaluator.get('tious', DEFAULT_TIOUS), evaluator.get('main'))
            find_rows(self.study.metric, *thresholds)
        except ValueError as error:
            raise StudyError(
                f'{self.where(row)}: {error}; correct `metric` of the study, or `tious` of the '
                "config's `test_evaluator`"
            ) from error

    def _check_teacher(self, row: Row, cfg: Config) -> None:
        where = f'{self.study.file}: row {row.name!r}'
        distils = 'teacher_checkpoint' in cfg.model
        if row.teacher and not distils:
            raise StudyError(
                f'{where} has `teacher` {row.teacher[0]!r}, but {row.config} has no '
                '`model.teacher_checkpoint`; remove `teacher`, or name the config of a student'
            )
        if not row.teacher and cfg.model.get('teacher_checkpoint') is not None:
            raise StudyError(
                f'{where}: {row.config} distils from the fixed checkpoint '
                f'{cfg.model.teacher_checkpoint}; name the row of its teacher in `teacher`, so '
                'that each seed has the teacher of its own'
            )

    def training_mark(self, run: Run) -> str:
        """Hash of all that a training depends on."""
        return self._mark(run, testing=False)

    def mark(self, run: Run) -> str:
        """Hash of all that a result depends on: training, test data, post-processing, metric."""
        return self._mark(run, testing=True)

    def _mark(self, run: Run, testing: bool) -> str:
        if (run, testing) not in self._marks:
            cfg = self._resolved(run.row, run.fold)
            start = self.start(run)
            teachers = [self.training_mark(teacher) for teacher in self.teachers(run)]
            parts = [self._mark(part, testing) for part in self.parts(run)]
            if start is not None:
                parts.append(self.training_mark(start))
            self._marks[run, testing] = _digest(
                relevant_settings(cfg, testing),
                self._data_digests(cfg, testing),
                teachers if len(teachers) > 1 else teachers[0] if teachers else None,
                run.seed,
                self.study.code_version,
                self.study.test_on_training and testing,
                *parts,
            )
        return self._marks[run, testing]

    def _data_digests(self, cfg: Config, testing: bool) -> list[str]:
        loaders = ('train_dataloader', 'test_dataloader') if testing else ('train_dataloader',)
        files = list(self.study.data)
        for loader in loaders:
            dataset = cfg[loader].get('dataset') or {}
            if dataset.get('ann_file'):
                files.append(os.path.join(dataset.get('data_root') or '', dataset['ann_file']))
        missing = [file for file in files if not os.path.isfile(file)]
        if missing:
            raise StudyError(
                f'{self.study.file}: data file {missing[0]} does not exist; prepare the data set '
                'with its script under tools/data/, or correct `data` of the study'
            )
        return [_file_digest(file) for file in files]

    def folder(self, run: Run) -> Path:
        """Where a run trains; another training of the same row and seed has another one."""
        name = f'seed{run.seed}' + (f'-fold{run.fold}' if run.fold else '')
        return self.study.work_dir / run.row / f'{name}-{self.training_mark(run)[:8]}'

    def test_folder(self, run: Run) -> Path:
        """Where a run's tests and their detections are."""
        return self.folder(run) / f'test-{self.mark(run)[:8]}'

    def is_trained(self, run: Run) -> bool:
        """Whether the training has ended and its checkpoint is there."""
        if not (self.folder(run) / 'trained.json').is_file():
            return False
        try:
            resolve_checkpoint(self.folder(run) / 'train')
        except FileNotFoundError:
            return False
        return True


def relevant_settings(cfg: Config, testing: bool) -> dict:
    """The settings of a config that results depend on, as plain types.

    Args:
        cfg: A resolved config.
        testing: Include those of tests; without them it is what a training depends on.
    """
    content = cfg._cfg_dict.to_dict()
    keys = runner_keys() - _WITHOUT_EFFECT
    kept = {
        key: value
        for key, value in content.items()
        if key in keys and (testing or not key.startswith(_TESTING))
    }
    # studies never validate in training
    kept = {key: value for key, value in kept.items() if not key.startswith('val_')}
    kept['model'] = _without({'teacher_checkpoint'}, kept['model'])
    for key, value in kept.items():
        if key.endswith('_dataloader'):
            kept[key] = _without(_LOADER_KEYS, value)
        elif key.endswith('_evaluator'):
            several = isinstance(value, (list, tuple))
            kept[key] = (
                [_without(_NAMING, e) for e in value] if several else _without(_NAMING, value)
            )
    train = kept.get('train_cfg') or {}
    kept['train_cfg'] = {k: v for k, v in train.items() if not k.startswith('val_')}
    hooks = kept.get('custom_hooks') or []
    kept['custom_hooks'] = [
        hook for hook in hooks if class_name(hook.get('type')) not in _WATCHING_HOOKS
    ]
    averaging = (content.get('default_hooks') or {}).get('ema')
    if averaging:  # the one default hook that results depend on
        kept['ema'] = averaging
    return kept


def _without(keys: Set[str], value: Any) -> Any:
    """A dict without some keys; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    return {key: item for key, item in value.items() if key not in keys}
