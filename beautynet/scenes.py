"""Made-up scenes: walls, windows, wires and things before each other, as no photo of a flower has them.

A network that is only shown what it was trained on has never had to paint a street. So while it learns it practises on
these: nobody knows what they would look like as flowers, but the discriminator knows flowers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

LARGEST = 256
"""Side in px of a scene at most: it has no detail that a larger one would show."""

Colour = tuple[float, float, float]
Box = tuple[float, float, float, float]
"""Where a thing begins, or has its middle (x, y), its width and height, in px."""


def scene(side: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """A scene of its own: RGB, (side, side, 3).

    Things of all sizes over each other (dead leaves; Lee, Mumford and Huang 2001) before a wall or a sky that is
    lighter at one end.
    """
    above, below = random.uniform(20, 235, 2)
    canvas = np.empty((side, side, 3), np.float32)
    canvas[:] = np.linspace(above, below, side)[:, None, None] + random.normal(0, 8, 3)
    for _ in range(random.integers(3, 14)):
        extent = side * math.exp(random.uniform(math.log(0.08), math.log(0.9)))
        x, y = random.uniform(-0.2, 1.1, 2) * side
        width, height = random.uniform(0.3, 1, 2) * extent
        draw = THINGS[random.choice(len(THINGS), p=SHARES)]
        draw(canvas, (x, y, width, height), _grey(random.uniform(5, 250), random), random)
    return canvas.clip(0, 255).astype(np.uint8)


def scenes(count: int, size: int, seed: int) -> list[NDArray[np.uint8]]:
    """So many scenes to practise on at `size` px; the same seed, the same scenes."""
    random = np.random.default_rng(seed)
    return [scene(min(size, LARGEST), random) for _ in range(count)]


def _grey(light: float, random: np.random.Generator) -> Colour:
    red, green, blue = light + random.normal(0, 10, 3)
    return float(red), float(green), float(blue)


def _polygon(canvas: NDArray[np.float32], corners: NDArray[np.float64], colour: Colour) -> None:
    cv2.fillPoly(canvas, [corners.round().astype(np.int32)], colour, cv2.LINE_AA)


def _wall(canvas: NDArray[np.float32], box: Box, colour: Colour, random: np.random.Generator) -> None:
    """Four sides, a little askew and in perspective."""
    left, top, width, height = box
    corners = np.array([(0, 0), (width, height * random.normal(0, 0.1)), (width, height), (0, height)])
    tilt = math.radians(random.normal(0, 4))
    turn = np.array([(math.cos(tilt), math.sin(tilt)), (-math.sin(tilt), math.cos(tilt))])
    _polygon(canvas, corners @ turn + (left, top), colour)


def _splinter(canvas: NDArray[np.float32], box: Box, colour: Colour, random: np.random.Generator) -> None:
    """Three to six corners."""
    x, y, width, height = box
    around = np.sort(random.uniform(0, 2 * math.pi, random.integers(3, 7)))
    _polygon(canvas, np.stack([np.cos(around) * width / 2 + x, np.sin(around) * height / 2 + y], axis=1), colour)


def _disc(canvas: NDArray[np.float32], box: Box, colour: Colour, random: np.random.Generator) -> None:
    x, y, width, height = box
    axes = max(1, int(width / 2)), max(1, int(height / 2))
    cv2.ellipse(canvas, (int(x), int(y)), axes, random.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)


def _windows(canvas: NDArray[np.float32], box: Box, colour: Colour, random: np.random.Generator) -> None:
    """A wall with windows in rows."""
    left, top, width, height = box
    wall = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * (width, height)
    _polygon(canvas, np.add(wall, (left, top)), colour)
    glass = _grey(colour[1] + random.normal(0, 60), random)
    columns, rows = random.integers(2, 7, 2)
    for column, row in np.ndindex(columns, rows):
        corner = (left + width * (column + 0.2) / columns, top + height * (row + 0.2) / rows)
        _polygon(canvas, wall * (0.6 / columns, 0.6 / rows) + corner, glass)


def _wires(canvas: NDArray[np.float32], box: Box, colour: Colour, random: np.random.Generator) -> None:
    """Straight lines from one place, across it all."""
    side, start = len(canvas), (int(box[0]), int(box[1]))
    for _ in range(random.integers(1, 6)):
        end = (random.uniform(-0.1, 1.1, 2) * side).astype(int).tolist()
        cv2.line(canvas, start, end, colour, max(1, round(side / 128 * random.integers(1, 4))), cv2.LINE_AA)


THINGS: tuple[Callable[[NDArray[np.float32], Box, Colour, np.random.Generator], None], ...] = (
    _wall,
    _splinter,
    _disc,
    _windows,
    _wires,
)
SHARES = (0.35, 0.2, 0.2, 0.15, 0.1)
"""How often there is one of each."""
