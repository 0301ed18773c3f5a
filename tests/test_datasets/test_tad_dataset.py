"""The data set: which windows it serves, with which frames and ground truth."""

import json
import logging
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from media_helpers import (
    encode,
    number_of,
    numbered_frame,
    numbers_of,
    video_entry,
    write_annotations,
)
from mmaction.registry import DATASETS
from mmengine.dataset import ClassBalancedDataset, pseudo_collate
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from mmtad_decomp.annotations import AnnotationError
from mmtad_decomp.datasets import (
    TADDataset,
    VideoReadError,
    num_sampled_frames,
    source_frame_indices,
)
from mmtad_decomp.datasets.transforms import loading
from mmtad_decomp.evaluation import TADMetric

LENGTHS = {'long': 100, 'short': 20, 'bare': 55}
PIPELINES = {
    'video': [dict(type='LoadVideoFrames'), dict(type='PackTADInputs')],
    'frames': [dict(type='LoadFrameFolder'), dict(type='PackTADInputs')],
    'feature': [dict(type='LoadFeatures', channels=6), dict(type='PackTADInputs')],
}


@pytest.fixture(scope='session')
def data(tmp_path_factory) -> Path:
    """Three videos at 25 fps as video files, frame folders and features, and annotations."""
    root = tmp_path_factory.mktemp('data')
    instances = {
        'long': [(0.4, 1.2, 'run'), (1.5, 2.5, 'walk'), (3.2, 4.0, 'run'), (0.0, 4.0, 'walk')],
        'short': [(0.1, 0.6, 'walk')],
        'bare': [],
    }
    rng = np.random.default_rng(0)
    database = {}
    for name, count in LENGTHS.items():
        encode(root / 'videos' / f'{name}.mp4', count, codec='mpeg4', g='10')
        (root / 'frames' / name).mkdir(parents=True)
        for index in range(count):
            file = root / 'frames' / name / f'img_{index + 1:05d}.jpg'
            cv2.imwrite(str(file), numbered_frame(index))
        features = rng.normal(size=(max(1, (count - 16) // 4 + 1), 6))
        (root / 'features').mkdir(exist_ok=True)
        np.save(root / 'features' / f'{name}.npy', features)
        np.savez(root / 'features' / f'{name}.npz', feats=features, other=np.zeros(3))
        for source in ('videos', 'frames'):
            path = f'{source}/{name}' + ('.mp4' if source == 'videos' else '')
            entry = video_entry(count / 25, *instances[name], frame=count, path=path)
            database.setdefault(source, {})[name] = entry
    write_annotations(root / 'video.json', database['videos'])
    write_annotations(root / 'frames.json', database['frames'])
    write_annotations(root / 'feature.json', database['videos'])
    return root


def build(data: Path, source: str = 'video', **settings) -> TADDataset:
    if source == 'feature':
        settings = dict(data_prefix=dict(feature='features')) | settings
    settings = (
        dict(pipeline=PIPELINES[source], ann_file=f'{source}.json', serialize_data=False)
        | settings
    )
    return DATASETS.build(dict(type='TADDataset', data_root=str(data), source=source, **settings))


def items(dataset: TADDataset) -> list[dict]:
    return [dataset[i] for i in range(len(dataset))]


def test_rare_classes_can_be_repeated(data):
    dataset = build(data, window=25)
    labels = [item['data_samples'].gt_instances.labels for item in items(dataset)]
    shares = [np.mean([label in seen for seen in labels]) for label in (0, 1)]
    rare = int(np.argmin(shares))
    assert 0 < shares[rare] < shares[1 - rare]
    # With a threshold just above its share, the windows of the rare class come twice, others once.
    balanced = ClassBalancedDataset(dataset, oversample_thr=1.01 * shares[rare])
    expected = [i for i, seen in enumerate(labels) for _ in range(1 + (rare in seen))]
    assert balanced.repeat_indices == expected


@pytest.mark.parametrize('source', ['video', 'frames'])
@pytest.mark.parametrize('sample_fps', [None, 7.3])
@pytest.mark.parametrize('test_mode', [False, True])
def test_windows_hold_the_right_frames(data, source, sample_fps, test_mode):
    dataset = build(
        data, source, sample_fps=sample_fps, window=20, overlap=0.25, test_mode=test_mode
    )
    fps = sample_fps or 25
    for item in items(dataset):
        sample = item['data_samples']
        count = LENGTHS[sample.video_id]
        start, stop = sample.window
        wanted = source_frame_indices(start, stop, fps, 25, count).tolist()
        frames = item['inputs']['frames']
        assert frames.dtype == torch.uint8 and frames.shape == (stop - start, 3, 48, 64)
        assert numbers_of(frames.permute(0, 2, 3, 1).numpy()) == wanted
        assert sample.num_steps == stop - start <= 20
        assert sample.duration == count / 25
        centre = (start + 0.5) / fps
        assert sample.time_grid.to_seconds(0) == pytest.approx(centre, abs=1e-9)


@pytest.mark.parametrize('num_samples', [1, 16, 150])
def test_evenly_spread_samples(data, num_samples):
    dataset = build(data, num_samples=num_samples, test_mode=True)
    assert len(dataset) == 3
    for item in items(dataset):
        sample = item['data_samples']
        count = LENGTHS[sample.video_id]
        centres = (np.arange(num_samples) + 0.5) * sample.duration / num_samples
        wanted = np.floor(centres * 25 + 1e-6).astype(int).tolist()
        assert numbers_of(item['inputs']['frames'].permute(0, 2, 3, 1).numpy()) == wanted
        assert max(wanted) < count
        steps = np.arange(num_samples)
        np.testing.assert_allclose(sample.time_grid.to_seconds(steps), centres, atol=1e-9)


def test_colours_are_not_swapped(tmp_path):
    folder = tmp_path / 'frames' / 'v'
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / 'img_00001.jpg'), np.full((32, 32, 3), (0, 0, 255), np.uint8))
    write_annotations(tmp_path / 'frames.json', {'v': video_entry(1, fps=1, frame=1)})
    settings = dict(data_prefix=dict(frames='frames'), test_mode=True)
    pixel = build(tmp_path, 'frames', **settings)[0]['inputs']['frames'][0, :, 16, 16]
    assert pixel[0] > 240 and pixel[1:].max() < 15, 'red'


def test_test_windows_cover_every_video(data):
    dataset = build(data, sample_fps=10, window=12, overlap=0.25, test_mode=True)
    covered = {name: np.zeros(num_sampled_frames(n / 25, 10)) for name, n in LENGTHS.items()}
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        start, stop = info['window']
        covered[info['video_id']][start:stop] += 1
        assert info['test_mode'] is True
    assert all(steps.min() >= 1 for steps in covered.values())
    assert set(covered) == {dataset[i]['data_samples'].video_id for i in range(len(dataset))}
    bare = [item for item in items(dataset) if item['data_samples'].video_id == 'bare']
    assert bare and all(len(item['data_samples'].gt_instances.labels) == 0 for item in bare)


@pytest.mark.parametrize('min_visible', [0.3, 0.75, 1.0])
def test_training_windows_keep_what_is_visible(data, min_visible):
    dataset = build(data, window=25, overlap=0.5, min_visible=min_visible)
    annotations = [
        ('long', 0.4, 1.2, 0), ('long', 1.5, 2.5, 1), ('long', 3.2, 4.0, 0), ('long', 0, 4, 1),
        ('short', 0.1, 0.6, 1),
    ]  # fmt: skip
    wanted = {}
    for name, count in LENGTHS.items():
        length = min(25, count)
        starts = sorted({*range(0, count - length, 12), count - length})
        for start in starts:
            begin, end = start / 25, (start + length) / 25
            kept = []
            for video, s, e, label in annotations:
                inside = min(e, end) - max(s, begin)
                if video == name and inside > 0 and inside / (e - s) >= min_visible - 1e-9:
                    kept.append((max(s, begin), min(e, end), label))
            if kept:
                wanted[name, start] = sorted(kept)
    got = {}
    for item in items(dataset):
        sample = item['data_samples']
        instances = sample.gt_instances
        assert instances.segments.dtype == torch.float64, 'times lose nothing'
        got[sample.video_id, sample.window[0]] = sorted(
            (*segment, label)
            for segment, label in zip(instances.segments.tolist(), instances.labels.tolist())
        )
    assert set(got) == set(wanted), 'windows without ground truth are dropped'
    for key, instances in wanted.items():
        np.testing.assert_allclose(got[key], instances, atol=1e-9)


def test_videos_that_are_shorter_than_a_window_are_served_whole(data):
    dataset = build(data, window=500, test_mode=True)
    assert [dataset[i]['data_samples'].window for i in range(3)] == [(0, 100), (0, 20), (0, 55)]
    whole = build(data, window=None, test_mode=True)
    assert [dataset[i]['data_samples'].window for i in range(3)] == [
        whole[i]['data_samples'].window for i in range(3)
    ]


@pytest.mark.parametrize('suffix', ['npy', 'npz'])
def test_features(data, suffix):
    dataset = build(data, 'feature', template='{}.' + suffix, test_mode=True)
    for item in items(dataset):
        sample = item['data_samples']
        stored = np.load(data / 'features' / f'{sample.video_id}.npy')
        features = item['inputs']['features']
        assert features.dtype == torch.float32
        np.testing.assert_allclose(features.numpy(), stored.T, rtol=1e-6)
        assert sample.window == (0, len(stored)) and sample.num_steps == len(stored)
        assert sample.time_grid.to_seconds(3) == pytest.approx((8 + 3 * 4) / 25)
    assert len(build(data, 'feature')) == 2, 'in training, a video without ground truth goes'


def test_template_goes_before_path(data, tmp_path):
    database = {'long': video_entry(4, (1, 2, 'run'), path='nowhere/long.mp4', frame=100)}
    file = write_annotations(tmp_path / 'a.json', database)
    prefix = dict(video='videos')
    settings = dict(ann_file=str(file), window=50, data_prefix=prefix)
    assert len(build(data, template='{}.mp4', **settings)) > 0
    with pytest.raises(FileNotFoundError, match=r'nowhere/long\.mp4'):
        build(data, **settings)


@pytest.fixture
def log(monkeypatch):
    """Messages of MMEngine's current logger."""
    messages = []

    class Keep(logging.Handler):
        def emit(self, record):
            messages.append((record.levelname, record.getMessage()))

    logger = MMLogger.get_current_instance()
    handler = Keep()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


def test_census_is_logged(data, log):
    build(data, window=50, overlap=0.5)
    [message] = [text for level, text in log if 'windows' in text]
    assert '3 videos, 5 instances, 1 videos without instances; ' in message
    assert '1 instances in none of them (visible < 0.75)' in message


def test_missing_files(data, tmp_path, log):
    database = {
        'long': video_entry(4, (1, 2, 'run'), path='videos/long.mp4', frame=100),
        'gone': video_entry(4, (1, 2, 'run'), path='videos/gone.mp4', frame=100),
        'folder': video_entry(4, (1, 2, 'run'), path='videos', frame=100),
    }
    file = str(write_annotations(tmp_path / 'a.json', database))
    with pytest.raises(FileNotFoundError) as error:
        build(data, ann_file=file, window=50)
    for word in ('a.json', '2 of 3 videos', 'gone.mp4', '`data_root`', '`skip_missing=True`'):
        assert word in str(error.value)
    dataset = build(data, ann_file=file, window=50, skip_missing=True)
    assert {dataset.get_data_info(i)['video_id'] for i in range(len(dataset))} == {'long'}
    assert any('2 of 3 videos' in text and level == 'WARNING' for level, text in log)
    del database['long']
    write_annotations(tmp_path / 'a.json', database)
    with pytest.raises(FileNotFoundError, match='2 of 2'):
        build(data, ann_file=file, window=50, skip_missing=True)


@pytest.mark.parametrize(
    ('fields', 'classes', 'labels'),
    [
        (('verb',), ['close', 'open'], [1, 1, 0]),
        (('noun',), ['7', 'box'], [0, 1, 0]),
        (('verb', 'noun'), ['close,7', 'open,7', 'open,box', 'open,lid'], [1, 2, 0]),
    ],
)
def test_verbs_and_nouns(data, tmp_path, fields, classes, labels):
    """Training windows, test windows and the metric take the class from the same fields."""
    actions = [(0.0, 1.0, 'open', 7), (1.2, 2.0, 'open', 'box'), (2.2, 3.5, 'close', 7)]
    lid = [dict(segment=[0, 0.5], verb='open', noun='box' if fields == ('noun',) else 'lid')]
    database = {
        'long': dict(
            video_entry(4),
            annotations=[dict(segment=[s, e], verb=v, noun=n) for s, e, v, n in actions],
        ),
        'short': dict(video_entry(0.8, subset='validation'), annotations=lid),
    }
    file = str(write_annotations(tmp_path / 'epic.json', database, classes=['not', 'these']))
    settings = dict(ann_file=file, data_prefix=dict(video='videos'), label_fields=fields)
    train = build(data, subset='training', **settings)
    test = build(data, subset='validation', test_mode=True, **settings)
    assert train.metainfo['classes'] == test.metainfo['classes'] == classes
    [item] = items(train)
    assert item['data_samples'].gt_instances.labels.tolist() == labels
    metric = TADMetric(file, subset='training', label_fields=fields, post_processor=None)
    metric.dataset_meta = train.metainfo
    sample = item['data_samples']
    sample.pred_instances = InstanceData(scores=torch.ones(3), **sample.gt_instances)
    metric.process(None, [sample.to_dict()])
    assert metric.evaluate(1)['tad/mAP'] == 1
    with pytest.raises(AnnotationError, match='needs a string field "label"'):
        build(data, **dict(settings, label_fields=('label',)))


@pytest.mark.parametrize('parts', [2, 3])
def test_parts_that_are_left_out(data, parts):
    """Each video is left out once; neighbours by name stay together."""
    served = lambda dataset: {dataset.get_data_info(i)['video_id'] for i in range(len(dataset))}  # noqa: E731
    build_part = lambda part: build(data, leave_out=(part, parts), test_mode=True)  # noqa: E731
    sets = [build_part(part) for part in range(parts)]
    left_out = [dataset.metainfo['left_out'] for dataset in sets]
    assert [name for names in left_out for name in names] == sorted(LENGTHS)
    for dataset, names in zip(sets, left_out):
        assert served(dataset) == set(LENGTHS) - set(names)
    assert 'left_out' not in build(data).metainfo
    fewer = build(data, leave_out=(1, 2), exclude_videos=['long'], test_mode=True)
    assert fewer.metainfo['left_out'] == ['short'] and served(fewer) == {'bare'}


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        (dict(source='videos'), r"source must be 'video', 'frames' or 'feature', got 'videos'"),
        (dict(window=0), 'window must be at least 1'),
        (dict(num_samples=0), 'num_samples=0 must be at least 1'),
        (dict(num_samples=16, window=8), 'leave out sample_fps and window'),
        (dict(sample_fps=0), 'sample_fps must be > 0'),
        (dict(data_prefix=dict(videos='videos')), r'data_prefix .* set data_prefix=dict\(video='),
        (dict(window=4, min_visible=1.0), r'no training window .* enlarge `window` \(4 steps\)'),
        (dict(leave_out=(4, 4)), r'leave_out must be \(part, parts\) .* got \(4, 4\); \(0, 4\)'),
        (dict(leave_out=(0, 1)), '2 parts or more'),
        (dict(leave_out=2), 'got 2; '),
        (dict(leave_out=(0, 4)), r'has 3 videos, which `leave_out=\(0, 4\)` cannot cut into 4'),
        (dict(windows=64), 'windows'),
    ],
)
def test_bad_settings(data, settings, words):
    with pytest.raises((ValueError, TypeError), match=words):
        TADDataset(**dict(ann_file='video.json', data_root=str(data)) | settings)


def test_fields_that_the_data_set_needs(data, tmp_path):
    database = {'long': video_entry(4, fps=None, path='videos/long.mp4')}
    file = str(write_annotations(tmp_path / 'a.json', database))
    for source in ('frames', 'feature'):
        settings = dict(data_prefix={source: f'{source.rstrip("s")}s'}, template='{}')
        settings |= dict(template='{}.npy') if source == 'feature' else {}
        with pytest.raises(AnnotationError, match=r'a\.json: video "long": .*"fps" is missing'):
            build(data, source, ann_file=file, test_mode=True, **settings)
    database['long'] |= dict(fps=75, frame=100)
    write_annotations(tmp_path / 'a.json', database)
    with pytest.raises(AnnotationError, match=r'a\.json: video "long": .*100 / 75 = 1\.3 s'):
        build(data, ann_file=file, test_mode=True)


def test_a_minimal_annotation_takes_the_clock_from_the_video(data, tmp_path):
    """Neither ``fps`` nor ``frame``: the windows are those of the full annotation."""
    full = json.loads((data / 'video.json').read_text())['database']['long']
    minimal = {key: value for key, value in full.items() if key not in ('fps', 'frame')}
    windows = []
    for name, entry in (('full', full), ('minimal', minimal)):
        file = str(write_annotations(tmp_path / f'{name}.json', {'long': entry}))
        dataset = build(data, ann_file=file, window=20, test_mode=True)
        windows.append([dataset.get_data_info(i) for i in range(len(dataset))])
    assert len(windows[0]) == len(windows[1]) > 1
    for wanted, got in zip(*windows):
        assert got['window'] == wanted['window'] and got['time_grid'] == wanted['time_grid']


@pytest.mark.parametrize('sampling', [dict(sample_fps=10, window=20), dict(num_samples=16)])
def test_frames_of_a_video_file_that_are_sampled_need_no_nominal_rate(data, tmp_path, sampling):
    """Of variable frame rate, ``frame`` / ``fps`` is not the length: not used, not compared."""
    full = json.loads((data / 'video.json').read_text())['database']['long']
    file = str(write_annotations(tmp_path / 'a.json', dict(long=full | dict(fps=75))))
    wanted = items(build(data, exclude_videos=['short', 'bare'], test_mode=True, **sampling))
    got = items(build(data, ann_file=file, test_mode=True, **sampling))
    assert len(got) == len(wanted) > 0
    for one, other in zip(got, wanted):
        assert torch.equal(one['inputs']['frames'], other['inputs']['frames'])
        assert one['data_samples'].time_grid == other['data_samples'].time_grid
    path = dict(path='frames/long')
    write_annotations(tmp_path / 'a.json', dict(long=full | path | dict(fps=75)))
    with pytest.raises(AnnotationError, match=r'100 / 75 = 1\.3 s, but "duration" is 4 s'):
        build(data, 'frames', ann_file=file, test_mode=True, **sampling)


@pytest.mark.parametrize('suffix', ['npy', 'npz'])
def test_features_of_two_modalities_stay_in_step(data, tmp_path, suffix):
    rng = np.random.default_rng(1)
    motion = {}
    for name in LENGTHS:
        stored = np.load(data / 'features' / f'{name}.npy')
        motion[name] = np.concatenate([stored[:, :1], rng.normal(size=(len(stored), 2))], axis=1)
        save = np.save if suffix == 'npy' else np.savez
        save(tmp_path / f'{name}.{suffix}', motion[name])
    second = dict(type='LoadFeatures', channels=3, key='motion_features', folder=str(tmp_path))
    crop = dict(type='RandomFeatureCrop', max_length=8, min_visible=0.1)
    pipeline = [PIPELINES['feature'][0], second, crop, PIPELINES['feature'][1]]
    dataset = build(data, 'feature', pipeline=pipeline)
    for item in dataset:
        inputs, sample = item['inputs'], item['data_samples']
        start, stop = sample.window
        wanted = motion[sample.video_id][start:stop].T
        np.testing.assert_allclose(inputs['motion_features'].numpy(), wanted, rtol=1e-6)
        assert (inputs['motion_features'][0] == inputs['features'][0]).all()
        assert sample.num_steps == stop - start <= 8
    np.save(tmp_path / 'long.npy', motion['long'][:-1])
    dataset = build(data, 'feature', pipeline=pipeline[:2] + pipeline[3:])
    with pytest.raises(VideoReadError, match=r'long\.npy have 21 steps, other features of video'):
        list(dataset)
    with pytest.raises(ValueError, match=r"LoadFeatures\.key must be one of .* got 'flow'"):
        build(data, 'feature', pipeline=[second | dict(key='flow')])


def test_wrong_features(data, tmp_path):
    database = {'long': video_entry(2, (1, 2, 'run'))}
    file = write_annotations(tmp_path / 'a.json', database)
    for name, content, words in [
        ('wide', np.zeros((10, 7)), r'shape \(10, 7\), wanted \(steps, 6\); set `channels`'),
        ('flat', np.zeros(10), r'shape \(10,\)'),
        ('empty', np.zeros((0, 6)), r'shape \(0, 6\)'),
        ('nan', np.full((10, 6), np.nan), 'hold NaN'),
        ('text', np.full((10, 6), 'a'), 'hold NaN, infinity or no numbers'),
    ]:
        np.save(tmp_path / f'{name}.npy', content)
        settings = dict(ann_file=str(file), data_prefix=dict(feature=str(tmp_path)))
        dataset = build(data, 'feature', template=name + '.npy', **settings)
        with pytest.raises(VideoReadError, match=rf'{name}\.npy .*{words}'):
            dataset[0]
    np.savez(tmp_path / 'two.npz', a=np.zeros((10, 6)), b=np.zeros((10, 6)))
    whole = (tmp_path / 'two.npz').read_bytes()
    (tmp_path / 'cut.npz').write_bytes(whole[:-80])
    (tmp_path / 'text.npy').write_text('no array')
    for name in ('two.npz', 'cut.npz', 'text.npy'):
        dataset = build(data, 'feature', template=name, **settings)
        with pytest.raises(VideoReadError, match=rf'{name} cannot be read .*extract them again'):
            dataset[0]


@pytest.mark.parametrize('cached', [False, True])
def test_unreadable_videos_are_skipped_in_training_only(data, tmp_path, log, cached):
    cut = tmp_path / 'videos' / 'cut.mp4'
    cut.parent.mkdir()
    cut.write_bytes((data / 'videos' / 'short.mp4').read_bytes()[:-700])
    database = {
        'cut': video_entry(0.8, (0.1, 0.6, 'run'), path=str(cut), frame=20),
        'long': video_entry(4, (1, 2, 'run'), path='videos/long.mp4', frame=100),
    }
    file = str(write_annotations(tmp_path / 'a.json', database))
    loader = dict(
        type='LoadVideoFrames',
        skip_unreadable=True,
        cache_dir=str(tmp_path / 'cache') if cached else None,
    )
    settings = dict(ann_file=file, window=50, pipeline=[loader, dict(type='PackTADInputs')])
    dataset = build(data, **settings)
    assert all(item['data_samples'].video_id == 'long' for item in items(dataset))
    assert dataset.pipeline.transforms[0].unreadable[str(cut)] >= 1
    warnings = [text for level, text in log if level == 'WARNING']
    assert 'skipped a window (1 so far, of 1 videos; ' in warnings[0] and 'cut.mp4' in warnings[0]
    with pytest.raises(VideoReadError, match=r'cut\.mp4 .*download or extract it again'):
        items(build(data, test_mode=True, **settings))


def test_a_training_without_a_readable_window_stops(data, tmp_path, log, monkeypatch):
    """The annotations say 30 s of a video of 0.8 s: no window can be read."""
    monkeypatch.setattr(loading, '_MOST_SKIPPED', 5)
    short = dict(path='videos/short.mp4', fps=25)
    database = {'short': video_entry(30, (10, 12, 'run'), frame=750, **short)}
    file = str(write_annotations(tmp_path / 'a.json', database))
    loader = dict(type='LoadVideoFrames', skip_unreadable=True)
    dataset = build(data, ann_file=file, pipeline=[loader, dict(type='PackTADInputs')])
    with pytest.raises(VideoReadError, match=r'5 windows in a row .* correct "duration"'):
        dataset[0]
    assert len([text for level, text in log if level == 'WARNING']) == 1


def test_cached_windows_equal_decoded_ones(data, tmp_path):
    settings = dict(sample_fps=10, window=12, overlap=0.5, test_mode=True)
    plain = build(data, pipeline=PIPELINES['video'], **settings)
    loader = dict(type='LoadVideoFrames', cache_dir=str(tmp_path / 'cache'))
    cached = build(data, pipeline=[loader, dict(type='PackTADInputs')], **settings)
    assert len(plain) == len(cached)
    for a, b in zip(items(plain), items(cached)):
        assert torch.equal(a['inputs']['frames'], b['inputs']['frames'])
    assert len(list((tmp_path / 'cache').iterdir())) == 3


def test_frame_folders_that_do_not_fit(data, tmp_path):
    folder = tmp_path / 'frames' / 'v'
    folder.mkdir(parents=True)
    for i, size in enumerate([(48, 64), (48, 64), (24, 32)]):
        cv2.imwrite(str(folder / f'img_{i + 1:05d}.jpg'), np.zeros((*size, 3), np.uint8))
    database = {'v': video_entry(3, (0, 2, 'run'), fps=1, path=str(folder), frame=3)}
    file = str(write_annotations(tmp_path / 'a.json', database))
    with pytest.raises(VideoReadError, match=r'different sizes .*\(24, 32\), \(48, 64\)'):
        build(data, 'frames', ann_file=file)[0]
    (folder / 'img_00002.jpg').write_bytes(b'')
    with pytest.raises(VideoReadError, match=r'img_00002\.jpg is damaged; extract'):
        build(data, 'frames', ann_file=file)[0]
    (folder / 'img_00002.jpg').unlink()
    with pytest.raises(VideoReadError, match=r'img_00002\.jpg is missing'):
        build(data, 'frames', ann_file=file)[0]


AUGMENTED = [
    dict(type='LoadVideoFrames', short_side=36),
    dict(type='RandomRotation', prob=0.5),
    dict(type='RandomSpatialCrop', size=32),
    dict(type='PhotometricDistortion'),
    dict(type='RandomHorizontalFlip'),
    dict(type='PackTADInputs'),
]


def _epoch(data: Path, seed: int) -> list[torch.Tensor]:
    dataset = dict(
        type='TADDataset', data_root=str(data), ann_file='video.json', window=30, overlap=0.8,
        pipeline=AUGMENTED,
    )  # fmt: skip
    loader = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=2,
            dataset=dataset,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='pseudo_collate'),
        ),
        seed=seed,
    )
    return [clip for batch in loader for clip in batch['inputs']['frames']]


def test_two_workers_and_a_seed(data):
    first, again, other = _epoch(data, 5), _epoch(data, 5), _epoch(data, 6)
    assert len(first) == len(again) == len(other) > 4
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not all(torch.equal(a, b) for a, b in zip(first, other))


def test_pickling(data):
    dataset = build(data, window=16, overlap=0.5, pipeline=PIPELINES['video'])
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[0]['inputs']['frames'], dataset[0]['inputs']['frames'])
    batch = pickle.loads(pickle.dumps(pseudo_collate([dataset[0], dataset[1]])))
    grid = batch['data_samples'][1].time_grid
    assert grid == dataset[1]['data_samples'].time_grid
    first = batch['inputs']['frames'][0][0].permute(1, 2, 0).numpy()
    assert number_of(first) == dataset[0]['data_samples'].window[0]
