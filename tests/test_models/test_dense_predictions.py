"""Dense predictions hold every candidate that a head selects."""

import pytest
import torch
from small_heads import HEADS, NUM_CLASSES, features, make, prefix_masks, without_chance

from mmtad_decomp.models.layers.sg_align import align_kernel, align_projected


def pairs_of(found):
    """Scores and segments of all levels of one window: ``(K, P)`` and ``(K, P, 2)``."""
    scores, segments = [], []
    for name, value in found.items():
        if name.startswith('scores'):
            scores.append(value[0].flatten(1))
            level = found[name.replace('scores', 'segments')]
            level = level[0] if level.ndim >= value.ndim else level  # G-TAD's have no batch
            segments.append(level.expand(*value.shape[1:], 2).flatten(1, -2))
    return torch.cat(scores, dim=1), torch.cat(segments, dim=1)


@pytest.mark.parametrize('name', [name for name in HEADS if name != 'TAGSHead'])
def test_candidates_are_among_them(name):
    head, masks = without_chance(make(name)), prefix_masks((21,), 30)
    outputs = head(features(1, 30), masks)
    with torch.no_grad():
        candidates = head.predict_by_feat(outputs)[0]
        scores, segments = pairs_of(head.dense_predictions(outputs))
    assert len(candidates.scores) > 50 and scores.shape[0] == NUM_CLASSES
    for score, segment, label in zip(
        candidates.scores[:50], candidates.segments[:50], candidates.labels[:50]
    ):
        same = (scores[label] == score) & (segments[label] == segment).all(dim=1)
        assert same.any()


@pytest.mark.parametrize('name', HEADS)
def test_shapes_depend_on_the_input_alone(name):
    head, masks = without_chance(make(name)), prefix_masks((30, 0), 30)
    with torch.no_grad():
        full, other = (head.dense_predictions(head(features(2, 30, s), masks)) for s in (0, 1))
    assert {k: v.shape for k, v in full.items()} == {k: v.shape for k, v in other.items()}
    scores = [value for key, value in full.items() if key.startswith('scores')]
    assert all((value[1] == 0).all() and (value[0] <= 1).all() for value in scores)
    lengths = head.exported_lengths()
    assert lengths.multiple >= 1 and (lengths.longest or 64) >= 64


@pytest.mark.parametrize('steps, durations, samples', [(12, 5, 4), (7, 9, 3), (30, 20, 16)])
@pytest.mark.parametrize('extension', [0.5, 0.0])
def test_alignment_as_a_convolution(steps, durations, samples, extension):
    feats = torch.randn(2, steps, samples, 6, dtype=torch.float64)
    masks = prefix_masks((steps, steps - 3), steps)
    kernel = align_kernel(durations, samples, extension)
    sparse = align_projected(feats, masks, durations, extension)
    dense = align_projected(feats, masks, durations, extension, kernel)
    torch.testing.assert_close(dense, sparse, atol=1e-5, rtol=1e-5)
