"""The main job on the embedded data set: four trainings, four tests, a table and a picture."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmengine.config import Config

from mmtad_decomp.utils import write_json

DATA = Path('data/synthetic')
OUT = Path('work_dirs/quickstart')
SYSTEMS = {
    'teacher': ('configs/teacher/actionformer_tsm18_synthetic_tg.py', 'motion teacher (TG)'),
    'baseline': ('configs/baseline/actionformer_tsm18_synthetic.py', 'RGB baseline'),
    'conventional': (
        'configs/conventional/actionformer_tsm18_synthetic.py',
        'RGB, conventional distillation',
    ),
    'decomposed': ('configs/decomp/actionformer_tsm18_synthetic.py', 'RGB, decomposed'),
}
# Two jobs at a time on half of the cores each: the threads of one small step spend much of their
# time waiting for each other.
JOBS = 2
THREADS = max(1, (os.cpu_count() or 1) // JOBS)
_TRAIN_LINE = re.compile(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\].*?\bloss: ([\d.naif]+)')


class StepFailed(RuntimeError):
    """A command of the main job failed; the message names its log."""


def run(command: list[str], log: Path, title: str, epochs: int | None = None) -> None:
    """Run a command with its output in ``log``, and print how far it is.

    Args:
        command: What to run.
        log: File for all of its output.
        title: What to call it.
        epochs: Epochs of the training, to show how far it is.

    Raises:
        StepFailed: If it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    print(f'{title} ...', flush=True)
    with open(log, 'w', encoding='utf-8') as file:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            env={**os.environ, 'OMP_NUM_THREADS': str(THREADS)},
        )
        for line in process.stdout:
            file.write(line)
            match = _TRAIN_LINE.search(line)
            if match and match[2] == match[3]:
                print(f'{title}: epoch {match[1]} of {epochs}, loss {match[4]}', flush=True)
        code = process.wait()
    if code:
        tail = ''.join(log.read_text(encoding='utf-8').splitlines(keepends=True)[-15:])
        raise StepFailed(f'{title} failed (exit code {code}); its log is {log}:\n{tail}')
    print(f'{title}: done in {time.monotonic() - begin:.0f} s', flush=True)


def fingerprint(cfg: Config, *parts: str) -> str:
    """Hash of all that a result depends on: the config and the ``parts``."""
    content = json.dumps([cfg.to_dict(), *parts], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def run_system(name: str, step: str, data: str, teacher: str) -> dict:
    """Train and test one system, unless its result is already there.

    Args:
        name: Key of :data:`SYSTEMS`.
        step: Shown before its title.
        data: Hash of the data set.
        teacher: Fingerprint of the teacher, for the students.

    Returns:
        Its metrics, times and fingerprint.
    """
    path, title = SYSTEMS[name]
    cfg = Config.fromfile(path)
    work_dir, mark = OUT / name, fingerprint(cfg, data, teacher)
    result_file, mark_file = work_dir / 'result.json', work_dir / 'fingerprint'
    if work_dir.exists() and (not mark_file.exists() or mark_file.read_text() != mark):
        shutil.rmtree(work_dir)
    if result_file.exists():
        print(f'{step} {title}: already done')
        return json.loads(result_file.read_text())
    work_dir.mkdir(parents=True, exist_ok=True)
    mark_file.write_text(mark)
    options = []
    if name in ('conventional', 'decomposed'):
        options = ['--cfg-options', f'model.teacher_checkpoint={OUT / "teacher"}']
    train = [sys.executable, '-W', 'ignore', 'tools/train.py', path, '--work-dir', str(work_dir)]
    begin = time.monotonic()
    run(
        [*train, '--resume', '--no-validate', *options],
        work_dir / 'train.log',
        f'{step} train {title}',
        cfg.train_cfg.max_epochs,
    )
    trained = time.monotonic()
    test = [sys.executable, '-W', 'ignore', 'tools/test.py', path, str(work_dir)]
    flags = [
        '--work-dir',
        str(work_dir / 'test'),
        '--dump-json',
        str(work_dir / 'detections.json'),
    ]
    run([*test, *flags, *options], work_dir / 'test.log', f'{step} test  {title}')
    metrics_file = max((work_dir / 'test').glob('*/*.json'), key=lambda p: p.stat().st_mtime)
    metrics = json.loads(metrics_file.read_text())
    result = {key.removeprefix('tad/'): v for key, v in metrics.items() if key.startswith('tad/')}
    result['train_seconds'] = round(trained - begin, 1)
    result['test_seconds'] = round(time.monotonic() - trained, 1)
    result['fingerprint'] = mark
    write_json(result_file, result)
    return result


def run_systems(step: str, names: tuple[str, ...], data: str, teacher: str) -> dict[str, dict]:
    """Train and test systems that do not depend on each other, side by side."""
    with ThreadPoolExecutor(JOBS) as pool:
        jobs = {name: pool.submit(run_system, name, step, data, teacher) for name in names}
        return {name: job.result() for name, job in jobs.items()}


def print_table(results: dict[str, dict]) -> None:
    """Print mAP by tIoU of every system."""
    columns = [0.3, 0.4, 0.5, 0.6, 0.7]
    print('\nmAP (%) on the validation videos, at tIoU:')
    print(f'{"":<32}' + ''.join(f'{t:>7}' for t in columns) + f'{"0.3:0.7":>10}')
    for name, result in results.items():
        cells = ''.join(f'{100 * result[f"mAP@{t}"]:7.1f}' for t in columns)
        print(f'{SYSTEMS[name][1]:<32}{cells}{100 * result["mAP"]:10.1f}')


def main(argv: list[str] | None = None) -> int:
    """Run the main job; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--fresh', action='store_true', help='redo everything')
    args = parser.parse_args(argv)
    if args.fresh and OUT.exists():
        shutil.rmtree(OUT)
    begin = time.monotonic()
    try:
        render = [sys.executable, 'tools/data/synthetic/render.py', '--out', str(DATA)]
        run(render, OUT / 'render.log', '[1/4] render the videos')
        data = hashlib.sha256((DATA / 'annotations.json').read_bytes()).hexdigest()
        results = run_systems('[2/4]', ('teacher', 'baseline'), data, '')
        teacher = results['teacher']['fingerprint']
        results |= run_systems('[3/4]', ('conventional', 'decomposed'), data, teacher)
        picture = OUT / 'timeline.png'
        draw = [sys.executable, '-W', 'ignore', 'tools/visualizations/timeline.py']
        draw += [str(DATA / 'annotations.json'), '--subset', 'validation', '--out', str(picture)]
        for name, (_, title) in SYSTEMS.items():
            draw += ['--results', f'{title}={OUT / name / "detections.json"}']
        run(draw, OUT / 'timeline.log', '[4/4] draw detections against ground truth')
    except StepFailed as error:
        print(f'\n{error}', file=sys.stderr)
        return 1
    summary = {name: {**result} for name, result in results.items()}
    for result in summary.values():
        result.pop('fingerprint')
    write_json(OUT / 'summary.json', summary)
    print_table(results)
    print(f'\nnumbers: {OUT / "summary.json"}\npicture: {picture}')
    print(f'whole run: {time.monotonic() - begin:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
