"""`manifest.jsonl`: one row for every photo that was ever a candidate for a dataset, and what became of it."""

from __future__ import annotations

import errno
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np

from beautynet import files
from beautynet.errors import BeautyError

DATA = Path("data")
"""Where datasets are, in folders that are called after them."""
PAIRS = ".pairs"
"""Ends the name of a folder that the pairs verb writes to, beside the dataset's."""
TRIED = ".dry-run.html"
"""Ends the name of the page of a dry run, beside the dataset's folder."""
PHOTO = re.compile(r"[0-9a-f]{16}\.jpg")
"""What photos are called: by their content."""
PHASH = re.compile(r"[0-9a-f]{16}")
"""What their perceptual hashes are."""
NAME = "manifest.jsonl"
ATTRIBUTION = "ATTRIBUTION.md"
SPLIT = "split.json"
OURS = (NAME, ATTRIBUTION, SPLIT)
"""What a dataset keeps beside its photos."""
REJECTED = ".rejected"
"""The folder in a dataset for the photos that a person took out."""
Status = Literal["kept", "rejected", "skipped", "failed"]


@dataclass(frozen=True)
class Record:
    """A candidate and what became of it; None is unknown or does not apply.

    `status` is "kept", "rejected" (a person took it out), "skipped" (readable, but not wanted: a duplicate, too small)
    or "failed" (never a picture). `file` is its name in the folder, or in `REJECTED` there.
    `reason` says why it was not kept, as "kind" or "kind: detail". `sha256`, `width` and `height` (pixels) are those
    of the photo as stored, which is not always as received; `phash` is a perceptual hash of 16 hex digits. `verdict` is
    what a classifier says of a kept photo, see `curation.verdict`; photos that are out by it are not trained on.
    """

    file: str | None
    url: str | None
    page: str | None
    source: str
    query: str | None
    licence: str | None
    licence_url: str | None
    author: str | None
    attribution: str | None
    sha256: str | None
    phash: str | None
    width: int | None
    height: int | None
    status: Status
    reason: str | None
    verdict: str | None = None


_FIELDS = tuple(field.name for field in fields(Record))
_KINDS = {name: int if name in ("width", "height") else str for name in _FIELDS}
_STORED = (b'"kept"', b'"rejected"')
_AS_IS: int = getattr(os, "O_BINARY", 0)  # on Windows, where lines would end otherwise
_BLOCK = 1 << 20  # bytes read at a time
_RECENT = 1 << 11  # entries of an index that are not yet in its sorted arrays
_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make an encoder each time
_key: Callable[[bytes], int] = hash  # of 64 bits; rows with the same key are told apart by reading them


def folder_of(dataset: str | Path) -> Path:
    """The folder of a dataset, a path or a name in `DATA`. Raises BeautyError where there is none."""
    if dataset == "":  # which a path would take for the folder one is in
        raise BeautyError("the dataset has an empty name: give one in data/, or a folder")
    folder = Path(dataset)
    for place in (folder, DATA / folder):
        if place.is_dir():
            return place
    raise BeautyError(f"no dataset at {folder}: make one with `beautynet scrape flowers --max 1000`")


def folders() -> list[Path]:
    """The datasets in `DATA`, those that were added to last first; without hidden folders and pairs."""
    found = [path for path in DATA.glob("[!.]*") if path.is_dir() and path.suffix != PAIRS]
    return sorted(found, key=lambda folder: -written(folder))


def written(folder: Path) -> float:
    """When a dataset was last added to: the time of its manifest, or of the folder where it has none."""
    rows = folder / NAME
    return (rows if rows.exists() else folder).stat().st_mtime


def newest(listed: bool = False) -> Path:
    """The dataset that was added to last, or of those with a manifest (`listed`). Raises BeautyError."""
    for folder in folders():
        if not listed or (folder / NAME).exists():
            return folder
    raise BeautyError("no dataset in data/ yet: make one with `beautynet scrape flowers --max 1000`")


def find(dataset: str | Path | None = None) -> Path:
    """The folder of a dataset with a manifest: a path or a name in `DATA`; None is the newest. Raises BeautyError."""
    folder = newest(listed=True) if dataset is None else folder_of(dataset)
    if not (folder / NAME).exists():
        raise BeautyError(f"{folder} has no manifest: import it first, with `beautynet scrape --from {folder}`")
    return folder


def read(folder: Path) -> list[Record]:
    """All rows of a dataset's manifest, in the order of writing; none where there is no manifest.

    Of rows with the same URL the last one holds. Takes no lock: a row that is being written is left out.
    """
    return list(Rows(folder).rows())


def latest(folder: Path) -> Iterator[Record]:
    """The rows that hold, one after the other; none where there is no manifest. Takes no lock."""
    return Rows(folder).latest()


class Rows:
    """A dataset's manifest as it stands, for reading. The rows stay on disk; takes no lock.

    Opening looks at every row once; after that the counts cost nothing, and whatever is asked for streams.
    """

    def __init__(self, folder: Path) -> None:
        """The manifest in `folder`; without rows where there is none. Raises BeautyError on damage, naming the line."""
        self.folder = folder
        self.path = folder / NAME
        self._load()

    def __len__(self) -> int:
        """The number of rows."""
        return self._length

    def counts(self) -> Counter[str]:
        """How many of the rows that hold have each status."""
        return +self._counts

    def rows(self) -> Iterator[Record]:
        """All rows, in the order of writing."""
        return (record for _, record in self._records())

    def latest(self) -> Iterator[Record]:
        """The rows that hold: of each URL the last, and those without a URL."""
        return (record for place, record in self._records() if place not in self._superseded)

    def values(self, *names: str) -> Iterator[tuple[Any, ...]]:
        """Two or more fields, in `Record`'s order, of the rows that hold: much quicker than `latest`."""
        for places, rows, _ in _scan(self.path, names, self._end):
            for place, row in zip(places.tolist(), rows, strict=True):
                if place not in self._superseded:
                    yield tuple(map(_value, row))

    def kept_files(self) -> Iterator[tuple[str, str | None]]:
        """(file, perceptual hash) of the photos in the dataset; None for what is no hash."""
        values = self.values("file", "phash", "status")
        kept = ((file, phash) for file, phash, status in values if status == "kept" and file)
        return ((file, phash if phash and PHASH.fullmatch(phash) else None) for file, phash in kept)

    def _records(self) -> Iterator[tuple[int, Record]]:
        place, end = 0, self._end
        if end:
            with self.path.open("rb") as file:
                while place < end and (line := file.readline()):
                    if line.strip():
                        yield place, _record(line)
                    place += len(line)

    def _load(self) -> tuple[_Index, _Index]:
        """Look at every row; the result is where to find URLs, and stored photos by SHA-256."""
        self._end = self._length = 0
        counts: Counter[bytes] = Counter()
        urls, photos = [np.empty((2, 0), np.int64)], [np.empty((2, 0), np.int64)]
        for places, rows, end in _scan(self.path, ("url", "sha256", "status")):
            self._end = end
            self._length += len(rows)
            if rows:
                url, sha256, states = zip(*rows, strict=True)
                counts.update(states)
                urls.append(_entries(url, places)[:, [token != b"null" for token in url]])
                photos.append(_entries(sha256, places)[:, [token in _STORED for token in states]])
        by_url, by_sha256 = (_Index(np.concatenate(entries, 1)) for entries in (urls, photos))
        self._superseded: set[int] = set()
        for place, status in by_url.superseded(self.path):
            self._superseded.add(place)
            counts[status] -= 1
        self._counts = Counter({_value(status): count for status, count in counts.items()})
        return by_url, by_sha256


class Manifest(Rows):
    """A dataset's manifest, open for adding rows; locked against a second run until it is closed.

    In memory are 16 bytes for each URL and for each stored photo, so that a run's memory hardly grows with it.
    """

    def __init__(self, folder: Path) -> None:
        """Open or create the manifest in `folder`, and mend what a killed run left. Raises BeautyError."""
        path = folder / NAME
        while True:
            with files.explaining(path):
                self._made_folder = not folder.exists()
                folder.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _AS_IS, 0o666)
            try:
                if not files.lock(self._descriptor):
                    raise BeautyError(f"another run is filling {folder}: wait until it is done, or stop it")
                if self._is_at(path):
                    super().__init__(folder)
                    self._reader = path.open("rb")
                    return
            except BaseException:
                os.close(self._descriptor)
                raise
            os.close(self._descriptor)  # another run has just ended with nothing, and has taken it away

    def _is_at(self, path: Path) -> bool:
        """Whether what is open is the file there, and no longer one that was taken away."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._descriptor), path.stat())
        return False

    def append(self, record: Record) -> None:
        """Add one row, whole or not at all. Raises BeautyError on a full disk."""
        line = _encode(vars(record)).encode("utf-8", "replace") + b"\n"
        before = None if record.url is None else self._find_url(record.url)
        place = self._end  # nobody else writes: the lock is ours
        with files.explaining(self.path):
            if os.write(self._descriptor, line) < len(line):
                os.ftruncate(self._descriptor, place)
                raise OSError(errno.ENOSPC, "a part was written")
        self._end = place + len(line)
        self._length += 1
        self._counts[record.status] += 1
        if before:
            self._superseded.add(before[0])
            self._counts[before[1].status] -= 1
        if record.url is not None:
            self._by_url.add(_token(record.url), place)
        if record.status in ("kept", "rejected"):
            self._by_sha256.add(_token(record.sha256), place)

    def by_url(self, url: str) -> Record | None:
        """The last row about this URL."""
        found = self._find_url(url)
        return found and found[1]

    def by_sha256(self, sha256: str) -> Record | None:
        """The row of the photo with these bytes that is in the dataset, or was taken out of it by a person."""
        for place in self._by_sha256.places(_token(sha256)):
            if place not in self._superseded and (record := self._at(place)).sha256 == sha256:
                return record
        return None

    def close(self) -> None:
        """Flush to disk and give up the lock; a manifest without a row is taken away again, with its folder if new."""
        if self._descriptor < 0:
            return
        self._reader.close()
        if self._length:
            os.fsync(self._descriptor)
        elif os.name != "nt":  # while it is ours
            self._remove()
        os.close(self._descriptor)
        self._descriptor = -1
        if not self._length and os.name == "nt":  # which removes nothing that is open
            self._remove()

    def _remove(self) -> None:
        self.path.unlink(missing_ok=True)
        if self._made_folder:
            with suppress(OSError):  # no longer empty
                self.folder.rmdir()

    def __enter__(self) -> Manifest:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _load(self) -> tuple[_Index, _Index]:
        self._by_url, self._by_sha256 = super()._load()
        size = os.fstat(self._descriptor).st_size
        if self._end < size:
            os.ftruncate(self._descriptor, self._end)
        elif size:
            os.lseek(self._descriptor, -1, os.SEEK_END)
            if os.read(self._descriptor, 1) != b"\n":
                self._end += os.write(self._descriptor, b"\n")
        return self._by_url, self._by_sha256

    def _find_url(self, url: str) -> tuple[int, Record] | None:
        token = _token(url)
        for place in self._by_url.places(token):
            record = self._at(place)
            if _token(record.url) == token:
                return place, record
        return None

    def _at(self, place: int) -> Record:
        self._reader.seek(place)
        return _record(self._reader.readline())


class _Index:
    """Byte offsets of rows by the 64-bit key of a field's value: sorted arrays, and a dict of the latest."""

    def __init__(self, entries: np.ndarray) -> None:
        """`entries` are (key, offset) columns, offsets ascending: (2, N) int64."""
        self._sort(entries)

    def add(self, token: bytes, place: int) -> None:
        """Add a row, which comes after all others."""
        self._recent.setdefault(_key(token), []).append(place)
        if len(self._recent) >= _RECENT:
            recent = [(key, place) for key, places in self._recent.items() for place in places]
            self._sort(np.concatenate([np.stack([self._keys, self._places]), np.array(recent).T], 1))

    def places(self, token: bytes) -> list[int]:
        """The offsets of the rows that may have this value, the latest first."""
        key = _key(token)
        if not len(self._keys):
            return self._recent.get(key, [])[::-1]
        low, high = np.searchsorted(self._keys, key), np.searchsorted(self._keys, key, "right")
        return [*reversed(self._recent.get(key, ())), *self._places[low:high][::-1].tolist()]

    def superseded(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Offset and status of the rows that a later one with the same URL replaces."""
        twins = self._keys[1:] == self._keys[:-1]
        shared = np.append(twins, False) | np.append(False, twins)
        if not shared.any():
            return
        pairs = zip(self._keys[shared].tolist(), self._places[shared].tolist(), strict=True)
        with path.open("rb") as file:
            for _, rows in groupby(pairs, itemgetter(0)):
                last: dict[bytes, tuple[int, bytes]] = {}
                for _, place in rows:
                    file.seek(place)
                    url, status = _tokens(file.readline(), ("url", "status"))
                    if url in last:
                        yield last[url]
                    last[url] = place, status

    def _sort(self, entries: np.ndarray) -> None:
        order = np.argsort(entries[0], kind="stable")
        self._keys, self._places = entries[0][order], entries[1][order]
        self._recent: dict[int, list[int]] = {}


def _entries(tokens: Sequence[bytes], places: np.ndarray) -> np.ndarray:
    """The keys of values above the byte offsets of their rows: (2, N) int64."""
    return np.stack([np.fromiter(map(_key, tokens), np.int64, len(tokens)), places])


# Looking for a few fields in rows as we write them, a regular expression is several times as quick as json. A value
# stays the JSON that we write for it, so that equal values are equal bytes.


def _scan(
    path: Path, names: tuple[str, ...], end: int | None = None
) -> Iterator[tuple[np.ndarray, list[tuple[bytes, ...]], int]]:
    """(byte offsets of rows, these fields of each, where the next row begins) for each block of a file up to `end`."""
    first = 1
    for start, block in _blocks(path, end):
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + 1
        rows = _pattern(names).findall(block) if _is_plain(block) else []
        if len(rows) == len(ends) and block.endswith(b"\n"):
            yield start + np.append(0, ends[:-1]), rows, start + len(block)
        else:
            places, rows, place = [], [], start
            for number, line in enumerate(io.BytesIO(block), first):
                if line.strip():
                    try:
                        rows.append(_tokens(line, names))
                    except (ValueError, AttributeError):
                        if not line.endswith(b"\n"):
                            break  # torn: a run was killed while writing it, or is writing it now
                        sentence = f"{path}, line {number} is not a manifest row: correct it or take that line out"
                        raise BeautyError(sentence) from None
                    places.append(place)
                place += len(line)
            yield np.array(places, np.int64), rows, place
        first += len(ends)


def _blocks(path: Path, end: int | None) -> Iterator[tuple[int, bytes]]:
    """(byte offset, whole lines) of about a megabyte; the last one ends where the file does."""
    start, rest = 0, b""
    with suppress(FileNotFoundError), path.open("rb") as file:
        while data := file.read(_BLOCK if end is None else min(_BLOCK, end - start - len(rest))):
            whole, newline, torn = data.rpartition(b"\n")
            if newline:
                block, rest = rest + whole + newline, torn
                yield start, block
                start += len(block)
            else:
                rest += data
        if rest:
            yield start, rest


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern[bytes]:
    r"""A row as `append` writes it, with groups for `names`; for plain text, where \" is the only escape.

    A string that ends in a backslash would be read on into the next key, after which nothing fits: no match.
    """
    assert len(names) > 1
    assert list(names) == sorted(names, key=_FIELDS.index)
    text, number = r'(?:"[^"]*+(?:(?<=\\)"[^"]*+)*+"|null)', "(?:null|0|[1-9][0-9]*+)"
    values = {name: number if kind is int else text for name, kind in _KINDS.items()}
    pairs = {name: f'"{name}": ' + (f"({value})" if name in names else value) for name, value in values.items()}
    last = pairs.pop("verdict")  # which rows of before 2026-11-22 have not
    last = f", {last}" if "verdict" in names else f"(?:, {last})?+"
    return re.compile(("(?m)^{" + ", ".join(pairs.values()) + last + "}\n").encode())


def _is_plain(data: bytes) -> bool:
    r"""Whether this is UTF-8 without control characters but newlines and without escapes but \"."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    codes = np.frombuffer(data, np.uint8)
    return np.count_nonzero(codes < 32) == np.count_nonzero(codes == 10) and not re.search(rb'\\[^"]', data)


def _tokens(line: bytes, names: tuple[str, ...]) -> tuple[bytes, ...]:
    """These fields of one row, whoever wrote it. Raises ValueError or AttributeError where it is none."""
    if _is_plain(line) and (match := _pattern(names).fullmatch(line)):
        return match.groups()
    record = _record(line)
    return tuple(_token(getattr(record, name)) for name in names)


def _token(value: object) -> bytes:
    return _encode(value).encode("utf-8", "replace")


def _value(token: bytes) -> Any:
    if token == b"null":
        return None
    return token[1:-1].decode() if token[:1] == b'"' and b"\\" not in token else json.loads(token)


def _record(line: bytes) -> Record:
    """One row. Raises ValueError or AttributeError where it is none."""
    row = json.loads(line)
    # Fields of later versions are left aside; those of earlier ones are None, and so is what is of another kind.
    return Record(*(_of_kind(row.get(name), _KINDS[name]) for name in _FIELDS))


def _of_kind(value: Any, kind: type) -> Any:
    return value if isinstance(value, kind) else None
