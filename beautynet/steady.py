"""Films that hold still: each dream leans on the one before it, moved along with what moved in the film."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

TRUST = 30.0
"""A pixel of the film that is this much (of 255, in its worst channel) off what was there before trusts it by 1/e."""
ASTRAY = 0.5
"""Square px that a flow may miss the place where it began by: there, trust is 1/e."""
FINE, AROUND = 2.0, 15
"""Px: detail is what a blur so wide takes away, and its strength is compared over squares of this side."""
MOST_GAIN = 2.5
"""Detail is at most so many times as strong as it was left: what is gone is gone."""
SMALLEST = 32
"""Shorter side in px of what optical flow can be found in."""


class Moment(NamedTuple):
    """What a frame leaves to the next."""

    frame: NDArray[np.uint8]
    """As the film has it, at the scale of the dream: (h, w, 3)."""
    dream: NDArray[np.float32]
    """Before its detail was restored: (h, w, 3)."""


def lean(
    frames: NDArray[np.uint8], dreams: NDArray[np.float32], before: Moment | None, strength: float
) -> tuple[NDArray[np.float32], Moment]:
    """Steady the dreams (N, h, w, 3), of any range, of consecutive frames (N, H, W, 3) of one scene.

    Where the film, moved by its own optical flow (DIS; Kroeger et al. 2016), looks as it did `before`, a dream is
    `strength` (0..1) parts the last one, moved alike; where something was uncovered, changed or came in at the border,
    it is itself. The result is the dreams and what they leave to the frame after them.
    """
    height, width = dreams.shape[1:3]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2).astype(np.float32)
    steadied = np.empty_like(dreams)
    for number, (picture, dream) in enumerate(zip(frames, dreams, strict=True)):
        frame = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        if before is None or min(height, width) < SMALLEST:
            blend = dream
            steadied[number] = dream
        else:
            now, then = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (frame, before.frame))
            back, forth = flow.calc(now, then, None), flow.calc(then, now, None)
            whence = grid + back
            film_then = cv2.remap(before.frame, whence, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            # cubic, since a dream is moved again and again
            dream_then = cv2.remap(before.dream, whence, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            change = cv2.blur(cv2.absdiff(frame, film_then), (3, 3)).max(axis=2)
            inside = ((whence >= 0) & (whence <= (width - 1, height - 1))).all(axis=2)
            # a flow that does not come back comes from what was covered (Sundaram, Brox and Keutzer 2010)
            returned = back + cv2.remap(forth, whence, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            error = cv2.blur((returned**2).sum(axis=2), (5, 5)) / (0.05 * (back**2).sum(axis=2) + ASTRAY)
            trust = strength * np.exp(change / np.float32(-TRUST) - error) * inside
            blend = (dream + trust[..., None] * (dream_then - dream)).astype(np.float32)
            steadied[number] = _as_crisp(blend, dream)
        before = Moment(frame, blend)  # not what was made crisp: sharpened again and again, flat areas grow specks
    assert before is not None
    return steadied, before


def _as_crisp(blend: NDArray[np.float32], dream: NDArray[np.float32]) -> NDArray[np.float32]:
    """The blend with its detail as strong as the dream's: two textures that do not quite meet blur each other."""
    detail, wanted = (each - cv2.GaussianBlur(each, (0, 0), FINE) for each in (blend, dream))
    has, should = (cv2.blur(np.abs(each).mean(axis=2), (AROUND, AROUND)) for each in (detail, wanted))
    gain = np.clip(should / np.maximum(has, 1e-6), 1, MOST_GAIN)
    return np.asarray(blend + (gain[..., None] - 1) * detail, np.float32)
