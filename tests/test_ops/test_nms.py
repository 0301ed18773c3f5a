"""NMS, soft-NMS and voting, compiled and in NumPy, against plain Python and ActionFormer's."""

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from mmtad_decomp.ops import DEVICES, nms_1d, plain_pytorch, segment_voting, soft_nms_1d

compiled_only = pytest.mark.skipif('cpu' not in DEVICES, reason='the operators are not built')


@pytest.fixture(params=[pytest.param('compiled', marks=compiled_only), 'numpy'])
def backend(request):
    with nullcontext() if request.param == 'compiled' else plain_pytorch():
        yield request.param


def tiou(a, b):
    inter = max(min(a[1], b[1]) - max(a[0], b[0]), 0.0)
    union = (a[1] - a[0]) + (b[1] - b[0]) - inter
    return inter / union if union > 0 else 0.0


def candidates(seed, n=40, classes=3, kind='uniform', span=20):
    """Segments, scores and labels; 'coarse' ones have many equal scores, ends and no length."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, span, n)
    segments = np.stack([start, start + rng.uniform(0, 6, n)], axis=1)
    scores = rng.uniform(0, 1, n)
    if kind == 'coarse':
        segments, scores = np.round(segments), np.round(scores, 1)
    if kind == 'clusters':
        centers = rng.uniform(0, 10 * span, (6, 1)) + np.array([[0, 3]])
        segments = centers[rng.integers(0, 6, n)] + rng.normal(0, 0.4, (n, 2))
    return segments, scores, rng.integers(0, classes, n)


def reference_nms(segments, scores, labels, iou_thr):
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    kept = []
    for i in order:
        same = (k for k in kept if labels[k] == labels[i])
        if all(tiou(segments[k], segments[i]) < iou_thr for k in same):
            kept.append(i)
    return kept


def gaussian(score, overlaps):
    total = 0.0
    for overlap in overlaps:
        total += overlap * overlap
    return score * math.exp(-total / 0.3)


def linear(score, overlaps):
    for overlap in overlaps:
        score *= 1 - overlap if overlap >= 0.25 else 1
    return score


DECAYS = dict(gaussian=gaussian, linear=linear)


def reference_soft_nms(segments, scores, labels, decay, min_score):
    overlaps = {i: [] for i in range(len(scores))}
    rows, final = [], []
    while overlaps:
        left = {i: decay(scores[i], met) for i, met in overlaps.items()}
        top = max(left, key=lambda i: (left[i], -i))
        if left[top] < min_score:
            break
        del overlaps[top]
        rows.append(top)
        final.append(left[top])
        for i, met in overlaps.items():
            if labels[i] == labels[top]:
                met.append(tiou(segments[top], segments[i]))
    return rows, final


KINDS = ['uniform', 'coarse', 'clusters']


@pytest.mark.parametrize('kind', KINDS)
def test_nms_equals_plain_python(backend, kind):
    for seed in range(30):
        segments, scores, labels = candidates(seed, kind=kind)
        kept = nms_1d(segments, scores, 0.4, labels)
        np.testing.assert_array_equal(kept, reference_nms(segments, scores, labels, 0.4))
        np.testing.assert_array_equal(nms_1d(segments, scores, 0.4, labels, max_out=5), kept[:5])
        agnostic = nms_1d(segments, scores, 0.4)
        np.testing.assert_array_equal(agnostic, reference_nms(segments, scores, 0 * labels, 0.4))


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('method', ['gaussian', 'linear'])
@pytest.mark.parametrize('min_score', [0.0, 0.05])
def test_soft_nms_equals_plain_python(backend, method, kind, min_score):
    options = dict(method=method, sigma=0.3, iou_thr=0.25, min_score=min_score)
    for seed in range(12):
        segments, scores, labels = candidates(seed, kind=kind)
        for names in (labels, None):
            rows, final = soft_nms_1d(segments, scores, labels=names, **options)
            plain = (segments, scores, labels if names is not None else 0 * labels)
            expected = reference_soft_nms(*plain, DECAYS[method], min_score)
            np.testing.assert_array_equal(rows, expected[0])
            np.testing.assert_allclose(final, expected[1], rtol=1e-12)
            some, _ = soft_nms_1d(segments, scores, labels=names, max_out=7, **options)
            np.testing.assert_array_equal(some, rows[:7])


@compiled_only
@pytest.mark.parametrize('kind', ['uniform', 'clusters'])
@pytest.mark.parametrize('classes', [1, 7])
def test_compiled_equals_numpy_on_many(kind, classes):
    """Enough for many bins of candidates: their bounds, the heap and the lazy updates matter."""
    segments, scores, labels = candidates(3, n=1500, classes=classes, kind=kind, span=140)
    for call in (
        lambda: nms_1d(segments, scores, 0.5, labels),
        lambda: soft_nms_1d(segments, scores, 'linear', labels=labels),
        lambda: soft_nms_1d(segments, scores, labels=labels),
        lambda: soft_nms_1d(segments, scores, sigma=0.02, min_score=0.0, labels=labels),
        lambda: soft_nms_1d(segments, scores, labels=labels, max_out=60),
    ):
        found = call()
        with plain_pytorch():
            expected = call()
        if isinstance(found, tuple):
            np.testing.assert_allclose(found[1], expected[1], rtol=1e-13, atol=1e-300)
            found, expected = found[0], expected[0]
        np.testing.assert_array_equal(found, expected)
    rows = nms_1d(segments, scores, 0.5, labels, max_out=100)
    voted = segment_voting(segments[rows], segments, scores, 0.6, labels[rows], labels)
    with plain_pytorch():
        expected = segment_voting(segments[rows], segments, scores, 0.6, labels[rows], labels)
    np.testing.assert_allclose(voted, expected, rtol=1e-12)


@compiled_only
def test_linear_decay_is_numpys_to_the_last_bit():
    segments, scores, labels = candidates(5, n=600, classes=2)
    rows, final = soft_nms_1d(segments, scores, 'linear', iou_thr=0.1, labels=labels)
    with plain_pytorch():
        expected = soft_nms_1d(segments, scores, 'linear', iou_thr=0.1, labels=labels)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_array_equal(final, expected[1])


@compiled_only
def test_threads_change_nothing():
    segments, scores, labels = candidates(11, n=6000, classes=9, span=2000)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            rows, final = soft_nms_1d(segments, scores, labels=labels)
            kept = nms_1d(segments, scores, 0.5, labels)
            voted = segment_voting(segments[kept], segments, scores, 0.6, labels[kept], labels)
            results.append((rows, final, kept, voted))
    finally:
        torch.set_num_threads(threads)
    assert len(results[0][0]) > 4000  # enough for several threads
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


def test_soft_nms_equals_actionformer(backend):
    nms = pytest.importorskip('actionformer.utils.nms', exc_type=ImportError)
    for seed in range(20):
        segments, scores, _ = candidates(seed)
        segments, scores = segments.astype(np.float32), scores.astype(np.float32)
        rows, final = soft_nms_1d(segments, scores, sigma=0.5, min_score=0.001)
        expected, dets = nms._soft_nms_python(
            torch.from_numpy(segments), torch.from_numpy(scores), 0.1, 0.5, 0.001, 2
        )
        np.testing.assert_array_equal(rows, expected.numpy())
        np.testing.assert_allclose(final, dets[:, 2].numpy(), atol=1e-6)


def test_voting_equals_actionformer_per_class(backend):
    nms = pytest.importorskip('actionformer.utils.nms', exc_type=ImportError)
    for seed in range(20):
        segments, scores, labels = candidates(seed)
        rows = nms_1d(segments, scores, 0.5, labels)
        voted = segment_voting(segments[rows], segments, scores, 0.7, labels[rows], labels)
        for label in range(3):
            mine, all_of = labels[rows] == label, labels == label
            expected = nms.seg_voting(
                torch.from_numpy(segments[rows][mine]),
                torch.from_numpy(segments[all_of]),
                torch.from_numpy(scores[all_of]),
                0.7,
            )
            np.testing.assert_allclose(voted[mine], expected.numpy(), rtol=1e-10)


def test_votes_of_other_classes_do_not_count(backend):
    segments, scores = np.array([[0, 10], [1, 11], [0, 12]]), np.array([0.9, 0.9, 0.9])
    voted = segment_voting(segments[:1], segments, scores, 0.5, [0], [0, 0, 1])
    weights = np.array([1, 9 / 11])
    np.testing.assert_allclose(voted, [(weights @ segments[:2]) / weights.sum()])
    unknown = segment_voting(segments[:1], segments, scores, 0.5, [7], [0, 0, 1])
    np.testing.assert_array_equal(unknown, segments[:1])


def test_labels_may_be_any_integers(backend):
    segments, scores, labels = candidates(2, kind='coarse')
    names = np.array([-(2**63), 5, 2**63 - 1])[labels]
    results = [
        (
            nms_1d(segments, scores, 0.4, x),
            *soft_nms_1d(segments, scores, labels=x),
            segment_voting(segments, segments, scores, 0.5, x, x),
        )
        for x in (names, labels)
    ]
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)


def test_zero_length_segments_survive_and_move_nothing(backend):
    segments, scores = np.array([[5.0, 5.0], [5.0, 5.0], [0.0, 10.0]]), np.array([0.9, 0.8, 0.7])
    np.testing.assert_array_equal(nms_1d(segments, scores, 0.1), [0, 1, 2])
    for method in ('gaussian', 'linear'):
        np.testing.assert_array_equal(soft_nms_1d(segments, scores, method)[1], scores)
    np.testing.assert_array_equal(segment_voting(segments, segments, scores, 0.5), segments)


def test_identical_segments_of_equal_score_come_in_their_order(backend):
    segments, scores = np.tile([[0.0, 10.0]], (100, 1)), np.full(100, 0.5)
    np.testing.assert_array_equal(nms_1d(segments, scores, 1.0), [0])
    rows, final = soft_nms_1d(segments, scores, min_score=0.0, max_out=20)
    np.testing.assert_array_equal(rows, np.arange(20))
    np.testing.assert_allclose(final, 0.5 * np.exp(-np.arange(20) / 0.5), rtol=1e-14)
    rows, final = soft_nms_1d(segments, scores, 'linear', min_score=0.0)
    np.testing.assert_array_equal(rows, np.arange(100))
    np.testing.assert_array_equal(final, [0.5] + [0] * 99)


def test_nested_segments(backend):
    segments = np.array([[0.0, 8.0], [2.0, 6.0], [3.0, 5.0]])
    scores = np.array([0.9, 0.8, 0.7])
    np.testing.assert_array_equal(nms_1d(segments, scores, 0.5), [0, 2])
    _, final = soft_nms_1d(segments, scores, 'linear', iou_thr=0.5)
    np.testing.assert_array_equal(final, [0.9, 0.7, 0.8 * 0.5 * 0.5])


def test_scores_that_decay_to_zero_are_not_taken(backend):
    segments = np.tile([[0.0, 10.0]], (3, 1))
    for sigma in (1e-6, 1e-320):
        rows, _ = soft_nms_1d(segments, np.array([0.9, 0.8, 0.7]), sigma=sigma)
        np.testing.assert_array_equal(rows, [0])


def test_negative_scores_are_ranked_by_nms_and_not_taken_by_soft_nms(backend):
    segments, scores = np.array([[0.0, 1], [2, 3], [0, 1]]), np.array([-2.0, -1, -3])
    np.testing.assert_array_equal(nms_1d(segments, scores, 0.5), [1, 0])
    assert len(soft_nms_1d(segments, scores, min_score=0)[0]) == 0


def test_float32_scores_are_not_rounded(backend):
    scores = torch.rand(50, generator=torch.Generator().manual_seed(0))
    segments = torch.arange(50.0)[:, None] * 2 + torch.tensor([0.0, 1.0])
    rows, final = soft_nms_1d(segments, scores, min_score=0.0)
    assert isinstance(rows, torch.Tensor) and final.dtype == torch.float64
    assert torch.equal(final, scores.double().sort(descending=True).values)
    assert torch.equal(rows, nms_1d(segments, scores, 0.5))
    assert isinstance(segment_voting(segments, segments, scores, 0.5), torch.Tensor)


def test_arrays_of_any_layout(backend):
    segments, scores, labels = candidates(4)
    expected = nms_1d(segments, scores, 0.4, labels)
    frozen = scores.copy()
    frozen.flags.writeable = False
    reverse = np.asfortranarray(segments)
    np.testing.assert_array_equal(nms_1d(reverse, frozen, 0.4, labels.astype(np.int32)), expected)
    strided = torch.from_numpy(segments).T.contiguous().T
    found = nms_1d(strided, torch.from_numpy(scores).requires_grad_(), 0.4, labels)
    np.testing.assert_array_equal(found.numpy(), expected)


def test_nothing_in_nothing_out(backend):
    for segments, scores in ((np.zeros((0, 2)), np.zeros(0)), ([], [])):
        assert len(nms_1d(segments, scores, 0.5)) == 0
        assert [len(x) for x in soft_nms_1d(segments, scores)] == [0, 0]
        assert segment_voting(segments, segments, scores, 0.5).shape == (0, 2)
    some = np.array([[0.0, 1.0]])
    np.testing.assert_array_equal(segment_voting(some, [], [], 0.5), some)
    assert segment_voting([], some, [0.5], 0.5).shape == (0, 2)
    assert len(nms_1d(some, [0.5], 0.5, max_out=0)) == 0


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(method='cubic'), "method must be 'gaussian' or 'linear'"),
        (dict(sigma=0), 'sigma must be > 0'),
        (dict(min_score=-1), 'min_score must be >= 0'),
        (dict(max_out=-1), 'max_out must be >= 0 or None'),
        (dict(labels=[0, 1]), 'one row per candidate, got 1, 1 and 2'),
    ],
)
def test_bad_options_are_refused(backend, options, message):
    with pytest.raises(ValueError, match=message):
        soft_nms_1d([[0, 1]], [0.5], **options)


def test_bad_candidates_are_refused(backend):
    for segments, scores in (([[0, 1]], [np.nan]), ([[0, np.inf]], [0.5])):
        with pytest.raises(ValueError, match='must be finite'):
            nms_1d(segments, scores, 0.5)
        with pytest.raises(ValueError, match='must be finite'):
            segment_voting([[0, 1]], segments, scores, 0.5)
    with pytest.raises(
        ValueError, match=r'shape \(N, 2\), scores and labels \(N,\), got \[1, 3\]'
    ):
        nms_1d([[0, 1, 2]], [0.5], 0.5)
    with pytest.raises(ValueError, match='iou_thr must be > 0, got 0'):
        nms_1d([[0, 1]], [0.5], 0)
    with pytest.raises(TypeError, match='on the CPU'):
        nms_1d(torch.zeros(1, 2, device='meta'), torch.zeros(1), 0.5)


@compiled_only
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_operators_are_registered_correctly(dtype):
    segments, scores, labels = map(torch.from_numpy, candidates(0))
    segments, scores = segments.to(dtype), scores.to(dtype)
    ops = torch.ops.mmtad_decomp
    torch.library.opcheck(ops.nms_1d, (segments, scores, labels, 0.5, 10))
    torch.library.opcheck(
        ops.soft_nms_1d, (segments, scores, labels, 'linear', 0.5, 0.3, 0.001, -1)
    )
    torch.library.opcheck(
        ops.segment_voting, (segments[:5], labels[:5], segments, scores, labels, 0.5)
    )


@compiled_only
def test_compiles_into_one_graph():
    segments, scores, labels = map(torch.from_numpy, candidates(0))

    @torch.compile(fullgraph=True, backend='aot_eager')
    def suppress(segments, scores, labels):
        rows, final = soft_nms_1d(segments, scores, labels=labels)
        return rows[:5], final * 2

    expected = soft_nms_1d(segments, scores, labels=labels)
    rows, final = suppress(segments, scores, labels)
    assert torch.equal(rows, expected[0][:5]) and torch.equal(final, expected[1] * 2)
