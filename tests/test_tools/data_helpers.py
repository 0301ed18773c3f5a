"""What the data tests share."""

import numpy as np


def make_frames(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """A textured picture that moves sideways, as ``(H, W, 3)`` uint8 frames."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    return [np.roll(base, i, axis=1) for i in range(count)]
