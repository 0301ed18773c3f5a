"""Features of segments of any length, in a fixed number of bins (RoIAlign in one dimension)."""

from __future__ import annotations

import torch
from torch import Tensor

from ...ops import in_torch_export


def temporal_roi_align(
    feats: Tensor, segments: Tensor, lengths: Tensor, num_bins: int, aligned: bool = False
) -> Tensor:
    """Average features within equal bins of segments (after He et al., "Mask R-CNN", 2017).

    A segment counts as at least one step long. A bin is the mean of ``ceil(length / B)`` evenly
    spaced positions, but of no more than a segment of T steps needs. Between steps features are
    interpolated; up to one step beyond the valid ones the outermost is taken, further out zero.
    The means are a product with a sparse matrix held densely: for windows of some hundred steps
    it is far smaller than the sampled features would be.

    Args:
        feats: ``(N, C, T)``; only the first ``lengths[n]`` steps of a sample are read.
        segments: ``(N, Q, 2)`` starts and ends in steps from the left edge of step 0, so that step
            t covers ``[t, t + 1]``.
        lengths: ``(N,)`` valid steps.
        num_bins: B.
        aligned: Take the value of step t at its middle, ``t + 0.5``; False takes it at ``t``, as
            TadTR does.

    Returns:
        ``(N, Q, C, B)``. The gradient reaches features and segments.
    """
    batch, _, steps = feats.shape
    queries = segments.shape[1]
    segments = segments.to(torch.promote_types(segments.dtype, torch.float32))
    valid = lengths.to(segments)[:, None, None, None]
    start = segments[..., 0, None, None]
    span = (segments[..., 1, None, None] - start).clamp(min=1)
    # (N, Q, B, R): the R-th position of a bin exists if its bin has that many.
    most = (steps + num_bins - 1) // num_bins
    count = (span / num_bins).ceil().clamp(max=most)
    # At least two, since an exported graph cannot be for one position and for several.
    larger = torch.sym_max if in_torch_export() else max
    rank = torch.arange(larger(most, 2), device=feats.device)
    bins = torch.arange(num_bins, device=feats.device)[:, None]
    positions = start + span / num_bins * (bins + (rank + 0.5) / count)
    if aligned:
        positions = positions - 0.5
    inside = (positions >= -1) & (positions <= valid) & (valid > 0)
    share = ((rank < count) & inside).to(positions) / count
    positions = positions.clamp(min=0).minimum((valid - 1).clamp(min=0))
    low = positions.detach().floor()
    high_share = share * (positions - low)
    low = low.long().clamp(0, steps - 1).flatten(3)
    index = torch.cat((low, (low + 1).clamp(max=steps - 1)), dim=3)
    weights = positions.new_zeros(batch, queries, num_bins, steps).scatter_add(
        3, index, torch.cat((share - high_share, high_share), dim=3)
    )
    return torch.einsum('nqbt,nct->nqcb', weights.to(feats.dtype), feats)
