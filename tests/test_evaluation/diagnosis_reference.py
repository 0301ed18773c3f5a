"""The diagnosis in plain Python, one prediction at a time, as an independent reference."""

import math
from itertools import pairwise

import numpy as np

from mmtad_decomp.evaluation.functional import GroundTruth, Predictions


def tiou(a, b):
    inter = max(min(a[1], b[1]) - max(a[0], b[0]), 0.0)
    union = (b[1] - b[0]) + (a[1] - a[0]) - inter
    return inter / union if union > 0 else 0.0


def greedy(gt, pred, alpha):
    """Rows of the predictions by falling score, and what each takes (a row, or None)."""
    order = sorted(range(len(pred.scores)), key=lambda i: -pred.scores[i])
    free, taken = set(range(len(gt.labels))), {}
    for p in order:
        best = None
        for g in sorted(free):
            if gt.videos[g] == pred.videos[p] and gt.labels[g] == pred.labels[p]:
                overlap = tiou(pred.segments[p], gt.segments[g])
                if overlap >= alpha and (best is None or overlap >= best[0]):
                    best = (overlap, g)
        taken[p] = None if best is None else best[1]
        free.discard(taken[p])
    return order, taken


def category(gt, pred, p, taken, alpha, rule):
    """Name of the category of prediction ``p``."""
    if taken[p] is not None:
        return 'true_positive'
    rows = [g for g in range(len(gt.labels)) if gt.videos[g] == pred.videos[p]]
    overlaps = {g: tiou(pred.segments[p], gt.segments[g]) for g in rows}
    top = max(overlaps.values(), default=0.0)
    own = [overlaps[g] for g in rows if gt.labels[g] == pred.labels[p]]
    if top >= alpha:
        names, lower = ('double_detection', 'wrong_label'), alpha
    elif top >= 0.1:
        names, lower = ('localization', 'confusion'), 0.1
    else:
        return 'background'
    right = any(o >= lower for o in own) if rule == 'any' else top in own
    return names[0] if right else names[1]


def average_precision(hits, positives, normalizer):
    """Area under the envelope of the normalised precision; ``hits`` by falling score."""
    points, found, false = [], 0, 0
    for hit in hits:
        found, false = found + hit, false + (not hit)
        scaled = found / positives * normalizer
        points.append(scaled / (scaled + false))
    envelopes = [max(points[i:]) for i, hit in enumerate(hits) if hit]
    return sum(envelopes) / positives, points


def class_sizes(gt, num_classes):
    return [sum(int(label) == c for label in gt.labels) for c in range(num_classes)]


def mean_ap(gt, pred, order, taken, num_classes, normalizer, drop=(), bucket=None):
    """mAP (``normalizer=None``) or mAP_N without the predictions in ``drop``, of one bucket."""
    values = []
    for c in range(num_classes):
        rows = [
            g
            for g in range(len(gt.labels))
            if gt.labels[g] == c and (bucket is None or g in bucket)
        ]
        if not rows:
            continue
        hits = [
            taken[p] is not None
            for p in order
            if pred.labels[p] == c
            and p not in drop
            and (taken[p] is None or bucket is None or taken[p] in bucket)
        ]
        values.append(average_precision(hits, len(rows), normalizer or len(rows))[0])
    return sum(values) / len(values) if values else float('nan')


def ranks(pred, order, num_classes):
    """Place of every prediction within its class."""
    counter, result = [0] * num_classes, {}
    for p in order:
        result[p] = counter[int(pred.labels[p])]
        counter[int(pred.labels[p])] += 1
    return result


def missed(gt, pred, order, taken, num_classes, normalizer, min_precision):
    """Rows that no prediction of sufficient normalised precision takes."""
    lost = set(range(len(gt.labels)))
    for c, size in enumerate(class_sizes(gt, num_classes)):
        mine = [p for p in order if pred.labels[p] == c]
        if size:
            hits = [taken[p] is not None for p in mine]
            _, points = average_precision(hits, size, normalizer)
            for p, point in zip(mine, points):
                if taken[p] is not None and point > min_precision:
                    lost.discard(taken[p])
    return lost


def bucket_of(value, edges):
    """Index of the interval ``(low, high]`` that holds a value; the first also holds its low."""
    for i, (low, high) in enumerate(pairwise(edges)):
        if low < value <= high or (i == 0 and value == low):
            return i
    raise AssertionError(f'{value} is outside {edges}')


def random_problem(seed):
    """Small tables with ties, shared segments, classes and videos without ground truth."""
    rng = np.random.default_rng(seed)
    videos, classes = int(rng.integers(1, 4)), int(rng.integers(1, 5))

    def segments(n):
        start = rng.uniform(0, 12, n)
        both = np.stack([start, start + rng.uniform(0.5, 6, n)], axis=1)
        return np.round(both) if seed % 2 else both

    g, p = int(rng.integers(0, 14)), int(rng.integers(0, 60))
    gt = GroundTruth(rng.integers(0, videos, g), segments(g), rng.integers(0, classes, g))
    if g > 2:
        gt.videos[1], gt.segments[1] = gt.videos[0], gt.segments[0]
    scores = rng.uniform(0, 1, p)
    pred = Predictions(
        rng.integers(0, videos + 1, p),
        segments(p),
        np.round(scores, 1) if seed % 2 else scores,
        rng.integers(0, classes, p),
    )
    if g and p:
        near = rng.integers(0, g, p // 2)
        pred.videos[: p // 2] = gt.videos[near]
        pred.segments[: p // 2] = gt.segments[near] + np.round(rng.normal(0, 0.7, (p // 2, 2)), 1)
        pred.segments.sort(axis=1)
    return gt, pred, np.full(g, 20.0), classes


EDGES = dict(
    coverage=(0, 0.1, 0.2, 1),
    length=(0, 3, math.inf),
    instances=(0, 1, 4, 8, math.inf),
)


def characteristics(gt, durations):
    """By characteristic, the bucket of every ground truth under ``EDGES``."""
    result = {name: [] for name in EDGES}
    for g in range(len(gt.labels)):
        length = gt.segments[g][1] - gt.segments[g][0]
        together = sum(int(v == gt.videos[g]) for v in gt.videos)
        for name, value in (
            ('coverage', length / durations[g]),
            ('length', length),
            ('instances', together),
        ):
            result[name].append(bucket_of(value, EDGES[name]))
    return result
