"""Convert a checkpoint of G-TAD to one that this project's G-TAD detector loads.

    python tools/model_converters/gtad.py SRC DST

``SRC`` is what G-TAD's training writes (``GTAD_best.pth.tar``), or a plain state dict. ``DST``
gets ``{"meta": ..., "state_dict": ...}`` with names under ``head.``, for ``load_from``. The
settings of the head that it fits are printed; the longest duration and how the samples of a pair
are shared between inner and context ones leave no trace in the weights. Sub-graphs must take
their context from the neighbours of the last layer (``goi_style`` 1, the default).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main
from tools.model_converters.common import demand_fit, read_weights, write_weights

if TYPE_CHECKING:
    from torch import Tensor

# Official names on the left, names within GTADHead on the right.
_MODULES: tuple[tuple[str, str], ...] = (
    (r'backbone1\.0', 'embed'),
    (r'backbone1\.2', 'base_block'),
    (r'regu_s\.0', 'start_branch.block'),
    (r'regu_s\.1', 'start_branch.predictor'),
    (r'regu_e\.0', 'end_branch.block'),
    (r'regu_e\.1', 'end_branch.predictor'),
    (r'backbone2\.0', 'map_block'),
    (r'localization\.0', 'map_branch.align'),
    (r'localization\.2', 'map_branch.reduce'),
    (r'localization\.4', 'map_branch.convs.0'),
    (r'localization\.6', 'map_branch.convs.1'),
    (r'localization\.8', 'map_branch.predictor'),
)
_BLOCK = re.compile(r'\.([ts])convs\.([024])')
_PATHS = {'t': 'temporal', 's': 'semantic'}
_LAYERS = {'0': 'in', '2': 'mid', '4': 'out'}
# Of the first convolution in every release; the weights alone do not tell.
_EMBED_GROUPS = 4


def _rename(name: str) -> str | None:
    for pattern, module in _MODULES:
        match = re.fullmatch(pattern + r'(\.[ts]convs\.[024])?\.(weight|bias)', name)
        if match and bool(match[1]) == module.endswith('block'):
            layer = _BLOCK.fullmatch(match[1]) if match[1] else None
            inner = f'.{_PATHS[layer[1]]}_{_LAYERS[layer[2]]}' if layer else ''
            return f'{module}{inner}.{match[2]}'
    return None


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and reshape the weights of an official G-TAD to those of a GTADHead.

    The official semantic convolutions are 1x1 in 2-D, here they are 1-D; the first convolution of
    the map has a channel for each channel and sample, here samples are an axis of their own.

    Args:
        state: Weights by official name (``backbone1.0.weight``, ...).

    Returns:
        Weights by the names of a :class:`~mmtad_decomp.models.heads.GTADHead` with one class.

    Raises:
        CheckpointError: If names are unknown or missing (all are listed), or the shapes are not
            those of a G-TAD.
    """
    from mmtad_decomp.utils import CheckpointError

    converted, unknown = {}, []
    for name, value in state.items():
        new_name = _rename(name)
        if new_name is None:
            unknown.append(name)
        elif 'semantic' in new_name and new_name.endswith('.weight'):
            converted[new_name] = value.squeeze(-1).clone()
        else:
            converted[new_name] = value.clone()
    if unknown:
        raise CheckpointError(
            f'{len(unknown)} names are not those of G-TAD: {", ".join(sorted(unknown))}'
        )
    missing = sorted(_expected_names() - set(converted))
    if missing:
        raise CheckpointError(
            f'expected the weights of a whole G-TAD, but nothing gives {", ".join(missing)}'
        )
    channels = len(converted['embed.weight'])
    weight = converted['map_branch.align.weight']
    if weight.shape[1] % channels:
        raise CheckpointError(
            f'localization.0.weight has {weight.shape[1]} input channels, which is no multiple of '
            f'the {channels} channels of the graph (backbone1.0); this is not a G-TAD'
        )
    converted['map_branch.align.weight'] = weight.reshape(len(weight), channels, -1)
    return converted


def _expected_names() -> set[str]:
    modules = []
    for _, module in _MODULES:
        if module.endswith('block'):
            modules += [f'{module}.{p}_{x}' for p in _PATHS.values() for x in _LAYERS.values()]
        else:
            modules.append(module)
    return {f'{module}.{part}' for module in modules for part in ('weight', 'bias')}


def head_settings(state: Mapping[str, Tensor]) -> dict:
    """Settings of the GTADHead that converted weights fit.

    The samples of a pair are taken for 16 inner and 16 context ones where there are 32 (THUMOS'14)
    and for 32 and the rest where there are more (ActivityNet: 32 and 4).

    Args:
        state: Result of :func:`convert_state_dict`.
    """
    embed = state['embed.weight']
    mid = state['base_block.temporal_mid.weight']
    align = state['map_branch.align.weight']
    samples = align.shape[2]
    inner = 32 if samples > 32 else samples // 2
    groups = len(mid) // mid.shape[1]
    return dict(
        num_classes=len(state['map_branch.predictor.weight']) - 1,
        in_channels=embed.shape[1] * _EMBED_GROUPS,
        channels=len(embed),
        embed_groups=_EMBED_GROUPS,
        graph=dict(groups=groups, width_per_group=mid.shape[1]),
        map_branch=dict(
            kernel_size=state['map_branch.convs.0.weight'].shape[-1],
            align_channels=len(align),
            map_channels=len(state['map_branch.reduce.weight']),
            align=dict(num_inner=inner, num_context=samples - inner),
        ),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', help="G-TAD's checkpoint")
    parser.add_argument('dst', help='file to write')
    parser.add_argument('--prefix', default='head.', help='put before every name (%(default)s)')
    args = parser.parse_args(argv)

    converted = convert_state_dict(read_weights(args.src))
    settings = head_settings(converted)
    demand_fit(converted, dict(type='GTADHead', **settings))
    write_weights(args.dst, converted, 'G-TAD', [args.src], args.prefix)
    listed = ', '.join(f'{name}={value!r}' for name, value in settings.items())
    print(f"{len(converted)} tensors written to {args.dst}, for dict(type='GTADHead', {listed})")


if __name__ == '__main__':
    sys.exit(run_main(main))
