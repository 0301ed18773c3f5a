"""Convert a checkpoint of the widely used PyTorch port of I3D to one that VideoEncoder loads.

    python tools/model_converters/i3d.py rgb_imagenet.pt checkpoints/i3d_rgb.pth
    python tools/model_converters/i3d.py flow_imagenet.pt checkpoints/i3d_flow.pth

``SRC`` has names such as ``Conv3d_1a_7x7.conv3d.weight`` and ``Mixed_3b.b1a.bn.running_mean``, for
RGB or for flow. The classifier is left out. ``DST`` is for
``backbone.init_cfg=dict(type='Pretrained', checkpoint=DST)``.
"""

from __future__ import annotations

import re
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

_BLOCKS = {
    'Conv3d_1a_7x7': 'stem',
    'Conv3d_2b_1x1': 'stage1.1',
    'Conv3d_2c_3x3': 'stage1.2',
    **{f'Mixed_3{letter}': f'stage2.{i}' for i, letter in enumerate('bc', 1)},
    **{f'Mixed_4{letter}': f'stage3.{i}' for i, letter in enumerate('bcdef', 1)},
    **{f'Mixed_5{letter}': f'stage4.{i}' for i, letter in enumerate('bc', 1)},
}
_BRANCHES = {
    'b0': 'branch0',
    'b1a': 'branch1.0',
    'b1b': 'branch1.1',
    'b2a': 'branch2.0',
    'b2b': 'branch2.1',
    'b3b': 'branch3.1',
}
_NAME = re.compile(
    r'(?P<block>\w+?)(\.(?P<branch>b\d[ab]?))?\.'
    r'(?P<leaf>conv3d\.weight|bn\.(weight|bias|running_mean|running_var|num_batches_tracked))'
)
_CLASSIFIER = re.compile(r'logits\..*')
_STEM = 'Conv3d_1a_7x7.conv3d.weight'


def _rename(name: str) -> str | None:
    match = _NAME.fullmatch(name)
    if match is None or match['block'] not in _BLOCKS:
        return None
    is_block = match['block'].startswith('Mixed')
    if is_block != (match['branch'] in _BRANCHES):
        return None
    parts = [_BLOCKS[match['block']]] + ([_BRANCHES[match['branch']]] if is_block else [])
    return '.'.join([*parts, match['leaf'].replace('conv3d', 'conv')])


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the port's weights to those of a VideoEncoder with ``InceptionI3D``.

    Args:
        state: Weights by the port's names.

    Returns:
        Weights by names that begin with ``backbone.``.

    Raises:
        CheckpointError: If a name is unknown (all of them are listed).
    """
    from mmtad_decomp.utils import CheckpointError

    converted, unknown = {}, []
    for name, value in state.items():
        if _CLASSIFIER.fullmatch(name):
            continue
        new = _rename(name)
        if new is None:
            unknown.append(name)
        else:
            converted[f'backbone.{new}'] = value
    if unknown:
        raise CheckpointError(
            f'{len(unknown)} of {len(state)} names are not those of the PyTorch port of I3D '
            f'(Conv3d_1a_7x7.conv3d.weight, Mixed_3b.b1a.bn.weight, ...): {", ".join(unknown)}'
        )
    return converted


def convert(
    src: str | Path,
    dst: str | Path,
    in_channels: int | None = None,
    stem_init: str | None = None,
    prefix: str = '',
) -> int:
    """Convert a file.

    Args:
        src: The port's checkpoint.
        dst: File to write.
        in_channels: Input channels of the result; None keeps those of ``src``.
        stem_init: How the first convolution gets another number of them.
        prefix: Prepended to every name.

    Returns:
        The number of tensors.

    Raises:
        FileNotFoundError: If ``src`` does not exist.
        CheckpointError: If it cannot be read, has unknown names, or lacks weights.
    """
    from mmaction.registry import MODELS
    from mmengine.registry import init_default_scope

    from mmtad_decomp.utils import CheckpointError

    state = read_weights(src)
    converted = convert_state_dict(state)
    if _STEM not in state:
        raise CheckpointError(f'checkpoint {src} lacks {_STEM}; is it a whole I3D?')
    init_default_scope('mmaction')
    backbone = dict(type='InceptionI3D', in_channels=in_channels or state[_STEM].shape[1])
    encoder = MODELS.build(dict(type='VideoEncoder', backbone=backbone))
    weights = fit_to_encoder(src, converted, encoder, stem_init)
    write_weights(dst, weights, 'I3D', [src], prefix)
    return len(weights)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = backbone_parser(__doc__, 'checkpoint of the PyTorch port of I3D')
    parser.add_argument(
        '--in-channels', type=int, help='input channels of the result (default: as in SRC)'
    )
    args = parser.parse_args(argv)

    count = convert(args.src, args.dst, args.in_channels, args.stem_init, args.prefix)
    print(f'{count} tensors written to {args.dst}')


if __name__ == '__main__':
    sys.exit(run_main(main))
