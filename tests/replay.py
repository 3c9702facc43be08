"""The services that photos come from, as their documentation says that they answer, served by `web.Web`.

Each `serve_…(web, photos)` makes `web` answer like one service that knows these photos (their URLs), with its pages,
its cursors and its filter for licences. `licence` is a name as in `licences.py`, or several to go round; `bend`
changes each answer before it is sent; with `endless` the first page comes again for ever, under new cursors.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from web import Answer, Web, body

from beautynet.sources.licences import FLICKR

AUTHOR = "Zoë Đặng 花子"
TITLE = "Dahlia × “pinnata”"
Bend = Callable[[Any], Any]


def same(answer: Any) -> Any:
    return answer


def asked(web: Web, path: str) -> list[dict[str, str]]:
    """The parameters of each request for this path."""
    return [dict(parse_qsl(urlsplit(each).query)) for each in web.log if urlsplit(each).path == path]


def serve_commons(
    web: Web, photos: list[str], licence: str | Sequence[str] = "CC BY-SA 4.0", bend: Bend = same, endless: bool = False
) -> None:
    def page(number: int, url: str, name: str) -> dict[str, Any]:
        return {
            "pageid": number,
            "ns": 6,
            "title": f"File:{TITLE} {number}.jpg",
            "index": number + 1,
            "imagerepository": "local",
            "imageinfo": [
                {
                    "size": 4_000_000,
                    "width": 3000,
                    "height": 2000,
                    "thumburl": url,
                    "thumbwidth": 960,
                    "thumbheight": 640,
                    "url": f"{url}?original",
                    "descriptionurl": f"https://commons.wikimedia.org/wiki/File:Dahlia_{number}.jpg",
                    "mime": "image/jpeg",
                    "extmetadata": {
                        "LicenseShortName": {"value": name.replace(" 1.0", ""), "source": "commons-desc-page"},
                        "LicenseUrl": {"value": licence_url(name), "source": "commons-desc-page"},
                        "Artist": {"value": f'<a href="//x.org" title="User:Zoë">{AUTHOR}</a>', "source": "x"},
                    },
                }
            ],
        }

    def answer(request: dict[str, str]) -> dict[str, Any]:
        start, step = int(request["gsroffset"]), int(request["gsrlimit"])
        shown = list(enumerate(zip(photos, _round(licence, photos), strict=True)))
        shown = shown[:step] if endless else shown[start : start + step]
        found: dict[str, Any] = {"batchcomplete": True}
        if shown:  # by page number, which says nothing: the order of the search is in `index`
            found["query"] = {"pages": [page(number, *each) for number, each in reversed(shown)]}
        if endless or start + step < len(photos):
            found["continue"] = {"gsroffset": start + step, "continue": "gsroffset||"}
        return found

    web.routes["/w/api.php"] = _json(answer, bend)


def serve_inaturalist(
    web: Web, photos: list[str], licence: str | Sequence[str] = "CC BY 4.0", bend: Bend = same, endless: bool = False
) -> None:
    def observation(number: int, url: str, name: str) -> dict[str, Any]:
        photo = {
            "id": 7000 + number,
            "license_code": code(name),
            "original_dimensions": {"width": 2048, "height": 1536},
            "url": url,
            "attribution": f"(c) {AUTHOR}, some rights reserved ({name.rpartition(' ')[0]})",
            "flags": [],
        }
        return {
            "id": 100 + number,
            "quality_grade": "research",
            "uri": f"https://www.inaturalist.org/observations/{100 + number}",
            "license_code": None,
            "taxon": {"id": 62741, "name": "Dahlia pinnata", "preferred_common_name": "garden dahlia"},
            "user": {"id": 1, "login": "zoe", "name": AUTHOR},
            "photos": [photo, {**photo, "id": 9000 + number, "url": f"{url}?second"}],
        }

    def answer(request: dict[str, str]) -> dict[str, Any]:
        step, above = int(request["per_page"]), int(request.get("id_above", 0))
        wanted = request.get("photo_license", "").split(",")
        everything = [
            (100 + number, observation(number, *each))
            for number, each in enumerate(zip(photos, _round(licence, photos), strict=True))
            if wanted == [""] or code(each[1]) in wanted
        ]
        if endless:
            first = [each for _, each in everything[:step]]
            return _page([*first[:-1], {**first[-1], "id": above + 1000}], total=10**6)
        left = [each for number, each in everything if number > above]
        return _page(left[:step], total=len(left))

    def _page(results: list[Any], total: int) -> dict[str, Any]:
        return {"total_results": total, "page": 1, "per_page": len(results), "results": results}

    def taxa(request: dict[str, str]) -> dict[str, Any]:
        found = [
            {"id": 5, "rank": "species", "name": "Dahliaea rosea", "matched_term": "Dahliaea", "observations_count": 9},
            {"id": 6, "rank": "genus", "name": "Dahlia", "preferred_common_name": "dahlias", "observations_count": 700},
            {"id": 7, "rank": "species", "name": "Urticina", "matched_term": "Dahlia", "observations_count": 80},
        ]
        return _page(found if request["q"].lower().startswith("dahl") else [], total=3)

    web.routes["/v1/observations"] = _json(answer, bend)
    web.routes["/v1/taxa"] = _json(taxa, same)


def serve_openverse(
    web: Web, photos: list[str], licence: str | Sequence[str] = "CC BY 2.0", bend: Bend = same, endless: bool = False
) -> None:
    def work(number: int, url: str, name: str) -> dict[str, Any]:
        return {
            "id": f"00000000-0000-4000-8000-{number:012}",
            "title": TITLE,
            "foreign_landing_url": f"https://www.flickr.com/photos/zoe/{number}",
            "url": url,
            "creator": AUTHOR,
            "creator_url": "https://www.flickr.com/photos/zoe",
            "license": code(name).removeprefix("cc-"),
            "license_version": name.rpartition(" ")[2],
            "license_url": licence_url(name),
            "provider": "flickr",
            "source": "flickr",
            "category": None,
            "attribution": f'"{TITLE}" by {AUTHOR} is licensed under {name}. To view a copy of this license, visit …',
            "mature": False,
            "height": 683,
            "width": 1024,
            "thumbnail": f"{web.url}/thumb",
            "tags": [],
        }

    def answer(request: dict[str, str]) -> dict[str, Any]:
        page, step = int(request["page"]), int(request["page_size"])
        wanted = request.get("license", "").split(",")
        works = [
            work(number, *each)
            for number, each in enumerate(zip(photos, _round(licence, photos), strict=True))
            if wanted == [""] or code(each[1]).removeprefix("cc-") in wanted
        ]
        count = 10**6 if endless else min(len(works), 240)
        shown = works[:step] if endless else works[(page - 1) * step : page * step]
        return {
            "result_count": count,
            "page_count": -(-count // step),
            "page_size": step,
            "page": page,
            "results": shown,
        }

    web.routes["/v1/images/"] = _json(answer, bend)


def serve_flickr(
    web: Web, photos: list[str], licence: str | Sequence[str] = "CC BY 2.0", bend: Bend = same, endless: bool = False
) -> None:
    """A key of any kind will do."""
    numbers = {each.name: number for number, each in FLICKR.items()}

    def photo(number: int, url: str, name: str) -> dict[str, Any]:
        return {
            "id": str(number),
            "owner": "12345678@N00",
            "secret": "0123456789",
            "server": "65535",
            "farm": 66,
            "title": TITLE,
            "ispublic": 1,
            "license": numbers[name],
            "ownername": AUTHOR,
            **{"url_m": f"{url}?m", "height_m": 333, "width_m": 500},
            **{"url_l": url, "height_l": 683, "width_l": "1024"},
            **{"url_o": f"{url}?o", "height_o": 2000, "width_o": 3000},
        }

    def answer(request: dict[str, str]) -> dict[str, Any]:
        page, step = int(request["page"]), int(request["per_page"])
        wanted = request.get("license", "").split(",")
        everything = [
            photo(number, *each)
            for number, each in enumerate(zip(photos, _round(licence, photos), strict=True))
            if wanted == [""] or numbers[each[1]] in wanted
        ]
        pages = 10**6 if endless else -(-len(everything) // step)
        shown = everything[:step] if endless else everything[(page - 1) * step : page * step]
        total = len(everything)
        found = {"page": page, "pages": pages, "perpage": step, "total": total, "photo": shown}
        return {"photos": found, "stat": "ok"}

    web.routes["/services/rest/"] = _json(answer, bend)


def serve_flowers102(web: Web, pictures: Sequence[bytes], others: Sequence[tarfile.TarInfo] = ()) -> str:
    """The set with these pictures, and members that do not belong in it; its md5."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(directory := tarfile.TarInfo("jpg"))
        directory.type = tarfile.DIRTYPE
        for other in others:
            tar.addfile(other, io.BytesIO(b"x" * other.size))
        for number, picture in enumerate(pictures, 1):
            member = tarfile.TarInfo(f"jpg/image_{number:05}.jpg")
            member.size = len(picture)
            tar.addfile(member, io.BytesIO(picture))
    web.routes["/102flowers.tgz"] = body(buffer.getvalue(), "application/x-gzip")
    return hashlib.md5(buffer.getvalue()).hexdigest()


def code(name: str) -> str:
    """`CC BY-SA 4.0` -> `cc-by-sa`."""
    return {"CC0 1.0": "cc0", "Public Domain Mark 1.0": "pdm"}.get(name) or "-".join(name.lower().split()[:2])


def licence_url(name: str) -> str:
    known = {"CC0 1.0": "publicdomain/zero/1.0", "Public Domain Mark 1.0": "publicdomain/mark/1.0"}
    path = known.get(name) or f"licenses/{code(name).removeprefix('cc-')}/{name.rpartition(' ')[2]}"
    return f"https://creativecommons.org/{path}/"


def _round(licence: str | Sequence[str], photos: list[str]) -> list[str]:
    names = [licence] if isinstance(licence, str) else list(licence)
    return [names[number % len(names)] for number in range(len(photos))]


def _json(answer: Callable[[dict[str, str]], Any], bend: Bend) -> Answer:
    def respond(request: BaseHTTPRequestHandler) -> None:
        found = bend(answer(dict(parse_qsl(urlsplit(request.path).query))))
        data = found if isinstance(found, bytes) else json.dumps(found).encode()
        body(data, "application/json")(request)

    return respond
