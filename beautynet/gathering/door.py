"""The door of a dataset: a candidate is fetched, looked at, and made ready to be stored, or turned away."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from beautynet import files
from beautynet.datasets.dedup import hashes, sha256
from beautynet.datasets.manifest import Status
from beautynet.decode import Unreadable, as_jpeg, decode_with_jpeg
from beautynet.gathering import quality
from beautynet.sources import Candidate
from beautynet.sources.connections import FetchError
from beautynet.sources.fetch import Fetcher

if TYPE_CHECKING:
    from beautynet.classifying.judge import Judge

MAX_ASPECT = 3.0  # longer side : shorter side
JPEG_QUALITY = 95
STAGED = re.compile(r"\.[0-9a-f]{16}\.\d+\.\d+\.part\.jpg")
"""What photos are called while they are written and not yet decided on."""


@dataclass(frozen=True)
class Look:
    """A candidate after the door: a photo in a `staged` file, or the reason why not."""

    candidate: Candidate
    status: Status
    reason: str | None = None
    size: tuple[int, int] | None = None  # width, height
    staged: Path | None = None
    sha256: str | None = None
    phashes: tuple[str, ...] = ()  # of the photo, and of its mirror image

    @property
    def file(self) -> str:
        """What the photo will be called: named by content, so that the same photo is written over itself."""
        return f"{(self.sha256 or '')[:16]}.jpg"


@dataclass(frozen=True)
class Door:
    """Looks at candidates for the dataset in `folder`, from many threads at once.

    Photos have a shorter side of at least `min_size` px and none of the faults in `reject`; one that `judge` gives a
    probability under one half is turned away too.
    """

    folder: Path
    fetcher: Fetcher
    min_size: int
    reject: Sequence[str]
    judge: Judge | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count, init=False)

    def fetch(self, candidate: Candidate) -> bytes | Path | Look:
        """Where the candidate's photo is, after fetching it; a look at it if there is none."""
        try:
            return self.fetcher.fetch(candidate.url) if candidate.path is None else candidate.path
        except FetchError as error:
            return Look(candidate, "failed", str(error))

    def look_at(self, candidate: Candidate, source: bytes | Path | Look) -> Look:
        """Decode, measure, judge, encode, hash and stage what `fetch` returned. Raises BeautyError on a full disk."""
        if isinstance(source, Look):
            return source
        try:
            if isinstance(source, Path) and source.is_symlink():
                raise Unreadable("a link: links are not followed")
            look, jpeg = self._examine(candidate, source)
        except Unreadable as error:
            return Look(candidate, "failed", str(error))
        if look.staged:
            files.stage(look.staged, jpeg)
        return look

    def _examine(self, candidate: Candidate, source: bytes | Path) -> tuple[Look, bytes]:
        decoded = decode_with_jpeg(source, hashable=not (self.reject or self.judge))
        picture, size = decoded.picture, decoded.size
        if reason := self._why_not(size) or self._fault(candidate, picture):
            return Look(candidate, "skipped", reason, size), b""
        jpeg = decoded.jpeg or as_jpeg(picture, JPEG_QUALITY)
        digest = sha256(jpeg)
        staged = self.folder / f".{digest[:16]}.{os.getpid()}.{next(self._numbers)}.part.jpg"
        return Look(candidate, "kept", None, size, staged, digest, hashes(picture)), jpeg

    def _why_not(self, size: tuple[int, int]) -> str | None:
        short, long = sorted(size)
        if short < self.min_size:
            return f"too small: {size[0]}×{size[1]}"
        if long > MAX_ASPECT * short:
            return f"too long: {size[0]}×{size[1]}"
        return None

    def _fault(self, candidate: Candidate, picture: Image.Image) -> str | None:
        urls = (candidate.url, candidate.page or "")
        if self.reject and (fault := quality.why_not(picture, self.reject, urls=urls)):
            return fault
        if self.judge and (share := self.judge(picture)) < 0.5:
            return f"judged: {share:.3f} probable by {self.judge.name}"
        return None
