"""A run's metric on resampled videos: all that intervals need, in a few kilobytes of text."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import numpy as np

from mmtad_decomp.evaluation.functional import (
    Matches,
    mean_over_classes,
    resampled_average_precision,
)


def make_draws(
    settings: dict, matches: Matches, videos: Sequence[str], tious: Sequence[int]
) -> dict:
    """Evaluate a run on all videos and on as many draws of them as asked for.

    A draw takes as many videos as there are, with replacement. All runs that are tested on the
    same number of videos have the same draws.

    Args:
        settings: ``metric``, ``resamples`` and ``seed``, which are kept beside the draws.
        matches: Detections of all videos, compared with the annotations.
        videos: Ids of the videos.
        tious: The rows of ``matches.hits`` over which the metric takes the mean.

    Returns:
        ``settings``, ``videos`` (hash of the ids) and ``values``: ``(1 + resamples,)`` metrics in
        [0, 1], the first of all videos, as base64 of little-endian float32.
    """
    size = len(videos)
    rng = np.random.default_rng([settings['seed'], size])
    drawn = rng.multinomial(size, np.full(size, 1 / size), size=settings['resamples'])
    counts = np.concatenate([np.ones((1, size), dtype=drawn.dtype), drawn])  # (1 + B, V)
    chosen = matches._replace(hits=matches.hits[list(tious)])
    values = mean_over_classes(resampled_average_precision(chosen, counts)).mean(axis=1)
    text = base64.b64encode(values.astype('<f4').tobytes()).decode()
    ids = hashlib.sha256('\n'.join(videos).encode()).hexdigest()
    return {**settings, 'videos': ids, 'values': text}


def read_draws(entry: dict) -> np.ndarray:
    """``(1 + B,)`` metrics that :func:`make_draws` wrote, as float64."""
    return np.frombuffer(base64.b64decode(entry['values']), dtype='<f4').astype(np.float64)
