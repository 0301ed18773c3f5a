"""Take the SlowFast50 encoder out of a checkpoint of E2E-TAD.

    python tools/model_converters/slowfast_e2e.py SRC DST

``SRC`` is what E2E-TAD's training writes: ``{"model": ..., "args": ..., "cfg": ...}``, whose
encoder is ``backbone.backbone.slow_path.*`` and ``backbone.backbone.fast_path.*``; its settings
are skipped. ``DST`` is for a ``VideoEncoder`` with ``FusedSlowFast`` and its default
``slow_alignment='half_pixel'``, which is E2E-TAD's upsampling:
``backbone.init_cfg=dict(type='Pretrained', checkpoint=DST)``. The detection head is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main
from tools.model_converters.common import (
    backbone_parser,
    fit_to_encoder,
    read_weights,
    write_weights,
)

if TYPE_CHECKING:
    from torch import Tensor

_PATHS = ('slow_path.', 'fast_path.')
_STAGES = {50: 6, 101: 23, 152: 36}
"""Blocks of stage 3 by depth, which is what tells the depths apart."""


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename E2E-TAD's encoder to a VideoEncoder's.

    Args:
        state: Weights of the detector (``backbone.backbone.slow_path.*`` and others) or of its
            encoder alone.

    Returns:
        Weights by names that begin with ``backbone.``; the head's are left out.

    Raises:
        CheckpointError: If there is no SlowFast encoder among them.
    """
    from mmtad_decomp.utils import CheckpointError

    converted = {}
    for name, value in state.items():
        short = name
        while short.startswith('backbone.'):
            short = short.removeprefix('backbone.')
        if short.startswith(_PATHS):
            converted[f'backbone.{short}'] = value
    if not converted:
        raise CheckpointError(
            'no weight is named backbone.backbone.slow_path.* or fast_path.*, so this is no '
            f'SlowFast detector of E2E-TAD; the names begin with {sorted(state)[:3]}'
        )
    return converted


def depth_of(state: Mapping[str, Tensor]) -> int:
    """Depth of a converted SlowFast, by the number of blocks of its third stage.

    Raises:
        CheckpointError: If it is none of 50, 101 and 152.
    """
    from mmtad_decomp.utils import CheckpointError

    start = 'backbone.slow_path.layer3.'
    blocks = {name.removeprefix(start).split('.')[0] for name in state if name.startswith(start)}
    for depth, count in _STAGES.items():
        if len(blocks) == count:
            return depth
    raise CheckpointError(
        f'stage 3 of the slow path has {len(blocks)} blocks; {_STAGES} are known by depth'
    )


def convert(
    src: str | Path,
    dst: str | Path,
    stem_init: str | None = None,
    in_channels: int | None = None,
    prefix: str = '',
) -> tuple[int, int]:
    """Convert a file.

    Args:
        src: E2E-TAD's checkpoint.
        dst: File to write.
        stem_init: How the first convolutions get another number of input channels.
        in_channels: Input channels of the result; None: 3.
        prefix: Prepended to every name.

    Returns:
        Depth of the network and number of tensors.

    Raises:
        FileNotFoundError: If ``src`` does not exist.
        CheckpointError: If it cannot be read or lacks weights of the encoder.
    """
    from mmaction.registry import MODELS
    from mmengine.registry import init_default_scope

    converted = convert_state_dict(read_weights(src))
    depth = depth_of(converted)
    init_default_scope('mmaction')
    encoder = MODELS.build(
        dict(
            type='VideoEncoder',
            in_channels=in_channels,
            backbone=dict(type='FusedSlowFast', depth=depth),
        )
    )
    weights = fit_to_encoder(src, converted, encoder, stem_init)
    write_weights(dst, weights, 'E2E-TAD', [src], prefix)
    return depth, len(weights)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = backbone_parser(__doc__, 'checkpoint of E2E-TAD')
    parser.add_argument('--in-channels', type=int, help='input channels of the result (3)')
    args = parser.parse_args(argv)

    depth, count = convert(args.src, args.dst, args.stem_init, args.in_channels, args.prefix)
    print(f'SlowFast{depth}: {count} tensors written to {args.dst}')


if __name__ == '__main__':
    sys.exit(run_main(main))
