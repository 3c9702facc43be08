"""Fine-tuning: the last layers of a backbone learn a few labels, within a time budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from beautynet import images
from beautynet.backbones import Backbone

BATCH = 16
RATE, HEAD_RATE = 1e-4, 1e-3
"""Adam's learning rates, falling to 0 by a cosine."""
SMOOTHING = 0.1
"""Of the labels, so that nothing has to be certain (Szegedy et al. 2015, section 7)."""


def finetune(
    backbone: Backbone,
    pictures: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    several: bool,
    seconds: float,
    seed: int = 0,
    done: Callable[[float], object] | None = None,
) -> None:
    """Change `backbone.late` so that a linear layer tells the labels apart: uint8 (N, S, S, 3), truth (N, L).

    Each label counts as much, however many pictures it has. Norms stay as they are. `done` is told the fraction of the
    time that is spent.
    """
    began = time.monotonic()
    random = torch.Generator().manual_seed(seed)
    device = backbone.device
    targets = torch.from_numpy(truth).float().to(device)
    share = torch.from_numpy((truth / truth.sum(0)).max(1)).double()
    width = backbone(images.to_tensor(pictures[:1], device)).shape[1]
    head = nn.Linear(width, truth.shape[1]).to(device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    late = list(backbone.late.values())
    for parameter in late:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(
        [{"params": late, "lr": RATE, "rate": RATE}, {"params": head.parameters(), "lr": HEAD_RATE, "rate": HEAD_RATE}],
        weight_decay=0.01,
    )
    try:
        while (fraction := (time.monotonic() - began) / seconds) < 1:
            for group in optimiser.param_groups:
                group["lr"] = group["rate"] * 0.5 * (1 + math.cos(math.pi * fraction))
            chosen = torch.multinomial(share, min(BATCH, 4 * len(share)), replacement=True, generator=random)
            batch = torch.cat([vary(images.to_tensor(pictures[i], device), random) for i in chosen.tolist()])
            logits = head(backbone.look(batch).features)
            wanted = targets[chosen.to(device)]
            if several:
                loss = F.binary_cross_entropy_with_logits(logits, wanted)
            else:
                loss = F.cross_entropy(logits, wanted.argmax(1), label_smoothing=SMOOTHING)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if done:
                done(fraction)
    finally:
        for parameter in late:
            parameter.requires_grad_(False)


def vary(picture: Tensor, random: torch.Generator) -> Tensor:
    """The picture, (1, 3, S, S) in [-1, 1], a little turned, cropped, mirrored or not, and in another light."""
    turn, zoom, left, top, light, contrast, colour = (2 * torch.rand(7, generator=random) - 1).tolist()
    mirrored = -1.0 if torch.rand((), generator=random) < 0.5 else 1.0
    scale = 0.8 + 0.2 * zoom  # of the side: 0.6 to 1
    angle = math.radians(10) * turn
    room = 1 - scale
    matrix = torch.tensor(
        [
            [mirrored * scale * math.cos(angle), -scale * math.sin(angle), room * left],
            [mirrored * scale * math.sin(angle), scale * math.cos(angle), room * top],
        ],
        device=picture.device,
    )
    grid = F.affine_grid(matrix[None], list(picture.shape), align_corners=False)
    moved = F.grid_sample(picture, grid, padding_mode="reflection", align_corners=False)
    grey = moved.mean(1, keepdim=True)
    coloured = torch.lerp(grey, moved, 1 + 0.3 * colour)
    middle = grey.mean()
    varied: Tensor = (coloured - middle) * (1 + 0.2 * contrast) + middle + 0.2 * light
    return varied.clamp(-1, 1)
