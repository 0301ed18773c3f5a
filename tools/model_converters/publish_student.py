"""Publish a distilled detector: without teacher, shared head, adapters and optimizer.

Writes ``PREFIX.pth``, which holds weights and plain types only, and ``PREFIX.py``, a config that
tests it with the plain detector and needs no other file of configs. Predictions are those of the
distiller. A detector that was trained without a teacher passes through. Of a decomposed student
``--branch appearance`` publishes the appearance branch with the shared head, as the plain detector
that it was made of: for students whose appearance branch is the better one (``branch_ap.py``).

Example:
    python tools/model_converters/publish_student.py \
        configs/decomp/actionformer_tsm18_fir.py work_dirs/decomp/actionformer_tsm18_fir \
        work_dirs/published/tsm18_fir
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import add_cfg_options_argument, demand_config_file, run_main


def main(argv: list[str] | None = None) -> None:
    """Publish and print sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config of the training')
    parser.add_argument('checkpoint', help='its checkpoint file or work directory')
    parser.add_argument('prefix', help='path of the published files without their endings')
    parser.add_argument('--half', action='store_true', help='store the weights in float16')
    parser.add_argument(
        '--branch',
        choices=['joint', 'appearance'],
        default='joint',
        help='part of a decomposed student: the joint head with all that it reads, or the '
        'appearance branch alone with the shared head',
    )
    add_cfg_options_argument(parser)
    args = parser.parse_args(argv)
    demand_config_file(args.config)
    from mmengine.config import Config

    from mmtad_decomp.apis.publishing import publish
    from mmtad_decomp.utils import resolve_checkpoint
    from tools.config_overrides import override

    config = Config.fromfile(args.config)
    override(config, args.cfg_options or ())
    before = Path(resolve_checkpoint(args.checkpoint)).stat().st_size
    weights, text = publish(config, args.checkpoint, args.prefix, args.half, args.branch)
    after = weights.stat().st_size
    print(
        f'{weights}: {after / 2**20:.1f} MiB (the training checkpoint: {before / 2**20:.1f} MiB)'
    )
    print(f'{text}: tests it with tools/test.py {text} {weights}')
    print(f'detections in a video: tools/infer.py VIDEO --model {args.prefix}')


if __name__ == '__main__':
    sys.exit(run_main(main))
