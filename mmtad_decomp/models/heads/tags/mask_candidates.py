"""From masks of snippets to candidate segments."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def longest_runs(inside: Tensor) -> tuple[Tensor, Tensor]:
    """The longest run of True along the last axis, the first one of equally long ones.

    Args:
        inside: ``(..., T)`` bool.

    Returns:
        Its first step and the step behind its last, each ``(...)``; equal where nothing is True.
    """
    step = torch.arange(inside.shape[-1], device=inside.device)
    last_gap = torch.where(inside, -1, step).cummax(dim=-1).values
    length, last = (step - last_gap).max(dim=-1)
    return last + 1 - length, last + 1


def mask_candidates(
    class_scores: Tensor,
    mask_scores: Tensor,
    thresholds: Sequence[float],
    num_snippets: int,
    score_thr: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Candidates of one sequence.

    The mask of each of the best snippets is cut at each threshold; the longest run of steps above
    it is a segment. Its score is the snippet's class score times the mean mask score within the
    run. Of equal segments of a class the best counts.

    Args:
        class_scores: ``(K, T)`` of the snippets.
        mask_scores: ``(T, T)`` masks, snippets before steps.
        thresholds: Of the masks.
        num_snippets: The best pairs of class and snippet that are taken.
        score_thr: A candidate has a score above this.

    Returns:
        Segments ``(M, 2)`` in feature steps (step s is ``[s - 1/2, s + 1/2]``), scores ``(M,)``
        and labels ``(M,)``, in no particular order.
    """
    # 1. The B best pairs of class and snippet.
    steps = mask_scores.shape[1]
    best, index = class_scores.flatten().topk(min(num_snippets, class_scores.numel()))
    best, index = best[best > score_thr], index[best > score_thr]
    label, snippet = index // steps, index % steps

    # 2. (H, T) longest run of each snippet's mask at each of the H thresholds.
    runs = [longest_runs(mask_scores > threshold) for threshold in thresholds]
    start, stop = (torch.stack(side) for side in zip(*runs))
    # 3. (H, T) mean mask score within each run, from sums up to each step (1, T, T + 1).
    sums = torch.nn.functional.pad(mask_scores.cumsum(dim=1), (1, 0))[None]
    ends = torch.stack((start, stop), dim=2)
    total = sums.expand(len(start), -1, -1).gather(2, ends).diff(dim=2)[..., 0]
    quality = total / (stop - start).clamp(min=1)

    # 4. (H * B,) scores of the candidates, and one number for each class, start and end.
    score = (quality[:, snippet] * best).flatten()
    key = (label * steps + start[:, snippet]) * (steps + 1) + stop[:, snippet]
    # 5. The best of equal candidates; the number gives class, start and end back.
    kept = (score > score_thr) & (stop > start)[:, snippet].flatten()
    key, which = key.flatten()[kept].unique(return_inverse=True)
    scores = score.new_zeros(len(key)).scatter_reduce(0, which, score[kept], 'amax')
    edges = torch.stack((key // (steps + 1) % steps, key % (steps + 1)), dim=1)
    return edges.to(scores.dtype) - 0.5, scores, key // ((steps + 1) * steps)
