"""Numbered pictures as a film, as renderers write them: frames/%04d.png."""

from __future__ import annotations

import hashlib
import os
import re
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from beautynet import decode
from beautynet.console import progress
from beautynet.errors import BeautyError
from beautynet.files import PICTURES, is_hidden, write_picture
from beautynet.film.frames import Frame

_PLACE = re.compile(r"%(?:0(\d{1,2}))?d(?!.*%(?:0\d{1,2})?d)")  # %d, %04d; the last one
_NUMBER = re.compile(r"\d+(?=\D*$)")  # likewise
_NAMED = (decode.SUFFIXES | PICTURES.keys() | {".exr", ".dpx", ".tga"}) - {".gif"}
"""Suffixes of what renderers write; "100%done.mp4" is no pattern."""
_LONGEST = 86_400
"""Seconds; what is longer has a number that is none."""


class Numbered:
    """The pictures that are named so, in the order of their numbers, `rate` to a second, all as large as the first.

    While a number is missing, or its picture cannot be read, the one before it stays.
    """

    pixel_aspect = Fraction(1)
    has_sound = False
    surely_until = Fraction(0)

    def __init__(self, pattern: Path, rate: Fraction) -> None:
        self.pattern, self.rate = pattern, rate
        self.damaged = False
        self._reason = ""
        self.pictures = there(pattern)
        if not self.pictures:
            other = pattern_of(pattern.parent)
            name = f"name {other}, which there are" if other else "name them as they are, such as frames/%04d.png"
            raise BeautyError(f"no pictures are named like {pattern}: {name}")
        self.numbers = sorted(self.pictures)
        self.expected: int | None = self.numbers[-1] - self.numbers[0] + 1
        if self.expected > _LONGEST * rate:
            before, after = max(pairwise(self.numbers), key=lambda two: two[1] - two[0])
            raise BeautyError(f"after {before} of {pattern} comes {after}: put pictures of another film elsewhere")

    def frames(self, start: Fraction) -> Iterator[Frame]:
        """All frames, or those from the one on at `start` (seconds) on. BeautyError if none can be read."""
        first, last = self.numbers[0], self.numbers[-1]
        at = first + int(start * self.rate)
        begun = bisect(self.numbers, at)
        earlier, later = self._read(reversed(self.numbers[:begun])), self._read(self.numbers[begun:])
        # where nothing comes before, the first that can be read is on from the beginning
        found = next(earlier, None) or next(later, None)
        if found is None:
            raise BeautyError(f"none of {self.pattern} can be read ({self._reason}): choose other pictures")
        shown, on = found
        height, width = on.shape[:2]
        time = (at - first) / self.rate
        self.damaged = shown != at
        for number, following in later:
            until = (number - first) / self.rate
            yield Frame(on, time, until - time)
            self.damaged |= number != shown + 1
            shown, on, time = number, following, until
            if on.shape[:2] != (height, width):
                on = np.asarray(cv2.resize(on, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        yield Frame(on, time, (last + 1 - first) / self.rate - time)
        self.damaged |= shown != last

    def _read(self, numbers: Iterable[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Those of the pictures that can be read."""
        for number in numbers:
            try:
                yield number, np.asarray(decode.decode(self.pictures[number]))
            except decode.Unreadable as error:
                self._reason = f"{self.pictures[number].name}: {error}"

    def close(self) -> None:
        """Nothing is held open."""


def are_meant(path: Path) -> bool:
    """Whether a path is the pattern of numbered pictures, not the name of a file."""
    return path.suffix.lower() in _NAMED and bool(_PLACE.search(path.name)) and not os.path.exists(path)


def is_one(path: Path, pattern: Path) -> bool:
    """Whether a file is one of these pictures, or would be: to some systems names that differ in case are the same."""
    folder, other = path.parent.resolve(), pattern.parent.resolve()
    together = folder == other or (folder.exists() and other.exists() and folder.samefile(other))
    return together and _number(path.name, pattern, str.casefold) is not None


def overlap(pattern: Path, other: Path) -> bool:
    """Whether pictures that are there would be written over by those of the same numbers of another pattern."""
    return any(is_one(picture(other, number), pattern) for number in there(pattern))


def there(pattern: Path) -> dict[int, Path]:
    """The pictures that there are, by their numbers."""
    if not pattern.parent.is_dir():
        return {}
    try:
        names = os.listdir(pattern.parent)
    except OSError as error:
        raise BeautyError(f"cannot look into {pattern.parent}: {error.strerror}") from error
    found = ((_number(name, pattern), name) for name in names)
    return {number: pattern.parent / name for number, name in found if number is not None}


def write(frames: Iterable[Frame], pattern: Path, first: int, rate: Fraction | None) -> None:
    """Each frame as a picture of its own, from number `first` on: the next one, or that of its time at a `rate`."""
    with progress("pictures") as bar:
        for count, frame in enumerate(bar.track(frames, description="writing")):
            number = first + (count if rate is None else round(frame.time * rate))
            write_picture(picture(pattern, number), frame.picture, **PICTURES[pattern.suffix.lower()])


def picture(pattern: Path, number: int) -> Path:
    """The picture of this number."""
    return pattern.with_name(_PLACE.sub(lambda place: f"{number:0{int(place[1] or 1)}}", pattern.name))


def state(pattern: Path) -> str:
    """What tells these pictures from other ones of the same names: a digest of how large and how old each is."""
    known = hashlib.blake2b(digest_size=16)
    for number, path in sorted(there(pattern).items()):
        with suppress(OSError):  # gone meanwhile
            found = path.stat()
            known.update(f"{number} {found.st_size} {found.st_mtime_ns}\n".encode())
    return known.hexdigest()


def title(pattern: Path) -> Path:
    """What their film would be named: shots/walk.mp4 for shots/walk_%04d.png, shots.mp4 for shots/%04d.png."""
    words = _PLACE.sub("", pattern.stem).strip(" ._-")
    if words:
        return pattern.with_name(f"{words}.mp4")
    folder = pattern.parent if pattern.parent.name not in ("", "..") else pattern.parent.resolve()
    return folder.parent / f"{folder.name or 'film'}.mp4"


def pattern_of(folder: Path) -> Path | None:
    """How most of the pictures in a folder are numbered, if two are."""
    numbers: dict[tuple[str, str], list[str]] = {}
    try:
        names = sorted(os.listdir(folder))
    except OSError:  # whoever needs them will say so
        return None
    for name in names:
        found = _NUMBER.search(Path(name).stem)
        if found and not is_hidden(name) and Path(name).suffix.lower() in decode.SUFFIXES:
            numbers.setdefault((name[: found.start()], name[found.end() :]), []).append(found.group())
    before, after = max(numbers, key=lambda around: len(numbers[around]), default=("", ""))
    digits = numbers.get((before, after), [])
    filled = next((len(each) for each in digits if each.startswith("0") and len(each) > 1), None)
    pattern = folder / f"{before}{f'%0{filled}d' if filled else '%d'}{after}"
    return pattern if len(digits) > 1 and len(there(pattern)) > 1 else None


def _number(name: str, pattern: Path, spelt: Callable[[str], str] = str) -> int | None:
    """The number of a picture of this name; None if it is named otherwise, where names are compared as `spelt`."""
    place = _PLACE.search(pattern.name)
    if place is None:
        return None
    digits = name[place.start() : len(name) - len(pattern.name) + place.end()]
    if not (digits.isascii() and digits.isdecimal()):
        return None
    return int(digits) if spelt(name) == spelt(picture(pattern, int(digits)).name) else None
