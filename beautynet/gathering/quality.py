"""Filters at the door of a dataset: what is no photo, or no good one, by its pixels alone; no model, no download.

Thresholds were chosen by `benchmarks/quality.py`, which prints how often each filter is right and wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from beautynet.errors import UsageError

Photo = NDArray[np.uint8]  # (H, W, 3), RGB

WORKING_SIDE = 640  # px, of the longer side at which photos are judged: larger is slower and not more certain
TILE = 32  # px; what has no room for one is not judged
MOST_LETTERS = 2000  # the largest ones: each is compared with each, and grain has ten thousand specks like letters
AGENCIES = re.compile(
    r"(^|\.)(123rf|adobestock|stock\.adobe|agefotostock|alamy(images)?|bigstock(photo)?|canstock(photo)?|colourbox"
    r"|depositphotos|dreamstime|featurepics|freepik|ftcdn|gapphotos|gettyimages|gograph|istockphoto|masterfile"
    r"|panthermedia|pixtastock|shutterstock|stockfood|stocksy|superstock|thinkstockphotos|vectorstock|yayimages)\."
)
"""In the host names of agencies that lay their name over what they show; ftcdn.net is Adobe Stock's."""


@dataclass(frozen=True)
class Filter:
    """A measure of a photo, and where it becomes a fault."""

    score: Callable[[Photo], float]
    measure: str
    limit: float
    under: bool = False  # the fault lies under the limit, not over it

    def fault(self, photo: Photo) -> str | None:
        """What is wrong with the photo, or None."""
        score = self.score(photo)
        if score >= self.limit if self.under else score <= self.limit:
            return None
        return f"{self.measure} {score:.3g}, {'under' if self.under else 'over'} {self.limit:g}"


def why_not(picture: Image.Image, filters: Sequence[str], urls: Iterable[str] = ()) -> str | None:
    """The first fault as "kind: detail", such as "blurred: sharpness 3.1, under 4.5"; None where there is none.

    `filters` are names in FILTERS, the kinds. `urls`, where the picture and its page come from, are evidence of
    watermarks.
    """
    check(filters)
    if "watermark" in filters and (agency := next(filter(None, map(stock_agency, urls)), None)):
        return f"watermark: from {agency}"
    photo = _at_working_size(picture)
    if min(photo.shape[:2]) < TILE:
        return None
    for name in FILTERS:  # in this order: a chart is a drawing first, and text second
        if name in filters and (fault := FILTERS[name].fault(photo)):
            return f"{name}: {fault}"
    return None


def check(filters: Iterable[str]) -> None:
    """Raise BeautyError unless all are names in FILTERS."""
    for name in filters:
        if name not in FILTERS:
            raise UsageError(f"there is no filter {name!r}: choose from {', '.join(FILTERS)}")


def stock_agency(url: str) -> str | None:
    """The host of `url` if it is an agency's that sells photos and shows them with watermarks."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # a broken address
        return None
    return host if AGENCIES.search(host) else None


def sharpness(photo: Photo) -> float:
    """How sharp the sharpest twentieth of a photo is: soft backgrounds are no fault.

    Energy of the Laplacian (Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy") in tiles,
    divided by their variance: contrast is not sharpness. Tiles without contrast hold noise and are left out.
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    variance = _tile_means(grey**2) - _tile_means(grey) ** 2
    energy = _tile_means(cv2.Laplacian(grey, cv2.CV_32F) ** 2)
    telling = variance > 64
    return float(10 * np.sqrt(np.percentile(energy[telling] / variance[telling], 95))) if telling.any() else 0.0


def flatness(photo: Photo) -> float:
    """The share of areas in one plain tone, 0..1, where there are no edges and no background.

    Drawings are flat between their lines; photos have noise, texture and shades (Athitsos et al. 1997,
    "Distinguishing photographs and graphics on the World Wide Web"). The background, the commonest tone and those that
    it shades into, counts a hundredth: flowers are photographed on white and black, and towers before a sky.
    """
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    contrast = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    # JPEG leaves noise beside edges, drawn or not.
    plain = cv2.dilate((contrast >= 40).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    tones = np.bincount(grey[plain & (contrast <= 1)], minlength=256)
    background = 0.99 * tones[_run_around(tones, int(tones.argmax()))].sum()
    return float((tones.sum() - background) / max(np.count_nonzero(plain) - background, 1))


def seam(photo: Photo) -> float:
    """How much the photo looks cut along one straight line from edge to edge, 0..1; gutters have two such lines.

    The share of the line along which brightness jumps, and does not a step before and after, by how unlike its two
    sides are: the grooves of a wall and the frames of windows have the same on both sides.
    """
    grey = _without_border(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)).astype(np.int16)
    return max(_seam(grey), _seam(np.ascontiguousarray(grey.T)))


def letters(photo: Photo) -> float:
    """How many letters stand in the longest line of text, times their share of what ink there is around them.

    White or black ink, also semi-transparent, is thin and raises the darkest of the colours, or lowers the brightest,
    where the textures of saturated petals and leaves hardly show. Its connected components are letters where
    they are alike in height and stand on one line (grouping as in Epshtein et al. 2010, "Detecting text in natural
    scenes with stroke width transform"). Text that is part of the scene counts alike; slanted text is not seen.
    """
    red, green, blue = cv2.split(photo)  # cv2.min is ten times as quick as photo.min(axis=2)
    white, black = cv2.min(cv2.min(red, green), blue), ~cv2.max(cv2.max(red, green), blue)
    return max(_letters(white), _letters(black))


FILTERS: dict[str, Filter] = {
    "blurred": Filter(sharpness, "sharpness", 4.5, under=True),
    "drawing": Filter(flatness, "flatness", 0.55),
    "collage": Filter(seam, "seam", 0.55),
    "watermark": Filter(letters, "letters in a line", 5.5),
}


def _at_working_size(picture: Image.Image) -> Photo:
    photo: Photo = np.asarray(picture.convert("RGB"))
    scale = WORKING_SIDE / max(picture.size)
    if scale >= 1:
        return photo
    width, height = (max(1, round(side * scale)) for side in picture.size)
    small: Photo = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    return small


def _run_around(counts: NDArray[np.intp], peak: int) -> slice:
    """The bins around `peak`, two at least to each side, until one holds less than a fiftieth of it."""
    few = np.flatnonzero(counts < counts[peak] / 50)
    below, above = few[few < peak - 2], few[few > peak + 2]
    return slice(below[-1] + 1 if len(below) else 0, above[0] if len(above) else len(counts))


def _tile_means(values: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (side // TILE for side in values.shape)
    whole = values[: rows * TILE, : columns * TILE]
    means: NDArray[np.float32] = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    return means


def _without_border(grey: Photo) -> Photo:
    """Without the rows and columns in one plain tone around a picture."""
    for _ in range(2):
        busy = np.flatnonzero(grey.max(axis=1) - grey.min(axis=1) > 16)
        if not len(busy):
            return grey[:0]
        grey = grey[busy[0] : busy[-1] + 1].T
    return grey


def _seam(grey: NDArray[np.int16]) -> float:
    """The best seam along the rows, at least a tenth away from the edges."""
    margin = max(len(grey) // 10, 6)
    if len(grey) < 3 * margin or grey.shape[1] < TILE:
        return 0.0
    # Over two rows, as scaling smears a seam over a third; jumps[i] is centred at row i + 1.
    jumps = np.abs(grey[2:] - grey[:-2])
    alone = jumps[2:-2] > np.maximum(jumps[:-4], jumps[4:]) + 8
    shares = alone.mean(axis=1)[margin - 3 : len(grey) - margin - 3]
    best = 0.0
    for row in np.argsort(-shares)[:3]:
        above, below = grey[row + margin - 2].astype(float), grey[row + margin + 2].astype(float)
        unlike = (above - below).var() / (above.var() + below.var() + 200)  # 200: the variance of next to nothing
        best = max(best, float(shares[row] * min(unlike, 1)))
    return best


def _letters(channel: Photo) -> float:
    kernel = np.ones((15, 15), np.uint8)
    ink = cv2.morphologyEx(channel, cv2.MORPH_TOPHAT, kernel)
    # At half of what is brightest nearby, letters come apart that touch in small print.
    half = cv2.blur(cv2.dilate(ink, kernel), (15, 15)) // 2
    mask = ((ink > 15) & (ink > half)).astype(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(mask)
    width, height, area = boxes[1:, 2:].T
    fill = area / (width * height)
    fits = (height >= 6) & (height <= 70) & (width >= 2) & (width <= 1.8 * height) & (fill > 0.15) & (fill < 0.95)
    found = boxes[1:][fits]
    found = found[np.argsort(-found[:, 4], kind="stable")[:MOST_LETTERS]]
    found = found[np.argsort(found[:, 0], kind="stable")]
    best = 0.0
    for line in _lines(found):
        x, y = found[line, :2].min(axis=0)
        right, bottom = (found[line, :2] + found[line, 2:4]).max(axis=0)
        best = max(best, len(line) * found[line, 4].sum() / np.count_nonzero(mask[y:bottom, x:right]))
    return float(best)


def _lines(boxes: NDArray[np.int32]) -> list[list[int]]:
    """Boxes of letters, from left to right, that stand on one line side by side: the longest such lines."""
    if not len(boxes):
        return []
    left, top, width, height, _ = boxes.T.astype(np.float32)
    right, base = left + width, top + height
    taller, lower = np.maximum.outer(height, height), np.minimum.outer(height, height)
    gap = left - right[:, None]
    follows = (left > left[:, None] + 1) & (gap > -0.1 * taller) & (gap < 0.8 * taller)
    follows &= (lower > 0.6 * taller) & (np.abs(base - base[:, None]) <= 0.15 * taller + 1)
    nearest = np.where(follows, gap, np.inf).argmin(axis=1)
    lines: list[list[int]] = [[] for _ in boxes]
    for i in reversed(range(len(boxes))):
        lines[i] = [i, *(lines[nearest[i]] if follows[i, nearest[i]] else [])]
    return sorted(lines, key=len)[-8:]
