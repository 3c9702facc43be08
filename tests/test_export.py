"""Exports: each alone does what Translator does, at other sizes and batches than it was traced with.

A page does so in a real browser, too, and nothing leaves it.
"""

import base64
import functools
import importlib.util
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import WEBGPU, Browser, browser, camera, wait
from PIL import Image
from sklearn.datasets import load_sample_image
from test_browser_runtime import Quiet
from test_live import y4m
from torch import Tensor

from beautynet import images
from beautynet.classifying.classifier import Classifier, Namer
from beautynet.conditions import CONDITIONS, Condition
from beautynet.errors import BeautyError
from beautynet.translator import Translator
from beautynet.verbs.export import (
    BEGIN,
    EXPORTERS,
    FOLLOW,
    Exportable,
    ExportSummary,
    Looker,
    Step,
    _for_films,
    _step,
    export,
)

NOISE = "No available adapters"
"""What Chromium says of itself where there is no GPU."""


@pytest.fixture(scope="module")
def page(checkpoint: Path, ort_web: None, tmp_path_factory: pytest.TempPathFactory) -> ExportSummary:  # noqa: ARG001
    """The checkpoint as a folder for any web server; such exports take long, and are only looked at."""
    return export(checkpoint, format="web", out=tmp_path_factory.mktemp("web") / "page")


@pytest.fixture(scope="module")
def named_page(named: Path, ort_web: None, tmp_path_factory: pytest.TempPathFactory) -> ExportSummary:  # noqa: ARG001
    """The same, of the classifier."""
    return export(named, format="web", out=tmp_path_factory.mktemp("web") / "named")


def run_onnx(path: Path, photo: Tensor) -> Tensor:
    session = pytest.importorskip("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"photo": photo.numpy()})[0])


def run_pt2(path: Path, photo: Tensor) -> Tensor:
    dream: Tensor = torch.export.load(path).module()(photo)
    return dream


def run_safetensors(path: Path, photo: Tensor) -> Tensor:
    translator = Translator.load(path, device="cpu", precision="float32")
    return translator.paint(translator.condition(photo)[0])


def run_web(path: Path, photo: Tensor) -> Tensor:
    for name in ("model.onnx",) if (path / "model.onnx").exists() else (BEGIN, "generator.onnx"):
        session = pytest.importorskip("onnxruntime").InferenceSession(path / name, providers=["CPUExecutionProvider"])
        found = [session.run(None, {session.get_inputs()[0].name: each[None].numpy()})[0] for each in photo]
        photo = torch.from_numpy(np.concatenate(found))
    return photo


RUNNERS: dict[str, Callable[[Path, Tensor], Tensor]] = {
    "onnx": run_onnx,
    "pt2": run_pt2,
    "safetensors": run_safetensors,
    "web": run_web,
}


def exported(model: Path, format: str, page: str, request: pytest.FixtureRequest, tmp_path: Path) -> ExportSummary:
    """A model in a format; as a page, the one that other tests look at too. Skips the test without what that needs."""
    if format == "web":
        summary: ExportSummary = request.getfixturevalue(page)
        return summary
    for module in ("onnx", "onnxscript", "onnxruntime") if format == "onnx" else ():
        pytest.importorskip(module)
    return export(model, format=format, out=tmp_path / f"dream.{format}")


@pytest.mark.parametrize("format", EXPORTERS)
def test_an_export_is_the_translator(
    format: str, checkpoint: Path, crops: Tensor, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    summary = exported(checkpoint, format, "page", request, tmp_path)
    assert summary.out.name == ("page" if format == "web" else f"dream.{format}")
    assert list(summary.out.parent.iterdir()) == [summary.out]
    assert summary.mean_difference * 255 < 0.5
    assert "differs from our own" in summary.sentence()
    translator = Translator.load(checkpoint, device="cpu", precision="float32")
    for photo in (images.resize(crops[:1], 80, 80), images.resize(crops[1:4], 88, 144)):
        wanted = images.to_uint8(translator.paint(translator.condition(photo)[0])).astype(int)
        dream = images.to_uint8(RUNNERS[format](summary.out, photo).detach())
        assert np.abs(dream - wanted).mean() < 0.5


def test_unknown_format(checkpoint: Path) -> None:
    with pytest.raises(BeautyError, match="onnx, pt2, safetensors"):
        export(checkpoint, format="tflite")


def test_a_missing_extra_is_named(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(BeautyError, match=r"onnxscript: `pip install .*\[onnx\]"):
        export(checkpoint, out=tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_the_checkpoint_is_never_overwritten(checkpoint: Path) -> None:
    before = checkpoint.read_bytes()
    with pytest.raises(BeautyError, match="the checkpoint itself"):
        export(checkpoint, format="safetensors", out=checkpoint)
    assert checkpoint.read_bytes() == before


def test_a_folder_is_no_file(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BeautyError, match="is a folder, and safetensors is one file"):
        export(checkpoint, format="safetensors", out=".")
    (tmp_path / "mine.txt").touch()
    with pytest.raises(BeautyError, match="something else"):
        export(checkpoint, format="web", out=".")
    assert export(checkpoint, format="safetensors", out="dream.safetensors").out.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dream.safetensors", "mine.txt"]


def test_a_checkpoint_where_one_is(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flowers").mkdir()
    (tmp_path / "flowers" / checkpoint.name).write_bytes(checkpoint.read_bytes())
    monkeypatch.chdir(tmp_path / "flowers")
    assert export(checkpoint.name, format="safetensors").out == Path("flowers.safetensors")
    (tmp_path / "latest").symlink_to(tmp_path / "flowers")
    assert export("../latest", format="safetensors").out == Path("../latest/latest.safetensors")


def test_an_export_that_differs_is_not_delivered(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(_: Exportable, out: Path) -> Callable[[Tensor], Tensor]:
        out.touch()
        return lambda photo: photo * 0

    monkeypatch.setitem(EXPORTERS, "wrong", wrong)
    with pytest.raises(BeautyError, match="not written"):
        export(checkpoint, format="wrong", out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", EXPORTERS)
def test_a_classifier_is_exported_too(
    format: str, named: Path, crops: Tensor, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = Classifier.load(named, device="cpu")
    summary = exported(named, format, "named_page", request, tmp_path)
    assert "448 px" in summary.sentence()
    squares = images.resize(crops[:2], 448, 448)
    if format == "onnx":
        session = pytest.importorskip("onnxruntime").InferenceSession(summary.out, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"picture": squares.numpy()})
        assert json.loads(session.get_modelmeta().custom_metadata_map["labels"]) == model.labels
    elif format == "web":
        found = run_web(summary.out, squares).numpy()
    elif format == "pt2":
        found = torch.export.load(summary.out).module()(squares).numpy()
    else:
        found = Namer(Classifier.load(summary.out, device="cpu"))(squares).numpy()
    for row, picture in zip(found, images.to_uint8(squares), strict=True):
        assert dict(zip(model.labels, row.tolist(), strict=True)) == pytest.approx(
            model(Image.fromarray(picture)), abs=0.02
        )


def sides() -> dict[int, Any]:
    """Sides that may vary, in steps of 8 px."""
    return {2: 8 * torch.export.Dim("rows", max=512), 3: 8 * torch.export.Dim("columns", max=512)}


def remembers(folder: Path, recipe: Condition, crops: Tensor) -> None:
    """A page's two networks see a film as its condition does."""
    onnxruntime = pytest.importorskip("onnxruntime")
    frames = [images.resize(crops[:1], 96, 120).roll(3 * number, 3) for number in range(4)]
    begin, follow = (onnxruntime.InferenceSession(folder / name) for name in (BEGIN, FOLLOW))
    left, memory, errors = [], None, []
    for number, frame in enumerate(frames):
        network = follow if number else begin
        names = [each.name for each in network.get_inputs()]
        shown, *left = network.run(None, dict(zip(names, [frame.numpy(), *left], strict=True)))
        wanted, memory = recipe(frame, memory)
        assert np.abs(shown - wanted.numpy()).mean() < 0.01
        errors.append([np.abs(shown - each.numpy()).mean() for each in (wanted, recipe(frame)[0])])
    with_memory, without = np.sum(errors, 0)
    assert with_memory < without / 2


def test_a_page_of_clusters_remembers_the_frame_before(page: ExportSummary, checkpoint: Path, crops: Tensor) -> None:
    remembers(page.out, Translator.load(checkpoint, device="cpu", precision="float32").condition, crops)


def test_a_page_of_edges_remembers_the_frame_before(crops: Tensor, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    recipe = Condition("edges", size=96)
    photo = images.resize(crops[:1], 96, 120)
    assert _for_films(recipe, torch.zeros(1, 3, 64, 96), sides(), tmp_path, photo)[0] == [BEGIN, FOLLOW]
    remembers(tmp_path, recipe, crops)


def test_a_condition_that_remembers_nothing_has_no_second_page(
    crops: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr("beautynet.verbs.export._written", lambda *given: written.append(given[-1].name))
    found, _ = _for_films(Condition("blur", size=96), torch.zeros(1, 3, 64, 96), sides(), tmp_path, crops[:1])
    assert found == written == [BEGIN]


@pytest.mark.parametrize("kind", sorted({*CONDITIONS} - {"clusters"}))  # which the checkpoint has, above
def test_every_condition_runs_elsewhere(kind: str, crops: Tensor, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    recipe = Condition(kind, size=96)
    step = Step("condition", Looker(recipe), "photo", "shown")
    shapes = {0: torch.export.Dim("batch"), **sides()}
    run = _step(step, torch.zeros(2, 3, 64, 96), shapes, tmp_path / "condition.onnx")
    for count, height, width in ((3, 64, 96), (1, 120, 88)):
        some = images.resize(crops[:count], height, width)
        assert (run(some) - recipe(some)[0]).abs().mean() < 0.01


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(page: ExportSummary) -> Path:
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
def test_the_dream_is_the_translators(flags: tuple[str, ...], folder: Path, checkpoint: Path, tmp_path: Path) -> None:
    translator = Translator.load(checkpoint, device="cpu", precision="float32", steady=0)
    photo = Image.fromarray(load_sample_image("china.jpg")).resize((120, translator.size))  # no resizing between
    photo.save(tmp_path / "photo.png")
    with opened(folder, tmp_path, *flags) as page:
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


def test_at_the_camera(folder: Path, tmp_path: Path) -> None:
    with opened(folder, tmp_path, *camera(y4m(tmp_path / "camera.y4m"))) as page:
        page.find_element("css selector", "#welcome [data-source=browser]").click()
        page.until("document.querySelector('#rate').textContent > 0", seconds=30)
        first = pixels(page)
        wait(lambda: np.abs(pixels(page).astype(int) - first).mean() > 2)
        for width, height in ((1280, 900), (390, 844)):
            page.fits(width, height)


def test_what_is_no_picture_is_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "no.jpg").write_text("nothing")
    with opened(folder, tmp_path) as page:
        choose(page, tmp_path / "no.jpg")
        page.until("document.querySelector('#trouble').textContent.includes('no.jpg cannot be shown')")


def test_a_browser_that_can_neither(folder: Path, tmp_path: Path) -> None:
    lacking = "delete window.WebAssembly; Object.defineProperty(navigator, 'gpu', {value: undefined})"
    with opened(folder, tmp_path, lacking=lacking, runs=False) as page:
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
