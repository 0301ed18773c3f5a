"""Decoding: chosen frames are right wherever decoding begins, and broken files say so."""

import av
import numpy as np
import pytest
from media_helpers import encode, numbers_of

from mmtad_decomp.datasets import VideoReadError, probe_video, read_frames

needs_x264 = pytest.mark.skipif(
    'libx264' not in av.codec.codecs_available, reason='PyAV was built without libx264'
)

ENCODINGS = {
    'mpeg4.mp4': dict(codec='mpeg4', g='12'),
    'mpeg4_b_frames.mp4': dict(codec='mpeg4', g='12', bf='2'),
    'mpeg4_b_frames.avi': dict(codec='mpeg4', g='12', bf='2'),
    'mjpeg.avi': dict(codec='mjpeg', q='2'),
}
X264_ENCODINGS = {
    'one_group.mp4': dict(g='500', bf='0'),
    'closed.mp4': dict(g='12', bf='3', **{'x264-params': 'open-gop=0:scenecut=0'}),
    'open.mp4': dict(g='12', bf='3', **{'x264-params': 'open-gop=1:scenecut=0:b-pyramid=normal'}),
    'intra_refresh.mp4': dict(g='12', bf='0', **{'x264-params': 'intra-refresh=1'}),
    'no_edit_list.mp4': dict(g='10', bf='2', container={'use_editlist': '0'}),
    'matroska.mkv': dict(g='12', bf='2'),
    'transport.ts': dict(g='12', bf='2', **{'x264-params': 'open-gop=1:scenecut=0'}),
    'ntsc.mp4': dict(g='15', bf='2', fps=30000 / 1001),
    'fragmented.mp4': dict(g='12', bf='2', container={'movflags': 'frag_keyframe+empty_moov'}),
}
CASES = [
    *(pytest.param(name, options, id=name) for name, options in ENCODINGS.items()),
    *(
        pytest.param(name, options, id=name, marks=needs_x264)
        for name, options in X264_ENCODINGS.items()
    ),
]
COUNT = 100


@pytest.mark.parametrize(('name', 'options'), CASES)
def test_seeking_gives_what_sequential_decoding_gives(tmp_path, name, options):
    path = encode(tmp_path / name, COUNT, **options)
    everything = read_frames(path, range(COUNT))
    assert numbers_of(everything) == list(range(COUNT))
    for first in (1, 9, 10, 11, 12, 13, 23, 59, 99):
        indices = [*range(first, min(first + 6, COUNT), 2), COUNT - 1]
        np.testing.assert_array_equal(
            read_frames(path, indices), everything[indices], err_msg=f'from frame {first}'
        )


def test_chosen_repeated_and_scaled_frames(tmp_path):
    path = encode(tmp_path / 'v.mp4', 60, codec='mpeg4')
    indices = [0, 3, 3, 3, 10, 41, 59, 59]
    frames = read_frames(path, indices, fps=25, short_side=24)
    assert frames.shape == (8, 24, 32, 3) and frames.dtype == np.uint8
    assert numbers_of(frames) == indices
    assert read_frames(path, [5], short_side=96).shape == (1, 96, 128, 3)


@pytest.mark.parametrize('indices', [[], [3, 2], [-1, 0]])
def test_impossible_indices(tmp_path, indices):
    with pytest.raises(ValueError, match='ascending'):
        read_frames(tmp_path / 'v.mp4', indices)


def test_frames_are_found_by_time_where_rates_differ_a_little(tmp_path):
    """An annotation that says 30 for 29.97 counts in its own frames, without drift."""
    path = encode(tmp_path / 'v.mp4', 1500, fps=30000 / 1001, codec='mpeg4', g='30')
    shown = numbers_of(read_frames(path, [0, 750, 1400], fps=30))
    times = np.array(shown) / (30000 / 1001)
    np.testing.assert_allclose(times, np.array([0, 750, 1400]) / 30, atol=1 / 30)


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(VideoReadError, match=r'none\.mp4 does not exist; check `data_root`'):
        read_frames(tmp_path / 'none.mp4', [0])
    (tmp_path / 'text.mp4').write_text('no video')
    with pytest.raises(VideoReadError, match=r'text\.mp4 cannot be read .*; download or extract'):
        read_frames(tmp_path / 'text.mp4', [0])
    (tmp_path / 'empty.mp4').touch()
    with pytest.raises(VideoReadError, match=r'empty\.mp4 .*; download or extract'):
        read_frames(tmp_path / 'empty.mp4', [0])
    with av.open(str(tmp_path / 'sound.wav'), 'w') as output:
        stream = output.add_stream('pcm_s16le', rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), 's16', 'mono')
        sound.rate = 8000
        output.mux(stream.encode(sound))
        output.mux(stream.encode(None))
    with pytest.raises(VideoReadError, match=r'sound\.wav has no video stream'):
        read_frames(tmp_path / 'sound.wav', [0])


def truncated(tmp_path, share: float):
    whole = encode(
        tmp_path / 'whole.mp4', COUNT, codec='mpeg4', g='10', container={'movflags': 'faststart'}
    )
    path = tmp_path / 'cut.mp4'
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def test_truncated_video(tmp_path):
    path = truncated(tmp_path, 0.6)
    assert numbers_of(read_frames(path, [0, 20])) == [0, 20], 'what is there can be read'
    for indices in ([0, 99], range(COUNT), [90], [80, 99], [0, 30, 60, 90]):
        with pytest.raises(VideoReadError, match=r'cut\.mp4 .*; download or extract it again'):
            read_frames(path, indices)


def test_truncated_avi(tmp_path):
    """FFmpeg guesses the length of a cut AVI from its bytes, which may be less than is there."""
    whole = encode(tmp_path / 'whole.avi', COUNT, codec='mpeg4', g='10')
    assert probe_video(whole).num_frames == COUNT
    path = tmp_path / 'cut.avi'
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.8)])
    with pytest.raises(VideoReadError, match=r'cut\.avi .* of 4\.00 s; .* ffmpeg -i'):
        probe_video(path)


def test_cut_before_the_index(tmp_path):
    whole = encode(tmp_path / 'whole.mp4', 20, codec='mpeg4')
    path = tmp_path / 'cut.mp4'
    path.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(VideoReadError, match=r'cut\.mp4 cannot be read'):
        read_frames(path, [0])


def test_frames_just_past_the_end_repeat_the_last(tmp_path):
    path = encode(tmp_path / 'v.mp4', 50, codec='mpeg4')
    assert numbers_of(read_frames(path, [47, 49, 50, 51])) == [47, 49, 49, 49]
    assert numbers_of(read_frames(path, [51])) == [49]
    with pytest.raises(
        VideoReadError, match=r'ends at 2\.00 s, a frame at 2\.42 s .*correct "duration"'
    ):
        read_frames(path, [40, 60])
