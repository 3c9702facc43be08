"""What the two networks minimise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

FLAT = 1e-6
"""Added to variances, or those of flat pictures would have no gradient."""
FINEST = 2
"""So many scales of what eyes see are those of grain."""


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


def texture(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """L1 between mean and standard deviation of each channel of photo and output, over each picture, mean over scales.

    As a style is measured (Huang and Belongie 2017). The perceptual loss wants each thing in its place, so that what
    cannot be known is best painted smooth; this one wants as much of it as there is in the photo, wherever.
    """

    def style(maps: Tensor) -> Tensor:
        variance, mean = torch.var_mean(maps.float(), dim=(2, 3), correction=0)
        return torch.stack([mean, (variance + FLAT).sqrt()])

    distances = [2 * (style(f) - style(r).detach()).abs().mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(distances).mean()


def restraint(paintings: Sequence[Tensor], dreams: Sequence[Tensor]) -> Tensor:
    """How much more each channel varies in dreams than it does in paintings of photos, as a share of that.

    Mean over the finest scales. As much as the mean of the paintings and one deviation of theirs is free: a
    discriminator that sees a few made-up scenes at a time is content with specks, which no photo asks for.
    """

    def strength(maps: Tensor) -> Tensor:
        return (maps.float().var((2, 3), correction=0) + FLAT).sqrt()

    over = []
    for painting, dream in zip(paintings[:FINEST], dreams[:FINEST], strict=True):
        usual = strength(painting).detach()
        most = usual.mean(0) + usual.std(0, correction=0)
        over.append(F.relu(strength(dream) - most).mean() / usual.mean())
    return torch.stack(over).mean()
