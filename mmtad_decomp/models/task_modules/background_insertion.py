"""Cutting an instance in two by background, as AFSD does for its contrastive learning."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Insertion(NamedTuple):
    """A window in which background interrupts an instance.

    Attributes:
        order: ``(T,)`` int64, for each step the step of the window that takes its place.
        segments: ``(3, 2)`` float64 in steps of the new window: the instance up to the cut, the
            instance from behind the background, and the background.
    """

    order: Tensor
    segments: Tensor


def insert_background(length: int, segments: Tensor, width: int) -> Insertion | None:
    """Move background of a window into one of its instances (Lin et al., "AFSD", CVPR 2021).

    An instance of more than twice ``width`` steps, a cut at least ``width`` steps from both of
    its ends, and a run of ``width`` steps that no instance touches are drawn at random (torch's
    CPU generator). The run is taken from where it is and put where the cut is; what lies between
    the two moves to fill the place, so that every step stays in the window, once.

    Args:
        length: Steps T of the window.
        segments: ``(G, 2)`` instances in steps; step g covers ``[g - 0.5, g + 0.5]``. What lies
            outside of the window is ignored.
        width: Steps of background to insert, at least 1.

    Returns:
        The insertion, or None where the window has no instance that is long enough, or no free
        run.
    """
    borders = (segments.detach().double().cpu() + 0.5).clamp(0, length)
    long = borders[borders[:, 1] - borders[:, 0] > 2 * width]
    first, last = (long[:, 0] + width).ceil(), (long[:, 1] - width).floor()
    cuttable = (first <= last).nonzero().flatten()
    runs = _free_runs(length, borders, width)
    if not len(cuttable) or not runs:
        return None
    chosen = cuttable[_draw(len(cuttable))]
    start, end = long[chosen].tolist()
    cut = int(first[chosen]) + _draw(int(last[chosen] - first[chosen]) + 1)
    low, high = runs[_draw(len(runs))]
    run = low + _draw(high - low + 1)
    steps = torch.arange(length)
    inserted = steps[run : run + width]
    if run >= cut:
        order = torch.cat((steps[:cut], inserted, steps[cut:run], steps[run + width :]))
        shift = 0
    else:
        order = torch.cat((steps[:run], steps[run + width : cut], inserted, steps[cut:]))
        shift = -width
    parts = ((start, cut), (cut + width, end + width), (cut, cut + width))
    return Insertion(order, torch.tensor(parts, dtype=torch.float64) + shift - 0.5)


def _free_runs(length: int, borders: Tensor, width: int) -> list[tuple[int, int]]:
    """First and last step at which ``width`` steps fit between instances, one pair per gap."""
    runs, free = [], 0.0
    for start, end in [*sorted(borders.tolist()), (float(length), float(length))]:
        low, high = -int(-free // 1), int(start // 1) - width
        if low <= high:
            runs.append((low, high))
        free = max(free, end)
    return runs


def _draw(count: int) -> int:
    return int(torch.randint(count, ()))
