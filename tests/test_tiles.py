"""Painting in squares: everywhere covered, nowhere a seam, what each square would say where they agree."""

from itertools import pairwise

import pytest
import torch

from beautynet.tiles import _starts, tiled


@pytest.mark.parametrize("size", [(64, 64), (1, 200), (65, 131), (200, 64), (63, 500), (129, 77)])
def test_what_does_not_depend_on_the_square_is_the_same(size: tuple[int, int]) -> None:
    shown = torch.rand(2, 3, *size)
    sides = []

    def paint(square: torch.Tensor, corner: tuple[int, int]) -> torch.Tensor:
        sides.append(max(square.shape[-2:]))
        x, y = corner
        assert (shown[..., y : y + square.shape[-2], x : x + square.shape[-1]] == square).all()
        return 1 - square

    assert torch.allclose(tiled(paint, shown, 64), 1 - shown, atol=1e-5)
    assert max(sides) <= 64


def test_squares_that_disagree_leave_no_seam() -> None:
    tones = iter(range(100))  # of squares in rows of five: neighbours of both kinds differ
    painted = tiled(lambda square, _: torch.full_like(square, next(tones) % 2), torch.zeros(1, 3, 200, 250), 64)
    steps = torch.cat([painted.diff(dim=2).abs().flatten(), painted.diff(dim=3).abs().flatten()])
    assert steps.max() < 0.12


@pytest.mark.parametrize("side", [32, 64, 100])
@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 65, 500, 2160])
def test_squares_reach_from_end_to_end(length: int, side: int) -> None:
    side = min(side, length)
    starts = _starts(length, side)
    assert (starts[0], starts[-1] + side) == (0, length)
    assert all(0 < b - a <= side - side // 4 + 1 for a, b in pairwise(starts))
