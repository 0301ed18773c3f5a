"""Which clip plays when in a composed video. No pixel is touched here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FPS = 25
_FADE = (4, 8)


@dataclass(frozen=True)
class Clip:
    """One source clip.

    Attributes:
        path: File relative to the source folder.
        actor: Who is seen.
        label: Name of the action.
        first: First frame in which the actor acts.
        stop: One past the last such frame.
        num_frames: Frames of the file.
        md5: Checksum of the file.
    """

    path: str
    actor: str
    label: str
    first: int
    stop: int
    num_frames: int
    md5: str


@dataclass(frozen=True)
class Piece:
    """A stretch of a composed video.

    Attributes:
        clip: Path of the clip that it shows.
        first: First frame shown; a held piece shows only this one.
        length: Frames.
        held: Whether the frame ``first`` stands still.
        fade: Frames that overlap with the piece before, blended; 0 joins on without a cut.
        label: Class of the action, None in the background.
    """

    clip: str
    first: int
    length: int
    held: bool
    fade: int
    label: str | None = None


def _seconds(rng: np.random.Generator, low: float, high: float) -> int:
    return round(rng.uniform(low, high) * FPS)


def _fade(rng: np.random.Generator) -> int:
    return 2 * int(rng.integers(_FADE[0] // 2, _FADE[1] // 2 + 1))


def _pose(rng: np.random.Generator, clips: Sequence[Clip]) -> Piece:
    """A person standing still: any moment of any of the actor's clips, held."""
    clip = clips[int(rng.integers(len(clips)))]
    frame = int(rng.integers(clip.first, clip.stop))
    return Piece(clip.path, frame, _seconds(rng, 1.0, 2.2), True, _fade(rng))


def _whole(rng: np.random.Generator, clip: Clip, label: str | None, fade: int) -> Piece:
    return Piece(clip.path, clip.first, clip.stop - clip.first, False, fade, label)


def _background(
    rng: np.random.Generator, clips: Sequence[Clip], distractor: Clip | None
) -> list[Piece]:
    """One to three blended pieces without an action, among them ``distractor`` if there is one."""
    pieces = [_pose(rng, clips) for _ in range(int(rng.integers(1, 3)))]
    if distractor is not None:
        at = int(rng.integers(len(pieces) + 1))
        pieces.insert(at, _whole(rng, distractor, None, _fade(rng)))
    return pieces


def _action(rng: np.random.Generator, clip: Clip) -> list[Piece]:
    """An action that begins (and ends) at a cut, or out of (into) its own held pose."""
    pieces = []
    lead_in, lead_out = rng.random(2) < 0.5
    if lead_in:
        length = _seconds(rng, 0.8, 1.6)
        pieces.append(Piece(clip.path, clip.first, length, True, _fade(rng)))
    pieces.append(_whole(rng, clip, clip.label, 0 if lead_in else _fade(rng)))
    if lead_out:
        pieces.append(Piece(clip.path, clip.stop - 1, _seconds(rng, 0.8, 1.6), True, 0))
    return pieces


def plan_video(
    rng: np.random.Generator,
    actions: Sequence[Clip],
    distractors: Sequence[Clip],
    pose_clips: Sequence[Clip],
) -> list[Piece]:
    """Compose one video: background, action, background, ..., background.

    Args:
        rng: Decides everything.
        actions: Clips to show whole, labelled, in this order.
        distractors: Clips to show whole in the background, unlabelled.
        pose_clips: Clips that held poses may come from.
    """
    gaps: list[Clip | None] = [None] * (len(actions) + 1)
    for clip, gap in zip(distractors, rng.permutation(len(gaps))):
        gaps[gap] = clip
    pieces = _background(rng, pose_clips, gaps[0])
    for clip, distractor in zip(actions, gaps[1:]):
        pieces += _action(rng, clip) + _background(rng, pose_clips, distractor)
    first = pieces[0]
    return [Piece(first.clip, first.first, first.length, first.held, 0, None), *pieces[1:]]


def lay_out(pieces: Sequence[Piece]) -> tuple[list[int], int]:
    """Frame at which each piece begins to appear, and the length of the video in frames."""
    begins, end = [], 0
    for piece in pieces:
        begins.append(end - piece.fade)
        end = begins[-1] + piece.length
    return begins, end


def annotate(pieces: Sequence[Piece]) -> list[dict]:
    """Annotations in seconds; a boundary lies in the middle of its blend."""
    begins, _ = lay_out(pieces)
    fades = [piece.fade for piece in pieces] + [0]
    annotations = []
    for i, (piece, begin) in enumerate(zip(pieces, begins)):
        if piece.label is not None:
            start = begin + fades[i] / 2
            end = begin + piece.length - fades[i + 1] / 2
            annotations.append({'segment': [start / FPS, end / FPS], 'label': piece.label})
    return annotations
