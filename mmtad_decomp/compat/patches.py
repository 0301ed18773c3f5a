"""Patches for MMEngine 0.10, MMCV 2.1 and MMAction2 1.2 on today's Python stack.

Each patch fixes one thing, does nothing where the thing works, and may run twice.
"""

import functools
import importlib
import importlib.util
import inspect
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def _alias_removed_numpy_names() -> None:
    """NumPy 2 removed names that MMAction2's evaluators and transforms still use."""
    for old, new in (
        ('trapz', 'trapezoid'),
        ('Inf', 'inf'),
        ('NAN', 'nan'),
        ('in1d', 'isin'),
    ):
        if old not in np.__dict__:
            setattr(np, old, getattr(np, new))


def _provide_missing_drn() -> None:
    """MMAction2's wheel imports ``localizers.drn`` but does not ship it."""
    name = 'mmaction.models.localizers.drn'
    if f'{name}.drn' in sys.modules:
        return
    spec = importlib.util.find_spec('mmaction')
    if spec is None or not spec.submodule_search_locations:
        return
    root = spec.submodule_search_locations[0]
    if importlib.machinery.PathFinder.find_spec('drn', [f'{root}/models/localizers']):
        return

    class DRN:
        """Stands in for MMAction2's DRN, which its wheel does not contain."""

        def __init__(self, *args, **kwargs):
            raise ImportError('DRN is not part of the installed mmaction2 wheel')

    package, module = types.ModuleType(name), types.ModuleType(f'{name}.drn')
    package.__path__ = []
    vars(package)['drn'], vars(module)['DRN'] = module, DRN
    sys.modules[name], sys.modules[f'{name}.drn'] = package, module


def _disable_multimodal_models() -> None:
    """MMAction2 imports its multimodal models whenever ``transformers`` is installed.

    They also need ``timm``, and names that Transformers 5 no longer has. Neither is needed here.
    """
    transformers = importlib.util.find_spec('transformers')
    if transformers is None or not transformers.submodule_search_locations:
        return
    modeling = Path(transformers.submodule_search_locations[0]) / 'modeling_utils.py'
    usable = 'apply_chunking_to_forward' in modeling.read_text(encoding='utf-8')
    if importlib.util.find_spec('timm') is None or not usable:
        import mmaction.utils.dependency as dependency

        dependency.WITH_MULTIMODAL = False


def _admit_own_configs() -> None:
    """MMEngine resolves ``_base_ = 'package::...'`` for a fixed table of packages only.

    It looks for the configs of installed packages only, and marks what these bases build with the
    package's name as the registry scope. Those of this package are found in a source tree too, and
    marked ``mmaction``, since its modules are in MMAction2's registries.
    """
    from mmengine.config import Config
    from mmengine.config.utils import MODULE2PACKAGE

    own = __package__.partition('.')[0]
    if own in MODULE2PACKAGE:
        return
    MODULE2PACKAGE[own] = own
    resolve = Config._get_cfg_path

    def resolve_with_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        package, _, name = cfg_path.partition('::')
        if package == own:
            return str(_own_config(name)), 'mmaction'
        return resolve(cfg_path, filename)

    Config._get_cfg_path = staticmethod(resolve_with_scope)


def _own_config(name: str) -> Path:
    """A config by its path below ``configs/``, of a wheel or of the source tree.

    Raises:
        FileNotFoundError: If there is none.
    """
    package = Path(__file__).resolve().parents[1]
    folders = [package / '.mim' / 'configs', package.parent / 'configs']
    for folder in folders:
        for file in (folder / name, folder / f'{name}.py'):
            if file.is_file():
                return file
    raise FileNotFoundError(
        f'{package.name}::{name}: {" and ".join(map(str, folders))} have no such config; write '
        'its path below configs/, such as baseline/actionformer_tsm18_thumos.py'
    )


def _distribute_without_gpus() -> None:
    """MMEngine selects a CUDA device for every process, with gloo on the CPU as well."""
    from mmengine.dist import utils

    for name in ('_init_dist_pytorch', '_init_dist_slurm', '_init_dist_mpi'):
        with_gpus = getattr(utils, name)
        if not hasattr(with_gpus, '__wrapped__'):
            setattr(utils, name, _without_cuda_device(with_gpus))


def _without_cuda_device(init: Callable[..., None]) -> Callable[..., None]:
    """A function of MMEngine that sets up distribution, whether or not there is a GPU."""
    import torch

    @functools.wraps(init)
    def init_dist(backend: str, **kwargs) -> None:
        if torch.cuda.is_available() or backend != 'gloo':
            return init(backend, **kwargs)
        set_device = torch.cuda.set_device
        torch.cuda.set_device = lambda device: None
        try:
            init(backend, **kwargs)
        finally:
            torch.cuda.set_device = set_device

    return init_dist


def _keep_proposal_scores() -> None:
    """MMAction2's ``TCANet.predict`` overwrites the proposals' scores with the video's index, 0.

    Every refined proposal then has score 0, and no ranking is left. Here the score is the
    proposal's own times the estimated tIoU, as the method and the rest of that function have it.
    """
    from mmaction.models.localizers import tcanet

    if 'scores = proposals[:, :, 2]\n' not in inspect.getsource(tcanet.TCANet.predict):
        return

    def predict(self, batch_inputs, batch_data_samples, **kwargs) -> list[dict]:
        import torch

        sample = batch_data_samples[0]
        features = self._forward(batch_inputs)[:1]
        given = sample.proposals['proposals'].to(features)
        features, segments = features.expand(len(given), -1, -1), given[:, :2]
        refined = []
        for stage, threshold in ((self.tbr1, 0.5), (self.tbr2, 0.6), (self.tbr3, 0.7)):
            tiou, segments = stage(segments, features, None, threshold, False)[:2]
            refined.append(torch.cat([segments, (given[:, 2] * tiou)[:, None]], dim=1))
        proposals = tcanet.post_processing(
            torch.cat(refined).cpu().numpy(),
            sample.metainfo,
            self.soft_nms_alpha,
            self.soft_nms_low_threshold,
            self.soft_nms_high_threshold,
            self.post_process_top_k,
            self.feature_extraction_interval,
        )
        return [dict(video_name=sample.metainfo['video_name'], proposal_list=proposals)]

    tcanet.TCANet.predict = predict


def _recompute_with_all_gradients() -> None:
    """MMEngine's ``activation_checkpointing`` recomputes in PyTorch's old, reentrant way.

    A module whose input has no gradient, such as a backbone, then gets none itself and stays
    untrained; named tuples become plain ones, and keyword arguments are refused.
    """
    module = importlib.import_module('mmengine.runner.activation_checkpointing')
    if 'use_reentrant' in inspect.getsource(module):
        return

    def wrap_forward(forward: Callable[..., Any]) -> Callable[..., Any]:
        return functools.wraps(forward)(
            functools.partial(module.checkpoint, forward, use_reentrant=False)
        )

    vars(module)['wrap_forward'] = wrap_forward


def _load_checkpoints_as_data() -> None:
    """MMEngine's loaders of checkpoints run the code that a pickle names."""
    from .checkpoint_loaders import register_loaders

    register_loaders()


def _silence_known_notices() -> None:
    """Notices that users can do nothing about.

    MMAction2's transforms use MMEngine's old file client, which announces its end at each use, and
    mmcv-lite tells at each import that it lacks an operator that nothing here needs.
    """
    file_client = importlib.import_module('mmengine.fileio.file_client')
    # It logs these notices and nothing else.
    vars(file_client)['print_log'] = lambda *args, **kwargs: None
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')


def _read_yaml_as_data() -> None:
    """MMEngine reads YAML with the loader that runs the code that a file names.

    Tuples, which it writes by Python's name for them, are data.
    """
    handler = importlib.import_module('mmengine.fileio.handlers.yaml_handler')
    yaml = handler.yaml
    safe = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    loader: Any = type('SafeLoader', (safe,), {})
    loader.add_constructor(
        'tag:yaml.org,2002:python/tuple',
        lambda own, node: tuple(own.construct_sequence(node, deep=True)),
    )
    vars(handler)['Loader'] = loader


def _format_each_config_once() -> None:
    """A Runner formats its config three times with yapf, which takes about a second each time."""
    module = importlib.import_module('mmengine.config.config')
    format_code = module.FormatCode
    if hasattr(format_code, 'cache_clear'):
        return

    @functools.lru_cache(maxsize=4)
    def formatted(source: str, style: tuple, options: tuple) -> tuple[str, bool]:
        return format_code(source, style_config=dict(style), **dict(options))

    @functools.wraps(format_code)
    def remember(source: str, style_config: dict, **options) -> tuple[str, bool]:
        return formatted(source, tuple(style_config.items()), tuple(options.items()))

    vars(remember)['cache_clear'] = formatted.cache_clear
    vars(module)['FormatCode'] = remember


def _import_scipy_stats_late() -> None:
    """MMAction2 imports ``scipy.stats`` for one function of one of its pose transforms.

    That takes about a fifth of the time of importing this package, in every process.
    """
    name = 'scipy.stats'
    if name in sys.modules or 'mmaction.datasets' in sys.modules:
        return
    stand_in = types.ModuleType(name)

    def load() -> types.ModuleType:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return importlib.import_module(name)

    def mode(*args, **kwargs):
        return load().mode(*args, **kwargs)

    def other(attribute: str):
        """Another function, of the real module; ``inspect`` asks all modules for their file."""
        if attribute.startswith('__'):
            raise AttributeError(attribute)
        return getattr(load(), attribute)

    vars(stand_in).update(mode=mode, __getattr__=other)
    sys.modules[name] = stand_in
    try:
        importlib.import_module('mmaction.datasets')
    finally:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]


def apply_to_configs() -> None:
    """Apply those of reading configs, which need no torch."""
    _admit_own_configs()
    _read_yaml_as_data()
    _format_each_config_once()


def apply() -> None:
    """Apply every patch."""
    apply_to_configs()
    _silence_known_notices()
    _alias_removed_numpy_names()
    _provide_missing_drn()
    _disable_multimodal_models()
    _import_scipy_stats_late()
    _distribute_without_gpus()
    _keep_proposal_scores()
    _recompute_with_all_gradients()
    _load_checkpoints_as_data()
