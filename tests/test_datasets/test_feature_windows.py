"""Windows of features: which rows, times and ground truth they hold, and what a test merges."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from config_helpers import CONFIGS, build, load
from media_helpers import video_entry, write_annotations
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData

from mmtad_decomp.datasets import VideoReadError
from mmtad_decomp.datasets.feature_file import feature_steps, open_features
from mmtad_decomp.engine.hooks.model_fit_hook import can_be_learned
from mmtad_decomp.evaluation.metrics import TADMetric
from mmtad_decomp.models.heads.temporal_head import TemporalHead

FPS = 25
LENGTHS = dict(long=331, odd=101, exact=48, less=47, one=1)
GUIDES = CONFIGS.parent / 'docs/en/user_guides'


def duration_of(steps, stride, frames):
    """Seconds of a video whose last feature sees its last frame."""
    return ((steps - 1) * stride + frames) / FPS


def write(root, stride=4, frames=16, suffix='npy', lengths=LENGTHS, seed=0):
    """Features whose first channel is their step, and up to 12 random instances in each video."""
    rng, database = np.random.default_rng(seed), {}
    (root / 'features').mkdir(exist_ok=True)
    for name, steps in lengths.items():
        rows = rng.normal(size=(steps, 3)).astype('float32')
        rows[:, 0] = np.arange(steps)
        save = np.save if suffix == 'npy' else np.savez_compressed
        save(root / 'features' / f'{name}.{suffix}', rows)
        duration = duration_of(steps, stride, frames)
        begins = rng.uniform(0, duration * 0.98, min(12, steps))
        ends = np.minimum(begins + rng.uniform(0.1, 5, len(begins)), duration)
        if len(begins) > 1:
            begins[:2], ends[:2] = (0, duration - 0.7), (0.9, duration)
        labels = rng.choice(['a', 'b'], len(begins))
        instances = [(float(s), float(e), str(x)) for s, e, x in zip(begins, ends, labels)]
        database[name] = video_entry(duration, *instances)
    write_annotations(root / 'ann.json', database)
    return database


def dataset(root, window=48, stride=4, frames=16, pipeline=(), **settings):
    settings.setdefault('template', '{}.npy')
    steps = [dict(type='LoadFeatures', channels=3), *pipeline, dict(type='PackTADInputs')]
    return DATASETS.build(
        dict(
            type='TADDataset',
            ann_file='ann.json',
            data_root=str(root),
            source='feature',
            data_prefix=dict(feature='features'),
            window=window,
            feature_stride=stride,
            feature_frames=frames,
            pipeline=steps,
            metainfo=dict(classes=('a', 'b')),
            **settings,
        )
    )


def reference(database, lengths, window, overlap, stride, frames, min_visible):
    """Windows by brute force: ``{(video, first, stop): [instance, ...]}``.

    An edge of a window lies in the middle between two steps, but a video's first and last step
    show all their frames, where those reach further than half a stride.
    """
    wanted = {}
    for name, entry in database.items():
        steps = lengths[name]
        length = min(window, steps)
        starts, hop = [0], max(1, round(length * (1 - overlap)))
        while starts[-1] + length < steps:
            starts.append(min(starts[-1] + hop, steps - length))
        for start in starts:
            stop = start + length
            begin = (start * stride + frames / 2 - stride / 2) / FPS
            end = ((stop - 1) * stride + frames / 2 + stride / 2) / FPS
            if start == 0:
                begin = min(begin, 0)
            if stop == steps:
                end = max(end, ((steps - 1) * stride + frames) / FPS)
            kept = []
            for instance in entry['annotations']:
                s, e = instance['segment']
                inside = min(e, end) - max(s, begin)
                if inside > 0 and inside / (e - s) >= min_visible - 1e-9:
                    kept.append((max(s, begin), min(e, end), 'ab'.index(instance['label'])))
            wanted[name, start, stop] = sorted(kept)
    return wanted


@pytest.mark.parametrize('suffix', ['npy', 'npz'])
@pytest.mark.parametrize(
    ('stride', 'frames', 'window', 'overlap', 'min_visible'),
    [(4, 16, 48, 0.75, 0.75), (4, 16, 33, 0.5, 0.4), (16, 16, 48, 0, 1.0), (8, 4, 7, 0.3, 0.75)],
)
def test_windows_hold_their_rows_times_and_ground_truth(
    tmp_path, suffix, stride, frames, window, overlap, min_visible
):
    database = write(tmp_path, stride, frames, suffix)
    wanted = reference(database, LENGTHS, window, overlap, stride, frames, min_visible)
    settings = dict(template='{}.' + suffix, overlap=overlap, min_visible=min_visible)
    for test_mode in (True, False):
        found = {}
        data = dataset(tmp_path, window, stride, frames, test_mode=test_mode, **settings)
        for item in data:
            sample, rows = item['data_samples'], item['inputs']['features']
            start, stop = sample.window
            np.testing.assert_array_equal(rows[0], np.arange(start, stop))
            np.testing.assert_array_equal(rows, stored(tmp_path, sample.video_id)[start:stop].T)
            assert sample.num_steps == stop - start <= window
            for step in (0, stop - start - 1):
                seconds = ((start + step) * stride + frames / 2) / FPS
                assert sample.time_grid.to_seconds(step) == pytest.approx(seconds, abs=1e-9)
            truth = sample.gt_instances
            instances = zip(truth.segments.tolist(), truth.labels.tolist())
            found[sample.video_id, start, stop] = sorted((*s, label) for s, label in instances)
        assert len(found) == len(data), 'every window once'
        if test_mode:
            assert set(found) == set(wanted), 'every video to its end, and each alone where short'
            assert all(len(found[key]) == count_of(database, key) for key in found)
        else:
            assert set(found) == {key for key, kept in wanted.items() if kept}
            for key in found:
                np.testing.assert_allclose(found[key], wanted[key], atol=1e-9)


def stored(root, name):
    file = next((root / 'features').glob(f'{name}.*'))
    content = np.load(file)
    return content if file.suffix == '.npy' else content['arr_0']


def count_of(database, key):
    return len(database[key[0]]['annotations'])


@pytest.mark.parametrize('test_mode', [True, False])
def test_a_window_as_long_as_the_videos_changes_nothing(tmp_path, test_mode):
    write(tmp_path)
    # However little of an instance can be seen: all of it can, where features cover the video.
    whole = dataset(tmp_path, None, test_mode=test_mode)
    cut = dataset(tmp_path, 331, test_mode=test_mode, min_visible=1.0 - 1e-9)
    assert len(whole) == len(cut) == len(LENGTHS)
    for a, b in zip(whole, cut):
        assert torch.equal(a['inputs']['features'], b['inputs']['features'])
        first, second = a['data_samples'], b['data_samples']
        assert (first.window, first.time_grid) == (second.window, second.time_grid)
        got, wanted = second.gt_instances, first.gt_instances
        torch.testing.assert_close(got.segments, wanted.segments, atol=1e-9, rtol=0)
        assert torch.equal(got.labels, wanted.labels)


@pytest.mark.parametrize('more', [-1, 1])
def test_the_file_says_how_many_steps_there_are(tmp_path, more):
    """The annotation's duration is that of one step more, or one less."""
    database = write(tmp_path)
    lengths = {name: steps + more for name, steps in LENGTHS.items() if steps > 1}
    for name in lengths:
        rows = np.zeros((lengths[name], 3), 'float32')
        rows[:, 0] = np.arange(len(rows))
        np.save(tmp_path / 'features' / f'{name}.npy', rows)
    del database['one']
    write_annotations(tmp_path / 'ann.json', database)
    seen = {name: set() for name in lengths}
    for item in dataset(tmp_path, test_mode=True):
        sample = item['data_samples']
        seen[sample.video_id] |= set(item['inputs']['features'][0].int().tolist())
        assert sample.num_steps == min(48, lengths[sample.video_id])
    assert seen == {name: set(range(steps)) for name, steps in lengths.items()}
    wanted = reference(database, lengths, 48, 0.75, 4, 16, 0.75)
    got = {(s.video_id, *s.window): s for s in (x['data_samples'] for x in dataset(tmp_path))}
    assert set(got) == {key for key, kept in wanted.items() if kept}
    for key, sample in got.items():
        segments = sorted(map(tuple, sample.gt_instances.segments.tolist()))
        np.testing.assert_allclose(segments, [row[:2] for row in wanted[key]], atol=1e-9)


def test_two_modalities_are_cut_alike(tmp_path):
    write(tmp_path)
    motion = tmp_path / 'motion'
    motion.mkdir()
    for name, steps in LENGTHS.items():
        save = np.save if name == 'odd' else np.savez
        save(motion / name, np.arange(steps * 2.0).reshape(steps, 2))
    second = dict(type='LoadFeatures', channels=2, key='motion_features', folder=str(motion))
    crop = dict(type='RandomFeatureCrop', max_length=11, min_visible=0.1)
    for pipeline in ([second], [second, crop], [crop, second]):
        np.random.seed(0)
        for item in dataset(tmp_path, pipeline=pipeline):
            inputs, sample = item['inputs'], item['data_samples']
            steps = np.arange(*sample.window)
            np.testing.assert_array_equal(inputs['features'][0], steps)
            np.testing.assert_array_equal(inputs['motion_features'][0], steps * 2)
            assert sample.num_steps == len(steps) <= (11 if crop in pipeline else 48)
            centre = (steps[0] * 4 + 8) / FPS
            assert sample.time_grid.to_seconds(0) == pytest.approx(centre, abs=1e-9)
    np.save(motion / 'odd.npy', np.zeros((102, 2)))
    pattern = r'odd\.npy have 102 steps, other features of video "odd" 101; extract all of them'
    with pytest.raises(VideoReadError, match=pattern):
        list(dataset(tmp_path, pipeline=[second]))


def test_what_cannot_be_cut(tmp_path):
    write(tmp_path)
    resize = [dict(type='ResizeFeatures', steps=16)]
    with pytest.raises(ValueError, match='ResizeFeatures resizes whole videos; leave `window`'):
        dataset(tmp_path, pipeline=resize)
    assert len(dataset(tmp_path, None, pipeline=resize)[0]['inputs']['features'][0]) == 16
    with pytest.raises(ValueError, match='LoadOpticalFlow goes with frames'):
        dataset(tmp_path, pipeline=[dict(type='LoadOpticalFlow', folder='flow', frames={})])
    changed = dataset(tmp_path, test_mode=True)
    np.save(tmp_path / 'features' / 'odd.npy', np.zeros((60, 3)))
    with pytest.raises(VideoReadError, match=r'odd\.npy have 60 steps, other features .* 101;'):
        list(changed)


@pytest.mark.parametrize('suffix', ['npy', 'npz'])
def test_files_that_cannot_be_cut_are_named_at_once(tmp_path, suffix):
    write(tmp_path, suffix=suffix)
    file, save = tmp_path / 'features' / f'odd.{suffix}', np.save if suffix == 'npy' else np.savez
    for content in (np.zeros(5), np.zeros((0, 3))):
        save(file, content)
        words = rf'odd\.{suffix} have shape {re.escape(str(content.shape))}, wanted \(steps'
        with pytest.raises(VideoReadError, match=words):
            dataset(tmp_path, template='{}.' + suffix)
    save(file, np.zeros((101, 3)))
    whole = file.read_bytes()
    unclosed, negative = (whole.replace(b'(101, 3)', new) for new in (b'(101, 3,', b'(-10, 3)'))
    for damaged in (whole[: len(whole) // 2], b'', b'no array', whole[:20], unclosed, negative):
        file.write_bytes(damaged)
        words = rf'odd\.{suffix} (cannot be read|have shape \(-10, 3\)).*extract them again'
        with pytest.raises(VideoReadError, match=words):
            dataset(tmp_path, template='{}.' + suffix)


def test_a_header_tells_the_steps(tmp_path):
    """Of .npz too, whose member is compressed; rows in Fortran's order are rows all the same."""
    rows = np.arange(60.0).reshape(20, 3)
    np.save(tmp_path / 'a.npy', np.asfortranarray(rows))
    np.savez_compressed(tmp_path / 'b.npz', feats=rows, other=np.zeros(3))
    with open(tmp_path / 'c.npy', 'wb') as file:
        np.lib.format.write_array(file, rows, version=(2, 0))
    for path in map(str, sorted(tmp_path.iterdir())):
        assert feature_steps(path) == 20
        np.testing.assert_array_equal(open_features(path)[3:9], rows[3:9])
    np.savez(tmp_path / 'two.npz', a=rows, b=rows)
    with pytest.raises(VideoReadError, match='which one is "feats"'):
        feature_steps(str(tmp_path / 'two.npz'))


def test_instances_late_in_a_window_can_be_learned(tmp_path):
    """The window's length is in steps of features, not in frames."""
    lengths = dict(v=200)
    write(tmp_path, lengths=lengths)
    encoder = dict(embed_dims=8, num_stem_layers=0)
    head = dict(type='ActionFormerHead', num_classes=2, in_channels=3, num_levels=2)
    detector = MODELS.build(dict(type='TADDetector', head=dict(head, encoder=encoder)))
    info = dataset(tmp_path, 200, test_mode=True).get_data_info(0)
    grid = info['time_grid']
    for step, wanted in ((10, True), (190, True), (230, False)):
        segment = np.array([[grid.to_seconds(step - 2), grid.to_seconds(step + 2)]])
        assert can_be_learned(detector, {**info, 'segments': segment}) == [wanted], step


@MODELS.register_module()
class RunHead(TemporalHead):
    """A head that returns the runs of equal numbers > 0 in the second channel of a window."""

    title = 'runs'

    def forward(self, feats, masks):
        return feats, masks

    def loss_by_feat(self, outputs, gt):
        raise NotImplementedError

    def dense_predictions(self, outputs):
        raise NotImplementedError

    def predict_by_feat(self, outputs):
        found = []
        for feats, mask in zip(*outputs):
            numbers = feats[1, mask].round().int().tolist()
            rows = {}
            for step, number in enumerate(numbers):
                if number:
                    rows.setdefault(number, []).append(step)
            segments = [[steps[0] - 0.5, steps[-1] + 0.5] for steps in rows.values()]
            found.append(
                InstanceData(
                    segments=torch.tensor(segments).reshape(-1, 2),
                    scores=torch.tensor([len(steps) / 1000 for steps in rows.values()]),
                    labels=torch.tensor([number % 2 for number in rows], dtype=torch.int64),
                )
            )
        return found


def write_runs(root, lengths, longest, stride, frames, seed):
    """Features that show instances of up to ``longest`` steps, and the seconds of these."""
    rng, database = np.random.default_rng(seed), {}
    (root / 'features').mkdir()
    for name, steps in lengths.items():
        rows, duration = np.zeros((steps, 3), 'float32'), duration_of(steps, stride, frames)
        instances, step = [], int(rng.integers(0, 5))
        while step < steps:
            stop = min(step + int(rng.integers(1, longest + 1)), steps)
            rows[step:stop, 1] = number = len(instances) + 1
            begin = (step * stride + frames / 2 - stride / 2) / FPS
            end = ((stop - 1) * stride + frames / 2 + stride / 2) / FPS
            instances.append((max(begin, 0.0), min(end, duration), 'ab'[number % 2]))
            step = stop + int(rng.integers(2, 9))
        np.save(root / 'features' / f'{name}.npy', rows)
        database[name] = video_entry(duration, *instances)
    write_annotations(root / 'ann.json', database, classes=['a', 'b'])
    return database


def detections(root, post_processor, stride, frames, **settings):
    """Detections of all videos, and the tested windows, by a detector with the head above."""
    modality = dict(type='FeatureInput')
    model = MODELS.build(
        dict(
            type='TADDetector',
            data_preprocessor=dict(type='TADDataPreprocessor', modality=modality),
            head=dict(type='RunHead', num_classes=2, in_channels=3),
        )
    ).eval()
    metric = TADMetric(str(root / 'ann.json'), classes=['a', 'b'], post_processor=post_processor)
    data = dataset(root, stride=stride, frames=frames, test_mode=True, **settings)
    order = np.random.default_rng(0).permutation(len(data))
    for batch in np.array_split(order, max(1, len(order) // 4)):
        samples = model.test_step(pseudo_collate([data[int(i)] for i in batch]))
        metric.process(None, [sample.to_dict() for sample in samples])
    return metric.merge_windows(metric.results), metric.results


@pytest.mark.parametrize(
    ('stride', 'frames', 'window', 'overlap'),
    [(4, 16, 48, 0.5), (16, 16, 33, 0.6), (8, 4, 25, 0.7)],
)
def test_windows_are_merged_at_the_right_seconds(tmp_path, stride, frames, window, overlap):
    """Each instance lies whole in a window; parts of it elsewhere score less, so they go."""
    longest = window - max(1, round(window * (1 - overlap)))
    lengths = dict(long=331, odd=101, less=window - 1)
    database = write_runs(tmp_path, lengths, longest, stride, frames, seed=0)
    nms = dict(type='PostProcessor', score_thr=0, nms=dict(type='nms', iou_thr=0.01))
    found, windows = detections(tmp_path, nms, stride, frames, window=window, overlap=overlap)
    assert len(windows) > len(lengths) + 5
    for name, entry in database.items():
        got = sorted(zip(found[name].segments.tolist(), found[name].labels.tolist()))
        wanted = [(x['segment'], 'ab'.index(x['label'])) for x in entry['annotations']]
        assert [label for _, label in got] == [label for _, label in wanted]
        np.testing.assert_allclose([s for s, _ in got], [s for s, _ in wanted], atol=1e-6)
    for result in windows:
        start, stop = result.window
        shift = frames / 2 - stride / 2
        wanted = [(start * stride + shift) / FPS, (stop * stride + shift) / FPS]
        np.testing.assert_allclose(result.span, wanted, atol=1e-9)


def test_what_the_borders_of_windows_cut_is_joined(tmp_path):
    """Instances longer than windows, whose parts end less than 0.01 s off the borders."""
    database = write_runs(tmp_path, dict(long=331, odd=101), 90, 4, 16, seed=3)
    lengths = [np.ptp(x['segment']) for entry in database.values() for x in entry['annotations']]
    assert max(lengths) > 2 * 33 * 4 / FPS
    joined = dict(type='PostProcessor', score_thr=0, nms=None, join_tolerance=0.01)
    found, _ = detections(tmp_path, joined, 4, 16, window=33, overlap=0.3)
    for name, entry in database.items():
        got = {tuple(segment) for segment in found[name].segments.round(3).tolist()}
        wanted = np.array([x['segment'] for x in entry['annotations']])
        assert {tuple(segment) for segment in wanted.round(3).tolist()} <= got


def guide_config(name, root):
    """The config of a guide for features of THUMOS'14, on features that are generated."""
    text = (GUIDES / f'{name}.md').read_text(encoding='utf-8')
    blocks = re.findall(r'```python\n(.*?)```', text, flags=re.S)
    [block] = [b for b in blocks if 'actionformer_features_thumos.py' in b]
    file = root / f'{name}.py'
    file.write_text(block.replace('mmtad_decomp::', f'{CONFIGS}/'))
    return Config.fromfile(file)


@pytest.fixture(scope='module')
def thumos(tmp_path_factory):
    """Three videos with features of 2048 channels; the third is shorter than any window."""
    root = tmp_path_factory.mktemp('thumos')
    (root / 'i3d').mkdir()
    rng, database = np.random.default_rng(0), {}
    classes = load('baseline/actionformer_features_thumos.py').classes
    for name, steps in (('train', 700), ('test', 530), ('tiny', 90)):
        np.save(root / 'i3d' / f'{name}.npy', rng.normal(size=(steps, 2048)).astype('float32'))
        begins = rng.uniform(0, steps * 4 / FPS - 6, 4)
        instances = [(float(t), float(t) + 5, str(rng.choice(classes))) for t in begins]
        subset = 'training' if name == 'train' else 'validation'
        duration = duration_of(steps, 4, 16)
        database[name] = video_entry(duration, *instances, subset=subset)
    write_annotations(root / 'annotations.json', database)
    return root


@pytest.mark.parametrize(
    ('name', 'window', 'overlaps', 'small'),
    [
        (
            'gtad',
            320,
            (0.5, 0.5),
            dict(channels=32, map_branch=dict(align_channels=16, map_channels=8)),
        ),
        (
            'tadtr',
            256,
            (0.75, 0.25),
            dict(embed_dims=32, hidden_dims=32, num_encoder_layers=1, num_decoder_layers=2),
        ),
    ],
)
def test_the_guides_train_and_test_on_windows(tmp_path, thumos, name, window, overlaps, small):
    config = guide_config(name, tmp_path)
    train, test = (
        DATASETS.build({**loader.dataset, 'data_root': str(thumos)})
        for loader in (config.train_dataloader, config.test_dataloader)
    )
    assert (train.window, test.window) == (window, window)
    assert (train.overlap, test.overlap) == overlaps
    config.model.head.update(small)
    model = build(config.model)
    model.train()
    batch = model.data_preprocessor(pseudo_collate([train[0], train[1]]), training=True)
    assert batch['inputs'].shape == (2, 2048, window)
    loss, _ = model.parse_losses(model(**batch, mode='loss'))
    loss.backward()
    assert torch.isfinite(loss) and all(
        torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None
    )
    model.eval()
    metric = TADMetric(
        str(thumos / 'annotations.json'),
        subset='validation',
        classes=config.classes,
        post_processor=dict(type='PostProcessor', score_thr=0),
    )
    spans = {}
    with torch.no_grad():
        for item in test:
            [sample] = model.test_step(pseudo_collate([item]))
            metric.process(None, [sample.to_dict()])
            spans.setdefault(sample.video_id, []).append(sample.window)
            begin, end = sample.time_grid.edges(0, sample.num_steps)
            middles = sample.pred_instances.segments.mean(dim=1)
            assert len(middles) and begin <= middles.min() and middles.max() <= end
    hop = round(window * (1 - overlaps[1]))
    starts = [*range(0, 530 - window, hop), 530 - window]
    assert spans == dict(test=[(s, s + window) for s in starts], tiny=[(0, 90)])
    found = metric.merge_windows(metric.results)
    assert set(found) == {'test', 'tiny'} and all(len(d.scores) for d in found.values())
    longest = json.loads((Path(thumos) / 'annotations.json').read_text())['database']
    for video, detections in found.items():
        assert detections.segments.max() <= longest[video]['duration']
