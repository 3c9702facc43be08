"""Openverse: a search over open photos of Flickr, museums and many others, each with its licence.

Asked as in https://api.openverse.org/v1/; the bounds for those without an account are in
https://docs.openverse.org/api/reference/authentication_and_throttling.html: 20 works a page, 20 requests a minute,
200 a day; and 240 works a query (https://github.com/WordPress/openverse/issues/4474).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from beautynet.sources import licences
from beautynet.sources.connections import FetchError
from beautynet.sources.search import Candidate, Search, walk, web_address

PAGE = 20
MOST_RESULTS = 240
CODES = ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd", "cc0", "pdm")


def openverse(search: Search, *, base_url: str = "https://api.openverse.org") -> Iterator[Candidate]:
    """What Openverse finds, best first, at most 240."""
    asked = {"q": search.query, "page_size": str(PAGE), "mature": "false"}
    if search.licence != "any":
        # Its own group `license_type=commercial` holds Sampling+, which allows less than it seems.
        asked["license"] = ",".join(code for code in CODES if licences.allows(code, search.licence))

    def url(page: int) -> str:
        return f"{base_url}/v1/images/?{urlencode({**asked, 'page': page})}"

    def following(answer: Any) -> str | None:
        page = int(answer["page"])
        return url(page + 1) if page < min(int(answer["page_count"]), MOST_RESULTS // PAGE) else None

    found = False
    try:
        for candidate in walk(search, url(1), lambda answer: answer["results"], _candidate, following):
            found = True
            yield candidate
    except FetchError as error:
        # Pages after the last are refused, and which one that is can change on the way.
        if not found or str(error) not in ("HTTP 400", "HTTP 401", "HTTP 404"):
            raise


def _candidate(work: Any, search: Search) -> Candidate:
    version = licences.one_line(work.get("license_version"))
    licence = licences.licence(work["license"], work.get("license_url"), version=version)
    author = licences.one_line(work.get("creator"))
    page = web_address(work["foreign_landing_url"]) if work.get("foreign_landing_url") else None
    sentence = licences.one_line(work.get("attribution"), 1000)
    return Candidate(
        url=web_address(work["url"]),
        source="openverse",
        query=search.query,
        page=page,
        licence=licence.name,
        licence_url=licence.url,
        author=author,
        attribution=sentence or licences.attribution(work.get("title"), author, licence.name, page),
    )
