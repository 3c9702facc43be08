"""Ellipses: painted as others paint them, smooth for gradients, and the same in SVG."""

import re

import cv2
import numpy as np
import pytest
import torch

from beautynet import images
from beautynet.drawing.ellipses import Ellipses, Style, hexadecimal

SIDE = 128


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def opencv(drawn: Ellipses, side: int, finer: int = 8) -> np.ndarray:
    """The first drawing, by OpenCV on a canvas that is finer, averaged down."""
    large = side * finer
    canvas = np.full((large, large, 3), (255 * drawn.background[0]).round().numpy(), np.float32)
    for centre, axes, tilt, colour in zip(*(part[0] for part in drawn[:4]), strict=True):
        x, y = ((centre * large - 0.5) * 256).round().int().tolist()
        a, b = (axes * large * 256).round().int().tolist()
        cv2.ellipse(canvas, (x, y), (a, b), float(tilt.rad2deg()), 0, 360, (255 * colour).tolist(), -1, cv2.LINE_8, 8)
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("seed", range(12))
def test_as_opencv_paints_them(seed: int) -> None:
    style = Style(ellipses=6)
    drawn = style.read(style.random(1, dice(seed)))
    painted = (drawn.painted(SIDE)[0] + 1).mul(127.5).permute(1, 2, 0).numpy()
    assert np.abs(painted - opencv(drawn, SIDE)).mean() < 1


def test_in_bands_it_is_the_same() -> None:
    style = Style(ellipses=5)
    drawn = style.read(style.random(1, dice()))
    assert np.abs(drawn.picture(200).astype(int) - images.to_uint8(drawn.painted(200))[0]).max() <= 1


def test_gradients_reach_everything_and_are_right() -> None:
    style = Style(ellipses=3)
    genes = style.random(1, dice(3)).double().requires_grad_()

    def seen(genes: torch.Tensor) -> torch.Tensor:
        return style.read(genes).painted(24, 6.0).double()[:, :, ::5, ::5]

    assert torch.autograd.gradcheck(seen, (genes,), eps=1e-5, atol=1e-3, rtol=1e-2, nondet_tol=1e-6)
    seen(genes).square().sum().backward()
    assert genes.grad is not None
    assert (genes.grad != 0).float().mean() > 0.8


@pytest.mark.parametrize("style", [Style(4), Style(4, colours=3), Style(4, palette=((0, 0, 0), (1, 1, 1)))])
def test_a_style_holds(style: Style) -> None:
    drawn = style.read(style.random(20, dice()))
    assert drawn.centres.shape == (20, 4, 2)
    assert drawn.colours.min() >= 0
    assert drawn.colours.max() <= 1
    for number in range(20):
        used = {tuple(c) for c in torch.cat([drawn.colours[number], drawn.background[number, None]]).tolist()}
        assert len(used) <= (len(style.palette) or style.colours or 5)
        assert not style.palette or used <= {*style.palette}
    assert style.read(style.random(2, dice()), mixing=0.5).colours.isfinite().all()


def test_a_background_is_kept() -> None:
    style = Style(2, background=(1.0, 0.5, 0.0))
    assert style.read(style.random(3, dice())).background.tolist() == [[1.0, 0.5, 0.0]] * 3


def test_svg_has_true_ellipses() -> None:
    style = Style(ellipses=3)
    drawn = style.read(style.random(2, dice()))
    first, second = drawn.svg(1000)
    assert first != second
    found = re.findall(
        r'<ellipse rx="([\d.]+)" ry="([\d.]+)" transform="translate\((\S+) (\S+)\) rotate\((\S+)\)" fill="(#\w+)"',
        first,
    )
    assert len(found) == 3
    for (rx, ry, x, y, turn, fill), centre, axes, tilt, colour in zip(
        found, *(each[0] for each in drawn[:4]), strict=True
    ):
        wanted = [*(1000 * float(each) for each in (*axes, *centre)), float(tilt.rad2deg()) % 180]
        assert [float(rx), float(ry), float(x), float(y), float(turn)] == pytest.approx(wanted, abs=0.01)
        assert fill == hexadecimal(colour.tolist())
    assert first.count(hexadecimal(drawn.background[0].tolist())) >= 1


def test_moved_is_seen_from_elsewhere() -> None:
    style = Style(ellipses=3)
    drawn = style.read(style.random(1, dice(5)))
    moved = drawn.moved(torch.tensor([[0.125, 0.0]]), torch.ones(1, 1)).painted(64)
    assert torch.allclose(moved[..., 8:], drawn.painted(64)[..., :-8], atol=1e-3)
    half = drawn.moved(torch.zeros(1, 2), torch.full((1, 1), 0.5)).painted(64)
    assert torch.allclose(half[..., 16:48, 16:48], drawn.painted(32), atol=1e-3)
