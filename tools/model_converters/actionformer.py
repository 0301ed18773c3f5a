"""Convert a checkpoint of ActionFormer to one that this project's ActionFormer detector loads.

    python tools/model_converters/actionformer.py SRC DST

``SRC`` is a ``.pth.tar`` as ActionFormer's training script writes it, or a plain state dict.
``DST`` gets ``{"meta": ..., "state_dict": ...}`` with keys under ``head.``, for ``load_from``. It
says that the offsets were trained with ReLU; a head needs ``offset_activation='relu'`` to load it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main
from tools.model_converters.common import demand_fit, write_weights

if TYPE_CHECKING:
    from torch import Tensor

# Official names on the left, names within ActionFormerHead on the right.
_RULES: tuple[tuple[str, str], ...] = (
    (r'backbone\.embd\.(\d+)\.conv\.weight', r'encoder.embed_convs.\1.conv.weight'),
    (r'backbone\.embd_norm\.(\d+)\.(weight|bias)', r'encoder.embed_norms.\1.\2'),
    (r'backbone\.(stem|branch)\.(\d+)\.ln([12])\.(weight|bias)', r'encoder.\1.\2.norm\3.\4'),
    (
        r'backbone\.(stem|branch)\.(\d+)\.attn\.(query|key|value)_conv\.conv\.weight',
        r'encoder.\1.\2.attn.\3_conv.conv.weight',
    ),
    (
        r'backbone\.(stem|branch)\.(\d+)\.attn\.'
        r'(query_norm|key_norm|value_norm|query|key|value|proj)\.(weight|bias)',
        r'encoder.\1.\2.attn.\3.\4',
    ),
    (r'backbone\.(stem|branch)\.(\d+)\.mlp\.([03])\.(weight|bias)', r'encoder.\1.\2.mlp.\3.\4'),
    (r'backbone\.(stem|branch)\.(\d+)\.drop_path_attn\.scale', r'encoder.\1.\2.drop_path1.scale'),
    (r'backbone\.(stem|branch)\.(\d+)\.drop_path_mlp\.scale', r'encoder.\1.\2.drop_path2.scale'),
    (r'neck\.fpn_norms\.(\d+)\.(weight|bias)', r'pyramid.norms.\1.\2'),
    (r'neck\.lateral_convs\.(\d+)\.conv\.weight', r'pyramid.laterals.\1.conv.weight'),
    (r'neck\.fpn_convs\.(\d+)\.conv\.weight', r'pyramid.convs.\1.conv.weight'),
    (r'(cls|reg)_head\.head\.(\d+)\.conv\.weight', r'\1_branch.convs.\2.conv.weight'),
    (r'(cls|reg)_head\.norm\.(\d+)\.(weight|bias)', r'\1_branch.norms.\2.\3'),
    (r'cls_head\.cls_head\.conv\.(weight|bias)', r'cls_branch.predictor.conv.\1'),
    (r'reg_head\.offset_head\.conv\.(weight|bias)', r'reg_branch.predictor.conv.\1'),
)
_SCALE = re.compile(r'reg_head\.scale\.(\d+)\.scale')
_REBUILT = re.compile(r'point_generator\..*|backbone\.pos_embd')
_PER_CHANNEL = re.compile(r'.*(norm\w*\.\d+|norm[12]|_norm)\.(weight|bias)|.*\.scale')
_LINEAR = re.compile(r'encoder\..*\.(attn\.(query|key|value|proj)|mlp\.[03])\.weight')


class ConversionError(ValueError):
    """A checkpoint is not one of ActionFormer's, or not of a kind that can be converted."""


def _rename(name: str) -> str | None:
    for pattern, replacement in _RULES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    return None


def convert_state_dict(
    state_dict: Mapping[str, Tensor], prefix: str = 'head.', loss_norm: float = 100.0
) -> dict[str, Tensor]:
    """Rename and reshape the weights of an official ActionFormer.

    Args:
        state_dict: Weights by official name (``backbone.embd.0.conv.weight``, ...), with or
            without ``module.`` in front.
        prefix: Prepended to every name: ``'head.'`` for a detector, ``''`` for a bare
            :class:`~mmtad_decomp.models.heads.ActionFormerHead`.
        loss_norm: Value of the loss normaliser, which official checkpoints do not hold.

    Raises:
        ConversionError: If a name is unknown (all of them are listed) or the weights of the heads
            are missing.
    """
    import torch

    converted, scales, unmatched = {}, {}, []
    for full_name, value in state_dict.items():
        name = full_name.removeprefix('module.')
        scale = _SCALE.fullmatch(name)
        if scale:
            scales[int(scale.group(1))] = value.reshape(())
        elif not _REBUILT.fullmatch(name):
            new_name = _rename(name)
            if new_name is None:
                unmatched.append(full_name)
                continue
            if _PER_CHANNEL.fullmatch(new_name):
                value = value.reshape(-1)
            elif _LINEAR.fullmatch(new_name):
                value = value.squeeze(-1)
            converted[new_name] = value.clone()
    if unmatched:
        raise ConversionError(
            f'{len(unmatched)} keys are not those of an ActionFormer with convTransformer '
            'backbone and layer norms, without relative position encoding: '
            + ', '.join(sorted(unmatched))
        )
    if sorted(scales) != list(range(len(scales))) or not scales or not converted:
        raise ConversionError(
            f'expected the weights of a whole ActionFormer, with reg_head.scale.0.scale and on; '
            f'got {len(converted)} other weights and the scales of levels {sorted(scales)}'
        )
    converted['reg_branch.scales'] = torch.stack([scales[i] for i in range(len(scales))])
    converted['reg_branch.activation'] = torch.tensor(0)  # ReLU
    converted['loss_norm'] = torch.tensor(float(loss_norm))
    return {prefix + name: value for name, value in converted.items()}


def head_settings(state: Mapping[str, Tensor]) -> dict:
    """Settings of the ActionFormerHead that converted weights fit.

    Numbers of attention heads and windows of attention leave no trace in the weights.

    Args:
        state: Result of :func:`convert_state_dict`, with an empty prefix.

    Raises:
        ConversionError: If a weight that tells a size is missing.
    """
    try:
        embed = state['encoder.embed_convs.0.conv.weight']
        predictor = state['cls_branch.predictor.conv.weight']
        layers = _count(state, r'cls_branch\.convs\.(\d+)\.')
        first = state['cls_branch.convs.0.conv.weight'] if layers else predictor
        return dict(
            num_classes=len(predictor),
            in_channels=embed.shape[1],
            num_levels=len(state['reg_branch.scales']),
            encoder=dict(
                embed_dims=len(embed),
                num_embed_layers=_count(state, r'encoder\.embed_convs\.(\d+)\.'),
                embed_kernel_size=embed.shape[2],
                num_stem_layers=_count(state, r'encoder\.stem\.(\d+)\.'),
            ),
            pyramid=dict(
                out_channels=len(state['pyramid.norms.0.weight']),
                top_down='pyramid.laterals.0.conv.weight' in state,
            ),
            head_channels=len(first),
            num_head_layers=layers + 1,
            head_kernel_size=predictor.shape[2],
            offset_activation='relu',
        )
    except KeyError as error:
        raise ConversionError(
            f'expected the weights of a whole ActionFormer, but nothing gives {error}'
        ) from error


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    found = (re.match(pattern, name) for name in state)
    return len({match.group(1) for match in found if match})


def load_official(path: str | Path, weights: str = 'ema', legacy: bool = False) -> dict:
    """Read the state dict of an official checkpoint.

    Args:
        path: The checkpoint.
        weights: ``'ema'`` takes ``state_dict_ema`` if the file has it, ``'raw'`` ``state_dict``.
        legacy: Allow files that hold more than tensors and plain types. Reading such a file can
            run code that it contains.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file cannot be read or holds no dict.
        ConversionError: If the file holds other objects, or no state dict.
    """
    from torch import Tensor

    from mmtad_decomp.utils import UnsafeCheckpointError, load_checkpoint

    try:
        content = load_checkpoint(path, allow_pickle=legacy)
    except UnsafeCheckpointError as error:
        raise ConversionError(
            f'{path} holds objects other than tensors and plain types, and loading them could run '
            f'code; if you trust where it comes from, pass --legacy ({error.__cause__})'
        ) from error
    if weights == 'ema' and 'state_dict_ema' in content:
        content = content['state_dict_ema']
    elif 'state_dict' in content:
        content = content['state_dict']
    if not all(isinstance(value, Tensor) for value in content.values()):
        raise ConversionError(f'{path} holds no "state_dict" and is no state dict itself')
    return dict(content)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', help="ActionFormer's checkpoint")
    parser.add_argument('dst', help='file to write')
    parser.add_argument(
        '--weights',
        choices=('ema', 'raw'),
        default='ema',
        help='averaged weights where the file has them (default), or the raw ones',
    )
    parser.add_argument('--prefix', default='head.', help='put before every name (%(default)s)')
    parser.add_argument(
        '--loss-norm', type=float, default=100.0, help='loss normaliser to go on from (100)'
    )
    parser.add_argument(
        '--legacy',
        action='store_true',
        help='read a file that holds arbitrary Python objects; it can run code',
    )
    args = parser.parse_args()

    official = load_official(args.src, args.weights, args.legacy)
    converted = convert_state_dict(official, '', args.loss_norm)
    settings = head_settings(converted)
    # One attention head fits every width; the number of heads changes no shape.
    encoder = {**settings['encoder'], 'num_heads': 1}
    demand_fit(converted, {**settings, 'type': 'ActionFormerHead', 'encoder': encoder})
    write_weights(args.dst, converted, 'ActionFormer', [args.src], args.prefix)
    listed = ', '.join(f'{name}={value!r}' for name, value in settings.items())
    print(
        f"{len(converted)} tensors written to {args.dst}, for dict(type='ActionFormerHead', "
        f'{listed})\n'
        'Official offsets end in ReLU: run them with --cfg-options '
        'model.head.offset_activation=relu'
    )


if __name__ == '__main__':
    sys.exit(run_main(main))
