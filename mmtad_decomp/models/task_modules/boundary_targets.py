"""Which steps lie at a start or at an end."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor


@torch.no_grad()
def boundary_targets(
    positions: Tensor, gt: Sequence[InstanceData], share: float = 0.1, min_width: float = 2.0
) -> Tensor:
    """Mark the steps near boundaries, as AFSD does for its activation guided learning.

    A step is marked if it is no farther from a boundary than half of
    ``max(share * length, min_width)``, where length is that of the instance.

    Args:
        positions: ``(T,)`` where the steps lie, in feature steps.
        gt: Per sample ``segments`` (G, 2) in feature steps.
        share: Width of what is marked, as a share of the length.
        min_width: Its least width, in feature steps.

    Returns:
        ``(N, 2, T)`` float, 1 = marked: for starts and for ends.
    """
    rows = []
    for sample in gt:
        segments = sample.segments.to(positions)
        width = ((segments[:, 1] - segments[:, 0]) * share).clamp(min=min_width)
        distance = (segments[..., None] - positions).abs()
        rows.append((distance <= 0.5 * width[:, None, None]).any(dim=0))
    return torch.stack(rows).to(positions)
