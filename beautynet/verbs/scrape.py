"""Gather photos from several sources into a dataset: fetched, looked at, stored, each with its row in the manifest."""

from __future__ import annotations

import itertools
import os
import queue
import shutil
import tempfile
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from beautynet import decode, files
from beautynet.console import progress
from beautynet.datasets import attribution, curation
from beautynet.datasets.dedup import NearDuplicates
from beautynet.datasets.manifest import DATA, NAME, PHOTO, TRIED, Manifest, Record, Status
from beautynet.errors import BeautyError, UsageError
from beautynet.gathering import quality
from beautynet.gathering.door import STAGED, Door, Look
from beautynet.machine import cores
from beautynet.sources import DEFAULT, SOURCES, Candidate, Search, licences
from beautynet.sources.fetch import Fetcher, Limits, host_of, is_transient
from beautynet.sources.supply import Stream, Supply
from beautynet.web import sheet

if TYPE_CHECKING:
    from beautynet.classifying.judge import Judge

WANTED = 1000
"""Photos of the web, unless somebody says how many."""
LOOKERS = min(cores(), 8)
"""Photos that are decoded at once: one for each core, as more would only pass Python's lock around, up to where memory
would be the limit."""
IN_FLIGHT = 8
"""Candidates under way for each connection: the others have been fetched, and wait for a core or for the disk."""
TOGETHER = 0.01
"""Seconds that a photo waits for others, to be flushed to disk with them: a flush costs as much as a photo or two."""
HINTS = {
    "a private address": "--allow-private fetches from your own network too",
    "licence": "--license any takes all of them",
    "judged": "look at what the judge says of a few, or leave --judge out",
    "opted out": "--ignore-opt-out takes them nevertheless",
    "too small": "--min-size takes smaller ones",
}
"""What to do about the commonest reasons for an empty dataset."""


@dataclass(frozen=True)
class ScrapeSummary:
    """What a dataset holds after a run. `reasons` counts what was not kept, all runs together, most frequent first."""

    folder: Path
    wanted: int | None  # None: all there are
    kept: int
    new: int
    already: int
    failed: int  # of what came up in this run
    gave: dict[str, int]  # source -> photos kept in this run, for each that was asked
    reasons: dict[str, int]
    troubles: dict[str, str]  # source -> why it stopped early
    complete: bool  # all that was given to import has been looked at, in this run or before
    page: Path | None = None  # of a dry run: what would be kept, to look at
    other_licence: int = 0  # kept before, under licences that are not asked for now

    @property
    def delivered(self) -> bool:
        """Whether all photos asked for are there, and no others; of an import, whether all its files were readable."""
        enough = self.wanted is not None and self.kept >= self.wanted
        return not self.other_licence and (enough or (self.complete and not self.failed and not self.troubles))

    def sentence(self) -> str:
        """All of it in words."""
        would = "would be " if self.page else ""
        text = f"{self.kept} photos {would}in {self.folder} ({self.new} new, {self.already} from before)"
        missing = 0 if self.wanted is None or self.complete else self.wanted - self.kept
        if missing > 0:
            text += f", {missing} fewer than asked for"
        if len(self.gave) > 1:
            text += "; from " + ", ".join(f"{source} {count}" for source, count in self.gave.items())
        if self.reasons:
            text += "; not kept: " + _counted(self.reasons)
        if self.other_licence:
            text += f"; {self.other_licence} from before have other licences (another -o makes a dataset without them)"
        text += "".join(f"\n{source}: {trouble}" for source, trouble in self.troubles.items())
        if missing > 0 and not self.troubles:
            text += '. The sources have no more: widen with --also "other words"'
        return text if self.troubles else f"{text}."


def scrape(
    query: str | None = None,
    max: int | None = None,
    source: str | Sequence[str] | None = None,
    origin: str | Path | None = None,
    min_size: int = 256,
    out: str | Path | None = None,
    *,
    also: str | Sequence[str] = (),
    license: str = "any",
    reject: str | Sequence[str] = (),
    judge: str | Path | None = None,
    want: str | Sequence[str] = (),
    dry_run: bool = False,
    contact: str | None = None,
    limits: Limits | None = None,
) -> ScrapeSummary:
    """Fill the dataset `out` (default: data/<query>) up to `max` photos, and say how far that went.

    `max` is 1,000 by default, of an import all there are. `origin` is a folder of photos or a text file of addresses to
    import; without it the sources (default: those in `sources.DEFAULT`) are searched for `query`, in turn; first those
    that state licences, then the others; and when all have run dry, for the words in `also`. Photos are stored as JPEG
    without metadata: those that are plain RGB JPEG already keep their compressed pixels bit for bit, all others are
    encoded anew. Not kept, with the reason in the manifest: a licence outside `license` (a name in `licences.FILTERS`),
    a shorter side under `min_size` pixels, an aspect ratio over 3:1, the faults in `reject` (names in
    `quality.FILTERS`), duplicates and near-duplicates, also mirrored, whatever cannot be read; and with `judge`, a
    classifier, what is probably not one of its labels in `want` (none: all but `other`). `contact` is an address of
    yours, for hosts that want to know whom to ask (default: $BEAUTYNET_CONTACT). `limits` (`sources.fetch.Limits`) say
    how much at once, and whether to fetch from private addresses, or what its host does not want to be trained on.

    The same call again continues: what has a row is not fetched again, but for failures that may have passed (a busy
    or unreachable host; files on this machine) and what other settings turned away. A photo that was clicked out or
    deleted by hand does not come back. `dry_run` does all of it but storing, and writes a page with what would be kept.
    Raises BeautyError when the dataset stays empty, and KeyboardInterrupt with everything stored that was done.
    """
    if (max is not None and max < 1) or min_size < 1:
        raise UsageError("the number of photos and the smallest side must be at least 1")
    also, reject, want = files.words(also), files.words(reject), files.words(want)
    if not files.is_text(" ".join((query or "", *also))):
        raise UsageError("what to gather has to be said in UTF-8")
    quality.check(reject)
    origin = None if origin is None else Path(origin)
    sources = _sources(source, origin, license)
    name = query or _name(origin)
    folder = _folder(name) if out is None else Path(out)
    if origin is not None and origin.is_dir() and folder.resolve() == origin.resolve():
        raise UsageError(f"{folder} cannot be imported into itself: name another folder with -o")
    with Fetcher(limits, contact or os.environ.get("BEAUTYNET_CONTACT")) as fetcher:
        streams = [
            Stream(
                source=each,
                query=words,
                stage=(not SOURCES[each].licensed, number),
                begin=partial(SOURCES[each].find, Search(words, fetcher, origin, license, min_size)),
            )
            for number, words in enumerate([name, *also])
            for each in sources
        ]
        in_order = origin is not None and origin.is_dir()
        wanted = WANTED if max is None and origin is None else max
        wish = _Wish(wanted, min_size, license, tuple(reject), origin is not None, in_order, _judge(judge, want))
        summary = (_try_out if dry_run else _gather)(folder, fetcher, streams, wish)
    if not summary.kept:
        why = "; ".join(f"{each}: {trouble}" for each, trouble in summary.troubles.items())
        why = why or _counted(summary.reasons) or "the sources have nothing"
        hint = next((f"; {HINTS[reason]}" for reason in summary.reasons if reason in HINTS), "")
        raise BeautyError(f"no photos for {name!r}: {why}{hint}")
    return summary


@dataclass(frozen=True)
class _Wish:
    """What photos are wanted."""

    wanted: int | None  # None: all there are
    min_size: int
    license: str
    reject: tuple[str, ...]
    imports: bool
    in_order: bool
    judge: Judge | None


def _gather(folder: Path, fetcher: Fetcher, streams: Sequence[Stream], wish: _Wish) -> ScrapeSummary:
    with Manifest(folder) as manifest:
        curation.reconcile(manifest)
        _clean(folder)
        gathering = _Gathering(manifest, fetcher, streams, wish, folder)
        try:
            gathering.run()
        finally:
            if gathering.kept:
                attribution.write(folder, manifest.latest())
        return gathering.summary()


def _try_out(folder: Path, fetcher: Fetcher, streams: Sequence[Stream], wish: _Wish) -> ScrapeSummary:
    """A whole run into a folder that is thrown away, but for a page."""
    named = files.with_a_name(folder)
    parent, name = named.parent, named.name
    page = parent / f"{name}{TRIED}"
    with files.explaining(page):
        parent.mkdir(parents=True, exist_ok=True)
        trial = tempfile.TemporaryDirectory(dir=parent, prefix=f".{name}.")
    with trial as place:
        if (folder / NAME).exists():
            shutil.copyfile(folder / NAME, Path(place, NAME))
        with Manifest(Path(place)) as manifest:
            gathering = _Gathering(manifest, fetcher, streams, wish, folder)
            before = len(manifest)
            gathering.run()
            fresh = [row for row in itertools.islice(manifest.rows(), before, None) if row.status == "kept"]
            summary = replace(gathering.summary(), folder=folder, page=page)
            entries = [sheet.entry(record, Path(place)) for record in fresh]
            files.write_text(page, sheet.static_page(f"{name}: what would be kept", entries, summary.sentence()))
    return summary


class _Gathering:
    """One run. Workers look at candidates side by side; deciding, storing and writing rows is done one at a time.

    None of it is done by the calling thread, so that Ctrl-C cannot come between a photo and its row.
    """

    def __init__(
        self, manifest: Manifest, fetcher: Fetcher, streams: Sequence[Stream], wish: _Wish, dataset: Path
    ) -> None:
        """`dataset`: the folder with the photos that are there, which in a dry run is not the manifest's."""
        self.manifest = manifest
        self.fetcher = fetcher
        self.wish = wish
        self.folder = manifest.folder
        self._dataset = dataset.resolve()
        self.new = 0
        self.complete = False
        """Whether all that is imported has been looked at."""
        self.gave = {stream.source: 0 for stream in streams}
        self._door = Door(self.folder, fetcher, wish.min_size, wish.reject, wish.judge)
        self._supply = Supply(streams, fetcher.at_once, self._wake)
        self._near = NearDuplicates()
        kept, others = array("Q"), array("Q")
        self._near.extend(self._known(kept, others))
        present = _numbers(dataset)
        self.already, self.other_licence = (int(np.isin(np.array(each), present).sum()) for each in (kept, others))
        self._news = threading.Condition()  # guards all that follows, the manifest and the supply
        self._looking = threading.Semaphore(LOOKERS)
        self._looked: queue.SimpleQueue[tuple[int, Look] | None] = queue.SimpleQueue()
        self._stopping = False
        self._failure: BaseException | None = None
        self._taken = self._landed = 0
        self._early: dict[int, Look] = {}  # number -> looked at before those that come before it
        self._flying: set[str] = set()  # URLs
        self._busy: Counter[str] = Counter()  # host -> candidates being fetched
        self._failed: set[int] = set()  # hashes of the URLs that came up in this run, and failed then or before

    @property
    def kept(self) -> int:
        """Photos in the dataset now."""
        return self.already + self.new

    def run(self) -> None:
        """Look at candidates until enough photos are kept or there are no more."""
        work = [self._settle] + [self._work] * self.fetcher.limits.connections
        workers = [threading.Thread(target=self._guarded, args=(each,), daemon=True) for each in work]
        try:
            with progress("photos") as bar:
                task = bar.add_task("gathering", total=self.wish.wanted, completed=self.already)
                for worker in workers:
                    worker.start()
                for worker in workers:
                    while worker.is_alive():
                        worker.join(0.1)
                        bar.update(task, completed=self.kept)
            self.complete = self.wish.imports and self._supply.dry
        finally:
            self._stop()
            for worker in workers:
                if worker.ident:
                    worker.join()
            self._supply.stop()
            _clean(self.folder)
        if self._failure:
            raise self._failure

    def summary(self) -> ScrapeSummary:
        """Where the dataset stands."""
        rows = self.manifest.values("status", "reason")
        reasons = Counter((reason or "").partition(":")[0] for status, reason in rows if status != "kept")
        return ScrapeSummary(
            folder=self.folder,
            wanted=self.wish.wanted,
            kept=self.kept,
            new=self.new,
            already=self.already,
            failed=len(self._failed),
            gave=self.gave,
            reasons=dict(reasons.most_common()),
            troubles={stream.source: stream.trouble for stream in self._supply.streams if stream.trouble},
            complete=self.complete,
            other_licence=self.other_licence,
        )

    def _known(self, kept: array[int], others: array[int]) -> Iterator[tuple[str, str | None]]:
        """(file, perceptual hash) of what is in the dataset or was taken out; the former's numbers go into `kept`.

        And into `others` where the licence is not among those that are wanted.
        """
        for file, licence, phash, status in self.manifest.values("file", "licence", "phash", "status"):
            if status in ("kept", "rejected") and file and PHOTO.fullmatch(file):
                if status == "kept":
                    kept.append(int(file[:16], 16))
                    if not licences.allows(licence, self.wish.license):
                        others.append(kept[-1])
                yield file, phash

    def _take(self) -> Candidate | None:
        """The next candidate to look at; None where there is none, or no room for it."""
        # Never more in flight than photos missing: what is fetched beyond that would be fetched in vain.
        room = IN_FLIGHT * self.fetcher.limits.connections
        if self.wish.wanted is not None:
            room = min(room, self.wish.wanted - self.kept)
        while len(self._flying) < room and (candidate := self._supply.take(self._busy)):
            if not self._is_open(candidate):
                continue
            if not licences.allows(candidate.licence, self.wish.license):
                self._record(candidate, "skipped", f"licence: {candidate.licence or 'none stated'}")
                continue
            return candidate
        return None

    def _is_open(self, candidate: Candidate) -> bool:
        """Whether the candidate's fate is still to be decided."""
        if hash(candidate.url) in self._failed or candidate.url in self._flying:
            return False
        if candidate.path is not None and self._dataset in candidate.path.parents:
            return False  # the dataset lies in the folder that it is made from
        record = self.manifest.by_url(candidate.url)
        if record is None or self._may_end_otherwise(candidate, record):
            return True
        if record.status == "failed":
            self._failed.add(hash(candidate.url))
        return False

    def _may_end_otherwise(self, candidate: Candidate, record: Record) -> bool:
        """Whether what became of the candidate before may be something else this time."""
        limits, reason = self.fetcher.limits, record.reason or ""
        match reason.partition(":")[0]:
            case "too small":
                return min(record.width or 0, record.height or 0) >= self.wish.min_size
            case "licence":
                return licences.allows(candidate.licence, self.wish.license)
            case "opted out":
                return limits.ignore_opt_out
            case "a private address":
                return limits.private_addresses
            case "judged":
                return self.wish.judge is None or not reason.endswith(f" by {self.wish.judge.name}")
            case decode.NO_HEIF if candidate.path is None:
                return find_spec("pillow_heif") is not None
            case fault if fault in quality.FILTERS:
                return fault not in self.wish.reject
        return record.status == "failed" and (candidate.path is not None or is_transient(reason))

    def _guarded(self, work: Callable[[], None]) -> None:
        """A worker's life."""
        try:
            work()
        except BaseException as error:  # a full disk, or our mistake: raised where the run is
            self._failure = self._failure or error
            self._stop()

    def _work(self) -> None:
        """Fetches and looks: one of these for each connection."""
        while flying := self._next():
            number, candidate = flying
            source = self._door.fetch(candidate)
            self._hang_up(candidate)
            with self._looking:
                look = self._door.look_at(candidate, source)
            self._looked.put((number, look))

    def _settle(self) -> None:
        """Decides: the only one of these. What was looked at meanwhile is flushed to disk in one go."""
        while looks := self._waiting():
            files.flush([look.staged for _, look in looks if look.staged])
            for number, look in looks:
                with self._news:
                    if self._stopping:
                        return
                    # Hosts answer at random, a folder need not: its photos are settled in its own order.
                    self._early[number] = look
                    upcoming = itertools.count(self._landed) if self.wish.in_order else iter([number])
                    while ready := self._early.pop(next(upcoming, -1), None):
                        self._land(ready)
                        self._landed += 1
                    self._news.notify()

    def _waiting(self) -> list[tuple[int, Look]]:
        """All that waits to be settled, at least one; none when the run is over."""
        waiting = [self._looked.get()]
        time.sleep(TOGETHER)
        while not self._looked.empty():
            waiting.append(self._looked.get())
        return [] if None in waiting else [each for each in waiting if each]

    def _next(self) -> tuple[int, Candidate] | None:
        """A number, counted up, and the next candidate; None when the run is over."""
        with self._news:
            while self._goes_on():
                if candidate := self._take():
                    self._flying.add(candidate.url)
                    self._busy[host_of(candidate.url)] += 1
                    self._taken += 1
                    self._news.notify()  # there may be another one
                    return self._taken - 1, candidate
                if self._goes_on():  # what was taken may have been the last, and nothing of it open
                    self._news.wait()
            self._news.notify_all()
            self._looked.put(None)
            return None

    def _goes_on(self) -> bool:
        """Whether there is, or may yet be, something to look at."""
        enough = self.wish.wanted is not None and self.kept >= self.wish.wanted
        return not self._stopping and bool(self._flying or not (enough or self._supply.dry))

    def _hang_up(self, candidate: Candidate) -> None:
        """Its host has room again."""
        with self._news:
            host = host_of(candidate.url)
            self._busy[host] -= 1
            if not self._busy[host]:
                del self._busy[host]
            self._news.notify()

    def _wake(self) -> None:
        with self._news:
            self._news.notify()

    def _stop(self) -> None:
        with self._news:
            self._stopping = True
            self.fetcher.stop()
            self._news.notify_all()
            self._looked.put(None)

    def _land(self, look: Look) -> None:
        """Decide on a candidate that was looked at."""
        self._flying.remove(look.candidate.url)
        if look.staged is None or look.sha256 is None:
            if look.status == "failed":
                self._failed.add(hash(look.candidate.url))
            self._record(look.candidate, look.status, look.reason, look)
            return
        if reason := self._copy_of(look, look.sha256):
            look.staged.unlink()
            self._record(look.candidate, "skipped", reason, look)
            return
        # The photo, then its row: a row never speaks of a photo that is not there. After a kill between the two,
        # the next run writes the same photo under the same name.
        files.replace(look.staged, self.folder / look.file)
        self._record(look.candidate, "kept", None, look)
        self._near.add(look.phashes[0], look.file)
        self.new += 1
        self.gave[look.candidate.source] += 1

    def _copy_of(self, look: Look, sha256: str) -> str | None:
        if twin := self.manifest.by_sha256(sha256):
            return f"duplicate: the same as {twin.file}"
        if near := self._near.nearest(*look.phashes):
            return f"near-duplicate: {near[1]} bits from {near[0]}"
        return None

    def _record(self, candidate: Candidate, status: Status, reason: str | None, look: Look | None = None) -> None:
        before = self.manifest.by_url(candidate.url)
        if before and (before.status, before.reason) == (status, reason):
            return  # tried again, with the same end
        width, height = (look and look.size) or (None, None)
        self.manifest.append(
            Record(
                file=look.file if look and status == "kept" else None,
                url=candidate.url,
                page=candidate.page,
                source=candidate.source,
                query=candidate.query,
                licence=candidate.licence,
                licence_url=candidate.licence_url,
                author=candidate.author,
                attribution=candidate.attribution,
                sha256=look.sha256 if look else None,
                phash=look.phashes[0] if look and look.phashes else None,
                width=width,
                height=height,
                status=status,
                reason=reason,
            )
        )


def _judge(model: str | Path | None, want: Sequence[str]) -> Judge | None:
    if model is None:
        if want:
            raise UsageError("--want is for a --judge")
        return None
    from beautynet.classifying.judge import Judge  # here, as it takes seconds

    return Judge.load(model, want)


def _sources(asked: str | Sequence[str] | None, origin: Path | None, license: str) -> list[str]:
    """The names of the sources to ask, checked against what else is wanted."""
    licences.check(license)
    if asked is None or asked == ():
        if origin is None:
            return [each for each in DEFAULT if license == "any" or SOURCES[each].licensed]
        if not origin.exists():
            raise BeautyError(f"{origin} does not exist: --from is a folder of photos or a text file of addresses")
        asked = "folder" if origin.is_dir() else "urls"
    names = list(dict.fromkeys(files.words(asked)))
    for name in names:
        if name not in SOURCES:
            raise UsageError(f"there is no source {name!r}: choose from {', '.join(sorted(SOURCES))}")
        if origin is not None and not SOURCES[name].imports:
            raise UsageError(f"the source {name} searches the web and imports nothing: leave --from out, or --source")
        if license != "any" and not SOURCES[name].licensed:
            raise UsageError(f"the source {name} states no licences: leave it out, or --license {license}")
    if origin is not None and len(names) > 1:
        raise UsageError("--from is one thing to import: name one --source, or none")
    return names


def _name(origin: Path | None) -> str:
    """What a dataset is called that nobody named."""
    if origin is None:
        return ""
    return origin.resolve().name if origin.is_dir() else origin.stem


def _folder(name: str) -> Path:
    """Where a dataset lies that nobody gave a place."""
    if not (found := files.folder_name(name)):
        raise UsageError("say what to gather in words, such as `beautynet scrape flowers`, or import with --from")
    return DATA / found


def _clean(folder: Path) -> None:
    """Take away what was staged in a dataset's folder and not decided on."""
    with os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if STAGED.fullmatch(entry.name)]:
            (folder / name).unlink(missing_ok=True)


def _numbers(folder: Path) -> NDArray[np.uint64]:
    """The photos in a dataset's folder: their names as numbers, of which a million take 8 MB."""
    if not folder.is_dir():
        return np.empty(0, np.uint64)
    with os.scandir(folder) as entries:
        return np.fromiter((int(e.name[:16], 16) for e in entries if PHOTO.fullmatch(e.name)), np.uint64)


def _counted(reasons: dict[str, int]) -> str:
    return ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
