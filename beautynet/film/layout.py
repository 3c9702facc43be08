"""Where the original and the dream stand on the page."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from beautynet.errors import UsageError

LAYOUTS = {"side": (2, 1), "stack": (1, 2), "only": (1, 1), "wipe": (1, 1)}
"""What to show -> how many panels across and down: original | dream, original over dream, the dream alone, or one
panel with the original left of a line and the dream right of it."""
WIPE_SECONDS = 8.0
"""In a film the line goes there and back in so long."""


def composed_size(size: tuple[int, int], layout: str) -> tuple[int, int]:
    """(width, height) of the page for panels of `size`. An unknown layout is a BeautyError."""
    if layout not in LAYOUTS:
        raise UsageError(f"unknown layout {layout!r}: choose from {', '.join(LAYOUTS)}")
    across, down = LAYOUTS[layout]
    return size[0] * across, size[1] * down


def compose(
    original: NDArray[np.uint8], dream: NDArray[np.uint8], layout: str, time: float | None = None
) -> NDArray[np.uint8]:
    """The page for an original and its dream, both (H, W, 3); of a film, `time` seconds after its beginning."""
    if layout == "only":
        return dream
    if layout == "wipe":
        share = 0.5 if time is None else 0.5 + 0.5 * math.cos(2 * math.pi * time / WIPE_SECONDS)
        line = round(share * original.shape[1])
        page = np.concatenate((original[:, :line], dream[:, line:]), axis=1)
        if 0 < line < page.shape[1]:
            page[:, line - 1 : line + 1] = 255
        return page
    return np.concatenate((original, dream), axis=1 if layout == "side" else 0)
