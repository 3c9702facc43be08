"""As `steady.lean`, on a GPU: a processor's blends, one by one, would take longer than all the rest of a film."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from beautynet.colour import constant, luma, smooth
from beautynet.film import steady
from beautynet.film.steady import Motion


@torch.inference_mode()
def lean(
    motions: list[Motion], dreams: Tensor, before: NDArray[np.float32] | None, strength: float
) -> tuple[Tensor, NDArray[np.float32]]:
    """As `steady.lean`, of dreams (N, 3, h, w) and to such, wherever they are; what is left to the next is the same."""
    if not motions:
        return dreams, _as_frame(dreams[-1])
    back, trust = map(np.stack, zip(*motions, strict=True))
    held, own = ([dreams[:1]], dreams[1:]) if before is None else ([], dreams)
    last = dreams[:1] if before is None else torch.from_numpy(before).to(dreams.device).permute(2, 0, 1)[None]
    moved = (torch.from_numpy(each).to(dreams.device) for each in (back.transpose(0, 3, 1, 2), trust[:, None]))
    # frame by frame, since a large one takes much memory
    for dream, flow, sure in zip(*(torch.split(each, 1) for each in (own, *moved)), strict=True):
        then = F.grid_sample(last, _places(flow, dream), mode="bicubic", padding_mode="border", align_corners=False)
        last = torch.lerp(dream, then, strength * _enlarged(sure, dream))
        held.append(_as_crisp(last, dream))
    return torch.cat(held), _as_frame(last[0])


def _as_frame(dream: Tensor) -> NDArray[np.float32]:
    """(3, h, w) -> (h, w, 3)."""
    return dream.permute(1, 2, 0).contiguous().cpu().numpy()


def _enlarged(small: Tensor, like: Tensor) -> Tensor:
    """Maps (N, C, h', w') as large as other pictures are: (N, C, h, w)."""
    return F.interpolate(small, size=like.shape[2:], mode="bilinear", align_corners=False)


def _places(flow: Tensor, like: Tensor) -> Tensor:
    """Where each pixel was before, (N, h, w, 2), in -1..1 from border to border; the flow (N, 2, h', w') in its px."""
    share = _enlarged(flow, like).permute(0, 2, 3, 1) / constant((flow.shape[3] / 2, flow.shape[2] / 2), like)
    y, x = (torch.arange(1, 2 * side, 2, device=like.device) / side - 1 for side in like.shape[2:])
    return share + torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=2)


def _as_crisp(blend: Tensor, dream: Tensor) -> Tensor:
    """A blend (N, 3, h, w) with its light as detailed as the dream's."""
    light, wanted = luma(blend), luma(dream)
    crisp, margin = light, (steady.AROUND // 2,) * 4
    for sigma in steady.FINE:
        both = torch.cat([crisp, wanted], dim=1)
        detail = both - smooth(both, sigma)
        around = F.avg_pool2d(F.pad(detail.abs(), margin, mode="reflect"), steady.AROUND, stride=1)
        has, should = torch.split(around, 1, dim=1)
        gain = (should / has.clamp_min(1e-6)).clamp(1, steady.MOST_GAIN)
        crisp = torch.addcmul(crisp, gain - 1, detail[:, :1])
    return blend + (crisp - light)
