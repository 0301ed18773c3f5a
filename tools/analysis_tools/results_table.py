"""Collect the last validation of several trainings into a table, as Markdown and as JSON.

    python tools/analysis_tools/results_table.py --json fir.json --groups 0.1:0.5 0.3:0.7 \
        --row "RGB baseline=work_dirs/baseline/actionformer_tsm18_fir" ...
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.command_line import run_main


def read_run(work_dir: Path) -> dict:
    """The last metrics, the time (median step times steps) and the settings of a training.

    Args:
        work_dir: Work directory of the training; runs that were resumed count together.

    Raises:
        FileNotFoundError: If no validation is logged there.
    """
    from mmengine.config import Config

    from tools.studies.training_log import read_scalars, training_minutes

    records = read_scalars(work_dir)
    metrics = [r for r in records if any(key.startswith('tad/') for key in r)]
    if not metrics:
        raise FileNotFoundError(f'{work_dir} has no logged validation; train it to its end first')
    steps, minutes = training_minutes(records)
    config = Config.fromfile(next(work_dir.glob('*.py')), import_custom_modules=False)
    return dict(
        metrics={k.removeprefix('tad/'): v for k, v in metrics[-1].items() if 'tad/' in k},
        epochs=metrics[-1]['step'],
        steps=steps,
        train_minutes=round(minutes, 1),
        seed=config.randomness.get('seed'),
    )


def markdown(runs: dict[str, dict], groups: list[str]) -> str:
    """A table with one line per run: the groups' averages, then every threshold, in percent."""
    first = next(iter(runs.values()))['metrics']
    columns = [f'mAP_{group}' for group in groups] + sorted(k for k in first if '@' in k)
    titles = [c.replace('mAP_', 'mAP ').replace('mAP@', '') for c in columns]
    lines = [
        '| system | ' + ' | '.join(titles) + ' | training, minutes |',
        '| --- |' + ' ---: |' * (len(titles) + 1),
    ]
    for name, run in runs.items():
        cells = [f'{100 * run["metrics"][column]:.1f}' for column in columns]
        lines.append(f'| {name} | ' + ' | '.join(cells) + f' | {run["train_minutes"]:.1f} |')
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--row', action='append', required=True, help='name=work directory')
    parser.add_argument('--groups', nargs='+', required=True, help="names of the metric's groups")
    parser.add_argument('--json', type=Path, required=True, help='where the numbers go')
    args = parser.parse_args(argv)

    from mmtad_decomp.utils import write_json

    runs = {}
    for row in args.row:
        name, _, work_dir = row.partition('=')
        runs[name] = read_run(Path(work_dir))
    write_json(args.json, runs)
    print(markdown(runs, args.groups))


if __name__ == '__main__':
    sys.exit(run_main(main))
