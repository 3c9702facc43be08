"""Conditions: what the network is shown instead of the photo, one implementation for training, film and export.

A `Condition` is a recipe. Called on photos (N, 3, H, W), float in [-1, 1], it returns pictures of the same shape and
range, and a memory: what the next frame of a film starts from, so that a little noise does not show another picture.

    condition = Condition("clusters", size=256)
    shown, memory = condition(photos)
    shown, memory = condition(next_photos, memory)

Nothing is left to chance: the same photo gives the same condition on any machine and in any batch, but for pixels
on the border of two clusters that rounding may move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from beautynet.canny import gradient_ridges, hysteresis, otsu
from beautynet.colour import constant, lab_to_rgb, luma, rgb_to_lab, smooth
from beautynet.errors import BeautyError, UsageError
from beautynet.kmeans import assign, by_luminance, fit_centres, lloyd, quantisation_error, rank_order, sample

MOST_CLUSTERS, MOST_PX = 32, 8192
WARM_STEPS = 3
"""Lloyd iterations for a frame that starts from the centres of the one before."""
CENTRE_INERTIA = 0.6
"""How much of the last frame's centres stays in a film: steadier colours against a slower reaction to change."""
FRESH_PULL, FRESH_SHARE = 0.2, (0.1, 0.5)
"""How far a film's centres are drawn, each frame, to those that the frame would have alone: in proportion to how much
better these fit, within bounds. So a centre that lost all its pixels as the scene changed finds others."""
UNSEEN = 0.25
"""Nobody sees a mean squared error of this, in Lab²; what centres fit better than to this is nothing to go after."""
LENDER_INERTIA, GLIDE = 2.5, 0.08
"""A film borrows the colours of another photo only once the lights and darks of that fit better by this much, in L* on
average; and then goes over to them by this share a frame."""
INERTIA = 0.8
"""How much of the last frame stays in a film, in the threshold for edges and where a pixel hardly changes."""
NOISE = 0.05
"""Hardly: by less than this, of -1..1."""

Memory = tuple[Tensor, ...] | None
"""What a frame of a film leaves to the next, the batch first; see each condition."""

RANKED_COLOURS = tuple(
    tuple(int(colour[i : i + 2], 16) / 127.5 - 1 for i in (0, 2, 4))
    for colour in ("12122b", "4a1c6f", "a31c62", "e2472f", "f59d1b", "d8dd5a", "f4fbe8")
)
"""Colours for clusters from the darkest to the lightest, in [-1, 1]: fixed, so that a colour means a rank."""


@dataclass(frozen=True)
class Condition:
    """A recipe for what the network is shown. Stored in every checkpoint: the checkpoint carries its eyes."""

    kind: str = "clusters"
    """A name in CONDITIONS."""
    abstraction: float = 0.6
    """0..1: how little is left of the photo (more smoothing, fewer clusters)."""
    size: int = 256
    """Shorter side in px of the pictures that this recipe is meant for; smoothing scales with it."""
    k: int | None = None
    """Clusters; None follows the abstraction (7 at 0.6)."""
    palette: str = "borrowed"
    """`ranked`: fixed colours by luminance rank. `mean`: each cluster's own mean colour. `borrowed`: that too, but once
    there are lenders, the colours of the one whose lights and darks are most like the picture's, rank for rank."""
    lenders: tuple[tuple[tuple[float, float, float], ...], ...] = ()
    """Photos that lend their colours: the centres of each one's clusters in Lab, from dark to light."""
    thresholds: tuple[float, float] | None = None
    """Edges: low and high threshold on the gradient of a 0..255 grey picture; None is automatic."""
    sensitivity: float = 1.0
    """Edges: scales the automatic thresholds; above 1 shows fewer edges."""
    brightness: float = 0.0
    """Blur: added to the grey picture in [-1, 1]."""
    contrast: float = 1.0
    """Blur: the grey picture is multiplied by this."""

    def __post_init__(self) -> None:
        """Refuse what cannot be, with a BeautyError."""
        if self.kind not in CONDITIONS:
            raise UsageError(f"unknown condition {self.kind!r}: choose from {', '.join(CONDITIONS)}")
        if self.palette not in PALETTES:
            raise UsageError(f"unknown palette {self.palette!r}: choose from {', '.join(PALETTES)}")
        if not 0 <= self.abstraction <= 1:
            raise UsageError(f"abstraction {self.abstraction} will not do: it has to be 0..1")
        if not isinstance(self.size, int) or not 1 <= self.size <= MOST_PX:
            raise UsageError(f"size {self.size} will not do: it has to be 1..{MOST_PX} px")
        if self.k is not None and not 2 <= self.k <= MOST_CLUSTERS:
            raise UsageError(f"k {self.k} will not do: it has to be 2..{MOST_CLUSTERS}")
        if self.thresholds is not None:  # JSON gives a list
            object.__setattr__(self, "thresholds", (float(self.thresholds[0]), float(self.thresholds[1])))
        lenders = tuple(tuple((float(x), float(y), float(z)) for x, y, z in lender) for lender in self.lenders)
        if len({len(lender) for lender in lenders}) > 1:
            raise BeautyError("all lenders of colours need the same number of clusters")
        object.__setattr__(self, "lenders", lenders)
        if not self._bank.isfinite().all():  # made now: what is first made inside an export is no real tensor
            raise BeautyError("lenders of colours need finite numbers")

    def __call__(self, photos: Tensor, memory: Memory = None) -> tuple[Tensor, Memory]:
        """Photos (N, 3, H, W) in [-1, 1] -> conditions of the same shape and range, and the new memory."""
        return CONDITIONS[self.kind](self, photos, memory)

    def film(self, frames: Tensor, memory: Memory = None) -> tuple[Tensor, Memory]:
        """As if called on consecutive frames (N, 3, H, W) one by one, each with what the one before it left."""
        if frames.is_cuda and self.kind in FILMS:
            return FILMS[self.kind](self, frames, memory)
        shown = []
        for frame in torch.split(frames, 1):
            condition, memory = self(frame, memory)
            shown.append(condition)
        return torch.cat(shown), memory

    @property
    def sigma(self) -> float:
        """Standard deviation in px of the Gaussian that smooths the photo first: 2.9 px of 256 at abstraction 0.6."""
        return 8 * self.abstraction**2 * self.size / 256

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return self.k if self.k is not None else round(10.6 - 6 * self.abstraction)

    @cached_property
    def _bank(self) -> Tensor:
        """The lenders' centres, (M, k, 3), on the CPU; a film asks for them at each frame."""
        return torch.tensor(self.lenders)

    def _lent(self, like: Tensor) -> Tensor:
        """The lenders' centres, (M, k, 3), where another tensor is."""
        return constant(self.lenders, like) if like.is_cuda else self._bank.to(like)

    @property
    def own(self) -> Condition:
        """The same without borrowed colours: what the network is shown when it learns."""
        return replace(self, lenders=())

    def lent_by(self, photos: Iterable[Tensor], dull: float = 0.0) -> Condition:
        """The same with the colours of these photos, (N, 3, H, W) each; as it is where it borrows none.

        That share of them whose colours are dullest, by their mean chroma, lend none.
        """
        if (self.kind, self.palette) != ("clusters", "borrowed"):
            return self
        fitted = (by_luminance(fit_centres(sample(self._lab(each)), self.clusters)) for each in photos)
        centres = torch.cat([*fitted]).cpu()
        by_chroma = centres[..., 1:].norm(dim=2).mean(1).argsort()
        colourful = by_chroma[int(dull * len(by_chroma)) :].sort().values
        lenders = tuple(
            tuple((round(x, 1), round(y, 1), round(z, 1)) for x, y, z in palette)
            for palette in centres[colourful].tolist()
        )
        return replace(self, lenders=lenders)

    def lend(self, shown: Tensor, memory: Memory) -> Tensor:
        """What was shown without lenders, and left this memory, in the lenders' colours; as it is if there are none."""
        if not self.lenders:
            return shown
        assert memory
        centres, labels = memory
        return _painted(self, borrowed(centres, self._lent(centres)), labels).reshape(shown.shape)

    def _lab(self, photos: Tensor) -> Tensor:
        planes = photos.float().contiguous()  # after smoothing of few px, channels last take twice as long and more
        return rgb_to_lab(smooth(planes, self.sigma))

    def randomised(self, random: Random) -> Condition:
        """A recipe near this one, for a training batch: the network must not learn one threshold by heart."""
        return replace(
            self.own,
            abstraction=min(1.0, max(0.0, self.abstraction + random.uniform(-0.25, 0.25))),
            k=min(MOST_CLUSTERS, max(3, self.clusters + random.randint(-4, 1))),
            sensitivity=self.sensitivity * 2 ** random.uniform(-0.6, 0.6),
            brightness=self.brightness + random.uniform(-0.2, 0.2),
            contrast=self.contrast * random.uniform(0.85, 1.15),
        )


# --- clusters -------------------------------------------------------------------------------------------------------


def clusters(recipe: Condition, photos: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    """Colour clusters: k-means in Lab on the smoothed photo, painted by luminance rank or by mean colour.

    The memory is the centres in rank order, float (N, k, 3) in Lab, and beside them, where colours are borrowed, the
    lender's and those shown, (N, k, 9) in all; and each pixel's label, (N, P). A memory of one picture serves a whole
    batch.
    """
    lab = recipe._lab(photos)
    return _clustered(recipe, lab, _fresh(recipe, lab, memory), memory)


def film_clusters(recipe: Condition, frames: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    """As `clusters` of one frame after the other, but what each would have alone is found for all in one go.

    A GPU waits for most of the calls otherwise. On a CPU it is little, and pixels between two clusters would depend on
    how many frames come together.
    """
    lab = recipe._lab(frames)
    fresh = _fresh(recipe, lab, memory)
    shown = []
    for one, centres in zip(torch.split(lab, 1), torch.split(fresh, 1), strict=True):
        painted, memory = _clustered(recipe, one, centres, memory)
        shown.append(painted)
    return torch.cat(shown), memory


def _fresh(recipe: Condition, lab: Tensor, memory: Memory) -> Tensor:
    """The centres (N, k, 3) that each picture has alone, in rank order, as many as the memory has."""
    return by_luminance(fit_centres(sample(lab), memory[0].shape[1] if memory else recipe.clusters))


def _clustered(recipe: Condition, lab: Tensor, fresh: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    before: Tensor | None = None
    if memory is None:
        centres = fresh
        colours = [borrowed(centres, recipe._lent(centres))] * 2 if recipe.lenders else []
    else:
        known, before = (each.expand(lab.shape[0], *each.shape[1:]) for each in memory)
        pixels = sample(lab)
        pull = torch.lerp(known[..., :3], fresh, _share_of_fresh(pixels, known[..., :3], fresh))
        centres = torch.lerp(lloyd(pixels, pull, WARM_STEPS), pull, CENTRE_INERTIA)
        order = rank_order(centres)
        centres = centres.gather(1, order[..., None].expand_as(centres))
        before = order.argsort(dim=1).gather(1, before)
        colours = []
        if recipe.lenders:
            lender = borrowed(centres, recipe._lent(centres), known[..., 3:6])
            colours = [lender, torch.lerp(known[..., 6:], lender, GLIDE)]
    known = torch.cat([centres, *colours], dim=2)
    labels = assign(lab.flatten(2), centres, before)
    return _painted(recipe, known[..., -3:], labels).reshape(lab.shape), (known, labels)


def _painted(recipe: Condition, centres: Tensor, labels: Tensor) -> Tensor:
    """Each pixel in its cluster's colour: centres (N, k, 3) in Lab, labels (N, P) -> (N, 3, P) in [-1, 1]."""
    palette = PALETTES[recipe.palette](centres)
    return palette.mT.gather(2, labels[:, None].expand(-1, 3, -1))


def _share_of_fresh(pixels: Tensor, known: Tensor, fresh: Tensor) -> Tensor:
    """How far a film's known centres (N, k, 3) are drawn to the fresh ones of its pixels (N, 3, P): (N, 1, 1)."""
    held, alone = (quantisation_error(pixels, centres) for centres in (known, fresh))
    better = (held - alone) / alone.clamp_min(UNSEEN)
    return (FRESH_PULL * better).clamp(*FRESH_SHARE)[:, None, None]


def ranked_palette(centres: Tensor) -> Tensor:
    """Fixed colours from dark to light for k ranks: (N, k, 3) in [-1, 1], the same for every picture."""
    anchors = constant(RANKED_COLOURS, centres)
    colours = F.interpolate(anchors.T[None], size=centres.shape[1], mode="linear", align_corners=True)[0].T
    return colours.expand(centres.shape[0], -1, -1)


def mean_palette(centres: Tensor) -> Tensor:
    """Each cluster in its own mean colour: (N, k, 3) in [-1, 1]."""
    return lab_to_rgb(centres.mT[..., None])[..., 0].mT


def borrowed(centres: Tensor, lenders: Tensor, before: Tensor | None = None) -> Tensor:
    """Of lenders (M, k', 3) the one whose luminances are nearest the centres' (N, k, 3), rank for rank: as the centres.

    Or the lender `before`, (N, k, 3), unless another's are clearly nearer (LENDER_INERTIA). All in Lab.
    """
    ranks = torch.linspace(0, lenders.shape[1] - 1, centres.shape[1], device=lenders.device).round().long()
    bank = lenders[:, ranks]
    unlike = (centres[:, None, :, 0] - bank[:, :, 0]).abs().mean(2)  # N, lenders
    least, nearest = unlike.min(1)
    found = bank[nearest]
    if before is None:
        return found
    held = (centres[..., 0] - before[..., 0]).abs().mean(1)
    return torch.where((held > least + LENDER_INERTIA)[:, None, None], found, before)


PALETTES: dict[str, Callable[[Tensor], Tensor]] = {
    "borrowed": mean_palette,
    "ranked": ranked_palette,
    "mean": mean_palette,
}


# --- edges ----------------------------------------------------------------------------------------------------------


def edges(recipe: Condition, photos: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    """Canny edges (Canny 1986): white lines one pixel wide on black.

    Without thresholds the high one is Otsu's on the gradient magnitude and the low one half of it. The memory is the
    smoothed grey picture, float (N, 1, H, W), and the high threshold, (N, 1, 1, 1).
    """
    grey = smooth(luma(photos.float()), recipe.sigma)
    if memory:
        grey = at_rest(grey, memory[0])
    magnitude, is_ridge = gradient_ridges((grey + 1) * 127.5)
    if recipe.thresholds:
        low, high = constant(recipe.thresholds, magnitude).view(2, 1, 1, 1, 1)
    else:
        high = otsu(magnitude) * recipe.sensitivity
        if memory:
            high = torch.lerp(high, memory[1], INERTIA)
        low = high / 2
    lines = hysteresis((magnitude > high) & is_ridge, (magnitude > low) & is_ridge)
    return (lines.to(photos.dtype) * 2 - 1).expand(-1, 3, -1, -1), (grey, high)


def at_rest(now: Tensor, before: Tensor) -> Tensor:
    """A picture, (N, C, H, W) in [-1, 1], with its noise averaged over time where it is like the one before it."""
    same = torch.exp(-((now - before) / NOISE).square().sum(1, keepdim=True))
    return torch.lerp(now, before, INERTIA * same)


# --- blur -----------------------------------------------------------------------------------------------------------


def blur(recipe: Condition, photos: Tensor, memory: Memory) -> tuple[Tensor, Memory]:  # noqa: ARG001
    """Learning to See's recipe (Akten, Fiebrink and Grierson 2019): grey, strong area downscale, cubic upscale.

    The downscale is 24 times for pictures of 256 px at abstraction 0.6.
    """
    grey = luma(photos.float())
    height, width = grey.shape[-2:]
    factor = max(1.0, 40 * recipe.abstraction * recipe.size / 256)
    large = _coarse(grey, height, factor) @ grey @ _coarse(grey, width, factor).T
    shown = (large * recipe.contrast + recipe.brightness).clamp(-1, 1)
    return shown.expand(-1, 3, -1, -1), None


CUBIC = -0.75
"""The usual sharpness of cubic interpolation (Keys 1981), as in OpenCV and torch."""


def _coarse(like: Tensor, length: int, factor: float) -> Tensor:
    """What shrinks a line of pixels by a factor (to 2 at least), by area, and enlarges it again: (length, length).

    The same as adaptive pooling and cubic interpolation, in one product, whose shape exports can leave open.
    """
    place = torch.arange(length, device=like.device, dtype=like.dtype)
    whole = place[-1] + 1
    cells = (whole / factor).round().clamp_min(2)
    at = (place + 0.5) * cells / whole - 0.5
    total = like.new_zeros(length, length)
    for step in (-1, 0, 1, 2):
        away = (at - at.floor() - step).abs()
        near = ((CUBIC + 2) * away - (CUBIC + 3)) * away**2 + 1
        far = ((CUBIC * away - 5 * CUBIC) * away + 8 * CUBIC) * away - 4 * CUBIC
        cell = torch.minimum((at.floor() + step).clamp_min(0), cells - 1)
        start, end = (cell * whole / cells).floor()[:, None], ((cell + 1) * whole / cells).ceil()[:, None]
        inside = ((place >= start) & (place < end)).to(like.dtype)
        total = total + torch.where(away <= 1, near, far)[:, None] * inside / (end - start)
    return total


CONDITIONS: dict[str, Callable[[Condition, Tensor, Memory], tuple[Tensor, Memory]]] = {
    "clusters": clusters,
    "edges": edges,
    "blur": blur,
}
FILMS = {"clusters": film_clusters}
"""Where consecutive frames take a GPU less time together than one by one."""
