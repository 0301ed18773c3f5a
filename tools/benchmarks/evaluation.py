"""Time the evaluation against ActionFormer's evaluator and MMAction2's AR@AN, interleaved.

Parts: ``thumos14`` (213 videos x 200 detections x 20 classes, on the real annotations where
``--thumos-annotations`` names them), ``activitynet`` (4,728 x 100 x 200, generated), where a round
of the peers takes minutes, and ``growth``, which times this package alone and draws a picture.
Parts that are not run keep their numbers in the JSON file.

    python tools/benchmarks/evaluation.py --json evaluation.json --plot evaluation.png
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    from mmtad_decomp.evaluation.functional import Predictions
    from tools.benchmarks._evaluation_peers import ActionFormer, MMAction2
    from tools.benchmarks._evaluation_problem import Problem

Result = TypeVar('Result')

ROOT = Path(__file__).resolve().parents[2]
ANNOTATIONS = ROOT.parent / 'shared/data/annotations/thumos14/thumos14_413_derived.json'
PROPOSAL_TIOUS = np.linspace(0.5, 0.95, 10)
OURS_PER_ROUND = 5


class Ours:
    """The same steps as the peers', with this package."""

    def __init__(self, problem: Problem, files: dict[str, Path], tious: np.ndarray) -> None:
        self._classes, self._files, self._tious = problem.classes, files, tious

    def load(self) -> tuple:
        """Both tables from the files."""
        from mmtad_decomp.annotations import load_annotations
        from mmtad_decomp.evaluation import ground_truth_table, prediction_table, read_submission

        annotations = load_annotations(self._files['annotations'], 'validation')
        submission = read_submission(self._files['submission'], annotations.classes)
        return ground_truth_table(annotations), prediction_table(annotations, submission.videos)

    def load_proposals(self) -> tuple:
        """Both tables of the videos with instances, which are all that MMAction2 takes."""
        truth, found = self.load()
        videos, numbers = np.unique(truth.videos, return_inverse=True)
        keep = np.isin(found.videos, videos)
        found = type(found)(*(column[keep] for column in found))
        found = found._replace(videos=np.searchsorted(videos, found.videos))
        return truth._replace(videos=numbers), found

    def average_precision(self, loaded: tuple) -> np.ndarray:
        """``(T, C)``."""
        from mmtad_decomp.evaluation.functional import average_precision

        truth, found = loaded
        return average_precision(truth, found, self._tious, len(self._classes))

    def recall(self, loaded: tuple) -> np.ndarray:
        """``(K, T, C)``."""
        from mmtad_decomp.evaluation.functional import recall_at_kx

        truth, found = loaded
        return recall_at_kx(truth, found, self._tious, len(self._classes))

    def average_recall(self, loaded: tuple) -> tuple:
        """AR@AN."""
        from mmtad_decomp.evaluation.functional import average_recall

        truth, found = loaded
        return average_recall(truth, found, PROPOSAL_TIOUS, int(truth.videos.max()) + 1)


def clock(function: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds of wall time, and the result."""
    begin = time.perf_counter()
    result = function()
    return time.perf_counter() - begin, result


def compare(
    ours: Callable[[], Result], peer: Callable[[], Result], rounds: int
) -> tuple[dict[str, float], tuple[Result, Result]]:
    """Medians of both, which take turns; this package runs several times in each of its turns.

    Args:
        ours: Takes nothing.
        peer: Takes nothing.
        rounds: Turns of each.

    Returns:
        ``ours_s``, ``peer_s``, ``ratio`` and the numbers of runs; the last results of both.
    """
    times: dict[str, list[float]] = {'ours': [], 'peer': []}
    for _ in range(rounds):
        for _ in range(OURS_PER_ROUND):
            seconds, our_result = clock(ours)
            times['ours'].append(seconds)
        seconds, peer_result = clock(peer)
        times['peer'].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    numbers = dict(
        ours_s=medians['ours'],
        peer_s=medians['peer'],
        ratio=medians['peer'] / medians['ours'],
        ours_runs=len(times['ours']),
        peer_runs=len(times['peer']),
    )
    return numbers, (our_result, peer_result)


def measure_command(files: dict[str, Path], tiou: str) -> dict[str, float]:
    """Seconds and peak memory in MiB of tools/analysis_tools/evaluate.py with everything on."""
    command = [sys.executable, str(ROOT / 'tools/analysis_tools/evaluate.py')]
    command += [str(files['submission']), str(files['annotations']), '--subset', 'validation']
    begin = time.perf_counter()
    process = subprocess.Popen(
        [*command, '--tiou', tiou, '--proposals'],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f'{" ".join(command)} failed')
    return dict(seconds=time.perf_counter() - begin, peak_mib=usage.ru_maxrss / 1024)


def run_size(problem: Problem, tious: np.ndarray, tiou: str, rounds: int) -> dict:
    """Compare at one size; the results of both must agree to 1e-9."""
    from tools.benchmarks._evaluation_peers import ActionFormer, MMAction2
    from tools.benchmarks._evaluation_problem import write_files

    with tempfile.TemporaryDirectory() as folder:
        files = write_files(problem, Path(folder))
        ours = Ours(problem, files, tious)
        peers: dict[str, ActionFormer | MMAction2] = {
            'average_precision': ActionFormer(files, tious),
            'recall': ActionFormer(files, tious),
            'average_recall': MMAction2(problem, files, PROPOSAL_TIOUS),
        }
        row = dict(
            videos=len(problem.video_ids),
            detections=len(problem.predictions.scores),
            instances=len(problem.ground_truth.labels),
            classes=len(problem.classes),
            tious=len(tious),
            command=measure_command(files, tiou),
        )
        for step, peer in peers.items():
            load = ours.load_proposals if step == 'average_recall' else ours.load
            our_load, loaded = clock(load)
            peer_load, peer_loaded = clock(peer.load)
            pair, results = compare(
                partial(getattr(ours, step), loaded),
                partial(getattr(peer, step), peer_loaded),
                rounds,
            )
            pair['difference'] = largest_difference(step, *results)
            our_load = min(our_load, clock(load)[0])
            peer_load = min(peer_load, clock(peer.load)[0])
            pair.update(ours_load_s=our_load, peer_load_s=peer_load)
            pair['ratio_with_loading'] = (pair['peer_s'] + peer_load) / (pair['ours_s'] + our_load)
            row[step] = pair
            print(f'  {step}: ' + ', '.join(f'{k} {v:.4g}' for k, v in pair.items()), flush=True)
    return row


def largest_difference(step: str, ours: Any, peer: Any) -> float:
    """Largest absolute difference of two results: arrays, or a tuple of them of average_recall.

    Raises:
        SystemExit: If it is more than 1e-9.
    """
    if step == 'average_recall':
        pairs = list(zip(ours, peer))
    else:
        known = ours[..., ~np.isnan(ours[0] if ours.ndim == 2 else ours[0, 0])]
        pairs = [(known if known.ndim == 2 else known.swapaxes(0, 1), peer)]
    difference = max(float(np.abs(np.asarray(a) - b).max()) for a, b in pairs)
    if difference > 1e-9:
        raise SystemExit(f'{step}: the results differ by {difference}')
    return difference


GROWTH = {
    'detections per video': [
        dict(num_videos=1000, per_video=n, num_classes=100) for n in (25, 50, 100, 200, 400, 800)
    ],
    'videos': [
        dict(num_videos=n, per_video=50, num_classes=100)
        for n in (500, 1000, 2000, 4000, 8000, 16000)
    ],
    'classes': [
        dict(num_videos=2000, per_video=100, num_classes=n) for n in (10, 40, 160, 640, 2560)
    ],
}


def sort_by_score(found: Predictions) -> np.ndarray:
    """The segments, the best first."""
    return found.segments.take(np.argsort(-found.scores), axis=0)


def run_growth(repeats: int = 5) -> dict:
    """Best times of this package as one size grows and the others stay.

    Returns:
        By what grows: the sizes, the numbers of detections and the times of each function, and
        ``exceeds``: the growth of the time from the first to the last size over that of
        ``n log n``, where n is the number of detections. ``sort alone`` sorts the detections by
        score with NumPy and does nothing else, to tell what memory and caches add to it.
    """
    from mmtad_decomp.evaluation.functional import average_precision, average_recall, recall_at_kx
    from tools.benchmarks._evaluation_problem import make_problem

    result = {}
    for name, settings in GROWTH.items():
        rows: list[dict[str, Any]] = []
        for arguments in settings:
            videos, classes = arguments['num_videos'], arguments['num_classes']
            problem = make_problem(videos, arguments['per_video'], classes, 1.6, 120)
            tables = problem.ground_truth, problem.predictions
            calls: dict[str, Callable[[], object]] = {
                'mAP': partial(average_precision, *tables, PROPOSAL_TIOUS, classes),
                'recall': partial(recall_at_kx, *tables, PROPOSAL_TIOUS, classes),
                'AR@AN': partial(average_recall, *tables, PROPOSAL_TIOUS, videos),
                'sort alone': partial(sort_by_score, problem.predictions),
            }
            best = {k: min(clock(call)[0] for _ in range(repeats)) for k, call in calls.items()}
            rows.append(dict(arguments, detections=len(tables[1].scores), seconds=best))
            print(f'  {name}: {arguments}, ' + ', '.join(f'{k} {v:.4f}' for k, v in best.items()))
        first, last = rows[0], rows[-1]
        n, m = first['detections'], last['detections']
        allowed = m * np.log(m) / (n * np.log(n))
        exceeds = {k: last['seconds'][k] / first['seconds'][k] / allowed for k in first['seconds']}
        result[name] = dict(rows=rows, exceeds=exceeds)
    return result


def draw(growth: dict, path: Path) -> None:
    """A panel for what grows, with n log n through the first point of mAP."""
    import matplotlib

    from mmtad_decomp.utils import atomic_write

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(growth), figsize=(9, 2.9), sharey=True)
    keys = ('per_video', 'num_videos', 'num_classes')
    for panel, (name, part), key in zip(panels, growth.items(), keys):
        rows = part['rows']
        x = [row[key] for row in rows]
        n = np.array([row['detections'] for row in rows])
        for step, marker in zip(rows[0]['seconds'], 'os^v'):
            panel.loglog(x, [1e3 * row['seconds'][step] for row in rows], f'{marker}-', label=step)
        line = n * np.log(n) * rows[0]['seconds']['mAP'] / (n[0] * np.log(n[0]))
        panel.loglog(x, 1e3 * line, 'k--', lw=1, label='n log n')
        panel.set_xlabel(name)
        panel.set_xticks([x[0], x[len(x) // 2], x[-1]], [x[0], x[len(x) // 2], x[-1]])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel('milliseconds')
    panels[0].legend(fontsize=8)
    figure.tight_layout()
    with atomic_write(path) as file:
        figure.savefig(file, format='png', dpi=90)


def hardware() -> dict:
    """Settings that the numbers depend on."""
    import pandas

    from mmtad_decomp.utils import processor_name, usable_cores

    return dict(
        cpu=processor_name(),
        cores=len(usable_cores()),
        omp_num_threads=os.environ.get('OMP_NUM_THREADS'),
        python=sys.version.split()[0],
        numpy=np.__version__,
        pandas=pandas.__version__,
    )


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--json', type=Path, required=True, help='where the numbers go')
    parser.add_argument('--plot', type=Path, help='where the picture of the growth goes')
    parser.add_argument('--parts', nargs='+', default=['thumos14', 'activitynet', 'growth'])
    parser.add_argument('--thumos-annotations', type=Path, default=ANNOTATIONS)
    parser.add_argument('--rounds', type=int, default=3, help="peers' rounds at THUMOS'14 size")
    parser.add_argument('--large-rounds', type=int, default=1, help='the same at ActivityNet size')
    args = parser.parse_args(argv)

    from mmtad_decomp.utils import write_json
    from tools.benchmarks._evaluation_problem import make_problem

    machine = hardware()
    print(machine)
    results = json.loads(args.json.read_text()) if args.json.exists() else {}
    for part in args.parts:
        print(part, flush=True)
        if part == 'growth':
            results[part] = run_growth()
        elif part == 'thumos14':
            real = args.thumos_annotations if args.thumos_annotations.exists() else None
            problem = make_problem(213, 200, 20, 15.6, 200, ann_file=real)
            results[part] = run_size(problem, np.linspace(0.3, 0.7, 5), '0.3:0.7:0.1', args.rounds)
            results[part]['annotations'] = 'generated' if real is None else 'real'
        elif part == 'activitynet':
            problem = make_problem(4728, 100, 200, 1.6, 120)
            results[part] = run_size(problem, PROPOSAL_TIOUS, '0.5:0.95:0.05', args.large_rounds)
        else:
            parser.error(f'--parts: {part!r} is none of thumos14, activitynet and growth')
        results[part]['machine'] = machine
        write_json(args.json, results, indent=1)
    if args.plot is not None and 'growth' in results:
        growth = {name: results['growth'][name] for name in GROWTH}
        draw(growth, args.plot)


if __name__ == '__main__':
    sys.exit(run_main(main))
