"""Training and validation videos, so that no group is in both."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

from .records import LabelError

_DRAWS = 500


def split_by_group(
    groups: Mapping[str, str], counts: Mapping[str, Counter], share: float, seed: int
) -> dict[str, str]:
    """Choose the groups for validation.

    Of :data:`_DRAWS` random choices of groups the one is taken whose validation videos hold
    closest to ``share`` of each class's actions (sum of squared differences); a class that one
    of the two subsets lacks counts as far off.

    Args:
        groups: Group of each video.
        counts: Actions of each class in each video.
        share: Share of the actions for validation, in (0, 1).
        seed: Of the draws.

    Returns:
        ``'training'`` or ``'validation'`` of each video.

    Raises:
        LabelError: If there is but one group.
    """
    names = sorted(set(groups.values()))
    if len(names) < 2:
        raise LabelError(
            f'all videos are of one group ({names[0]}), so none can be held out; group them '
            'otherwise, or label videos of another one'
        )
    by_group: dict[str, Counter[str]] = {name: Counter() for name in names}
    for video, group in groups.items():
        by_group[group].update(counts[video])
    total = sum(by_group.values(), Counter())
    draw = random.Random(seed)
    number = min(max(round(share * len(names)), 1), len(names) - 1)
    best, lowest = {*names}, float('inf')
    for _ in range(_DRAWS):
        chosen = set(draw.sample(names, number))
        held = sum((by_group[name] for name in chosen), Counter())
        cost = sum((held[label] / total[label] - share) ** 2 for label in total)
        cost += sum(held[label] in (0, total[label]) for label in total)
        if cost < lowest:
            best, lowest = chosen, cost
    return {
        video: 'validation' if group in best else 'training' for video, group in groups.items()
    }
