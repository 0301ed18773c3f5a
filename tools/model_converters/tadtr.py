"""Convert a checkpoint of TadTR to one that this project's TadTR detector loads.

    python tools/model_converters/tadtr.py SRC DST

``SRC`` is what the training of TadTR or E2E-TAD writes (``{"model": ..., "args": ..., "cfg":
...}``, whose settings are skipped without running code of the file), or a plain state dict.
``DST`` gets ``{"meta": ..., "state_dict": ...}`` with names under ``head.``, for ``load_from``.
The settings of the head that it fits are printed. E2E-TAD's encoder (``backbone.*``) is left out;
for SlowFast, tools/model_converters/slowfast_e2e.py takes it.
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
from tools.model_converters.common import demand_fit, read_weights, write_weights

if TYPE_CHECKING:
    from torch import Tensor

_ENCODER, _DECODER = (rf'transformer\.{part}\.layers\.(\d+)\.' for part in ('encoder', 'decoder'))
_END = r'\.(weight|bias)'
_ATTENTION = r'(sampling_offsets|attention_weights|value_proj|output_proj)'

# Official names on the left, names within TadTRHead on the right. The official decoder counts its
# norms from the attention to the features, which comes second.
_RULES: tuple[tuple[str, str], ...] = (
    (r'input_proj\.(\d+)\.0' + _END, r'encoder.projections.\1.conv.\2'),
    (r'input_proj\.(\d+)\.1' + _END, r'encoder.norms.\1.\2'),
    (r'transformer\.level_embed', r'encoder.level_embed'),
    (_ENCODER + r'self_attn\.' + _ATTENTION + _END, r'encoder.layers.\1.attn.\2.\3'),
    (_ENCODER + r'norm([12])' + _END, r'encoder.layers.\1.norm\2.\3'),
    (_ENCODER + r'linear1' + _END, r'encoder.layers.\1.ffn.0.\2'),
    (_ENCODER + r'linear2' + _END, r'encoder.layers.\1.ffn.3.\2'),
    (
        _DECODER + r'self_attn\.(in_proj_weight|in_proj_bias|out_proj\.weight|out_proj\.bias)',
        r'decoder.layers.\1.self_attn.\2',
    ),
    (_DECODER + r'cross_attn\.' + _ATTENTION + _END, r'decoder.layers.\1.cross_attn.\2.\3'),
    (_DECODER + r'norm1' + _END, r'decoder.layers.\1.norm2.\2'),
    (_DECODER + r'norm2' + _END, r'decoder.layers.\1.norm1.\2'),
    (_DECODER + r'norm3' + _END, r'decoder.layers.\1.norm3.\2'),
    (_DECODER + r'linear1' + _END, r'decoder.layers.\1.ffn.0.\2'),
    (_DECODER + r'linear2' + _END, r'decoder.layers.\1.ffn.3.\2'),
    (r'transformer\.reference_points' + _END, r'decoder.reference.\1'),
    (r'class_embed\.(\d+)' + _END, r'decoder.cls_branches.\1.\2'),
    (r'segment_embed\.(\d+)\.layers\.0' + _END, r'decoder.segment_branches.\1.0.\2'),
    (r'segment_embed\.(\d+)\.layers\.1' + _END, r'decoder.segment_branches.\1.2.\2'),
    (r'segment_embed\.(\d+)\.layers\.2' + _END, r'decoder.segment_branches.\1.4.\2'),
    (r'actionness_pred\.([024])' + _END, r'actionness.mlp.\1.\2'),
)
# The decoder holds the branches a second time, if it refines segments.
_ALIAS = re.compile(r'transformer\.decoder\.segment_embed\.\d+\..*')
_NEEDED = ('encoder.projections.0.conv.weight', 'decoder.cls_branches.0.weight')


def _rename(name: str) -> str | None:
    for pattern, replacement in _RULES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    return None


def convert_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of an official TadTR to those of a TadTRHead.

    Args:
        state: Weights by official name (``transformer.level_embed``, ...); names that begin with
            ``backbone.`` are left out.

    Returns:
        Weights by the names of a :class:`~mmtad_decomp.models.heads.TadTRHead`.

    Raises:
        CheckpointError: If a name is unknown (all of them are listed), weights are missing, or the
            model does not refine its segments.
    """
    from mmtad_decomp.utils import CheckpointError

    converted, unknown, refines = {}, [], False
    for name, value in state.items():
        if name.startswith('backbone.'):
            continue
        if _ALIAS.fullmatch(name):
            refines = True
        elif name == 'query_embed.weight':
            positions, content = value.chunk(2, dim=1)
            converted['decoder.query_positions'] = positions.clone()
            converted['decoder.query_content'] = content.clone()
        elif (new_name := _rename(name)) is None:
            unknown.append(name)
        else:
            converted[new_name] = value.clone()
    if unknown:
        raise CheckpointError(
            f'{len(unknown)} names are not those of TadTR: {", ".join(sorted(unknown))}'
        )
    missing = [name for name in (*_NEEDED, 'decoder.query_content') if name not in converted]
    if missing:
        raise CheckpointError(
            f'expected the weights of a whole TadTR, but nothing gives {", ".join(missing)}'
        )
    if not refines:
        raise CheckpointError(
            'the checkpoint has no transformer.decoder.segment_embed: it was trained without '
            'segment refinement, and TadTRHead always refines. Train it with `seg_refine: true`'
        )
    return converted


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    found = (re.match(pattern, name) for name in state)
    return len({match.group(1) for match in found if match})


def head_settings(state: Mapping[str, Tensor]) -> dict[str, int | bool]:
    """Settings of the TadTRHead that converted weights fit.

    Numbers of attention heads, sampled points and bins' alignment leave no trace in the weights;
    they are the defaults unless the training's settings say otherwise.

    Args:
        state: Result of :func:`convert_state_dict`.
    """
    classes, dims = state['decoder.cls_branches.0.weight'].shape
    return dict(
        num_classes=classes,
        in_channels=state['encoder.projections.0.conv.weight'].shape[1],
        embed_dims=dims,
        num_queries=len(state['decoder.query_content']),
        num_encoder_layers=_count(state, r'encoder\.layers\.(\d+)\.'),
        num_decoder_layers=_count(state, r'decoder\.layers\.(\d+)\.'),
        hidden_dims=len(state['decoder.layers.0.ffn.0.weight']),
        with_actionness='actionness.mlp.0.weight' in state,
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('src', help="TadTR's checkpoint")
    parser.add_argument('dst', help='file to write')
    parser.add_argument('--prefix', default='head.', help='put before every name (%(default)s)')
    args = parser.parse_args()

    converted = convert_state_dict(read_weights(args.src))
    settings = head_settings(converted)
    demand_fit(converted, dict(type='TadTRHead', **settings))
    write_weights(args.dst, converted, 'TadTR', [args.src], args.prefix)
    listed = ', '.join(f'{name}={value}' for name, value in settings.items())
    print(f"{len(converted)} tensors written to {args.dst}, for dict(type='TadTRHead', {listed})")


if __name__ == '__main__':
    sys.exit(run_main(main))
