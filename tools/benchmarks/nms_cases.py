"""NMS, soft-NMS and voting against ActionFormer's and mmcv's, as rows of a benchmark.

Candidates are float32 tensors, with ActionFormer's settings (sigma 0.5, smallest score 0.001),
for 200 detections or for all. `uniform` ones lie all over ten minutes, each class overlapping
little; `clusters` are 60 actions, each found by a 60th of the candidates, as a detector gives.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmtad_decomp.ops import nms_1d, plain_pytorch, segment_voting, soft_nms_1d

SIGMA, MIN_SCORE, IOU_THR, VOTING_IOU = 0.5, 0.001, 0.5, 0.7


class Candidates(NamedTuple):
    """Segments ``(N, 2)``, scores ``(N,)`` and labels ``(N,)``."""

    segments: Tensor
    scores: Tensor
    labels: Tensor


def make_candidates(kind: str, size: int, classes: int, seed: int = 0) -> Candidates:
    """Random candidates in 600 seconds; ``kind`` is ``'uniform'`` or ``'clusters'``."""
    rng = np.random.default_rng(seed)
    if kind == 'uniform':
        start, length = rng.uniform(0, 600, size), rng.uniform(0.5, 20, size)
        scores = rng.uniform(0.01, 1, size)
    else:
        centers, lengths = rng.uniform(0, 600, 60), rng.lognormal(1.5, 0.7, 60)
        action = rng.integers(0, 60, size)
        length = lengths[action] * rng.lognormal(0, 0.3, size)
        start = centers[action] + rng.normal(0, 0.15, size) * lengths[action] - length / 2
        scores = rng.beta(1, 4, size)
    segments = np.stack([start, start + length], axis=1)
    return Candidates(
        torch.tensor(segments, dtype=torch.float32),
        torch.tensor(scores, dtype=torch.float32),
        torch.tensor(rng.integers(0, classes, size)),
    )


def time_interleaved(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each call over rounds in which each has its turn.

    A turn is as many calls as fill about five milliseconds, after one to warm up.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            count, begin = 0, time.perf_counter()
            while count == 0 or time.perf_counter() - begin < 5e-3:
                call()
                count += 1
            times[name].append(1e3 * (time.perf_counter() - begin) / count)
    return {name: statistics.median(values) for name, values in times.items()}


def _actionformer(candidates: Candidates, cap: int, soft: bool) -> Callable[[], Tensor] | None:
    """Its multi-class NMS, which returns the scores; None where its extension is not built."""
    try:
        from actionformer.utils import nms
    except ImportError:
        return None
    if not nms.HAS_CPP_NMS:
        return None
    floor = MIN_SCORE if soft else 0.0

    def call() -> Tensor:
        return nms.batched_nms(*candidates, IOU_THR, floor, cap, soft, True, SIGMA, 0)[1]

    return call


def _actionformer_voting(kept: Candidates, candidates: Candidates) -> Callable[[], Tensor] | None:
    """Its voting, class by class."""
    try:
        from actionformer.utils.nms import seg_voting
    except ImportError:
        return None

    def call() -> Tensor:
        refined = torch.empty_like(kept.segments)
        for label in kept.labels.unique():
            mine, voters = kept.labels == label, candidates.labels == label
            refined[mine] = seg_voting(
                kept.segments[mine],
                candidates.segments[voters],
                candidates.scores[voters],
                VOTING_IOU,
            )
        return refined

    return call


def _mmcv(candidates: Candidates, cap: int) -> Callable[[], Tensor] | None:
    """mmcv's soft-NMS on boxes of height 1; None where mmcv has no operators (mmcv-lite).

    It takes no number of detections, so it always takes all and gives the best.
    """
    try:
        from mmcv.ops import batched_nms
    except ImportError:
        return None
    segments, scores, labels = candidates
    start, end = segments.unbind(1)
    boxes = torch.stack([start, torch.zeros_like(start), end, torch.ones_like(end)], dim=1)
    settings = dict(
        type='soft_nms',
        method='gaussian',
        sigma=SIGMA,
        min_score=MIN_SCORE,
        split_thr=len(scores) + 1,
    )
    return lambda: batched_nms(boxes, scores, labels, dict(settings))[0][:cap, 4]


def _rows(
    op: str,
    candidates: Candidates,
    case: str,
    calls: dict[str, Callable[[], Tensor] | None],
    rounds: int,
) -> Iterator[dict]:
    """A row for each peer; ``calls`` has ``'ours'`` first, all return comparable numbers."""
    there = {name: call for name, call in calls.items() if call is not None}
    times = time_interleaved(there, rounds)
    ours = there.pop('ours')().double()
    for peer, call in there.items():
        theirs = call().double()
        same = ours.shape == theirs.shape
        yield dict(
            op=op,
            shape=[len(candidates.scores), int(candidates.labels.max()) + 1],
            case=case,
            dtype='float32',
            device='cpu',
            **{'pass': 'forward'},
            ours_ms=times['ours'],
            peer=peer,
            peer_ms=times[peer],
            ratio=times[peer] / times['ours'],
            peak_mb=None,  # below what a process's high-water mark resolves
            peer_peak_mb=None,
            found=[len(ours), len(theirs)],
            largest_difference=float((ours - theirs).abs().max()) if same else None,
        )


def _soft_nms_rows(candidates: Candidates, kind: str, cap: int | None, rounds: int):
    segments, scores, labels = candidates

    def ours() -> Tensor:
        return soft_nms_1d(
            segments, scores, sigma=SIGMA, min_score=MIN_SCORE, labels=labels, max_out=cap
        )[1]

    def numpy() -> Tensor:
        with plain_pytorch():
            return ours()

    most = len(scores) if cap is None else cap
    calls = {
        'ours': ours,
        'actionformer': _actionformer(candidates, most, soft=True),
        'mmcv': _mmcv(candidates, most),
        'numpy': None if cap is None else numpy,
    }
    case = f'{kind}, {"all" if cap is None else cap} kept'
    return _rows('soft_nms_1d', candidates, case, calls, rounds)


def _nms_rows(candidates: Candidates, kind: str, cap: int | None, rounds: int):
    segments, scores, labels = candidates
    most = len(scores) if cap is None else cap
    calls = {
        'ours': lambda: scores[nms_1d(segments, scores, IOU_THR, labels, cap)],
        'actionformer': _actionformer(candidates, most, soft=False),
    }
    case = f'{kind}, {"all" if cap is None else cap} kept'
    return _rows('nms_1d', candidates, case, calls, rounds)


def _voting_rows(candidates: Candidates, kind: str, cap: int, rounds: int):
    rows, decayed = soft_nms_1d(
        candidates.segments, candidates.scores, labels=candidates.labels, max_out=cap
    )
    kept = Candidates(candidates.segments[rows], decayed, candidates.labels[rows])
    calls = {
        'ours': lambda: segment_voting(
            kept.segments,
            candidates.segments,
            candidates.scores,
            VOTING_IOU,
            kept.labels,
            candidates.labels,
        ),
        'actionformer': _actionformer_voting(kept, candidates),
    }
    return _rows('segment_voting', candidates, f'{kind}, {cap} kept', calls, rounds)


def nms_rows(
    sizes: tuple[int, ...] = (2000, 10000),
    classes: tuple[int, ...] = (1, 20),
    rounds: int = 9,
) -> Iterator[dict]:
    """Rows of the benchmark, one for each operator, kind of candidates, cap and peer.

    Args:
        sizes: Numbers of candidates.
        classes: Numbers of classes.
        rounds: Timed rounds; the median counts.

    Yields:
        Rows with ``shape`` [candidates, classes], ``found`` (how many ours and the peer return)
        and ``largest_difference`` between their scores (their seconds for voting), None where
        they return different numbers.
    """
    for size in sizes:
        for count in classes:
            for kind in ('uniform', 'clusters'):
                candidates = make_candidates(kind, size, count)
                for cap in (200, None):
                    yield from _soft_nms_rows(candidates, kind, cap, rounds)
                    yield from _nms_rows(candidates, kind, cap, rounds)
                yield from _voting_rows(candidates, kind, 200, rounds)
