"""The same photo again: byte for byte (SHA-256), or re-encoded, scaled and retouched a little (perceptual hash)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from beautynet.datasets.manifest import PHASH, PHOTO

# Of 64 bits. See tests/test_dedup.py: re-encoded and scaled copies stay within it, different photos stay outside.
NEAR = 6
READERS = 8
_UNSORTED = 1 << 14  # photos that are compared one by one before they are sorted in
_QUARTERS = np.arange(4)[:, None]
_VALUES = 1 << 16  # that a quarter may have
_MIRRORINGS = np.array([[1, 1] * 32, [1, -1] * 32], np.float32)
"""What leaving a picture as it is and mirroring it makes of its 8×8 frequencies."""


def sha256(data: bytes) -> str:
    """SHA-256 of `data`, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digests(paths: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 of each file that can be read; several at once, as on a drive in the network each waits."""

    def digest(path: Path) -> str | None:
        with suppress(OSError):
            return sha256(path.read_bytes())
        return None

    names = list(paths)
    with ThreadPoolExecutor(READERS) as pool:
        return {path: found for path, found in zip(names, pool.map(digest, names), strict=True) if found}


def hashes(picture: Image.Image) -> tuple[str, str]:
    """Perceptual hashes of a picture and of its mirror image, 16 hex digits each.

    pHash: 32×32 grey, discrete cosine transform, upper left corner of 8×8, the signs about the median (Zauner 2010,
    section 3.2.1). Mirroring changes the sign of every other horizontal frequency, and nothing else.
    """
    grey = cv2.resize(
        np.asarray(picture if picture.mode == "L" else picture.convert("L")), (32, 32), interpolation=cv2.INTER_AREA
    )
    frequencies = cv2.dct(grey.astype(np.float32))[:8, :8].ravel() * _MIRRORINGS
    medians = np.sort(frequencies, axis=1)[:, 31:33].sum(1, keepdims=True) / 2  # np.median takes ten times as long
    both = np.packbits(frequencies > medians, axis=1).tobytes().hex()
    return both[:16], both[16:]


class NearDuplicates:
    """Photos by perceptual hash, each with a name, and which of them is nearest to a new one.

    Multi-index hashing (Norouzi, Punjani and Fleet 2012): where two hashes are at most d bits apart, one of their
    four quarters is at most d/4 bits apart. All photos are sorted by each quarter, a search looks up the quarters so
    near and compares whole hashes only there; the latest photos are not sorted yet and all compared. The answer is
    that of comparing all. A megabyte and 32 bytes a photo, while names are 16 hex digits and `.jpg`; others are kept as
    they are.
    """

    def __init__(self, distance: int = NEAR) -> None:
        """Hashes at most `distance` of 64 bits apart count as the same photo."""
        self.distance = distance
        self._length = 0
        self._hashes = np.empty(0, np.uint64)
        self._names = np.empty(0, np.uint64)
        self._other_names: dict[int, str] = {}
        # What a quarter may differ in: all words of 16 bits with so few set.
        self._changes = np.flatnonzero(np.bitwise_count(np.arange(1 << 16)) <= distance // 4)
        self._sorted = 0
        self._order = np.empty((4, 0), np.uint32)  # all photos, by their first quarter, by their second, ...
        self._starts = np.zeros((4, _VALUES + 1), np.int32)  # where those with a value of the quarter begin

    def __len__(self) -> int:
        """The number of photos added."""
        return self._length

    def add(self, phash: str, name: str) -> None:
        """Remember a photo's hash under its name."""
        self.extend([(name, phash)])

    def extend(self, photos: Iterable[tuple[str, str | None]]) -> None:
        """Remember many (name, hash), as `Manifest.kept_files` gives them; those without one are left out."""
        hashed = ((name, phash) for name, phash in photos if phash and PHASH.fullmatch(phash))
        while some := list(islice(hashed, _UNSORTED)):
            begin, end = self._length, self._length + len(some)
            if end > len(self._hashes):
                more = np.empty(max(end, 1024), np.uint64)
                self._hashes, self._names = (np.concatenate([old, more]) for old in (self._hashes, self._names))
            self._hashes[begin:end] = [int(phash, 16) for _, phash in some]
            for index, (name, _) in enumerate(some, begin):
                if PHOTO.fullmatch(name):
                    self._names[index] = int(name[:16], 16)
                else:
                    self._other_names[index] = name
            self._length = end

    def nearest(self, *phashes: str) -> tuple[str, int] | None:
        """The name of the photo nearest to one of `phashes`, and its distance in bits; of several, the first added.

        None where all are further than `distance`.
        """
        if self._length - self._sorted > _UNSORTED:
            self._sort()
        wanted = np.array([int(phash, 16) for phash in phashes], np.uint64)
        found: list[tuple[int, int]] = []  # distance, index
        rest = 0
        if self._sorted:
            quarters = wanted.view(np.uint16).reshape(-1, 4, 1) ^ self._changes
            at = quarters + (_VALUES + 1) * _QUARTERS
            begins = self._starts.take(at)
            lengths = (self._starts.take(at + 1) - begins).ravel()
            begins = (begins + self._order.shape[1] * _QUARTERS).ravel()
            total = int(lengths.sum())
            if total < self._sorted // 32:  # else comparing all in a row is quicker
                rest = self._sorted
                if total:
                    # begins[0], begins[0] + 1, ... and so on for lengths[0], begins[1], ...
                    places = np.arange(total) + np.repeat(begins - lengths.cumsum() + lengths, lengths)
                    photos = self._order.take(places)
                    whose = np.repeat(wanted, lengths.reshape(len(wanted), -1).sum(1))
                    distances = np.bitwise_count(self._hashes[photos] ^ whose)
                    least = distances.min()
                    found.append((int(least), int(photos[distances == least].min())))
        if rest < self._length:
            for phash in wanted:
                distances = np.bitwise_count(self._hashes[rest : self._length] ^ phash)
                index = int(distances.argmin())
                found.append((int(distances[index]), rest + index))
        distance, index = min(found, default=(65, 0))
        return (self._name(index), distance) if distance <= self.distance else None

    def _sort(self) -> None:
        """Sort all photos by each quarter in turn.

        In place: arrays as long as the crawl, allocated and freed again and again, would scatter over the heap what
        the threads allocate between them.
        """
        self._sorted = self._length
        if self._sorted > self._order.shape[1]:
            self._order = np.empty((4, len(self._hashes)), np.uint32)
        quarters = self._hashes[: self._sorted].view(np.uint16).reshape(-1, 4).T
        for order, starts, quarter in zip(self._order, self._starts, quarters, strict=True):
            order[: self._sorted] = quarter.argsort(kind="stable")
            np.cumsum(np.bincount(quarter, minlength=_VALUES), out=starts[1:])

    def _name(self, index: int) -> str:
        return self._other_names.get(index) or f"{int(self._names[index]):016x}.jpg"
