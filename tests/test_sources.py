import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from web import Web, bing_page, body, first, status

from beautynet.errors import BeautyError
from beautynet.sources import SOURCES, Candidate, Search
from beautynet.sources.bing import bing
from beautynet.sources.fetch import Fetcher
from beautynet.sources.folder import folder
from beautynet.sources.urls import urls


def searching(web: str, query: str = "roses") -> Iterator[Candidate]:
    return bing(Search(query, Fetcher()), base_url=web)


def reading(origin: Path | None) -> Search:
    return Search("flowers", Fetcher(), origin)


def threads_of(name: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(name)]


# The result pages of Bing


def addresses(count: int) -> list[str]:
    names = ["rosa.jpg", "flor ção.png", "花.webp", "x?id=1&w=2", "no-extension", 'quote"d.jpg']
    return [f"https://example.org/{index}/{names[index % len(names)]}" for index in range(count)]


def test_bing_yields_every_result_once_in_order() -> None:
    with Web() as web:
        expected = addresses(53)
        web.serve_bing([*expected[:30], *expected[:5], *expected[30:]])
        found = list(searching(web.url, "flor ção & more"))
        assert [candidate.url for candidate in found] == expected
        assert found[0].page == "https://example.org/garden"
        assert (found[0].source, found[0].query) == ("bing", "flor ção & more")
        assert web.log[0] == "/images/async?q=flor+%C3%A7%C3%A3o+%26+more&first=0"
        assert len(web.log) <= 4  # the first empty page is the last
        (agent,) = web.agents
        assert agent.startswith("beautynet/")
    assert not threads_of("parser")


def test_bing_asks_for_no_more_pages_than_are_needed() -> None:
    with Web() as web:
        web.serve_bing(addresses(1000))
        candidates = searching(web.url)
        assert len(list(islice(candidates, 10))) == 10
        candidates.close()  # type: ignore[attr-defined]
        assert not threads_of("parser")
        assert len(web.log) <= 4


def test_bing_waits_for_slow_takers_and_loses_nothing() -> None:
    with Web() as web:
        web.serve_bing(addresses(60))
        found = []
        for candidate in searching(web.url):
            if len(found) in (5, 40):
                time.sleep(1.5)  # longer than icrawler's own queue keeps a result
            found.append(candidate.url)
        assert found == addresses(60)


def test_bing_ends_at_a_thousand_results() -> None:
    with Web() as web:
        web.serve_bing(addresses(1200))
        assert len(list(searching(web.url))) == 1000


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (status(429), "HTTP 429"),
        (body(b"<html>Please solve this CAPTCHA</html>", "text/html"), "captcha"),
        (body(b"<html><div class='new-grid'>roses</div></html>", "text/html"), "markup has changed"),
        (body(bing_page(["x"]).replace(b"murl", b"mediaurl"), "text/html"), "another form"),
        (body(bing_page(["x"]).replace(b"{", b""), "text/html"), "another form"),
        (body(b"\0\xff" * 100), "markup has changed"),
    ],
)
def test_bing_says_what_is_wrong_with_its_pages(answer: object, sentence: str) -> None:
    with Web() as web:
        web.routes["/images/async"] = answer  # type: ignore[assignment]
        with pytest.raises(BeautyError, match=sentence):
            list(searching(web.url))


def test_bing_that_breaks_off_has_given_what_it_had() -> None:
    with Web() as web:
        web.routes["/images/async"] = first(body(bing_page(addresses(20)), "text/html"), status(503))
        found = []
        with pytest.raises(BeautyError, match="HTTP 503"):
            found.extend(candidate.url for candidate in searching(web.url))
        assert found == addresses(20)
        candidates = searching(web.url)
        with pytest.raises(BeautyError, match="HTTP 503"):
            list(candidates)


def test_bing_gives_a_page_that_is_one() -> None:
    pages = (b"5", b"{}", b"null", b"&quot;javascript:alert(1)&quot;")
    with Web() as web:
        written = b"&quot;https://example.org/garden&quot;"
        answers = [bing_page([f"https://e.org/{i}.jpg"]).replace(written, page) for i, page in enumerate(pages)]
        web.routes["/images/async"] = first(*(body(answer, "text/html") for answer in [*answers, b""]))
        assert [candidate.page for candidate in searching(web.url)] == [None] * 4


def test_bing_out_of_reach_says_so() -> None:
    with Web() as web:
        gone = web.url
    with pytest.raises(BeautyError, match="cannot be reached"):
        list(searching(gone))


# Folders and lists


def test_folder_yields_files_in_order_and_follows_no_link(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    ours = ("manifest.jsonl", "ATTRIBUTION.md", "set.dry-run.html")
    for path in ("b/2.jpg", "a/1 花 #100%.JPG", "c", ".hidden/x.jpg", ".DS_Store", "d.beauty.jpg", *ours, "dir.jpg/3"):
        (inside / path).parent.mkdir(parents=True, exist_ok=True)
        (inside / path).write_bytes(b"x")
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"x")
    (inside / "out").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    found = list(folder(reading(inside)))
    assert [str(candidate.path.relative_to(inside)) for candidate in found if candidate.path] == [
        "c",
        "a/1 花 #100%.JPG",
        "b/2.jpg",
        "dir.jpg/3",
    ]
    assert found[1].url.startswith("file:///")
    assert len({candidate.url for candidate in found}) == len(found)


def test_urls_skips_comments_and_blanks(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbf# mine\r\nhttps://example.org/a.jpg\r\n\r\n  https://example.org/\xe8\x8a\xb1#x \n")
    assert [candidate.url for candidate in urls(reading(path))] == [
        "https://example.org/a.jpg",
        "https://example.org/花#x",
    ]
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(BeautyError, match="not a text file"):
        list(urls(reading(path)))


def test_sources_refuse_what_they_cannot_use(tmp_path: Path) -> None:
    for name, origin in (("folder", None), ("urls", None), ("urls", tmp_path)):
        with pytest.raises(BeautyError, match="--from"):
            next(SOURCES[name].find(reading(origin)))
