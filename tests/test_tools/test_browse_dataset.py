"""tools/analysis_tools/browse_dataset.py: pictures of windows."""

import cv2
import numpy as np
import pytest
from tiny_training import config, options, write_videos

from mmtad_decomp.visualization import draw_window
from mmtad_decomp.visualization.timeline import PALETTE
from tools.analysis_tools import browse_dataset


def shown(figure):
    """Start and length, row and hatch of all bars."""
    bars = []
    for collection in figure.axes[-1].collections:
        (path,) = collection.get_paths()
        box = path.get_extents()
        bars.append((box.x0, box.width, int(box.y0), collection.get_hatch()))
    return bars


def test_bars_lie_at_their_targets_and_lost_ones_are_hatched():
    frames = [(0.5 + i, np.full((8, 12, 3), 40 * i, np.uint8)) for i in range(4)]
    figure = draw_window(
        [[0.5, 1.5], [2, 2.1], [3, 4]], [2, 0, 2], 'abc', 4.0, 'title', frames, [True, False, True]
    )
    assert np.allclose([bar[:3] for bar in shown(figure)], [(0.5, 1, 1), (2, 0.1, 0), (3, 1, 1)])
    assert [bar[3] for bar in shown(figure)] == [None, '////', None]
    assert [text.get_text() for text in figure.axes[-1].get_yticklabels()] == ['a', 'c']
    assert len(figure.axes[0].images) == 4 and len(figure.legends) == 1
    assert not draw_window([[0, 1]], [0], 'a', 4.0, 'title').legends
    assert PALETTE[1] == '#D55E00'


@pytest.fixture
def data(tmp_path):
    return write_videos(tmp_path / 'data')


def browse(data, *arguments, kind='baseline'):
    overrides = [o for o in options(data) if 'experiment_name' not in o]
    return browse_dataset.main([config(kind), *map(str, arguments), *overrides])


def test_windows_of_training_and_validation_are_drawn(tmp_path, data, capsys):
    out = tmp_path / 'out'
    assert browse(data, '--number', 2, '--out-dir', out, kind='decomp') == 0
    text = capsys.readouterr().out
    assert '2 videos, 2 instances' in text and '1 targets' in text
    assert browse(data, '--loader', 'val', '--out-dir', out) == 0
    names = sorted(path.name for path in out.iterdir())
    assert sum(name.startswith('train_') for name in names) == 2
    assert sum(name.startswith('val_') for name in names) >= 1
    for path in out.iterdir():
        image = cv2.imread(str(path))
        assert image.shape[1] >= 1000 and len(np.unique(image.reshape(-1, 3), axis=0)) > 50


def test_mistakes_are_one_sentence(tmp_path, data, capsys):
    assert browse(data, '--number', 0) == 2
    assert '--number must be at least 1' in capsys.readouterr().err
    assert browse_dataset.main(['none.py']) == 2
    assert 'none.py does not exist' in capsys.readouterr().err
    (tmp_path / 'file').touch()
    assert browse(data, '--out-dir', tmp_path / 'file' / 'out') == 2
    assert 'choose another place' in capsys.readouterr().err
