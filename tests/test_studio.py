"""The studio: what it says of real datasets, runs and films, and its rooms in a real browser."""

import io
import json
import os
import shutil
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from types import SimpleNamespace

import numpy as np
import pytest
from browser import browser
from PIL import Image
from starlette.routing import BaseRoute
from test_live import FLOWER, answer, ask, png, viewer
from torch import Tensor
from web import running

from beautynet import checkpoint as checkpoints
from beautynet import images
from beautynet.classifying.classifier import Classifier
from beautynet.conditions import Condition
from beautynet.decode import Unreadable, decode
from beautynet.film.frames import Frame
from beautynet.film.rendering import writing
from beautynet.verbs.live import routes
from beautynet.verbs.train import train
from beautynet.web import studio
from beautynet.web.server import Server
from beautynet.web.sheet import thumbnail
from beautynet.web.viewing import Stage


@pytest.fixture(scope="module")
def workplace(crops: Tensor, named: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a dataset, a run, a classifier and a film, as somebody at work has it."""
    folder = tmp_path_factory.mktemp("workplace")
    photos = folder / "data" / "flowers & <b>more"
    photos.mkdir(parents=True)
    pictures = images.to_uint8(crops)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(photos / f"{number:02d}.jpg", quality=95)
    with writing(folder / "walk.beauty.mp4", (64, 48), rate=Fraction(10)) as film:
        for number in range(5):
            film.write(Frame(pictures[number, :48, :64].copy(), Fraction(number, 10), Fraction(1, 10)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train("data/flowers & <b>more", name="first", device="cpu", steps=4, size=64, preset="S", batch=2)
        shutil.copytree(named.parent, folder / "checkpoints" / "artists")
        yield folder


@pytest.fixture(scope="module")
def served(workplace: Path) -> Iterator[Server]:
    stage = Stage(None, workplace, device="cpu")
    found: list[BaseRoute] = routes(stage, workplace)
    with running(Server(found)) as server:
        yield server


def told(server: Server, path: str) -> object:
    status, body = ask(server, f"studio/{path}")
    assert status == 200, body
    return json.loads(body)


NAME = "flowers%20%26%20%3Cb%3Emore"


def test_datasets(served: Server) -> None:
    assert told(served, "datasets") == ["flowers & <b>more"]
    names = [f"{number:02d}.jpg" for number in range(12)]
    assert told(served, f"datasets/{NAME}") == {"photos": 12, "names": names}
    assert told(served, f"datasets/{NAME}?after=08.jpg") == {"photos": 12, "names": names[9:]}
    status, body = ask(served, f"studio/datasets/{NAME}/photos/03.jpg")
    assert status == 200
    assert Image.open(io.BytesIO(body)).size == (192, 192)
    for name in ("12.jpg", "..%2f03.jpg", f"..%2f{NAME}%2f03.jpg", "%2fetc%2fpasswd", ""):
        assert ask(served, f"studio/datasets/{NAME}/photos/{name}")[0] == 404
    assert ask(served, "studio/datasets/none")[0] == 404


def test_a_dataset_that_grows_is_not_looked_at_all_the_time(
    served: Server, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = workplace / "data" / "growing"
    (growing / "of mine").mkdir(parents=True)
    made: list[Path] = []
    monkeypatch.setattr(studio, "thumbnail", lambda path, *size: made.append(path) or thumbnail(path, *size))
    try:
        for name, colour in (("b.jpg", "red"), ("of mine/c #1.jpg", "blue")):
            Image.new("RGB", (40, 30), colour).save(growing / name)
        names = ["b.jpg", "of mine/c #1.jpg"]
        assert told(served, "datasets/growing") == {"photos": 2, "names": names}
        Image.new("RGB", (40, 30), "green").save(growing / "a.jpg")
        assert told(served, "datasets/growing") == {"photos": 2, "names": names}
        red = ask(served, "studio/datasets/growing/photos/b.jpg")
        monkeypatch.setattr(studio, "time", SimpleNamespace(time=time.time, monotonic=lambda: time.monotonic() + 60))
        assert told(served, "datasets/growing") == {"photos": 3, "names": ["a.jpg", *names]}
        assert ask(served, "studio/datasets/growing/photos/b.jpg") == red
        assert made == [Path("data/growing/b.jpg")]
        status, body = ask(served, "studio/datasets/growing/photos/of%20mine%2Fc%20%231.jpg")
        assert status == 200
        assert np.asarray(Image.open(io.BytesIO(body)))[0, 0].argmax() == 2  # blue
    finally:
        shutil.rmtree(growing)


def test_the_datasets_of_a_class_are_looked_at_once(
    served: Server, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [workplace / "data" / f"of group {number}" for number in range(3)]
    looked, really = [], studio.Dataset.open
    monkeypatch.setattr(studio.Dataset, "open", lambda folder: looked.append(folder) or really(folder))
    try:
        for place in places:
            place.mkdir()
            Image.new("RGB", (40, 30)).save(place / "a.jpg")
        for place in (*places, *places):
            assert told(served, f"datasets/{place.name.replace(' ', '%20')}") == {"photos": 1, "names": ["a.jpg"]}
        assert len(looked) == 3
    finally:
        for place in places:
            shutil.rmtree(place)


@pytest.mark.parametrize("asked", ["pair", "hand"])
def test_dreams_go_on_whatever_else_is_asked_for(served: Server, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    gate = threading.Event()

    def broken(_: Path) -> Image.Image:
        gate.wait(20)
        raise Unreadable("broken")

    def called(*_: object) -> dict[str, float]:
        gate.wait(20)
        return {"a rose": 1.0}

    monkeypatch.setattr(studio, "decode", broken)
    monkeypatch.setattr(Classifier, "__call__", called)
    picture = png(FLOWER)
    what = (f"studio/datasets/{NAME}/pairs/03.jpg",) if asked == "pair" else ("hand/classify", "POST", picture)
    with ThreadPoolExecutor(45) as pool:  # more than there are threads
        try:
            waiting = [pool.submit(ask, served, *what) for _ in range(45)]
            time.sleep(0.5)
            with viewer(served) as socket:
                socket.send(struct.pack("<I", 1) + picture)
                answer(socket, 5)
            assert not any(each.done() for each in waiting)
        finally:
            gate.set()
        assert {each.result()[0] for each in waiting} == {404 if asked == "pair" else 200}


def test_a_pair_is_what_training_would_make(served: Server, workplace: Path) -> None:
    status, body = ask(served, f"studio/datasets/{NAME}/pairs/03.jpg?kind=edges&abstraction=0.3")
    assert status == 200
    pair = np.asarray(Image.open(io.BytesIO(body)))
    photo = np.asarray(decode(workplace / "data" / "flowers & <b>more" / "03.jpg"))
    large = images.to_tensor(images.resize_uint8(photo[None], 320, 320))
    shown = images.to_uint8(Condition("edges", abstraction=0.3, size=320)(large)[0])[0]
    assert pair.shape == (320, 640, 3)
    assert np.abs(pair[:, :320].astype(int) - shown).mean() < 6  # JPEG, of thin lines
    for wrong in ("kind=nothing", "abstraction=7", "abstraction=x", "k=1", "palette=none"):
        assert ask(served, f"studio/datasets/{NAME}/pairs/03.jpg?{wrong}")[0] == 404


def test_runs(served: Server, workplace: Path) -> None:
    assert told(served, "runs") == ["first"]
    run = told(served, "runs/first")
    assert isinstance(run, dict)
    rows = checkpoints.read_log(workplace / "checkpoints" / "first")
    assert run["budget"] == {"steps": 4}
    assert run["images"] == rows[-1]["images"]
    assert run["curves"]["l1"][-1][0] == rows[-1]["images"]
    assert run["samples"] >= 1
    assert "12 photos" in run["findings"][0]["seen"] or "11 photos" in run["findings"][0]["seen"]
    assert ask(served, "studio/runs/first/samples/0.png")[0] == 200
    assert ask(served, "studio/runs/first/samples/999.png")[0] == 404


def test_a_run_whose_log_is_torn(served: Server, workplace: Path) -> None:
    torn = workplace / "checkpoints" / "torn"
    torn.mkdir()
    (torn / checkpoints.LOG).write_text(
        '{"steps": 1, "images": 4, "seconds": 1.0, "g": null, "real": 0.5, "fake": 0.5}\n{"ste'
    )
    try:
        run = told(served, "runs/torn")
        assert isinstance(run, dict)
        assert run["budget"] is None
        assert run["curves"]["g"] == []
    finally:
        shutil.rmtree(torn)


def rows(first: int, last: int, rate: float = 1.0) -> str:
    """Of a log: those of so many steps, so many a second."""
    return "".join(
        json.dumps({"steps": n, "images": 4 * n, "seconds": n / rate, "g": n, "real": 0.7, "fake": 0.7}) + "\n"
        for n in range(first, last + 1)
    )


def test_of_a_log_only_what_is_new_is_read(served: Server, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[bytes] = []
    monkeypatch.setattr(studio, "json", SimpleNamespace(loads=lambda line: lines.append(line) or json.loads(line)))
    log = workplace / "checkpoints" / "long" / checkpoints.LOG
    log.parent.mkdir()

    def read() -> dict[str, object]:
        lines.clear()
        run = told(served, "runs/long")
        assert isinstance(run, dict)
        return run

    try:
        log.write_text(rows(1, 1001))
        run = read()
        curve = run["curves"]["g"]
        assert studio.CURVE / 2 <= len(curve) <= studio.CURVE
        assert curve[0] == [4 * 8, fmean(range(1, 9))]
        assert curve[-1][0] == run["images"] == 4004
        assert not run["findings"]
        assert not run["warming_up"]
        next_one = rows(1004, 1004)
        with open(log, "a") as file:
            file.write(rows(1002, 1003) + next_one[:5])
        assert read()["images"] == 4 * 1003
        assert len(lines) == 2
        with open(log, "a") as file:
            file.write(next_one[5:])
        assert read()["images"] == 4 * 1004
        assert len(lines) == 1
        for resumed in (rows(1, 900), rows(1, 800) + rows(801, 1500, rate=2)):  # from the last save, and long after one
            log.write_text(resumed)
            run = read()
            assert len(lines) == resumed.count("\n")
            assert run["curves"]["g"][-1][0] == run["images"] == 4 * len(lines)
        assert run["running"]
        for ahead in (3600, -3600):  # a clock may be wrong
            os.utime(log, (time.time() + ahead,) * 2)
            assert not read()["running"]
    finally:
        shutil.rmtree(log.parent)


def test_films(served: Server) -> None:
    assert told(served, "films") == ["walk.beauty.mp4"]
    status, body = ask(served, "studio/films/walk.beauty.mp4", Range="bytes=0-9")
    assert (status, len(body)) == (206, 10)


def test_photos_that_did_not_come_can_be_asked_for_again(
    served: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio, "PAGE", 8)
    with browser(tmp_path) as page:
        page.get(served.url)
        page.until("document.querySelector('#checkpoint').options.length == 1")
        page.run("(window.really = fetch, window.photos = 0)")
        page.run("(window.fetch = (path) => really(path.includes('?after') ? 'nothing' : path))")
        page.find_element("css selector", "[data-room=datasets]").click()
        more = page.find_element("id", "more")
        for count in (8, 12):
            page.until("document.querySelector('#count').textContent && !document.querySelector('#more').hidden")
            page.run("(window.failing = fetch, window.fetch = really)")
            more.click()
            page.until("document.querySelectorAll('#sheet button').length == arguments[0]", count)
            page.until("document.querySelector('#pair img').naturalWidth > 0")
            page.run("(window.fetch = failing)")
            if count == 8:
                more.click()
                page.until("!document.querySelector('#count').textContent.endsWith('photos')")
        assert page.run("document.querySelector('#more').hidden")


def test_the_rooms_in_a_browser(served: Server, tmp_path: Path) -> None:
    with browser(tmp_path) as page:
        page.get(served.url)
        page.until("document.querySelector('#checkpoint').options.length == 1")
        page.find_element("css selector", "[data-room=datasets]").click()
        page.until("document.querySelectorAll('#sheet img').length == 12")
        page.until("document.querySelector('#pair img').naturalWidth > 0")
        assert page.title == "beautynet · datasets"
        assert page.find_element("css selector", "[aria-current=page]").text == "Datasets"
        sliders = [each for each in page.find_elements("css selector", "#pair [type=range]") if each.is_displayed()]
        assert [each.accessible_name for each in sliders] == ["Abstraction", "Clusters"]
        assert page.find_element("id", "command").text.startswith("beautynet train flowers")
        before = page.run("document.querySelector('#pair img').src")
        slider = "document.querySelector('[name=abstraction]')"
        page.run(f"({slider}.value = 0.9, {slider}.dispatchEvent(new Event('input', {{bubbles: true}})))")
        page.until("document.querySelector('#pair img').src != arguments[0]", before)
        assert page.run("document.querySelector('[name=k]').value") == str(Condition(abstraction=0.9).clusters)
        page.find_element("css selector", "[data-room=runs]").click()
        page.until("document.querySelectorAll('#curves svg').length >= 1 || document.querySelector('#findings li')")
        page.until("document.querySelector('#samples img')?.naturalWidth > 0")
        page.find_element("css selector", "[data-room=films]").click()
        page.until("document.querySelector('#gallery video')?.readyState > 0")
        assert page.find_element("css selector", "#gallery video").accessible_name == "walk.beauty.mp4"
        page.find_element("css selector", "[data-room=hand]").click()
        page.until("document.querySelector('#hand iframe').contentDocument?.title.startsWith('a rose')")
        for width, height in ((1280, 900), (390, 844), (320, 640)):
            for room in ("datasets", "runs", "films", "live"):
                page.run(f"location.hash = '{room}'")
                page.until(f"!document.querySelector('#{room}').hidden")
                page.fits(width, height)
        # who has left a room before it was there does not go on asking
        page.run("(window.ticks = [], window.setInterval = (_, pause) => ticks.push(pause))")
        asked = "performance.getEntriesByType('resource').filter((each) => each.name.endsWith('/studio/runs')).length"
        before = page.run(asked)
        page.run(
            "(addEventListener('hashchange', () => { location.hash = 'films'; }, {once: true}), location.hash = 'runs')"
        )
        page.until(f"{asked} > arguments[0]", before)
        page.until("!document.querySelector('#films').hidden")
        time.sleep(0.2)
        assert page.run("ticks.length") == 0
        assert page.run("document.querySelector('#runs').hidden")
        assert not page.errors()
        assert page.hosts() == {f"127.0.0.1:{served.port}"}
