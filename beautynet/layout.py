"""Where the original and the dream stand on the page."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from beautynet.errors import BeautyError

LAYOUTS = {"side": (2, 1), "stack": (1, 2), "only": (1, 1)}
"""What to show -> how many panels across and down: original | dream, original over dream, the dream alone."""


def composed_size(size: tuple[int, int], layout: str) -> tuple[int, int]:
    """(width, height) of the page for panels of `size`. An unknown layout is a BeautyError."""
    if layout not in LAYOUTS:
        raise BeautyError(f"unknown layout {layout!r}: choose from {', '.join(LAYOUTS)}")
    across, down = LAYOUTS[layout]
    return size[0] * across, size[1] * down


def compose(original: NDArray[np.uint8], dream: NDArray[np.uint8], layout: str) -> NDArray[np.uint8]:
    """The page for an original and its dream, both (H, W, 3)."""
    if layout == "only":
        return dream
    return np.concatenate((original, dream), axis=1 if layout == "side" else 0)
