"""Where pictures change range or layout: uint8 NHWC outside, float32 NCHW in [-1, 1] inside the networks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LONGEST_SIDE = 8192
MOST_SHRINK = 32
"""So many times smaller a GPU can make a picture; torch has no room there for what 48 times would take."""


def to_tensor(pictures: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 (N, H, W, 3) or (H, W, 3) RGB -> float32 (N, 3, H, W) in [-1, 1]."""
    batch = torch.tensor(np.ascontiguousarray(pictures)).to(device)  # which may be a view turned round
    if batch.ndim == 3:
        batch = batch[None]
    return batch.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_uint8(batch: Tensor) -> np.ndarray:
    """Float (N, 3, H, W) in [-1, 1] -> uint8 (N, H, W, 3) RGB; values outside are clipped."""
    pixels = batch.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def resize(batch: Tensor, height: int, width: int) -> Tensor:
    """Antialiased bicubic resize of (N, C, H, W); the range is kept (bicubic overshoot is clipped)."""
    if batch.shape[-2:] == (height, width):
        return batch
    if batch.is_cuda and max(batch.shape[2] / height, batch.shape[3] / width) > MOST_SHRINK:
        return resize(batch.cpu(), height, width).to(batch.device)
    resized = F.interpolate(batch, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
    return resized.clamp_(-1, 1)


def resize_uint8(pictures: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (N, H, W, 3) scaled: areas averaged where it gets smaller, else bicubic. Much quicker than `resize`."""
    smaller = min(height, pictures.shape[1]), min(width, pictures.shape[2])
    # one after the other: OpenCV averages areas only where both sides get smaller
    for (rows, columns), how in ((smaller, cv2.INTER_AREA), ((height, width), cv2.INTER_CUBIC)):
        if pictures.shape[1:3] != (rows, columns):
            pictures = np.stack([cv2.resize(each, (columns, rows), interpolation=how) for each in pictures])
    return pictures


def scaled_to(height: int, width: int, shorter_side: int) -> tuple[int, int]:
    """(height, width) scaled so that the shorter side is `shorter_side` px, the aspect ratio kept, no side under 1.

    Strips whose longer side would pass LONGEST_SIDE are scaled to that instead.
    """
    scale = min(shorter_side / min(height, width), max(LONGEST_SIDE, shorter_side) / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def pad_to_multiple(batch: Tensor, multiple: int) -> Tensor:
    """Repeat the right and lower edge of (N, C, H, W) until both sides are multiples of `multiple` px."""
    height, width = batch.shape[-2:]
    return F.pad(batch, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def grid(pictures: Sequence[np.ndarray], columns: int, gap: int = 4, background: int = 18) -> np.ndarray:
    """Lay out uint8 (H, W, 3) pictures, all of one size, row by row: one uint8 (H', W', 3) picture."""
    from torchvision.utils import make_grid  # type: ignore[import-untyped]  # here: importing it takes seconds, and few need it

    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    sheet: Tensor = make_grid(batch, nrow=columns, padding=gap, pad_value=background)
    return sheet.permute(1, 2, 0).numpy()
