"""How good pictures are, in figures. Pictures are (N, 3, H, W), float in [-1, 1]; features (N, D) of a `Backbone`.

Nothing is left to chance: what is drawn (bootstraps, patches, projections) is drawn from a seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from beautynet import images
from beautynet.backbones import Backbone
from beautynet.colour import luma, rgb_to_lab
from beautynet.conditions import Condition, edges

RESAMPLES = 1000
PATCH, PATCHES, PROJECTIONS, COARSEST = 7, 8192, 128, 16
"""Sliced Wasserstein: px of a patch, patches a level, directions a level, side in px of the coarsest level."""
SEED = 0
"""Of what is drawn: the same pictures have the same figures."""
TOLERANCE = 2
"""Px by which an edge may be off."""


class Estimate(NamedTuple):
    """A figure and its bootstrapped 95% interval."""

    value: float
    low: float
    high: float


# --- sets of pictures: are these like those? ------------------------------------------------------------------------


def kid(features: Tensor, real: Tensor) -> Tensor:
    """Kernel Inception Distance (Bińkowski et al. 2018) of (N, D) and (M, D) features: (1 + RESAMPLES,).

    First the unbiased squared MMD under the kernel (x·y / D + 1)³: 0 for two draws from one distribution (so half of
    the time below it), the higher the worse; it does not grow as sets shrink. Then the same of resampled sets, for
    `estimate`. In these a picture drawn twice is not compared with itself, which would bias them upwards.
    torchmetrics' gives the same, but wants sets of one size and has no interval.
    """
    random = torch.Generator().manual_seed(SEED)
    x, y = features.double(), real.double()

    def weights(count: int) -> Tensor:  # how often each is drawn: first each once
        drawn = torch.randint(count, (RESAMPLES, count), generator=random)
        ones = torch.ones(RESAMPLES, count, dtype=x.dtype)
        return torch.cat([ones[:1], torch.zeros_like(ones).scatter_add_(1, drawn, ones)])

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a: Tensor, w: Tensor) -> Tensor:
        return ((w @ kernel(a, a).fill_diagonal_(0)) * w).sum(1) / (w.sum(1) ** 2 - (w**2).sum(1))

    u, v = weights(len(x)), weights(len(y))
    across = ((u @ kernel(x, y)) * v).sum(1) / (u.sum(1) * v.sum(1))
    return within(x, u) + within(y, v) - 2 * across


def estimate(samples: Tensor) -> Estimate:
    """A value and its resamples, (1 + RESAMPLES,), as value and 95% interval.

    NaN, one picture drawn again and again from a handful, is passed over.
    """
    low, high = samples[1:].nanquantile(torch.tensor([0.025, 0.975], dtype=samples.dtype)).tolist()
    return Estimate(samples[0].item(), low, high)


def dream_score(dreams: Tensor, everyday: Tensor, training: Tensor) -> Estimate:
    """How far dreams have moved towards the training photos, from the (N, D) features of dreams, inputs and photos.

    KID(dreams, photos) / KID(inputs, photos): 1 for a filter that changed nothing, 0 if all is flowers, above 1 if
    the dreams are farther from flowers than the everyday pictures were. Both are resampled together.
    """
    return estimate(kid(dreams, training) / kid(everyday, training))


def swd(pictures: Tensor, real: Tensor) -> float:
    """Sliced Wasserstein distance of 7x7 patches on a Laplacian pyramid (Karras et al. 2018, section 5): 0 is best.

    Mean over the levels from the full size down to 16 px; both sets are of one size in px, at least 16. Needs no
    weights, and sees what features forgive: checkerboards, noise, blur, colour casts. For the last of these both sets
    are normalised by the mean and deviation of the real one, not each by its own as in the paper.
    """
    random = torch.Generator().manual_seed(SEED)
    distances = []
    for ours, theirs in zip(_pyramid(pictures.float()), _pyramid(real.float()), strict=True):
        directions = F.normalize(torch.randn(3 * PATCH**2, PROJECTIONS, generator=random), dim=0)
        where = torch.rand(2, PATCHES, generator=random)
        wanted, made = _patches(theirs, where), _patches(ours, where)
        mean, std = wanted.mean((0, 2, 3), keepdim=True), wanted.std((0, 2, 3), keepdim=True).clamp_min(1e-6)
        a, b = (((p - mean) / std).flatten(1) @ directions for p in (made, wanted))
        distances.append((a.sort(0).values - b.sort(0).values).abs().mean().item())
    return float(np.mean(distances))


def _pyramid(pictures: Tensor) -> Iterator[Tensor]:
    while min(pictures.shape[-2:]) >= 2 * COARSEST:
        smaller = F.interpolate(pictures, scale_factor=0.5, mode="bilinear", antialias=True, align_corners=False)
        yield pictures - F.interpolate(smaller, size=pictures.shape[-2:], mode="bilinear", align_corners=False)
        pictures = smaller
    yield pictures


def _patches(level: Tensor, where: Tensor) -> Tensor:
    """PATCHES patches, as many of each picture, at `where` (2, PATCHES) in 0..1: (PATCHES, 3, 7, 7)."""
    windows = level.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # N, 3, rows, columns, 7, 7
    top, left = (where * torch.tensor(windows.shape[2:4])[:, None]).long()
    patches: Tensor = windows[torch.arange(PATCHES) % len(level), :, top, left]
    return patches


def diversity(features: Tensor) -> float:
    """How unlike each other pictures are: the mean of 1 - cosine over all pairs of (N, D) features.

    Beside that of real photos: a collapsed generator, which paints one picture for all inputs, has nearly none.
    """
    unit = F.normalize(features)
    count = len(unit)
    return (1 - ((unit @ unit.T).sum() - count) / (count * (count - 1))).item()


def nearest(features: Tensor, training: Tensor) -> tuple[Tensor, Tensor]:
    """The training photo most like each picture: (1 - cosine, index), both (N,), from (N, D) and (M, D) features."""
    best = (F.normalize(features) @ F.normalize(training).T).max(1)
    return 1 - best.values, best.indices


def copying(outputs: Tensor, held_out: Tensor) -> float:
    """How often an output lies nearer to a training photo than a new photo does, from two sets of `nearest` distances.

    The share of all pairs, ties by half (Meehan, Chaudhuri and Dasgupta 2020): 0.5 is as near as photos that were never
    seen, near 1 the training photos are painted by heart.
    """
    difference = outputs[:, None] - held_out
    return ((difference < 0).float().mean() + (difference == 0).float().mean() / 2).item()


# --- pairs: is this what was asked for? All give (N,), one figure a picture -----------------------------------------


def perceptual(backbone: Backbone, pictures: Tensor, others: Tensor) -> Tensor:
    """How unlike two pictures look to a backbone: 1 - cosine of their feature maps, mean over positions and depths.

    0 for the same picture, about 1 for unrelated ones. LPIPS (Zhang et al. 2018) with each channel counted alike, for
    LPIPS' own weights belong to other networks: figures compare only with those of the same backbone.
    """
    found = []
    count = backbone.batch // 2
    for a, b in zip(torch.split(pictures, count), torch.split(others, count), strict=True):
        maps = backbone.see(torch.cat([a, b]).to(backbone.device), maps=True).maps
        depths = [1 - F.cosine_similarity(m[: len(a)], m[len(a) :]).mean((1, 2)) for m in maps]
        found.append(torch.stack(depths).mean(0).cpu())
    return torch.cat(found)


def palette_accuracy(pictures: Tensor, shown: Tensor, ranked: bool) -> Tensor:
    """The share of pixels that come back to their own colour when pictures are taken to the palette of their input.

    `shown` are conditions of few colours. Each pixel goes to the nearest colour (in Lab), or, where colours mean ranks
    of luminance, the darkest pixels go to the darkest colour, as many as there are of it, and so on. 1 for the
    condition itself.
    """
    return torch.stack([(_by_rank if ranked else _by_colour)(a, b) for a, b in zip(pictures, shown, strict=True)])


def _by_rank(picture: Tensor, shown: Tensor) -> Tensor:
    pixels, wanted = luma(picture[None]).flatten(), luma(shown[None]).flatten()
    painted = torch.empty_like(wanted)
    painted[pixels.argsort(stable=True)] = wanted.sort().values
    return (painted == wanted).float().mean()


def _by_colour(picture: Tensor, shown: Tensor) -> Tensor:
    palette, labels = torch.unique(shown.flatten(1), dim=1, return_inverse=True)
    wanted = rgb_to_lab(palette[None, ..., None])[0, ..., 0]  # 3, k
    pixels = rgb_to_lab(picture[None])[0].flatten(1)
    # cdist's quicker way loses the difference of two clusters that are nearly alike
    distances = torch.cdist(pixels.T, wanted.T, compute_mode="donot_use_mm_for_euclid_dist")
    back: Tensor = distances.argmin(1) == labels
    return back.float().mean()


def edge_f1(pictures: Tensor, others: Tensor, recipe: Condition | None = None) -> Tensor:
    """How well the edges of two pictures agree: F1 with TOLERANCE px to spare (Martin, Fowlkes and Malik 2004), 0..1.

    Edges are Canny's, found in both by `recipe` (default: the edges condition at the pictures' size). Many edges agree
    by chance alone: look at the figure of a wrong pairing beside it.
    """
    recipe = recipe or Condition("edges", size=min(pictures.shape[-2:]))
    a, b = (edges(recipe, each, None)[0][:, :1] > 0 for each in (pictures, others))

    def share(lines: Tensor, near: Tensor) -> Tensor:
        reached = F.max_pool2d(near.float(), 2 * TOLERANCE + 1, stride=1, padding=TOLERANCE) * lines
        return reached.sum((1, 2, 3)) / lines.sum((1, 2, 3)).clamp_min(1)

    precision, recall = share(a, b), share(b, a)
    f1 = 2 * precision * recall / (precision + recall).clamp_min(1e-9)
    return torch.where((a.sum((1, 2, 3)) + b.sum((1, 2, 3))) == 0, 1.0, f1)  # no edges in either: agreed


def rank_correlation(pictures: Tensor, others: Tensor) -> Tensor:
    """Spearman's rank correlation of the luminance of two pictures, -1..1: what was light is light, dark is dark."""
    found = []
    for pair in zip(luma(pictures.float()), luma(others.float()), strict=True):
        ranks = torch.stack([_ranks(grey.flatten()) for grey in pair])
        found.append(torch.corrcoef(ranks)[0, 1].nan_to_num())  # NaN: one of them is flat
    return torch.stack(found)


def _ranks(values: Tensor) -> Tensor:
    """Ranks of (P,) values, equal ones sharing the mean of theirs."""
    _, place, counts = torch.unique(values, return_inverse=True, return_counts=True)
    ranks: Tensor = (counts.cumsum(0) - (counts - 1) / 2)[place]
    return ranks.double()


# --- films ----------------------------------------------------------------------------------------------------------


class FilmScores(NamedTuple):
    """A film's unrest and its sharpness. Neither says anything without the other: a grey film is at perfect rest."""

    warping_error: float
    """Mean difference, of 255 levels, of each frame from the one before it moved along with the motion of the input;
    0 for a still film, NaN where no frame could be compared with the one before it. The input's own, beside it, is what
    noise and errors of the flow account for."""
    sharpness: float
    """Mean gradient of luminance, in levels of 255 a px; 0 for a grey film."""


def film_scores(frames: np.ndarray, inputs: np.ndarray) -> FilmScores:
    """Warping error (Lai et al. 2018) and sharpness of uint8 (N, H, W, 3) frames, with the motion of their `inputs`.

    The motion is DIS optical flow (Kroeger et al. 2016). Left out is what the flow does not find again when it goes
    back (Sundaram, Brox and Keutzer 2010), and where that is most of the frame, the pair: a cut.
    """
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in inputs]
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = grey[0].shape
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), 2).astype(np.float32)

    def moved(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.remap(picture, grid + flow, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    errors = []
    for i in range(1, len(grey)):
        back, forth = dis.calc(grey[i], grey[i - 1], None), dis.calc(grey[i - 1], grey[i], None)
        returned = moved(forth, back)
        lost = ((back + returned) ** 2).sum(2) > 0.01 * ((back**2).sum(2) + (returned**2).sum(2)) + 0.5
        target = grid + back
        seen = ~lost & ((target >= 0) & (target <= (width - 1, height - 1))).all(2)
        if seen.mean() > 0.5:
            before = moved(frames[i - 1].astype(np.float32), back)
            errors.append(np.abs(frames[i] - before)[seen].mean())
    return FilmScores(float(np.mean(errors)) if errors else math.nan, sharpness(frames))


def sharpness(frames: np.ndarray) -> float:
    """Mean gradient of the luminance of uint8 (N, H, W, 3) frames, in levels of 255 a px."""
    grey = torch.cat([luma(images.to_tensor(frame)) for frame in frames]) * 127.5
    dx, dy = grey[..., :-1, 1:] - grey[..., :-1, :-1], grey[..., 1:, :-1] - grey[..., :-1, :-1]
    return (dx**2 + dy**2).sqrt().mean().item()
