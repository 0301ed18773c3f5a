"""Plots of the diagnosis: what is drawn, and that no text lies over another."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.text import Text

from mmtad_decomp.evaluation.diagnosis import CATEGORIES, Buckets, DiagnosisOptions, diagnose
from mmtad_decomp.evaluation.functional import GroundTruth, Predictions
from mmtad_decomp.visualization.diagnosis_plots import (
    plot_branch_ap,
    plot_false_negatives,
    plot_false_positives,
    plot_sensitivity,
)

PLOTS = (plot_false_positives, plot_sensitivity, plot_false_negatives)


def diagnosis(seed=0, truths=120, found=900, **changes):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 200, truths)
    segments = np.stack([start, start + rng.exponential(6, truths) + 0.2], axis=1)
    gt = GroundTruth(rng.integers(0, 6, truths), segments, rng.integers(0, 4, truths))
    near = rng.integers(0, max(truths, 1), found)
    pred = Predictions(
        gt.videos[near] if truths else near,
        np.sort(
            (segments[near] if truths else np.zeros((found, 2))) + rng.normal(0, 1, (found, 2))
        ),
        rng.uniform(size=found),
        rng.integers(0, 4, found),
    )
    options = DiagnosisOptions.preset('thumos14', **changes)
    return diagnose(gt, pred, np.full(truths, 300.0), 4, options)


def texts(figure):
    """Texts that show: matplotlib also keeps labels of ticks beyond the limits."""
    figure.canvas.draw()
    hidden = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = (tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high)
        hidden.update(tick.label1 for tick in ticks)
    found = figure.findobj(Text)
    return [t for t in found if t.get_visible() and t.get_text().strip() and t not in hidden]


def assert_readable(figure):
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    width, height = figure.bbox.width, figure.bbox.height
    boxes = [(text, box) for text, box in boxes if box.width > 0 and box.height > 0]
    for text, box in boxes:
        assert box.x0 >= -1 and box.x1 <= width + 1 and box.y0 >= -1, text
        assert box.y1 <= height + 1, text
    for (one, a), (other, b) in combinations(boxes, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(overlap) <= 1, (one, other)


@pytest.mark.parametrize('plot', PLOTS)
@pytest.mark.parametrize(
    'case',
    [
        dict(),
        dict(found=0),
        dict(truths=0, found=20),
        dict(tious=(0.5,), buckets=dict(length=Buckets((0, 5, 100, 1000)))),
    ],
    ids=['usual', 'no predictions', 'no ground truth', 'one characteristic'],
)
def test_plots_are_readable(plot, case):
    assert_readable(plot(diagnosis(**case)))


def test_profile_bars_add_up():
    result = diagnosis()
    bars = plot_false_positives(result).axes[0].patches
    heights = np.array([bar.get_height() for bar in bars]).reshape(len(CATEGORIES), -1)
    np.testing.assert_allclose(heights.T, 100 * np.nan_to_num(result.false_positives.shares))


def test_empty_buckets_say_so():
    buckets = dict(length=Buckets((0, 50, 100, 1000)))
    words = [
        text.get_text() for text in plot_sensitivity(diagnosis(buckets=buckets)).axes[0].texts
    ]
    assert words.count('empty') == 2


def branches(count, seed=0):
    rng = np.random.default_rng(seed)
    return {
        branch: {f'class {i}': float(rng.uniform()) for i in range(count)}
        for branch in ('appearance', 'motion', 'joint')
    }


@pytest.mark.parametrize('count', [0, 1, 5, 20])
def test_branch_plot_is_readable(count):
    assert_readable(plot_branch_ap(branches(count), 'a model'))


def test_branch_plot_orders_by_gain_and_keeps_the_largest():
    ap = branches(12)
    gain = {
        name: ap['joint'][name] - max(ap['appearance'][name], ap['motion'][name])
        for name in ap['joint']
    }
    figure = plot_branch_ap(ap, 'a model', max_classes=4)
    drawn = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    largest = sorted(gain, key=lambda name: -abs(gain[name]))[:4]
    assert drawn == sorted(largest, key=lambda name: -gain[name])
    assert 'the 4 of 12 classes that differ most' in figure._suptitle.get_text()
    widths = [bar.get_width() for bar in figure.axes[1].patches]
    np.testing.assert_allclose(widths, [100 * gain[name] for name in drawn])
