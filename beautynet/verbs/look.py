"""Look at a dataset as a contact sheet and click pictures out of it: in the browser, or by a list of names."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from beautynet import files
from beautynet.console import console, progress
from beautynet.datasets import attribution, curation, manifest
from beautynet.datasets.manifest import Manifest, Record
from beautynet.decode import Unreadable
from beautynet.errors import BeautyError
from beautynet.machine import cores
from beautynet.web.cache import Cache
from beautynet.web.server import Server
from beautynet.web.sheet import Entry, entry, served_page, static_page, thumbnail

MOST_IN_FILE = 2000
"""Photos in a page that is one file: some 30 MB."""
THUMBNAIL, LARGE = (640, 320), (2048, 2048)
"""Width and height in px at most, on the sheet that is served and in its large view."""


@dataclass(frozen=True)
class LookSummary:
    """Where a dataset stands after looking: `photos` in it, `out` of it, of which `new` since before.

    `page` is the file written, with `shown` photos; `unknown` are the names in a list that the dataset does not have.
    """

    folder: Path
    photos: int
    out: int
    new: int
    restored: int
    page: Path | None = None
    shown: int = 0
    unknown: tuple[str, ...] = ()

    def sentence(self) -> str:
        """All of it in words."""
        back = f", {self.restored:,} put back" if self.restored else ""
        text = f"{self.photos:,} photos in {self.folder}, {self.out:,} clicked out ({self.new:,} new{back})"
        if self.page is None:
            return text
        rest = f"; a page in one file holds {MOST_IN_FILE:,} at most" if self.photos > MOST_IN_FILE else ""
        return f"{text}. {self.page} shows {self.shown:,} of them{rest}"


def look(
    dataset: str | Path | None = None,
    out: str | Path | None = None,
    reject: str | Path | None = None,
    restore: str | Path | None = None,
    *,
    browser: bool = True,
    judge: Callable[[Path], object] | None = None,
) -> LookSummary:
    """Open the contact sheet of a dataset (a folder or a name in `data/`; the newest) until it is done with.

    What is clicked out moves to `.rejected` in the dataset, is not gathered again, and comes back by a second click.
    With `out`, the sheet is written there as one file, in which pictures can be marked and the list of them saved;
    such lists, one name a line, are applied with `reject` and `restore`. `judge` is what the sheet's button "Judge
    again" calls with the dataset's folder, to find more of what was clicked out: `beautynet.curate`.
    """
    folder = manifest.find(dataset)
    # A run that fills the dataset has its manifest locked, and mends it itself. What else is wrong, `latest` says too.
    with suppress(BeautyError), Manifest(folder) as opened:
        curation.reconcile(opened)
    before = _names_out(curation.photos(manifest.latest(folder)))
    unknown: list[str] = []
    for names, change in ((reject, curation.reject), (restore, curation.restore)):
        if names is not None:
            with Manifest(folder) as opened:
                rows = curation.photos(opened.latest())
                listed = _listed(Path(names))
                unknown += [name for name in listed if name not in rows]
                change(opened, [rows[name] for name in listed if name in rows])
    shown = 0
    if out is not None:
        shown = _write(folder, Path(out))
    elif reject is None and restore is None:
        _Sheet(folder, before, judge).serve(browser)
    summary = _summary(folder, before)
    if (summary.new or summary.restored) and (folder / manifest.ATTRIBUTION).exists():
        attribution.write(folder, manifest.latest(folder))
    return replace(summary, page=None if out is None else Path(out), shown=shown, unknown=tuple(unknown))


def _listed(path: Path) -> list[str]:
    """The names in a list, one a line; empty lines and those that start with # are comments."""
    lines = files.read_lines(path, "a text file of names")
    return [line for line in lines if not line.startswith("#")]


def _names_out(rows: dict[str, Record]) -> set[str]:
    return {name for name, row in rows.items() if row.status == "rejected"}


def _summary(folder: Path, before: set[str]) -> LookSummary:
    rows = curation.photos(manifest.latest(folder))
    out = _names_out(rows)
    photos = len((rows.keys() - out) & set(os.listdir(folder)))
    return LookSummary(folder, photos, out=len(out), new=len(out - before), restored=len(before - out))


def _write(folder: Path, page: Path) -> int:
    """Write the sheet as one file; returns how many photos it shows."""
    rows = [
        row
        for row in _in_doubt_first(curation.photos(manifest.latest(folder)).values())
        if row.status == "kept" and row.file and (folder / row.file).is_file()
    ]
    marked = f"{folder.resolve().name}.out.txt"
    note = (
        f"Click the photos that should go, save the list, and run: beautynet look {folder} --reject {marked}"
        f"{f'. These are the first {MOST_IN_FILE:,} of {len(rows):,}.' if len(rows) > MOST_IN_FILE else ''}"
    )
    entries = list(_with_thumbnails(folder, rows[:MOST_IN_FILE]))
    files.write_text(page, static_page(folder.resolve().name, entries, note, selectable=True))
    return len(entries)


def _in_doubt_first(rows: Iterable[Record]) -> list[Record]:
    """The photos whose verdict could have been another come first, as many as there are on a page."""
    return sorted(rows, key=lambda row: -curation.doubt(row.verdict))


def _with_thumbnails(folder: Path, rows: list[Record]) -> Iterator[Entry]:
    def made(row: Record) -> Entry | str:
        try:
            return entry(row, folder)
        except Unreadable as reason:
            return f"skipped {row.file}: {reason}"

    with progress("photos") as bar, ThreadPoolExecutor(cores()) as pool:
        for one in bar.track(pool.map(made, rows), len(rows), description="making thumbnails"):
            if isinstance(one, Entry):
                yield one
            else:
                console.print(one, style="yellow")


class _Sheet:
    """The contact sheet as a web page, and what it asks for."""

    def __init__(self, folder: Path, before: set[str], judge: Callable[[Path], object] | None) -> None:
        self._folder = folder
        self._judge = judge
        self._before = before
        self._rows = curation.photos(manifest.latest(folder))
        self._changing = threading.Lock()
        self._thumbnails = Cache()
        # A decoded photo can take 300 MB: few at a time, however many are asked for.
        self._cores = threading.Semaphore(min(cores(), 4))

    def serve(self, browser: bool) -> None:
        """Serve until Ctrl-C or the page's Done."""
        server = Server(
            [
                Route("/", self._page),
                Route("/thumb/{name}", self._thumbnail),
                Route("/large/{name}", self._large),
                Route("/changes", self._change, methods=["POST"]),
                Route("/judge", self._judge_again, methods=["POST"]),
                Route("/done", self._done, methods=["POST"]),
            ]
        )
        self._stop = server.stop
        console.print(f"{server.url}\nis open until you click Done there, or press Ctrl-C here", soft_wrap=True)
        server.run(browser)

    def _page(self, _: Request) -> Response:
        self._rows = curation.photos(manifest.latest(self._folder))  # anew: runs may have added to them
        there = {*os.listdir(self._folder)}
        with suppress(FileNotFoundError):
            there.update(os.listdir(self._folder / manifest.REJECTED))
        note = "Click a photo to take it out; click it again to put it back. What is out is never gathered again."
        entries = [entry(row) for row in _in_doubt_first(self._rows.values()) if row.file in there]
        page = served_page(self._folder.resolve().name, entries, note, judges=self._judge is not None)
        return HTMLResponse(page, headers={"Cache-Control": "no-store"})

    def _thumbnail(self, request: Request) -> Response:
        name = request.path_params["name"]
        if (data := self._thumbnails.get(name)) is None and (data := self._picture(name, THUMBNAIL)) is not None:
            self._thumbnails.put(name, data)
        return _jpeg(data)

    def _large(self, request: Request) -> Response:
        return _jpeg(self._picture(request.path_params["name"], LARGE))

    def _picture(self, name: str, size: tuple[int, int]) -> bytes | None:
        if name not in self._rows:
            return None
        for place in (self._folder, self._folder / manifest.REJECTED):  # by now it may be in either
            with suppress(Unreadable), self._cores:
                return thumbnail(place / name, *size)
        return None

    async def _change(self, request: Request) -> Response:
        """Take photos out and put others back: {"out": [names], "back": [names]}."""
        try:
            wanted = await request.json()
            out, back = ([self._rows[name] for name in wanted[key] if name in self._rows] for key in ("out", "back"))
        except (ValueError, KeyError, TypeError):
            return PlainTextResponse("not a list of changes", 400)
        return await run_in_threadpool(self._apply, out, back)

    def _apply(self, out: list[Record], back: list[Record]) -> Response:
        # Opened for each batch of clicks, so that other runs find it free in between. Opening reads the manifest's
        # index: of a million rows that takes seconds, but nobody waits for it.
        try:
            with self._changing, Manifest(self._folder) as opened:
                curation.reject(opened, out)
                curation.restore(opened, back)
        except BeautyError as error:
            return PlainTextResponse(str(error), 409)
        return Response(status_code=204)

    def _judge_again(self, _: Request) -> Response:
        if self._judge is None:
            return PlainTextResponse("this sheet has no judge", 404)
        try:
            with self._changing:
                self._judge(self._folder)
        except BeautyError as error:
            return PlainTextResponse(str(error), 409)
        return Response(status_code=204)

    def _done(self, _: Request) -> Response:
        text = _summary(self._folder, self._before).sentence()
        return PlainTextResponse(text, background=BackgroundTask(self._stop))


def _jpeg(data: bytes | None) -> Response:
    if data is None:
        return PlainTextResponse("no such photo", 404)
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})
