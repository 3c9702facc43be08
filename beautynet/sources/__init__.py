"""Where photos come from: `SOURCES` maps a name to a function that yields candidates. One file, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from beautynet.sources.bing import bing
from beautynet.sources.candidate import Candidate
from beautynet.sources.folder import folder
from beautynet.sources.urls import urls

# A source gets the query (what the photos should show) and the origin (a file or folder to import from, or None). It
# yields candidates one by one and is asked for no more of them than are wanted. When it cannot go on it raises
# BeautyError; what it has yielded until then counts.
Source = Callable[[str, Path | None], Iterator[Candidate]]

SOURCES: dict[str, Source] = {
    "bing": bing,
    "folder": folder,
    "urls": urls,
}

__all__ = ["SOURCES", "Candidate", "Source"]
