"""Time lines: what is drawn, the visualiser and the command line."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmengine.visualization import LocalVisBackend

from mmtad_decomp.apis.pictures import draw_result
from mmtad_decomp.apis.results import VideoResult
from mmtad_decomp.apis.video_inputs import VideoInput
from mmtad_decomp.evaluation import write_submission
from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.structures import TADDataSample
from mmtad_decomp.visualization import (
    TADVisualizer,
    draw_overview,
    draw_timeline,
    draw_window,
    figure_to_image,
    save_figure,
    score_curve,
)
from mmtad_decomp.visualization.timeline import lanes_of
from tools.command_line import run_main

CLASSES = ('walk', 'sit down', 'fall')


def detections(*rows):
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return Detections(table[:, :2], table[:, 2], table[:, 3].astype(np.int64))


def example(**options):
    found = detections((1, 5, 0.9, 0), (2, 6, 0.5, 0), (50, 60, 0.05, 2))
    return draw_timeline([[1, 4], [20, 30]], [0, 1], found_by(found), CLASSES, 100.0, **options)


def found_by(found):
    return {'baseline': found, 'decomposed': detections()}


def row_names(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_one_panel_per_model_and_one_row_per_class_that_occurs():
    figure = example(title='a video')
    assert len(figure.axes) == 2
    assert [axes.get_title(loc='left') for axes in figure.axes] == ['baseline', 'decomposed']
    assert all(row_names(axes) == ['walk', 'sit down'] for axes in figure.axes)
    assert figure.axes[0].get_xlim() == (0, 100)
    assert row_names(example(score_thr=0.0).axes[0]) == list(CLASSES)
    # The first row's ground truth and its two detections; then the second row.
    assert [len(row.get_paths()) for row in figure.axes[0].collections] == [1, 2, 1, 0]
    best = example(max_detections=1).axes[0].collections
    assert [len(row.get_paths()) for row in best] == [1, 1, 1, 0]
    # The worse detection lies below; each is as opaque as its score.
    detected = figure.axes[0].collections[1]
    np.testing.assert_allclose(detected.get_facecolor()[:, 3], [0.12 + 0.44, 0.12 + 0.792])
    boxes = [path.get_extents() for path in detected.get_paths()]
    np.testing.assert_allclose([(box.x0, box.x1) for box in boxes], [(2, 6), (1, 5)])


def test_overview_fills_the_best_detections_that_hit():
    found = detections((1, 4, 0.9, 0), (20, 24, 0.8, 1), (60, 70, 0.7, 2))
    frames = [(25.0, np.zeros((4, 8, 3), np.uint8)), (75.0, np.zeros((4, 8, 3), np.uint8))]
    figure = draw_overview(
        [[1, 4], [20, 30]], [0, 1], found_by(found), CLASSES, 100.0, None, frames
    )
    strip, axes = figure.axes
    assert len(strip.images) == 2
    assert [text.get_text() for text in axes.texts] == [
        'walk', 'sit down', 'walk 0.90', 'sit down 0.80',
    ]  # fmt: skip
    assert [text.get_color() for text in axes.texts] == ['white', 'white', 'white', 'black']
    assert row_names(axes) == ['ground truth', 'baseline', 'decomposed']
    with pytest.raises(ValueError, match='at least one model'):
        draw_overview([[1, 4]], [0], {}, CLASSES, 100.0)


def darkness(figure, axes, seconds, height):
    """How dark the picture is around a point of a panel, in pixels of full black."""
    image = figure_to_image(figure).astype(float)
    x, y = axes.transData.transform((seconds, height)).round().astype(int)
    return (1 - image[image.shape[0] - 1 - y, x - 5 : x + 6].min(axis=-1) / 255).sum()


def test_short_instances_of_long_videos_can_be_seen():
    """A second of half an hour is less than a pixel: no edge hides it, and a miss looks hollow."""
    truth = [[100.0, 101.0], [500.0, 501.0]]
    found = detections((100, 101, 0.9, 0), (900, 901, 0.8, 0))
    figure = draw_overview(truth, [0, 0], {'model': found}, [''], 1673.0)
    (axes,) = figure.axes
    for text in axes.texts:
        text.set_visible(False)
    shown = [darkness(figure, axes, second + 0.5, row) for second, row in
             ((100, 0.5), (500, 0.5), (100, 1.5), (900, 1.5), (1300, 0.5))]  # fmt: skip
    assert min(shown[:3]) > 1 and shown[4] == 0
    assert 0.2 < shown[3] < 0.6 * shown[2]
    figure = draw_window(truth, [0, 0], ['walk'], 1673.0, 'video')
    assert min(darkness(figure, figure.axes[0], second + 0.5, 0.5) for second in (100, 500)) > 1


def test_overview_counts_hits_as_the_evaluation_does():
    """A tIoU of 0.5 is a hit; less, another class, and segments without length are none."""
    segments = [(0, 10), (20, 30), (40, 50), (60, 60)]
    found = detections((5, 10, 0.9, 0), (25.05, 30, 0.8, 0), (40, 50, 0.7, 1), (60, 60, 0.6, 0))
    figure = draw_overview(segments, [0, 0, 0, 0], {'model': found}, CLASSES, 100.0)
    colors = {text.get_text(): text.get_color() for text in figure.axes[0].texts[4:]}
    assert colors == {
        'walk 0.90': 'white',
        'walk 0.80': 'black',
        'sit down 0.70': 'black',
        'walk 0.60': 'black',
    }


def test_overview_hides_no_hit_behind_a_miss():
    found = detections((2, 12, 0.9, 0), (0, 9, 0.8, 1), (20, 30, 0.7, 2))
    figure = draw_overview([[1, 11]] * 3, [0, 0, 0], {'model': found}, CLASSES, 100.0)
    boxes = [
        (x0, x1, y0, y1)
        for bar in figure.axes[0].collections[3:]
        for x0, y0, x1, y1 in [bar.get_paths()[0].get_extents().extents]
    ]
    assert len(boxes) == 3
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            beside = one[0] >= other[1] or other[0] >= one[1]
            assert beside or one[2] >= other[3] or other[2] >= one[3]


@pytest.mark.parametrize('seed', range(3))
def test_overview_texts_lie_over_no_other_text(seed):
    rng = np.random.default_rng(seed)
    classes = [*CLASSES, 'playing the accordion outdoors', 'a class with a long name']
    starts, lengths = rng.uniform(0, 50, (3, 12)), rng.uniform(0.1, 12, (3, 12))
    labels, scores = rng.integers(0, 5, (3, 12)), rng.uniform(0, 1, (3, 12))
    segments = np.stack([starts, np.minimum(starts + lengths, 60)], axis=2)
    found = {str(i): Detections(segments[i], scores[i], labels[i]) for i in (1, 2)}
    figure = draw_overview(segments[0], labels[0], found, classes, 60.0)
    figure.canvas.draw()
    order = [np.argsort(-scores[i], kind='stable') for i in (1, 2)]
    full = [classes[label] for label in labels[0]]
    full += [f'{classes[labels[i, k]]} {scores[i, k]:.2f}' for i in (1, 2) for k in order[i - 1]]
    bars = [*segments[0], *segments[1][order[0]], *segments[2][order[1]]]
    axes, boxes = figure.axes[0], []
    assert len(axes.texts) == len(full) == 36
    for text, name, (start, end) in zip(axes.texts, full, bars):
        written = text.get_text()
        if not written:
            continue
        begin, ellipsis, rest = written.partition('…')
        assert name.startswith(begin) and (rest in name if ellipsis else begin)
        box = text.get_window_extent()
        assert box.x0 >= axes.bbox.x0 and box.x1 <= axes.bbox.x1
        middle = axes.transData.transform(((start + end) / 2, 0))[0]
        assert box.x0 - 4 <= middle <= box.x1 + 4
        assert not any(box.overlaps(other) for other in boxes)
        boxes.append(box)
    assert {'…' in text.get_text() for text in axes.texts} == {True, False}


def test_overview_keeps_long_names_that_have_room():
    name = 'playing the accordion outdoors'
    alone = detections((50, 51, 0.9, 0))
    figure = draw_overview([[50, 51]], [0], {'m': alone}, [name], 100.0)
    assert [text.get_text() for text in figure.axes[0].texts] == [name, f'{name} 0.90']
    close = detections((20, 28, 0.9, 0), (28, 36, 0.8, 0), (36, 44, 0.7, 0), (44, 45, 0.6, 0))
    figure = draw_overview([[1, 2]] * 4, [0] * 4, {'m': close}, [name], 45.2)
    first, second, third, fourth = (text.get_text() for text in figure.axes[0].texts[4:])
    assert first == f'{name} 0.90'  # in the free time before it
    assert '…' in second and second.endswith(' 0.80') and '…' in third
    assert fourth == ''


def test_key_frames_stand_above():
    frames = [(25.0, np.zeros((4, 8, 3), np.uint8)), (75.0, np.zeros((4, 8, 3), np.uint8))]
    figure = example(frames=frames)
    assert len(figure.axes) == 3 and len(figure.axes[0].images) == 2
    assert figure.axes[0].images[1].get_extent()[:2] == [50, 100]


def test_curves_show_the_highest_score_at_each_moment():
    found = detections((1, 5, 0.9, 0), (2, 6, 0.5, 1), (50, 60, 0.05, 2))
    times = np.array([0.5, 1.0, 3.0, 5.0, 6.0, 55.0])
    assert score_curve(found, times).tolist() == [0, 0.9, 0.9, 0.5, 0, 0.05]
    assert score_curve(detections(), times).tolist() == [0] * 6
    figure = example(curves={'motion': found, 'joint': detections((0, 100, 0.3, 0))})
    assert len(figure.axes) == 3
    motion, joint = figure.axes[-1].lines
    x, y = motion.get_data()
    assert np.allclose(y, score_curve(found, x)) and set(joint.get_ydata()) == {0.3}
    names = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
    assert names == ['motion', 'joint'] and motion.get_linestyle() != joint.get_linestyle()
    spans = [patch.get_extents().x0 for patch in figure.axes[-1].patches]
    assert len(spans) == 2  # the ground truth


@pytest.mark.parametrize('name', ['video with a long name', 99 * 'cam/', 25 * r'take $\x$ '])
def test_texts_do_not_overlap(name):
    name = f'first {name} last'
    found = {name: detections((1, 5, 0.9, 0)), 'b': detections()}
    figure = draw_timeline([[1, 4]], [0], found, CLASSES, 100.0, title=name)
    figure.canvas.draw()
    for title in (figure._suptitle, figure.axes[0]._left_title):
        text = title.get_text()
        assert text.startswith('first') and text.endswith('last')
        assert text.split() == name.split() or (len(text) > 80 and '…' in text)
    texts = [text for axes in figure.axes for text in (axes._left_title, *axes.get_yticklabels())]
    texts += [figure._suptitle, figure.axes[-1].xaxis.label, *figure.legends[0].get_texts()]
    boxes = [text.get_window_extent() for text in texts]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


def test_overlapping_detections_take_lanes_while_there_are_any():
    segments = np.array([[0, 10], [5, 15], [10, 20], [0, 20], [1, 19], [20, 30]], dtype=float)
    np.testing.assert_array_equal(lanes_of(segments), [0, 1, 0, 2, -1, 0])


def test_low_scores_do_not_crowd_a_row():
    rng = np.random.default_rng(0)
    starts, scores = rng.uniform(0, 90, 200), rng.uniform(0.0, 0.2, 200)
    found = detections(*((s, s + 10, score, 0) for s, score in zip(starts, scores)))
    figure = draw_timeline([], [], {'m': found}, CLASSES, 100.0, score_thr=0.0)
    lanes = lanes_of(found.segments[np.argsort(-scores)])
    hidden = int((lanes < 0).sum())
    assert hidden > 100
    title = figure.axes[0].get_title(loc='left')
    assert title == f'm ({hidden} behind better ones of their class are not drawn)'
    truth, bars = (row.get_paths() for row in figure.axes[0].collections)
    assert len(truth) == 0 and len(bars) == 200 - hidden
    lows = {round(float(bar.get_extents().y0), 3) for bar in bars}
    assert len(lows) == 3  # no bar lies on another one of its lane
    assert min(lows) < 0.2  # without ground truth, the whole row is theirs


def bars_of(figure):
    return [len(row.get_paths()) for row in figure.axes[0].collections]


def test_a_limit_is_said_and_the_picture_of_an_inference_has_none():
    found = detections(*((20 * i, 20 * i + 4, 0.05 + 0.0015 * i, i % 2) for i in range(300)))
    drawing = ([], [], {'m': found}, CLASSES, 6000.0)
    figure = draw_timeline(*drawing, score_thr=0.1)  # 266 detections
    assert figure.axes[0].get_title(loc='left') == 'm (the best 200 of 266 detections)'
    assert sum(bars_of(figure)) == 200
    for options in (dict(max_detections=300), dict(max_detections=None)):
        figure = draw_timeline(*drawing, score_thr=0.0, **options)
        assert figure.axes[0].get_title(loc='left') == 'm' and sum(bars_of(figure)) == 300
    video = VideoInput(path='v.mp4', video_id='v')
    figure = draw_result(VideoResult(video, 6000.0, 25.0, found, CLASSES), key_frames=0)
    assert figure.axes[0].get_title(loc='left') == 'detections' and sum(bars_of(figure)) == 300


def test_edges_do_not_hide_the_scores_of_narrow_bars():
    found = detections((1, 2, 0.9, 0), (10, 11, 0.1, 0), (20, 90, 0.1, 0))
    figure = draw_timeline([], [], {'m': found}, CLASSES, 1000.0)
    bars = figure.axes[0].collections[1]
    spans = [path.get_extents().width for path in bars.get_paths()]
    edges, faces = bars.get_edgecolor()[:, 3], bars.get_facecolor()[:, 3]
    narrow = np.array(spans) < 5
    assert narrow.tolist().count(True) == 2
    np.testing.assert_allclose(edges, np.where(narrow, faces, 1.0))


def test_nothing_to_draw_is_still_a_picture():
    figure = draw_timeline([], [], {'model': detections()}, CLASSES, 10.0)
    assert figure.axes[0].get_title(loc='left') == 'model: none'
    image = figure_to_image(figure)
    assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8


def test_bad_arguments_are_refused(tmp_path):
    with pytest.raises(ValueError, match='at least one model'):
        draw_timeline([], [], {}, CLASSES, 10.0)
    with pytest.raises(ValueError, match='duration must be > 0'):
        draw_timeline([], [], {'m': detections()}, CLASSES, 0)
    with pytest.raises(ValueError, match=r'unknown ending \.txt'):
        save_figure(example(), tmp_path / 'a.txt')
    assert not list(tmp_path.iterdir())


def sample():
    result = TADDataSample(metainfo=dict(video_id='v', duration=30.0, window=(0, 30)))
    result.gt_instances = InstanceData(
        segments=torch.tensor([[1.0, 5.0]]), labels=torch.tensor([0])
    )
    result.pred_instances = InstanceData(
        segments=torch.tensor([[1.0, 6.0]]), scores=torch.tensor([0.8]), labels=torch.tensor([2])
    )
    return result


def test_visualizer_writes_files_and_backends(tmp_path):
    backend = LocalVisBackend(str(tmp_path / 'backend'))
    visualizer = TADVisualizer(vis_backends=[backend])
    with pytest.raises(ValueError, match='needs class names'):
        visualizer.add_datasample('timeline', sample())
    visualizer.dataset_meta = dict(classes=CLASSES)
    visualizer.add_datasample('timeline', sample(), step=3)
    (written,) = (tmp_path / 'backend').rglob('*.png')
    assert written.name == 'timeline_3.png' and cv2.imread(str(written)).ndim == 3
    visualizer.add_datasample('timeline', sample(), out_file=str(tmp_path / 'out.png'))
    assert cv2.imread(str(tmp_path / 'out.png')).ndim == 3
    with pytest.raises(ValueError, match='with pred_instances'):
        visualizer.add_datasample('timeline', TADDataSample())


@pytest.fixture
def tool():
    path = Path(__file__).parents[2] / 'tools' / 'visualizations' / 'timeline.py'
    spec = importlib.util.spec_from_file_location('timeline_tool', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(tmp_path):
    one = dict(segment=[1, 5], label='walk')
    database = {
        'few': dict(subset='test', duration=50, annotations=[one]),
        'many': dict(
            subset='test', duration=50, annotations=[one, dict(segment=[7, 9], label='fall')]
        ),
        'untested': dict(
            subset='test',
            duration=50,
            annotations=[dict(segment=[i, i + 1], label='walk') for i in range(9)],
        ),
    }
    (tmp_path / 'ann.json').write_text(json.dumps(dict(classes=CLASSES, database=database)))
    found = dict(few=detections((1, 4, 0.9, 0)), many=detections((1, 4, 0.9, 0)))
    write_submission(tmp_path / 'a.json', found, CLASSES)
    return tmp_path


def test_tool_draws_the_tested_video_with_most_instances(tool, files, capsys):
    out = files / 'pictures' / 'a.png'
    tool.main([f'{files}/ann.json', '--results', f'ours={files}/a.json', '--out', str(out)])
    assert 'many: 2 instances' in capsys.readouterr().out
    assert cv2.imread(str(out)).ndim == 3 and [p.name for p in out.parent.iterdir()] == ['a.png']


@pytest.mark.parametrize('score_thr', [0.9, 0.95])
def test_a_model_without_a_detection_to_draw_is_named(tool, files, capsys, score_thr):
    arguments = [f'{files}/ann.json', '--results', f'ours={files}/a.json', '--out']
    tool.main([*arguments, f'{files}/a.png', '--score-thr', str(score_thr)])
    words = f'ours: none of 1 detections reaches --score-thr {score_thr}'
    assert (words in capsys.readouterr().out) == (score_thr > 0.9)


def test_best_detections_are_of_a_typical_video(tool, tmp_path, capsys):
    segments = [[1, 5], [7, 9]]
    instances = [dict(segment=segment, label='walk') for segment in segments]
    right = {'all': 2, 'none': 0, 'half': 1}
    database = {v: dict(subset='test', duration=50, annotations=instances) for v in right}
    (tmp_path / 'ann.json').write_text(json.dumps(dict(classes=CLASSES, database=database)))
    found = {
        video: detections(*((*segments[i], 0.9, int(i >= count)) for i in range(2)))
        for video, count in right.items()
    }
    write_submission(tmp_path / 'a.json', found, CLASSES)
    arguments = [f'{tmp_path}/ann.json', '--results', f'a={tmp_path}/a.json', '--best']
    tool.main([*arguments, '--out', str(tmp_path / 'a.png')])
    assert 'half: 2 instances' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--video', 'other'], 'video "other" is not among the 3 annotated ones'),
        (['--results', 'b=missing.json'], 'missing.json does not exist'),
        (['--subset', 'train'], 'no video is of subset'),
    ],
)
def test_tool_errors_are_sentences(tool, files, more, message, capsys):
    arguments = [f'{files}/ann.json', '--results', f'ours={files}/a.json', *more]
    assert run_main(tool.main, arguments) == 2
    text = capsys.readouterr().err
    assert text.startswith('error: ') and message in text and text.count('\n') == 1


def test_tool_wants_named_results(tool, files, capsys):
    with pytest.raises(SystemExit):
        tool.main([f'{files}/ann.json', '--results', f'{files}/a.json'])
    assert 'expected name=path' in capsys.readouterr().err
    # joint is an entry of both lists; a second one of either would take the first one's place
    named = ['a.json', '--results', 'joint=r.json', '--curves', 'joint=c.json']
    args = tool.parse_args([*named, '--curves', 'motion=m.json'])
    assert args.results == [('joint', 'r.json')]
    assert args.curves == [('joint', 'c.json'), ('motion', 'm.json')]
    for option in ('--results', '--curves'):
        with pytest.raises(SystemExit):
            tool.parse_args([*named, option, 'joint=d.json'])
        assert f'{option}: {option[2]}.json and d.json have the same name, "joint"; give' in (
            capsys.readouterr().err
        )


def test_tool_reads_verbs(tool, files, capsys):
    content = json.loads((files / 'ann.json').read_text())
    for video in content['database'].values():
        for item in video['annotations']:
            item['verb'] = item.pop('label')
    del content['classes']
    (files / 'ann.json').write_text(json.dumps(content))
    arguments = [f'{files}/ann.json', '--results', f'a={files}/a.json', '--out', f'{files}/a.png']
    assert run_main(tool.main, arguments) == 2
    assert 'needs a string field "label"' in capsys.readouterr().err
    assert run_main(tool.main, [*arguments, '--labels', 'verb:label']) == 0
    assert 'many: 2 instances' in capsys.readouterr().out
