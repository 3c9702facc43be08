"""A checkpoint for use elsewhere. Each export holds the condition too (photo in, dream out) and is checked before it
is delivered: its output on a real photo against our own. Classifiers go the same way: picture in, probabilities out."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from beautynet import checkpoint as checkpoints
from beautynet import files, images
from beautynet.classifying.classifier import Classifier, Namer
from beautynet.conditions import Condition
from beautynet.errors import BeautyError, UsageError
from beautynet.networks import Generator
from beautynet.translator import Translator
from beautynet.web.browser_runtime import runtime
from beautynet.web.templates import filled

OPSET = 20
ABOUT = "about.json"
PAGES = ("stage.css", "stage.js", "web.js", "worker.js", "isolate.js")
"""Files in `pages/` that its page loads."""
TOLERANCE = 4 / 255
"""An export whose mean difference from our own output is larger is not delivered (both compute in float32)."""


@dataclass(frozen=True)
class ExportSummary:
    """An export and how far it is from our own on a photo, in steps of 1/255."""

    out: Path
    mean_difference: float
    largest_difference: float
    sizes: str

    def sentence(self) -> str:
        """What was written and how exact it is."""
        page = self.out.is_dir()
        size = sum(path.stat().st_size for path in (self.out.iterdir() if page else [self.out]))
        text = (
            f"{self.out} ({size / 1e6:.1f} MB), {self.sizes}: differs from our own on a photo by "
            f"{self.mean_difference * 255:.4f}/255 on average, {self.largest_difference * 255:.2f}/255 at most"
        )
        return f"{text}. Put it on any web server, or try it: python -m http.server -d {self.out}" if page else text


Run = Callable[[Tensor], Tensor]


class Looker(nn.Module):
    """A condition as a module: photo (N, 3, H, W) in [-1, 1] -> what the network is shown, same shape and range."""

    def __init__(self, condition: Condition) -> None:
        super().__init__()
        self.condition = condition

    def forward(self, photo: Tensor) -> Tensor:
        """Look, with no memory of a frame before."""
        return self.condition(photo)[0]


class Follower(nn.Module):
    """A condition with its memory, for films: photo (1, 3, H, W) and what the frame before it left -> what the network
    is shown, and what this frame leaves. Without a frame before it, it is told nothing of one.

    Memories are as in `conditions`, but that labels are (1, H, W): their number is no size of its own then.
    """

    def __init__(self, condition: Condition) -> None:
        super().__init__()
        self.condition = condition

    def forward(self, photo: Tensor, *before: Tensor) -> tuple[Tensor, ...]:
        """Look."""
        height, width = photo.shape[2:]
        flat = tuple(each.flatten(1) if _is_label(each) else each for each in before)
        shown, memory = self.condition(photo, flat or None)
        return shown, *(each.reshape(1, height, width) if _is_label(each) else each for each in memory or ())


def _is_label(memory: Tensor) -> bool:
    return memory.dtype == torch.int64


class Step(NamedTuple):
    """A part of a model: its name, what it does, what goes in and out."""

    name: str
    module: nn.Module
    input: str
    output: str


@dataclass(frozen=True)
class Exportable:
    """What exporters need to know of a model."""

    source: Path
    """Its file, one of ours."""
    steps: tuple[Step, ...]
    """One after the other they are the model."""
    example: Tensor
    shapes: dict[int, Any]
    """Which of the example's sides may vary."""
    load: Callable[[Path], nn.Module]
    """The model, from a file of ours."""
    size: int
    """Shorter side in px that it is meant for."""
    multiple: int = 1
    """Both sides have to be multiples of this."""
    labels: tuple[str, ...] = ()

    @classmethod
    def generator(cls, path: Path) -> Exportable:
        """A checkpoint: its condition, then its generator."""

        def load(path: Path) -> tuple[Step, ...]:
            translator = Translator.load(path, device="cpu", precision="float32")
            look = Step("condition", Looker(translator.condition).eval(), "photo", "shown")
            return look, Step("generator", translator.generator, "shown", "dream")

        steps = load(path)
        generator = steps[1].module
        assert isinstance(generator, Generator)
        multiple = generator.multiple
        most = 8192 // multiple
        sides = {2: multiple * torch.export.Dim("rows", max=most), 3: multiple * torch.export.Dim("columns", max=most)}
        example = torch.zeros(2, 3, 8 * multiple, 12 * multiple)
        shapes = {0: torch.export.Dim("batch"), **sides}
        size = checkpoints.read_header(path)["condition"]["size"]
        return cls(path, steps, example, shapes, lambda path: _in_a_row(load(path)), size, multiple)

    @classmethod
    def classifier(cls, path: Path) -> Exportable:
        """A classifier, with its backbone."""

        def load(path: Path) -> Namer:
            return Namer(Classifier.load(path, device="cpu")).eval()

        namer = load(path)
        side = 2 * namer.backbone.size
        example, shapes = torch.zeros(2, 3, side, side), {0: torch.export.Dim("batch")}
        labels = tuple(checkpoints.read_header(path, checkpoints.CLASSIFIER)["labels"])
        step = Step("model", namer, "picture", "probabilities")
        return cls(path, (step,), example, shapes, load, side, labels=labels)

    @property
    def module(self) -> nn.Module:
        """The whole model."""
        return _in_a_row(self.steps)

    @property
    def sizes(self) -> str:
        """What it takes, in words."""
        return f"squares of {self.size} px" if self.labels else f"sides in steps of {self.multiple} px"

    def photo(self) -> Tensor:
        """A real photo (scikit-learn's temple), where sides may vary of another shape than the example."""
        from sklearn.datasets import load_sample_image

        picture = images.to_tensor(np.asarray(load_sample_image("china.jpg")))
        if self.labels:
            return images.resize(picture, self.size, self.size)
        height, width = images.scaled_to(picture.shape[2], picture.shape[3], self.size)
        return images.resize(picture, *(side // self.multiple * self.multiple for side in (height, width)))


def _in_a_row(steps: Sequence[Step]) -> nn.Module:
    return nn.Sequential(*(step.module for step in steps)).eval() if len(steps) > 1 else steps[0].module


def onnx(model: Exportable, out: Path) -> Run:
    """One ONNX file, its labels as JSON among its properties; run in onnxruntime."""
    whole = Step("", model.module, model.steps[0].input, model.steps[-1].output)
    run = _step(whole, model.example, model.shapes, out)
    if model.labels:
        import onnx

        written = onnx.load(str(out))
        onnx.helper.set_model_props(written, {"labels": json.dumps(model.labels, ensure_ascii=False)})
        onnx.save(written, str(out))
    return run


def web(model: Exportable, out: Path) -> Run:
    """A folder for any web server: a page, the network, and what runs it in the visitor's browser."""
    sides = {axis: side for axis, side in model.shapes.items() if axis}  # one picture at a time
    networks, runs = [], list[Run]()
    for step in model.steps:
        if isinstance(step.module, Looker):
            written, run = _for_films(step.module.condition, model.example[:1], sides, out, model.photo())
        else:
            written = [f"{step.name}.onnx"]
            run = _step(step, model.example[:1], sides, out / written[0])
        networks += written
        runs.append(run)
    for path in runtime():  # a common server knows no .mjs, and a browser runs no script that is called something else
        shutil.copyfile(path, out / path.name.replace(".mjs", ".js"))
    (out / "index.html").write_text(filled("web"), encoding="utf-8")
    for name in PAGES:
        (out / name).write_bytes((resources.files("beautynet") / "pages" / name).read_bytes())
    about = {
        "name": files.with_a_name(model.source.parent).name,
        "networks": networks,
        "size": model.size,
        "multiple": model.multiple,
        "labels": model.labels or None,
    }
    (out / ABOUT).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
    return lambda photo: reduce(lambda picture, run: run(picture), runs, photo)


BEGIN, FOLLOW = "begin.onnx", "follow.onnx"
"""In a web page, the condition of a picture or a film's first frame, and that of the frames after it."""


def _for_films(
    condition: Condition, example: Tensor, sides: dict[int, Any], out: Path, photo: Tensor
) -> tuple[list[str], Run]:
    """Write a condition with its memory, as BEGIN and, where it remembers anything, FOLLOW, which is checked here.

    Which were written, and how BEGIN is run.
    """
    module = Follower(condition).eval()
    with torch.no_grad():
        _, *left = module(example)
    names = [f"memory{number}" for number in range(len(left))]
    outputs = ["shown", *(f"new_{name}" for name in names)]
    begin = _written(module, (example,), ["photo"], outputs, (sides,), out / BEGIN)
    if left:
        shapes = tuple(_as_sides_vary(each, example, sides) for each in left)
        follow = _written(module, (example, *left), ["photo", *names], outputs, (sides, shapes), out / FOLLOW)
        moved = photo.roll(2, 3)
        with torch.no_grad():
            wanted = module(moved, *module(photo)[1:])[0]
        difference = (follow(moved, *begin(photo)[1:])[0] - wanted).abs().mean() / 2
        if not difference <= TOLERANCE:
            raise BeautyError(f"the web export's second frame differs from ours by {difference:.3f}: not written")
    return [BEGIN, FOLLOW] if left else [BEGIN], lambda photo: begin(photo)[0]


def _as_sides_vary(memory: Tensor, photo: Tensor, sides: dict[int, Any]) -> dict[int, Any]:
    """Which sides of a memory vary with the photo's: labels (1, H, W), pictures (1, C, H, W), or none."""
    if _is_label(memory):
        return {1: sides[2], 2: sides[3]}
    return sides if memory.shape[-2:] == photo.shape[-2:] else {}


def _step(step: Step, example: Tensor, shapes: dict[int, Any], out: Path) -> Run:
    """A part of a model as ONNX."""
    run = _written(step.module, (example,), [step.input], [step.output], (shapes,), out)
    return lambda photo: run(photo)[0]


def _written(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    shapes: tuple[Any, ...],
    out: Path,
) -> Callable[..., list[Tensor]]:
    """Write a module as ONNX, and run it in onnxruntime."""
    for needed in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(needed) is None:
            raise BeautyError(f"ONNX export needs {needed}: `pip install 'beautynet[onnx]'`")
    import onnxruntime

    torch.onnx.export(
        module,
        examples,
        str(out),
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=shapes,
        opset_version=OPSET,
        external_data=False,
        dynamo=True,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])

    def run(*given: Tensor) -> list[Tensor]:
        named = dict(zip(inputs, (each.numpy() for each in given), strict=True))
        return [torch.from_numpy(found) for found in session.run(None, named)]

    return run


def pt2(model: Exportable, out: Path) -> Run:
    """A torch.export program, for Python and C++ without this package."""
    program = torch.export.export(model.module, (model.example,), dynamic_shapes=(model.shapes,))
    torch.export.save(program, out)
    return torch.export.load(out).module()


def safetensors(model: Exportable, out: Path) -> Run:
    """Our own model file: weights, recipe and history in one file that rebuilds itself and runs no code."""
    shutil.copyfile(model.source, out)
    return model.load(out)


EXPORTERS: dict[str, Callable[[Exportable, Path], Run]] = {
    "onnx": onnx,
    "pt2": pt2,
    "safetensors": safetensors,
    "web": web,
}


def export(
    checkpoint: str | Path | None = None, *, format: str = "onnx", out: str | Path | None = None
) -> ExportSummary:
    """Write `checkpoint` (None: the newest), or a classifier, as `format`, a name in EXPORTERS, and check it.

    Raises BeautyError.
    """
    if format not in EXPORTERS:
        raise UsageError(f"unknown format {format!r}: choose from {', '.join(EXPORTERS)}")
    source, kind = checkpoints.find_any(checkpoint)
    out = Path(out) if out else source.with_name(f"{files.with_a_name(source.parent).name}.{format}")
    if out.is_dir():
        if format != "web":
            raise BeautyError(f"{out} is a folder, and {format} is one file: choose another name with -o")
        out = out.resolve()  # "." has no name
    if out.resolve() == source.resolve():
        raise BeautyError(f"{out} is the checkpoint itself: choose another name with -o")
    model = Exportable.classifier(source) if kind is checkpoints.CLASSIFIER else Exportable.generator(source)
    photo = model.photo()
    with torch.no_grad():
        wanted = model.module(photo)
        with files.atomic_folder(out, ABOUT) if format == "web" else files.atomic(out) as temporary:
            run = EXPORTERS[format](model, temporary)
            difference = (run(photo) - wanted).abs() / 2
            if not difference.mean() <= TOLERANCE:
                raise BeautyError(f"the {format} export differs from ours by {difference.mean():.3f}: not written")
    return ExportSummary(out, difference.mean().item(), difference.max().item(), model.sizes)
