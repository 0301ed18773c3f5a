"""TADInferencer finds in a video what a test finds in it, whatever the video is stored as."""

import copy
import json
import os
import pickle
import threading
import time

import cv2
import numpy as np
import pytest
import torch
from clock_videos import picture, record
from inference_helpers import CLASSES, annotate, publish_tiny, tiny_config, train
from mmengine.config import Config

from mmtad_decomp.apis import (
    ExportError,
    InputError,
    ModelError,
    TADInferencer,
    VideoInput,
    load_model_source,
    tad_inferencer,
)
from mmtad_decomp.apis.publishing import publish
from mmtad_decomp.datasets import VideoReadError
from mmtad_decomp.utils import CheckpointError, OutputPathError
from tools import test as test_tool


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return publish_tiny(tmp_path_factory.mktemp('model'))


@pytest.fixture(scope='module')
def inferencer(model):
    return TADInferencer(model, device='cpu', show_progress=False)


def columns(detections):
    segments = np.array([d['segment'] for d in detections]).reshape(-1, 2)
    return segments, np.array([d['score'] for d in detections]), [d['label'] for d in detections]


def same(first, second):
    for a, b in zip(columns(first)[:2], columns(second)[:2]):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)
    assert columns(first)[2] == columns(second)[2]


@pytest.mark.parametrize('batch_size', [1, 3])
def test_detections_are_those_of_a_test(tmp_path, model, inferencer, batch_size):
    frames = {'long': 143, 'short': 11, 'window': 40}
    for name, count in frames.items():
        record(tmp_path / f'{name}.mp4', range(count))
    videos = {name: (f'{name}.mp4', count / 25, 25) for name, count in frames.items()}
    annotate(tmp_path, videos)
    dumped = tmp_path / 'dumped.json'
    options = [
        f'test_dataloader.dataset.data_root={tmp_path}',
        f'test_evaluator.ann_file={tmp_path / "annotations.json"}',
    ]
    test_tool.main(
        [f'{model}.py', f'{model}.pth', '--work-dir', str(tmp_path / 'work')]
        + ['--dump-json', str(dumped), '--cfg-options', *options]
    )
    wanted = json.loads(dumped.read_text())['results']
    found = inferencer([str(tmp_path / f'{name}.mp4') for name in frames], batch_size=batch_size)
    assert [p['video_id'] for p in found['predictions']] == list(frames)
    for prediction in found['predictions']:
        expected = wanted[prediction['video_id']]
        assert len(expected) > 10
        same(prediction['detections'], expected)
        assert prediction['duration'] == pytest.approx(frames[prediction['video_id']] / 25)


def test_predictions_are_plain_and_limited(tmp_path, inferencer):
    video = record(tmp_path / 'v.mp4', range(60))
    result = inferencer(video, score_thr=0.2, top_k=3)
    (prediction,) = result['predictions']
    assert json.loads(json.dumps(prediction)) == prediction
    scores = [d['score'] for d in prediction['detections']]
    assert scores == sorted(scores, reverse=True) and len(scores) <= 3 and min(scores) >= 0.2
    assert {d['label'] for d in prediction['detections']} <= set(CLASSES)
    everything = inferencer(video)['predictions'][0]['detections']
    assert everything[: len(scores)] == prediction['detections']
    options = dict(batch_size=(0, 1.5), top_k=(0, 2.5), score_thr=(20,), frame_rate=(0,))
    options['key_frames'] = (-1, 2.5)
    for wrong in ({name: value} for name, values in options.items() for value in values):
        with pytest.raises(InputError, match=f'{next(iter(wrong))} must be'):
            inferencer(video, **wrong)
    for wrong in (np.zeros((2, 4, 4, 3)), b'video', None, [3]):
        with pytest.raises(InputError, match='an input is a path or an address, not'):
            inferencer(wrong)
    (sample,) = inferencer(video, return_datasamples=True)['predictions']
    assert len(sample.pred_instances.scores) == len(everything)


def test_a_bound_that_cuts_what_was_asked_for_is_named(tmp_path, model, monkeypatch):
    """Once for each video; not where a lower score, or fewer detections, are asked for."""
    warned = []
    monkeypatch.setattr(tad_inferencer, 'print_log', lambda text, **_: warned.append(text))
    config = Config.fromfile(f'{model}.py')
    config.test_evaluator.post_processor.max_per_video = 20
    bounded = TADInferencer(config, f'{model}.pth', device='cpu', show_progress=False)
    video = str(record(tmp_path / 'v.mp4', range(60)))
    scores = [d['score'] for d in bounded(video)['predictions'][0]['detections']]
    bounded(video, score_thr=0.01, top_k=5)
    bounded(video, score_thr=scores[-1] + 1e-6)
    assert not warned
    bounded(video, score_thr=0.01)
    (warning,) = warned
    assert 'v.mp4: ' in warning and f'below a score of {scores[-1]:.3f} may be missing' in warning
    assert 'Raise `test_evaluator.post_processor.max_per_video`' in warning
    config.test_evaluator.post_processor.max_per_video = 100_000
    free = TADInferencer(config, f'{model}.pth', device='cpu', show_progress=False)
    assert len(free(video, score_thr=0.01)['predictions'][0]['detections']) > 20
    assert len(warned) == 1


def test_the_network_runs_for_one_thread_at_a_time(inferencer, monkeypatch):
    """It writes the length of the windows into its temporal shifts."""
    running, seen = [], []

    def step(inputs):
        running.append(inputs)
        seen.append(len(running))
        time.sleep(0.02)
        running.pop()

    monkeypatch.setattr(inferencer.model, 'test_step', step)
    threads = [threading.Thread(target=inferencer.forward, args=({},)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1, 1, 1, 1]


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_find_the_same_and_wait_for_themselves_alone(tmp_path, inferencer, copied):
    video = str(record(tmp_path / 'v.mp4', range(30)))
    with inferencer._network_lock:
        other = copied(inferencer)
        found = other(video)['predictions']
    assert found[0]['detections'] and found == inferencer(video)['predictions']


def test_a_folder_of_frames_is_a_video(tmp_path, inferencer):
    (tmp_path / 'frames').mkdir()
    for number in range(75):
        # Without leading zeros: the order is that of the numbers.
        image = picture(number)
        assert cv2.imwrite(str(tmp_path / 'frames' / f'{number}.png'), image)
    video = record(tmp_path / 'v.mkv', range(75), codec='ffv1', pix_fmt='bgr0')
    folder, file = (
        inferencer(str(path), frame_rate=25)['predictions'][0]
        for path in (tmp_path / 'frames', video)
    )
    assert folder['duration'] == pytest.approx(3.0) == file['duration']
    # Scaling differs a little between images and videos.
    best = columns(folder['detections'])[1][:5], columns(file['detections'])[1][:5]
    np.testing.assert_allclose(*best, atol=0.05)
    with pytest.raises(VideoReadError, match='frame_rate'):
        inferencer(str(tmp_path / 'frames'))


def test_a_broken_video_is_reported_and_the_rest_go_on(tmp_path, inferencer):
    good = record(tmp_path / 'good.mp4', range(50))
    (tmp_path / 'broken.mp4').write_bytes(good.read_bytes()[:900])
    inputs = [tmp_path / 'broken.mp4', good]
    with pytest.raises(VideoReadError, match='broken'):
        inferencer(inputs)
    inputs.insert(0, record(tmp_path / 'text.mp4', range(2)))
    inputs[0].write_text('no video')
    result = inferencer(inputs, skip_broken=True)
    assert [p['video_id'] for p in result['predictions']] == ['good']
    assert list(result['errors']) == [str(path) for path in inputs[:2]]
    assert all(path in sentence for path, sentence in result['errors'].items())


@pytest.mark.parametrize('size', [(48, 80), (64, 64)])
def test_an_upright_or_square_video_suits_a_wide_crop(tmp_path, inferencer, size):
    video = record(tmp_path / 'v.mp4', range(50), size=size)
    assert inferencer(str(video))['predictions'][0]['detections']


def test_long_names_are_written_and_longer_ones_refused_before_the_work(tmp_path, inferencer):
    name = 'é' * 125
    video = record(tmp_path / f'{name}.mp4', range(10))
    result = inferencer(video, vis_out_dir=str(tmp_path / 'out'))
    assert result['visualization'] is None  # pictures of many videos would fill the memory
    assert [file.name for file in (tmp_path / 'out').iterdir()] == [f'{name}.png']
    with pytest.raises(InputError, match='its name is too long'):
        inferencer(VideoInput(str(video), 'x' * 252), vis_out_dir=str(tmp_path))


def test_an_input_is_not_overwritten(tmp_path, inferencer):
    video = record(tmp_path / 'v.mp4', range(10))
    content = video.read_bytes()
    for option in (dict(vid_out_dir=str(tmp_path)), dict(pred_out_file=str(video))):
        with pytest.raises(InputError, match=r'v\.mp4 would overwrite the input'):
            inferencer(video, **option)
    assert video.read_bytes() == content


@pytest.mark.parametrize(
    ('option', 'error', 'sentence'),
    [
        (dict(pred_out_file='out.txt'), ExportError, 'out.txt: unknown ending'),
        (dict(pred_out_file='out.vtt'), ExportError, 'holds one video, there are 2'),
        (dict(pred_out_file='text/out.csv'), OutputPathError, 'pred_out_file .*is no folder'),
        (dict(vis_out_dir='text'), OutputPathError, 'vis_out_dir text/b.png: .*is no folder'),
        (dict(vid_out_dir='text/x'), OutputPathError, 'vid_out_dir text/x/b.mp4: .*is no folder'),
        (dict(vis_out_dir='taken'), InputError, 'taken/b.png is a folder; name another place'),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_work(
    tmp_path, inferencer, monkeypatch, option, error, sentence
):
    monkeypatch.chdir(tmp_path)
    for name in ('a.mp4', 'b.mp4'):
        record(tmp_path / name, range(5))
    (tmp_path / 'taken/b.png').mkdir(parents=True)
    (tmp_path / 'text').touch()
    seen = []
    monkeypatch.setattr(TADInferencer, 'detect', lambda self, video, *_: seen.append(video))
    with pytest.raises(error, match=sentence):
        inferencer(['a.mp4', 'b.mp4'], **option)
    assert not seen and len([*tmp_path.rglob('*')]) == 5


def test_results_are_written_before_pictures(tmp_path, inferencer, monkeypatch):
    video, out = record(tmp_path / 'v.mp4', range(20)), tmp_path / 'out.json'

    def fill_up(*arguments):
        raise OSError('the disk is full')

    monkeypatch.setattr('mmtad_decomp.visualization.save_figure', fill_up)
    with pytest.raises(OSError, match='the disk is full'):
        inferencer(video, vis_out_dir=str(tmp_path), pred_out_file=str(out))
    assert json.loads(out.read_text())['results']['v']
    (picture,) = inferencer(video, return_vis=True)['visualization']
    assert picture.ndim == 3


def test_blocks_give_nearly_the_same_as_the_whole(tmp_path, model):
    video = record(tmp_path / 'v.mp4', range(400))
    whole, parts = (
        TADInferencer(model, device='cpu', show_progress=False, block=block)(video, score_thr=0.3)
        for block in (600.0, 4.0)
    )
    whole, parts = (r['predictions'][0]['detections'] for r in (whole, parts))
    segments = columns(parts)[0]
    assert len(whole) > 10
    # A network with random weights finds noise, which suppresses itself in chains across borders.
    distances = np.abs(columns(whole)[0][:, None] - segments).max(axis=2)
    assert (distances.min(axis=1) < 0.02).mean() > 0.9


def test_every_kind_of_name_leads_to_the_model(tmp_path, monkeypatch):
    work = tmp_path / 'work_dirs' / 'kind' / 'trained'
    path, weights = train(tiny_config(), work)
    config = tmp_path / 'kind' / 'trained.py'
    config.parent.mkdir()
    config.write_text(path.read_text())
    monkeypatch.chdir(tmp_path)
    for model, given in (
        (work, None),
        (weights, None),
        (config, None),
        (config, weights),
        (config, work),
    ):
        source = load_model_source(model, given)
        assert source.classes == CLASSES
        assert source.weights is not None and os.path.samefile(source.weights, weights)
        assert source.config.model.type == 'TADDetector'


def test_a_student_is_loaded_without_its_teacher(tmp_path):
    prefix = publish_tiny(tmp_path, 'decomp')
    trained = TADInferencer(tmp_path / 'work', device='cpu', show_progress=False)
    published = TADInferencer(prefix, device='cpu', show_progress=False)
    names = {name for name, _ in trained.model.named_modules()}
    assert not any('teacher' in name or 'shared_head' in name for name in names)
    video = record(tmp_path / 'v.mp4', range(50))
    same(*(i(video)['predictions'][0]['detections'] for i in (trained, published)))


def test_a_half_published_model_detects_the_same(tmp_path):
    path, weights = train(tiny_config(), tmp_path / 'work')
    publish(str(path), str(weights), str(tmp_path / 'whole'))
    publish(str(path), str(weights), str(tmp_path / 'half'), half=True)
    sizes = [(tmp_path / f'{name}.pth').stat().st_size for name in ('whole', 'half')]
    assert sizes[1] < 0.6 * sizes[0]
    video = record(tmp_path / 'v.mp4', range(50))
    whole, half = (
        TADInferencer(tmp_path / name, device='cpu', show_progress=False)(video)
        for name in ('whole', 'half')
    )
    first, second = (columns(r['predictions'][0]['detections'])[1][:10] for r in (whole, half))
    np.testing.assert_allclose(first, second, atol=5e-3)


def test_wrong_models_are_refused_in_one_sentence(tmp_path):
    path, weights = train(tiny_config(), tmp_path / 'work')
    content = torch.load(weights, weights_only=True)
    other = dict(content, meta=dict(dataset_meta=dict(classes=['bin', 'lay', 'place', 'sit'])))
    torch.save(other, tmp_path / 'other.pth')
    with pytest.raises(ModelError, match="label 3 is 'sit'"):
        load_model_source(path, tmp_path / 'other.pth')
    config = Config.fromfile(path)
    config.model.data_preprocessor.modality = dict(type='TemporalGradientInput')
    with pytest.raises(ModelError, match='trained with RGBInput, the config asks for Temporal'):
        load_model_source(config, weights)
    with pytest.raises(ModelError, match=r'device cuda:99 cannot be used .*; leave it out'):
        TADInferencer(path, weights, device='cuda:99')
    torch.save(dict(state_dict=content['state_dict']), tmp_path / 'bare.pth')
    with pytest.raises(ModelError, match='does not hold its config'):
        load_model_source(tmp_path / 'bare.pth')
    with pytest.raises(ModelError, match='did you mean decomp_actionformer_tsm18_fir'):
        load_model_source('decomp_actionformer_tsm18_fire')
    with pytest.raises(ModelError, match='has no weights'):
        load_model_source(
            'baseline_actionformer_tsm18_salads_none'.replace('_salads_none', '_fir')
        )


@pytest.mark.parametrize('kind', ['baseline', 'decomp'])
def test_a_config_of_another_network_is_refused(tmp_path, kind):
    """Weights fit any number of attention heads; settings of the training are of no account."""
    prefix = 'model.student.detector' if kind == 'decomp' else 'model'
    config, given = tiny_config(kind), tiny_config(kind)
    config.merge_from_dict({f'{prefix}.head.encoder.num_heads': 2})
    path, weights = train(config, tmp_path / 'work')
    config.merge_from_dict({f'{prefix}.head.encoder.drop_path': 0.5, f'{prefix}.head.nms_pre': 7})
    assert load_model_source(config, weights).classes == CLASSES
    message = (
        rf'with another network .*: {prefix}\.head\.encoder\.num_heads was 2 and is None; name'
    )
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model_source(given, weights)
    assert '--cfg-options' not in str(caught.value)
    publish(str(path), str(weights), str(tmp_path / 'tiny'))
    assert load_model_source(path, tmp_path / 'tiny.pth').classes == CLASSES
    with pytest.raises(CheckpointError, match=message):
        load_model_source(given, tmp_path / 'tiny.pth')
    for own in (weights, tmp_path / 'work', tmp_path / 'tiny'):
        load_model_source(own)


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [
        ('baseline/actionformer_features_salads.py', 'features of 128 channels'),
        ('teacher/actionformer_tsm18_fir_of.py', 'optical flow'),
        ('mixin/bmn_activitynet_baseline.py', 'ActivityNetDataset'),
    ],
)
def test_models_that_read_no_frames_are_refused(name, sentence):
    from inference_helpers import ROOT
    from mmengine.config import Config

    from mmtad_decomp.apis.window_pipeline import WindowPipeline

    with pytest.raises(ModelError, match=sentence):
        WindowPipeline(Config.fromfile(ROOT / 'configs' / name))


def test_a_class_agnostic_model_names_actions(tmp_path):
    config = tiny_config()
    config.model.head.num_classes = 1
    config.test_evaluator.post_processor.update(
        classifier=dict(type='ExternalClassifier', path='nowhere.json'), max_proposals=5
    )
    path, _ = train(config, tmp_path / 'work')
    inferencer = TADInferencer(path, tmp_path / 'work', device='cpu', show_progress=False)
    video = record(tmp_path / 'v.mp4', range(50))
    detections = inferencer(video)['predictions'][0]['detections']
    assert detections and {d['label'] for d in detections} == {'action'}
