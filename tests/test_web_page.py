"""An export for the web in a real browser: the dream is the Translator's, and nothing leaves the page."""

import base64
import functools
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from browser import WEBGPU, Browser, browser, camera, wait
from PIL import Image
from sklearn.datasets import load_sample_image
from test_browser_runtime import Quiet
from test_live import y4m

from beautynet.classifying.classifier import Classifier
from beautynet.translator import Translator
from beautynet.verbs.export import ExportSummary

pytestmark = pytest.mark.usefixtures("ort_web")
NOISE = "No available adapters"
"""What Chromium says of itself where there is no GPU."""


@pytest.fixture
def exported(page: ExportSummary) -> Path:
    return page.out


@contextmanager
def opened(folder: Path, tmp_path: Path, *flags: str, lacking: str = "", runs: bool = True) -> Iterator[Browser]:
    """The page in a browser that does what the script `lacking` says first; once the network `runs`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with browser(tmp_path, *flags) as page:
            page.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": lacking})
            page.get(f"http://127.0.0.1:{server.server_port}/")
            if runs:
                page.until("document.querySelector('#where')?.textContent", seconds=60)
            yield page
            assert not [error for error in page.errors() if NOISE not in error]
            assert page.hosts() == {f"127.0.0.1:{server.server_port}"}
    finally:
        server.shutdown()


def choose(page: Browser, path: Path) -> None:
    page.run("document.querySelector('#file').hidden = false")
    page.find_element("css selector", "#file").send_keys(str(path))


def pixels(page: Browser) -> np.ndarray:
    data = page.run("document.querySelector('#picture').toDataURL('image/png').split(',')[1]")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


@pytest.mark.parametrize(
    "flags",
    [pytest.param((), id="wasm"), pytest.param(WEBGPU, id="webgpu", marks=pytest.mark.slow)],  # a GPU in software
)
def test_the_dream_is_the_translators(flags: tuple[str, ...], exported: Path, checkpoint: Path, tmp_path: Path) -> None:
    translator = Translator.load(checkpoint, device="cpu", precision="float32", steady=0)
    photo = Image.fromarray(load_sample_image("china.jpg")).resize((120, translator.size))  # no resizing between
    photo.save(tmp_path / "photo.png")
    with opened(exported, tmp_path, *flags) as page:
        assert page.run("crossOriginIsolated")  # a plain server, and yet threads may share memory
        assert ("GPU" in page.run("document.querySelector('#where').textContent")) == bool(flags)
        choose(page, tmp_path / "photo.png")
        page.until("document.querySelector('#rate').textContent > 0 || !document.querySelector('#picture').hidden")
        page.find_element("css selector", "[data-layout=only]").click()
        page.until("document.querySelector('#picture').width == 120", seconds=30)
        dream = pixels(page)
        wanted = np.asarray(translator(photo))
        assert dream.shape == wanted.shape
        # a pixel on the border of two clusters may fall to the other side
        assert np.abs(dream.astype(int) - wanted).mean() < 1
        page.find_element("id", "seen").click()
        page.find_element("css selector", "[data-layout=side]").click()
        page.until("document.querySelector('#picture').width == 240")
        shown, _ = translator.see(np.asarray(photo)[None])
        wanted = shown[0].permute(1, 2, 0).add(1).mul(127.5).numpy()
        wait(lambda: np.abs(pixels(page)[:, :120] - wanted).mean() < 1)


def test_at_the_camera(exported: Path, tmp_path: Path) -> None:
    with opened(exported, tmp_path, *camera(y4m(tmp_path / "camera.y4m"))) as page:
        page.find_element("css selector", "#welcome [data-source=browser]").click()
        page.until("document.querySelector('#rate').textContent > 0", seconds=30)
        first = pixels(page)
        wait(lambda: np.abs(pixels(page).astype(int) - first).mean() > 2)
        for width, height in ((1280, 900), (390, 844)):
            page.fits(width, height)


def test_what_is_no_picture_is_said(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "no.jpg").write_text("nothing")
    with opened(exported, tmp_path) as page:
        choose(page, tmp_path / "no.jpg")
        page.until("document.querySelector('#trouble').textContent.includes('no.jpg cannot be shown')")


def test_a_browser_that_can_neither(exported: Path, tmp_path: Path) -> None:
    lacking = "delete window.WebAssembly; Object.defineProperty(navigator, 'gpu', {value: undefined})"
    with opened(exported, tmp_path, lacking=lacking, runs=False) as page:
        page.until("document.querySelector('#trouble').textContent.includes('neither WebAssembly nor WebGPU')")


def test_a_classifier_reads_the_artist(named: Path, named_page: ExportSummary, tmp_path: Path) -> None:
    photo = Image.fromarray(load_sample_image("flower.jpg")).resize((448, 448))
    photo.save(tmp_path / "photo.png")
    with opened(named_page.out, tmp_path) as page:
        assert not page.run("document.querySelector('#mirror').checked")  # it was not taught on mirror images
        choose(page, tmp_path / "photo.png")
        page.until("document.querySelectorAll('#labels li').length == 3", seconds=30)
        found = page.run("[...document.querySelectorAll('#labels li')].map(li => li.querySelector('bdi').textContent)")
        assert found == list(Classifier.load(named, device="cpu")(photo))
        page.until("document.querySelector('#state').textContent === arguments[0]", found[0])  # for who hears the page
