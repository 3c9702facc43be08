"""Canny's edges (Canny 1986) on torch batches: ridges of the gradient, Otsu's threshold, hysteresis."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from beautynet.colour import constant

HYSTERESIS_STEPS = 32
"""How far in px a weak edge may run from a strong one. Canny's flood has no limit, but a fixed count keeps the
condition the same graph everywhere (GPU, ONNX); longer weak chains are rare enough (F1 0.99 against OpenCV)."""
BINS = 256
"""Of the histogram that a threshold is chosen by."""
SOBEL = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))


def gradient_ridges(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel gradient magnitude of (N, 1, H, W) grey in 0..255, and where it is a maximum across the edge."""
    sobel = constant(SOBEL, grey)
    gradient = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), torch.stack([sobel, sobel.T])[:, None])
    gx, gy = gradient[:, :1], gradient[:, 1:]
    magnitude = (gx**2 + gy**2).sqrt()
    around = F.pad(magnitude, (1, 1, 1, 1))
    height, width = grey.shape[-2:]

    def neighbour(dy: int, dx: int) -> Tensor:
        return around[:, :, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    def ridge(dy: int, dx: int) -> Tensor:  # strict on one side only, so that a plateau keeps one line
        return (magnitude > neighbour(-dy, -dx)) & (magnitude >= neighbour(dy, dx))

    flat = math.tan(math.pi / 8)
    ax, ay = gx.abs(), gy.abs()
    horizontal, vertical = ay < ax * flat, ax < ay * flat
    falling = gx * gy > 0
    diagonal = (falling & ridge(1, 1)) | (~falling & ridge(1, -1))  # onnxruntime knows no `where` for truth values
    is_ridge = (horizontal & ridge(0, 1)) | (vertical & ridge(1, 0)) | (~horizontal & ~vertical & diagonal)
    return magnitude, is_ridge


def otsu(magnitude: Tensor) -> Tensor:
    """Otsu's threshold (1979) of each picture's values, (N, 1, H, W) -> (N, 1, 1, 1)."""
    flat = magnitude.flatten(1)
    top = flat.amax(1, keepdim=True).clamp_min(4)  # a step of one grey level: what is below is rounding, not edges
    index = (flat / top * BINS).long().clamp_max(BINS - 1)
    weight = torch.zeros(flat.shape[0], BINS, device=flat.device).scatter_add(1, index, torch.ones_like(flat))
    weight = weight / flat.shape[1]
    level = (torch.arange(BINS, device=flat.device) + 0.5) / BINS
    below, mass = weight.cumsum(1), (weight * level).cumsum(1)
    between = (mass[:, -1:] * below - mass) ** 2 / (below * (1 - below)).clamp_min(1e-9)
    return ((between.argmax(1, keepdim=True) + 1) / BINS * top)[:, :, None, None]


def hysteresis(strong: Tensor, weak: Tensor) -> Tensor:
    """Weak edge pixels that touch a strong one through weak ones, up to HYSTERESIS_STEPS px away; bool (N, 1, H, W)."""
    kept, allowed = strong.float(), weak.float()
    for _ in range(HYSTERESIS_STEPS):
        kept = F.max_pool2d(kept, 3, stride=1, padding=1) * allowed
    return kept > 0
