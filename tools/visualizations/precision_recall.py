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

from tools.analysis_tools.evaluate import (
    add_annotation_arguments,
    add_labels_argument,
    read_annotations,
    read_detections,
)
from tools.command_line import add_named_paths_argument, add_traceback_argument, run_main


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_annotation_arguments(parser)
    add_labels_argument(parser)
    add_named_paths_argument(
        parser,
        '--results',
        'submission JSON of a model under a name; may be repeated',
        required=True,
    )
    parser.add_argument('--tiou', type=float, default=0.5, help='threshold (default: 0.5)')
    parser.add_argument('--max-classes', type=int, default=12, help='panels at most')
    parser.add_argument('--out-dir', default='curves', help='where the two pictures go')
    add_traceback_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Draw and write the pictures."""
    args = parse_args(argv)

    from mmtad_decomp.evaluation import ground_truth_table, prediction_table
    from mmtad_decomp.utils import demand_writable
    from mmtad_decomp.visualization import plot_class_ap, plot_precision_recall, save_figure

    if not 0 < args.tiou <= 1:
        raise ValueError(f'--tiou must be in (0, 1], got {args.tiou}')
    if args.max_classes < 1:
        raise ValueError(f'--max-classes must be at least 1, got {args.max_classes}')
    curves, bars = (Path(args.out_dir, f'{n}.png') for n in ('precision_recall', 'class_ap'))
    demand_writable(curves, '--out-dir')
    _, fields, found_fields = args.labels
    annotations = read_annotations(args, fields)
    models = {}
    for name, path in args.results:
        submission = read_detections(path, args, annotations.classes, found_fields)
        models[name] = prediction_table(annotations, submission.videos)
    truth = ground_truth_table(annotations)
    figure = plot_precision_recall(truth, models, args.tiou, annotations.classes, args.max_classes)
    save_figure(figure, curves)
    save_figure(plot_class_ap(truth, models, [args.tiou], annotations.classes), bars)
    print(f'written: {curves}, {bars}')


if __name__ == '__main__':
    sys.exit(run_main(main))
