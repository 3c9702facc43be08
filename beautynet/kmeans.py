"""k-means on torch batches, without luck: the same pixels always get the same clusters; in films labels hold still.

Pixels are (N, 3, P) and centres (N, k, 3), all in CIE L*a*b*. A picture's centres are fitted on a grid of its pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

FIT_GRID = 64
"""The centres are fitted on FIT_GRID² = 4,096 pixels of each picture."""
FRESH_STEPS = 16
"""Lloyd iterations for a picture that nothing is known of."""
LABEL_INERTIA = 1.5
"""In a film a pixel changes its cluster only for one whose centre is nearer by this much, in Lab."""
RANK_TOLERANCE = 4.0
"""In a film the ranks of two clusters swap only once the darker is this much (in L*) the lighter one."""


def sample(lab: Tensor) -> Tensor:
    """A regular grid of about 4,000 pixels: (N, 3, H, W) -> (N, 3, P)."""
    height, width = lab.shape[-2:]
    ys = torch.arange(FIT_GRID, device=lab.device) * height // FIT_GRID
    xs = torch.arange(FIT_GRID, device=lab.device) * width // FIT_GRID
    return lab[:, :, ys][:, :, :, xs].flatten(2)


def fit_centres(pixels: Tensor, k: int) -> Tensor:
    """k-means on (N, 3, P) pixels -> centres (N, k, 3).

    The start is near Su and Dy's Var-Part (2007): k - 1 times the cluster whose squared error along one axis is the
    largest is cut in two there, at its mean. It needs no luck, so the same picture always gets the same clusters.
    """
    rows = torch.arange(pixels.shape[0], device=pixels.device)
    values = torch.cat([pixels, pixels**2, torch.ones_like(pixels[:, :1])], dim=1).mT  # N, P, 7
    members = torch.ones_like(pixels[:, :1])  # N, clusters so far, P
    for _ in range(1, k):
        sums = members @ values
        weight = sums[..., 6:].clamp_min(1)
        means = sums[..., :3] / weight
        errors = sums[..., 3:6] - means**2 * weight  # squared error of each cluster along each axis
        widest = errors.flatten(1).argmax(1)
        cluster, axis = widest // 3, widest % 3
        beyond = (pixels[rows, axis] > means[rows, cluster, axis, None]) * members[rows, cluster]
        members = torch.cat([members, beyond[:, None]], dim=1)
        members[rows, cluster] -= beyond
    sums = members @ values
    return lloyd(pixels, sums[..., :3] / sums[..., 6:].clamp_min(1), FRESH_STEPS)


def lloyd(pixels: Tensor, centres: Tensor, steps: int) -> Tensor:
    """Lloyd's iterations on (N, 3, P) pixels from centres (N, k, 3). A centre without pixels stays where it is.

    At 4,000 pixels calling an operation costs as much as its arithmetic, so there are few: the 1 beside each pixel
    counts the members, and a ramp instead of a comparison tells them from the others.
    """
    points = torch.cat([pixels, torch.ones_like(pixels[:, :1])], dim=1)
    centres = torch.cat([centres, torch.ones_like(centres[..., :1])], dim=2)
    for _ in range(steps):
        distances = relative_distances(points, centres)
        members = (distances.amin(1, keepdim=True) + 1 - distances).relu()  # from 1 to 0 as another is 1 Lab² nearer
        sums = torch.baddbmm(centres, members, points.mT, beta=1e-3)
        centres = sums / sums[..., 3:]
    return centres[..., :3]


def relative_distances(pixels: Tensor, centres: Tensor) -> Tensor:
    """Squared distances of (N, C, P) pixels to (N, k, C) centres, less a term that is the same for all centres."""
    return torch.baddbmm(centres.square().sum(2, keepdim=True), centres, pixels, alpha=-2)


def quantisation_error(pixels: Tensor, centres: Tensor) -> Tensor:
    """Mean squared distance of (N, C, P) pixels to the nearest of the centres (N, k, C): (N,)."""
    return (relative_distances(pixels, centres).amin(1) + pixels.square().sum(1)).mean(1)


def assign(pixels: Tensor, centres: Tensor, before: Tensor | None = None) -> Tensor:
    """The nearest centre of each pixel: (N, 3, P) pixels, (N, k, 3) centres -> labels (N, P), int64.

    With the labels of the frame `before`, they stay unless another centre is clearly nearer (LABEL_INERTIA).
    """
    distances = relative_distances(pixels, centres)
    nearest, labels = _least(distances)
    if before is None:
        return labels
    squares = pixels.square().sum(1)
    old, new = ((each + squares).clamp_min(0).sqrt() for each in (distances.gather(1, before[:, None])[:, 0], nearest))
    return torch.where(old < new + LABEL_INERTIA, before, labels)


def _least(distances: Tensor) -> tuple[Tensor, Tensor]:
    """The least of (N, k, P) distances, (N, P), and the label that has it, int64.

    On a CPU a running minimum, and the largest label that ever was less: many times as quick as torch's own over so
    short an axis. On a GPU that would be thirty launches instead of one.
    """
    if distances.is_cuda:
        least, labels = distances.min(1)
        return least, labels
    least, *others = distances.unbind(1)
    labels = torch.zeros_like(least, dtype=torch.int32)
    for label, distance in enumerate(others, start=1):
        labels = torch.maximum(labels, (distance < least).int() * label)
        least = torch.minimum(least, distance)
    return least, labels.long()


def by_luminance(centres: Tensor) -> Tensor:
    """Centres (N, k, 3) sorted from dark to light."""
    order = centres[..., 0].argsort(dim=1)
    return centres.gather(1, order[..., None].expand_as(centres))


def rank_order(centres: Tensor) -> Tensor:
    """The order (N, k) by luminance, if a film has drifted clearly out of it; small overtakings would only flicker."""
    luminance = centres[..., 0]
    as_it_is = torch.arange(luminance.shape[1], device=luminance.device)
    falls = (luminance[:, :, None] - luminance[:, None]) * (as_it_is[:, None] < as_it_is)  # from each to those after it
    drifted = falls.flatten(1).amax(1, keepdim=True) > RANK_TOLERANCE
    return torch.where(drifted, luminance.argsort(dim=1), as_it_is)
