"""Contents of the log of a training."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path


def read_scalars(work_dir: Path) -> list[dict]:
    """Records of MMEngine's scalars.json files; runs that were resumed count together."""
    records = []
    for log in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in log.read_text(encoding='utf-8').splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:  # the line that a killed run was writing
                continue
    return records


def training_minutes(records: list[dict]) -> tuple[int, float]:
    """Steps of a training, and minutes: the median time of a step times the steps."""
    steps = {r['step']: r['time'] for r in records if 'loss' in r and 'time' in r}
    if not steps:
        return 0, 0.0
    last = max(steps)
    return last, round(last * statistics.median(steps.values()) / 60, 2)


def summarize_training(work_dir: Path) -> dict:
    """Steps, minutes, memory of the GPU, and the last of each ``health/`` value.

    Args:
        work_dir: Work directory of the training.
    """
    records = read_scalars(work_dir)
    steps, minutes = training_minutes(records)
    summary: dict[str, object] = dict(steps=steps, minutes=minutes)
    memory = [r['memory'] for r in records if 'memory' in r]
    if memory:
        summary['gpu_memory_mb'] = max(memory)
    health = {
        key.removeprefix('health/'): value
        for record in records
        for key, value in record.items()
        if key.startswith('health/') and isinstance(value, (int, float))
    }
    # JSON has no NaN
    summary['health'] = {k: v if math.isfinite(v) else None for k, v in health.items()}
    return summary
