"""Raw predictions: exact, complete or not there, read one video at a time."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtad_decomp.postprocessing import (
    Detections,
    RawPredictionError,
    RawPredictions,
    VideoCandidates,
    write_raw_predictions,
)


def window(rng, count, single):
    segments, scores = rng.uniform(0, 100, (count, 2)), rng.uniform(0, 1, count)
    if single:
        scores = scores.astype(np.float32).astype(np.float64)
    return Detections(segments, scores, rng.integers(0, 20, count))


def video(name, counts, seed=0, single=True):
    rng = np.random.default_rng(seed)
    spans = rng.uniform(0, 100, (len(counts), 2))
    return VideoCandidates(name, 97.3, [window(rng, n, single) for n in counts], spans)


def assert_equal(a, b):
    assert a.video_id == b.video_id and a.duration == b.duration
    np.testing.assert_array_equal(a.spans, b.spans)
    assert len(a.windows) == len(b.windows)
    for one, other in zip(a.windows, b.windows):
        for x, y in zip(one, other):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    counts=st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=4),
    single=st.booleans(),
)
def test_round_trip_is_exact(tmp_path, counts, single):
    videos = [video(f'v {i}/ü', part, i, single) for i, part in enumerate(counts)]
    write_raw_predictions(tmp_path / 'raw.npz', ['a', 'b'], iter(videos))
    with RawPredictions(tmp_path / 'raw.npz') as raw:
        assert raw.classes == ('a', 'b')
        assert raw.video_ids == tuple(v.video_id for v in videos)
        for expected in reversed(videos):
            assert expected.video_id in raw
            assert_equal(raw.read(expected.video_id), expected)


def test_scores_of_a_network_are_stored_in_float32(tmp_path):
    write_raw_predictions(tmp_path / 'a.npz', ['a'], [video('v', [3], single=True)])
    write_raw_predictions(tmp_path / 'b.npz', ['a'], [video('v', [3], single=False)])
    kinds = [np.load(tmp_path / name)['candidates/0'].dtype for name in ('a.npz', 'b.npz')]
    assert [kind['score'] for kind in kinds] == [np.float32, np.float64]
    assert kinds[0]['segment'].base == np.float64


def test_the_same_content_gives_the_same_bytes(tmp_path):
    for name in ('a.npz', 'b.npz'):
        write_raw_predictions(tmp_path / name, ['a'], [video('v', [3, 0, 2])])
    assert (tmp_path / 'a.npz').read_bytes() == (tmp_path / 'b.npz').read_bytes()


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    def videos():
        yield video('v', [3])
        raise RuntimeError('killed')

    path = tmp_path / 'raw.npz'
    write_raw_predictions(path, ['a'], [video('old', [1])])
    with pytest.raises(RuntimeError, match='killed'):
        write_raw_predictions(path, ['a'], videos())
    assert [p.name for p in tmp_path.iterdir()] == ['raw.npz']
    assert RawPredictions(path).video_ids == ('old',)


def test_files_that_are_none(tmp_path):
    with pytest.raises(RawPredictionError, match='do not exist'):
        RawPredictions(tmp_path / 'raw.npz')
    with pytest.raises(ValueError, match=r'written as \.npz'):
        write_raw_predictions(tmp_path / 'raw.pkl', [], [])
    (tmp_path / 'text.npz').write_text('text')
    np.savez(tmp_path / 'other.npz', a=np.zeros(3))
    np.save(tmp_path / 'array.npy', np.zeros(3))
    (tmp_path / 'array.npy').rename(tmp_path / 'array.npz')
    write_raw_predictions(tmp_path / 'whole.npz', ['a'], [video('v', [3])])
    whole = (tmp_path / 'whole.npz').read_bytes()
    (tmp_path / 'half.npz').write_bytes(whole[: len(whole) // 2])
    for name, message in (
        ('text.npz', 'is no .npz file'),
        ('other.npz', '"version" is missing'),
        ('array.npz', 'is a single array'),
        ('half.npz', 'is no .npz file'),
    ):
        with pytest.raises(RawPredictionError, match=message):
            RawPredictions(tmp_path / name)
    with pytest.raises(RawPredictionError, match='has no video "w"'):
        RawPredictions(tmp_path / 'whole.npz').read('w')
    at = whole.index(b'candidates/0.npy') + 200
    (tmp_path / 'damaged.npz').write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    with pytest.raises(RawPredictionError, match='"candidates/0" is missing or broken'):
        RawPredictions(tmp_path / 'damaged.npz').read('v')
