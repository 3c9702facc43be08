"""Pictures that are too large to be painted at once: in overlapping squares, each fading into the next."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

OVERLAP = 4
"""Neighbouring squares share a quarter of their side."""


def tiled(paint: Callable[[Tensor, tuple[int, int]], Tensor], shown: Tensor, side: int) -> Tensor:
    """(N, 3, H, W) painted in squares of at most `side` px: same shape.

    `paint` is given a square and its corner (x, y). Where squares overlap, each counts by the distance to its border.
    The generator's norm takes its statistics from a square then and not from the whole picture, so that the wide
    overlap has differences of tone to hide.
    """
    height, width = shown.shape[-2:]
    across, down = min(side, width), min(side, height)
    weight = _ramp(down, shown)[:, None] * _ramp(across, shown)
    painted = torch.zeros_like(shown, dtype=torch.float32)
    total = torch.zeros(height, width, device=shown.device)
    for y in _starts(height, down):
        for x in _starts(width, across):
            square = ..., slice(y, y + down), slice(x, x + across)
            painted[square] += paint(shown[square], (x, y)) * weight
            total[square] += weight
    return painted / total


def _starts(length: int, side: int) -> list[int]:
    """Where squares begin, evenly spread."""
    count = max(1, -(-(length - side // OVERLAP) // max(1, side - side // OVERLAP)))
    return [round(number * (length - side) / max(1, count - 1)) for number in range(count)]


def _ramp(side: int, like: Tensor) -> Tensor:
    """1 inside, down to nearly 0 over the overlap at both ends."""
    position = torch.arange(side, device=like.device, dtype=torch.float32)
    return (torch.minimum(position, side - 1 - position) + 1).clamp_max(side / OVERLAP) * OVERLAP / side
