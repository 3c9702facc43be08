"""What a source yields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Candidate:
    """A photo to look at: where its bytes are, and whatever the source knows about it.

    `url` identifies it from run to run. `path` is set for files on this machine (`url` is then its file:// URL);
    `page` is where people see the photo.
    """

    url: str
    source: str
    query: str
    path: Path | None = None
    page: str | None = None
    licence: str | None = None
    author: str | None = None
