"""The same photo again: byte for byte (SHA-256), or re-encoded, scaled and retouched a little (perceptual hash)."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
from PIL import Image

# Of 64 bits. See tests/test_dedup.py: re-encoded and scaled copies stay within it, different photos stay outside.
NEAR = 6


def sha256(data: bytes) -> str:
    """SHA-256 of `data`, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def phash(picture: Image.Image) -> str:
    """Perceptual hash of a picture, 16 hex digits: the signs of its 8×8 lowest frequencies about their median.

    pHash: 32×32 grey, discrete cosine transform, upper left corner (Zauner 2010, section 3.2.1).
    """
    grey = cv2.resize(np.asarray(picture.convert("L")), (32, 32), interpolation=cv2.INTER_AREA)
    frequencies = cv2.dct(grey.astype(np.float32))[:8, :8]
    bits = np.packbits(frequencies > np.median(frequencies))
    return bits.tobytes().hex()


class NearDuplicates:
    """Photos by perceptual hash, each with a name, and which of them is nearest to a new one."""

    def __init__(self, distance: int = NEAR) -> None:
        """Hashes at most `distance` of 64 bits apart count as the same photo."""
        self.distance = distance
        self._names: list[str] = []
        self._hashes = np.empty(1024, np.uint64)

    def __len__(self) -> int:
        """The number of photos added."""
        return len(self._names)

    def add(self, phash: str, name: str) -> None:
        """Remember a photo's hash under its name."""
        if len(self) == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.empty_like(self._hashes)])
        self._hashes[len(self)] = int(phash, 16)
        self._names.append(name)

    def nearest(self, phash: str) -> tuple[str, int] | None:
        """The name of the nearest photo and its distance in bits, or None where all are further than `distance`."""
        if not self._names:
            return None
        distances = np.bitwise_count(self._hashes[: len(self)] ^ np.uint64(int(phash, 16)))
        index = int(distances.argmin())
        return (self._names[index], int(distances[index])) if distances[index] <= self.distance else None
