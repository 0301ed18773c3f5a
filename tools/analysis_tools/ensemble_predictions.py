"""Post-process saved raw predictions again, or combine those of several models.

    python tools/analysis_tools/ensemble_predictions.py rgb.npz flow.npz --weights 1 0.8 \
        --config configs/baseline/actionformer_tsm50_thumos.py --out both.json

Raw predictions are what a test writes with `test_evaluator.raw_path=FILE.npz`. JSON files of
proposals or detections in ActivityNet's format are taken as well; the videos are then those of the
config's metric, or of `--ann-file`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tqdm import tqdm

from tools.analysis_tools.evaluate import add_labels_argument
from tools.command_line import run_main

if TYPE_CHECKING:
    from mmtad_decomp.postprocessing import PostProcessor, ProposalFile, RawPredictions

METHODS = ('pool', 'weighted')
"""Those of the package, which takes seconds to import."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('raw', nargs='+', help='one file per model: .npz, or .json')
    parser.add_argument('--out', required=True, type=Path, help='the submission JSON to write')
    parser.add_argument(
        '--weights', nargs='+', type=float, help='weight of each model, > 0 (default: all alike)'
    )
    parser.add_argument(
        '--config', help="take the post-processor of this config's test_evaluator (TADMetric)"
    )
    parser.add_argument(
        '--post-processor',
        nargs='+',
        default=(),
        metavar='KEY=VALUE',
        help='options of the post-processor, over those of the config: nms.sigma=0.4 ...',
    )
    parser.add_argument(
        '--method',
        choices=METHODS,
        default='pool',
        help='pool: all candidates together, then post-processing; weighted: post-processing of '
        'each model, then means of overlapping detections, weighted by score',
    )
    parser.add_argument(
        '--iou-thr',
        type=float,
        default=0.55,
        help='tIoU of a cluster, for weighted (default: 0.55)',
    )
    parser.add_argument(
        '--partial', action='store_true', help='let videos be missing from some of the files'
    )
    parser.add_argument(
        '--ann-file', help='annotations, for .json files (default: those of the config)'
    )
    parser.add_argument('--subset', help='subset of --ann-file')
    add_labels_argument(parser)
    return parser.parse_args(argv)


def find_metric(config: str) -> dict:
    """Settings of the TADMetric that a config tests with.

    Raises:
        ValueError: If there is none.
    """
    from mmengine.config import Config

    from mmtad_decomp.utils import of_class

    found = of_class(Config.fromfile(config).get('test_evaluator'), 'TADMetric')
    if not found:
        raise ValueError(f'{config}: `test_evaluator` has no TADMetric; leave --config out')
    return found[0]


def build_post_processor(metric: dict | None, options: dict) -> PostProcessor:
    """Build a metric's post-processor, or the default one, with options changed.

    Args:
        metric: Settings of the TADMetric, or None.
        options: Settings by dotted key.

    Raises:
        ValueError: If the metric has no post-processor, or an option is unknown or out of range.
    """
    from mmaction.registry import TASK_UTILS
    from mmengine.config import Config

    from mmtad_decomp.postprocessing import PostProcessor
    from mmtad_decomp.utils.config_check import accepted_arguments, class_name

    settings = dict(type='PostProcessor')
    if metric is not None:
        settings = metric.get('post_processor', settings)
        if settings is None:
            raise ValueError('the TADMetric of the config has post_processor=None')
    merged = Config(dict(post_processor=dict(settings)))
    merged.merge_from_dict({f'post_processor.{key}': value for key, value in options.items()})
    known, _ = accepted_arguments(PostProcessor)
    unknown = sorted(set(merged.post_processor) - known - {'type'})
    if class_name(merged.post_processor.type) == 'PostProcessor' and unknown:
        raise ValueError(f'PostProcessor has no options {unknown}; it knows {sorted(known)}')
    return TASK_UTILS.build(merged.post_processor)


def open_file(
    path: str, args: argparse.Namespace, metric: dict | None
) -> RawPredictions | ProposalFile:
    """Open a file of candidates.

    Raises:
        ValueError: If a JSON file comes without annotations.
    """
    from mmtad_decomp.annotations import load_annotations
    from mmtad_decomp.postprocessing import ProposalFile, RawPredictions

    if not path.endswith('.json'):
        return RawPredictions(path)
    _, fields, found_fields = args.labels
    if args.ann_file is not None:
        annotations = load_annotations(args.ann_file, args.subset, label_fields=fields)
        return ProposalFile(path, annotations, found_fields)
    if metric is None:
        raise ValueError(f'{path} does not say how long videos are; set --config or --ann-file')
    names = ('ann_file', 'subset', 'classes', 'ignore_labels', 'label_fields', 'exclude_videos')
    chosen = {name: metric[name] for name in names if name in metric}
    return ProposalFile(path, load_annotations(**chosen))


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    args = parse_args(argv)

    from mmengine.registry import init_default_scope

    from mmtad_decomp.evaluation import write_submission
    from mmtad_decomp.postprocessing.ensemble import ensemble_files
    from mmtad_decomp.utils import demand_writable
    from tools.config_overrides import parse_pairs

    demand_writable(args.out, '--out')
    init_default_scope('mmaction')
    metric = None if args.config is None else find_metric(args.config)
    post_processor = build_post_processor(
        metric, parse_pairs('--post-processor', args.post_processor)
    )
    files = [open_file(path, args, metric) for path in args.raw]
    count = len({video_id for file in files for video_id in file.video_ids})
    combined = ensemble_files(
        files, post_processor, args.weights, args.method, args.iou_thr, args.partial
    )
    videos = dict(tqdm(combined, total=count, desc='videos', disable=None))
    write_submission(args.out, videos, files[0].classes)
    print(f'{len(videos)} videos are written to {args.out}')


if __name__ == '__main__':
    sys.exit(run_main(main))
