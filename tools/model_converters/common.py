"""Shared part of the converters of backbones: reading, checking and writing weights."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

STEM_INITS = ('average', 'inflate')
"""Those of the package, which takes seconds to import."""

_TENSOR_PARTS = re.compile(
    r'torch\._utils\._rebuild_(tensor|tensor_v2|parameter)|torch\.(\w*Storage|Size|device)'
    r'|torch\.storage\.\w+|torch\.nn\.parameter\.Parameter|collections\.OrderedDict'
)


class _Inert(dict):
    """Stands in for an object of a class that is not wanted; takes everything, does nothing."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()

    def __call__(self, *args: object, **kwargs: object) -> _Inert:
        return _Inert()

    def __setstate__(self, state: object) -> None:
        pass

    def append(self, item: object) -> None:
        pass

    def extend(self, items: object) -> None:
        pass


class _TensorUnpickler(pickle.Unpickler):
    """Makes tensors, and :class:`_Inert` of whatever else a pickle asks for."""

    def find_class(self, module: str, name: str) -> type:
        if _TENSOR_PARTS.fullmatch(f'{module}.{name}'):
            return super().find_class(module, name)
        return _Inert


def _load_tensors_only(path: Path) -> dict:
    """Read a checkpoint that names classes of its writer, without importing or running them."""
    import torch

    from mmtad_decomp.utils import CheckpointError

    reader = SimpleNamespace(
        __name__=__name__,
        Unpickler=_TensorUnpickler,
        load=lambda file, **kwargs: _TensorUnpickler(file).load(),
    )
    try:
        content = torch.load(path, map_location='cpu', weights_only=False, pickle_module=reader)
    except Exception as error:
        raise CheckpointError(f'checkpoint {path} cannot be read: {error!r}') from error
    if not isinstance(content, dict):
        raise CheckpointError(f'checkpoint {path} holds a {type(content).__name__}, not a dict')
    return content


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Weights of a checkpoint by name, without the ``module.`` of a parallel wrapper.

    They are what the file holds under ``state_dict`` or ``model``, or the file itself. Other
    objects that training scripts put beside them (arguments, settings) are skipped without
    running code of the file.

    Args:
        path: The checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file cannot be read or holds no weights.
    """
    from torch import Tensor

    from mmtad_decomp.utils import CheckpointError, UnsafeCheckpointError, load_checkpoint

    try:
        content = load_checkpoint(path)
    except UnsafeCheckpointError:
        content = _load_tensors_only(Path(path))
    for key in ('state_dict', 'model'):
        if isinstance(content.get(key), Mapping):
            content = content[key]
            break
    weights = {
        name.removeprefix('module.'): value
        for name, value in content.items()
        if isinstance(value, Tensor)
    }
    if not weights:
        raise CheckpointError(
            f'checkpoint {path} holds no weights: neither "state_dict" nor "model", and its own '
            f'keys {sorted(map(str, content))[:5]} are no tensors'
        )
    return weights


def fit_to_encoder(
    path: str | Path, state: Mapping[str, Tensor], encoder: nn.Module, stem_init: str | None
) -> dict[str, Tensor]:
    """Weights as an encoder takes them.

    Args:
        path: Where they come from, for messages.
        state: Weights under the encoder's names (``backbone.*``); others are left out.
        encoder: A :class:`~mmtad_decomp.models.backbones.VideoEncoder`.
        stem_init: How the first convolutions are adapted if they read another number of channels.

    Raises:
        CheckpointError: If a weight is missing or of another shape.
    """
    from mmtad_decomp.models.backbones.pretrained import check_fit
    from mmtad_decomp.models.backbones.stems import adapt_state_dict, stem_weight_keys
    from mmtad_decomp.utils import CheckpointError

    keys = stem_weight_keys(encoder.backbone, 'backbone.')
    found = {state[key].shape[1] for key in keys if key in state}
    if found and found != {encoder.in_channels}:
        if stem_init is None:
            raise CheckpointError(
                f'checkpoint {path}: its first convolution reads {sorted(found)} channels, '
                f'{encoder.in_channels} are wanted; say how to adapt it (`stem_init`: one of '
                f'{", ".join(STEM_INITS)})'
            )
        state = adapt_state_dict(state, keys, encoder.in_channels, stem_init)
    try:
        check_fit(str(path), state, encoder)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    return {key: state[key].clone() for key in encoder.state_dict() if key in state}


def demand_fit(state: Mapping[str, Tensor], config: dict) -> None:
    """Load converted weights into the model that they are for, all of them and nothing else.

    Args:
        state: Converted weights by name.
        config: Config of the model.

    Raises:
        CheckpointError: If a weight is missing, left over or of another shape.
    """
    from mmaction.registry import MODELS
    from mmengine.registry import init_default_scope

    from mmtad_decomp.utils import CheckpointError

    init_default_scope('mmaction')
    model = MODELS.build(config)
    try:
        model.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        text = ' '.join(str(error).split())
        raise CheckpointError(
            f'the converted weights do not fit {config["type"]}: {text[:500]}'
        ) from error


def write_weights(
    path: str | Path,
    state: Mapping[str, Tensor],
    origin: str,
    read: Sequence[str | Path],
    prefix: str = '',
) -> None:
    """Write ``{"meta": {"source": ...}, "state_dict": ...}``, whole or not at all.

    Args:
        path: The file.
        state: Weights by name.
        origin: Whose weights they are.
        read: Files that they were made from.
        prefix: Prepended to every name.

    Raises:
        OutputPathError: If ``path`` is one of ``read``.
    """
    import torch

    from mmtad_decomp.utils import atomic_write, demand_sources_kept

    demand_sources_kept(path, read)
    named = {prefix + name: value for name, value in state.items()}
    with atomic_write(Path(path)) as file:
        torch.save({'meta': {'source': origin}, 'state_dict': named}, file)


def backbone_parser(
    description: str | None, source: str, with_config: bool = False
) -> argparse.ArgumentParser:
    """A parser with the arguments that the converters of backbones have in common.

    Args:
        description: The tool's docstring.
        source: Description of ``src``.
        with_config: Whether a ``config`` comes first.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if with_config:
        parser.add_argument('config', help='config whose encoder the weights are for')
    parser.add_argument('src', help=source)
    parser.add_argument('dst', help='file to write')
    parser.add_argument(
        '--prefix',
        default='',
        help='put before every name: nothing for the `init_cfg` of a VideoEncoder (default), '
        '`backbone.` for the `load_from` of a detector',
    )
    parser.add_argument(
        '--stem-init',
        choices=STEM_INITS,
        help='how the first convolution gets another number of input channels',
    )
    return parser
