"""Draw precision over recall, and AP by class, of one or more models.

Example::

    python tools/visualizations/precision_recall.py data/grid_mini/annotations.json \
        --results baseline=baseline.json --results decomposed=decomposed.json \
        --subset validation --tiou 0.5 --out-dir work_dirs/curves
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import add_traceback_argument, run_main


def _named_path(text: str) -> tuple[str, str]:
    name, equals, path = text.partition('=')
    if not name or not equals or not path:
        raise argparse.ArgumentTypeError(f'expected name=path, got {text!r}')
    return name, path


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('annotations', help='ActivityNet-style JSON with the ground truth')
    parser.add_argument(
        '--results',
        metavar='NAME=PATH',
        type=_named_path,
        action='append',
        required=True,
        help='submission JSON of a model under a name; may be repeated',
    )
    parser.add_argument('--subset', nargs='+', help='subsets that count (default: all)')
    parser.add_argument('--classes', nargs='+', help='class names (default: those of the file)')
    parser.add_argument('--ignore-labels', nargs='+', default=[], help='labels to leave out')
    parser.add_argument('--tiou', type=float, default=0.5, help='threshold (default: 0.5)')
    parser.add_argument('--max-classes', type=int, default=12, help='panels at most')
    parser.add_argument('--out-dir', default='curves', help='where the two pictures go')
    add_traceback_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Draw and write the pictures."""
    args = parse_args(argv)

    from mmtad_decomp.annotations import load_annotations
    from mmtad_decomp.evaluation import ground_truth_table, load_submission, prediction_table
    from mmtad_decomp.utils import demand_writable
    from mmtad_decomp.visualization import plot_class_ap, plot_precision_recall, save_figure

    if not 0 < args.tiou <= 1:
        raise ValueError(f'--tiou must be in (0, 1], got {args.tiou}')
    curves, bars = (Path(args.out_dir, f'{n}.png') for n in ('precision_recall', 'class_ap'))
    demand_writable(curves, '--out-dir')
    annotations = load_annotations(args.annotations, args.subset, args.classes, args.ignore_labels)
    models = {
        name: prediction_table(annotations, load_submission(path, annotations.classes))
        for name, path in args.results
    }
    truth = ground_truth_table(annotations)
    figure = plot_precision_recall(truth, models, args.tiou, annotations.classes, args.max_classes)
    save_figure(figure, curves)
    save_figure(plot_class_ap(truth, models, [args.tiou], annotations.classes), bars)
    print(f'written: {curves}, {bars}')


if __name__ == '__main__':
    sys.exit(run_main(main))
