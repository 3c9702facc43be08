"""The sources that state licences, and the flowers of Oxford, against `replay`'s services on this machine."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import replay
from web import Web, body, first, slowly, status

from beautynet.errors import BeautyError
from beautynet.sources import SOURCES, Candidate, Search, licences
from beautynet.sources.commons import commons
from beautynet.sources.fetch import Fetcher, Limits
from beautynet.sources.flickr import flickr
from beautynet.sources.flowers102 import flowers102
from beautynet.sources.inaturalist import inaturalist
from beautynet.sources.openverse import openverse

QUICK = Limits(
    attempts=2, backoff_seconds=0.01, read_seconds=2, total_seconds=5, max_bytes=3_000_000, private_addresses=True
)


@dataclass(frozen=True)
class Service:
    """A source, its service's stand-in, how many photos come with a request, and where its answers hold them."""

    find: Callable[..., Iterator[Candidate]]
    serve: Callable[..., None]
    path: str
    page: int
    entries: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.find.__name__

    def among(self, answer: Any) -> list[Any]:
        for key in self.entries:
            answer = answer[key]
        return answer


SERVICES = [
    Service(commons, replay.serve_commons, "/w/api.php", 50, ("query", "pages")),
    Service(flickr, replay.serve_flickr, "/services/rest/", 500, ("photos", "photo")),
    Service(inaturalist, replay.serve_inaturalist, "/v1/observations", 100, ("results",)),
    Service(openverse, replay.serve_openverse, "/v1/images/", 20, ("results",)),
]
every = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as web:
        yield web


@pytest.fixture
def search() -> Iterator[Search]:
    with Fetcher(QUICK, manners={}) as fetcher:
        yield Search("flowers", fetcher)


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLICKR_API_KEY", "a-key")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def addresses(count: int) -> list[str]:
    return [f"http://photos.example/{number}.jpg" for number in range(count)]


def urls(service: Service, search: Search, web: Web) -> list[str]:
    return [candidate.url for candidate in service.find(search, base_url=web.url)]


def trouble(service: Service, search: Search, web: Web) -> str:
    with pytest.raises(BeautyError) as raised:
        list(service.find(search, base_url=web.url))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_the_list_of_sources() -> None:
    licensed = {name for name, source in SOURCES.items() if source.licensed}
    assert licensed == {service.name for service in SERVICES}
    assert SOURCES["flowers102"].find is flowers102


@every
def test_every_photo_once_over_several_pages(service: Service, search: Search, web: Web) -> None:
    photos = addresses(2 * service.page + 3)
    service.serve(web, photos)
    assert urls(service, search, web) == photos
    assert len(replay.asked(web, service.path)) == 3


@every
def test_what_is_known_of_a_photo(service: Service, search: Search, web: Web) -> None:
    service.serve(
        web, addresses(3), licence=["CC BY-SA 2.0" if service.name == "flickr" else "CC BY-SA 4.0", "CC0 1.0"]
    )
    found = list(service.find(search, base_url=web.url))
    assert [candidate.licence for candidate in found[1:]] == ["CC0 1.0", found[0].licence]
    for candidate in found:
        assert candidate.source == service.name
        assert candidate.query == "flowers"
        assert candidate.licence in ("CC BY-SA 2.0", "CC BY-SA 4.0", "CC0 1.0")
        assert candidate.licence_url == replay.licence_url(candidate.licence)
        assert candidate.author == replay.AUTHOR
        assert candidate.page
        assert candidate.page.startswith("https://")
        assert candidate.attribution
        assert replay.AUTHOR in candidate.attribution
        assert licences.allows(candidate.licence, "free")


@every
def test_no_more_pages_than_are_needed(service: Service, search: Search, web: Web) -> None:
    service.serve(web, addresses(3 * service.page))
    found = service.find(search, base_url=web.url)
    assert not web.log
    assert len(list(islice(found, service.page))) == service.page
    assert len(web.log) == 1
    next(found)
    assert len(web.log) == 2


@every
def test_the_filter_is_asked_for(service: Service, search: Search, web: Web) -> None:
    names = ["CC BY 2.0", "CC BY-ND 2.0", "CC BY-NC 2.0", "CC0 1.0"]
    photos = addresses(8)
    service.serve(web, photos, licence=names)
    for wanted, count in (("any", 4), ("commercial", 3), ("free", 2), ("public-domain", 1)):
        found = list(service.find(replace(search, licence=wanted), base_url=web.url))
        if service.name != "commons":  # where nothing else is, but for the public domain
            assert len(found) == 2 * count
        assert sum(licences.allows(candidate.licence, wanted) for candidate in found) == 2 * count


def test_the_filter_as_each_writes_it(search: Search, web: Web) -> None:
    for service in SERVICES:
        service.serve(web, addresses(1))
        for wanted in licences.FILTERS:
            list(service.find(replace(search, licence=wanted), base_url=web.url))
    words = [request["gsrsearch"] for request in replay.asked(web, "/w/api.php")]
    assert words == ["filetype:bitmap flowers"] * 3 + ["filetype:bitmap haslicense:unrestricted flowers"]
    assert [request.get("license") for request in replay.asked(web, "/services/rest/")] == [
        None,
        "4,5,11,12,7,8,9,10",
        "4,5,6,11,12,13,7,8,9,10",
        "9,10",
    ]
    assert [request.get("photo_license") for request in replay.asked(web, "/v1/observations")] == [
        None,
        "cc0,cc-by,cc-by-sa",
        "cc0,cc-by,cc-by-sa,cc-by-nd",
        "cc0",
    ]
    assert [request.get("license") for request in replay.asked(web, "/v1/images/")] == [
        None,
        "by,by-sa,cc0,pdm",
        "by,by-sa,by-nd,cc0,pdm",
        "cc0,pdm",
    ]


def test_what_else_is_asked_for(search: Search, web: Web) -> None:
    for service in SERVICES:
        service.serve(web, addresses(1))
        query = "flowers" if service.name == "inaturalist" else "red & white süß"
        list(service.find(replace(search, query=query), base_url=web.url))
    [commons] = replay.asked(web, "/w/api.php")
    assert commons["gsrsearch"] == "filetype:bitmap red & white süß"
    assert (commons["gsrnamespace"], commons["iiurlwidth"], commons["formatversion"]) == ("6", "960", "2")
    [flickr] = replay.asked(web, "/services/rest/")
    assert flickr["text"] == "red & white süß"
    assert flickr["api_key"] == "a-key"
    assert (flickr["safe_search"], flickr["content_types"], flickr["media"]) == ("1", "0", "photos")
    assert {"license", "owner_name", "url_l", "url_o"} <= set(flickr["extras"].split(","))
    [inaturalist] = replay.asked(web, "/v1/observations")
    assert (inaturalist["taxon_id"], inaturalist["quality_grade"]) == ("47125", "research")
    assert (inaturalist["order_by"], inaturalist["order"]) == ("id", "asc")
    [openverse] = replay.asked(web, "/v1/images/")
    assert openverse == {"q": "red & white süß", "page_size": "20", "page": "1", "mature": "false"}


@every
def test_asked_to_wait(service: Service, search: Search, web: Web) -> None:
    service.serve(web, addresses(3))
    web.routes[service.path] = first(status(429, Retry_After="1"), web.routes[service.path])
    start = time.monotonic()
    assert len(urls(service, search, web)) == 3
    assert time.monotonic() - start > 0.9


@every
def test_broken_for_ever(service: Service, search: Search, web: Web) -> None:
    web.routes[service.path] = status(500)
    assert trouble(service, search, web) == "HTTP 500"
    assert len(web.log) == QUICK.attempts


@every
def test_broken_later(service: Service, search: Search, web: Web) -> None:
    service.serve(web, addresses(3 * service.page))
    web.routes[service.path] = first(web.routes[service.path], status(500))
    found = service.find(search, base_url=web.url)
    assert len(list(islice(found, service.page))) == service.page
    with pytest.raises(BeautyError, match="HTTP 500"):
        next(found)


@every
def test_the_same_page_for_ever(service: Service, search: Search, web: Web) -> None:
    photos = addresses(2 * service.page)
    service.serve(web, photos, endless=True)
    assert urls(service, search, web) == photos[: service.page]
    assert len(replay.asked(web, service.path)) <= 3


@every
def test_the_same_cursor_for_ever(service: Service, search: Search, web: Web) -> None:
    answers: list[Any] = []

    def always_the_first(answer: Any) -> Any:
        answers.append(answer)
        return answers[0]

    photos = addresses(2 * service.page)
    service.serve(web, photos, bend=always_the_first)
    assert urls(service, search, web) == photos[: service.page]
    assert len(replay.asked(web, service.path)) <= 3


@every
def test_nothing_found(service: Service, search: Search, web: Web) -> None:
    service.serve(web, [])
    assert urls(service, search, web) == []


def renamed(answer: Any) -> Any:
    """Every key is another."""
    if isinstance(answer, dict):
        return {f"new_{key}": renamed(value) for key, value in answer.items()}
    return [renamed(each) for each in answer] if isinstance(answer, list) else answer


@every
@pytest.mark.parametrize(
    ("instead", "says"),
    [
        (lambda _: {}, "another form"),
        (lambda _: [], "another form"),
        (lambda _: None, "another form"),
        (lambda _: 5, "another form"),
        (lambda _: "sorry", "another form"),
        (renamed, "another form"),
        (lambda _: b"<!doctype html><title>Down</title>", "an HTML page instead of JSON"),
        (lambda _: b"", "something else instead of JSON"),
        (lambda _: b'{"a": ', "something else instead of JSON"),
        (lambda _: b"\xff\xfe\x00", "something else instead of JSON"),
        (lambda _: b"[" * 100_000, "something else instead of JSON"),
        (lambda answer: {**answer, "padding": "x" * 3_000_000}, "over 3 MB"),
    ],
    ids=["{}", "[]", "null", "5", "text", "renamed", "html", "empty", "half", "bytes", "nested", "huge"],
)
def test_answers_of_another_form(instead: replay.Bend, says: str, service: Service, search: Search, web: Web) -> None:
    service.serve(web, addresses(3), bend=instead)
    assert says in trouble(service, search, web)


@every
@pytest.mark.parametrize("broken", [{}, None, [], 5, "text", {"index": 9, "id": None, "url": "javascript:alert(1)"}])
def test_broken_entries_among_good_ones(broken: Any, service: Service, search: Search, web: Web) -> None:
    def break_one(answer: Any) -> Any:
        service.among(answer)[1] = broken
        return answer

    service.serve(web, addresses(4), bend=break_one)
    assert len(urls(service, search, web)) == 3


@every
def test_nothing_but_broken_entries(service: Service, search: Search, web: Web) -> None:
    def break_all(answer: Any) -> Any:
        service.among(answer)[:] = [5, 6, 7]
        return answer

    service.serve(web, addresses(3), bend=break_all)
    assert "no entry can be read" in trouble(service, search, web)


@every
def test_each_field_missing_null_or_absurd(service: Service, search: Search, web: Web) -> None:
    """Whatever becomes of a single field, nothing escapes but candidates that can be stored, or one line."""

    def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        if path:
            yield path
        for key, inner in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            yield from places(inner, (*path, key))

    template: list[Any] = []
    service.serve(web, addresses(1), bend=lambda answer: template.append(answer) or answer)
    urls(service, search, web)
    text = json.dumps(template[0])
    bent: list[Any] = []
    said: set[str] = set()
    service.serve(web, addresses(1), bend=lambda _: bent[-1])
    for path in places(template[0]):
        for absurd in (None, "", -1, [], {}, "\ud800", "a\nb", True, 1e400, "x" * 10_000):
            bent.append(json.loads(text))
            inner = bent[-1]
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = absurd
            try:
                found = list(service.find(search, base_url=web.url))
            except BeautyError as error:
                found = []
                said.add(str(error))
            for candidate in found:
                assert candidate.url.startswith("http://")
                for value in vars(candidate).values():
                    assert value is None or (isinstance(value, str) and "\n" not in value and value.encode())
    assert said
    assert not [each for each in said if "\n" in each or not each.encode()]


def test_api_errors_of_commons(search: Search, web: Web) -> None:
    said = {"error": {"code": "maxlag", "info": "Waiting for 10.0.0.1: 7 seconds lagged."}, "servedby": "mw1"}
    replay.serve_commons(web, [], bend=lambda _: said)
    assert trouble(SERVICES[0], search, web) == "Commons says: Waiting for 10.0.0.1: 7 seconds lagged. (maxlag)"


def test_commons_goes_on_where_metadata_come_late(search: Search, web: Web) -> None:
    """Long answers come in pieces: the same files again, with what was missing."""
    photos = addresses(4)

    def pieces(answer: Any) -> Any:
        pages = answer["query"]["pages"]
        if len(web.log) == 1:
            for page in pages[:2]:
                del page["imageinfo"]
            return {"continue": {"iistart": "x", "continue": "||"}, "query": {"pages": pages}}
        return answer

    replay.serve_commons(web, photos, bend=pieces)
    assert sorted(urls(SERVICES[0], search, web)) == photos
    assert replay.asked(web, "/w/api.php")[1]["iistart"] == "x"


@pytest.mark.parametrize(
    ("changes", "which"),
    [
        ({}, ""),
        ({"width": 900, "thumbwidth": 900}, "?original"),
        ({"width": 9000, "height": 600, "thumbheight": 64}, "?original"),
        ({"mime": "image/tiff"}, ""),
        ({"mime": "image/svg+xml"}, None),
        ({"mime": "image/gif"}, None),
        ({"mime": "application/pdf"}, None),
    ],
)
def test_the_size_from_commons(changes: dict[str, Any], which: str | None, search: Search, web: Web) -> None:
    def change(answer: Any) -> Any:
        answer["query"]["pages"][0]["imageinfo"][0].update(changes)
        return answer

    [photo] = addresses(1)
    replay.serve_commons(web, [photo], bend=change)
    assert urls(SERVICES[0], search, web) == ([] if which is None else [photo + which])


@pytest.mark.parametrize(
    ("min_size", "width"), [(64, "250"), (128, "500"), (256, "960"), (512, "1920"), (4000, "3840")]
)
def test_the_width_asked_of_commons(min_size: int, width: str, search: Search, web: Web) -> None:
    replay.serve_commons(web, [])
    list(commons(replace(search, min_size=min_size), base_url=web.url))
    assert [request["iiurlwidth"] for request in replay.asked(web, "/w/api.php")] == [width]


@pytest.mark.parametrize(
    ("artist", "author"),
    [
        ('<bdi><a href="https://x">Böhringer &amp; Söhne</a></bdi>', "Böhringer & Söhne"),
        ('<span class="fn">Unknown author</span><span style="display: none;">Unknown author</span>', "Unknown author"),
        ("Jane\n<br>Doe<script>alert(1)</script>", "Jane Doe"),
        ("Tom &lt;tom@x&gt;", "Tom <tom@x>"),
        ("<b>Jane</b> <i>(talk</i>)", "Jane (talk)"),
        ("<i></i>", None),
        (7, None),
    ],
)
def test_html_of_commons(artist: Any, author: str | None, search: Search, web: Web) -> None:
    def change(answer: Any) -> Any:
        answer["query"]["pages"][0]["imageinfo"][0]["extmetadata"]["Artist"]["value"] = artist
        return answer

    replay.serve_commons(web, addresses(1), bend=change)
    [candidate] = commons(search, base_url=web.url)
    assert candidate.author == author
    assert candidate.attribution == (
        f"“{replay.TITLE} 0”{f' by {author}' if author else ''}, CC BY-SA 4.0, https://commons.wikimedia.org/wiki/File:Dahlia_0.jpg"
    )


def test_an_attribution_of_ones_own(search: Search, web: Web) -> None:
    def change(answer: Any) -> Any:
        meta = answer["query"]["pages"][0]["imageinfo"][0]["extmetadata"]
        meta["Attribution"] = {"value": "Photo: <b>Z. Đặng</b>, Hanoi"}
        return answer

    replay.serve_commons(web, addresses(1), bend=change)
    [candidate] = commons(search, base_url=web.url)
    assert candidate.attribution
    assert "by Photo: Z. Đặng, Hanoi, CC BY-SA 4.0" in candidate.attribution


@pytest.mark.parametrize(
    ("query", "taxon"),
    [("Flower", "47125"), (" flowers ", "47125"), ("dahlias", "6"), ("Dahlia", "6"), ("DAHLIA", "6")],
)
def test_names_that_inaturalist_knows(query: str, taxon: str, search: Search, web: Web) -> None:
    replay.serve_inaturalist(web, addresses(2))
    found = list(inaturalist(replace(search, query=query), base_url=web.url))
    assert len(found) == 2
    assert {candidate.query for candidate in found} == {query}
    assert replay.asked(web, "/v1/observations")[0]["taxon_id"] == taxon


@pytest.mark.parametrize("query", ["sunset", "dahlia pictures", "dahl", "palaces"])
def test_names_that_inaturalist_does_not_know(query: str, search: Search, web: Web) -> None:
    replay.serve_inaturalist(web, addresses(2))
    said = trouble(SERVICES[2], replace(search, query=query), web)
    assert said.startswith(f"iNaturalist knows no plant, animal or fungus called {query!r}")
    assert not replay.asked(web, "/v1/observations")


@pytest.mark.parametrize("instead", [{}, [], {"results": 5}, {"results": None}])
def test_taxa_of_another_form(instead: Any, search: Search, web: Web) -> None:
    replay.serve_inaturalist(web, addresses(1))
    web.routes["/v1/taxa"] = body(json.dumps(instead).encode())
    assert "another form" in trouble(SERVICES[2], replace(search, query="dahlia"), web)


def test_the_photo_of_an_observation(search: Search, web: Web) -> None:
    """The first one under a wanted licence, whatever the observation's own; in the size that is wanted."""

    def change(answer: Any) -> Any:
        one, two = answer["results"][0]["photos"]
        one.update(license_code=None, url="https://static.example/photos/1/square.jpg?1")
        two.update(license_code="cc-by-nd", url="https://open.example/photos/2/square.jpeg")
        return answer

    replay.serve_inaturalist(web, addresses(1), bend=change)
    [anyhow] = inaturalist(search, base_url=web.url)
    assert anyhow.url == "https://static.example/photos/1/large.jpg?1"
    assert anyhow.licence == "All Rights Reserved"
    assert list(inaturalist(replace(search, licence="free"), base_url=web.url)) == []
    [wanted] = inaturalist(replace(search, licence="commercial"), base_url=web.url)
    assert (wanted.url, wanted.licence) == ("https://open.example/photos/2/large.jpeg", "CC BY-ND 4.0")
    for min_size, size in ((64, "medium"), (187, "medium"), (188, "large"), (256, "large"), (512, "original")):
        [candidate] = inaturalist(replace(search, min_size=min_size), base_url=web.url)
        assert f"/{size}." in candidate.url


@pytest.mark.parametrize("code", [400, 401, 404])
def test_beyond_the_last_page_of_openverse(code: int, search: Search, web: Web) -> None:
    replay.serve_openverse(web, addresses(60))
    web.routes["/v1/images/"] = first(web.routes["/v1/images/"], status(code))
    assert len(urls(SERVICES[3], search, web)) == 20
    assert trouble(SERVICES[3], search, web) == f"HTTP {code}"


def test_the_bounds_of_openverse_and_flickr(search: Search, web: Web) -> None:
    replay.serve_openverse(web, addresses(300), bend=lambda answer: {**answer, "page_count": 500})
    assert len(urls(SERVICES[3], search, web)) == 240
    replay.serve_flickr(web, addresses(4500))
    assert len(urls(SERVICES[1], search, web)) == 4000
    assert len(web.log) == 12 + 8


def test_flickr_wants_a_key(search: Search, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLICKR_API_KEY", " ")
    assert "https://www.flickr.com/services/apps/create" in trouble(SERVICES[1], search, web)
    assert not web.log


def test_flickr_says_no(search: Search, web: Web) -> None:
    said = {"stat": "fail", "code": 100, "message": "Invalid API Key (Key has invalid format)"}
    replay.serve_flickr(web, [], bend=lambda _: said)
    words = trouble(SERVICES[1], search, web)
    assert "a-key" not in words
    assert words == "Flickr says: Invalid API Key (Key has invalid format) (is FLICKR_API_KEY right?)"
    said.update(code=105, message="Service currently unavailable")
    assert trouble(SERVICES[1], search, web) == "Flickr says: Service currently unavailable"


@pytest.mark.parametrize(("min_size", "which"), [(160, "?m"), (256, ""), (1000, "?o"), (5000, "?o")])
def test_the_size_from_flickr(min_size: int, which: str, search: Search, web: Web) -> None:
    [photo] = addresses(1)
    replay.serve_flickr(web, [photo])
    [candidate] = flickr(replace(search, min_size=min_size), base_url=web.url)
    assert candidate.url == photo + which
    assert candidate.page == "https://www.flickr.com/photos/12345678@N00/0/"


def pictures(count: int) -> list[bytes]:
    return [b"\xff\xd8" + bytes([number]) * 2000 for number in range(count)]


def test_flowers_once_downloaded(search: Search, web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    md5 = replay.serve_flowers102(web, pictures(30))
    oxford = partial(flowers102, base_url=web.url, md5=md5)
    found = list(oxford(search))
    assert re.search(r"flowers102: 0 of 0 MB, [\d.]+ MB/s, 0 s left", capsys.readouterr().err)
    assert {candidate.path.read_bytes() for candidate in found if candidate.path} == set(pictures(30))
    assert {candidate.url for candidate in found} == {
        f"https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz#jpg/image_{n:05}.jpg" for n in range(1, 31)
    }
    assert [candidate.url for candidate in found] != sorted(candidate.url for candidate in found)
    assert list(oxford(replace(search, query="cars"))) == [replace(each, query="cars") for each in found]
    assert len(web.log) == 1
    assert [path.name for path in (tmp_path / "cache" / "beautynet").iterdir()] == ["flowers102"]
    for candidate in found:
        assert candidate.licence is None
        assert candidate.attribution
        assert candidate.attribution.startswith("Nilsback and Zisserman")


def test_flowers_and_what_does_not_belong(search: Search, web: Web, tmp_path: Path) -> None:
    others = []
    for name, kind in [
        ("../../evil.jpg", tarfile.REGTYPE),
        ("jpg/../../evil.jpg", tarfile.REGTYPE),
        ("/tmp/image_00001.jpg", tarfile.REGTYPE),
        ("jpg/image_00077.jpg", tarfile.SYMTYPE),
        ("jpg/image_00078.jpg", tarfile.LNKTYPE),
        ("jpg/image_00079.jpg", tarfile.FIFOTYPE),
        ("jpg/image_00080.jpg\n", tarfile.REGTYPE),
        ("jpg/readme.txt", tarfile.REGTYPE),
    ]:
        other = tarfile.TarInfo(name)
        other.type = kind
        other.linkname = "/etc/passwd"
        others.append(other)
    huge = tarfile.TarInfo("jpg/image_00081.jpg")
    huge.size = QUICK.max_bytes + 1
    md5 = replay.serve_flowers102(web, pictures(2), [*others, huge])
    found = list(flowers102(search, base_url=web.url, md5=md5))
    assert sorted(candidate.path.name for candidate in found if candidate.path) == [
        "image_00001.jpg",
        "image_00002.jpg",
    ]
    assert not [path for path in tmp_path.rglob("*") if "evil" in path.name or path.is_symlink()]


def test_flowers_that_are_not_the_set(search: Search, web: Web, tmp_path: Path) -> None:
    replay.serve_flowers102(web, pictures(2))
    with pytest.raises(BeautyError, match=r"is not the set that is known \(md5 [0-9a-f]{32}\)"):
        next(flowers102(search, base_url=web.url))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_flowers_cut_short(search: Search, web: Web, tmp_path: Path) -> None:
    md5 = replay.serve_flowers102(web, pictures(40))
    whole = web.routes["/102flowers.tgz"]
    web.routes["/102flowers.tgz"] = first(body(b"half", promised=9000), status(503), body(b"half", promised=9))
    with pytest.raises(BeautyError, match="HTTP 503"):
        next(flowers102(search, base_url=web.url, md5=md5))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    web.routes["/102flowers.tgz"] = whole
    assert len(list(flowers102(search, base_url=web.url, md5=md5))) == 40


def test_flowers_that_another_run_has_got_meanwhile(search: Search, web: Web, tmp_path: Path) -> None:
    md5 = replay.serve_flowers102(web, pictures(3))
    whole, theirs = web.routes["/102flowers.tgz"], tmp_path / "cache" / "beautynet" / "flowers102"

    def meanwhile(request: Any) -> None:
        theirs.mkdir(parents=True)
        (theirs / "image_00001.jpg").write_bytes(b"theirs")
        whole(request)

    web.routes["/102flowers.tgz"] = meanwhile
    found = list(flowers102(search, base_url=web.url, md5=md5))
    assert [candidate.path for candidate in found] == [theirs / "image_00001.jpg"]
    assert list(theirs.parent.iterdir()) == [theirs]


def test_flowers_in_an_archive_that_ends_early(search: Search, web: Web, tmp_path: Path) -> None:
    for junk in (b"\x1f\x8b\x08\x00" + b"\x00" * 6, b"no archive", b""):
        web.routes["/102flowers.tgz"] = body(junk)
        with pytest.raises(BeautyError, match=r"is broken \(.*\): remove it"):
            next(flowers102(search, base_url=web.url, md5=hashlib.md5(junk).hexdigest()))
        (tmp_path / "cache" / "beautynet" / "102flowers.tgz").unlink()


def test_flowers_nowhere_to_put(search: Search, web: Web, tmp_path: Path) -> None:
    md5 = replay.serve_flowers102(web, pictures(2))
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(BeautyError, match="is not a folder"):
        next(flowers102(search, base_url=web.url, md5=md5))


@every
def test_stopped(service: Service, web: Web) -> None:
    """What is in flight when the user has had enough ends at once."""
    web.routes[service.path] = slowly(b"x" * 100_000, pause=0.1)
    fetcher = Fetcher(QUICK, manners={})
    timer = threading.Timer(0.3, fetcher.stop)
    timer.start()
    start = time.monotonic()
    with pytest.raises(BeautyError, match="cut short"):
        next(service.find(Search("flowers", fetcher), base_url=web.url))
    assert time.monotonic() - start < 2
