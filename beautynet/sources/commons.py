"""Wikimedia Commons: 100 million files, all free to use, change and sell, each with its licence.

Asked as in https://www.mediawiki.org/wiki/API:Search and https://www.mediawiki.org/wiki/API:Imageinfo; what
`extmetadata` holds is in https://www.mediawiki.org/wiki/Extension:CommonsMetadata.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from beautynet.errors import BeautyError
from beautynet.sources import licences
from beautynet.sources.search import Candidate, Search, walk, web_address

# Any other width is refused: https://www.mediawiki.org/wiki/Common_thumbnail_sizes
WIDTHS = (250, 330, 500, 960, 1280, 1920, 3840)
PAGE = 50  # no more files a request get thumbnails
KINDS = {"image/jpeg", "image/png", "image/webp", "image/tiff"}
_META = "LicenseShortName|LicenseUrl|Artist|Attribution"


def commons(search: Search, *, base_url: str = "https://commons.wikimedia.org") -> Iterator[Candidate]:
    """What the search of Commons finds, best first, as thumbnails a little larger than wanted."""
    # Everything here is free, so only the public domain has to be asked for: `haslicense:unrestricted` finds what
    # structured data call that (https://phabricator.wikimedia.org/T257938). `maxlag` is for tasks nobody waits for.
    narrower = " haslicense:unrestricted" if search.licence == "public-domain" else ""
    # A thumbnail's width is asked for; most photos are no more oblong than 16:9.
    width = next((width for width in WIDTHS if width >= 2 * search.min_size * 16 / 9), WIDTHS[-1])
    asked = {
        "action": "query",
        "format": "json",
        "formatversion": "2",
        "generator": "search",
        "gsrnamespace": "6",
        "gsrsearch": f"filetype:bitmap{narrower} {search.query}",
        "gsrlimit": str(PAGE),
        "gsroffset": "0",
        "prop": "imageinfo",
        "iiprop": "url|size|mime|extmetadata",
        "iiurlwidth": str(width),
        "iiextmetadatafilter": _META,
    }

    def url(further: dict[str, Any]) -> str:
        return f"{base_url}/w/api.php?{urlencode({**asked, **further})}"

    def following(answer: Any) -> str | None:
        return url(answer["continue"]) if "continue" in answer else None

    return walk(search, url({}), _pages, _candidate, following)


def _pages(answer: Any) -> list[Any]:
    """The files in an answer, by their rank in the search."""
    if "error" in answer:
        error = answer["error"]
        raise BeautyError(f"Commons says: {licences.one_line(error['info'])} ({licences.one_line(error['code'])})")
    if "query" not in answer and ("batchcomplete" in answer or "continue" in answer):
        return []  # nothing found
    pages = answer["query"]["pages"]
    return sorted(pages, key=lambda page: page["index"] if isinstance(page, dict) and "index" in page else 0)


def _candidate(page: Any, search: Search) -> Candidate | None:
    if "imageinfo" not in page:  # it comes with the next answer
        return None
    info = page["imageinfo"][0]
    if info["mime"] not in KINDS:
        return None
    said = {key: _plain(field["value"]) for key, field in info["extmetadata"].items()}
    licence = licences.licence(said.get("LicenseShortName"), said.get("LicenseUrl"))
    title = re.sub(r"^File:|\.\w+$", "", page["title"])
    where = web_address(info["descriptionurl"])
    return Candidate(
        url=web_address(_which(info, search.min_size)),
        source="commons",
        query=search.query,
        page=where,
        licence=licence.name,
        licence_url=licence.url,
        author=said.get("Artist"),
        # Some say how they want to be named.
        attribution=licences.attribution(title, said.get("Attribution") or said.get("Artist"), licence.name, where),
    )


def _which(info: Any, min_size: int) -> Any:
    """The thumbnail's URL; the original's where that is hardly larger, or the thumbnail of a panorama too low."""
    if "thumburl" not in info or info["mime"] == "image/tiff":
        return info.get("thumburl") or info["url"]
    is_smaller = info["thumbwidth"] < info["width"]
    return info["thumburl"] if is_smaller and min(info["thumbwidth"], info["thumbheight"]) >= min_size else info["url"]


def _plain(value: Any) -> str | None:
    """What is to be read of a little HTML."""
    if not isinstance(value, str):
        return None
    if "<" in value:
        from bs4 import BeautifulSoup  # 0.2 s that `--help` need not wait for

        soup = BeautifulSoup(value, "lxml")
        for hidden in soup.select("style, script, [style*='display:none'], [style*='display: none']"):
            hidden.decompose()
        value = re.sub(r"\s+([,.;:)])", r"\1", soup.get_text(" "))
    return licences.one_line(html.unescape(value))
