"""Cutting an instance in two by background, as AFSD does for its contrastive learning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from mmtad_decomp.structures import TADDataSample

from ..temporal_head import ExtraBatch


class Insertion(NamedTuple):
    """A window in which background interrupts an instance.

    Attributes:
        order: ``(T,)`` int64, for each step the step of the window that takes its place.
        segments: ``(3, 2)`` float64 in steps of the new window: the instance up to the cut, the
            instance from behind the background, and the background, one step shorter at both
            ends as in AFSD's release, but at least one step long.
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
        segments: ``(G, 2)`` instances in steps; step g covers ``[g - 0.5, g + 0.5]``. Parts
            outside of the window are ignored.
        width: Steps of background to insert, at least 1.

    Returns:
        The insertion, or None where the window has no instance that is long enough, or no free
        run.
    """
    # 1. Borders [0, T] between steps, instances that are long enough, and where each may be cut.
    borders = (segments.detach().double().cpu() + 0.5).clamp(0, length)
    long = borders[borders[:, 1] - borders[:, 0] > 2 * width]
    first, last = (long[:, 0] + width).ceil(), (long[:, 1] - width).floor()
    cuttable = (first <= last).nonzero().flatten()
    runs = _free_runs(length, borders, width)
    if not len(cuttable) or not runs:
        return None
    # 2. Draw an instance, a cut in it, and a run of background.
    chosen = cuttable[_draw(len(cuttable))]
    start, end = long[chosen].tolist()
    cut = int(first[chosen]) + _draw(int(last[chosen] - first[chosen]) + 1)
    low, high = runs[_draw(len(runs))]
    run = low + _draw(high - low + 1)
    # 3. Move the run to the cut. From before the cut, everything up to it moves left.
    steps = torch.arange(length)
    inserted = steps[run : run + width]
    if run >= cut:
        order = torch.cat((steps[:cut], inserted, steps[cut:run], steps[run + width :]))
        shift = 0
    else:
        order = torch.cat((steps[:run], steps[run + width : cut], inserted, steps[cut:]))
        shift = -width
    inset = min(1.0, (width - 1) / 2)
    background = (cut + inset, cut + width - inset)
    parts = ((start, cut), (cut + width, end + width), background)
    return Insertion(order, torch.tensor(parts, dtype=torch.float64) + shift - 0.5)


def cut_windows(
    inputs: Tensor, masks: Tensor, data_samples: Sequence[TADDataSample], background: float
) -> ExtraBatch:
    """Copies of the windows in which background cuts an instance, see :func:`insert_background`.

    Args:
        inputs: ``(N, T, C, H, W)`` frames or ``(N, C, T)`` features.
        masks: ``(N, T)`` bool, True at valid steps.
        data_samples: One for each window, with its ground truth.
        background: Seconds of background to insert; instances of more than twice as many are cut.

    Returns:
        The windows that can be cut. The ground truth of each is its :attr:`Insertion.segments`,
        in seconds.
    """
    time_dim = 1 if inputs.dim() == 5 else 2
    rows, cut, samples = [], [], []
    for row, (sample, valid) in enumerate(zip(data_samples, masks.sum(dim=1).tolist())):
        grid = sample.time_grid
        width = max(round(background * grid.fps / grid.stride), 1)
        steps = grid.to_steps(sample.gt_instances.segments.double())
        insertion = insert_background(valid, steps, width)
        if insertion is None:
            continue
        # The padding stays behind the valid steps.
        padding = torch.arange(valid, inputs.shape[time_dim])
        order = torch.cat((insertion.order, padding)).to(inputs.device)
        rows.append(row)
        cut.append(inputs[row].index_select(time_dim - 1, order))
        segments = grid.to_seconds(insertion.segments)
        instances = InstanceData(segments=segments, labels=torch.zeros(3, dtype=torch.int64))
        samples.append(TADDataSample(metainfo=sample.metainfo, gt_instances=instances))
    return ExtraBatch(torch.stack(cut) if cut else inputs[:0], masks[rows], samples)


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
