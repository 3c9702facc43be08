"""Colours and smoothing of batches: luma, CIE L*a*b* and a Gaussian, the same on a CPU, on a GPU and in an export."""

from __future__ import annotations

import math
from functools import cache
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

Values = tuple[float, ...] | tuple["Values", ...]


def constant(values: Values, like: Tensor) -> Tensor:
    """Numbers as a tensor like another.

    Kept on a GPU, which would be waited for to take them again, and where no recording could do that. Not on a CPU:
    what is first made inside an export is no real tensor.
    """
    return _kept(values, like.device, like.dtype) if like.is_cuda else like.new_tensor(values)


@cache  # for good: recordings of what a GPU does know where these lie
def _kept(values: Values, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(mode=False):
        return torch.tensor(values, device=device, dtype=dtype)


MOST_SHIFTS = 32
"""Radius in px up to which sums of shifted pictures are quicker than matrix products."""


def smooth(batch: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (N, C, H, W), sigma in px, weights renormalised at the border.

    Up to four sigma, as products with a banded matrix; where that is quicker, which is on a CPU unless sigma is large,
    as sums of the picture shifted: half of the time. A convolution with one channel takes longer than either.
    """
    if sigma <= 0:
        return batch
    radius = math.ceil(4 * sigma)
    if batch.device.type == "cpu" and radius <= MOST_SHIFTS:
        weights = [math.exp(-(offset**2) / (2 * sigma**2)) for offset in range(-radius, radius + 1)]
        return _shifted_sums(_shifted_sums(batch, weights, 2), weights, 3)

    def kernel(length: int) -> Tensor:
        position = torch.arange(length, device=batch.device, dtype=batch.dtype)
        away = (position - position[:, None]).abs()
        taps = torch.exp(away.square() * (-0.5 / sigma**2)) * (away <= radius)
        return taps / taps.sum(1, keepdim=True)

    height, width = batch.shape[-2:]
    return kernel(height) @ batch @ kernel(width).T


def _shifted_sums(batch: Tensor, weights: list[float], axis: int) -> Tensor:
    """(N, C, H, W) averaged along an axis with an odd number of weights, fewer at the border."""
    radius, length = len(weights) // 2, batch.shape[axis]
    padded = F.pad(batch, (radius, radius) if axis == 3 else (0, 0, radius, radius))
    total = padded.narrow(axis, 0, length) * weights[0]
    for offset, weight in enumerate(weights[1:], start=1):
        total.add_(padded.narrow(axis, offset, length), alpha=weight)
    upto = batch.new_tensor([0.0, *accumulate(weights)])
    place = torch.arange(length, device=batch.device)
    inside = upto[(length - place + radius).clamp_max(len(weights))] - upto[(radius - place).clamp_min(0)]
    return total / (inside if axis == 3 else inside[:, None])


LUMA = (0.299, 0.587, 0.114)


def luma(batch: Tensor) -> Tensor:
    """Grey of (N, 3, H, W) by ITU-R BT.601: (N, 1, H, W), the range kept."""
    return (batch * constant(LUMA, batch).view(3, 1, 1)).sum(1, keepdim=True)


RGB_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
D65 = (0.950456, 1.0, 1.088754)
"""sRGB primaries and the D65 white point."""
XYZ_TO_RGB = tuple(map(tuple, torch.linalg.inv(torch.tensor(RGB_TO_XYZ, dtype=torch.float64)).tolist()))


_DARK = 2 * 0.04045 - 1
"""Where sRGB goes over from a line to a power: in [-1, 1]."""
_LOW = 0.008856
"""Where Lab goes over from a line to a cube root: of the white's XYZ."""


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """SRGB (N, 3, H, W) in [-1, 1] -> CIE L*a*b*: L in 0..100, a and b about -127..127.

    Each curve is a power of what is above its threshold, plus a line of what is below: half of the time of choosing.
    """
    bright = rgb.clamp(_DARK, 1.0) * (0.5 / 1.055) + 0.555 / 1.055
    linear = torch.add(_power(bright, 2.4), rgb.clamp(-1.0, _DARK) - _DARK, alpha=0.5 / 12.92)
    matrix = constant(RGB_TO_XYZ, rgb) / constant(D65, rgb)[:, None]
    xyz = (matrix @ linear.flatten(2)).view_as(rgb)
    f = torch.add(_power(xyz.clamp_min(_LOW), 1 / 3), xyz.clamp_max(_LOW) - _LOW, alpha=7.787)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def _power(base: Tensor, exponent: float) -> Tensor:
    """Of what is positive, in half of the time that `pow` takes on a CPU."""
    return (base.log2() * exponent).exp2()


def lab_to_rgb(lab: Tensor) -> Tensor:
    """CIE L*a*b* (N, 3, H, W) -> sRGB in [-1, 1]; colours outside sRGB are clipped."""
    luminance, a, b = lab.unbind(1)
    y = (luminance + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(f > 0.206893, f**3, (f - 16 / 116) / 7.787)
    matrix = constant(XYZ_TO_RGB, lab) * constant(D65, lab)
    linear = (matrix @ xyz.flatten(2)).view_as(lab).clamp(0, 1)
    unit = torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(1e-8).pow(1 / 2.4) - 0.055, linear * 12.92)
    return unit * 2 - 1
