"""Time and memory of large data sets: index, data loader, evaluation. Each part has a process.

- ``index``: build the data set of 20,000 generated videos, which is ActivityNet's size.
- ``loader``: windows of the embedded recordings for each second of the processor, with and without
  the cache of decoded frames, against those that the network trains on; videos decoded twice.
- ``growth``: memory of the process and of two workers that load 10,000 windows.
- ``evaluation``: mAP at ten thresholds of 10 million detections in 20,000 videos, from tables.
- ``submission``: ``tools/analysis_tools/evaluate.py`` on the same detections in a JSON file.

Example:
    OMP_NUM_THREADS=1 python tools/benchmarks/data_scale.py --json data_scale.json
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main

if TYPE_CHECKING:
    from mmtad_decomp.datasets import TADDataset
    from tools.benchmarks._evaluation_problem import Problem

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/baseline/actionformer_tsm18narrow_grid_mini.py'
VIDEOS, CLASSES, WINDOWS, MIB = 20_000, 200, 10_000, 2**20


def memory(kind: str, process: int | str = 'self') -> float:
    """MiB of a process by a field of Linux's ``/proc/PID/status``."""
    lines = Path(f'/proc/{process}/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f'{kind}:')) / 1024


def with_peak(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds of the clock and of the processor, and MiB by which memory peaked; the result."""
    Path('/proc/self/clear_refs').write_text('5')  # the peak starts anew
    before, clock, processor = memory('VmRSS'), time.perf_counter(), time.process_time()
    result = work()
    record = dict(
        seconds=time.perf_counter() - clock,
        processor_seconds=time.process_time() - processor,
        peak_mib=memory('VmHWM') - before,
    )
    return record, result


def measure_index(folder: Path) -> dict:
    """Build the data set of generated videos, whose folders of frames are empty."""
    import numpy as np

    from mmtad_decomp.datasets import TADDataset
    from mmtad_decomp.utils import write_json
    from tools.benchmarks._evaluation_problem import random_ground_truth

    rng = np.random.default_rng(0)
    durations, truth = random_ground_truth(rng, VIDEOS, 1.6, CLASSES, 120)
    database = {
        f'v_{i}': dict(subset='training', duration=d, fps=30.0, annotations=[])
        for i, d in enumerate(durations.tolist())
    }
    for video, segment, label in zip(*(column.tolist() for column in truth)):
        item = dict(segment=segment, label=f'class {label}')
        database[f'v_{video}']['annotations'].append(item)
    write_json(folder / 'annotations.json', dict(database=database))
    for name in database:
        (folder / 'frames' / name).mkdir(parents=True)
    del database
    frames = functools.partial(
        TADDataset,
        str(folder / 'annotations.json'),
        source='frames',
        data_prefix=dict(frames=str(folder / 'frames')),
    )
    records = {}
    for name, load in (
        ('whole videos', functools.partial(frames, num_samples=128)),
        ('windows', functools.partial(frames, sample_fps=10, window=256)),
    ):
        records[name], dataset = with_peak(load)
        records[name] |= dict(videos=VIDEOS, windows=len(dataset))
    return records


def _training_set(cache: Path | None) -> TADDataset:
    """The training set of the embedded recordings."""
    from mmaction.registry import DATASETS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    import mmtad_decomp  # noqa: F401

    init_default_scope('mmaction')
    config = Config.fromfile(CONFIG).train_dataloader.dataset
    config.data_root = str(ROOT / config.data_root)
    config.pipeline[0].cache_dir = None if cache is None else str(cache)
    return DATASETS.build(config)


def _batches(dataset: TADDataset, windows: int, workers: int) -> Any:
    """An iterator of PyTorch's ``DataLoader`` over batches of four windows, drawn at random."""
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader, RandomSampler

    sampler = RandomSampler(dataset, replacement=True, num_samples=windows)
    options = dict(batch_size=4, num_workers=workers, collate_fn=pseudo_collate)
    return iter(DataLoader(dataset, sampler=sampler, **options))


def _windows_per_second(work: Callable[[], Any], windows: int) -> float:
    work()  # what only the first time takes
    begin = time.process_time()
    work()
    return windows / (time.process_time() - begin)


def measure_loader(folder: Path) -> dict:
    """Windows for each second of the processor, of the loader and of the network."""
    import torch
    from mmaction.registry import MODELS
    from mmengine.config import Config
    from mmengine.optim import OptimWrapper

    torch.set_num_threads(1)
    records: dict = {}
    for name, cache, windows in (('cached', folder / 'cache', 400), ('decoded', None, 80)):
        dataset = _training_set(cache)
        if cache is not None:
            for index in range(len(dataset)):
                dataset[index]
            stored = {p: p.stat().st_mtime_ns for p in cache.rglob('*') if p.is_file()}
        load = functools.partial(lambda *args: [*_batches(*args)], dataset, windows, 0)
        records[name] = _windows_per_second(load, windows)
    found = {p: p.stat().st_mtime_ns for p in (folder / 'cache').rglob('*') if p.is_file()}
    videos = {dataset.get_data_info(index)['path'] for index in range(len(dataset))}
    decoded_again = sum(stored.get(path) != written for path, written in found.items())
    records |= dict(videos=len(videos), cached_files=len(stored), decoded_again=decoded_again)
    model = MODELS.build(Config.fromfile(CONFIG).model)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4))
    (batch,) = _batches(dataset, 4, 0)
    records['network'] = _windows_per_second(
        lambda: [model.train_step(batch, wrapper) for _ in range(3)], 12
    )
    return records


def measure_growth(folder: Path) -> dict:
    """Memory of the process and of its workers, after each fifth of the windows."""
    batches = _batches(_training_set(folder / 'cache'), WINDOWS, 2)
    records = []
    for number, _ in enumerate(batches, start=1):
        if 4 * number % (WINDOWS // 5) == 0:
            pids = ['self', *(worker.pid for worker in batches._workers)]
            kinds = ('VmRSS', 'RssAnon')
            own = {kind: [round(memory(kind, pid), 1) for pid in pids] for kind in kinds}
            records.append(dict(windows=4 * number, **own))
    return dict(steps=records)


def measure_evaluation(folder: Path) -> dict:
    """Mean average precision of ten million detections."""
    import numpy as np

    from mmtad_decomp.evaluation.functional import average_precision
    from tools.benchmarks._evaluation_problem import make_problem

    problem = make_problem(VIDEOS, 500, CLASSES, 1.6, 120)
    tious = np.linspace(0.5, 0.95, 10)
    tables = problem.ground_truth, problem.predictions
    record, _ = with_peak(lambda: average_precision(*tables, tious, CLASSES))
    size = sum(column.nbytes for column in problem.predictions) / MIB
    return record | dict(detections=len(problem.predictions.scores), tables_mib=size)


def _write_problem(problem: Problem, folder: Path) -> Path:
    """Write annotations, and detections video by video; returns the file of the latter."""
    import numpy as np

    from mmtad_decomp.utils import write_json

    names, classes = problem.video_ids, problem.classes
    database = {
        name: dict(subset='validation', duration=duration, annotations=[])
        for name, duration in zip(names, problem.durations.tolist())
    }
    for video, segment, label in zip(*(column.tolist() for column in problem.ground_truth)):
        item = dict(segment=segment, label=classes[label])
        database[names[video]]['annotations'].append(item)
    content = dict(classes=[*classes], database=database)
    write_json(folder / 'annotations.json', content)
    found = problem.predictions
    ends = np.searchsorted(found.videos, np.arange(len(names)), side='right').tolist()
    path = folder / 'submission.json'
    with path.open('w', encoding='utf-8') as file:
        file.write('{"results": ')
        for name, start, end in zip(names, [0, *ends], ends):
            columns = (column[start:end].tolist() for column in found[1:])
            items = [dict(segment=s, score=p, label=classes[i]) for s, p, i in zip(*columns)]
            file.write(f'{"," if start else "{"}{json.dumps(name)}: {json.dumps(items)}')
        file.write('}}')
    return path


def measure_submission(folder: Path) -> dict:
    """Evaluate ten million detections of a JSON file; their mAP must be that of the tables."""
    import contextlib

    import numpy as np

    from mmtad_decomp.evaluation.functional import average_precision, mean_over_classes
    from tools.analysis_tools import evaluate
    from tools.benchmarks._evaluation_problem import make_problem

    problem = make_problem(VIDEOS, 500, CLASSES, 1.6, 120)
    tables = problem.ground_truth, problem.predictions
    tious = np.linspace(0.5, 0.95, 10).round(2)
    wanted = mean_over_classes(average_precision(*tables, tious, CLASSES))
    path = _write_problem(problem, folder)
    detections = len(problem.predictions.scores)
    del problem, tables
    words = [str(path), str(folder / 'annotations.json'), '--tiou', '0.5:0.95:0.05']
    with contextlib.redirect_stdout(sys.stderr):
        record, content = with_peak(lambda: evaluate.main(words))
    found = content['results']['label']['mAP']
    np.testing.assert_allclose([*found.values()], wanted, rtol=1e-9)
    return record | dict(detections=detections, file_mib=path.stat().st_size / MIB)


PARTS: Mapping[str, Callable[[Path], dict]] = {
    'index': measure_index,
    'loader': measure_loader,
    'growth': measure_growth,
    'evaluation': measure_evaluation,
    'submission': measure_submission,
}


def main(argv: list[str] | None = None) -> None:
    """Measure; every part in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument('--json', type=Path, help='add the numbers to this file')
    parser.add_argument('--worker', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)

    from mmtad_decomp.utils import processor_name, write_json

    if args.worker is not None:
        print(json.dumps(PARTS[args.parts[0]](args.worker)))
        return
    records: dict = {}
    if args.json is not None and args.json.is_file():
        records = json.loads(args.json.read_text(encoding='utf-8'))
    for part in args.parts:
        with tempfile.TemporaryDirectory(prefix='data_scale_') as folder:
            command = [sys.executable, '-W', 'ignore', __file__, '--parts', part]
            command += ['--worker', folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        records[part] = json.loads(done.stdout.splitlines()[-1]) | dict(processor=processor_name())
        print(json.dumps({part: records[part]}, indent=1), flush=True)
        if args.json is not None:
            write_json(args.json, records, indent=1)


if __name__ == '__main__':
    sys.exit(run_main(main))
