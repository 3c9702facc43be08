"""The studio: what it says of real datasets, runs and films, and its rooms in a real browser."""

import io
import json
import shutil
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from browser import browser
from PIL import Image
from starlette.routing import BaseRoute
from test_live import ask
from torch import Tensor

from beautynet import checkpoint as checkpoints
from beautynet import images
from beautynet.conditions import Condition
from beautynet.decode import decode
from beautynet.film.frames import Frame
from beautynet.film.rendering import writing
from beautynet.verbs.live import routes
from beautynet.verbs.train import train
from beautynet.web.server import Server
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
    server = Server(found)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join(10)


def told(server: Server, path: str) -> object:
    status, body = ask(server, f"studio/{path}")
    assert status == 200, body
    return json.loads(body)


NAME = "flowers%20%26%20%3Cb%3Emore"


def test_datasets(served: Server) -> None:
    assert told(served, "datasets") == ["flowers & <b>more"]
    assert told(served, f"datasets/{NAME}") == {"photos": 12, "page": 60}
    status, body = ask(served, f"studio/datasets/{NAME}/3.jpg")
    assert status == 200
    assert Image.open(io.BytesIO(body)).size == (192, 192)
    assert ask(served, f"studio/datasets/{NAME}/12.jpg")[0] == 404
    assert ask(served, "studio/datasets/none")[0] == 404


def test_a_pair_is_what_training_would_make(served: Server, workplace: Path) -> None:
    status, body = ask(served, f"studio/datasets/{NAME}/3/pair.jpg?kind=edges&abstraction=0.3&sensitivity=1.5")
    assert status == 200
    pair = np.asarray(Image.open(io.BytesIO(body)))
    photo = np.asarray(decode(workplace / "data" / "flowers & <b>more" / "03.jpg"))
    large = images.to_tensor(images.resize_uint8(photo[None], 320, 320))
    shown = images.to_uint8(Condition("edges", abstraction=0.3, size=320, sensitivity=1.5)(large)[0])[0]
    assert pair.shape == (320, 640, 3)
    assert np.abs(pair[:, :320].astype(int) - shown).mean() < 6  # JPEG, of thin lines
    for wrong in ("kind=nothing", "abstraction=7", "abstraction=x", "k=1", "palette=none"):
        assert ask(served, f"studio/datasets/{NAME}/3/pair.jpg?{wrong}")[0] == 404


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


def test_films(served: Server) -> None:
    assert told(served, "films") == ["walk.beauty.mp4"]
    status, body = ask(served, "studio/films/walk.beauty.mp4", Range="bytes=0-9")
    assert (status, len(body)) == (206, 10)


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
        assert not page.errors()
        assert page.hosts() == {f"127.0.0.1:{served.port}"}
