"""Exports: each alone does what Translator does, at other sizes and batches than it was traced with."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from beautynet import images
from beautynet.errors import BeautyError
from beautynet.translator import Translator
from beautynet.verbs.export import EXPORTERS, export


def run_onnx(path: Path, photo: Tensor) -> Tensor:
    session = pytest.importorskip("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"photo": photo.numpy()})[0])


def run_pt2(path: Path, photo: Tensor) -> Tensor:
    dream: Tensor = torch.export.load(path).module()(photo)
    return dream


def run_safetensors(path: Path, photo: Tensor) -> Tensor:
    translator = Translator.load(path, device="cpu", precision="float32")
    return translator.paint(translator.condition(photo)[0])


RUNNERS: dict[str, Callable[[Path, Tensor], Tensor]] = {
    "onnx": run_onnx,
    "pt2": run_pt2,
    "safetensors": run_safetensors,
}


@pytest.mark.parametrize("format", EXPORTERS)
def test_an_export_is_the_translator(format: str, checkpoint: Path, crops: Tensor, tmp_path: Path) -> None:
    if format == "onnx":
        for module in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(module)
    summary = export(checkpoint, format=format, out=tmp_path / f"dream.{format}")
    assert summary.out == tmp_path / f"dream.{format}"
    assert list(tmp_path.iterdir()) == [summary.out]
    assert summary.mean_difference * 255 < 0.5
    assert "Translator" in summary.sentence()
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


def test_an_export_that_differs_is_not_delivered(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(_: Translator, __: Path, out: Path) -> Callable[[Tensor], Tensor]:
        out.touch()
        return lambda photo: photo * 0

    monkeypatch.setitem(EXPORTERS, "wrong", wrong)
    with pytest.raises(BeautyError, match="not written"):
        export(checkpoint, format="wrong", out=tmp_path / "out")
    assert not list(tmp_path.iterdir())
