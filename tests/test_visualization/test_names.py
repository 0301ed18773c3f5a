"""Names of classes, videos and models in pictures are what they are, whatever ``$`` they hold."""

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


def test_the_callers_own_texts_may_be_mathematics():
    draw_timeline(*DRAWING)
    assert rcParams['text.parse_math']
    with pytest.raises(ValueError, match='duration'):
        draw_timeline(SEGMENTS, LABELS, FOUND, [PAY], 0.0)
    assert rcParams['text.parse_math']
