"""A run's folder: the model, the state to resume from, the log, the samples. Safe to kill at any moment.

model.safetensors   the generator's moving average; its header is JSON and rebuilds everything
state.pt            both networks, optimisers and the moving average, to resume from; state.previous.pt before it
log.jsonl           every figure
training_set.json   which pictures it has learnt from, which were held out, and where they were; not in the model,
                    which may be given away
samples/            grids of condition | output | photo
training.mp4        the samples as a film
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, ZipFile

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from beautynet import files, networks
from beautynet.errors import OUT_OF_MEMORY, BeautyError
from beautynet.files import atomic, held, write_bytes, write_text

CHECKPOINTS = Path("checkpoints")
MODEL, STATE, PREVIOUS_STATE, LOG = "model.safetensors", "state.pt", "state.previous.pt", "log.jsonl"
HEADER, CHECKSUM = "beautynet", "crc32"
SAMPLES = "samples"
TRAINING_SET, LOCK = "training_set.json", "lock"


class Kind(NamedTuple):
    """A kind of model, and what is said of it."""

    name: str
    """In the header."""
    file: str
    """What it is called in a run's folder."""
    noun: str
    made_by: str


GENERATOR = Kind("beautynet generator", MODEL, "checkpoint", "beautynet train")
CLASSIFIER = Kind("beautynet classifier", "classifier.safetensors", "classifier", "beautynet classify train")
KINDS = (GENERATOR, CLASSIFIER)


def newest_first(file: str = MODEL) -> list[Path]:
    """The files of that name in the runs' folders in `checkpoints/`, the newest first."""
    return sorted(CHECKPOINTS.glob(f"*/{file}"), key=lambda path: -path.stat().st_mtime)


def find(checkpoint: str | Path | None = None, kind: Kind = GENERATOR) -> Path:
    """The model file of a checkpoint: a file, a run's folder, or its name in `checkpoints/`; None is the newest."""
    if checkpoint is None:
        if models := newest_first(kind.file):
            return models[0]
        raise BeautyError(f"no {kind.noun} in checkpoints/ yet: make one with `{kind.made_by}`")
    given = Path(checkpoint)
    for path in (given, given / kind.file, CHECKPOINTS / given / kind.file):
        if path.is_file():
            return path
    raise BeautyError(f"no {kind.noun} at {given}: make one with `{kind.made_by}`, or name a folder in checkpoints/")


def find_any(model: str | Path | None = None) -> tuple[Path, Kind]:
    """As `find`, a checkpoint or a classifier, whichever there is, and which it is; None is the newest checkpoint."""
    try:
        path = find(model)
    except BeautyError:
        if model is not None:
            with suppress(BeautyError):
                return find(model, CLASSIFIER), CLASSIFIER
        raise
    with _opened(path) as file, suppress(KeyError, ValueError, TypeError, RecursionError):
        if json.loads(file.metadata()[HEADER])["kind"] == CLASSIFIER.name:
            return path, CLASSIFIER
    return path, GENERATOR


def save_model(path: Path, generator: networks.Generator, header: dict[str, Any]) -> dict[str, Any]:
    """Write the generator with `header` (JSON: condition, size, config, progress) atomically as safetensors.

    Returns the header as it was written: with the weights it is all that `write_model` needs.
    """
    shape = {"width": generator.width, "depth": generator.depth, "groups": generator.groups}
    header = {"generator": shape, **header}
    write_model(path, generator.state_dict(), header)
    return header


def write_model(path: Path, weights: Mapping[str, Tensor], header: dict[str, Any], kind: Kind = GENERATOR) -> None:
    """Write the weights of a model with its `header` (JSON) atomically as safetensors."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    metadata = {HEADER: json.dumps({"kind": kind.name, "format": 1, **header})}
    write_bytes(path, save(weights, {**metadata, CHECKSUM: checksum(metadata, weights)}))


def checksum(metadata: dict[str, str], weights: dict[str, Tensor]) -> str:
    """CRC-32 of the header and the weights: safetensors has none of its own, and a flipped bit is a weight too."""
    crc = zlib.crc32(metadata[HEADER].encode())
    for name, tensor in sorted(weights.items()):
        crc = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), crc)
        crc = zlib.crc32(tensor.view(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"


def read_header(path: Path, kind: Kind = GENERATOR) -> dict[str, Any]:
    """The header alone. One clear line for a file of another kind."""
    with _opened(path) as file:
        metadata = file.metadata() or {}
    try:
        header: dict[str, Any] = json.loads(metadata[HEADER])
        if not isinstance(header, dict):
            raise TypeError
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise BeautyError(f"{path} is not a beautynet checkpoint: its header is missing") from error
    if header.get("kind") != kind.name:
        raise BeautyError(f"{path} is a {header.get('kind', 'checkpoint of another kind')}, not a {kind.name}")
    if header.get("format") != 1:
        raise BeautyError(f"{path} was written by a newer beautynet (format {header.get('format')}): please update")
    return header


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        again = "; the same `beautynet train` writes it anew" if (path.parent / STATE).exists() else ""
        why = f"not a readable safetensors file ({error})"
        raise BeautyError(f"{path} is not a beautynet checkpoint: {why}{again}") from error


@contextmanager
def rebuilding(path: Path) -> Iterator[None]:
    """Whatever a header says that cannot be built from becomes one clear line."""
    try:
        yield
    except (LookupError, TypeError, ValueError, RuntimeError, BeautyError) as error:
        raise BeautyError(f"{path} is not a beautynet checkpoint: its header is damaged ({error})") from error


def load_generator(path: Path) -> tuple[networks.Generator, dict[str, Any]]:
    """The generator (CPU, float32) and its header. No code from the file is run."""
    header = read_header(path)
    with _opened(path) as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a dict)
    with rebuilding(path):
        # whatever size it claims, memory is taken for what is there only
        claimed = {"groups": networks.GROUPS_BEFORE, **header["generator"]}
        there = {**networks.size_of(shapes), "groups": claimed["groups"]}
        if claimed != there:
            raise ValueError(f"its weights are of {there}, it claims {claimed}")
        with torch.device("meta"):
            wanted = {name: tuple(weight.shape) for name, weight in networks.Generator(**there).state_dict().items()}
        if shapes != wanted:
            raise ValueError("it has other weights than such a network")
        with torch.random.fork_rng([]):  # whose first weights are drawn, and not kept
            generator = networks.Generator(**there)
    fill(generator, read_weights(path), path)
    return generator, header


def fill(module: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Fill `module` with the weights from `path`; a BeautyError if they are not its own."""
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise BeautyError(f"the weights in {path} do not fit: it is of another size (try the same --preset)") from error


def read_weights(path: Path, kind: Kind = GENERATOR) -> dict[str, Tensor]:
    """The weights in `path`, whose header was read, as they were written; a BeautyError if they are not."""
    with _opened(path) as file:
        # a copy: Windows lets nobody write a file anew whose bytes are in use
        weights = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a dict)
        metadata = file.metadata()
    if metadata.get(CHECKSUM, intact := checksum(metadata, weights)) != intact:  # files of before 2026-11-21 have none
        raise BeautyError(f"{path} is damaged: its checksum is wrong; `{kind.made_by}` writes it anew")
    return weights


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the training state; the one before stays as state.previous.pt until the next save."""
    with atomic(folder / STATE) as temporary:
        with open(temporary, "wb") as file:  # torch's own writer knows no full disk
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())  # before the one before it gives up its name
        with suppress(FileNotFoundError):
            files.replace(folder / STATE, folder / PREVIOUS_STATE)


def load_state(folder: Path) -> dict[str, Any] | None:
    """The newest readable training state, on the CPU; None if the folder has none. Loading runs no code."""
    unreadable: list[str] = []
    for path in (folder / STATE, folder / PREVIOUS_STATE):
        try:
            with ZipFile(path) as archive:  # torch.load would not look whether the tensors are as they were written
                if archive.testzip():
                    unreadable.append(f"{path.name} (its checksum is wrong)")
                    continue
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            continue
        except (PermissionError, MemoryError):  # no sign of damage
            raise
        except Exception as error:  # a damaged archive raises any of a dozen kinds
            if OUT_OF_MEMORY.search(str(error)):
                raise
            unreadable.append(f"{path.name} ({_why_unreadable(error)})")
            continue
        state["unreadable"] = unreadable
        return state
    if unreadable:
        raise BeautyError(f"cannot resume {folder}: {' and '.join(unreadable)} cannot be read; start anew with --name")
    return None


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or "the disk does not give it"
    return "not a whole file" if isinstance(error, BadZipFile) else "not what a run saves"


def alone(folder: Path) -> AbstractContextManager[None]:
    """Be the only run in `folder`, which is made; BeautyError where another one is at work in it."""
    return held(folder / LOCK, f"another run is at work in {folder}: wait for it, or --name for a new run")


def mend(folder: Path, state: dict[str, Any]) -> bool:
    """Leave nothing damaged beside a `state` that was read: whether the model had to be written anew.

    A damaged state.pt goes, or the next save would put it in the place of the good one before it.
    """
    if state["unreadable"]:
        (folder / STATE).unlink(missing_ok=True)
    try:
        load_generator(folder / MODEL)
    except BeautyError:
        if "header" in state:  # those of before 2026-11-28 have none
            write_model(folder / MODEL, state["average"], state["header"])
            return True
    return False


class TrainingSet(NamedTuple):
    """What a run has learnt from, and what not."""

    place: str = ""
    """The folder of the photos."""
    pictures: frozenset[str] = frozenset()
    """SHA-256 of each that it has seen: of the photos, in practice, or as the run that it began from."""
    held_out: frozenset[str] = frozenset()
    """And of each photo that was held out."""


def read_training_set(folder: Path) -> TrainingSet:
    """What the run in `folder` has learnt from; an empty one where it does not say. The first told of practice only."""
    try:
        found = json.loads((folder / TRAINING_SET).read_text(encoding="utf-8"))
        # those of before 2026-11-28 may have another name, and no list of what was held out
        seen, held_out = found.get("pictures", found.get("practised")), found.get("held_out", ())
        return TrainingSet(str(found["place"]), frozenset(map(str, seen)), frozenset(map(str, held_out)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return TrainingSet()


def write_training_set(folder: Path, seen: TrainingSet) -> None:
    """Say what the run in `folder` has learnt from."""
    lists = {"pictures": sorted(seen.pictures), "held_out": sorted(seen.held_out)}
    write_text(folder / TRAINING_SET, json.dumps({"place": seen.place, **lists}, indent=0))


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The rows of the log, oldest first; half a line, as a kill or a full disk leaves it, is left out."""
    rows: list[dict[str, Any]] = []
    with suppress(FileNotFoundError), open(folder / LOG, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with suppress(ValueError):
                rows.append(json.loads(line))
    return rows


def rewind(folder: Path, steps: int, samples: int) -> None:
    """Drop what a run that was killed logged and sampled after its last save: it is going to do that again."""
    rows = [row for row in read_log(folder) if row["steps"] <= steps]
    write_text(folder / LOG, "".join(json.dumps(row) + "\n" for row in rows))
    for sample in samples_in(folder)[samples:]:
        sample.unlink()


def samples_in(folder: Path) -> list[Path]:
    """The grids that the run in `folder` has left, oldest first."""
    return sorted((folder / SAMPLES).glob("[0-9]*.png"))
