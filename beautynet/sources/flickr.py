"""Flickr: photos of everything, with the licence that each photographer chose. Needs a key of your own.

Asked as in https://www.flickr.com/services/api/flickr.photos.search.html, which gives 4,000 photos a query at most;
the sizes are in https://www.flickr.com/services/api/misc.urls.html.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from beautynet.errors import BeautyError
from beautynet.sources import licences
from beautynet.sources.search import Candidate, Search, big_enough, walk, web_address

KEY = "FLICKR_API_KEY"
PAGE = 500
MOST_RESULTS = 4000  # further pages only repeat the last
SIZES = "mzclo"  # longer side in px: 500, 640, 800, 1024, as it was uploaded


def flickr(search: Search, *, base_url: str = "https://api.flickr.com") -> Iterator[Candidate]:
    """What Flickr finds, best first, at most 4,000."""
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise BeautyError(f"Flickr needs a key: get one at https://www.flickr.com/services/apps/create and set {KEY}")
    asked = {
        "method": "flickr.photos.search",
        "api_key": key,
        "text": search.query,
        "media": "photos",
        "content_types": "0",  # photos; no screenshots, drawings or renderings
        "safe_search": "1",
        "sort": "relevance",
        "extras": ",".join(["license", "owner_name", *(f"url_{size}" for size in SIZES)]),
        "per_page": str(PAGE),
        "format": "json",
        "nojsoncallback": "1",
    }
    if search.licence != "any":
        numbers = (number for number, each in licences.FLICKR.items() if licences.allows(each.name, search.licence))
        asked["license"] = ",".join(numbers)

    def url(page: int) -> str:
        return f"{base_url}/services/rest/?{urlencode({**asked, 'page': page})}"

    def following(answer: Any) -> str | None:
        page = int(answer["photos"]["page"])
        return url(page + 1) if page < min(int(answer["photos"]["pages"]), MOST_RESULTS // PAGE) else None

    yield from walk(search, url(1), _photos, _candidate, following)


def _photos(answer: Any) -> list[Any]:
    if answer["stat"] == "fail":  # with HTTP 200
        hint = f" (is {KEY} right?)" if answer["code"] == 100 else ""
        raise BeautyError(f"Flickr says: {licences.one_line(answer['message'])}{hint}")
    return list(answer["photos"]["photo"])


def _candidate(photo: Any, search: Search) -> Candidate:
    licence = licences.FLICKR.get(str(photo["license"]), licences.Licence(None))
    author = licences.one_line(photo.get("ownername"))
    page = web_address(f"https://www.flickr.com/photos/{photo['owner']}/{photo['id']}/")
    offers = [
        (min(int(photo[f"width_{size}"]), int(photo[f"height_{size}"])), web_address(photo[f"url_{size}"]))
        for size in SIZES
        if photo.get(f"url_{size}")
    ]
    return Candidate(
        url=big_enough(offers, search.min_size),
        source="flickr",
        query=search.query,
        page=page,
        licence=licence.name,
        licence_url=licence.url,
        author=author,
        attribution=licences.attribution(photo.get("title"), author, licence.name, page),
    )
