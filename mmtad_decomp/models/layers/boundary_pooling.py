"""Boundary pooling of AFSD: maxima of features around the start and the end of segments."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...ops import in_torch_export, is_exported

MAX_EXPORTED_STEPS = 8191
"""Longest sequence of an exported graph: its table of maxima has one size for every length."""


def boundary_windows(segments: Tensor, inner: float = 1 / 4, outer: float = 1 / 10) -> Tensor:
    r"""Steps around the boundaries of segments (Lin et al., "AFSD", CVPR 2021).

    A segment [s, e] of length :math:`w = e - s` is looked at within

    .. math:: [s - \delta_o, s + \delta_i], \quad [e - \delta_i, e + \delta_o], \qquad
        \delta_i = \max(w \cdot inner, 1), \quad \delta_o = \max(w \cdot outer, 1)

    rounded to whole steps, halves up, so that a segment that is moved by whole steps takes its
    windows along.

    Args:
        segments: ``(..., 2)`` in steps.
        inner: Share of the length that is seen inside of a boundary.
        outer: Share of the length that is seen outside of it.

    Returns:
        ``(..., 2, 2)`` int64: the first and last step of the start's and of the end's window.
    """
    start, end = segments.unbind(-1)
    inside = ((end - start) * inner).clamp(min=1)
    outside = ((end - start) * outer).clamp(min=1)
    windows = torch.stack((start - outside, start + inside, end - inside, end + outside), dim=-1)
    return (windows + 0.5).floor().long().unflatten(-1, (2, 2))


def window_max(feats: Tensor, windows: Tensor, masks: Tensor) -> Tensor:
    """Maxima of features over windows of any lengths.

    A table of the maxima of all windows of 1, 2, 4, ... steps is made by doubling; two entries
    cover any window. It takes ``O(T log T)`` per channel and ``O(1)`` per window, and the table
    is not part of the graph: it finds the step of each maximum (the first of equal ones), to which
    the gradient goes.

    Args:
        feats: ``(N, C, T)``.
        windows: ``(N, P, 2)`` int64 first and last step. Both are moved to the nearest of the
            steps up to the last valid one; of a reversed window the first step is taken.
        masks: ``(N, T)`` bool, True = valid. Other steps are never the maximum.

    Returns:
        ``(N, C, P)``; 0 where a window holds no valid step.
    """
    channels, steps = feats.shape[1:]
    arange = torch.arange(steps, device=feats.device)
    last = (arange * masks).amax(dim=1)[:, None]
    low = windows[..., 0].clamp(min=0).minimum(last)
    high = windows[..., 1].minimum(last).maximum(low)
    with torch.no_grad():
        levels = _table_levels(steps)
        values, places = _doubling_tables(feats.masked_fill(~masks[:, None], -math.inf), levels)
        powers = 2 ** torch.arange(levels, device=feats.device)
        level = ((high - low + 1)[..., None] >= powers).sum(dim=-1) - 1
        pair = torch.stack((low, high + 1 - powers[level]), dim=-1) + (level * steps)[..., None]
        index = pair.flatten(1)[:, None].expand(-1, channels, -1)
        found = values.gather(2, index).unflatten(2, (-1, 2))
        place = places.gather(2, index).unflatten(2, (-1, 2))
        place = torch.where(found[..., 0] >= found[..., 1], place[..., 0], place[..., 1]).long()
        empty = found.amax(dim=-1) == -math.inf
    return feats.gather(2, place).masked_fill(empty, 0)


def _table_levels(steps: int) -> int:
    """How many of the windows of 1, 2, 4, ... steps there are."""
    if not is_exported():
        return steps.bit_length()
    if in_torch_export():
        torch._check(steps <= MAX_EXPORTED_STEPS)
    return MAX_EXPORTED_STEPS.bit_length()


def _doubling_tables(values: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Maxima of ``values[..., i : i + 2**k]`` and their places, one k after the other."""
    places = torch.arange(values.shape[2], dtype=torch.int32, device=values.device)
    tables = [(values, places.expand_as(values))]
    for level in range(levels - 1):
        values, places = tables[-1]
        width = 2**level
        later = F.pad(values, (0, width), value=-math.inf)[..., width:]
        later_places = F.pad(places, (0, width))[..., width:]
        first = values >= later
        tables.append(
            (torch.where(first, values, later), torch.where(first, places, later_places))
        )
    values, places = (torch.cat(parts, dim=2) for parts in zip(*tables))
    return values, places


def boundary_max_pool(
    feats: Tensor,
    segments: Tensor,
    masks: Tensor,
    inner: float = 1 / 4,
    outer: float = 1 / 10,
) -> Tensor:
    """Pool the first half of the channels around starts and the second half around ends.

    Args:
        feats: ``(N, C, T)`` with an even C.
        segments: ``(N, P, 2)`` start and end in steps; no gradient flows into them.
        masks: ``(N, T)`` bool, True = valid.
        inner: See :func:`boundary_windows`.
        outer: See :func:`boundary_windows`.

    Returns:
        ``(N, C, P)``, see :func:`window_max`.

    Raises:
        ValueError: If the number of channels is odd.
    """
    if feats.shape[1] % 2:
        raise ValueError(
            f'boundary pooling needs an even number of channels, one half for starts and one for '
            f'ends, got {feats.shape[1]}'
        )
    windows = boundary_windows(segments.detach(), inner, outer).transpose(1, 2).flatten(0, 1)
    halves = feats.unflatten(1, (2, -1)).flatten(0, 1)
    pooled = window_max(halves, windows, masks.repeat_interleave(2, dim=0))
    return pooled.unflatten(0, (-1, 2)).flatten(1, 2)
