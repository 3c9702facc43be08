"""A film's frames as they go from hand to hand: when they are shown, which belong to one scene, how many at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CUT, GRAIN, FLASH = 0.42, 12, 40
"""Neighbouring frames are of different scenes if what is in them differs by more than CUT of their contrasts together:
of unrelated pictures it is near 0.8, whether bright or dark. GRAIN (0..255) is added, lest noise be a cut. Or if their
means differ by more than FLASH (0..255): a fade is none."""
BATCH, BATCH_GPU, BATCH_PIXELS = 8, 16, 1 << 24
"""Frames that the network sees at once, and on a GPU; and the pixels that they may have together: two frames of 4K."""


class Frame(NamedTuple):
    """One frame of a film: an upright picture (uint8 RGB, HWC), when it appears and for how long (seconds)."""

    picture: NDArray[np.uint8]
    time: Fraction
    duration: Fraction


class _Sample(NamedTuple):
    """Some pixels of a picture: how far each is from their mean, and how far on average."""

    shape: tuple[int, ...]  # of the whole picture
    content: NDArray[np.float32]  # h, w, 3
    mean: NDArray[np.float32]  # 3
    contrast: float


class Cuts:
    """Shown the frames of a film one by one, tells where another scene begins."""

    def __init__(self) -> None:
        self._before: _Sample | None = None

    def __call__(self, picture: NDArray[np.uint8]) -> bool:
        """Whether this frame (H, W, 3) is of another scene than the one before it."""
        pixels = picture[::16, ::16].astype(np.float32)
        mean = pixels.mean((0, 1))
        content = pixels - mean
        now = _Sample(picture.shape, content, mean, float(np.abs(content).mean()))
        before, self._before = self._before, now
        if before is None or before.shape != now.shape:
            return before is not None
        differs = float(np.abs(now.content - before.content).mean())
        return bool(
            differs > CUT * (before.contrast + now.contrast + GRAIN) or np.abs(now.mean - before.mean).mean() > FLASH
        )


class Batch(NamedTuple):
    """Neighbouring frames of one scene."""

    frames: list[Frame]
    after_cut: bool
    """Whether the scene begins with them."""


def in_batches(frames: Iterable[Frame], most: int = BATCH) -> Generator[Batch]:
    """Up to `most` frames at a time, fewer of large ones (BATCH_PIXELS), all of one scene."""
    is_cut = Cuts()
    batch: list[Frame] = []
    after_cut = False
    for frame in frames:
        cut = is_cut(frame.picture)
        height, width = frame.picture.shape[:2]
        if batch and (cut or len(batch) == most or (len(batch) + 1) * height * width > BATCH_PIXELS):
            yield Batch(batch, after_cut)
            batch, after_cut = [], cut
        batch.append(frame)
    if batch:
        yield Batch(batch, after_cut)
