"""Licences: one name for each, however a service writes it, and what each allows. And the words of a credit."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

from beautynet.console import is_command
from beautynet.errors import UsageError

FILTERS = {"any": 0, "free": 2, "commercial": 1, "public-domain": 3}
"""Filter -> how open a licence has to be for it, as `openness` counts. Each holds all that a higher number holds."""


class Licence(NamedTuple):
    """A short name such as "CC BY-SA 4.0", and where its words are; None for what is not stated."""

    name: str | None
    url: str | None = None


CC0 = Licence("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/")
MARK = Licence("Public Domain Mark 1.0", "https://creativecommons.org/publicdomain/mark/1.0/")
PUBLIC = Licence("public domain")
GFDL = Licence("GFDL", "https://www.gnu.org/licenses/fdl-1.3.html")
FAL = Licence("Free Art License", "https://artlibre.org/licence/lal/en/")
# "Any purpose, provided that the copyright holder is properly attributed": not CC BY, but as free.
ATTRIBUTION = Licence("Attribution", "https://commons.wikimedia.org/wiki/Template:Attribution")
FREE_USE = Licence("Copyrighted free use", "https://commons.wikimedia.org/wiki/Template:Copyrighted_free_use")
# Two statements rather than licences: nobody knows of an owner; no copyright within the United States.
UNKNOWN_OWNER = Licence("No known copyright restrictions", "https://www.flickr.com/commons/usage/")
US_GOVERNMENT = Licence("United States Government Work", "https://www.usa.gov/government-copyright")
RESERVED = Licence("All Rights Reserved")

_PUBLIC_DOMAIN = {CC0.name, MARK.name, PUBLIC.name}
_FREE = {each.name for each in (GFDL, FAL, ATTRIBUTION, FREE_USE, UNKNOWN_OWNER, US_GOVERNMENT)}
_NAMES = {
    **dict.fromkeys(("0", "zero", "0 1.0", "zero 1.0", "0 1.0 universal"), CC0),
    **dict.fromkeys(("pdm", "pdm 1.0", "pd mark", "public domain mark", "public domain mark 1.0"), MARK),
    **dict.fromkeys(("pd", "public domain"), PUBLIC),
    **dict.fromkeys(("gfdl", "gfdl 1.2", "gfdl 1.3", "gnu free documentation license"), GFDL),
    **dict.fromkeys(("fal", "fal 1.3", "free art license", "free art license 1.3", "licence art libre"), FAL),
    "attribution": ATTRIBUTION,
    "copyrighted free use": FREE_USE,
    **dict.fromkeys(("no restrictions", "no known copyright restrictions"), UNKNOWN_OWNER),
    "united states government work": US_GOVERNMENT,
    **dict.fromkeys(("all rights reserved", "c"), RESERVED),
}
_PARTS = {"by", "nc", "nd", "sa"}
_HARMLESS = {"international", "unported", "generic", "license", "licence"}
_COUNTRY = re.compile(r"[a-z]{2}|igo|scotland")
_URL = re.compile(
    r"creativecommons\.org/(?:licenses|publicdomain)/([a-z-]+)(?:/(\d\.\d))?(?:/([a-z]{2}|igo|scotland)\b)?"
)
_URL_CODES = {"zero": CC0, "mark": MARK, "publicdomain": PUBLIC, "certification": PUBLIC}


def licence(*clues: str | None, version: str | None = None) -> Licence:
    """The licence that the first readable of the clues means: a code, a name or the URL of its words.

    `version` is of a code that does not say its own. Where no clue can be read, it has the first one's own words.
    """
    said = [clue for clue in clues if isinstance(clue, str) and clue.strip()]
    url = next((clue for clue in said if re.match(r"https?://\S+$", clue)), None)
    for clue in said:
        if found := _read(clue.casefold(), version):
            return Licence(found.name, found.url or url)
    return Licence(next((one_line(clue) for clue in said if "://" not in clue), None), url)


@lru_cache(1024)
def openness(name: str | None) -> int:
    """What the licence of this name allows: 3 anything; 2 to use, change and sell; 1 to use and sell; 0 less."""
    found = _read(name.casefold()) if name else None
    if not found or not found.name:
        return 0
    if found.name in _PUBLIC_DOMAIN:
        return 3
    parts = set(found.name.lower().replace("-", " ").split()) & _PARTS
    if found.name not in _FREE and (not parts or "nc" in parts):
        return 0
    return 1 if "nd" in parts else 2


def allows(name: str | None, filter: str) -> bool:
    """Whether photos under the licence of this name may be taken; one that nobody knows passes "any" only."""
    return openness(name) >= FILTERS[filter]


def check(filter: str) -> None:
    """Raise BeautyError where there is no such filter."""
    if filter not in FILTERS:
        raise UsageError(f"there is no licence filter {filter!r}: choose from {', '.join(FILTERS)}")


def attribution(title: str | None, author: str | None, licence: str | None, page: str | None) -> str:
    """The sentence to print beside a photo: title, author, source and licence, as far as they are known.

    The order is https://wiki.creativecommons.org/wiki/Recommended_practices_for_attribution.
    """
    what = f"“{one_line(title)}”" if one_line(title) else "Photo"
    whose = f" by {one_line(author)}" if one_line(author) else ""
    how = f", {one_line(licence)}" if one_line(licence) else ""
    return f"{what}{whose}{how}{f', {page}' if page else ''}"


def one_line(text: object, most: int = 300) -> str | None:
    """Words from the web without line breaks, control characters and lone surrogates; None where there are none."""
    if not isinstance(text, str):
        return None
    words = " ".join(text.split())
    words = "".join(c for c in words if not is_command(c))
    return (words if len(words) <= most else f"{words[: most - 1]}…") or None


def _read(text: str, version: str | None = None) -> Licence | None:
    """The licence that `text`, in lower case, means; None where it means none that we know."""
    if url := _URL.search(text):
        code, edition, country = url.groups()
        return _URL_CODES.get(code) or _creative_commons(code.split("-"), edition or version, country)
    if "://" in text:
        return GFDL if "gnu.org" in text and "fdl" in text else FAL if "artlibre.org" in text else None
    words = re.findall(r"[^\W\d_]+\+?|\d+(?:\.\d+)?", text)
    is_cc = words[:1] == ["cc"]
    words = words[is_cc:]
    if found := _NAMES.get(" ".join(words)):
        return found if is_cc or found is not CC0 else None
    parts = list(takewhile(_PARTS.__contains__, words))
    # "4.0-3.0-2.5" is whichever is liked, "2.0 de" the German port. Any other word may take away what the name gives.
    editions = [word for word in words[len(parts) :] if word[0].isdigit()]
    others = [word for word in words[len(parts) :] if not word[0].isdigit() and word not in _HARMLESS]
    country = others.pop() if editions and len(others) == 1 and _COUNTRY.fullmatch(others[0]) else None
    if others or country in _PARTS or not (is_cc or "by" in parts):
        return None
    return _creative_commons(parts, editions[0] if editions else version, country)


def _creative_commons(parts: list[str], version: str | None, country: str | None) -> Licence | None:
    if not parts or not set(parts) <= _PARTS:
        return None
    code = "-".join(parts)
    name = " ".join(filter(None, ("CC", code.upper(), version, country and country.upper())))
    url = f"https://creativecommons.org/licenses/{code}/{version}/{f'{country}/' if country else ''}"
    return Licence(name, url if version else None)


# https://www.flickr.com/services/api/flickr.photos.licenses.getInfo.html shows 0 to 10; 11 to 16 came with
# https://blog.flickr.net/en/2025/06/18/creative-commons-4-0-has-arrived-on-flickr/
FLICKR = {
    "0": RESERVED,
    **{
        str(number): licence(f"cc-{code}", version=version)
        for first, version, codes in (
            (1, "2.0", ("by-nc-sa", "by-nc", "by-nc-nd", "by", "by-sa", "by-nd")),
            (11, "4.0", ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd")),
        )
        for number, code in enumerate(codes, first)
    },
    "7": UNKNOWN_OWNER,
    "8": US_GOVERNMENT,
    "9": CC0,
    "10": MARK,
}
"""The numbers that Flickr gives to licences."""
