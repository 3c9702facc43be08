"""iNaturalist: photos of plants, animals and fungi, of which people who know have said what they show.

Asked as in https://api.inaturalist.org/v1/docs/: 60 requests a minute and 10,000 a day at most. The service is not
for copying all it has: whole exports are at https://www.inaturalist.org/pages/developers.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from beautynet.errors import BeautyError
from beautynet.sources import licences
from beautynet.sources.search import Candidate, Search, big_enough, reading, walk, web_address

PAGE = 100  # of 200 at most, as an observation is some 20 kB with all that was said about it
ALIASES = {"flower": 47125}  # flowering plants: the word itself is nobody's name
CODES = ("cc0", "cc-by", "cc-by-sa", "cc-by-nd", "cc-by-nc", "cc-by-nc-sa", "cc-by-nc-nd")
SIDES = {"medium": 500, "large": 1024, "original": 2048}  # px at most; `square` in a photo's URL stands for any of them


def inaturalist(search: Search, *, base_url: str = "https://api.inaturalist.org") -> Iterator[Candidate]:
    """A photo of each observation of the species (or genus, family...) that the query names, oldest first."""
    asked = {
        "taxon_id": str(_taxon(search, base_url)),
        "quality_grade": "research",
        "photos": "true",
        "per_page": str(PAGE),
        "order_by": "id",
        "order": "asc",
    }
    if search.licence != "any":
        asked["photo_license"] = ",".join(code for code in CODES if licences.allows(code, search.licence))

    def following(answer: Any) -> str | None:
        if answer["total_results"] <= len(answer["results"]):
            return None
        ids = [each.get("id") for each in answer["results"] if isinstance(each, dict)]
        last = max(number for number in ids if isinstance(number, int))
        return f"{base_url}/v1/observations?{urlencode({**asked, 'id_above': last})}"

    first = f"{base_url}/v1/observations?{urlencode(asked)}"
    yield from walk(search, first, lambda answer: answer["results"], _candidate, following)


def _taxon(search: Search, base_url: str) -> int:
    """The number of the taxon that goes by the name in the query."""
    asked = _forms(search.query)
    for name, number in ALIASES.items():
        if name in asked:
            return number
    answer = search.web.json(f"{base_url}/v1/taxa?{urlencode({'q': search.query, 'is_active': 'true'})}")
    found: list[tuple[int, int]] = []
    with reading():
        for taxon in filter(lambda each: isinstance(each, dict), answer["results"]):
            names = (taxon.get(key) for key in ("name", "preferred_common_name", "matched_term"))
            if any(isinstance(name, str) and asked & _forms(name) for name in names):
                found.append((int(taxon.get("observations_count") or 0), int(taxon["id"])))
    if not found:
        raise BeautyError(
            f"iNaturalist knows no plant, animal or fungus called {search.query!r}: leave this source out"
        )
    return max(found)[1]


def _forms(name: str) -> set[str]:
    """A name, and what it may be the plural of."""
    name = " ".join(unicodedata.normalize("NFC", name).casefold().split())
    endings = (("ies", "y"), ("ves", "f"), ("es", ""), ("s", ""))
    return {name} | {name.removesuffix(many) + one for many, one in endings if name.endswith(many) and len(name) > 3}


def _candidate(observation: Any, search: Search) -> Candidate | None:
    # Its other photos are mostly the same from nearby. Each photo has a licence of its own.
    for photo in observation["photos"]:
        licence = licences.licence(photo["license_code"] or licences.RESERVED.name, version="4.0")
        if licences.allows(licence.name, search.licence):
            break
    else:
        return None
    user, taxon = observation.get("user") or {}, observation.get("taxon") or {}
    author = licences.one_line(user.get("name")) or licences.one_line(user.get("login"))
    title = taxon.get("preferred_common_name") or taxon.get("name")
    page = web_address(observation["uri"])
    sentence = licences.one_line(photo.get("attribution"))
    return Candidate(
        url=big_enough(_sizes(photo), search.min_size),
        source="inaturalist",
        query=search.query,
        page=page,
        licence=licence.name,
        licence_url=licence.url,
        author=author,
        attribution=f"{sentence}, {page}" if sentence else licences.attribution(title, author, licence.name, page),
    )


def _sizes(photo: Any) -> Iterator[tuple[float, str]]:
    url = web_address(photo["url"])
    original = photo.get("original_dimensions") or {}
    width, height = original.get("width") or 4, original.get("height") or 3
    for name, side in SIDES.items():
        yield min(width, height) * side / max(width, height), url.replace("/square.", f"/{name}.")
