"""Numbered pictures as a film, as renderers write them: frames/%04d.png."""

from __future__ import annotations

import os
import re
from bisect import bisect
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from beautynet import decode
from beautynet.errors import BeautyError
from beautynet.film.frames import Frame

_PLACE = re.compile(r"%(?:0(\d))?d")  # %d, %04d
_NUMBER = re.compile(r"\d+(?=\D*$)")  # the last one in a name


class Numbered:
    """The pictures that are named so, in the order of their numbers, `rate` to a second, all as large as the first.

    While a number is missing, or its picture cannot be read, the one before it stays.
    """

    pixel_aspect = Fraction(1)
    has_sound = False
    surely_until = Fraction(0)

    def __init__(self, pattern: Path, rate: Fraction) -> None:
        self.rate = rate
        self.damaged = False
        self.pictures = _numbered(pattern)
        if not self.pictures:
            there = pattern_of(pattern.parent)
            name = f"name {there}, which there are" if there else "name them as they are, such as frames/%04d.png"
            raise BeautyError(f"no pictures are named like {pattern}: {name}")
        self.expected: int | None = max(self.pictures) - min(self.pictures) + 1

    def frames(self, start: Fraction) -> Iterator[Frame]:
        """All frames, or those from the one that is on at `start` (seconds) on."""
        numbers = sorted(self.pictures)
        first, last = numbers[0], numbers[-1]
        begin = bisect(numbers, start * self.rate + first) - 1
        self.damaged = last - numbers[begin] > len(numbers) - 1 - begin
        on: Frame | None = None
        for number in numbers[begin:]:
            try:
                picture = np.asarray(decode.decode(self.pictures[number]))
            except decode.Unreadable:
                self.damaged = True
                continue
            time = (number - first) / self.rate
            if on:
                yield on._replace(duration=time - on.time)
                height, width = on.picture.shape[:2]
                if picture.shape != on.picture.shape:
                    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
            on = Frame(picture, time, 1 / self.rate)
        if on:
            yield on._replace(duration=(last + 1 - first) / self.rate - on.time)

    def close(self) -> None:
        """Nothing is held open."""


def are_meant(path: Path) -> bool:
    """Whether a path is the pattern of numbered pictures, not the name of a file."""
    return bool(_PLACE.search(path.name)) and not path.exists()


def state(pattern: Path) -> tuple[int, int, int]:
    """What tells these pictures from other ones of the same names: how many, how many bytes, when changed (ns)."""
    stats = [path.stat() for path in _numbered(pattern).values()]
    return len(stats), sum(each.st_size for each in stats), max((each.st_mtime_ns for each in stats), default=0)


def title(pattern: Path) -> Path:
    """What their film would be named: shots/walk.png for shots/walk_%04d.png, shots.png for shots/%04d.png."""
    words = _PLACE.sub("", pattern.stem).strip(" ._-")
    if words:
        return pattern.with_name(words + pattern.suffix)
    folder = pattern.parent if pattern.parent.name not in ("", "..") else pattern.parent.resolve()
    return folder.parent / f"{folder.name or 'film'}{pattern.suffix}"


def pattern_of(folder: Path) -> Path | None:
    """How most of the pictures in a folder are numbered, if two are."""
    if not folder.is_dir():
        return None
    numbers: dict[tuple[str, str], list[str]] = {}
    for name in sorted(os.listdir(folder)):
        found = _NUMBER.search(Path(name).stem)
        if found and Path(name).suffix.lower() in decode.SUFFIXES:
            numbers.setdefault((name[: found.start()], name[found.end() :]), []).append(found.group())
    before, after = max(numbers, key=lambda around: len(numbers[around]), default=("", ""))
    digits = numbers.get((before, after), [])
    if len(digits) < 2:
        return None
    filled = next((len(each) for each in digits if each.startswith("0") and 1 < len(each) < 10), None)
    return folder / f"{before}{f'%0{filled}d' if filled else '%d'}{after}"


def _numbered(pattern: Path) -> dict[int, Path]:
    """The pictures by their numbers."""
    place = _PLACE.search(pattern.name)
    if place is None or not pattern.parent.is_dir():
        return {}
    before, after = pattern.name[: place.start()], pattern.name[place.end() :]
    width = int(place.group(1) or 1)
    found = {}
    for name in os.listdir(pattern.parent):
        digits = name[len(before) : len(name) - len(after)]
        are_digits = digits.isascii() and digits.isdecimal()
        if are_digits and name == f"{before}{int(digits):0{width}}{after}":
            found[int(digits)] = pattern.parent / name
    return found
