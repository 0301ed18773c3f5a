"""Events of one rendered video, and the state of its actor in every frame.

The actor is a coloured disc with a grey striped ring around it. Half of the classes move the
whole actor and say nothing about its colour; the other half spin the ring, all in the same way,
and are told apart by the colour of the disc, which does not move meanwhile. Between the actions
the same actor stands idle, wiggles its ring, or darts elsewhere, and its colour changes slowly.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

FPS = 10
SIZE = 80
COLOURS = {
    'red': (205, 62, 62),
    'green': (62, 172, 70),
    'blue': (72, 88, 214),
    'yellow': (206, 192, 56),
}
MOTION_CLASSES = ('shake', 'sway', 'rise', 'drop')
APPEARANCE_CLASSES = tuple(f'spin_{name}' for name in COLOURS)
CLASSES = MOTION_CLASSES + APPEARANCE_CLASSES

# Positions of the actor's centre, in pixels: it stays whole inside a central 64 px crop.
_LOW, _HIGH = 25.0, 55.0
_SPIN_STEP = np.deg2rad(18.0)


@dataclass
class Timeline:
    """State of the actor per frame, and the actions.

    Attributes:
        centre: ``(T, 2)`` x and y in pixels.
        angle: ``(T,)`` rotation of the ring in radians.
        colour: ``(T, 3)`` RGB of the disc, 0 to 255.
        actions: ``(start, stop, class)`` in frames, in order.
    """

    centre: np.ndarray
    angle: np.ndarray
    colour: np.ndarray
    actions: list[tuple[int, int, str]] = field(default_factory=list)


def _colour(rng: np.random.Generator, name: str) -> np.ndarray:
    return np.array(COLOURS[name], np.float64) + rng.uniform(-14, 14, 3)


def _length(rng: np.random.Generator, name: str) -> int:
    low, high = {'rise': (1.2, 2.6), 'drop': (1.2, 2.6), 'sway': (2.2, 4.5)}.get(name, (1.2, 4.5))
    return round(rng.uniform(low, high) * FPS)


def _travel(rng: np.random.Generator) -> float:
    return float(rng.uniform(20, 28))


def _path(rng: np.random.Generator, name: str, length: int, travel: float) -> np.ndarray:
    """Displacement ``(length, 2)`` of the actor's centre during an action."""
    steps = np.arange(length, dtype=np.float64)
    path = np.zeros((length, 2))
    if name in ('shake', 'sway'):
        period = (0.5 if name == 'shake' else 1.9) * FPS * rng.uniform(0.9, 1.1)
        path[:, 0] = rng.uniform(6, 8) * np.sin(2 * np.pi * steps / period) * rng.choice([-1, 1])
    elif name in ('rise', 'drop'):
        sign = -1 if name == 'rise' else 1
        path[:, 1] = sign * travel * (steps + 1) / length
    return path


def _place(rng: np.random.Generator, name: str, travel: float) -> np.ndarray:
    """Where the actor must stand before an action so that it stays in the picture."""
    low, high = np.array([_LOW, _LOW]), np.array([_HIGH, _HIGH])
    if name in ('shake', 'sway'):
        low[0], high[0] = _LOW + 6, _HIGH - 6
    elif name == 'rise':
        low[1] = _LOW + travel
    elif name == 'drop':
        high[1] = _HIGH - travel
    return rng.uniform(low, high)


def _background(
    rng: np.random.Generator, line: Timeline, start: int, stop: int, target: np.ndarray | None
) -> None:
    """Fill frames ``start`` to ``stop``: idle, ring wiggles, and a dart to ``target``."""
    length = stop - start
    here, angle = line.centre[start - 1], line.angle[start - 1]
    line.centre[start:stop] = here
    line.angle[start:stop] = angle
    if target is not None:
        dart = int(rng.integers(3, 6))
        at = start + int(rng.integers(2, max(3, length - dart - 2)))
        ramp = np.linspace(0, 1, dart + 1)[1:, None]
        line.centre[at : at + dart] = here + ramp * (target - here)
        line.centre[at + dart : stop] = target
    if length >= 12 and rng.random() < 0.6:
        wiggle = int(rng.integers(6, 10))
        at = start + int(rng.integers(1, length - wiggle))
        swing = np.where(np.arange(wiggle) % 2, 1.0, -1.0) * _SPIN_STEP * 0.5
        line.angle[at : at + wiggle] += swing


def _mix_colour(line: Timeline, start: int, stop: int, target: np.ndarray) -> None:
    """Change the colour evenly over a background stretch, too slowly to stand out."""
    ramp = np.linspace(0, 1, stop - start + 2)[1:-1, None]
    before = line.colour[start - 1]
    line.colour[start:stop] = before + ramp * (target - before)


def plan_timeline(rng: np.random.Generator, num_frames: int, names: deque[str]) -> Timeline:
    """Lay actions out over a video, with background before, between and after.

    Args:
        rng: Decides lengths, places, colours and movements.
        num_frames: Length of the video.
        names: Classes in waiting, taken from the left for as long as they fit. It is refilled
            with a shuffled round of all classes when it is empty, so handing the same queue to
            one video after the other makes every class about equally frequent.
    """
    line = Timeline(np.zeros((num_frames, 2)), np.zeros(num_frames), np.zeros((num_frames, 3)))
    line.centre[0] = rng.uniform(_LOW, _HIGH, 2)
    line.angle[0] = rng.uniform(0, 2 * np.pi)
    line.colour[0] = _colour(rng, rng.choice(list(COLOURS)))
    now = 1
    while True:
        if not names:
            names.extend(str(name) for name in rng.permutation(CLASSES))
        name = names[0]
        gap, length = int(rng.integers(14, 27)), _length(rng, name)
        if now + gap + length + 10 > num_frames:
            break
        names.popleft()
        travel = _travel(rng)
        start, stop = now + gap, now + gap + length
        _background(rng, line, now, start, _place(rng, name, travel))
        wanted = name.removeprefix('spin_') if name in APPEARANCE_CLASSES else None
        _mix_colour(line, now, start, _colour(rng, wanted or rng.choice(list(COLOURS))))
        line.centre[start:stop] = line.centre[start - 1] + _path(rng, name, length, travel)
        line.colour[start:stop] = line.colour[start - 1]
        line.angle[start:stop] = line.angle[start - 1]
        if name in APPEARANCE_CLASSES:
            line.angle[start:stop] += rng.choice([-1, 1]) * _SPIN_STEP * np.arange(1, length + 1)
        line.actions.append((start, stop, name))
        now = stop
    target = rng.uniform(_LOW, _HIGH, 2) if num_frames - now > 12 else None
    _background(rng, line, now, num_frames, target)
    _mix_colour(line, now, num_frames, _colour(rng, rng.choice(list(COLOURS))))
    return line
