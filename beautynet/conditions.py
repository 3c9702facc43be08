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

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from beautynet.errors import BeautyError

MOST_CLUSTERS = 32
FIT_GRID = 64
"""The centres are fitted on FIT_GRID² = 4,096 pixels of each picture."""
FRESH_STEPS, WARM_STEPS = 16, 3
"""Lloyd iterations for a first picture, and for a frame that starts from the centres of the one before."""
CENTRE_INERTIA = 0.6
"""How much of the last frame's centres stays in a film: steadier colours against a slower reaction to change."""
FRESH_PULL, FRESH_SHARE = 0.2, (0.1, 0.5)
"""How far a film's centres are drawn, each frame, to those that the frame would have alone: in proportion to how much
better these fit, within bounds. So a centre that lost all its pixels as the scene changed finds others."""
UNSEEN = 0.25
"""Nobody sees a mean squared error of this, in Lab²; what centres fit better than to this is nothing to go after."""
RANK_TOLERANCE = 4.0
"""In a film the ranks of two clusters swap only once the darker is this much (in L*) the lighter one."""

LABEL_INERTIA = 1.5
"""In a film a pixel changes its cluster only for one whose centre is nearer by this much, in Lab."""
LENDER_INERTIA, GLIDE = 5.0, 0.08
"""A film borrows the colours of another photo only once the lights and darks of that fit better by this much, in L* on
average; and then goes over to them by this share a frame."""
INERTIA = 0.8
"""How much of the last frame stays in a film, in the threshold for edges and where a pixel hardly changes."""
NOISE = 0.05
"""Hardly: by less than this, of -1..1."""

Values = tuple[float, ...] | tuple["Values", ...]
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
            raise BeautyError(f"unknown condition {self.kind!r}: choose from {', '.join(CONDITIONS)}")
        if self.palette not in PALETTES:
            raise BeautyError(f"unknown palette {self.palette!r}: choose from {', '.join(PALETTES)}")
        if not 0 <= self.abstraction <= 1:
            raise BeautyError(f"abstraction {self.abstraction} will not do: it has to be 0..1")
        if self.k is not None and not 2 <= self.k <= MOST_CLUSTERS:
            raise BeautyError(f"k {self.k} will not do: it has to be 2..{MOST_CLUSTERS}")
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

    def lent_by(self, photos: Iterable[Tensor]) -> Condition:
        """The same with the colours of these photos, (N, 3, H, W) each; as it is where it borrows none."""
        if (self.kind, self.palette) != ("clusters", "borrowed"):
            return self
        fitted = (by_luminance(fit_centres(sample(self._lab(each)), self.clusters)) for each in photos)
        lenders = tuple(
            tuple((round(x, 1), round(y, 1), round(z, 1)) for x, y, z in palette)
            for each in fitted
            for palette in each.tolist()
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


def sample(lab: Tensor) -> Tensor:
    """A regular grid of about 4,000 pixels: (N, 3, H, W) -> (N, 3, P)."""
    height, width = lab.shape[-2:]
    ys = torch.arange(FIT_GRID, device=lab.device) * height // FIT_GRID
    xs = torch.arange(FIT_GRID, device=lab.device) * width // FIT_GRID
    return lab[:, :, ys][:, :, :, xs].flatten(2)


def fit_centres(pixels: Tensor, k: int) -> Tensor:
    """k-means on (N, 3, P) pixels -> centres (N, k, 3).

    The start is Su and Dy's Var-Part (2007): cut the cluster with the largest squared error in two at its mean, along
    its widest axis, k - 1 times. It needs no luck, so the same picture always gets the same clusters.
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

HYSTERESIS_STEPS = 32
"""How far in px a weak edge may run from a strong one. Canny's flood has no limit, but a fixed count keeps the
condition the same graph everywhere (GPU, ONNX); longer weak chains are rare enough (F1 0.99 against OpenCV)."""


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


SOBEL = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))


def gradient_ridges(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel gradient magnitude of (N, 1, H, W) grey in 0..255, and where it is a maximum across the edge."""
    sobel = constant(SOBEL, grey)
    gradient = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), torch.stack([sobel, sobel.T])[:, None])
    gx, gy = gradient[:, :1], gradient[:, 1:]
    magnitude = (gx**2 + gy**2).sqrt()
    around = F.pad(magnitude, (1, 1, 1, 1))
    height, width = grey.shape[-2:]

    def neighbour(dy: int, dx: int) -> Tensor:
        return around[:, :, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    def ridge(dy: int, dx: int) -> Tensor:  # strict on one side only, so that a plateau keeps one line
        return (magnitude > neighbour(-dy, -dx)) & (magnitude >= neighbour(dy, dx))

    flat = math.tan(math.pi / 8)
    ax, ay = gx.abs(), gy.abs()
    horizontal, vertical = ay < ax * flat, ax < ay * flat
    falling = gx * gy > 0
    diagonal = (falling & ridge(1, 1)) | (~falling & ridge(1, -1))  # onnxruntime knows no `where` for truth values
    is_ridge = (horizontal & ridge(0, 1)) | (vertical & ridge(1, 0)) | (~horizontal & ~vertical & diagonal)
    return magnitude, is_ridge


def otsu(magnitude: Tensor, bins: int = 256) -> Tensor:
    """Otsu's threshold (1979) of each picture's values, (N, 1, H, W) -> (N, 1, 1, 1)."""
    flat = magnitude.flatten(1)
    top = flat.amax(1, keepdim=True).clamp_min(4)  # a step of one grey level: what is below is rounding, not edges
    index = (flat / top * bins).long().clamp_max(bins - 1)
    weight = torch.zeros(flat.shape[0], bins, device=flat.device).scatter_add(1, index, torch.ones_like(flat))
    weight = weight / flat.shape[1]
    level = (torch.arange(bins, device=flat.device) + 0.5) / bins
    below, mass = weight.cumsum(1), (weight * level).cumsum(1)
    between = (mass[:, -1:] * below - mass) ** 2 / (below * (1 - below)).clamp_min(1e-9)
    return ((between.argmax(1, keepdim=True) + 1) / bins * top)[:, :, None, None]


def hysteresis(strong: Tensor, weak: Tensor) -> Tensor:
    """Weak edge pixels that touch a strong one through weak ones, up to HYSTERESIS_STEPS px away; bool (N, 1, H, W)."""
    kept, allowed = strong.float(), weak.float()
    for _ in range(HYSTERESIS_STEPS):
        kept = F.max_pool2d(kept, 3, stride=1, padding=1) * allowed
    return kept > 0


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


# --- colour and smoothing -------------------------------------------------------------------------------------------


def constant(values: Values, like: Tensor) -> Tensor:
    """Numbers as a tensor like another.

    Kept on a GPU, which would be waited for to take them again, and where no recording could do that. Not on a CPU:
    what is first made inside an export is no real tensor.
    """
    return _kept(values, like.device, like.dtype) if like.is_cuda else like.new_tensor(values)


@lru_cache(maxsize=64)
def _kept(values: Values, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(mode=False):
        return torch.tensor(values, device=device, dtype=dtype)


MOST_SHIFTS = 32
"""Radius in px up to which sums of shifted pictures are quicker than matrix products."""


def smooth(batch: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (N, C, H, W), sigma in px, weights renormalised at the border.

    Up to four sigma, as products with a banded matrix; where that is quicker, which is on a CPU unless sigma is large,
    as sums of the picture shifted: half of the time. A convolution with one channel takes longer than either.
    """
    if sigma <= 0:
        return batch
    radius = math.ceil(4 * sigma)
    if batch.device.type == "cpu" and radius <= MOST_SHIFTS:
        weights = [math.exp(-(offset**2) / (2 * sigma**2)) for offset in range(-radius, radius + 1)]
        return _shifted_sums(_shifted_sums(batch, weights, 2), weights, 3)

    def kernel(length: int) -> Tensor:
        position = torch.arange(length, device=batch.device, dtype=batch.dtype)
        away = (position - position[:, None]).abs()
        taps = torch.exp(away.square() * (-0.5 / sigma**2)) * (away <= radius)
        return taps / taps.sum(1, keepdim=True)

    height, width = batch.shape[-2:]
    return kernel(height) @ batch @ kernel(width).T


def _shifted_sums(batch: Tensor, weights: list[float], axis: int) -> Tensor:
    """(N, C, H, W) averaged along an axis with an odd number of weights, fewer at the border."""
    radius, length = len(weights) // 2, batch.shape[axis]
    padded = F.pad(batch, (radius, radius) if axis == 3 else (0, 0, radius, radius))
    total = padded.narrow(axis, 0, length) * weights[0]
    for offset, weight in enumerate(weights[1:], start=1):
        total.add_(padded.narrow(axis, offset, length), alpha=weight)
    upto = batch.new_tensor([0.0, *accumulate(weights)])
    place = torch.arange(length, device=batch.device)
    inside = upto[(length - place + radius).clamp_max(len(weights))] - upto[(radius - place).clamp_min(0)]
    return total / (inside if axis == 3 else inside[:, None])


LUMA = (0.299, 0.587, 0.114)


def luma(batch: Tensor) -> Tensor:
    """Grey of (N, 3, H, W) by ITU-R BT.601: (N, 1, H, W), the range kept."""
    return (batch * constant(LUMA, batch).view(3, 1, 1)).sum(1, keepdim=True)


RGB_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
WHITE = (0.950456, 1.0, 1.088754)
"""sRGB primaries and the D65 white point."""
XYZ_TO_RGB = tuple(map(tuple, torch.linalg.inv(torch.tensor(RGB_TO_XYZ, dtype=torch.float64)).tolist()))


_DARK = 2 * 0.04045 - 1
"""Where sRGB goes over from a line to a power: in [-1, 1]."""
_LOW = 0.008856
"""Where Lab goes over from a line to a cube root: of the white's XYZ."""


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """SRGB (N, 3, H, W) in [-1, 1] -> CIE L*a*b*: L in 0..100, a and b about -127..127.

    Each curve is a power of what is above its threshold, plus a line of what is below: half of the time of choosing.
    """
    bright = rgb.clamp(_DARK, 1.0) * (0.5 / 1.055) + 0.555 / 1.055
    linear = torch.add(_power(bright, 2.4), rgb.clamp(-1.0, _DARK) - _DARK, alpha=0.5 / 12.92)
    matrix = constant(RGB_TO_XYZ, rgb) / constant(WHITE, rgb)[:, None]
    xyz = (matrix @ linear.flatten(2)).view_as(rgb)
    f = torch.add(_power(xyz.clamp_min(_LOW), 1 / 3), xyz.clamp_max(_LOW) - _LOW, alpha=7.787)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def _power(base: Tensor, exponent: float) -> Tensor:
    """Of what is positive, in half of the time that `pow` takes on a CPU."""
    return (base.log2() * exponent).exp2()


def lab_to_rgb(lab: Tensor) -> Tensor:
    """CIE L*a*b* (N, 3, H, W) -> sRGB in [-1, 1]; colours outside sRGB are clipped."""
    luminance, a, b = lab.unbind(1)
    y = (luminance + 16) / 116
    f = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(f > 0.206893, f**3, (f - 16 / 116) / 7.787)
    matrix = constant(XYZ_TO_RGB, lab) * constant(WHITE, lab)
    linear = (matrix @ xyz.flatten(2)).view_as(lab).clamp(0, 1)
    unit = torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(1e-8).pow(1 / 2.4) - 0.055, linear * 12.92)
    return unit * 2 - 1
