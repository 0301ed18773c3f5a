"""The parts of inference: inputs, frames, windows, blocks, exports."""

import csv
import io
import json
import os
import threading
import time
from dataclasses import replace
from itertools import count, islice
from xml.etree import ElementTree

import av
import numpy as np
import pytest
from clock_videos import number_of, picture, record

from mmtad_decomp.apis import ExportError, InputError, VideoInput, VideoResult, export, find_videos
from mmtad_decomp.apis.exports import FORMATS, write_results
from mmtad_decomp.datasets import VideoReadError, window_starts
from mmtad_decomp.datasets.frame_source import FolderSource, GrowingFile, VideoSource
from mmtad_decomp.datasets.window_stream import stream_windows
from mmtad_decomp.postprocessing import Detections, VideoMerger, WindowResult
from mmtad_decomp.postprocessing.block_merger import BlockMerger
from mmtad_decomp.utils.prefetch import prefetch
from tools.data.labels import ReadOptions, read_labels


@pytest.mark.parametrize('frames', [1, 5, 8, 9, 16, 17, 40])
@pytest.mark.parametrize('overlap', [0.0, 0.25, 0.5, 0.75])
def test_streamed_windows_are_those_of_a_data_set(frames, overlap):
    pictures = np.arange(frames).reshape(-1, 1, 1, 1)
    windows = list(stream_windows(iter(pictures), 8, overlap))
    assert [start for start, _ in windows] == window_starts(frames, min(8, frames), overlap)
    for start, clip in windows:
        np.testing.assert_array_equal(clip.ravel(), np.arange(start, start + min(8, frames)))


def test_streamed_windows_read_no_frame_twice_and_hold_one_window():
    read = []
    endless = (read.append(i) or np.full((1, 1, 1), i) for i in count())
    windows = stream_windows(endless, 8, 0.5)
    assert [start for start, _ in islice(windows, 3)] == [0, 4, 8]
    assert read == list(range(17))  # one more than the last window: it was not the end
    assert [start for start, _ in stream_windows(iter([]), 8, 0.5)] == []


def test_prefetch_runs_ahead_and_hands_errors_over():
    begun = []

    def items():
        for i in range(5):
            begun.append((i, threading.get_ident()))
            yield i
        raise KeyError('broken')

    reader = prefetch(items(), 2)
    assert next(reader) == 0
    time.sleep(0.3)
    assert 2 < len(begun) < 5  # ahead, but not without bound
    assert begun[0][1] != threading.get_ident()
    with pytest.raises(KeyError, match='broken'):
        list(reader)
    threads = threading.active_count()
    reader = prefetch(count(), 2)
    next(reader)
    reader.close()
    assert threading.active_count() == threads
    with pytest.raises(ValueError, match='size >= 1'):
        prefetch([], 0)


def test_prefetch_does_not_wait_for_a_source_that_sends_nothing(monkeypatch):
    monkeypatch.setattr('mmtad_decomp.utils.prefetch._GRACE', 0.1)
    sent = threading.Event()

    def items():
        yield 0
        sent.wait()

    reader = prefetch(items())
    assert next(reader) == 0
    closing = threading.Thread(target=reader.close)
    closing.start()
    closing.join(5)
    waits = closing.is_alive()
    sent.set()
    closing.join(5)
    assert not waits


def test_a_video_is_sampled_by_its_clock(tmp_path):
    # Pictures 0, 1, 2 at irregular times, shown for 0.1, 0.5 and 0.2 s (the stated duration).
    path = record(tmp_path / 'v.mkv', [7, 8, 9, 10], times=[0, 100, 600, 700])
    source = VideoSource(path, fps=10)
    numbers = [number_of(frame) for frame in source]
    assert numbers[:8] == [7, 8, 8, 8, 8, 8, 9, 10]
    assert source.duration == pytest.approx(0.8, abs=0.02)


def test_num_samples_are_spread_over_the_video(tmp_path):
    path = record(tmp_path / 'v.mp4', range(40))
    source = VideoSource(path, num_samples=8)
    assert [number_of(frame) for frame in source] == [2, 7, 12, 17, 22, 27, 32, 37]
    with pytest.raises(VideoReadError, match='live'):
        VideoSource(path, num_samples=8, live=True)


@pytest.mark.parametrize('name', ['v.mkv', 'v.mp4'])
def test_num_samples_are_spread_over_the_pictures_not_over_longer_sound(tmp_path, name):
    path = record(tmp_path / name, range(40), sound=8.0)
    source = VideoSource(path, num_samples=8)
    assert [number_of(frame) for frame in source] == [2, 7, 12, 17, 22, 27, 32, 37]
    assert source.duration == pytest.approx(1.6, abs=0.01)


def test_folder_frames_come_by_number_and_rate(tmp_path):
    import cv2

    for number in range(1, 13):
        cv2.imwrite(str(tmp_path / f'img_{number}.png'), picture(number))
    source = FolderSource(tmp_path, stored_fps=4, fps=2)
    assert [number_of(frame) for frame in source] == [2, 4, 6, 8, 10, 12]
    assert source.duration == 3.0
    cv2.imwrite(str(tmp_path / 'img_13.png'), picture(13, (48, 32)))
    with pytest.raises(VideoReadError, match=r'img_13\.png'):
        list(FolderSource(tmp_path, stored_fps=4))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(VideoReadError, match='no image'):
        FolderSource(tmp_path / 'empty', stored_fps=4)


def test_a_growing_file_is_followed(tmp_path):
    whole = record(tmp_path / 'whole.ts', range(60)).read_bytes()
    path = tmp_path / 'growing.ts'
    path.write_bytes(whole[: len(whole) // 3])

    def grow():
        with open(path, 'ab') as file:
            for i in range(3, 10):
                time.sleep(0.1)
                file.write(
                    whole[
                        len(whole) * i // 10 if i > 3 else len(whole) // 3 : len(whole)
                        * (i + 1)
                        // 10
                    ]
                )
                file.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    source = VideoSource(GrowingFile(path, patience=1.0), fps=25, live=True)
    numbers = [number_of(frame) for frame in source]
    writer.join()
    assert numbers == list(range(60))
    with pytest.raises(VideoReadError, match='does not exist'):
        GrowingFile(tmp_path / 'none.ts')
    shape = dict(codec='mjpeg', pix_fmt='yuvj420p', size=(640, 480))
    mp4 = record(tmp_path / 'v.mp4', range(60), **shape)
    assert mp4.stat().st_size > 1 << 15  # more than FFmpeg keeps of what it has read
    video = GrowingFile(mp4, patience=0.0)
    with pytest.raises(VideoReadError, match=r'index at the end .* without --stream'):
        list(VideoSource(video, fps=25, live=True))


def test_inputs_are_expanded(tmp_path, monkeypatch):
    for name in ('a/clip.mp4', 'b/clip.mp4', 'b/other.mkv', 'b/notes.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'b' / 'frames').mkdir()
    (tmp_path / 'b' / 'frames' / '1.jpg').touch()
    found = find_videos([tmp_path / 'a' / 'clip.mp4', tmp_path / 'b', f'{tmp_path}/**/*.mp4'])
    assert [video.video_id for video in found] == ['a_clip', 'b_clip', 'frames', 'other']
    assert [video.is_folder for video in found] == [False, False, True, False]
    assert find_videos(tmp_path / 'b' / 'frames') == [
        VideoInput(str(tmp_path / 'b' / 'frames'), 'frames', is_folder=True)
    ]
    (tmp_path / 'b' / 'other.png').touch()  # a poster
    assert [video.video_id for video in find_videos(tmp_path / 'b')] == ['clip', 'frames', 'other']
    monkeypatch.chdir(tmp_path / 'b')
    (tmp_path / 'to_b').symlink_to('b')
    (tmp_path / 'b' / 'link.mkv').symlink_to('other.mkv')
    names = ['clip.mp4', './clip.mp4', '../b/clip.mp4', '../to_b/clip.mp4', 'frames', './frames/']
    found = find_videos([*names, tmp_path / 'b'])
    assert [video.path for video in found[:2]] == ['clip.mp4', 'frames']
    assert [video.video_id for video in found] == ['clip', 'frames', 'link', 'other']
    for wrong, reason in (
        ('', 'empty name'),  # not the working directory, which has videos
        (tmp_path / 'none.mp4', 'does not exist'),
        (f'{tmp_path}/*.avi', 'matches no file'),
        (tmp_path, 'neither videos'),
    ):
        with pytest.raises(InputError, match=reason):
            find_videos(wrong)


def test_hidden_files_of_a_folder_are_no_videos(tmp_path):
    for name in ('._clip.mp4', 'clip.mp4', '.thumbs/1.jpg', 'frames/1.jpg', 'frames/._1.mp4'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [video.video_id for video in find_videos(tmp_path)] == ['clip', 'frames']
    assert find_videos(tmp_path / '._clip.mp4')[0].path == str(tmp_path / '._clip.mp4')
    (tmp_path / 'clip.mp4').unlink()
    (tmp_path / 'frames/1.jpg').unlink()
    with pytest.raises(InputError, match='neither videos'):
        find_videos(tmp_path)


def test_folders_without_videos_among_matches_are_left_out(tmp_path, monkeypatch):
    warnings = []
    monkeypatch.setattr(
        'mmtad_decomp.apis.video_inputs.print_log', lambda text, **_: warnings.append(text)
    )
    for name in ('a/clip.mp4', 'b/notes.txt', 'c/notes.txt'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / 'd.mp4').symlink_to('nowhere')  # tried, and named as broken
    assert [video.video_id for video in find_videos(f'{tmp_path}/*')] == ['clip', 'd']
    (warning,) = warnings
    assert f'1 more folders): folder {tmp_path}/b has neither videos' in warning
    assert [video.video_id for video in find_videos(f'{tmp_path}/a*')] == ['clip']
    assert len(warnings) == 1
    with pytest.raises(InputError, match='/b has neither videos'):
        find_videos(f'{tmp_path}/[bc]')
    with pytest.raises(InputError, match='/b has neither videos'):
        find_videos([tmp_path / 'a', tmp_path / 'b'])
    with pytest.raises(InputError, match=r'd\.mp4 does not exist'):
        find_videos(tmp_path / 'd.mp4')


@pytest.mark.parametrize(
    ('names', 'ids'),
    [
        (['a/x.mp4', 'c/x.mp4', 'a_x.mp4'], ['a_x.mp4', 'c_x', 'a_x.mp4_2']),
        (['a_x.mp4', 'c/x.mp4', 'a/x.mp4'], ['a_x.mp4', 'c_x', 'a_x.mp4_2']),
        (
            ['a/x.mp4', 'c/x.mp4', 'a_x.mp4', 'a_x.mp4_2.mp4'],
            ['a_x.mp4', 'c_x', 'a_x.mp4_3', 'a_x.mp4_2'],
        ),
        (['x.mp4', 'x.mkv', 'y.mp4'], ['x.mp4', 'x.mkv', 'y']),
        ([b'caf\xe9.mp4', b'caf%E9.mp4'], ['caf%E9.mp4', 'caf%E9.mp4_2']),
    ],
)
def test_ids_are_unique_and_follow_the_order(tmp_path, monkeypatch, names, ids):
    monkeypatch.chdir(tmp_path)
    names = [os.fsdecode(name) for name in names]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_videos(names)
    assert [video.path for video in found] == names
    assert [video.video_id for video in found] == ids


def detections(rows):
    rows = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return Detections(rows[:, :2], rows[:, 2], rows[:, 3].astype(np.int64))


def random_windows(length=16.0, hop=8.0, number=12, seed=0):
    """Windows that see the same well separated actions, each with its own small errors."""
    rng = np.random.default_rng(seed)
    actions = [(t, t + 1.5, label) for label, t in enumerate(np.arange(0.5, number * hop, 3.0))]
    for i in range(number):
        start = i * hop
        rows = [
            (a + rng.normal(0, 0.05), b + rng.normal(0, 0.05), rng.uniform(0.3, 0.9), label % 3)
            for a, b, label in actions
            if start <= (a + b) / 2 < start + length
        ]
        yield WindowResult('v', (i,), detections(rows), (start, start + length)), start + hop


def merge_in_blocks(block):
    merger = BlockMerger(VideoMerger(('a', 'b', 'c'), dict(type='PostProcessor')), 'v', block)
    parts, times = [], []
    for window, following in random_windows():
        part = merger.add(window, following)
        parts.append(part)
        times += [window.span[1]] * len(part.scores)
    parts.append(merger.finish(104.0))
    columns = Detections(*(np.concatenate(c) for c in zip(*parts)))
    return columns, np.array(times)


def test_one_block_is_the_merger_itself():
    blocks, _ = merge_in_blocks(np.inf)
    windows = [window for window, _ in random_windows()]
    whole = VideoMerger(('a', 'b', 'c'), dict(type='PostProcessor'))(windows, {'v': 104.0})['v']
    for a, b in zip(blocks, whole):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('block', [0.0, 20.0])
def test_blocks_find_each_action_once_and_in_time(block):
    blocks, times = merge_in_blocks(block)
    whole, _ = merge_in_blocks(np.inf)
    good = [found.segments[found.scores > 0.25] for found in (whole, blocks)]
    assert len(good[0]) == len(good[1]) > 20
    np.testing.assert_allclose(*(np.sort(segments[:, 0]) for segments in good), atol=0.15)
    if block == 0.0:  # final one window (16 s) after their centre at the latest
        centres = blocks.segments[: len(times)].mean(axis=1)
        assert (times - centres <= 16.0).all()


def test_memory_of_blocks_is_bounded():
    merger = BlockMerger(VideoMerger(('a', 'b', 'c'), dict(type='PostProcessor')), 'v', 20.0)
    held = []
    for window, following in random_windows(number=60):
        merger.add(window, following)
        held.append(len(merger._windows))
    assert max(held) <= 8


def result(tmp_path):
    found = detections(
        [(0.5, 1.25, 0.9, 0), (1.0, 2.0, 0.8, 0), (61.0, 3725.5, 0.5, 1), (0.1, 0.1004, 0.4, 1)]
    )
    path = str(tmp_path / 'my clip.mp4')
    return VideoResult(VideoInput(path, 'my clip'), 4000.0, 25.0, found, ('run & jump', '<sit>'))


def test_formats_hold_what_was_found(tmp_path):
    one = result(tmp_path)
    files = export(tmp_path / 'out', [one], list(FORMATS))
    texts = {file.name: file.read_text(encoding='utf-8') for file in files}
    content = json.loads(texts['detections.json'])
    assert content['results']['my clip'] == one.rows()
    rows = list(csv.DictReader(io.StringIO(texts['detections.csv'])))
    assert [float(row['end']) for row in rows] == [1.25, 2.0, 3725.5, 0.1]
    assert rows[0]['label'] == 'run & jump' and rows[2]['video'] == one.video.path
    vtt = texts['my clip.vtt']
    assert vtt.startswith('WEBVTT\n\n') and '&lt;sit&gt; 0.50' in vtt
    assert '00:01:01.000 --> 01:02:05.500' in vtt
    assert '2\n00:00:00,500 --> 00:00:01,250\nrun & jump 0.90\n' in texts['my clip.srt']
    # Shorter than a millisecond.
    assert '\n00:00:00.100 --> 00:00:00.101\n' in vtt
    assert texts['my clip.srt'].startswith('1\n00:00:00,100 --> 00:00:00,101\n')


@pytest.mark.parametrize('name', ['vtt', 'srt'])
def test_a_subtitle_is_one_cue_whatever_its_class_is_called(tmp_path, name):
    """As FFmpeg reads them."""
    classes = ('pour\n\nmilk', 'a --> b', 'x\n\n3\n00:00:01.000 --> 00:00:02.000\ny')
    found = detections([(number + 1.0, number + 1.5, 0.9, number) for number in range(3)])
    video = VideoInput(str(tmp_path / 'v.mp4'), 'v')
    (file,) = export(tmp_path, [VideoResult(video, 9.0, 25.0, found, classes)], [name])
    with av.open(str(file)) as subtitles:
        cues = [packet for packet in subtitles.demux() if packet.size]
    assert [float(cue.pts * cue.time_base) for cue in cues] == [1.0, 2.0, 3.0]
    for cue, words in zip(cues, classes):
        text = bytes(cue).decode().replace('&gt;', '>')
        assert text == f'{" ".join(words.split())} 0.90'


def test_elan_tiers_do_not_overlap(tmp_path):
    export(tmp_path, [result(tmp_path)], ['elan'])
    root = ElementTree.parse(tmp_path / 'my clip.eaf').getroot()
    slots = {s.get('TIME_SLOT_ID'): int(s.get('TIME_VALUE')) for s in root.iter('TIME_SLOT')}
    tiers = {
        tier.get('TIER_ID'): [
            (slots[a.get('TIME_SLOT_REF1')], slots[a.get('TIME_SLOT_REF2')])
            for a in tier.iter('ALIGNABLE_ANNOTATION')
        ]
        for tier in root.iter('TIER')
        if tier.get('PARENT_REF') is None
    }
    assert tiers == {
        'run & jump': [(500, 1250)],
        'run & jump 2': [(1000, 2000)],
        '<sit>': [(100, 101), (61000, 3725500)],
    }
    assert root.find('HEADER/MEDIA_DESCRIPTOR').get('MEDIA_URL').endswith('my%20clip.mp4')
    identifiers = [a[0].get('ANNOTATION_ID') for a in root.iter('ANNOTATION')]
    assert len(set(identifiers)) == len(identifiers) == 8
    types = {t.get('LINGUISTIC_TYPE_ID') for t in root.iter('LINGUISTIC_TYPE')}
    assert {tier.get('LINGUISTIC_TYPE_REF') for tier in root.iter('TIER')} <= types


def test_labels_from_elan_are_the_classes_and_scores_beside_them(tmp_path):
    one = result(tmp_path)
    one = replace(one, classes=('run', 'run score'))
    (file,) = export(tmp_path, [one], ['elan'])
    labels = [(x.label, x.start, x.end) for x in read_labels(file, ReadOptions())]
    assert sorted(labels) == [
        ('run', 0.5, 1.25),
        ('run', 1.0, 2.0),
        ('run score', 0.1, 0.101),
        ('run score', 61.0, 3725.5),
    ]
    root = ElementTree.parse(file).getroot()
    names = [tier.get('TIER_ID') for tier in root.iter('TIER')]
    assert len(set(names)) == len(names) == 6
    values = {item[0].get('ANNOTATION_ID'): item[0][0].text for item in root.iter('ANNOTATION')}
    scores = [(a.get('ANNOTATION_REF'), a[0].text) for a in root.iter('REF_ANNOTATION')]
    assert sorted((values[parent], score) for parent, score in scores) == [
        ('run', '0.80'),
        ('run', '0.90'),
        ('run score', '0.40'),
        ('run score', '0.50'),
    ]


def test_elan_links_an_address_as_it_is(tmp_path):
    address = 'http://host/x%20y.mp4?t=1'
    one = replace(result(tmp_path), video=VideoInput(address, 'x'))
    (file,) = export(tmp_path, [one], ['elan'])
    media = ElementTree.parse(file).getroot().find('HEADER/MEDIA_DESCRIPTOR')
    assert media.get('MEDIA_URL') == address


def test_label_studio_ranges_are_frames(tmp_path):
    export(tmp_path, [result(tmp_path)], ['label-studio'])
    (task,) = json.loads((tmp_path / 'label_studio.json').read_text())
    regions = task['predictions'][0]['result']
    assert regions[0]['value'] == dict(
        ranges=[dict(start=14, end=31)], timelinelabels=['run & jump']
    )
    assert all(r['value']['ranges'][0]['start'] <= r['value']['ranges'][0]['end'] for r in regions)
    assert len({region['id'] for region in regions}) == 4


def test_unknown_formats_are_refused(tmp_path):
    with pytest.raises(ExportError, match='unknown format'):
        export(tmp_path, [result(tmp_path)], ['xlsx'])
    with pytest.raises(ExportError, match='unknown ending'):
        write_results(tmp_path / 'x.doc', [result(tmp_path)])
    with pytest.raises(ExportError, match='one video'):
        write_results(tmp_path / 'x.vtt', [result(tmp_path)] * 2)
    write_results(tmp_path / 'x.json', [result(tmp_path)])
    assert 'results' in json.loads((tmp_path / 'x.json').read_text())
