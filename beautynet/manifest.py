"""`manifest.jsonl`: one row for every photo that was ever a candidate for a dataset, and what became of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Literal

from beautynet import files
from beautynet.errors import BeautyError

try:
    import fcntl
except ImportError:  # Windows: two runs on one dataset are then not noticed
    fcntl = None  # type: ignore[assignment, unused-ignore]

NAME = "manifest.jsonl"
Status = Literal["kept", "skipped", "failed"]


@dataclass(frozen=True)
class Record:
    """A candidate and what became of it; None is unknown or does not apply.

    `status` is "kept", "skipped" (readable, but a duplicate, too small or too long) or "failed" (never a picture).
    `reason` says why it was not kept, as "kind" or "kind: detail". `sha256`, `width` and `height` (pixels) are those
    of the photo as stored, which is not always as received; `phash` is a perceptual hash of 16 hex digits.
    """

    file: str | None
    url: str | None
    page: str | None
    source: str
    query: str | None
    licence: str | None
    author: str | None
    sha256: str | None
    phash: str | None
    width: int | None
    height: int | None
    status: Status
    reason: str | None


_FIELDS = tuple(field.name for field in fields(Record))


def read(folder: Path) -> list[Record]:
    """All rows of a dataset's manifest, in the order of writing; none where there is no manifest.

    Of rows with the same URL the last one holds. Takes no lock: a row that is being written is left out.
    """
    path = folder / NAME
    try:
        return _parse(path, path.read_bytes())[0]
    except FileNotFoundError:
        return []


class Manifest:
    """A dataset's manifest, open for adding rows; locked against a second run until it is closed."""

    def __init__(self, folder: Path) -> None:
        """Open or create the manifest in `folder`, and mend what a killed run left. Raises BeautyError."""
        self.folder = folder
        self.path = folder / NAME
        self._made_folder = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            if sentence := files.explained(error, self.path):
                raise BeautyError(sentence) from error
            raise
        try:
            self._lock()
            self._load()
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, record: Record) -> None:
        """Add one row, whole or not at all. Raises BeautyError on a full disk."""
        line = json.dumps(asdict(record), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        size = os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, line) < len(line):
                os.ftruncate(self._descriptor, size)
                raise BeautyError(
                    f"disk full while writing {self.path}: free some space and run the same command again"
                )
        except OSError as error:
            if sentence := files.explained(error, self.path):
                raise BeautyError(sentence) from error
            raise
        self._remember(record)

    def __iter__(self) -> Iterator[Record]:
        """All rows, in the order of writing."""
        return iter(self._records)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._records)

    @property
    def kept(self) -> list[Record]:
        """The rows of the photos in the dataset."""
        return [record for record in self._records if record.status == "kept"]

    @property
    def latest(self) -> list[Record]:
        """The rows that hold: of each URL the last, and those without a URL."""
        return [r for r in self._records if r.url is None or self._by_url[r.url] is r]

    def by_url(self, url: str) -> Record | None:
        """The last row about this URL."""
        return self._by_url.get(url)

    def by_sha256(self, sha256: str) -> Record | None:
        """The row of the kept photo with these bytes."""
        return self._by_sha256.get(sha256)

    def close(self) -> None:
        """Flush to disk and give up the lock; a manifest without a row is taken away again, with its folder if new."""
        if self._descriptor < 0:
            return
        if self._records:
            os.fsync(self._descriptor)
        else:
            self.path.unlink(missing_ok=True)
            if self._made_folder:
                with suppress(OSError):  # no longer empty
                    self.folder.rmdir()
        os.close(self._descriptor)
        self._descriptor = -1

    def __enter__(self) -> Manifest:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BeautyError(f"another run is filling {self.folder}: wait until it is done, or stop it") from None

    def _load(self) -> None:
        self._records: list[Record] = []
        self._by_url: dict[str, Record] = {}
        self._by_sha256: dict[str, Record] = {}
        data = self.path.read_bytes()
        records, whole = _parse(self.path, data)
        if whole < len(data):
            os.ftruncate(self._descriptor, whole)
        elif data and not data.endswith(b"\n"):
            os.write(self._descriptor, b"\n")
        for record in records:
            self._remember(record)

    def _remember(self, record: Record) -> None:
        self._records.append(record)
        if record.url is not None:
            self._by_url[record.url] = record
        if record.status == "kept" and record.sha256 is not None:
            self._by_sha256[record.sha256] = record


def _parse(path: Path, data: bytes) -> tuple[list[Record], int]:
    """The rows, and how many bytes of `data` they take: fewer than all where the last row is torn (a killed run)."""
    records: list[Record] = []
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            # Fields of later versions are left aside, those of earlier ones are None.
            record = Record(*(row.get(name) for name in _FIELDS))
        except (ValueError, AttributeError):
            if number == len(lines):
                return records, len(data) - len(line)
            raise BeautyError(
                f"{path}, line {number} is not a manifest row: correct it or take that line out"
            ) from None
        records.append(record)
    return records, len(data)
