"""Exports: each alone does what Translator does, at other sizes and batches than it was traced with."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
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
    left, memory = [], None
    for number, frame in enumerate(frames):
        network = follow if number else begin
        names = [each.name for each in network.get_inputs()]
        shown, *left = network.run(None, dict(zip(names, [frame.numpy(), *left], strict=True)))
        wanted, memory = recipe(frame, memory)
        assert np.abs(shown - wanted.numpy()).mean() < 0.01


def test_a_page_of_clusters_remembers_the_frame_before(page: ExportSummary, checkpoint: Path, crops: Tensor) -> None:
    remembers(page.out, Translator.load(checkpoint, device="cpu", precision="float32").condition, crops)


def test_a_page_of_edges_remembers_the_frame_before(crops: Tensor, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    recipe = Condition("edges", size=96)
    photo = images.resize(crops[:1], 96, 120)
    assert [*_for_films(recipe, torch.zeros(1, 3, 64, 96), sides(), tmp_path, photo)] == [BEGIN, FOLLOW]
    remembers(tmp_path, recipe, crops)


def test_a_condition_that_remembers_nothing_has_no_second_page(
    crops: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr("beautynet.verbs.export._written", lambda *given: written.append(given[-1].name))
    found = _for_films(Condition("blur", size=96), torch.zeros(1, 3, 64, 96), sides(), tmp_path, crops[:1])
    assert [*found] == written == [BEGIN]


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
