import threading
import time
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
from web import Web, bing_page, body, first, slowly, status, tarpit

from beautynet.errors import BeautyError
from beautynet.sources import SOURCES
from beautynet.sources.bing import bing
from beautynet.sources.fetch import Fetcher, FetchError, Limits, is_transient
from beautynet.sources.folder import folder
from beautynet.sources.urls import urls

QUICK = Limits(
    connect_seconds=1, read_seconds=0.5, total_seconds=1, max_bytes=100_000, backoff_seconds=0.02, max_wait_seconds=2
)
DATA = bytes(range(256)) * 40


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
        found = list(bing("flor ção & more", None, base_url=web.url))
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
        candidates = bing("roses", None, base_url=web.url)
        assert len(list(islice(candidates, 10))) == 10
        candidates.close()  # type: ignore[attr-defined]
        assert not threads_of("parser")
        assert len(web.log) <= 4


def test_bing_waits_for_slow_takers_and_loses_nothing() -> None:
    with Web() as web:
        web.serve_bing(addresses(60))
        found = []
        for candidate in bing("roses", None, base_url=web.url):
            if len(found) in (5, 40):
                time.sleep(1.5)  # longer than icrawler's own queue keeps a result
            found.append(candidate.url)
        assert found == addresses(60)


def test_bing_ends_at_a_thousand_results() -> None:
    with Web() as web:
        web.serve_bing(addresses(1200))
        assert len(list(bing("roses", None, base_url=web.url))) == 1000


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
            list(bing("roses", None, base_url=web.url))


def test_bing_that_breaks_off_has_given_what_it_had() -> None:
    with Web() as web:
        web.routes["/images/async"] = first(body(bing_page(addresses(20)), "text/html"), status(503))
        found = []
        with pytest.raises(BeautyError, match="HTTP 503"):
            found.extend(candidate.url for candidate in bing("roses", None, base_url=web.url))
        candidates = bing("roses", None, base_url=web.url)
        with pytest.raises(BeautyError, match="HTTP 503"):
            list(candidates)


def test_bing_out_of_reach_says_so() -> None:
    with Web() as web:
        gone = web.url
    with pytest.raises(BeautyError, match="cannot be reached"):
        list(bing("roses", None, base_url=gone))


# Folders and lists


def test_folder_yields_files_in_order_and_follows_no_link(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for path in ("b/2.jpg", "a/1 花 #100%.JPG", "c", ".hidden/x.jpg", ".DS_Store", "manifest.jsonl", "dir.jpg/3"):
        (inside / path).parent.mkdir(parents=True, exist_ok=True)
        (inside / path).write_bytes(b"x")
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"x")
    (inside / "out").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    found = list(folder("flowers", inside))
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
    assert [candidate.url for candidate in urls("flowers", path)] == [
        "https://example.org/a.jpg",
        "https://example.org/花#x",
    ]
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(BeautyError, match="not a text file"):
        list(urls("flowers", path))


def test_sources_refuse_what_they_cannot_use(tmp_path: Path) -> None:
    for name, origin in (("bing", tmp_path), ("folder", None), ("urls", None), ("urls", tmp_path)):
        with pytest.raises(BeautyError, match="--from"):
            next(SOURCES[name]("flowers", origin))


# Fetching


def reason(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(FetchError) as caught:
        fetcher.fetch(url)
    return str(caught.value)


def test_fetch_returns_the_body_through_redirects() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/photo"] = body(DATA)
        web.routes["/a?b=%20%C3%A7"] = status(302, Location="photo")
        web.routes["/%E8%8A%B1.jpg"] = status(301, Location="/a?b=%20%C3%A7")
        assert fetcher.fetch(f"{web.url}/花.jpg#fragment") == DATA
        (agent,) = web.agents
        assert agent.startswith("beautynet/")


@pytest.mark.parametrize(
    "address",
    ["ftp://example.org/x", "file:///etc/hostname", "nonsense", "http://", "http://[::1", "data:image/png;base64,AA"],
)
def test_fetch_takes_web_addresses_only(address: str) -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        assert "not a web address" in reason(fetcher, address)
        web.routes["/to"] = status(302, Location=address)
        if ":" in address and "[" not in address and address != "http://":
            assert "not a web address" in reason(fetcher, f"{web.url}/to")


@pytest.mark.parametrize("address", ["http://exa mple.org:x/", "http://" + "a" * 300 + ".org/", "http://xn--/"])
def test_fetch_of_an_impossible_address_is_a_reason(address: str) -> None:
    with Fetcher(QUICK) as fetcher:
        assert reason(fetcher, address)


def test_fetch_gives_up_on_what_will_not_change() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/gone"] = status(404)
        web.routes["/loop"] = status(302, Location="/loop")
        web.routes["/big"] = body(bytes(QUICK.max_bytes + 1))
        web.routes["/lies"] = body(bytes(10), promised=QUICK.max_bytes + 1)
        assert reason(fetcher, f"{web.url}/gone") == "HTTP 404"
        assert reason(fetcher, f"{web.url}/loop") == "more than 5 redirects"
        assert reason(fetcher, f"{web.url}/big") == reason(fetcher, f"{web.url}/lies") == "over 0.1 MB"
        assert web.log.count("/gone") == web.log.count("/big") == 1
        assert web.log.count("/loop") == QUICK.max_redirects + 1


def test_fetch_tries_again_what_may_pass() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/busy"] = first(status(503), status(500), body(DATA))
        web.routes["/cut"] = body(DATA, promised=len(DATA) + 1)
        web.routes["/down"] = status(503)
        assert fetcher.fetch(f"{web.url}/busy") == DATA
        for path, why in (("/cut", "cut short"), ("/down", "HTTP 503")):
            text = reason(fetcher, web.url + path)
            assert text.startswith(why)
            assert is_transient(text)
            assert web.log.count(path) == QUICK.attempts
        assert not is_transient("HTTP 404")


def test_fetch_waits_as_long_as_it_is_told() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/polite"] = first(status(429, Retry_After="1"), body(DATA))
        start = time.monotonic()
        assert fetcher.fetch(f"{web.url}/polite") == DATA
        assert 0.95 < time.monotonic() - start < 5
        web.routes["/hour"] = status(429, Retry_After="3600")
        start = time.monotonic()
        assert is_transient(reason(fetcher, f"{web.url}/hour"))
        assert "wants no requests" in reason(fetcher, f"{web.url}/polite")  # the whole host is left alone
        assert time.monotonic() - start < 1
        assert web.log.count("/hour") == 1


def test_fetch_is_not_held_up() -> None:
    once = Limits(**{**QUICK.__dict__, "attempts": 1})
    with Web() as web, Fetcher(once) as fetcher:
        web.routes["/drip"] = slowly(DATA, pause=0.05, piece=1)
        web.routes["/headers"] = tarpit(pause=0.05)
        web.routes["/silent"] = slowly(DATA, pause=3, piece=10)
        start = time.monotonic()
        assert reason(fetcher, f"{web.url}/drip") == "too slow: not whole after 1 s"
        assert reason(fetcher, f"{web.url}/headers") == "too slow: no answer within 0.5 s"
        assert reason(fetcher, f"{web.url}/silent") == "too slow: no answer within 0.5 s"
        assert time.monotonic() - start < 4


def test_stop_ends_waits_and_bodies() -> None:
    with Web() as web, Fetcher(Limits(max_wait_seconds=100)) as fetcher:
        web.routes["/drip"] = slowly(DATA, pause=0.05, piece=1)
        web.routes["/wait"] = status(429, Retry_After="60")
        web.routes["/silent"] = slowly(DATA, pause=15)
        paths = ("/drip", "/wait", "/silent")
        workers = [threading.Thread(target=partial(reason, fetcher, web.url + path)) for path in paths]
        for worker in workers:
            worker.start()
        time.sleep(0.3)
        start = time.monotonic()
        fetcher.stop()
        for worker in workers:
            worker.join()
        assert time.monotonic() - start < 1


def test_cookies_are_not_kept() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        seen: list[str | None] = []

        def answer(request: object) -> None:
            seen.append(request.headers.get("Cookie"))  # type: ignore[attr-defined]
            status(404, Set_Cookie="id=1")(request)  # type: ignore[arg-type]

        web.routes["/x"] = answer
        reason(fetcher, f"{web.url}/x")
        reason(fetcher, f"{web.url}/x")
        assert seen == [None, None]
