"""Made-up scenes: walls, windows, wires and clouds before each other, as no photo of a flower has them.

A network that is only shown what it was trained on has never had to paint a street. So while it learns it practises on
these: nobody knows what they would look like as flowers, but the discriminator knows flowers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

LARGEST = 128
"""Side in px of a scene at most: conditions show little of what a larger one would have."""
FIELDS = 32
"""So many fields of noise all scenes are made of."""
SMOOTHNESS = (1.0, 2.0)
"""Their amplitude falls with the frequency to such a power: photos have about 1 (Field 1987), smooth light 2."""
UNEVEN = 35.0
"""The standard deviation of the light of a thing, 0..255, at most."""

Field = NDArray[np.float32]
"""Noise of unit variance: (side, side)."""
Mask = NDArray[np.uint8]
"""Where a thing is, 0..255: (side, side)."""
Box = tuple[float, float, float, float]
"""Where a thing begins, or has its middle (x, y), its width and height, in px."""


def scenes(count: int, size: int, seed: int) -> list[NDArray[np.uint8]]:
    """So many scenes to practise on at `size` px; the same seed, the same scenes."""
    random = np.random.default_rng(seed)
    side = min(size, LARGEST)
    fields = [_field(side, power, random) for power in np.linspace(*SMOOTHNESS, FIELDS)]
    return [scene(fields, random) for _ in range(count)]


def scene(fields: Sequence[Field], random: np.random.Generator) -> NDArray[np.uint8]:
    """A scene of its own, as large as the fields of noise that it is made of: RGB, (side, side, 3).

    Things of all sizes over each other (dead leaves; Lee, Mumford and Huang 2001), none evenly lit, before a wall or a
    sky that is lighter at one end.
    """
    side = len(fields[0])
    above, below = random.uniform(20, 235, 2).tolist()
    canvas = _surface(np.linspace(above, below, side)[:, None, None], fields, random)
    for _ in range(random.integers(3, 12)):
        extent = side * math.exp(random.uniform(math.log(0.08), math.log(0.9)))
        x, y = random.uniform(-0.2, 1.1, 2) * side
        width, height = random.uniform(0.3, 1, 2) * extent
        mask = np.zeros((side, side), np.uint8)
        draw = [*THINGS][random.choice(len(THINGS), p=[*THINGS.values()])]
        draw(mask, (x, y, width, height), fields, random)
        thing = _surface(random.uniform(5, 250), fields, random)
        canvas += (mask / np.float32(255))[:, :, None] * (thing - canvas)
    return canvas.clip(0, 255).astype(np.uint8)


def _field(side: int, power: float, random: np.random.Generator) -> Field:
    """Noise of unit variance that repeats at its border, (side, side), whose amplitude falls with the frequency."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.normal(size=(side, side))) * frequency**-power
    noise = np.fft.irfft2(spectrum, (side, side))
    return np.asarray(noise / noise.std(), np.float32)


def _anywhere(fields: Sequence[Field], random: np.random.Generator) -> Field:
    """One of the fields, beginning somewhere else."""
    field = fields[int(random.integers(len(fields)))]
    return np.roll(field, random.integers(len(field), size=2).tolist(), (0, 1))


def _surface(
    light: float | NDArray[np.float64], fields: Sequence[Field], random: np.random.Generator
) -> NDArray[np.float32]:
    """Nearly grey, unevenly lit: (side, side, 3)."""
    colour = np.asarray(light + random.normal(0, 10, 3), np.float32)
    uneven = np.float32(random.uniform(0, UNEVEN)) * _anywhere(fields, random)
    return colour + uneven[:, :, None]


def _polygon(mask: Mask, corners: NDArray[np.float64], value: float = 255) -> None:
    cv2.fillPoly(mask, [corners.round().astype(np.int32)], value, cv2.LINE_AA)


def _wall(mask: Mask, box: Box, _fields: Sequence[Field], random: np.random.Generator) -> None:
    """Four sides, a little askew and in perspective."""
    left, top, width, height = box
    corners = np.array([(0, 0), (width, height * random.normal(0, 0.1)), (width, height), (0, height)])
    tilt = math.radians(random.normal(0, 4))
    turn = np.array([(math.cos(tilt), math.sin(tilt)), (-math.sin(tilt), math.cos(tilt))])
    _polygon(mask, corners @ turn + (left, top))


def _splinter(mask: Mask, box: Box, _fields: Sequence[Field], random: np.random.Generator) -> None:
    """Three to six corners."""
    x, y, width, height = box
    around = np.sort(random.uniform(0, 2 * math.pi, random.integers(3, 7)))
    _polygon(mask, np.stack([np.cos(around) * width / 2 + x, np.sin(around) * height / 2 + y], axis=1))


def _disc(mask: Mask, box: Box, _fields: Sequence[Field], random: np.random.Generator) -> None:
    x, y, width, height = box
    axes = max(1, int(width / 2)), max(1, int(height / 2))
    cv2.ellipse(mask, (int(x), int(y)), axes, random.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)


def _windows(mask: Mask, box: Box, _fields: Sequence[Field], random: np.random.Generator) -> None:
    """A wall with windows in rows, through which one sees more or less of what is behind it."""
    left, top, width, height = box
    wall = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * (width, height)
    _polygon(mask, np.add(wall, (left, top)))
    glass = random.uniform(0, 200)
    columns, rows = random.integers(2, 7, 2)
    for column, row in np.ndindex(columns, rows):
        corner = (left + width * (column + 0.2) / columns, top + height * (row + 0.2) / rows)
        _polygon(mask, wall * (0.6 / columns, 0.6 / rows) + corner, glass)


def _wires(mask: Mask, box: Box, _fields: Sequence[Field], random: np.random.Generator) -> None:
    """Straight lines from one place, across it all."""
    side, start = len(mask), (int(box[0]), int(box[1]))
    for _ in range(random.integers(1, 6)):
        end = (random.uniform(-0.1, 1.1, 2) * side).astype(int).tolist()
        cv2.line(mask, start, end, 255, max(1, round(side / 128 * random.integers(1, 4))), cv2.LINE_AA)


def _cloud(mask: Mask, box: Box, fields: Sequence[Field], random: np.random.Generator) -> None:
    """Ragged, like a cloud, a bush or a crowd."""
    x, y, width, height = box
    down, across = np.ogrid[: len(mask), : len(mask)]
    inside = 0.7 + 0.35 * _anywhere(fields, random) - np.hypot((across - x) / width, (down - y) / height)
    mask[:] = (inside * len(mask) / 12).clip(0, 1) * 255


THINGS: dict[Callable[[Mask, Box, Sequence[Field], np.random.Generator], None], float] = {
    _wall: 0.175,
    _splinter: 0.1,
    _disc: 0.1,
    _windows: 0.075,
    _wires: 0.05,
    _cloud: 0.5,
}
"""And how often there is one of each."""
