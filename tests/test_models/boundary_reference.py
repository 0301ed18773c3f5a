"""Boundary pooling written as loops."""

import math

import torch


def reference(feats, segments, masks, inner=1 / 4, outer=1 / 10):
    """Every window walked through, step by step; halves are rounded up."""
    samples, channels, _ = feats.shape
    out = torch.zeros(samples, channels, segments.shape[1], dtype=feats.dtype)
    for n in range(samples):
        valid = [t for t, ok in enumerate(masks[n].tolist()) if ok]
        last = max(valid, default=0)
        for p, (start, end) in enumerate(segments[n].tolist()):
            inside = max((end - start) * inner, 1)
            outside = max((end - start) * outer, 1)
            bounds = ((start - outside, start + inside), (end - inside, end + outside))
            for c in range(channels):
                low, high = bounds[c * 2 // channels]
                low = min(max(math.floor(low + 0.5), 0), last)
                high = max(min(math.floor(high + 0.5), last), low)
                seen = [feats[n, c, t].item() for t in range(low, high + 1) if masks[n, t]]
                out[n, c, p] = max(seen, default=0.0)
    return out
