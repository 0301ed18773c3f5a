"""Frame k is the picture that a player shows at (k + 0.5) / fps, upright, whole, of one size."""

import av
import clock_videos as videos
import cv2
import numpy as np
import pytest

from mmtad_decomp.datasets import SampledFrames, VideoReadError, probe_video, read_frames

pytestmark = pytest.mark.skipif(
    'libx264' not in av.codec.codecs_available, reason='PyAV was built without libx264'
)

COVER = av.stream.Disposition.attached_pic


def numbers(path, fps=25, read=videos.number_of):
    """What all frames show, after checking that reading one by one shows the same."""
    whole = list(SampledFrames(path, fps))
    assert len({frame.shape for frame in whole}) == 1
    for k in range(0, len(whole), 7):
        np.testing.assert_array_equal(read_frames(path, [k], fps)[0], whole[k], err_msg=f'{k}')
    np.testing.assert_array_equal(read_frames(path, range(len(whole)), fps), whole)
    return [read(frame) for frame in whole]


@pytest.mark.parametrize('name', ['v.mp4', 'v.mkv'])
def test_variable_rate(tmp_path, name):
    path = videos.variable_rate(tmp_path / name)
    shown = np.array(numbers(path, 10)) / 100
    centres = (np.arange(200) + 0.5) / 10
    assert len(shown) == 200
    assert ((centres - shown >= -0.01) & (centres - shown < 0.1)).all()
    info = probe_video(path)
    assert info.duration == pytest.approx(20) and info.num_frames == 400
    assert (float(info.fps), float(info.densest_fps)) == (20, 30)


@pytest.mark.parametrize('name', ['v.mp4', 'v.mkv', 'v.flv'])
@pytest.mark.parametrize(
    ('times', 'last', 'duration'),
    [
        ([*range(0, 1000, 40), 1900], 40, 1.94),  # a pause, then one picture
        ([*range(0, 1000, 40), 1900], 500, 2.4),
        (range(0, 1000, 40), 1, 1.0),  # nearly none is stated: as long as the others
    ],
)
def test_how_long_the_last_picture_lasts(tmp_path, name, times, last, duration):
    path = videos.record(tmp_path / name, range(len(times)), times, last=last)
    info = probe_video(path)
    assert info.duration == pytest.approx(duration, abs=2e-3)
    np.testing.assert_allclose(info.times, np.array(times) / 1000, atol=1e-3)


@pytest.mark.parametrize('name', ['v.mp4', 'v.mkv', 'v.ts', 'v.flv'])
@pytest.mark.parametrize('sound', [0.0, 3.0])
def test_first_picture_comes_late(tmp_path, name, sound):
    """Silent transport streams and flash videos have no start but their first picture."""
    times = [520 + 40 * i for i in range(50)]
    path = videos.record(tmp_path / name, range(50), times, sound=sound)
    late = 13 if sound or name in ('v.mp4', 'v.mkv') else 0
    shown = numbers(path)
    wanted = [max(0, k - late) for k in range(50 + late)]
    delay = 1 if name in ('v.ts', 'v.flv') and sound else 0  # Of the sound's encoder, 23 ms.
    assert shown == [0] * delay + wanted
    if sound:
        assert probe_video(path).duration == pytest.approx(2.52 + 0.023 * delay, abs=2e-3)


def test_edit_list_hides_pictures(tmp_path):
    """Cut without encoding, the file holds 128 pictures and shows 117 of them."""
    whole = videos.record(tmp_path / 'whole.mp4', range(250), sound=10.0)
    path = videos.cut_without_encoding(whole, tmp_path / 'cut.mp4', 3.3, 8.0)
    with av.open(str(path)) as file:
        assert file.streams.video[0].frames == 128
    assert numbers(path) == list(range(83, 200))
    assert probe_video(path).num_frames == 117


def test_sound_that_goes_on_after_the_pictures(tmp_path):
    path = videos.record(tmp_path / 'v.mp4', range(50), sound=4.0)
    assert videos.number_of(read_frames(path, [85], 25)[0]) == 49
    with pytest.raises(VideoReadError, match=r'ends at 2\.00 s, a frame at 5\.02 s'):
        read_frames(path, [125], 25)


@pytest.mark.parametrize('hflip', [False, True])
@pytest.mark.parametrize('degrees', [0, 90, 180, 270])
def test_display_matrix(tmp_path, degrees, hflip):
    """Pictures stored turned or mirrored, with the mark that undoes it, are upright again."""
    plain = videos.record(tmp_path / 'plain.mp4', [5] * 15)
    turn = dict(degrees=degrees, hflip=hflip)
    path = videos.record(tmp_path / 'turned.mp4', [5] * 15, turn=turn)
    stored = read_frames(plain, [5])[0]
    wanted = np.rot90(stored, degrees // 90)  # Counter-clockwise.
    wanted = wanted[:, ::-1] if hflip else wanted
    shown = read_frames(path, [5])[0]
    np.testing.assert_array_equal(shown, wanted)
    info = probe_video(path)
    assert (info.height, info.width) == shown.shape[:2]
    assert read_frames(path, [5], short_side=32)[0].shape[:2] == tuple(
        side // 2 for side in shown.shape[:2]
    )
    assert videos.is_upright(shown) == (degrees == 0 and not hflip)


def test_picture_size_that_changes(tmp_path):
    path = videos.growing(tmp_path)
    assert numbers(path) == list(range(100))
    frames = read_frames(path, [10, 90], 25, short_side=32)
    assert frames.shape == (2, 32, 48, 3) and all(map(videos.is_upright, frames))
    assert read_frames(path, [90]).shape == (1, 64, 96, 3), 'the size does not depend on the seek'


def test_pixels_are_square_as_in_opencv(tmp_path):
    path = videos.record(tmp_path / 'wide.mp4', [5] * 3, **{'x264-params': 'sar=2/1'})
    with av.open(str(path)) as file:
        assert file.streams.video[0].sample_aspect_ratio == 2
    (frame,) = read_frames(path, [0])
    assert frame.shape == cv2.VideoCapture(str(path)).read()[1].shape == (64, 96, 3)


def test_cover_picture_and_second_stream(tmp_path):
    plain = videos.record(tmp_path / 'plain.mp4', range(50))
    path = videos.with_other_pictures(plain, tmp_path / 'many.mp4')
    with av.open(str(path)) as file:
        assert len(file.streams.video) == 3
        assert any(s.disposition & COVER for s in file.streams.video)
    assert numbers(path) == list(range(50))


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('odd.mkv', dict(codec='ffv1', size=(97, 65))),
        ('ten_bit.mp4', dict(pix_fmt='yuv420p10le')),
        ('interlaced.mp4', {'x264-params': 'tff=1:interlaced=1'}),
        ('fields.ts', dict(codec='mpeg2video', flags='+ildct+ilme', b='2M', bf='2')),
        ('program.mpg', dict(codec='mpeg2video', b='2M', bf='2')),
        ('raw.h264', dict(bf='2')),
        ('motion.mjpeg', dict(codec='mjpeg', pix_fmt='yuvj420p')),
        ('windows.wmv', dict(codec='wmv2', b='2M')),
    ],
)
def test_other_kinds(tmp_path, name, options):
    path = videos.record(tmp_path / name, range(60), **options)
    assert numbers(path) == list(range(60))
    info = probe_video(path)
    assert (info.num_frames, float(info.fps)) == (60, 25)
    assert (info.width, info.height) == options.get('size', (96, 64))


def test_clock_of_a_live_stream(tmp_path):
    times = [5_000_000 + 40 * i for i in range(50)]
    assert numbers(videos.record(tmp_path / 'v.mkv', range(50), times)) == list(range(50))


def test_one_picture_is_one_frame(tmp_path):
    path = videos.record(tmp_path / 'v.mp4', [7])
    frames = SampledFrames(path, 10)
    assert [videos.number_of(frame) for frame in frames] == [7]
    assert frames.duration == pytest.approx(0.04)
    assert videos.number_of(read_frames(path, [0], 10)[0]) == 7


def test_sound_alone_with_a_cover_is_named(tmp_path):
    path = tmp_path / 'song.mp4'
    with av.open(str(path), 'w') as output:
        cover = output.add_stream('mjpeg', rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, 'yuvj420p'
        cover.disposition = COVER
        sound = output.add_stream('aac', rate=44100)
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format='rgb24')
        output.mux(cover.encode(frame))
        output.mux(cover.encode(None))
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), 'fltp', 'stereo')
        silence.sample_rate = 44100
        output.mux(sound.encode(silence))
        output.mux(sound.encode(None))
    with pytest.raises(VideoReadError, match=r'song\.mp4 has no video stream, only a cover'):
        read_frames(path, [0])
