"""What the two networks minimise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_hinge(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Hinge loss of the discriminator (Lim and Ye 2017), mean over scales; 2 when it knows nothing, 0 when sure."""
    losses = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(losses).mean()


def generator_hinge(fake: Sequence[Tensor]) -> Tensor:
    """The generator's side of the hinge loss: minus the mean score of its pictures, mean over scales."""
    return -torch.stack([scores.mean() for scores in fake]).mean()


def perceptual(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """L1 between the features of photo and output, mean over scales (Johnson et al. 2016)."""
    distances = [(f - r.detach()).abs().mean(dtype=torch.float32) for r, f in zip(real, fake, strict=True)]
    return torch.stack(distances).mean()
