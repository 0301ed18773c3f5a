"""Actions that the borders of windows cut: found once, and whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmtad_decomp.ops import nms_1d

from .detections import Detections, concatenate, take

_COVERED = 0.5
"""A cut candidate is explained by a whole one that covers this share of it."""
_COMPARABLE = 0.5
"""... if that scores at least this share of the cut candidate's score."""


def _partner(spans: np.ndarray, border: float, tolerance: float) -> int | None:
    """The window that sees most on both sides of another window's end; None if none goes on."""
    room = np.minimum(border - spans[:, 0], spans[:, 1] - border)
    goes_on = (spans[:, 0] <= border + tolerance) & (spans[:, 1] > border + tolerance)
    return int(np.argmax(np.where(goes_on, room, -np.inf))) if goes_on.any() else None


def _best(scores: np.ndarray, rows: np.ndarray) -> tuple[int, float]:
    """Row and score of the best of some rows; score -inf if there is none."""
    if not len(rows):
        return -1, -np.inf
    top = rows[np.argmax(scores[rows])]
    return int(top), float(scores[top])


def _covered(segments: np.ndarray, rows: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Those of the rows that a segment covers to a share of at least ``_COVERED``."""
    start, end = segments[rows].T
    inter = np.minimum(end, whole[1]) - np.maximum(start, whole[0])
    return rows[(inter > 0) & (inter >= _COVERED * (end - start))]


class _Border:
    """Two windows that meet: ``left`` ends where ``right`` goes on.

    Args:
        left: Candidates of one label in the left window.
        right: Candidates of the same label in the right one.
        end: Where the left window ends.
        begin: Where the right window begins.
        tolerance: See :func:`join_cut_segments`.
    """

    def __init__(
        self, left: Detections, right: Detections, end: float, begin: float, tolerance: float
    ) -> None:
        self.left, self.right = left, right
        start, stop = left.segments.T
        self.cut_left = np.flatnonzero(stop >= end - tolerance)
        crosses = (start < begin - tolerance) & (stop > begin + tolerance)
        self.whole_left = np.flatnonzero(crosses & (stop < end - tolerance))
        self.long_left = self.cut_left[start[self.cut_left] < begin - tolerance]
        start, stop = right.segments.T
        self.cut_right = np.flatnonzero(start <= begin + tolerance)
        crosses = (start < end - tolerance) & (stop > end + tolerance)
        self.whole_right = np.flatnonzero(crosses & (start > begin + tolerance))
        self.long_right = self.cut_right[stop[self.cut_right] > end + tolerance]

    def join(self) -> tuple[np.ndarray, np.ndarray, Detections | None]:
        """Rows to drop from the left and the right window, and the joined segment if any."""
        a, score_a = _best(self.left.scores, self.long_left)
        b, score_b = _best(self.right.scores, self.long_right)
        whole_a, score_whole_a = _best(self.left.scores, self.whole_left)
        whole_b, score_whole_b = _best(self.right.scores, self.whole_right)
        if min(score_a, score_b) > max(score_whole_a, score_whole_b):
            union = np.array([self.left.segments[a, 0], self.right.segments[b, 1]])
            joined = Detections(
                union[None], np.array([(score_a + score_b) / 2]), self.left.labels[a : a + 1]
            )
            return (
                _covered(self.left.segments, self.cut_left, union),
                _covered(self.right.segments, self.cut_right, union),
                joined,
            )
        drop_left = drop_right = np.zeros(0, dtype=np.int64)
        if whole_b >= 0:
            drop_left = self._explained(self.left, self.cut_left, self.right, whole_b)
        if whole_a >= 0:
            drop_right = self._explained(self.right, self.cut_right, self.left, whole_a)
        return drop_left, drop_right, None

    @staticmethod
    def _explained(cut: Detections, rows: np.ndarray, other: Detections, top: int) -> np.ndarray:
        rows = _covered(cut.segments, rows, other.segments[top])
        return rows[_COMPARABLE * cut.scores[rows] <= other.scores[top]]


def _by_time(
    windows: Sequence[Detections], spans: np.ndarray
) -> tuple[list[Detections], np.ndarray]:
    """Windows and their ``(W, 2)`` spans by rising start.

    Raises:
        ValueError: If they differ in number.
    """
    spans = np.asarray(spans, dtype=np.float64).reshape(-1, 2)
    if len(windows) != len(spans):
        raise ValueError(f'{len(windows)} windows need as many spans, got {len(spans)}')
    order = np.lexsort((spans[:, 1], spans[:, 0]))
    return [windows[i] for i in order], spans[order]


def join_cut_segments(
    windows: Sequence[Detections], spans: np.ndarray, tolerance: float
) -> list[Detections]:
    """Join segments that the inner borders of overlapping windows cut, so that NMS need not.

    A window that ends in the middle of an action finds a part of it, whose tIoU with the whole
    may be too small for NMS: a double detection. So, class by class, where a window ends and
    another one goes on:

    * If the other window saw the action whole (a candidate that crosses the border and does not
      itself begin at its window's begin), it replaces the cut candidates that it covers by half
      or more, unless they score more than twice as high.
    * If both windows cut it (an action longer than their overlap) and the weaker of the two
      parts scores higher than every candidate that is whole, the parts become one segment, from
      the start of the one to the end of the other, with their mean score. It may be joined again
      at the next border.

    Of several windows that go on past a border, the one that sees most on both sides counts.
    Borders where no window goes on, such as the end of the video, cut nothing.

    Args:
        windows: Candidates of each window, in seconds of the whole video.
        spans: ``(W, 2)`` start and end of each window in seconds.
        tolerance: Candidates within this many seconds of a border count as cut by it.

    Returns:
        The candidates that are left, by window in order of time; a joined segment is in the
        later window.

    Raises:
        ValueError: If windows and spans differ in number.
    """
    result, spans = _by_time(windows, spans)
    for i in range(len(result)):
        j = _partner(spans, spans[i, 1], tolerance)
        if j is not None:
            _join_pair(result, i, j, spans, tolerance)
    return result


def _join_pair(
    windows: list[Detections], i: int, j: int, spans: np.ndarray, tolerance: float
) -> None:
    """Join the cut segments of all labels where window ``i`` ends in window ``j``, in place."""
    left, right = windows[i], windows[j]
    keep_left, keep_right = np.ones(len(left.scores), bool), np.ones(len(right.scores), bool)
    joined = []
    near_end = left.segments[:, 1] >= spans[i, 1] - tolerance
    near_begin = right.segments[:, 0] <= spans[j, 0] + tolerance
    for label in np.union1d(left.labels[near_end], right.labels[near_begin]):
        rows_left = np.flatnonzero(left.labels == label)
        rows_right = np.flatnonzero(right.labels == label)
        border = _Border(
            take(left, rows_left), take(right, rows_right), spans[i, 1], spans[j, 0], tolerance
        )
        drop_left, drop_right, whole = border.join()
        keep_left[rows_left[drop_left]] = False
        keep_right[rows_right[drop_right]] = False
        joined += [] if whole is None else [whole]
    windows[i] = take(left, keep_left)
    windows[j] = concatenate([*joined, take(right, keep_right)])


def suppress_in_overlaps(
    windows: Sequence[Detections], spans: np.ndarray, iou_thr: float
) -> list[Detections]:
    """Hard NMS where neighbouring windows overlap, and nowhere else.

    Windows of a detector that predicts sets, such as TadTR, need no suppression inside, but what
    two of them saw is detected twice. As in TadTR's release (Liu et al., 2022), all candidates
    of the video that reach into the overlap of two neighbouring windows are suppressed there,
    class by class. One that reaches into several overlaps stays if it is kept in one of them; the
    release then lists it once for each, here it counts once.

    Args:
        windows: Candidates of each window, in seconds of the whole video.
        spans: ``(W, 2)`` start and end of each window in seconds.
        iou_thr: A candidate goes if its tIoU with a better one is at least this.

    Returns:
        One list of candidates for all windows, in order of the windows' time.

    Raises:
        ValueError: If windows and spans differ in number.
    """
    windows, spans = _by_time(windows, spans)
    pool = concatenate(windows)
    start, end = pool.segments.T
    touched, kept = np.zeros(len(start), bool), np.zeros(len(start), bool)
    for begin, stop in zip(spans[1:, 0], spans[:-1, 1]):
        rows = np.flatnonzero(np.minimum(end, stop) - np.maximum(start, begin) > 0)
        touched[rows] = True
        best = nms_1d(pool.segments[rows], pool.scores[rows], iou_thr, labels=pool.labels[rows])
        kept[rows[best]] = True
    return [take(pool, kept | ~touched)]
