"""Draw the detections of one or more models against the ground truth of a video.

Example::

    python tools/visualizations/timeline.py data/fir/annotations.json \
        --results baseline=work_dirs/baseline/detections.json \
        --results decomposed=work_dirs/decomposed/detections.json \
        --subset validation --out work_dirs/timeline.png

The score curves of the branches, from the files of ``branch_ap.py --dump-json``::

    python tools/visualizations/timeline.py data/fir/annotations.json --subset validation \
        --results decomposed=work_dirs/branches/joint.json \
        --curves appearance=work_dirs/branches/appearance.json \
        --curves motion=work_dirs/branches/motion.json --curves joint=work_dirs/branches/joint.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.analysis_tools.evaluate import (
    add_annotation_arguments,
    add_labels_argument,
    read_annotations,
    read_detections,
)
from tools.command_line import add_named_paths_argument, run_main

if TYPE_CHECKING:
    from mmtad_decomp.postprocessing import Detections
    from mmtad_decomp.structures import VideoAnnotation


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_annotation_arguments(parser)
    add_labels_argument(parser)
    add_named_paths_argument(
        parser,
        '--results',
        'submission JSON of a model (dump_path of TADMetric) under a name; may be repeated',
        required=True,
    )
    add_named_paths_argument(
        parser,
        '--curves',
        'submission JSON whose highest score at each moment is drawn as a curve; may be '
        'repeated, but not with --best',
    )
    parser.add_argument(
        '--video',
        help='video id (default: of the videos with results, the one with most instances)',
    )
    parser.add_argument('--score-thr', type=float, default=0.1, help='lowest score to draw')
    parser.add_argument(
        '--max-detections', type=int, default=200, help='most detections to draw of a model'
    )
    parser.add_argument(
        '--best',
        action='store_true',
        help='a row for each model, with as many of its best detections as there are instances; '
        'without --video, of the video in which the models find nearest to what they find in all',
    )
    parser.add_argument(
        '--key-frames',
        type=int,
        default=0,
        help='frames of the video to show above, evenly spaced; needs "path" and "fps" of the '
        "video in the annotations, relative to the annotations' folder",
    )
    parser.add_argument('--out', default='timeline.png', help='picture to write (png, pdf, svg)')
    return parser.parse_args(arguments)


def choose_video(
    videos: dict[str, VideoAnnotation],
    results: dict[str, dict[str, Detections]],
    wanted: str | None,
    typical: bool = False,
) -> VideoAnnotation:
    """The video asked for, else one that all models have results for: with most instances.

    Args:
        videos: Annotated videos by name.
        results: Detections of each model by video.
        wanted: Name of a video.
        typical: Of all videos with instances, the one in which the models' shares of right
            detections are nearest to their shares over all of them.

    Raises:
        ValueError: If there is none.
    """
    if wanted is not None:
        if wanted not in videos:
            raise ValueError(
                f'video "{wanted}" is not among the {len(videos)} annotated ones of this subset, '
                f'such as {", ".join(list(videos)[:3])}; correct --video or --subset'
            )
        return videos[wanted]
    common = [v for v in videos.values() if all(v.video_id in found for found in results.values())]
    if not common:
        raise ValueError(
            'no annotated video has results of every model; check that --results and --subset '
            'belong together'
        )
    if typical and any(len(video.labels) for video in common):
        return typical_video([video for video in common if len(video.labels)], results)
    return max(common, key=lambda video: len(video.labels))


def typical_video(
    videos: list[VideoAnnotation], results: dict[str, dict[str, Detections]]
) -> VideoAnnotation:
    """The video whose shares of right detections, one of each model, are nearest to the mean."""
    from mmtad_decomp.visualization import best_detections

    # (V, M): V videos, M models
    shares = np.array(
        [
            [
                best_detections(found[v.video_id], v.segments, v.labels)[1].sum() / len(v.labels)
                for found in results.values()
            ]
            for v in videos
        ]
    )
    distances = np.square(shares - shares.mean(axis=0)).sum(axis=1)
    return videos[int(distances.argmin())]


def key_frames(video: VideoAnnotation, folder: Path, count: int) -> list[tuple[float, np.ndarray]]:
    """Times in seconds and ``(H, W, 3)`` uint8 pictures in the middle of equal parts of a video.

    Raises:
        ValueError: If the annotation does not say where the video is, or it cannot be read.
    """
    from mmtad_decomp.datasets.video_reader import VideoReadError, read_frames

    if count < 1:
        return []
    if video.path is None or video.fps is None:
        raise ValueError(
            f'--key-frames: video "{video.video_id}" has no "path" or no "fps" in its annotation; '
            'add them, or leave the option out'
        )
    times = (np.arange(count) + 0.5) * video.duration / count
    try:
        images = read_frames(folder / video.path, (times * video.fps).astype(int), video.fps)
    except VideoReadError as error:
        raise ValueError(f'--key-frames: {error}') from error
    return list(zip(times.tolist(), images))


def main(arguments: list[str] | None = None) -> None:
    """Draw and write the picture."""
    args = parse_args(arguments)

    from mmtad_decomp.postprocessing import Detections
    from mmtad_decomp.utils import demand_writable
    from mmtad_decomp.visualization import draw_overview, draw_timeline, save_figure

    demand_writable(args.out, '--out')
    if args.curves and args.best:
        raise ValueError('--curves has no place in the picture of --best; leave one of them out')
    _, fields, found_fields = args.labels
    annotations = read_annotations(args, fields)
    results, curves = (
        {
            name: read_detections(path, args, annotations.classes, found_fields).videos
            for name, path in named
        }
        for named in (args.results, args.curves)
    )
    video = choose_video(annotations.videos, results, args.video, typical=args.best)
    nothing = Detections(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=np.int64))
    drawing = dict(
        gt_segments=video.segments,
        gt_labels=video.labels,
        detections={n: found.get(video.video_id, nothing) for n, found in results.items()},
        classes=annotations.classes,
        duration=video.duration,
        title=video.video_id,
        frames=key_frames(video, Path(args.annotations).parent, args.key_frames),
    )
    if args.best:
        figure = draw_overview(**drawing)
    else:
        limits = dict(score_thr=args.score_thr, max_detections=args.max_detections)
        lines = {n: found.get(video.video_id, nothing) for n, found in curves.items()}
        figure = draw_timeline(**drawing, **limits, curves=lines)
        for name, detections in drawing['detections'].items():
            if not (detections.scores >= args.score_thr).any():
                of_all = f'none of {len(detections.scores)} detections'
                print(f'{name}: {of_all} reaches --score-thr {args.score_thr:g}')
    save_figure(figure, args.out)
    print(f'{video.video_id}: {len(video.labels)} instances; written to {args.out}')


if __name__ == '__main__':
    sys.exit(run_main(main))
