"""Take the backbone out of an MMAction2 recognizer's checkpoint, for the encoder of a config.

    python tools/model_converters/recognizer.py CONFIG SRC DST

``CONFIG`` is a config of this project, such as ``configs/baseline/actionformer_tsm50_thumos.py``:
the weights are checked against its encoder, and the first convolution is adapted where the
encoder reads another number of channels. ``SRC`` is a checkpoint of TSM, SlowFast or any other
recognizer with that backbone. ``DST`` holds the backbone alone, without classifier and optimizer,
for ``backbone.init_cfg=dict(type='Pretrained', checkpoint=DST)``. A recognizer can also be named
there directly.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main
from tools.model_converters.common import (
    backbone_parser,
    fit_to_encoder,
    read_weights,
    write_weights,
)


def find_encoder(node: object) -> dict | None:
    """The first config of a ``VideoEncoder`` within a config, or None.

    Args:
        node: A config or a part of one.
    """
    from mmtad_decomp.utils import class_name

    if isinstance(node, dict):
        if class_name(node.get('type')) == 'VideoEncoder':
            return dict(node)
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        return next((found for found in map(find_encoder, node) if found is not None), None)
    return None


def convert(
    config: str | Path,
    src: str | Path,
    dst: str | Path,
    stem_init: str | None = None,
    prefix: str = '',
) -> tuple[int, int]:
    """Convert a file.

    Args:
        config: Config with a ``VideoEncoder``.
        src: The recognizer's checkpoint.
        dst: File to write.
        stem_init: How the first convolution gets another number of input channels; None takes
            the encoder's own ``stem_init``.
        prefix: Prepended to every name.

    Returns:
        Number of tensors written and number of tensors left out.

    Raises:
        FileNotFoundError: If ``config`` or ``src`` does not exist.
        CheckpointError: If the config has no encoder or the weights do not fit it.
    """
    from mmaction.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from mmtad_decomp.utils import CheckpointError

    encoder_config = find_encoder(Config.fromfile(config).model)
    if encoder_config is None:
        raise CheckpointError(
            f'config {config} has no VideoEncoder; name one that trains from frames'
        )
    state = read_weights(src)
    init_default_scope('mmaction')
    encoder = MODELS.build(encoder_config)
    weights = fit_to_encoder(src, state, encoder, stem_init or encoder.stem_init)
    write_weights(dst, weights, 'MMAction2 recognizer', [config, src], prefix)
    return len(weights), len(state) - len(weights)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    args = backbone_parser(__doc__, "the recognizer's checkpoint", True).parse_args(argv)

    kept, left = convert(args.config, args.src, args.dst, args.stem_init, args.prefix)
    print(f'{kept} tensors written to {args.dst}, {left} left out')


if __name__ == '__main__':
    sys.exit(run_main(main))
