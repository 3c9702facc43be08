"""What the two networks minimise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator (Lim and Ye 2017), scores of any shape; 2 when it knows nothing, 0 when sure."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator_hinge(fake: Tensor) -> Tensor:
    """The generator's side of the hinge loss: minus the mean score of its pictures."""
    return -fake.mean()


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """L1 between the discriminator's features of photo and output, mean over layers (pix2pixHD; Wang et al. 2018)."""
    # F.l1_loss would go to float32, and its gradient leave channels_last
    sums = [torch.linalg.vector_norm(f - r.detach(), 1, dtype=torch.float32) for r, f in zip(real, fake, strict=True)]
    distances = [total / f.numel() for total, f in zip(sums, fake, strict=True)]
    return torch.stack(distances).mean()
