"""Curves of precision and recall against the definition, and their pictures."""

import json

import numpy as np
import pytest
from matplotlib.text import Text

from mmtad_decomp.evaluation.functional import GroundTruth, Predictions, average_precision
from mmtad_decomp.visualization import (
    figure_to_image,
    plot_class_ap,
    plot_precision_recall,
    precision_recall,
)
from tools.command_line import run_main
from tools.visualizations import precision_recall as tool

TRUTH = GroundTruth(
    np.array([0, 0, 1]), np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 4.0]]), np.array([0, 0, 1])
)
FOUND = Predictions(
    np.array([0, 0, 0, 1]),
    np.array([[0.0, 1.0], [5.0, 6.0], [2.0, 3.1], [0.0, 1.0]]),
    np.array([0.9, 0.8, 0.7, 0.6]),
    np.array([0, 0, 0, 1]),
)
CLASSES = ('run', 'jump', 'swim')


def test_curves_by_hand():
    first, second, third = precision_recall(TRUTH, FOUND, 0.5, 3)
    np.testing.assert_allclose(first[0], [0.5, 0.5, 1.0])
    np.testing.assert_allclose(first[1], [1.0, 0.5, 2 / 3])
    np.testing.assert_allclose(second, [[0.0], [0.0]])
    assert len(third[0]) == 0  # no ground truth


@pytest.mark.parametrize('count', [1, 2, 5, 9])
def test_legends_of_long_names_stay_in_the_picture(count):
    names = [f'{i} {"long name of a model " * (9 if i % 3 else 1)}end{i}' for i in range(count)]
    models = dict.fromkeys(names, FOUND)
    short = dict.fromkeys(map(str, range(count)), FOUND)
    for plot in (
        lambda found: plot_precision_recall(TRUTH, found, 0.5, CLASSES),
        lambda found: plot_class_ap(TRUTH, found, [0.5], CLASSES),
    ):
        figure = plot(models)
        figure.canvas.draw()
        legend = figure.legends[0]
        box = legend.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width
        texts = [text.get_text().partition(', mAP')[0] for text in legend.get_texts()]
        for name, text in zip(names, texts):
            begin, ellipsis, end = text.partition('…')
            assert name.startswith(begin) and (not ellipsis or name.endswith(end) or not end)
        if count > 1:  # the picture is used to its edge
            assert box.width > 0.8 * figure.bbox.width and any('…' in text for text in texts)
            assert not any('…' in text for name, text in zip(names, texts) if len(name) < 30)
        untouched = plot(short).legends[0].get_texts()
        assert not any('…' in text.get_text() for text in untouched)


def test_pictures_name_classes_and_ap():
    models = {'a': FOUND, 'b': Predictions(*(column[:1] for column in FOUND))}
    figure = plot_precision_recall(TRUTH, models, 0.5, CLASSES)
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc='left') for axes in panels] == ['run (2)', 'jump (1)']
    assert [text.get_text() for text in panels[0].texts] == ['83.3', '50.0']
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ['a', 'b']
    line = panels[0].lines[0]
    np.testing.assert_allclose(line.get_xdata(), [50, 50, 100])
    assert figure_to_image(figure).shape[1] > 500
    few = GroundTruth(*(column[2:] for column in TRUTH))
    figure = plot_precision_recall(few, models, 0.5, ('run', 'jump over ' + 20 * 'a and ' + 'b'))
    figure.canvas.draw()
    (axes,), title = figure.axes, figure.axes[0].get_title(loc='left')
    assert title.startswith('jump over') and title.endswith(' b (1)')
    ap = min(text.get_window_extent().x0 for text in axes.texts)
    assert axes._left_title.get_window_extent().x1 < ap
    assert figure._suptitle.get_window_extent().x1 < figure.bbox.x1
    bars = plot_class_ap(TRUTH, models, [0.5], CLASSES)
    labels = [text.get_text() for text in bars.axes[0].get_yticklabels()]
    assert labels == ['run (2)', 'jump (1)']
    legend = [text.get_text() for text in bars.legends[0].get_texts()]
    assert legend == ['a, mAP 41.7', 'b, mAP 25.0']


@pytest.mark.parametrize('count', [1, 3, 4, 6, 8, 9])
def test_the_lowest_panel_of_each_column_has_a_scale(count):
    columns = TRUTH.videos[:1].repeat(count), TRUTH.segments[:1].repeat(count, 0)
    truth = GroundTruth(*columns, np.arange(count))
    found = Predictions(*(column[:1] for column in FOUND))
    figure = plot_precision_recall(truth, {'a': found}, 0.5, [*map(str, range(count))])
    figure.canvas.draw()
    panels = [axes for axes in figure.axes if axes.axison]
    lowest = {axes.get_subplotspec().colspan.start: axes for axes in panels}
    for axes in panels:
        scale = [label for label in axes.get_xticklabels() if label.get_visible()]
        assert bool(scale) == bool(axes.get_xlabel()) == (axes in lowest.values())


@pytest.mark.parametrize('most', [1, 2, 3])
def test_pictures_say_how_many_of_the_classes_they_show(most):
    curves = plot_precision_recall(TRUTH, {'a': FOUND}, 0.5, CLASSES, max_classes=most)
    bars = plot_class_ap(TRUTH, {'a': FOUND}, [0.5], CLASSES, max_classes=most)
    note = '1 of 2 classes, those with most instances'  # swim has none
    assert (note in curves._suptitle.get_text().replace('\n', ' ')) == (most == 1)
    assert (note in bars.axes[0].get_xlabel()) == (most == 1)
    bars.canvas.draw()
    for figure, text in ((curves, curves._suptitle), (bars, bars.axes[0].xaxis.label)):
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


@pytest.mark.parametrize('found', [FOUND, Predictions(*(column[:0] for column in FOUND))])
def test_no_ground_truth_is_said(found):
    nothing = GroundTruth(*(column[:0] for column in TRUTH))
    for figure in (
        plot_precision_recall(nothing, {'a': found}, 0.5, CLASSES),
        plot_class_ap(nothing, {'a': found}, [0.5], CLASSES),
    ):
        (text,) = figure.findobj(Text)
        assert text.get_text().startswith('no ground truth')
        assert (figure_to_image(figure) < 255).any()
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


@pytest.mark.parametrize('count', [0, -1])
def test_a_picture_of_no_class_or_no_model_is_refused(count):
    for truth in (TRUTH, GroundTruth(*(column[:0] for column in TRUTH))):
        for plot, tiou in ((plot_precision_recall, 0.5), (plot_class_ap, [0.5])):
            with pytest.raises(ValueError, match=f'`max_classes` must be at least 1, got {count}'):
                plot(truth, {'a': FOUND}, tiou, CLASSES, max_classes=count)
            with pytest.raises(ValueError, match='at least one model'):
                plot(truth, {}, tiou, CLASSES)


def test_the_tool_writes_both_and_refuses_nonsense(tmp_path, capsys):
    database = {
        'v': dict(
            subset='validation', duration=9.0, annotations=[dict(segment=[1, 2], label='run')]
        )
    }
    annotations = tmp_path / 'a.json'
    annotations.write_text(json.dumps(dict(version='t', database=database)))
    results = dict(results=dict(v=[dict(segment=[1, 2], label='run', score=0.5)]))
    (tmp_path / 'r.json').write_text(json.dumps(results))
    arguments = [str(annotations), '--results', f'm={tmp_path / "r.json"}']
    out = ['--out-dir', str(tmp_path / 'out')]
    assert run_main(tool.main, [*arguments, *out]) == 0
    names = {path.name for path in (tmp_path / 'out').iterdir()}
    assert names == {'precision_recall.png', 'class_ap.png'}
    assert run_main(tool.main, [*arguments, *out, '--tiou', '0']) == 2
    assert '--tiou' in capsys.readouterr().err
    assert run_main(tool.main, [*arguments, *out, '--max-classes', '0']) == 2
    assert '--max-classes must be at least 1, got 0' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool.parse_args([str(annotations), '--results', 'nameless'])
    with pytest.raises(SystemExit):
        tool.parse_args([*arguments, '--results', 'm=other.json'])
    assert 'have the same name, "m"' in capsys.readouterr().err


def epic_files(folder):
    """Verbs and nouns in place of labels, and detections that call the verbs ``label``."""
    actions = [('cut', 3, [1, 5]), ('wash', 4, [7, 9])]
    items = [dict(segment=segment, verb=verb, noun=noun) for verb, noun, segment in actions]
    database = dict(v=dict(subset='validation', duration=9.0, annotations=items))
    (folder / 'a.json').write_text(json.dumps(dict(database=database)))
    found = [dict(segment=segment, label=verb, score=0.5) for verb, _, segment in actions]
    (folder / 'r.json').write_text(json.dumps(dict(results=dict(v=found))))
    return [str(folder / 'a.json'), '--results', f'm={folder / "r.json"}']


def test_the_tool_reads_verbs(tmp_path, capsys, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        'mmtad_decomp.visualization.plot_class_ap',
        lambda *arguments: drawn.append(arguments) or plot_class_ap(*arguments),
    )
    arguments = [*epic_files(tmp_path), '--out-dir', str(tmp_path)]
    assert run_main(tool.main, arguments) == 2
    assert 'needs a string field "label"' in (error := capsys.readouterr().err)
    assert '--labels' in error
    assert run_main(tool.main, [*arguments, '--labels', 'verb']) == 2
    error = capsys.readouterr().err
    assert "label of ['verb'] is None" in error and '--labels verb:label' in error
    assert run_main(tool.main, [*arguments, '--labels', 'verb:label']) == 0
    ((truth, models, tious, classes),) = drawn
    assert classes == ('cut', 'wash') and truth.labels.tolist() == [0, 1]
    ap = average_precision(truth, models['m'], tious, 2)
    np.testing.assert_array_equal(ap, [[1, 1]])
