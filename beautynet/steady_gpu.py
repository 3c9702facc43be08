"""As `steady`, with all but the optical flow on a GPU: a processor's blends, one by one, would take longer than all
the rest of a film."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from beautynet import steady
from beautynet.conditions import constant, luma
from beautynet.steady import Moment


@torch.inference_mode()
def lean(frames: NDArray[np.uint8], dreams: Tensor, before: Moment | None, strength: float) -> tuple[Tensor, Moment]:
    """As `steady.lean`, of dreams (N, 3, h, w) and to such, wherever they are; what is left to the next is the same."""
    height, width = dreams.shape[2:]
    pictures = steady.at_flow_scale(frames, height, width)
    film, own = ([before.frame, *pictures], dreams) if before else (pictures, dreams[1:])
    if min(height, width) < steady.SMALLEST or not len(own):
        return dreams, Moment(pictures[-1], _as_frame(dreams[-1]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        back, trust = map(np.stack, zip(*pool.map(steady.motion, film, film[1:]), strict=True))
    whence = _places(back, dreams)
    share = strength * _enlarged(trust[..., None], dreams)
    last = torch.from_numpy(before.dream).to(dreams.device).permute(2, 0, 1)[None] if before else dreams[:1]
    blends = []
    for dream, place, part in zip(*(torch.split(each, 1) for each in (own, whence, share)), strict=True):
        then = F.grid_sample(last, place, mode="bicubic", padding_mode="border", align_corners=False)
        last = torch.lerp(dream, then, part)
        blends.append(last)
    crisp = _as_crisp(torch.cat(blends), own)
    return crisp if before else torch.cat([dreams[:1], crisp]), Moment(pictures[-1], _as_frame(last[0]))


def _as_frame(dream: Tensor) -> NDArray[np.float32]:
    """(3, h, w) -> (h, w, 3)."""
    return dream.permute(1, 2, 0).contiguous().cpu().numpy()


def _enlarged(maps: NDArray[np.float32], like: Tensor) -> Tensor:
    """Maps (N, h', w', C) as (N, C, h, w), where other pictures are and as large."""
    batch = torch.from_numpy(maps).to(like.device).permute(0, 3, 1, 2)
    return F.interpolate(batch, size=like.shape[2:], mode="bilinear", align_corners=False)


def _places(back: NDArray[np.float32], like: Tensor) -> Tensor:
    """Where each pixel was before, (N, h, w, 2), in -1..1 from border to border; `back` in px of its own size."""
    height, width = like.shape[2:]
    share = _enlarged(back, like).permute(0, 2, 3, 1) / constant((back.shape[2] / 2, back.shape[1] / 2), like)
    y, x = (torch.arange(1, 2 * side, 2, device=like.device) / side - 1 for side in (height, width))
    return share + torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2)


def _as_crisp(blends: Tensor, dreams: Tensor) -> Tensor:
    """Blends (N, 3, h, w) with their detail as strong as the dreams'."""
    detail, wanted = (each - _blurred(each) for each in (blends, luma(dreams)))
    has, should = (_around(each.abs()) for each in (luma(detail), wanted))
    gain = (should / has.clamp_min(1e-6)).clamp(1, steady.MOST_GAIN)
    return torch.addcmul(blends, gain - 1, detail)


def _blurred(batch: Tensor) -> Tensor:
    """OpenCV's Gaussian blur of (N, C, H, W)."""
    reach = steady.TAPS // 2
    away = torch.arange(-reach, reach + 1, device=batch.device)
    taps = torch.softmax(away.square() * (-0.5 / steady.FINE**2), dim=0)
    lines = F.pad(batch, (reach,) * 4, mode="reflect").flatten(0, 1)[:, None]
    blurred: Tensor = F.conv2d(F.conv2d(lines, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))
    return blurred.view_as(batch)


def _around(batch: Tensor) -> Tensor:
    """The mean over squares around each pixel of (N, 1, H, W)."""
    return F.avg_pool2d(F.pad(batch, (steady.AROUND // 2,) * 4, mode="reflect"), steady.AROUND, stride=1)
