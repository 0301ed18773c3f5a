"""Texts of pictures: names as written, with an ellipsis in the middle of what is too long."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

_LEFT, _RIGHT = 0.01, 0.97
"""Edges of a figure's title, as shares of its width."""

_ROW_NAME = 1 / 3
"""Share of a figure's width that the name of a row may take."""

_P = ParamSpec('_P')
_R = TypeVar('_R')
_PARSING = threading.RLock()


def names_as_written(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let no text that a function draws be mathematics, whatever ``$`` a name in it holds.

    Decorate each function with it that writes names of classes, videos or models.
    """

    @functools.wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _PARSING:  # rcParams are those of all threads
            before = rcParams['text.parse_math']
            rcParams['text.parse_math'] = False
            try:
                return draw(*args, **kwargs)
            finally:
                rcParams['text.parse_math'] = before

    return drawn


def title_figure(figure: Figure, text: str, fontsize: float = 11) -> None:
    """Write a title of at most three lines above a figure, from its left edge.

    Args:
        figure: The figure, drawn by Agg.
        text: The title.
        fontsize: In points.
    """
    title = figure.suptitle('', fontsize=fontsize, x=_LEFT, ha='left')
    _fit(title, text, (_RIGHT - _LEFT) * figure.bbox.width, max_lines=3)


def shorten(text: str, fits: Callable[[str], bool]) -> str:
    """A text, or as much of both of its ends as fits, around an ellipsis.

    Args:
        text: The text.
        fits: Whether a text fits.

    Returns:
        The text, shortened as little as needed; the first character and an ellipsis at least,
        which need not fit.
    """
    if fits(text):
        return text
    kept, too_many = 1, len(text)
    while too_many - kept > 1:
        middle = (kept + too_many) // 2
        kept, too_many = (middle, too_many) if fits(_shortened(text, middle)) else (kept, middle)
    return _shortened(text, kept)


def shorten_titles(figure: Figure, share: float | None = None) -> None:
    """Shorten the left titles of a figure's panels to one line each; call it when all is drawn.

    Args:
        figure: The figure, drawn by Agg.
        share: Part of the width of its panel that a title may take; None for all up to the right
            edge of the figure.
    """
    titles = {axes: _left_title(axes) for axes in figure.axes if axes.get_title(loc='left')}
    # Labels will take from the width of a panel.
    room = 0.5 if share is None else 0.5 * share
    if all(t.get_window_extent().width < room * axes.bbox.width for axes, t in titles.items()):
        return
    texts = {axes: title.get_text() for axes, title in titles.items()}
    for title in titles.values():
        title.set_text('')  # the layout makes room for half of a title
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    for axes, title in titles.items():
        box = axes.bbox
        width = _RIGHT * figure.bbox.width - box.x0 if share is None else share * box.width
        _fit(title, texts[axes], width, max_lines=1)


def name_rows(axes: Axes, places: npt.ArrayLike, names: Sequence[str], fontsize: float) -> None:
    """Name the rows of a panel beside it, by at most a third of the figure's width.

    Args:
        axes: The panel, of a figure whose canvas is Agg.
        places: ``(N,)`` heights in the panel.
        names: N names, which are shortened where they are longer.
        fontsize: In points.
    """
    label = axes.text(0, 0, '', fontsize=fontsize)
    shown = []
    for name in names:
        _fit(label, name, _ROW_NAME * axes.figure.bbox.width, max_lines=1)
        shown.append(label.get_text())
    label.remove()
    axes.set_yticks(places, shown, fontsize=fontsize)


def shorten_legend(legend: Legend, width: float) -> None:
    """Shorten the longest labels of a legend so that it is not wider than it may be.

    Args:
        legend: Of a figure whose canvas is Agg.
        width: In pixels.
    """
    over = legend.get_window_extent().width - width
    if over <= 0:
        return
    labels = legend.get_texts()
    # matplotlib deals labels out to columns in their order; the longest gives a column its width.
    widths = np.array([label.get_window_extent().width for label in labels])
    dealt = np.array_split(widths, legend._ncols)  # type: ignore[attr-defined]
    columns = np.array([column.max() for column in dealt if len(column)])
    # The limit with sum(min(columns, limit)) = sum(columns) - over: the widest are cut first.
    falling = np.sort(columns)[::-1]
    number = np.arange(1, len(falling) + 1)
    limit = np.max((falling.cumsum() - over) / number)
    for label in labels:
        _fit(label, label.get_text(), float(limit), max_lines=1)


def _left_title(axes: Axes) -> Text:
    # `set_title` returns it, but sets its font again.
    return axes._left_title  # type: ignore[attr-defined]


def _fit(label: Text, text: str, width: float, max_lines: int) -> None:
    """Give a label as much of a text as fits, from both of its ends.

    Args:
        label: Of a figure whose canvas is Agg.
        text: What it should say.
        width: Pixels of a line.
        max_lines: Lines, which are broken at spaces.
    """

    def fits(candidate: str) -> bool:
        lines = _wrap(label, candidate, width)
        label.set_text('\n'.join(lines))
        return len(lines) <= max_lines and label.get_window_extent().width <= width

    fits(shorten(text, fits))  # which sets the text


def _shortened(text: str, kept: int) -> str:
    """The first and the last characters of a text, ``kept`` in all."""
    tail = kept // 2
    return f'{text[: kept - tail].rstrip()}…{text[len(text) - tail :].lstrip()}'


def _wrap(label: Text, text: str, width: float) -> list[str]:
    """Break a text at spaces, so that each line is as long as it can be."""
    lines: list[str] = []
    for word in text.split():
        longer = f'{lines[-1]} {word}' if lines else word
        label.set_text(longer)
        if lines and label.get_window_extent().width > width:
            lines.append(word)
        else:
            lines[-1:] = [longer]
    return lines
