import http.client
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import Browser, browser, wait

from beautynet.datasets import curation, manifest
from beautynet.datasets.dataset import Dataset
from beautynet.datasets.manifest import REJECTED, Manifest, Record
from beautynet.errors import BeautyError
from beautynet.verbs.look import _Sheet, look
from beautynet.web import server

HOSTILE = "<img src=x onerror=document.title='owned'>"


def record(file: str, /, **changes: object) -> Record:
    fields: dict[str, object] = dict.fromkeys(Record.__dataclass_fields__)
    number = int(file[:2])
    fields |= {
        "file": file,
        "url": f"https://example.org/{file}",
        "page": f"https://www.example.org/page/{number}",
        "source": "openverse" if number % 2 else "bing",
        "licence": "CC BY 2.0" if number % 2 else None,
        "licence_url": "https://creativecommons.org/licenses/by/2.0/" if number % 2 else None,
        "author": HOSTILE if number == 1 else f"Nº {number}",
        "query": "flowers",
        "sha256": f"{number:064x}",
        "width": 192 + number,
        "height": 192,
        "status": "kept",
    }
    return Record(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def dataset(photos: Path) -> Path:
    """12 photos with a manifest."""
    with Manifest(photos) as opened:
        for path in sorted(photos.glob("*.jpg")):
            opened.append(record(path.name))
        opened.append(record("99.jpg", file=None, status="failed", reason="HTTP 404"))
    return photos


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jpg"))


def held(folder: Path) -> dict[str, tuple[str, str | None]]:
    """Status and reason of each photo, by the manifest."""
    return {name: (row.status, row.reason) for name, row in curation.photos(manifest.latest(folder)).items()}


# --- the dataset ----------------------------------------------------------------------------------------------------


def test_lists_take_out_and_put_back(dataset: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("# too dark\n03.jpg\n\n  05.jpg \n../05.jpg\nnothing.jpg\n", encoding="utf-8-sig")
    before = (dataset / "03.jpg").read_bytes()
    summary = look(dataset, reject=listed)
    assert summary.sentence() == f"10 photos in {dataset}, 2 clicked out (2 new)"
    assert summary.unknown == ("../05.jpg", "nothing.jpg")
    assert names(dataset / REJECTED) == ["03.jpg", "05.jpg"]
    assert held(dataset)["03.jpg"] == ("rejected", "clicked out")
    row = curation.photos(manifest.latest(dataset))["03.jpg"]
    assert replace(row, status="kept", reason=None) == record("03.jpg")
    assert [path.name for path in Dataset.open(dataset).photos] == names(dataset)
    rows = len(manifest.read(dataset))
    assert look(dataset, reject=listed).new == 0
    assert len(manifest.read(dataset)) == rows
    summary = look(dataset, restore=listed)
    assert summary.sentence() == f"12 photos in {dataset}, 0 clicked out (0 new, 2 put back)"
    assert (dataset / "03.jpg").read_bytes() == before
    assert held(dataset)["03.jpg"] == ("kept", None)
    assert [path.name for path in Dataset.open(dataset).photos] == names(dataset)


def test_what_is_out_is_not_gathered_again(photos: Path, tmp_path: Path) -> None:
    from beautynet.verbs.scrape import scrape

    out = tmp_path / "data" / "garden"
    scrape(origin=photos, out=out, min_size=100)
    file = names(out)[0]
    (tmp_path / "list.txt").write_text(file)
    page = (out / manifest.ATTRIBUTION).read_text()
    look(out, reject=tmp_path / "list.txt")
    assert file in page
    assert file not in (out / manifest.ATTRIBUTION).read_text()
    (photos / "twin.jpg").write_bytes((out / REJECTED / file).read_bytes())  # the same photo elsewhere
    summary = scrape(origin=photos, out=out, min_size=100)
    assert summary.new == 0
    assert file not in names(out)


def test_a_kill_between_row_and_photo_is_mended(dataset: Path) -> None:
    with Manifest(dataset) as opened:
        opened.append(record("03.jpg", status="rejected", reason=curation.REASON))
    (dataset / REJECTED).mkdir()
    os.replace(dataset / "04.jpg", dataset / REJECTED / "04.jpg")  # put back, but not moved yet
    (dataset / REJECTED / "05.jpg").write_bytes(b"older")  # which is where it should be, too
    before = (dataset / "05.jpg").read_bytes()
    with Manifest(dataset) as opened:
        curation.reconcile(opened)
    assert names(dataset / REJECTED) == ["03.jpg", "05.jpg"]
    assert "04.jpg" in names(dataset)
    assert (dataset / "05.jpg").read_bytes() == before


def test_names_are_never_paths(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.jpg").write_bytes(b"mine")
    wrong = ["../outside.jpg", "/outside.jpg", ".hidden.jpg", "..", "a\\b.jpg", "C:x.jpg", "a\0.jpg", ""]
    with Manifest(dataset) as opened:
        for number, file in enumerate(wrong):
            url = f"https://example.org/wrong{number}"
            opened.append(record("00.jpg", file=file, url=url, status="rejected", reason=curation.REASON))
        curation.reconcile(opened)
        assert len(curation.photos(opened.latest())) == 12
    assert (tmp_path / "outside.jpg").read_bytes() == b"mine"


def test_a_photo_that_is_gone_is_no_trouble(dataset: Path, tmp_path: Path) -> None:
    (dataset / "03.jpg").unlink()
    (tmp_path / "list.txt").write_text("03.jpg\n04.jpg\n")
    assert look(dataset, reject=tmp_path / "list.txt").photos == 10
    assert look(dataset, restore=tmp_path / "list.txt").photos == 11


def test_which_dataset(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BeautyError, match="no dataset in data/ yet"):
        look(out=tmp_path / "sheet.html")
    os.renames(dataset, tmp_path / "data" / "garden")
    assert look(out=tmp_path / "sheet.html").folder == Path("data/garden")
    assert look("garden", out=tmp_path / "sheet.html").shown == 12
    with pytest.raises(BeautyError, match="no dataset at nowhere"):
        look("nowhere")
    (tmp_path / "plain").mkdir()
    with pytest.raises(BeautyError, match="import it first, with `beautynet scrape --from plain`"):
        look("plain")


# --- the server -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sheet(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the dataset's sheet."""
    opened: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(webbrowser, "open", opened.put)
    thread = threading.Thread(target=look, args=(dataset,))
    thread.start()
    url = opened.get(timeout=20)
    yield url
    with suppress(ConnectionError):  # done already
        ask(url, "done", "POST")
    thread.join(10)
    assert not thread.is_alive()


def ask(url: str, path: str, method: str = "GET", body: str = "", **headers: str) -> tuple[int, bytes]:
    """Status and body; the path as it is, with nothing tidied away."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    sent = {"Host": parts.netloc, "Origin": f"http://{parts.netloc}"} | headers
    connection.request(method, path if path.startswith("/") else parts.path + path, body, sent)
    with connection.getresponse() as answer:
        data = answer.read()
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    connection.close()
    return answer.status, data


def test_strangers_are_refused(sheet: str, dataset: Path) -> None:
    port = urlsplit(sheet).port
    assert ask(sheet, "")[0] == 200
    for path in ("/", "/thumb/00.jpg", "/x/thumb/00.jpg", sheet[:-9].removeprefix(f"http://{server.HOST}:{port}")):
        assert ask(sheet, path)[0] == 403
    for host in ("evil.example", f"evil.example:{port}", server.HOST, "localhost"):
        assert ask(sheet, "", Host=host)[0] == 403
    change = json.dumps({"out": ["00.jpg"], "back": []})
    for origin in ("http://evil.example", "null", "", f"http://{server.HOST}:1"):
        assert ask(sheet, "changes", "POST", change, Origin=origin)[0] == 403
        assert ask(sheet, "done", "POST", Origin=origin)[0] == 403
    assert held(dataset)["00.jpg"] == ("kept", None)


def test_only_names_of_the_index_are_served(sheet: str, dataset: Path) -> None:
    for picture in (dataset / "unlisted.jpg", dataset.parent / "secret.jpg"):
        picture.write_bytes((dataset / "00.jpg").read_bytes())
    assert ask(sheet, "thumb/00.jpg")[1][:3] == b"\xff\xd8\xff"
    assert ask(sheet, "thumb/unlisted.jpg")[0] == ask(sheet, "large/unlisted.jpg")[0] == 404
    for name in ("..%2fsecret.jpg", "%2e%2e/secret.jpg", "../secret.jpg", "%2fetc%2fpasswd", "manifest.jsonl", "%00"):
        assert ask(sheet, f"thumb/{name}")[0] == 404
        assert ask(sheet, f"large/{name}")[0] == 404
    change = {"out": ["../secret.jpg", "manifest.jsonl", "unlisted.jpg", "zz.jpg"], "back": ["/etc/passwd"]}
    assert ask(sheet, "changes", "POST", json.dumps(change))[0] == 204
    for nonsense in ("", "[]", "{}", '{"out": 1, "back": []}', '{"out": [[]], "back": []}', "\0"):
        assert ask(sheet, "changes", "POST", nonsense)[0] == 400
    assert set(held(dataset).values()) == {("kept", None)}
    assert not (dataset / REJECTED).exists()


def test_a_run_that_fills_the_dataset_is_named(sheet: str, dataset: Path) -> None:
    change = json.dumps({"out": ["00.jpg"], "back": []})
    with Manifest(dataset):
        status, text = ask(sheet, "changes", "POST", change)
        assert (status, b"another run is filling" in text) == (409, True)
    assert ask(sheet, "changes", "POST", change)[0] == 204
    assert held(dataset)["00.jpg"] == ("rejected", "clicked out")


def test_ctrl_c_ends_it_well(dataset: Path) -> None:
    code = f"from beautynet.verbs.look import look; print(look({str(dataset)!r}, browser=False).sentence())"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    url = child.stderr.readline().strip()
    ask(url, "changes", "POST", json.dumps({"out": ["00.jpg"], "back": []}))
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate(timeout=20)
    assert (child.returncode, stdout) == (0, f"11 photos in {dataset}, 1 clicked out (1 new)\n")
    assert "Traceback" not in stderr


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def page(chrome: Browser, sheet: str) -> Iterator[Browser]:
    """The sheet in the browser, with all its pictures; what the console says and who was asked is looked at after."""
    chrome.screen(1280, 900)
    chrome.errors(), chrome.hosts()
    chrome.get(sheet)
    chrome.until("document.querySelectorAll('img.here').length === 12")
    yield chrome
    assert not [error for error in chrome.errors() if "409 (Conflict)" not in error]
    assert chrome.hosts() <= {urlsplit(sheet).netloc}
    chrome.get("about:blank")


def face(page: Browser, name: str):  # type: ignore[no-untyped-def]
    return page.find_element("css selector", f"[data-name='{name}'] .face")


def press(page: Browser, *keys: str) -> None:
    for key in keys:
        page.switch_to.active_element.send_keys(key)


def saved(page: Browser) -> None:
    page.until("unsaved.size === 0 && !saving")


def counts(page: Browser) -> list[str]:
    return [tab.text for tab in page.find_elements("css selector", "[data-show]")]


def said(page: Browser, where: str) -> str:
    return page.find_element("css selector", where).get_attribute("textContent") or ""


def test_a_click_takes_out_and_another_puts_back(page: Browser, dataset: Path) -> None:
    face(page, "03.jpg").click()
    assert face(page, "03.jpg").get_attribute("aria-pressed") == "true"
    assert counts(page) == ["Photos 11", "Out 1", "All 12"]
    page.until("document.querySelector('.state').textContent === 'Saved'")
    assert names(dataset / REJECTED) == ["03.jpg"]
    assert held(dataset)["03.jpg"] == ("rejected", "clicked out")
    page.refresh()
    page.until("document.querySelectorAll('img.here').length === 11")
    page.find_element("css selector", "[data-show=out]").click()
    page.until("document.querySelectorAll('img.here').length === 1")
    face(page, "03.jpg").click()
    saved(page)
    assert not names(dataset / REJECTED)
    assert held(dataset)["03.jpg"] == ("kept", None)


def test_shift_takes_a_range_and_undo_gives_it_back(page: Browser, dataset: Path) -> None:
    from selenium.webdriver import ActionChains, Keys

    face(page, "02.jpg").click()
    ActionChains(page.driver).key_down(Keys.SHIFT).click(face(page, "06.jpg")).key_up(Keys.SHIFT).perform()
    saved(page)
    assert names(dataset / REJECTED) == ["02.jpg", "03.jpg", "04.jpg", "05.jpg", "06.jpg"]
    page.find_element("id", "undo").click()
    saved(page)
    assert names(dataset / REJECTED) == ["02.jpg"]


def test_keys(page: Browser, dataset: Path) -> None:
    from selenium.webdriver import Keys

    press(page, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, "x")  # the first, the second
    press(page, Keys.ARROW_RIGHT, Keys.SPACE, Keys.ARROW_RIGHT, Keys.ENTER, "u")
    across = page.run("rows[0].photos.length")
    press(page, Keys.HOME, Keys.ARROW_DOWN, "x")
    saved(page)
    assert names(dataset / REJECTED) == ["01.jpg", "02.jpg", f"{across:02}.jpg"]
    press(page, Keys.HOME, "v", Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    page.until("document.querySelector('.stage img').naturalWidth > 0")
    assert "4 of 12" in page.find_element("css selector", ".side nav").text
    assert said(page, "#place") == "4 of 12: photo 4 by Nº 3"
    press(page, Keys.ENTER)
    saved(page)
    assert "03.jpg" in names(dataset / REJECTED)
    assert said(page, "#place") == "4 of 12: photo 4 by Nº 3, out"
    press(page, Keys.ESCAPE)
    page.until("document.activeElement.parentElement.dataset.name === '03.jpg'")  # a dialog's closing is told later


def test_keys_of_other_keyboards_and_elsewhere(page: Browser) -> None:
    stroke = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {...arguments[0], bubbles: true}))"

    def marks(key: str, code: str) -> bool:
        before = page.run("photos[3].out")
        page.run(stroke, {"key": key, "code": code})
        return bool(page.run("photos[3].out") != before)

    page.run("go(photos[3])")
    assert marks("ч", "KeyX")  # Cyrillic
    assert marks("X", "KeyX")  # CapsLock
    assert marks("x", "KeyB")  # Dvorak
    assert not marks("q", "KeyX")
    page.run("document.querySelector('#undo').focus()")
    assert not marks("x", "KeyX")
    saved(page)


def test_the_focus_outlives_another_width(page: Browser) -> None:
    page.run("go(photos[3])")
    page.screen(700, 900)
    page.until("grid.clientWidth < 700 && width === grid.clientWidth")
    assert page.run("document.activeElement.parentElement.dataset.name") == "03.jpg"


def test_filters_and_order(page: Browser) -> None:
    from selenium.webdriver.support.ui import Select

    def shown() -> list[str]:
        return [e.get_attribute("data-name")[:2] for e in page.find_elements("css selector", ".photo")]

    Select(page.find_element("id", "source")).select_by_visible_text("openverse")
    assert shown() == ["01", "03", "05", "07", "09", "11"]
    assert said(page, ".state") == "6 shown"
    assert counts(page) == ["Photos 6", "Out 0", "All 6"]
    Select(page.find_element("id", "order")).select_by_visible_text("largest first")
    assert shown()[0] == "11"
    Select(page.find_element("id", "licence")).select_by_visible_text("not stated")
    assert shown() == []
    assert page.find_element("css selector", ".empty").is_displayed()
    assert not page.find_element("id", "query").is_displayed()  # there is but one


def test_texts_from_the_web_stay_texts(page: Browser) -> None:
    page.run("go(photos[1])")
    page.until("getComputedStyle(document.querySelector('[data-name=\"01.jpg\"] .facts')).opacity === '1'")
    tile = page.find_element("css selector", "[data-name='01.jpg']")
    assert HOSTILE in tile.text
    links = {link.text: link for link in tile.find_elements("tag name", "a")}
    assert links["CC BY 2.0"].get_attribute("href") == "https://creativecommons.org/licenses/by/2.0/"
    assert links["example.org"].get_attribute("rel") == "noreferrer noopener"
    page.run("enlarge(photos[1])")
    assert HOSTILE in page.find_element("css selector", "dl").text
    assert not page.find_elements("css selector", "img[src=x]")
    page.run("document.body.insertAdjacentHTML('beforeend', arguments[0])", HOSTILE)  # and if one were markup:
    page.until("document.querySelector('img[src=x]').complete")
    assert "owned" not in page.title
    wait(lambda: any("Content Security Policy" in error for error in page.errors()))


def test_a_phone(page: Browser) -> None:
    page.fits(390, 844)  # tiles are placed a frame later
    page.find_element("css selector", ".enlarge").click()
    page.until("document.querySelector('dialog').open && document.querySelector('dialog').scrollWidth <= 390")
    page.find_element("id", "close").click()


def test_the_page_waits_for_a_run(page: Browser, dataset: Path) -> None:
    with Manifest(dataset):
        face(page, "03.jpg").click()
        page.until("!document.querySelector('.trouble').hidden")
        assert "another run is filling" in page.find_element("css selector", ".trouble").text
        assert face(page, "03.jpg").get_attribute("aria-pressed") == "true"
    page.until("document.querySelector('.trouble').hidden")
    assert names(dataset / REJECTED) == ["03.jpg"]


def test_done_saves_and_says_goodbye(page: Browser, dataset: Path) -> None:
    face(page, "03.jpg").click()
    page.find_element("id", "done").click()
    page.until("!document.querySelector('.bye').hidden")
    assert f"11 photos in {dataset}, 1 clicked out (1 new)" in page.find_element("css selector", ".bye").text
    assert page.switch_to.active_element.get_attribute("class") == "bye"
    assert page.run("document.querySelector('main').inert")  # Tab does not go beneath it
    assert names(dataset / REJECTED) == ["03.jpg"]


def test_leaving_the_page_saves(page: Browser, dataset: Path) -> None:
    face(page, "03.jpg").click()
    page.get("about:blank")
    page.until("true")
    wait(lambda: names(dataset / REJECTED))
    assert names(dataset / REJECTED) == ["03.jpg"]


def test_what_is_in_doubt_comes_first(dataset: Path) -> None:
    with Manifest(dataset) as opened:
        for name, said in (("03.jpg", "in 0.990"), ("07.jpg", "out 0.480"), ("09.jpg", "in 0.700")):
            opened.append(record(name, verdict=said))
    before = sorted(dataset.rglob("*"))
    sheet = _Sheet(dataset, set(), None)
    page = sheet._page(None).body.decode()  # type: ignore[arg-type]
    order = [page.index(f'"{name}"') for name in ("07.jpg", "09.jpg", "03.jpg", "00.jpg")]
    assert order == sorted(order)
    assert "out 0.480" in page
    look(dataset, out=dataset.parent / "sheet.html")
    page = (dataset.parent / "sheet.html").read_text()
    order = [page.index(f'"{name}"') for name in ("07.jpg", "09.jpg", "03.jpg", "00.jpg")]
    assert order == sorted(order)
    assert sorted(dataset.rglob("*")) == before
