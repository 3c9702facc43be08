"""Photos from a list of addresses in a text file."""

from __future__ import annotations

from collections.abc import Iterator

from beautynet.errors import BeautyError
from beautynet.sources.search import Candidate, Search


def urls(search: Search) -> Iterator[Candidate]:
    """The addresses in the text file `origin`, one a line; blank lines and lines that start with # are left out."""
    origin = search.origin
    if origin is None or not origin.is_file():
        raise BeautyError("the source `urls` reads addresses from a text file: name it with --from")
    try:
        with open(origin, encoding="utf-8-sig") as lines:
            for line in lines:
                if (url := line.strip()) and not url.startswith("#"):
                    yield Candidate(url=url, source="urls", query=search.query)
    except UnicodeDecodeError:
        raise BeautyError(f"{origin} is not a text file: it should hold one address a line") from None
