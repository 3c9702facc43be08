"""A checkpoint for use elsewhere. Each export holds the condition too (photo in, dream out) and is checked before it
is delivered: its output on a real photo against Translator's."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from beautynet import checkpoint as checkpoints
from beautynet import files, images
from beautynet.errors import BeautyError
from beautynet.translator import Translator

OPSET = 20
TOLERANCE = 4 / 255
"""An export whose mean difference from Translator is larger is not delivered (both compute in float32)."""


@dataclass(frozen=True)
class ExportSummary:
    """An export and how far it is from Translator on a photo, in steps of 1/255."""

    out: Path
    mean_difference: float
    largest_difference: float
    sizes: str

    def sentence(self) -> str:
        """What was written and how exact it is."""
        return (
            f"{self.out} ({self.out.stat().st_size / 1e6:.1f} MB), {self.sizes}: differs from Translator on a photo by "
            f"{self.mean_difference * 255:.4f}/255 on average, {self.largest_difference * 255:.2f}/255 at most"
        )


class Dreamer(nn.Module):
    """Condition and generator as one module: photo (N, 3, H, W) in [-1, 1] -> dream, same shape and range."""

    def __init__(self, translator: Translator) -> None:
        super().__init__()
        self.generator, self.condition = translator.generator, translator.condition

    def forward(self, photo: Tensor) -> Tensor:
        """Look, then paint. H and W are multiples of the generator's."""
        shown, _ = self.condition(photo)
        painted: Tensor = self.generator(shown)
        return painted


Run = Callable[[Tensor], Tensor]


def _traced(translator: Translator) -> tuple[Dreamer, Tensor, dict[str, Any]]:
    """What both tracing exporters need: the module, an example photo, and which of its sides may vary."""
    multiple = translator.generator.multiple
    most = 8192 // multiple
    sides = {2: multiple * torch.export.Dim("rows", max=most), 3: multiple * torch.export.Dim("columns", max=most)}
    example = torch.zeros(2, 3, 8 * multiple, 12 * multiple)
    return Dreamer(translator).eval(), example, {"photo": {0: torch.export.Dim("batch"), **sides}}


def onnx(translator: Translator, source: Path, out: Path) -> Run:  # noqa: ARG001
    """One ONNX file with any batch size and any sides that are multiples of the generator's; run in onnxruntime."""
    for module in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(module) is None:
            raise BeautyError(f"ONNX export needs {module}: `pip install 'beautynet[onnx]'`")
    import onnxruntime

    dreamer, example, shapes = _traced(translator)
    torch.onnx.export(
        dreamer,
        (example,),
        str(out),
        input_names=["photo"],
        output_names=["dream"],
        dynamic_shapes=shapes,
        opset_version=OPSET,
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    return lambda photo: torch.from_numpy(session.run(None, {"photo": photo.numpy()})[0])


def pt2(translator: Translator, source: Path, out: Path) -> Run:  # noqa: ARG001
    """A torch.export program, for Python and C++ without this package."""
    dreamer, example, shapes = _traced(translator)
    program = torch.export.export(dreamer, (example,), dynamic_shapes=shapes)
    torch.export.save(program, out)
    return torch.export.load(out).module()


def safetensors(translator: Translator, source: Path, out: Path) -> Run:  # noqa: ARG001
    """Our own model file: weights, recipe and history in one file that rebuilds itself and runs no code."""
    shutil.copyfile(source, out)
    return Dreamer(Translator.load(out, device="cpu"))


EXPORTERS: dict[str, Callable[[Translator, Path, Path], Run]] = {"onnx": onnx, "pt2": pt2, "safetensors": safetensors}


def export(checkpoint: str | Path | None = None, *, format: str = "onnx", out: Path | None = None) -> ExportSummary:
    """Write `checkpoint` (None: the newest) as `format`, a name in EXPORTERS, and check it. Raises BeautyError."""
    if format not in EXPORTERS:
        raise BeautyError(f"unknown format {format!r}: choose from {', '.join(EXPORTERS)}")
    source = checkpoints.find(checkpoint)
    translator = Translator.load(source, device="cpu", precision="float32")
    out = out or source.with_name(f"{source.parent.name}.{format}")
    if out.resolve() == source.resolve():
        raise BeautyError(f"{out} is the checkpoint itself: choose another name with -o")
    photo = _photo(translator.size, translator.generator.multiple)
    with torch.inference_mode():
        wanted = translator.paint(translator.condition(photo)[0])
        with files.atomic(out) as temporary:
            run = EXPORTERS[format](translator, source, temporary)
            difference = (run(photo) - wanted).abs() / 2
            if not difference.mean() <= TOLERANCE:
                raise BeautyError(
                    f"the {format} export differs from Translator by {difference.mean():.3f}: not written"
                )
    sizes = f"sides in steps of {translator.generator.multiple} px"
    return ExportSummary(out, difference.mean().item(), difference.max().item(), sizes)


def _photo(size: int, multiple: int) -> Tensor:
    """A real photo (scikit-learn's temple), of another shape than the export was traced with."""
    from sklearn.datasets import load_sample_image

    picture = images.to_tensor(np.asarray(load_sample_image("china.jpg")))
    height, width = picture.shape[-2:]
    height, width = images.scaled_to(height, width, size)
    return images.resize(picture, height // multiple * multiple, width // multiple * multiple)
