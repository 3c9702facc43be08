import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import Browser, browser, wait
from PIL import Image

from beautynet.decode import Unreadable
from beautynet.web.sheet import Entry, served_page, static_page, thumbnail

HOSTILE = "</script><script>document.title='owned'</script><!-- {{nonce}} $x '\"\u2028"


def data(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.fixture
def entries(photos: Path) -> list[Entry]:
    return [
        Entry(path.name, 192, 192, author=HOSTILE, page="https://example.org/", thumbnail=thumbnail(path, 160, 100))
        for path in sorted(photos.glob("*.jpg"))
    ]


def test_thumbnails_fit(photos: Path) -> None:
    for source in (photos / "00.jpg", (photos / "00.jpg").read_bytes()):
        with Image.open(io.BytesIO(thumbnail(source, 160, 100))) as image:
            assert (image.format, image.size) == ("JPEG", (100, 100))
    with pytest.raises(Unreadable):
        thumbnail(b"no picture", 160, 100)


def test_nothing_hostile_gets_out_of_its_place() -> None:
    entry = Entry(HOSTILE, author=HOSTILE, licence=HOSTILE, query=HOSTILE)
    page = static_page(HOSTILE, [entry], HOSTILE)
    assert page.count("<script") == static_page("", [], "").count("<script") == 2
    assert data(page)["photos"] == [{"name": HOSTILE, "author": HOSTILE, "licence": HOSTILE, "query": HOSTILE}]
    assert (
        page.count("{{nonce}}") == 8
    )  # each text as it was given: title and note three times with the data, entry four times
    assert "unsafe" not in page


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://example.org/a?b=c#d", True),
        ("HTTP://example.org", True),
        ("javascript:alert(1)", False),
        (" javascript:alert(1)", False),
        ("file:///etc/passwd", False),
        ("data:text/html,x", False),
        ("//example.org", False),
        ("https://", False),
        ("http://[", False),
        (None, False),
    ],
)
def test_links_lead_to_the_web_only(address: str | None, kept: bool) -> None:
    (photo,) = data(static_page("", [Entry("a.jpg", page=address, licence_url=address)]))["photos"]  # type: ignore[misc]
    assert photo == {"name": "a.jpg"} | ({"page": address, "licence_url": address} if kept else {})


def test_each_kind_of_page_may_do_what_it_needs() -> None:
    def policy(page: str) -> str:
        return re.findall(r'Content-Security-Policy" content="([^"]*)', page)[0]

    assert "connect-src 'self';" in policy(served_page("", [], ""))
    assert "self" not in policy(static_page("", []))
    assert [data(static_page("", [], selectable=choice))["mode"] for choice in (False, True)] == ["plain", "list"]
    assert policy(static_page("", [])) != policy(static_page("", []))  # the nonce


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def chrome(folder: Path) -> Iterator[Browser]:
    with browser(folder) as opened:
        yield opened


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_a_page_in_one_file(chrome: Browser, entries: list[Entry], tmp_path: Path, folder: Path, width: int) -> None:
    path = tmp_path / "sheet.html"
    path.write_text(
        static_page("garden", entries, "Click what should go. " + 60 * "o", selectable=True), encoding="utf-8"
    )
    chrome.screen(width, 900)
    chrome.get(path.as_uri())
    chrome.until("document.querySelectorAll('img.here').length === 12")
    chrome.fits(width, 900)
    chrome.find_element("css selector", "[data-name='03.jpg'] .face").click()
    chrome.run("go(photos[5])")
    chrome.switch_to.active_element.send_keys("x")
    (folder / "garden.out.txt").unlink(missing_ok=True)
    chrome.find_element("id", "save").click()
    saved = folder / "garden.out.txt"
    wait(lambda: saved.exists() and saved.stat().st_size)  # it is there before it is whole
    assert saved.read_text() == "03.jpg\n05.jpg\n"
    assert chrome.title == "garden · contact sheet"
    assert chrome.errors() == []
    assert chrome.hosts() == set()


def test_filters_are_in_alphabetical_order(chrome: Browser, entries: list[Entry], tmp_path: Path) -> None:
    words = ("zinnia", "Rose", "\u00e9toile", "e\u0301toile", "aster")  # one of them twice, as one sign and as two
    path = tmp_path / "sheet.html"
    path.write_text(static_page("garden", [replace(e, query=w) for e, w in zip(entries, words, strict=False)]), "utf-8")
    chrome.get(path.as_uri())
    options = chrome.find_elements("css selector", "#query option")
    assert [option.text for option in options] == ["every search", "aster", "\u00e9toile", "Rose", "zinnia"]
    chrome.run("(document.querySelector('#query').value = 'étoile', choose())")
    assert chrome.find_element("css selector", ".state").get_attribute("textContent") == "2 shown"


def test_a_page_to_look_at_only(chrome: Browser, entries: list[Entry], tmp_path: Path) -> None:
    path = tmp_path / "sheet.html"
    path.write_text(static_page("garden", entries), encoding="utf-8")
    chrome.get(path.as_uri())
    chrome.until("document.querySelectorAll('img.here').length === 12")
    assert not any(button.is_displayed() for button in chrome.find_elements("css selector", ".bar button, #toggle"))
    chrome.find_element("css selector", ".face").click()
    assert chrome.find_element("css selector", "dl").is_displayed()
    chrome.switch_to.active_element.send_keys("x")
    assert chrome.run("photos.some(photo => photo.out)") is False
    chrome.run("(document.querySelector('#zoom').value = 2, arrange())")
    assert chrome.run("made.size < rows.length")
    chrome.print_page()  # which is of all
    assert chrome.run("made.size === rows.length")
    assert chrome.errors() == []
