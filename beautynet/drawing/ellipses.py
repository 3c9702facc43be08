"""Drawings of a few ellipses: as numbers that can be searched, as pixels that gradients pass through, as SVG.

A `Style` says what may vary; a drawing is then a row of numbers, its genes; `Style.read` turns rows into `Ellipses`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from beautynet import images

FEATHER = 1.0
"""Px that an edge takes from paper to paint when a drawing is finished: what antialiasing takes."""
SMALLEST, LARGEST = 0.025, 0.9
"""Semi-axes, as shares of the side."""
ROUNDING = 1e-4
TOGETHER = 32
"""Ellipses painted in one go on a CPU: for fewer the calls take longer than the arithmetic."""
MARGIN = 0.15
"""Centres may lie so far (a share of the side) outside."""

Colour = tuple[float, float, float]


class Ellipses(NamedTuple):
    """N drawings of K ellipses, from the lowest to the uppermost; places and lengths are shares of the side, y down."""

    centres: Tensor  # (N, K, 2)
    axes: Tensor  # (N, K, 2), semi-axes
    tilts: Tensor  # (N, K), radians
    colours: Tensor  # (N, K, 3) in 0..1
    background: Tensor  # (N, 3) in 0..1

    def moved(self, shift: Tensor, scale: Tensor) -> Ellipses:
        """Shifted by (N, 2) and scaled around the middle by (N, 1): what a camera that is not quite straight sees."""
        centres = (self.centres - 0.5) * scale[:, None] + 0.5 + shift[:, None]
        return self._replace(centres=centres, axes=self.axes * scale[:, None])

    def painted(self, side: int, feather: Tensor | float = FEATHER, rows: slice | None = None) -> Tensor:
        """As pictures (N, 3, side, side) in [-1, 1], or some `rows` of them; edges are `feather` px wide, one or (N,).

        An ellipse is F(x, y) = 1 for a quadratic F, so F and the square of its gradient at all pixels are one matrix
        product each; the distance to the edge is (F - √F)·2 / |∇F| to first order.
        """
        basis = _basis(side, (rows or slice(None)).indices(side)[:2], self.centres.dtype, self.centres.device)
        u, v = (self.centres - 0.5).unbind(2)
        a, b = self.axes.unbind(2)
        cos, sin = self.tilts.cos(), self.tilts.sin()
        xx, yy, xy = (cos / a) ** 2 + (sin / b) ** 2, (sin / a) ** 2 + (cos / b) ** 2, 2 * cos * sin * (a**-2 - b**-2)
        x1, y1 = -2 * xx * u - xy * v, -2 * yy * v - xy * u  # F = xx·x² + xy·x·y + yy·y² + x1·x + y1·y + f0
        f0 = xx * u * u + xy * u * v + yy * v * v
        slope = [  # |∇F|², of ∇F = (2·xx·x + xy·y + x1, xy·x + 2·yy·y + y1)
            x1 * x1 + y1 * y1,
            4 * xx * x1 + 2 * xy * y1,
            2 * xy * x1 + 4 * yy * y1,
            4 * xx * xx + xy * xy,
            4 * xy * (xx + yy),
            xy * xy + 4 * yy * yy,
        ]
        width = (feather if isinstance(feather, float) else feather[:, None, None]) / (2 * side)
        forms = torch.cat([torch.stack([f0, x1, y1, xx, xy, yy], 2), torch.stack(slope, 2) * width**2], 1)
        colours = 2 * torch.cat([self.background[:, None], self.colours], 1) - 1
        # A few at a time on a CPU, where what is written for them stays in the cache; all at once on a GPU.
        some = max(1, TOGETHER // self.axes.shape[1]) if basis.device.type == "cpu" else len(forms)
        parts = zip(torch.split(forms, some), torch.split(colours, some), strict=True)
        picture = torch.cat([_Paint.apply(form, colour, basis) for form, colour in parts])  # type: ignore[no-untyped-call]
        return picture.reshape(len(picture), 3, -1, side)

    def picture(self, side: int) -> NDArray[np.uint8]:
        """The first drawing as it is kept: (side, side, 3), in bands, so that any side fits in memory."""
        bands = (self.painted(side, rows=slice(top, top + 64)) for top in range(0, side, 64))
        with torch.no_grad():
            return np.concatenate([images.to_uint8(band)[0] for band in bands])

    def svg(self, size: int = 1000) -> list[str]:
        """Each drawing as an SVG of true ellipses."""
        rows = zip(*(each.detach().cpu().double().tolist() for each in self), strict=True)
        return [_svg(size, *row) for row in rows]


@lru_cache(maxsize=4)
def _basis(side: int, rows: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """1, x, y, x², xy, y² at each pixel of some rows, from the middle: (6, P)."""
    pixels = (torch.arange(side, dtype=dtype, device=device) + 0.5) / side - 0.5
    y, x = (each.flatten() for each in torch.meshgrid(pixels[slice(*rows)], pixels, indexing="ij"))
    return torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y])


class _Paint(torch.autograd.Function):
    """Pictures (N, 3, P) of F and the scaled square of its gradient (N, 2K, 6), and of colours (N, 1 + K, 3), the
    background's first. As autograd would, in less than half of its time: few passes over all pixels, most in place.
    """

    @staticmethod
    def forward(ctx: Any, forms: Tensor, colours: Tensor, basis: Tensor) -> Tensor:
        form, steep = (forms @ basis).chunk(2, 1)  # N, K, P
        form.clamp_min_(ROUNDING)  # which may leave less than nothing in the middle of an ellipse
        steep.clamp_min_(1e-12).rsqrt_()
        flat = form.rsqrt()
        form.addcmul_(form, flat, value=-1)  # F - √F
        cover = torch.addcmul(form.new_tensor(0.5), form, steep, value=-1, out=form).clamp_(0, 1)
        seen = torch.empty_like(cover)
        seen[:, -1] = 1
        for k in range(seen.shape[1] - 1, 0, -1):  # how much of each is not under those above it
            torch.addcmul(seen[:, k], seen[:, k], cover[:, k], value=-1, out=seen[:, k - 1])
        shares = cover.new_empty(cover.shape[0], cover.shape[1] + 1, cover.shape[2])  # of each pixel
        torch.mul(cover, seen, out=shares[:, 1:])
        torch.sub(seen[:, 0], shares[:, 1], out=shares[:, 0])
        ctx.save_for_backward(flat, steep, cover, seen, shares, colours, basis)
        return colours.mT @ shares

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, Tensor, None]:
        flat, steep, cover, seen, shares, colours, basis = ctx.saved_tensors
        worth = colours @ given  # of each colour, at each pixel
        below = worth[:, 0]
        slopes = cover.new_empty(cover.shape[0], 2 * cover.shape[1], cover.shape[2])
        for_form, for_steep = slopes.chunk(2, 1)
        for k in range(cover.shape[1]):
            torch.sub(worth[:, k + 1], below, out=for_form[:, k])
            below.addcmul_(cover[:, k], for_form[:, k])
        # Where it is neither in nor out, cover = 1/2 + (√F - F) · steep, and steep = square ** -1/2
        for_form.mul_(seen).mul_(steep)
        torch.ops.aten.hardtanh_backward(for_form, cover, 0, 1, grad_input=for_form)  # else it is 0
        torch.mul(for_form, steep, out=for_steep)
        for_steep.addcmul_(for_steep, cover, value=-2)  # · (cover - 1/2) · -1/2, and that is · 4
        for_form.addcmul_(for_form, flat, value=-0.5)  # · (1 / (2 · √F) - 1), and that is · -1
        for_form, for_steep = (slopes @ basis.mT).chunk(2, 1)
        return torch.cat([-for_form, for_steep / 4], 1), shares @ given.mT, None


def _svg(
    size: int,
    centres: list[list[float]],
    axes: list[list[float]],
    tilts: list[float],
    colours: list[list[float]],
    background: list[float],
) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size}" height="{size}">',
        f'<rect width="{size}" height="{size}" fill="{hexadecimal(background)}"/>',
    ]
    for (x, y), (a, b), tilt, colour in zip(centres, axes, tilts, colours, strict=True):
        place = f"translate({size * x:.2f} {size * y:.2f}) rotate({math.degrees(tilt) % 180:.2f})"
        lines.append(
            f'<ellipse rx="{size * a:.2f}" ry="{size * b:.2f}" transform="{place}" fill="{hexadecimal(colour)}"/>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def hexadecimal(colour: Sequence[float]) -> str:
    """`#rrggbb` of a colour in 0..1."""
    return "#" + "".join(f"{round(255 * min(1.0, max(0.0, part))):02x}" for part in colour)


@dataclass(frozen=True)
class Style:
    """What may vary in a drawing."""

    ellipses: int = 8
    colours: int | None = None
    """So many colours in all, of the drawing's own choice; None: every ellipse its own."""
    palette: tuple[Colour, ...] = ()
    """These colours and no others, in 0..1."""
    background: Colour | None = None
    """None: the drawing's own choice."""

    @property
    def _inks(self) -> int:
        return len(self.palette) or self.colours or 0

    @property
    def genes(self) -> int:
        """Numbers that make a drawing: five for each ellipse's shape, then the colours."""
        painted = self.ellipses + (self.background is None)
        if not self._inks:
            return 5 * self.ellipses + 3 * painted
        return 5 * self.ellipses + self._inks * painted + (0 if self.palette else 3 * self._inks)

    def random(self, count: int, generator: torch.Generator) -> Tensor:
        """Genes of `count` random drawings, standard normal: (count, genes)."""
        return torch.randn(count, self.genes, generator=generator)

    def read(self, genes: Tensor, mixing: float = 0.0) -> Ellipses:
        """The drawings of genes (N, genes). Smooth in them, but for which ink an ellipse takes; `mixing` over 0 lets
        it take a little of others too, so that gradients can tell which to take.
        """
        count, k = genes.shape[0], self.ellipses
        shapes, rest = genes[:, : 5 * k].reshape(count, k, 5), genes[:, 5 * k :]
        centres = (0.5 + MARGIN) * torch.tanh(0.7 * shapes[..., :2]) + 0.5
        span = math.log(LARGEST / SMALLEST)
        axes = SMALLEST * (span * torch.sigmoid(shapes[..., 2:4] + 0.3)).exp()
        tilts = 1.5 * shapes[..., 4]
        painted = k + (self.background is None)
        if not self._inks:
            colours = torch.sigmoid(2 * rest).reshape(count, painted, 3)
        else:
            votes = rest[:, : self._inks * painted].reshape(count, painted, self._inks)
            if mixing > 0:
                chosen = (votes / mixing).softmax(2)
            else:
                chosen = torch.nn.functional.one_hot(votes.argmax(2), self._inks).to(genes)
            inks = (
                genes.new_tensor(self.palette).expand(count, -1, -1)
                if self.palette
                else torch.sigmoid(2 * rest[:, self._inks * painted :]).reshape(count, self._inks, 3)
            )
            colours = chosen @ inks
        background = colours[:, k] if self.background is None else genes.new_tensor(self.background).expand(count, 3)
        return Ellipses(centres, axes, tilts, colours[:, :k], background)
