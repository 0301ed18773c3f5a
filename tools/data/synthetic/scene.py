"""Pixels: cluttered background, actor, distractors, camera and sensor."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from .timeline import SIZE, Timeline

_MARGIN = 8
_CANVAS = SIZE + 2 * _MARGIN
_DISC, _RING = 9.5, 16.0


def _clutter(rng: np.random.Generator) -> np.ndarray:
    """A ``(_CANVAS, _CANVAS, 3)`` float32 background of coloured, textured patches."""
    coarse = rng.uniform(70, 180, (6, 6, 3)).astype(np.float32)
    canvas = cv2.resize(coarse, (_CANVAS, _CANVAS), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(10, 16))):
        x, y = (int(v) for v in rng.integers(0, _CANVAS, 2))
        w, h = (int(v) for v in rng.integers(6, 24, 2))
        colour = tuple(float(v) for v in rng.uniform(50, 205, 3))
        if rng.random() < 0.5:
            cv2.rectangle(canvas, (x, y), (x + w, y + h), colour, -1)
        else:
            cv2.ellipse(canvas, (x, y), (w // 2, h // 2), 0, 0, 360, colour, -1)
    grain = cv2.GaussianBlur(rng.normal(0, 30, canvas.shape).astype(np.float32), (0, 0), 1.2)
    return cv2.GaussianBlur(canvas, (0, 0), 1.0) + grain


_ROWS, _COLUMNS = np.mgrid[:_CANVAS, :_CANVAS].astype(np.float32)


def _draw_actor(
    canvas: np.ndarray, centre: np.ndarray, angle: float, colour: np.ndarray, texture: np.ndarray
) -> None:
    x, y = centre + _MARGIN
    left, top = int(x - _RING - 2), int(y - _RING - 2)
    box = (slice(top, top + 2 * int(_RING) + 6), slice(left, left + 2 * int(_RING) + 6))
    dx, dy = _COLUMNS[box] - x, _ROWS[box] - y
    radius = np.hypot(dx, dy)
    stripes = 128 + 85 * np.cos(4 * (np.arctan2(dy, dx) - angle))
    ring = np.clip(_RING - radius, 0, 1)[..., None]
    disc = np.clip((_DISC - radius) / 2, 0, 1)[..., None]
    shade = texture[: dx.shape[0], : dx.shape[1], None]
    patch = canvas[box] * (1 - ring) + ring * stripes[..., None]
    canvas[box] = patch * (1 - disc) + disc * (colour + shade)


def _draw_passers(canvas: np.ndarray, passers: list[dict], frame: int) -> None:
    for passer in passers:
        x = passer['x'] + passer['speed'] * (frame - passer['start'])
        left, top = round(x), passer['y']
        if -10 < left < _CANVAS:
            cut = max(0, -left)
            patch = passer['texture'][:, cut : _CANVAS - left]
            canvas[top : top + 10, max(0, left) : max(0, left) + patch.shape[1]] = patch


def _passers(rng: np.random.Generator, num_frames: int) -> list[dict]:
    """Small textured squares that cross the picture sideways, behind the actor."""
    passers = []
    for _ in range(int(rng.integers(2, 4))):
        right = rng.random() < 0.5
        passers.append(
            {
                'start': int(rng.integers(0, num_frames)),
                'x': -10.0 if right else float(_CANVAS),
                'y': int(rng.integers(_MARGIN, _CANVAS - _MARGIN - 10)),
                'speed': (1 if right else -1) * float(rng.uniform(1.5, 3.0)),
                'texture': rng.uniform(40, 215, (10, 10, 3)).astype(np.float32),
            }
        )
    return passers


def _camera(rng: np.random.Generator, num_frames: int) -> np.ndarray:
    """Camera offset ``(T, 2)`` in pixels: a slow drift with a little shake."""
    shake = rng.normal(0, 0.25, (num_frames, 2))
    drift = np.zeros((num_frames, 2))
    for t in range(1, num_frames):
        drift[t] = 0.95 * drift[t - 1] + rng.normal(0, 0.18, 2)
    return np.clip(drift + shake, -3, 3)


def render_frames(rng: np.random.Generator, line: Timeline) -> Iterator[np.ndarray]:
    """Render a video.

    Yields:
        ``(SIZE, SIZE, 3)`` uint8 RGB frames.
    """
    num_frames = len(line.angle)
    background, passers = _clutter(rng), _passers(rng, num_frames)
    side = 2 * int(_RING) + 6
    texture = cv2.GaussianBlur(rng.normal(0, 14, (side, side)).astype(np.float32), (0, 0), 2.0)
    camera = _camera(rng, num_frames)
    phase, swing = rng.uniform(0, 2 * np.pi), rng.uniform(0.04, 0.1)
    for t in range(num_frames):
        canvas = background.copy()
        _draw_passers(canvas, passers, t)
        _draw_actor(canvas, line.centre[t], line.angle[t], line.colour[t], texture)
        shift = np.array(
            [[1, 0, camera[t, 0] - _MARGIN], [0, 1, camera[t, 1] - _MARGIN]], np.float32
        )
        view = cv2.warpAffine(canvas, shift, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
        light = 1 + swing * np.sin(2 * np.pi * t / 90 + phase)
        flicker = rng.normal(0, 1.5, 3)
        noise = rng.normal(0, 5.0, view.shape)
        yield np.clip(view * light + flicker + noise, 0, 255).round().astype(np.uint8)
