"""Films that hold still: each dream leans on the one before it, moved along with what moved in the film."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from beautynet.machine import cores

TRUST = 30.0
"""A pixel of the film that is this much (of 255, in its worst channel) off what was there before trusts it by 1/e."""
ASTRAY = 0.5
"""Square px that a flow may miss the place where it began by: there, trust is 1/e."""
SAME = 0.2
"""Frames that trust each other less on average are of different scenes, a cut that was too dark to be seen as one:
neighbours in films do by 0.35 and more, unrelated photos by 0.18 at most, down to 0.15 of their light."""
FINE, AROUND = (2.0, 1.0, 0.6), 15
"""Px: detail is what blurs so wide take away, coarse to fine; its strength is compared over squares of this side."""
MOST_GAIN = 2.5
"""Detail is at most so many times as strong as it was left: what is gone is gone."""
SMALLEST, FLOW = 32, 128
"""Shorter side in px of what optical flow can be found in, and of what it is looked for in where there is more."""
STILL, TOGETHER, MOST = 0.05, 0.5, 0.75
"""A camera pans if it moves by more than so many px of the flow, and within so many of that so large a share of the
picture: in a pan 0.87 and more do, in other films that move 0.57 and less."""


class View(NamedTuple):
    """What a frame leaves to the next, so that what moved can be found."""

    frame: NDArray[np.uint8]
    """At the scale of the flow: (h', w', 3)."""
    place: NDArray[np.float64]
    """How far (x, y), in px of the dream, the camera has panned since the scene began."""


class Motion(NamedTuple):
    """What moved from one frame to the next, at the scale of the flow."""

    back: NDArray[np.float32]
    """How far (x, y), in px, each pixel was away in the frame before: (h', w', 2)."""
    trust: NDArray[np.float32]
    """How sure that is, 0..1, and 0 everywhere between two scenes: (h', w')."""


class Movement(NamedTuple):
    """What moved in consecutive frames of a film."""

    motions: list[Motion]
    """From frame to frame, with the one before them if there is one; none in pictures too small to tell."""
    places: NDArray[np.float64]
    """How far (x, y) the camera had panned in each, in px of the dream: (N, 2)."""
    view: View
    """For what comes after them."""


def watch(frames: NDArray[np.uint8], before: View | None) -> Movement:
    """Find what moved in consecutive frames (N, h, w, 3) of one scene, as large as their dreams will be."""
    height, width = frames.shape[1:3]
    scale = min(1.0, FLOW / min(height, width))
    small = max(1, round(width * scale)), max(1, round(height * scale))
    film = [np.asarray(cv2.resize(each, small, interpolation=cv2.INTER_AREA), np.uint8) for each in frames]
    start = before.place if before else np.zeros(2)
    seen = [before.frame, *film] if before else film
    if min(height, width) < SMALLEST:
        return Movement([], np.tile(start, (len(film), 1)), View(film[-1], start))
    motions = [*_threads().map(motion, seen, seen[1:])]
    steps = [_step(each) * (width / small[0], height / small[1]) for each in motions]
    places = start + np.cumsum(steps if before else [np.zeros(2), *steps], axis=0)
    return Movement(motions, places, View(film[-1], places[-1]))


def _step(found: Motion) -> NDArray[np.float64]:
    """How far (x, y) the camera panned, in px of the flow."""
    trusted = found.back[::2, ::2][found.trust[::2, ::2] > 0.5]
    if not len(trusted):
        return np.zeros(2)
    step = np.median(trusted, axis=0).astype(np.float64)
    pans = np.hypot(*step) > STILL and np.mean(np.hypot(*(trusted - step).T) < TOGETHER) > MOST
    return step if pans else np.zeros(2)


def lean(
    motions: list[Motion], dreams: NDArray[np.float32], before: NDArray[np.float32] | None, strength: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Steady the dreams (N, h, w, 3), of any range, of consecutive frames of one scene, which moved like that.

    Where the film, moved by its own optical flow (DIS; Kroeger et al. 2016), looks as it did before, a dream is
    `strength` (0..1) parts the last one, moved alike; where something was uncovered, changed or came in at the border,
    it is itself. The result is the dreams and what the last of them leaves to the frame after it, (h, w, 3).
    """
    if not motions:
        return dreams, dreams[-1]
    height, width = dreams.shape[1:3]
    last, own = (dreams[0], dreams[1:]) if before is None else (before, dreams)
    blends = []
    # of all this, only a blend needs the frame before it done
    found = _threads().map(lambda each: _enlarged(each, width, height), motions)
    for dream, (whence, trust) in zip(own, found, strict=True):
        # cubic, since a dream is moved again and again
        then = cv2.remap(last, whence, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        share = cv2.merge([strength * trust] * 3)
        last = np.asarray(cv2.add(dream, cv2.multiply(share, cv2.subtract(then, dream))), np.float32)
        blends.append(last)
    crisp = [*_threads().map(_as_crisp, blends, own)]
    # what is left is not what was made crisp: sharpened again and again, flat areas grow specks
    return np.stack([dreams[0], *crisp] if before is None else crisp), last


def motion(before: NDArray[np.uint8], frame: NDArray[np.uint8]) -> Motion:
    """Find what moved between two frames (h', w', 3).

    Trust is little where the picture looks different there; where it came in at the border; and where the way back
    from there leads elsewhere, which is what was covered (Sundaram, Brox and Keutzer 2010).
    """
    height, width = frame.shape[:2]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    now, then = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (frame, before))
    back, forth = flow.calc(now, then, None), flow.calc(then, now, None)
    whence = _grid(width, height) + back
    there = cv2.remap(before, whence, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    red, green, blue = cv2.split(cv2.blur(cv2.absdiff(frame, there), (3, 3)))
    change = cv2.max(cv2.max(red, green), blue).astype(np.float32)
    returned = back + cv2.remap(forth, whence, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    missed, moved = (x * x + y * y for x, y in map(cv2.split, (returned, back)))
    error = cv2.blur(missed, (5, 5)) / (0.05 * moved + ASTRAY)
    x, y = cv2.split(whence)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    trust = cv2.exp(change / np.float32(-TRUST) - error) * inside
    return Motion(np.asarray(back, np.float32), trust * np.float32(trust.mean() >= SAME))


@cache
def _threads() -> ThreadPoolExecutor:
    """The same for every film: of each thread that ends some memory is kept."""
    return ThreadPoolExecutor(cores())


def _enlarged(found: Motion, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The place (x, y) that each pixel of a dream of this size had before, (h, w, 2), and the trust in it, (h, w)."""
    rows, columns = found.trust.shape
    if (rows, columns) == (height, width):
        return _grid(width, height) + found.back, found.trust
    larger = np.array([width / columns, height / rows], np.float32)
    back, trust = (cv2.resize(each, (width, height)) for each in (found.back * larger, found.trust))
    return _grid(width, height) + back, np.asarray(trust, np.float32)


@lru_cache(maxsize=4)
def _grid(width: int, height: int) -> NDArray[np.float32]:
    """The place (x, y) of each pixel: (h, w, 2)."""
    return np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=2).astype(np.float32)


def _as_crisp(blend: NDArray[np.float32], dream: NDArray[np.float32]) -> NDArray[np.float32]:
    """The blend with its light as detailed as the dream's: two textures that do not quite meet blur each other."""
    light, wanted = (np.asarray(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), np.float32) for each in (blend, dream))
    crisp = light
    for sigma in FINE:
        detail, like = (cv2.subtract(each, _blurred(each, sigma)) for each in (crisp, wanted))
        has, should = (cv2.blur(cv2.absdiff(each, 0.0), (AROUND, AROUND)) for each in (detail, like))
        gain = np.clip(should / np.maximum(has, np.float32(1e-6)), 1, MOST_GAIN) - np.float32(1)
        crisp = np.asarray(cv2.add(crisp, cv2.multiply(gain, detail)), np.float32)
    return np.asarray(cv2.add(blend, cv2.merge([cv2.subtract(crisp, light)] * 3)), np.float32)


def _blurred(picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """A Gaussian blur, up to three sigma."""
    taps = 2 * math.ceil(3 * sigma) + 1
    return np.asarray(cv2.GaussianBlur(picture, (taps, taps), sigma), np.float32)
