"""Diagnose detections: kinds of false positives, sensitivity, false negatives.

Writes ``diagnosis.json``, ``diagnosis.txt`` and three pictures to ``--out-dir``.

Example::

    python tools/analysis_tools/diagnose.py work_dirs/decomposed/detections.json \
        data/thumos14/annotations.json --subset validation --ignore-labels Ambiguous \
        --preset thumos14 --out-dir work_dirs/decomposed/diagnosis
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.analysis_tools.evaluate import (
    add_input_arguments,
    add_labels_argument,
    count_oddities,
    demand_overlap,
    list_excluded,
    parse_tiou,
    read_annotations,
    read_detections,
)
from tools.command_line import run_main

if TYPE_CHECKING:
    from mmtad_decomp.evaluation.diagnosis import Diagnosis, DiagnosisOptions

PRESETS, LABEL_RULES = ('activitynet', 'thumos14'), ('nearest', 'any')
CHARACTERISTICS = ('coverage', 'length', 'instances')
"""Those of the package, which takes seconds to import."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_input_arguments(parser)
    add_labels_argument(parser)
    parser.add_argument('--out-dir', required=True, help='where the results go')
    parser.add_argument(
        '--preset',
        choices=PRESETS,
        default='activitynet',
        help='thresholds and bucket edges (default: activitynet)',
    )
    parser.add_argument(
        '--tiou',
        nargs='+',
        type=parse_tiou,
        help="thresholds, or first:last:step (default: the preset's)",
    )
    for name in CHARACTERISTICS:
        parser.add_argument(
            f'--{name}-edges', nargs='+', type=float, help=f'bucket edges of {name}; inf may end'
        )
    parser.add_argument(
        '--normalizer', type=float, help='N of mAP_N (default: mean instances per class)'
    )
    parser.add_argument('--max-multiple', type=int, default=10, help='profile up to this many G')
    parser.add_argument('--min-tiou', type=float, default=0.1, help='below it: background error')
    parser.add_argument(
        '--label-rule',
        choices=LABEL_RULES,
        default='nearest',
        help='which ground truth says whether a false positive has the right label',
    )
    parser.add_argument(
        '--min-precision',
        type=float,
        default=0.05,
        help='normalised precision that a match needs to count as found',
    )
    parser.add_argument('--format', default='png', choices=['png', 'pdf', 'svg'])
    return parser.parse_args(argv)


def read_options(args: argparse.Namespace) -> DiagnosisOptions:
    """Options from the preset and the flags.

    Raises:
        ValueError: If one is out of range.
    """
    from mmtad_decomp.evaluation.diagnosis import PRESETS, Buckets, DiagnosisOptions

    buckets = dict(PRESETS[args.preset].buckets)
    for name in CHARACTERISTICS:
        edges = getattr(args, f'{name}_edges')
        if edges is not None:
            buckets[name] = Buckets(tuple(edges))
    thresholds = tuple(sorted({tiou for part in args.tiou or () for tiou in part}))
    return DiagnosisOptions(
        tious=PRESETS[args.preset].tious if args.tiou is None else thresholds,
        buckets=buckets,
        normalizer=args.normalizer,
        max_multiple=args.max_multiple,
        min_tiou=args.min_tiou,
        label_rule=args.label_rule,
        min_precision=args.min_precision,
    )


def lone_buckets(diagnosis: Diagnosis) -> list[str]:
    """Say of which characteristics one bucket holds all instances, though these differ."""
    lines = []
    for name, result in diagnosis.sensitivity.items():
        values = diagnosis.characteristics[name]
        if (result.instances > 0).sum() == 1 and values.min() < values.max():
            lines.append(
                f'all {len(values)} instances are in one bucket of {name} ({values.min():.3g} to '
                f'{values.max():.3g}), so it tells nothing; set narrower --{name}-edges'
            )
    return lines


def run(args: argparse.Namespace) -> tuple[Diagnosis, dict, str]:
    """Read, diagnose; returns the result, its JSON and its text.

    Raises:
        ValueError: If a file or an option is malformed, or both sides have nothing in common.
    """
    from mmtad_decomp.evaluation import find_oddities, ground_truth_table, prediction_table
    from mmtad_decomp.evaluation.diagnosis import (
        diagnose,
        format_report,
        instance_durations,
        to_json,
    )

    options = read_options(args)
    _, fields, found_fields = args.labels
    annotations = read_annotations(args, fields)
    submission = read_detections(args.submission, args, annotations.classes, found_fields)
    truth = ground_truth_table(annotations)
    found = prediction_table(annotations, submission.videos)
    demand_overlap(annotations, submission, truth, found)
    durations = instance_durations(annotations)
    diagnosis = diagnose(truth, found, durations, len(annotations.classes), options)
    excluded = list_excluded(args.exclude_videos)
    oddities = find_oddities(annotations, submission.videos, excluded)
    warnings = [*oddities.warnings(), *count_oddities(submission)]
    warnings += lone_buckets(diagnosis)
    content = dict(
        submission=args.submission,
        annotations=args.annotations,
        subset=args.subset,
        census=str(annotations.census),
        warnings=warnings,
        **to_json(diagnosis),
    )
    lines = [
        f'ground truth: {annotations.census}',
        *(f'warning: {line}' for line in warnings),
        format_report(diagnosis),
    ]
    return diagnosis, content, '\n'.join(lines)


def main(argv: list[str] | None = None) -> dict:
    """Diagnose and write; returns what is in the JSON file."""
    args = parse_args(argv)

    from mmtad_decomp.utils import atomic_write, demand_writable, write_json
    from mmtad_decomp.visualization import save_figure
    from mmtad_decomp.visualization.diagnosis_plots import (
        plot_false_negatives,
        plot_false_positives,
        plot_sensitivity,
    )

    out = Path(args.out_dir)
    demand_writable(out / 'diagnosis.json', '--out-dir')
    diagnosis, content, text = run(args)
    write_json(out / 'diagnosis.json', content)
    with atomic_write(out / 'diagnosis.txt', 'w', encoding='utf-8') as file:
        file.write(text + '\n')
    for name, plot in (
        ('false_positives', plot_false_positives),
        ('sensitivity', plot_sensitivity),
        ('false_negatives', plot_false_negatives),
    ):
        save_figure(plot(diagnosis), out / f'{name}.{args.format}')
    print(f'{text}\n\nwritten to {out}')
    return content


if __name__ == '__main__':
    sys.exit(run_main(main))
