"""Evaluate detections: mAP, recall and proposals' AR@AN, with a census and warnings.

Examples::

    python tools/analysis_tools/evaluate.py detections.json data/thumos14/annotations.json \
        --subset validation --ignore-labels Ambiguous --tiou 0.3:0.7:0.1 --classwise
    python tools/analysis_tools/evaluate.py detections.json activity_net.v1-3.json \
        --subset validation --exclude-videos blocked.json --tiou 0.5:0.95:0.05 --proposals
    python tools/analysis_tools/evaluate.py detections.json epic.json --subset validation \
        --tiou 0.1:0.5:0.1 --labels verb noun verb,noun --drop-unknown-labels --out epic_map.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import parse_fields, run_main

if TYPE_CHECKING:
    from mmtad_decomp.evaluation import Submission
    from mmtad_decomp.evaluation.functional import GroundTruth, Predictions
    from mmtad_decomp.structures import AnnotationSet

PROPOSAL_TIOUS = tuple(np.linspace(0.5, 0.95, 10).round(2))
PROPOSAL_NUMBERS = (1, 5, 10, 100)


def parse_tiou(text: str) -> list[float]:
    """``0.5`` or ``first:last:step`` as thresholds."""
    try:
        parts = [float(part) for part in text.split(':')]
        if len(parts) == 1:
            return parts
        first, last, step = parts
        count = round((last - first) / step) + 1
        thresholds = [round(first + i * step, 6) for i in range(count)]
        if not thresholds or abs(thresholds[-1] - last) > 1e-6:
            raise ValueError
        return thresholds
    except (ValueError, ZeroDivisionError, OverflowError):
        raise argparse.ArgumentTypeError(
            f'{text!r} is neither a threshold nor first:last:step, such as 0.5:0.95:0.05'
        ) from None


def parse_labels(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """``verb,noun`` or ``verb:label`` as name, fields of an instance, fields of a detection."""
    ours, _, theirs = text.partition(':')
    fields = parse_fields(ours)
    return ours, fields, parse_fields(theirs) if theirs else fields


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a file of detections, and the arguments of :func:`add_annotation_arguments`."""
    parser.add_argument('submission', help='detections in ActivityNet submission format')
    add_annotation_arguments(parser)


def add_annotation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the annotation file, and what of it and of detections counts."""
    parser.add_argument('annotations', help='ActivityNet-style JSON with the ground truth')
    parser.add_argument('--subset', nargs='+', help='subsets that count (default: all)')
    parser.add_argument('--classes', nargs='+', help='class names (default: those of the file)')
    parser.add_argument(
        '--ignore-labels', nargs='+', default=[], help='labels to leave out on both sides'
    )
    parser.add_argument(
        '--exclude-videos',
        nargs='+',
        default=[],
        help="videos to leave out on both sides: ids, or a file of them (ActivityNet's blocked)",
    )
    parser.add_argument(
        '--drop-unknown-labels',
        action='store_true',
        help='leave out detections whose label is not a class, counted, in place of an error',
    )


def add_labels_argument(parser: argparse.ArgumentParser) -> None:
    """Add the fields that name the classes, for a tool that looks at one kind of label."""
    parser.add_argument(
        '--labels',
        type=parse_labels,
        default=parse_labels('label'),
        metavar='FIELD',
        help='fields that name the classes: verb, or verb,noun; "verb:label" compares the verbs '
        'of the annotations with the labels of the detections (default: label)',
    )


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_input_arguments(parser)
    parser.add_argument(
        '--labels',
        nargs='+',
        type=parse_labels,
        default=[parse_labels('label')],
        metavar='FIELD',
        help='fields that name the classes, an evaluation for each: verb noun verb,noun; '
        '"verb:label" compares the verbs of the annotations with the labels of the submission',
    )
    parser.add_argument(
        '--tiou',
        nargs='+',
        type=parse_tiou,
        default=[parse_tiou('0.3:0.7:0.1')],
        help='thresholds, or first:last:step (default: 0.3:0.7:0.1)',
    )
    parser.add_argument('--recall', nargs='*', type=int, default=[1, 5], help='multiples k')
    parser.add_argument('--classwise', action='store_true', help='print the AP of every class')
    parser.add_argument(
        '--proposals', action='store_true', help='also AR@AN and its AUC at tIoU 0.5:0.95:0.05'
    )
    parser.add_argument('--out', help='write all numbers, those of the classes too, to this JSON')
    return parser.parse_args(argv)


def list_excluded(values: Sequence[str]) -> tuple[str, ...]:
    """Ids as they are, and those in files."""
    from mmtad_decomp.annotations import read_video_list

    ids: list[str] = []
    for value in values:
        ids += read_video_list(value) if Path(value).is_file() else [value]
    return tuple(dict.fromkeys(ids))


def read_annotations(args: argparse.Namespace, fields: Sequence[str]) -> AnnotationSet:
    """The annotations that the arguments of :func:`add_annotation_arguments` choose.

    Args:
        args: The command line.
        fields: Fields of an instance that name its class.

    Raises:
        AnnotationError: If the file is malformed.
    """
    from mmtad_decomp.annotations import load_annotations

    excluded = list_excluded(args.exclude_videos)
    return load_annotations(
        args.annotations, args.subset, args.classes, args.ignore_labels, excluded, fields
    )


def read_detections(
    path: str, args: argparse.Namespace, classes: Sequence[str], fields: Sequence[str]
) -> Submission:
    """The detections of a file that the arguments of :func:`add_annotation_arguments` choose.

    Args:
        path: The file.
        args: The command line.
        classes: Class names in label order.
        fields: Fields of a detection that name its class.

    Raises:
        SubmissionError: If the file is malformed.
    """
    from mmtad_decomp.evaluation import read_submission

    return read_submission(path, classes, args.ignore_labels, fields, args.drop_unknown_labels)


def count_oddities(submission: Submission) -> list[str]:
    """A sentence for everything that the census of a submission counts as odd."""
    census = submission.census
    lines = []
    for labels, what in ((census.ignored, 'are ignored'), (census.unknown, 'are not classes')):
        if labels:
            most = ', '.join(f'{name} ({count})' for name, count in labels.most_common(5))
            more = ', ...' if len(labels) > 5 else ''
            lines.append(
                f'{labels.total()} detections left out, whose labels {what}: {most}{more}'
            )
    if census.reversed:
        lines.append(
            f'{census.reversed} detections end before they start; they count as false positives'
        )
    return lines


def demand_overlap(
    annotations: AnnotationSet,
    submission: Submission,
    truth: GroundTruth,
    found: Predictions,
    fix: str = 'set --subset',
) -> None:
    """Refuse to call it zero where both sides have nothing in common.

    Args:
        annotations: The annotated videos.
        submission: The detections.
        truth: Table of the instances.
        found: Table of the detections in annotated videos.
        fix: What to do if the ids are right.

    Raises:
        SubmissionError: If no annotated video has a detection.
    """
    from mmtad_decomp.evaluation import SubmissionError

    if len(truth.labels) and not submission.census.detections:
        empty = f'{submission.path} has no detections; name the file of a test that found some'
        raise SubmissionError('; '.join([empty, *count_oddities(submission)]))
    if len(truth.labels) and not len(found.scores):
        raise SubmissionError(
            f'{submission.path}: none of its {submission.census.detections} detections is in one '
            f'of the {len(annotations.videos)} annotated videos (such as '
            f'"{next(iter(annotations.videos))}", there "{next(iter(submission.videos), None)}"); '
            f'compare the ids (with and without "v_"?), and {fix}'
        )


def _number(value: float) -> float | None:
    """A JSON number; null for NaN, which JSON lacks."""
    return None if np.isnan(value) else float(value)


def _by_tiou(tious: np.ndarray, values: np.ndarray) -> dict[str, float | None]:
    return {f'{tiou:g}': _number(value) for tiou, value in zip(tious, values)}


def summarise(
    tious: np.ndarray,
    ap: np.ndarray,
    recall: dict[int, np.ndarray],
    classes: Sequence[str],
    instances: np.ndarray,
) -> dict:
    """The numbers of one evaluation, as they go into the JSON file."""
    from mmtad_decomp.evaluation.functional import mean_over_classes

    mean = mean_over_classes(ap)
    return dict(
        mAP=_by_tiou(tious, mean),
        average_mAP=_number(mean.mean()),
        recall={f'{k}x': _by_tiou(tious, mean_over_classes(r)) for k, r in recall.items()},
        classes={
            name: dict(
                instances=int(count), AP=_by_tiou(tious, column), average=_number(column.mean())
            )
            for name, count, column in zip(classes, instances, ap.T)
            if count
        },
    )


def evaluate(
    args: argparse.Namespace, fields: Sequence[str], found_fields: Sequence[str]
) -> tuple[dict, str]:
    """Evaluate one kind of label; returns the numbers and the text.

    Raises:
        ValueError: If a file or an option is malformed, or both sides have nothing in common.
    """
    from mmtad_decomp.evaluation import find_oddities, ground_truth_table, prediction_table
    from mmtad_decomp.evaluation.functional import average_precision, average_recall, recall_at_kx
    from mmtad_decomp.evaluation.metrics.report import detection_table, proposal_table

    annotations = read_annotations(args, fields)
    submission = read_detections(args.submission, args, annotations.classes, found_fields)
    truth, found = (
        ground_truth_table(annotations),
        prediction_table(annotations, submission.videos),
    )
    demand_overlap(annotations, submission, truth, found)
    classes, tious = annotations.classes, np.unique(np.concatenate(args.tiou))
    ap = average_precision(truth, found, tious, len(classes))
    ks = dict.fromkeys(args.recall)
    recalls = recall_at_kx(truth, found, tious, len(classes), tuple(ks))
    recall = dict(zip(ks, recalls))
    excluded = list_excluded(args.exclude_videos)
    oddities = find_oddities(annotations, submission.videos, excluded)
    warnings = [*oddities.warnings(), *count_oddities(submission)]
    instances = np.bincount(truth.labels, minlength=len(classes))
    result = dict(
        census=str(annotations.census),
        detections=len(found.scores),
        warnings=warnings,
        **summarise(tious, ap, recall, classes, instances),
    )
    lines = [
        f'ground truth: {annotations.census}',
        f'detections: {len(found.scores)} in {len(annotations.videos)} annotated videos',
        *(f'warning: {line}' for line in reversed(warnings)),
    ]
    if len(truth.labels):
        rows = classes if args.classwise else None
        groups = {'average': np.arange(len(tious))}
        lines += ['', detection_table(tious, groups, ap, recall, rows)]
    if args.proposals:
        curve = average_recall(truth, found, PROPOSAL_TIOUS, len(annotations.videos))
        result['AR@AN'] = {str(n): _number(curve.at(n).mean()) for n in PROPOSAL_NUMBERS}
        result['AUC'] = _number(curve.auc)
        table = proposal_table(PROPOSAL_TIOUS, PROPOSAL_NUMBERS, curve)
        if len(truth.labels):
            lines += ['', table, f'area under AR@AN: {curve.auc:.2f}']
    return result, '\n'.join(lines)


def main(argv: list[str] | None = None) -> dict:
    """Evaluate, print and write; returns what is in the JSON file."""
    args = parse_args(argv)

    from mmtad_decomp.utils import demand_writable, write_json

    if args.out is not None:
        demand_writable(args.out, '--out')
    results = {}
    for name, fields, found_fields in args.labels:
        results[name], text = evaluate(args, fields, found_fields)
        title = f'{f"{name}: " if len(args.labels) > 1 else ""}percent by tIoU'
        print(f'{title}\n{text}' + ('' if name == args.labels[-1][0] else '\n'))
    content = dict(
        submission=args.submission,
        annotations=args.annotations,
        subset=args.subset,
        results=results,
    )
    if args.out is not None:
        write_json(args.out, content, indent=2)
        print(f'written to {args.out}')
    return content


if __name__ == '__main__':
    sys.exit(run_main(main))
