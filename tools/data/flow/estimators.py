"""Optical flow between two grey pictures, by OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

Estimator = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From two ``(H, W)`` uint8 pictures to ``(H, W, 2)`` float32, pixels in x and y."""


def _tvl1() -> Estimator:
    import cv2

    if not hasattr(cv2, 'optflow'):
        raise ValueError(
            'TV-L1 needs the contrib modules of OpenCV: `pip install opencv-contrib-python`, of '
            'the same version as opencv-python, or choose --method dis'
        )
    flow = cv2.optflow.DualTVL1OpticalFlow.create()
    return lambda before, after: flow.calc(before, after, None)


def _dis() -> Estimator:
    import cv2

    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)
    return lambda before, after: flow.calc(before, after, None)


def _farneback() -> Estimator:
    import cv2

    def calc(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)

    return calc


METHODS: dict[str, Callable[[], Estimator]] = {
    'tvl1': _tvl1,
    'dis': _dis,
    'farneback': _farneback,
}
"""TV-L1 and Farneback with the usual settings; DIS in its medium preset, down to single pixels."""


def flow_of_frames(frames: Iterable[np.ndarray], estimate: Estimator) -> Iterator[np.ndarray]:
    """A flow field for each frame.

    Args:
        frames: ``(H, W, 3)`` uint8 RGB.
        estimate: One of :data:`METHODS`.

    Yields:
        For frame ``t`` the motion from frame ``t - 1`` to it; for the first frame that of the
        second, or zeros where there is no second.
    """
    import cv2

    before: np.ndarray | None = None
    count = 0
    for count, frame in enumerate(frames, 1):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if before is not None:
            flow = estimate(before, grey)
            if count == 2:
                yield flow
            yield flow
        before = grey
    if before is not None and count == 1:
        yield np.zeros((*before.shape, 2), dtype=np.float32)
