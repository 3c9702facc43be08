"""Gather photos from a source into a dataset: fetched, looked at, stored, each with its row in the manifest."""

from __future__ import annotations

import io
import os
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from beautynet import files
from beautynet.console import progress
from beautynet.decode import Unreadable, decode, plain_jpeg
from beautynet.dedup import NearDuplicates, phash, sha256
from beautynet.errors import BeautyError
from beautynet.manifest import Manifest, Record, Status
from beautynet.sources import SOURCES, Candidate
from beautynet.sources.fetch import Fetcher, FetchError, Limits, is_transient

MAX_ASPECT = 3.0  # longer side : shorter side
JPEG_QUALITY = 95


@dataclass(frozen=True)
class ScrapeSummary:
    """What a dataset holds after a run. `reasons` counts what was not kept, all runs together, most frequent first."""

    folder: Path
    wanted: int
    kept: int
    new: int
    already: int
    failed: int
    reasons: dict[str, int]
    complete: bool  # all that was given to import has been looked at
    trouble: str | None  # why the source stopped early

    @property
    def delivered(self) -> bool:
        """Whether all photos asked for are there; of an import, whether all its files were readable."""
        return self.kept >= self.wanted or (self.complete and not self.failed and not self.trouble)

    def sentence(self) -> str:
        """All of it in words."""
        text = f"{self.kept} photos in {self.folder} ({self.new} new, {self.already} from before)"
        short = not self.delivered and not self.complete
        if short:
            text += f", {self.wanted - self.kept} fewer than asked for"
        if self.reasons:
            text += "; not kept: " + _counted(self.reasons)
        if self.trouble:
            return f"{text}. {self.trouble}."
        return f"{text}. The source has no more: gather other words into the same --out." if short else f"{text}."


def scrape(
    query: str | None = None,
    max: int = 1000,
    source: str | None = None,
    origin: str | Path | None = None,
    min_size: int = 256,
    out: Path | None = None,
    *,
    limits: Limits | None = None,
) -> ScrapeSummary:
    """Fill the dataset `out` (default: data/<query>) up to `max` photos, and say how far that went.

    `origin` is a folder of photos or a text file of addresses to import; without it `source` (default: bing) is
    searched for `query`. Photos are stored as JPEG without metadata: those that are plain RGB JPEG already keep their
    compressed pixels bit for bit, all others are encoded anew. Not kept, with the reason in the manifest: a shorter
    side under `min_size` pixels, an aspect ratio over 3:1, duplicates and near-duplicates, whatever cannot be read.

    The same call again continues: what has a row is not fetched again, but for failures that may have passed (a busy
    or unreachable host; files on this machine). A photo that was deleted by hand does not come back.
    Raises BeautyError when the dataset stays empty, and KeyboardInterrupt with everything stored that was done.
    """
    if max < 1 or min_size < 1:
        raise BeautyError("the number of photos and the smallest side must be at least 1")
    origin = None if origin is None else Path(origin)
    source = source or _source_of(origin)
    if source not in SOURCES:
        raise BeautyError(f"there is no source {source!r}: choose one of {', '.join(sorted(SOURCES))}")
    name = query or _name(origin)
    folder = Path("data", _slug(name)) if out is None else Path(out)
    if origin is not None and origin.is_dir() and folder.resolve() == origin.resolve():
        raise BeautyError(f"{folder} cannot be imported into itself: name another folder with --out")
    with Manifest(folder) as manifest, Fetcher(limits) as fetcher:
        gathering = _Gathering(manifest, fetcher, max, min_size)
        gathering.run(SOURCES[source](name, origin), total=max if origin is None else None)
        summary = gathering.summary(complete=origin is not None)
    if not summary.kept:
        why = summary.trouble or _counted(summary.reasons) or "the source has nothing for it"
        raise BeautyError(f"no photos for {name!r}: {why}")
    return summary


@dataclass(frozen=True)
class _Look:
    """A candidate after fetching, decoding and hashing: a JPEG to store, or a reason not to."""

    candidate: Candidate
    status: Status
    reason: str | None = None
    size: tuple[int, int] | None = None  # width, height
    jpeg: bytes | None = None
    sha256: str | None = None
    phash: str | None = None


class _Gathering:
    """One run. Worker threads look at candidates; the calling thread alone decides, stores and writes rows."""

    def __init__(self, manifest: Manifest, fetcher: Fetcher, wanted: int, min_size: int) -> None:
        self.manifest = manifest
        self.fetcher = fetcher
        self.wanted = wanted
        self.min_size = min_size
        self.folder = manifest.folder
        present = _clean(self.folder)
        self.already = sum(record.file in present for record in manifest.kept)
        self.new = 0
        self.trouble: str | None = None
        self._near = NearDuplicates()
        for record in manifest.kept:
            if record.phash and record.file:
                self._near.add(record.phash, record.file)
        self._asked: set[str] = set()
        # Fetching waits for others, decoding for our cores: many threads, of which a few decode at a time.
        self._cores = threading.Semaphore(min(os.cpu_count() or 1, 8))

    @property
    def kept(self) -> int:
        """Photos in the dataset now."""
        return self.already + self.new

    def run(self, candidates: Iterator[Candidate], total: int | None) -> None:
        """Look at candidates until enough photos are kept or there are no more; `total` is for the progress bar."""
        threads = self.fetcher.limits.connections
        pool = ThreadPoolExecutor(threads, thread_name_prefix="beautynet-scrape")
        pending: list[Future[_Look]] = []
        try:
            with progress("photos") as bar:
                task = bar.add_task("gathering", total=total, completed=self.already)
                exhausted = in_order = False
                while True:
                    # Never more in flight than photos missing: what is fetched beyond that would be fetched in vain.
                    room = min(2 * threads, self.wanted - self.kept)
                    while not exhausted and len(pending) < room:
                        candidate = self._next(candidates)
                        exhausted = candidate is None
                        if candidate is not None and self._is_open(candidate):
                            pending.append(pool.submit(self._look_at, candidate))
                            self._asked.add(candidate.url)
                            in_order = candidate.path is not None  # hosts answer at random, a folder need not
                    if not pending:
                        break
                    for future in _finished(pending, in_order):
                        pending.remove(future)
                        self._settle(future.result())
                    bar.update(task, completed=self.kept)
        finally:
            self.fetcher.stop()
            pool.shutdown(cancel_futures=True)
            if hasattr(candidates, "close"):
                candidates.close()

    def summary(self, complete: bool) -> ScrapeSummary:
        """Where the dataset stands."""
        rows = [record for record in self.manifest.latest if record.status != "kept"]
        return ScrapeSummary(
            folder=self.folder,
            wanted=self.wanted,
            kept=self.kept,
            new=self.new,
            already=self.already,
            failed=sum(record.status == "failed" for record in rows),
            reasons=dict(Counter((record.reason or "").split(":")[0] for record in rows).most_common()),
            complete=complete,
            trouble=self.trouble,
        )

    def _next(self, candidates: Iterator[Candidate]) -> Candidate | None:
        try:
            return next(candidates, None)
        except BeautyError as error:
            self.trouble = str(error)
            return None

    def _is_open(self, candidate: Candidate) -> bool:
        """Whether the candidate's fate is still to be decided."""
        if candidate.url in self._asked:
            return False
        if candidate.path is not None and self.folder.resolve() in candidate.path.parents:
            return False  # the dataset lies in the folder that it is made from
        record = self.manifest.by_url(candidate.url)
        if record is None:
            return True
        if record.status == "failed":
            return candidate.path is not None or is_transient(record.reason or "")
        if record.reason and record.reason.startswith("too small") and record.width and record.height:
            return min(record.width, record.height) >= self.min_size
        return False

    def _look_at(self, candidate: Candidate) -> _Look:
        """Fetch, decode, measure, encode and hash; in a worker thread."""
        try:
            if candidate.path is None:
                source: bytes | Path = self.fetcher.fetch(candidate.url)
            elif candidate.path.is_symlink():
                raise Unreadable("a link: links are not followed")
            else:
                source = candidate.path
            with self._cores:
                return self._examine(candidate, source)
        except (FetchError, Unreadable) as error:
            return _Look(candidate, "failed", str(error))

    def _examine(self, candidate: Candidate, source: bytes | Path) -> _Look:
        picture = decode(source)
        short, long = sorted(picture.size)
        if short < self.min_size:
            return _Look(candidate, "skipped", f"too small: {picture.width}×{picture.height}", picture.size)
        if long > MAX_ASPECT * short:
            return _Look(candidate, "skipped", f"too long: {picture.width}×{picture.height}", picture.size)
        jpeg = plain_jpeg(source if isinstance(source, bytes) else source.read_bytes()) or _encoded(picture)
        return _Look(candidate, "kept", None, picture.size, jpeg, sha256(jpeg), phash(picture))

    def _settle(self, look: _Look) -> None:
        """Store the photo, then write its row: a row never speaks of a photo that is not there."""
        if look.jpeg is None or look.sha256 is None or look.phash is None:
            self._record(look, look.status, look.reason)
            return
        if twin := self.manifest.by_sha256(look.sha256):
            self._record(look, "skipped", f"duplicate: the same as {twin.file}")
            return
        if near := self._near.nearest(look.phash):
            self._record(look, "skipped", f"near-duplicate: {near[1]} bits from {near[0]}")
            return
        # Named by content: after a kill between photo and row, the next run writes the same photo over it.
        file = f"{look.sha256[:16]}.jpg"
        files.write_bytes(self.folder / file, look.jpeg)
        self._record(look, "kept", None, file)
        self._near.add(look.phash, file)
        self.new += 1

    def _record(self, look: _Look, status: Status, reason: str | None, file: str | None = None) -> None:
        candidate = look.candidate
        before = self.manifest.by_url(candidate.url)
        if before and (before.status, before.reason) == (status, reason):
            return  # tried again, with the same end
        width, height = look.size or (None, None)
        record = Record(
            file=file,
            url=candidate.url,
            page=candidate.page,
            source=candidate.source,
            query=candidate.query,
            licence=candidate.licence,
            author=candidate.author,
            sha256=look.sha256,
            phash=look.phash,
            width=width,
            height=height,
            status=status,
            reason=reason,
        )
        self.manifest.append(record)


def _finished(pending: list[Future[_Look]], in_order: bool) -> list[Future[_Look]]:
    """At least one finished future: the oldest, or whichever is first."""
    if in_order:
        wait(pending[:1])
        return pending[:1]
    return list(wait(pending, return_when=FIRST_COMPLETED).done)


def _source_of(origin: Path | None) -> str:
    """The source that an origin calls for."""
    if origin is None:
        return "bing"
    if not origin.exists():
        raise BeautyError(f"{origin} does not exist: --from is a folder of photos or a text file of addresses")
    return "folder" if origin.is_dir() else "urls"


def _name(origin: Path | None) -> str:
    """What a dataset is called that nobody named."""
    if origin is None:
        return ""
    return origin.resolve().name if origin.is_dir() else origin.stem


def _slug(name: str) -> str:
    """A folder's name from words in any script."""
    slug = re.sub(r"[^\w]+", "-", unicodedata.normalize("NFC", name).casefold()).strip("-_")[:60]
    if not slug:
        raise BeautyError("say what to gather, such as `beautynet scrape flowers`, or import with --from")
    return slug


def _clean(folder: Path) -> set[str]:
    """The names in a dataset's folder, after taking away what a killed run left half written."""
    names = set(os.listdir(folder))
    for name in [name for name in names if re.fullmatch(r"\.[0-9a-f]{16}\.\d+\.part\.jpg", name)]:
        (folder / name).unlink(missing_ok=True)
    return names


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _counted(reasons: dict[str, int]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
