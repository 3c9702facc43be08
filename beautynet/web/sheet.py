"""A contact sheet: many pictures on one page, for the eye to judge. The page itself is sheet.html."""

from __future__ import annotations

import html
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

from beautynet.datasets.manifest import Record
from beautynet.decode import as_jpeg, decode
from beautynet.web.templates import data_url, filled, scripted

THUMBNAIL = (400, 200)
"""Width and height in px at most, in a page that is one file."""


@dataclass(frozen=True)
class Entry:
    """A picture on the sheet. `width` and `height` are the photo's, in px.

    `thumbnail` is a JPEG, or None on a page that is served and can ask for it. All texts and addresses may come from
    the web: none is trusted.
    """

    name: str
    width: int | None = None
    height: int | None = None
    page: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    author: str | None = None
    attribution: str | None = None
    source: str | None = None
    query: str | None = None
    verdict: str | None = None
    thumbnail: bytes | None = None
    out: bool = False


def entry(record: Record, folder: Path | None = None) -> Entry:
    """A photo of a dataset; with the folder that it is in, with a thumbnail. Raises Unreadable."""
    assert record.file is not None
    return Entry(
        name=record.file,
        width=record.width,
        height=record.height,
        page=record.page,
        licence=record.licence,
        licence_url=record.licence_url,
        author=record.author,
        attribution=record.attribution,
        source=record.source,
        query=record.query,
        verdict=record.verdict,
        thumbnail=None if folder is None else thumbnail(folder / record.file, *THUMBNAIL),
        out=record.status == "rejected",
    )


def served_page(title: str, entries: Iterable[Entry], note: str, *, judges: bool = False) -> str:
    """The page for a server that answers `thumb/NAME`, `large/NAME`, `changes`, `done` and, if it `judges`, `judge`."""
    return _page("served", title, entries, note, judges)


def static_page(title: str, entries: Iterable[Entry], note: str = "", *, selectable: bool = False) -> str:
    """The page as one file that needs nothing else; if `selectable`, pictures can be marked and the list saved."""
    return _page("list" if selectable else "plain", title, entries, note)


def thumbnail(source: bytes | Path, width: int, height: int) -> bytes:
    """The picture in `source` as a JPEG of at most so many px. Raises Unreadable."""
    picture = decode(source)
    picture.thumbnail((width, height), Image.Resampling.LANCZOS, reducing_gap=2)
    return as_jpeg(picture, quality=76)


def _page(mode: str, title: str, entries: Iterable[Entry], note: str, judges: bool = False) -> str:
    data = {"mode": mode, "judges": judges, "title": title, "photos": [_plain(entry) for entry in entries]}
    return filled(
        "sheet",
        nonce=secrets.token_urlsafe(16),
        server="'self'" if mode == "served" else "",
        title=html.escape(title),
        note=html.escape(note),
        data=scripted(data),
    )


def _plain(entry: Entry) -> dict[str, object]:
    """An entry for JSON, without what is unknown and without addresses that are not of the web."""
    row = asdict(entry) | {"page": _web(entry.page), "licence_url": _web(entry.licence_url)}
    if entry.thumbnail is not None:
        row["thumbnail"] = data_url(entry.thumbnail, "image/jpeg")
    return {name: value for name, value in row.items() if value not in (None, False)}


def _web(address: str | None) -> str | None:
    try:
        parts = urlsplit(address or "")
    except ValueError:
        return None
    return address if parts.scheme in ("http", "https") and parts.hostname else None
