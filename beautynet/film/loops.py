"""What is made of a finished film: a loop that is small enough to be sent, and a poster frame."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from beautynet.errors import BeautyError, UsageError
from beautynet.files import atomic, write_picture
from beautynet.film.frames import Frame
from beautynet.film.media import Film
from beautynet.film.rendering import writing

BYTES = {".gif": 0.5, ".webp": 0.1}
"""A pixel of a frame takes about so many in these formats: where the search for a size begins."""
SMALLEST = 64
"""Shorter side in px that a loop may have."""
FPS = 12.5
"""Frames a second of a loop if nobody says: more of them would have to be smaller."""
ATTEMPTS = 3
"""After so many, what fits is taken even if more would."""
POSTER_CANDIDATES = 9
POSTER_QUALITY = 92


def loop(film: Path, out: Path, most_bytes: float) -> None:
    """Write `film` as `out`, a GIF or WebP that repeats, as large in px as `most_bytes` allow. Raises BeautyError.

    The size of the file goes nearly with the number of pixels, so a few attempts find the scale.
    """
    if out.suffix.lower() not in BYTES:
        raise UsageError(f"a loop is a {' or a '.join(BYTES)}, not {out.name}: choose such a name")
    with Film(film) as frames:
        width, height = frames.size
        pixels = (frames.expected or 1) * width * height
    least = SMALLEST / min(width, height)
    scale = min(1.0, (most_bytes / (BYTES[out.suffix.lower()] * pixels)) ** 0.5)
    with atomic(out) as temporary:
        for attempt in count(1):
            scale = min(1.0, max(scale, least))
            _scaled(film, temporary, scale)
            size = temporary.stat().st_size
            if size <= most_bytes and (scale == 1 or size > most_bytes / 2 or attempt > ATTEMPTS):
                return
            if size > most_bytes and scale <= least:
                enough = math.ceil(size / 1e4) / 100
                raise BeautyError(
                    f"{out} would have {enough:g} MB even at {SMALLEST} px: allow more (the same command with --loop "
                    f"{enough:g} goes on with what is dreamt), or cut a part out by --start and --end"
                )
            scale *= (0.9 * most_bytes / size) ** 0.5


def _scaled(film: Path, out: Path, scale: float) -> None:
    with Film(film) as frames:
        width, height = (max(1, round(side * scale)) for side in frames.size)
        with writing(out, (width, height), rate=frames.rate, pixel_aspect=frames.pixel_aspect) as writer:
            for frame in frames:
                picture = cv2.resize(frame.picture, (width, height), interpolation=cv2.INTER_AREA)
                writer.write(frame._replace(picture=np.asarray(picture, np.uint8)))


def poster(film: Path, out: Path, seconds: Fraction) -> None:
    """Write the most colourful of a few frames of `film`, evenly spread over its `seconds`, to `out`, a JPEG."""
    best: Frame | None = None
    for number in range(POSTER_CANDIDATES):
        try:
            with Film(film, start=float(seconds * Fraction(number, POSTER_CANDIDATES))) as frames:
                frame, aspect = next(iter(frames)), frames.pixel_aspect
        except BeautyError:  # of some formats it is not known how long the last frame is on
            if not number:
                raise
            continue
        if best is None or colourfulness(frame.picture) > colourfulness(best.picture):
            best = frame
    assert best is not None
    height, width = best.picture.shape[:2]
    square = cv2.resize(best.picture, (max(1, round(width * aspect)), height), interpolation=cv2.INTER_CUBIC)
    write_picture(out, np.asarray(square, np.uint8), quality=POSTER_QUALITY)


def colourfulness(picture: NDArray[np.uint8]) -> float:
    """Of uint8 RGB (H, W, 3), 0 for grey: Hasler and Süsstrunk 2003, equation 3."""
    red, green, blue = np.moveaxis(picture.astype(np.float32), 2, 0)
    opponents = red - green, (red + green) / 2 - blue
    spread, mean = (float(np.hypot(*(of(each) for each in opponents))) for of in (np.std, np.mean))
    return spread + 0.3 * mean
