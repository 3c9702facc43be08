"""What a source is asked, what it yields, and how a paged answer is walked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beautynet.errors import BeautyError
from beautynet.sources.fetch import Fetcher, host_of

MOST_PAGES = 1000
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Search:
    """What is asked of a source.

    `query` is what the photos should show; `origin` is a file or folder to import from; `licence` is a name in
    `licences.FILTERS`, for the source to narrow its answers by where it can (they are checked again afterwards);
    `min_size` is the shorter side in px that is wanted at least, for sources that offer several sizes.
    All requests go through `web`, which is polite and safe for them, but for those of Bing's result pages.
    """

    query: str
    web: Fetcher
    origin: Path | None = None
    licence: str = "any"
    min_size: int = 256


@dataclass(frozen=True)
class Candidate:
    """A photo to look at: where its bytes are, and whatever the source knows about it.

    `url` identifies it from run to run. `path` is set for files on this machine (`url` is then its file:// URL);
    `page` is where people see the photo; `licence` is a short name such as "CC BY-SA 4.0", None where the source
    states none; `attribution` is the sentence to print where the photo is shown.
    """

    url: str
    source: str
    query: str
    path: Path | None = None
    page: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    author: str | None = None
    attribution: str | None = None


@dataclass(frozen=True)
class Source:
    """A place that photos come from.

    `find` yields candidates one by one and is asked for no more than are wanted. When it cannot go on it raises
    BeautyError; what it has yielded until then counts. `licensed`: each candidate comes with its licence.
    `imports`: it reads from an origin on this machine and searches nothing.
    """

    find: Callable[[Search], Iterator[Candidate]]
    licensed: bool = False
    imports: bool = False


def walk(
    search: Search,
    first: str,
    items: Callable[[Any], Iterable[Any]],
    read: Callable[[Any, Search], Candidate | None],
    following: Callable[[Any], str | None],
) -> Iterator[Candidate]:
    """The candidates on the pages of a JSON service, from the URL `first` on.

    Of each answer, `items` gives the entries, `read` makes a candidate of one for this search (None: not for us), and
    `following` the URL of the next page. An entry that cannot be read is passed over; a page of nothing else means that
    the service has changed, which is a BeautyError. Ends at an empty page, and where pages or cursors repeat
    themselves.
    """
    url: str | None = first
    asked: set[str] = set()
    seen: set[str] = set()
    pages: set[int] = set()  # hashes: a page of entries that are not for us may come again and again, too
    while url and url not in asked and len(asked) < MOST_PAGES:
        asked.add(url)
        answer = search.web.json(url)
        with reading():
            entries = list(items(answer))
            url = following(answer)
            page = hash(repr(entries))
        if page in pages:
            return
        pages.add(page)
        unreadable = fresh = 0
        for entry in entries:
            try:
                candidate = read(entry, search)
            except _UNREADABLE:
                unreadable += 1
                continue
            if candidate is None:
                fresh += 1
            elif candidate.url not in seen:
                fresh += 1
                seen.add(candidate.url)
                yield candidate
        if entries and unreadable == len(entries):
            raise BeautyError("its answers have another form now (no entry can be read)")
        if not fresh:
            return


@contextmanager
def reading() -> Iterator[None]:
    """What is missed inside, in an answer of a service, becomes a BeautyError that says so."""
    try:
        yield
    except _UNREADABLE as error:
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise BeautyError(f"its answers have another form now ({what[:100]})") from error


def web_address(value: Any) -> str:
    """`value`, if it can be one; ValueError if not."""
    # Half a surrogate pair, which JSON can hold and a manifest cannot, is not printable either.
    if isinstance(value, str) and value.startswith(("http://", "https://")) and host_of(value) and value.isprintable():
        return value
    raise ValueError("not a web address")


def big_enough(offers: Iterable[tuple[float, str]], min_size: int) -> str:
    """Of sizes of the same photo, as (shorter side in px, URL): the smallest that is twice `min_size`, or the largest.

    Twice, because squares cut from it at random are to differ. Raises ValueError where nothing is offered.
    """
    ascending = sorted(offers)
    return next((url for side, url in ascending if side >= 2 * min_size), max(ascending)[1])
