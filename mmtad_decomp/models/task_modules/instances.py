"""Ground truth of a window, as targets are made from it."""

from __future__ import annotations

import torch
from mmengine.structures import InstanceData
from torch import Tensor


def segments_and_labels(
    instances: InstanceData, device: torch.device, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Segments ``(G, 2)`` float32 and labels ``(G,)`` int64 on a device.

    Args:
        instances: With ``segments`` and ``labels``.
        device: Where to put them.
        num_classes: K; with 1, all labels are 0.
    """
    segments = instances.segments.to(device).float()
    labels = instances.labels.to(device).long()
    return segments, torch.zeros_like(labels) if num_classes == 1 else labels
