"""The benchmark of optical flow, on a generated video at small sizes."""

import json

import av
import flow_helpers as helpers
import pytest

from tools.benchmarks import flow as benchmark


def test_rows_and_table(tmp_path, monkeypatch, capsys):
    picture = helpers.texture()
    video = tmp_path / 'v.mp4'
    with av.open(str(video), 'w') as output:
        stream = output.add_stream('libx264', rate=20)
        stream.width, stream.height = helpers.WIDTH, helpers.HEIGHT
        stream.pix_fmt = 'yuv420p'
        for place in helpers.offsets(80):
            picture_now = helpers.moved_picture(picture, place)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture_now, format='rgb24')))
        output.mux(stream.encode(None))
    monkeypatch.setattr(benchmark, 'CASES', (('tiny', 32, 40, 10.0), ('wide', 24, 96, 20.0)))
    out = tmp_path / 'flow.json'
    assert benchmark.main([str(video), '--start', '0.2', '--json', str(out)]) == 0
    rows = json.loads(out.read_text())['rows']
    assert [(row['case'], row['method']) for row in rows] == [
        (case, method) for case in ('tiny', 'wide') for method in ('tvl1', 'dis', 'farneback')
    ]
    for row in rows:
        milliseconds = row['milliseconds_per_flow']
        assert row['minutes_per_minute'] == pytest.approx(milliseconds / 1000 * row['fps'])
        assert 0 < row['largest_stored_error'] <= 1 / 128 + 1e-6 and row['rms'] > 0
    assert capsys.readouterr().out.count('\n') == 2 + len(rows)


def test_a_video_that_is_none(tmp_path):
    (tmp_path / 'v.mp4').write_bytes(b'no video')
    with pytest.raises(FileNotFoundError, match='cannot be read'):
        benchmark.main([str(tmp_path / 'v.mp4'), '--json', str(tmp_path / 'x.json')])
