"""Names of classes, videos and models in pictures: as they are, or shortened in their middle."""

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.text import Text

from mmtad_decomp.evaluation.functional import GroundTruth, Predictions
from mmtad_decomp.postprocessing import Detections
from mmtad_decomp.visualization import (
    draw_overview,
    draw_timeline,
    draw_window,
    plot_class_ap,
    plot_precision_recall,
)
from mmtad_decomp.visualization.diagnosis_plots import plot_branch_ap

PAY, VIDEO, MODEL = 'pay $5 or $10', r'take $\x$', 'm $1 and $2'
SEGMENTS, SCORES, LABELS = np.array([[1.0, 60.0]]), np.array([0.9]), np.array([0])
FOUND = {MODEL: Detections(SEGMENTS, SCORES, LABELS), 'b': Detections(SEGMENTS, SCORES, LABELS)}
TRUTH = GroundTruth(np.array([0]), SEGMENTS, LABELS)
MODELS = {MODEL: Predictions(np.array([0]), SEGMENTS, SCORES, LABELS)}
DRAWING = (SEGMENTS, LABELS, FOUND, [PAY], 100.0, VIDEO)
AP = {branch: {PAY: 0.5} for branch in ('appearance', 'motion', 'joint')}


@pytest.mark.parametrize(
    ('draw', 'names'),
    [
        (lambda: draw_timeline(*DRAWING, curves=FOUND), {PAY: 2, VIDEO: 1, MODEL: 2}),
        (lambda: draw_overview(*DRAWING), {PAY: 3, VIDEO: 1, MODEL: 1}),
        (lambda: draw_window(SEGMENTS, LABELS, [PAY], 100.0, VIDEO), {PAY: 1, VIDEO: 1}),
        (lambda: plot_precision_recall(TRUTH, MODELS, 0.5, [PAY]), {PAY: 1, MODEL: 1}),
        (lambda: plot_class_ap(TRUTH, MODELS, [0.5], [PAY]), {PAY: 1, MODEL: 1}),
        (lambda: plot_branch_ap(AP, VIDEO), {PAY: 1, VIDEO: 1}),
    ],
    ids=['timeline', 'overview', 'window', 'precision_recall', 'class_ap', 'branch_ap'],
)
def test_dollars_are_no_mathematics(draw, names):
    figure = draw()
    figure.canvas.draw()  # no formula: $\x$ is an error in one
    texts = [text for text in figure.findobj(Text) if '$' in text.get_text()]
    shown = [text.get_text() for text in texts if text.get_visible()]
    assert {name: sum(name in text for text in shown) for name in names} == names
    assert not any(text.get_parse_math() for text in texts if text.get_visible())


@pytest.mark.parametrize(
    'draw',
    [
        lambda name: draw_timeline(SEGMENTS, LABELS, FOUND, [name], 100.0),
        lambda name: draw_overview(SEGMENTS, LABELS, {name: FOUND['b']}, ['walk'], 100.0),
        lambda name: draw_window(SEGMENTS, LABELS, [name], 100.0, VIDEO),
        lambda name: plot_class_ap(TRUTH, MODELS, [0.5], [name]),
        lambda name: plot_branch_ap({branch: {name: 0.5} for branch in AP}),
    ],
    ids=['timeline', 'overview', 'window', 'class_ap', 'branch_ap'],
)
def test_long_names_of_rows_leave_room_for_the_rows(draw):
    figure = draw(f'first {"long " * 60}last')
    figure.canvas.draw()
    names = [label for axes in figure.axes for label in axes.get_yticklabels()]
    (name,) = {label.get_text() for label in names if label.get_text().startswith('first')}
    assert '…' in name and 'last' in name
    assert max(label.get_window_extent().width for label in names) <= figure.bbox.width / 3
    assert min(axes.bbox.width for axes in figure.axes) > figure.bbox.width / 6


def test_the_callers_own_texts_may_be_mathematics():
    draw_timeline(*DRAWING)
    assert rcParams['text.parse_math']
    with pytest.raises(ValueError, match='duration'):
        draw_timeline(SEGMENTS, LABELS, FOUND, [PAY], 0.0)
    assert rcParams['text.parse_math']
