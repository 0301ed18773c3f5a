"""Detect actions in videos: ``python tools/infer.py VIDEO... --model MODEL``.

Examples:
    python tools/infer.py --demo
    python tools/infer.py video.mp4 --model work_dirs/quickstart/published
    python tools/infer.py videos/ 'more/**/*.mkv' --model CONFIG --weights CHECKPOINT \
        --format json csv vtt --picture --out-dir detections
    python tools/infer.py videos/ --model MODEL --format json --shard 2/4 --out-dir found
    python tools/infer.py --join found --format json csv
    ffmpeg -i rtsp://camera -f mpegts - | python tools/infer.py - --stream --model MODEL

The exit code is 0 if every video was read, 1 if some could not be (the others are done) or a file
could not be written (those before are named), 2 if nothing could be done, 130 after Ctrl-C and
143 after SIGTERM (the videos before are written).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.command_line import (
    PartlyDone,
    add_traceback_argument,
    is_mistake,
    run_main,
    sentence_of,
)
from tools.data.common.parallel import parse_shard, share

if TYPE_CHECKING:
    from mmtad_decomp.apis import TADInferencer, VideoInput, VideoResult

FORMATS = ('json', 'csv', 'vtt', 'srt', 'elan', 'label-studio')
PATIENCE = 10.0
DEMO_MODEL, DEMO_VIDEO = 'demo_student', 'demo/clip.mp4'
SHOWN = 10
"""Detections of a video in the table that is printed."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'videos',
        nargs='*',
        metavar='VIDEO',
        help='files, folders, patterns, folders of frames; with --stream one growing file, '
        'address, or - for the standard input',
    )
    parser.add_argument(
        '--model',
        help='a published model (with or without its ending), a name in model-index.yml, a '
        'config, a checkpoint, or the work directory of a training',
    )
    parser.add_argument(
        '--demo',
        action='store_true',
        help='show what the shipped model finds in the shipped video (see demo/README.md); '
        'writes JSON and a picture',
    )
    parser.add_argument('--weights', help='checkpoint or work directory, for a config without one')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: the fastest there is)')
    parser.add_argument('--batch-size', type=int, default=1, help='windows at once (default: 1)')
    parser.add_argument(
        '--dtype',
        default='auto',
        choices=('auto', 'bfloat16', 'float16', 'float32'),
        help='precision (default: the fastest of the device)',
    )
    parser.add_argument(
        '--score-thr', type=float, default=0.1, help='lowest score to keep (default: 0.1)'
    )
    parser.add_argument('--top-k', type=int, help='most detections to keep of a video')
    parser.add_argument('--frame-rate', type=float, help='images per second of folders of frames')
    parser.add_argument('--out-dir', help='where files go (default: detections)')
    parser.add_argument(
        '--shard',
        default='1/1',
        help='look at part i of n (i/n) of the videos, for machines side by side; its files go to '
        'the folder i-of-n in --out-dir',
    )
    parser.add_argument(
        '--join',
        metavar='DIR',
        help='once all parts of --shard are in this folder (their --out-dir), write what one run '
        'over all videos writes; with --format (default: json)',
    )
    parser.add_argument(
        '--format',
        nargs='+',
        default=[],
        choices=FORMATS,
        help='files to write: json (ActivityNet submission), csv, vtt and srt (subtitles), elan, '
        'label-studio',
    )
    parser.add_argument(
        '--picture', action='store_true', help='draw a time line of each video under key frames'
    )
    parser.add_argument(
        '--annotated-video',
        action='store_true',
        help='write each video with its detections below the picture',
    )
    parser.add_argument(
        '--stream', action='store_true', help='print detections as they become final'
    )
    parser.add_argument(
        '--patience',
        type=float,
        help='with --stream: seconds without news after which a growing file is complete '
        f'(default: {PATIENCE:g})',
    )
    parser.add_argument('--quiet', action='store_true', help='show no progress')
    add_traceback_argument(parser)
    args = parser.parse_args(argv)
    if args.join is None:
        return check_args(args)
    others = {**vars(args), 'videos': args.videos or None}
    for key in ('join', 'format', 'traceback'):
        del others[key]
    if any(value != parser.get_default(key) for key, value in others.items()):
        raise ValueError('--join reads the parts of a run; give it --format alone')
    args.format = args.format or ['json']
    return args


def check_args(args: argparse.Namespace) -> argparse.Namespace:
    """Refuse what makes no sense before anything heavy is imported.

    Raises:
        ValueError: If options do not go together or are out of range.
    """
    if args.demo:
        if args.videos or args.model or args.weights or args.stream:
            raise ValueError('--demo brings its video and its model; leave out those you name')
        args.videos, args.model, args.picture = [DEMO_VIDEO], DEMO_MODEL, True
        args.format, args.top_k = args.format or ['json'], args.top_k or SHOWN
    if not args.videos:
        raise ValueError('name at least one video')
    if args.model is None:
        raise ValueError('name a model by --model')
    if args.batch_size < 1:
        raise ValueError(f'--batch-size must be at least 1, got {args.batch_size}')
    if args.top_k is not None and args.top_k < 1:
        raise ValueError(f'--top-k must be at least 1, got {args.top_k}')
    if not 0 <= args.score_thr <= 1:
        raise ValueError(f'--score-thr must be from 0 to 1, got {args.score_thr}')
    rate = args.frame_rate
    if rate is not None and not (rate > 0 and math.isfinite(rate)):
        raise ValueError(f'--frame-rate must be above 0 and finite, got {rate}')
    if args.patience is not None and not (args.stream and args.patience >= 0):
        raise ValueError(f'--patience must be at least 0, with --stream, got {args.patience}')
    drawn = args.picture or args.annotated_video
    needs_whole = args.top_k or args.format or drawn or args.out_dir or rate
    if args.stream and (len(args.videos) != 1 or needs_whole):
        raise ValueError(
            '--stream takes one video and prints; --top-k, --format, --picture, '
            '--annotated-video, --out-dir and --frame-rate need whole ones'
        )
    if '-' in args.videos and not args.stream:
        raise ValueError('the standard input (-) is read with --stream')
    if args.out_dir is None and (args.format or drawn):
        args.out_dir = 'detections'
    if parse_shard(args.shard)[1] > 1 and (args.stream or args.demo):
        raise ValueError('--shard shares several videos; leave out --stream or --demo')
    return args


def show(line: str, file: TextIO | None = None) -> bool:
    """Print a line, by default to stdout; where nobody reads any more, print no more.

    A reader such as ``| head`` may leave early. What is to be written is written nevertheless.

    Returns:
        Whether the reader was still there.
    """
    file = file or sys.stdout
    try:
        print(line, file=file, flush=True)
    except BrokenPipeError:
        with open(os.devnull, 'wb') as nowhere:  # also for what is still in the buffer
            os.dup2(nowhere.fileno(), file.fileno())
        return False
    return True


def print_table(results: Sequence[VideoResult]) -> None:
    """Print the best detections of every video, by time."""
    from mmtad_decomp.utils import as_unicode

    for result in results:
        count = len(result.detections.scores)
        shown = f', the best {SHOWN} of them' if count > SHOWN else ''
        path = as_unicode(result.video.path)
        show(f'{path} ({result.duration:.1f} s): {count} detections{shown}')
        rows = sorted(result.rows()[:SHOWN], key=lambda row: row['segment'])
        for row in rows:
            start, end = row['segment']
            show(f'  {start:9.2f} - {end:9.2f} s  {row["score"]:.2f}  {row["label"]}')


def infer(inferencer: TADInferencer, videos: list[VideoInput], args: argparse.Namespace) -> int:
    """Look at all videos, write and print; returns the exit code."""
    from mmtad_decomp.apis.parts import write_part

    with files_named() as files:
        results, errors = detect(inferencer, videos, args, files)
        for file in draw(inferencer, results, args):
            files.append(file)
        if is_part(args):
            write_part(args.out_dir, deciding_options(args), videos, results, errors)
    return exit_code(errors, len(videos))


@contextlib.contextmanager
def files_named() -> Iterator[list[Path]]:
    """Name what was written, also if it ends early; yields the list that takes the files.

    Raises:
        PartlyDone: In place of a mistake after which there are files.
    """
    files: list[Path] = []
    try:
        yield files
    except Exception as error:
        if files and is_mistake(error):
            raise PartlyDone(sentence_of(error)) from error
        raise
    finally:
        for file in files:
            show(f'written: {file}')


def draw(
    inferencer: TADInferencer, results: Sequence[VideoResult], args: argparse.Namespace
) -> Iterator[Path]:
    """Draw what is asked for of each video; yields each file once it is written."""
    from mmtad_decomp.apis.outputs import ANNOTATED, PICTURE, drawn_file

    folders = {ANNOTATED: 'vid_out_dir', PICTURE: 'vis_out_dir'}
    for ending in drawn_endings(args):
        for result in results:
            into = {folders[ending]: args.out_dir}
            inferencer.visualize([], [result], frame_rate=args.frame_rate, **into)
            yield drawn_file(args.out_dir, result.video, ending)


def detect(
    inferencer: TADInferencer,
    videos: list[VideoInput],
    args: argparse.Namespace,
    files: list[Path],
) -> tuple[list[VideoResult], dict[str, str]]:
    """Look at all videos, write the formats and print, also if it ends early, by whatever error.

    Args:
        inferencer: The model.
        videos: The videos.
        args: The command line.
        files: Takes the files written.

    Returns:
        What was found, and the message of each broken video by its path.
    """
    from mmtad_decomp.apis import export_each

    results: list[VideoResult] = []
    errors: dict[str, str] = {}
    options = dict(frame_rate=args.frame_rate, score_thr=args.score_thr, top_k=args.top_k)
    try:
        for result in inferencer.detect_each(videos, errors, args.batch_size, **options):
            results.append(result)
    finally:
        try:  # writing comes first: no file is lost because something cannot be printed
            for file in export_each(args.out_dir, results, args.format) if results else ():
                files.append(file)
        finally:
            print_table(results)
            done = len(results) + len(errors)
            print_broken(errors, done)
            if done < len(videos):
                show(
                    f'ended in {videos[done].path}, video {done + 1} of {len(videos)}; '
                    'what is written holds the videos before',
                    sys.stderr,
                )
    return results, errors


def join(args: argparse.Namespace) -> int:
    """Put the parts of a run together; returns the exit code that one run would have."""
    from mmtad_decomp.apis import export_each
    from mmtad_decomp.apis.outputs import demand_inputs_kept, output_files
    from mmtad_decomp.apis.parts import copy_files, find_drawn, join_parts

    results, errors = join_parts(args.join)
    videos = [result.video for result in results]
    copies = find_drawn(args.join, videos)
    demand_inputs_kept(videos, output_files(args.join, videos, args.format) + [*copies])
    print_broken(errors, len(videos) + len(errors))
    with files_named() as files:
        exported = export_each(args.join, results, args.format) if results else ()
        for file in itertools.chain(exported, copy_files(copies)):
            files.append(file)
    return exit_code(errors, len(videos) + len(errors))


def drawn_endings(args: argparse.Namespace) -> list[str]:
    """Endings of the files that are drawn of each video."""
    from mmtad_decomp.apis.outputs import ANNOTATED, PICTURE

    wanted = {PICTURE: args.picture, ANNOTATED: args.annotated_video}
    return [ending for ending in wanted if wanted[ending]]


def demand_outputs(videos: list[VideoInput], args: argparse.Namespace) -> None:
    """Check that the files can be written, and overwrite no video, nor by ``--join`` later.

    Raises:
        InputError: If one would be overwritten.
        OutputPathError: If nothing can be written in ``--out-dir``.
    """
    from mmtad_decomp.apis.outputs import demand_files_writable, demand_inputs_kept, output_files

    if args.out_dir is None:
        return
    files = output_files(args.out_dir, videos, args.format, drawn_endings(args))
    demand_inputs_kept(videos, files)
    if is_part(args):
        from mmtad_decomp.apis.parts import PART_FILE, earlier_files, part_folder

        folder = part_folder(args.out_dir, *parse_shard(args.shard))
        files = output_files(folder, videos, args.format, drawn_endings(args))
        files.append(folder / PART_FILE)
        demand_inputs_kept(videos, files + earlier_files(folder, videos))
    demand_files_writable(files, '--out-dir')


def is_part(args: argparse.Namespace) -> bool:
    """Whether it is a part of a run, whose results are to be joined."""
    return parse_shard(args.shard)[1] > 1 and args.out_dir is not None


def deciding_options(args: argparse.Namespace) -> dict[str, str | float | None]:
    """Options by which a part finds what it finds."""
    names = ('model', 'weights', 'score_thr', 'top_k', 'frame_rate')
    return {f'--{name.replace("_", "-")}': getattr(args, name) for name in names}


def print_broken(errors: Mapping[str, str], count: int) -> None:
    """Name those of ``count`` videos that are broken."""
    for message in errors.values():
        show(f'error: {message}', sys.stderr)
    if errors:
        show(f'{len(errors)} of {count} videos could not be read', sys.stderr)


def exit_code(errors: Mapping[str, str], count: int) -> int:
    """The exit code where ``errors`` of ``count`` videos are broken, and the others are done."""
    return 0 if not errors else 1 if count > len(errors) else 2


def stream(inferencer: TADInferencer, name: str, args: argparse.Namespace) -> int:
    """Print detections as they become final, one JSON object on a line; returns the exit code."""
    from mmtad_decomp.postprocessing.detections import take

    patience = PATIENCE if args.patience is None else args.patience
    video, frames = inferencer.open_live(name, patience)
    window = inferencer.pipeline.window / frames.fps
    show(
        f'windows of {window:.2f} s: a detection comes at most {window:.2f} s of video after its '
        'middle, plus the time to compute',
        sys.stderr,
    )
    begin = time.monotonic()
    for found, seen in inferencer.detect_in_blocks(video, frames, args.batch_size, block=0.0):
        found = take(found, found.scores >= args.score_thr)
        for segment, score, label in zip(*(column.tolist() for column in found)):
            row = dict(segment=segment, label=inferencer.classes[label], score=score)
            row |= dict(seen=seen, wall=round(time.monotonic() - begin, 2))
            if not show(json.dumps(row)):
                return 0
    return 0


def main(argv: list[str] | None = None) -> int:
    """Detect; returns the exit code."""
    args = parse_args(argv)
    if args.join is not None:
        return join(args)
    from mmtad_decomp.apis import TADInferencer, find_videos, project_folder  # late: slow
    from mmtad_decomp.apis.parts import begin_part, write_part

    if args.demo:
        args.videos = [str(project_folder() / DEMO_VIDEO)]
    videos = [] if args.stream else find_videos(args.videos)
    demand_outputs(videos, args)
    shard = parse_shard(args.shard)
    videos = [*share({v.path: v for v in videos}, shard).values()]
    if is_part(args):
        args.out_dir = begin_part(args.out_dir, *shard, videos)
    if not videos and not args.stream:
        show(f'part {args.shard} has no video')
        if is_part(args):
            write_part(args.out_dir, deciding_options(args), [], [], {})
        return 0
    inferencer = TADInferencer(
        args.model,
        args.weights,
        device=args.device,
        dtype=args.dtype,
        show_progress=not args.quiet,
    )
    if args.stream:
        return stream(inferencer, args.videos[0], args)
    return infer(inferencer, videos, args)


if __name__ == '__main__':
    sys.exit(run_main(main))
