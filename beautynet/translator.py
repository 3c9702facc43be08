"""The one way to run a model: a checkpoint's eyes (its condition) and its hand (its generator) together."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from beautynet import checkpoint as checkpoints
from beautynet import conditions, images
from beautynet.conditions import Condition
from beautynet.config import STEADY
from beautynet.decode import Unreadable, decode
from beautynet.devices import autocast, free_memory, pick_device
from beautynet.errors import BeautyError
from beautynet.files import Paths, listed
from beautynet.networks import Generator, bytes_per_pixel
from beautynet.steady import Moment, lean
from beautynet.tiles import tiled

if TYPE_CHECKING:
    from beautynet.media import Frame


class Memory(NamedTuple):
    """What a frame of a film leaves to the next: what its condition remembers, and what became of it."""

    seen: conditions.Memory
    moment: Moment | None


def _pictures(paths: Paths, size: int) -> Iterator[Tensor]:
    for path in listed(paths):
        try:
            picture = images.to_tensor(np.asarray(decode(path)))
        except Unreadable as reason:
            raise BeautyError(f"cannot read {path} ({reason}): choose another picture for the colours") from reason
        yield images.resize(picture, *images.scaled_to(picture.shape[2], picture.shape[3], size))


def _steadiness(steady: float) -> float:
    if not 0 <= steady <= 1:
        raise BeautyError(f"steady {steady:g} will not do: it has to be 0..1")
    return steady


class Translator:
    """Picture in, dream out.

    translator = Translator.load("checkpoints/flowers")
    translator(Image.open("dump.jpg")).save("flowers.jpg")
    for frame in translator.film("walk.mp4"):
        show(frame.picture, frame.time)
    """

    def __init__(
        self, generator: Generator, condition: Condition, device: torch.device, precision: str = "auto"
    ) -> None:
        self.device, self.precision = device, precision
        self.generator = generator.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.condition = condition
        self.size = condition.size
        """Shorter side in px at which the network works; pictures are scaled to it and the dream back."""
        self.steady = STEADY
        """0..1: how much of a film's dream is the one before it, moved along; 0 paints each frame by itself."""
        self.most_pixels: int | None = None
        """Pixels that the generator paints at once; None is what half of the free memory does for."""
        self.header: dict[str, Any] = {}

    @classmethod
    def load(
        cls,
        checkpoint: str | Path | None = None,
        *,
        device: str = "auto",
        size: int | None = None,
        abstraction: float | None = None,
        colors: Paths = (),
        steady: float = STEADY,
        precision: str = "auto",
    ) -> Translator:
        """Load a checkpoint (file, folder or name in `checkpoints/`; None is the newest).

        `size` is the shorter side in px at which the network works (default: the one it was trained at);
        `abstraction` (0..1) replaces the recipe's own; `colors` are pictures that lend their colours instead of the
        training photos; `steady` (0..1) is how much a film's dream leans on the one before it; `precision` is
        "float32", or "auto" for bfloat16 where it helps.
        """
        path = checkpoints.find(checkpoint)
        generator, header = checkpoints.load_generator(path)
        with checkpoints.rebuilding(path):
            condition = Condition(**header["condition"])
        if abstraction is not None:
            condition = replace(condition, abstraction=abstraction)
        if colors:
            if condition.kind != "clusters" or condition.palette == "ranked":
                raise BeautyError(f"{path} borrows no colours: train with `--condition clusters --palette borrowed`")
            condition = replace(condition, palette="borrowed").lent_by(_pictures(colors, condition.size))
        translator = cls(generator, condition, pick_device(device), precision)
        translator.header = header
        return translator.varied(size=size, steady=steady)

    def varied(self, *, size: int | None = None, steady: float | None = None, **recipe: Any) -> Translator:
        """The same network with another size, steadiness or fields of its `Condition`; None leaves what there is.

        It shares the weights, so it costs nothing. Raises BeautyError.
        """
        other = copy.copy(self)
        other.__dict__.pop("identity", None)
        other.condition = replace(self.condition, **{n: value for n, value in recipe.items() if value is not None})
        other.size = size or self.size
        other.steady = _steadiness(self.steady if steady is None else steady)
        return other

    def __call__(self, picture: Image.Image) -> Image.Image:
        """The dream of one picture, of the same size, mode RGB."""
        dream, _ = self.dream(np.asarray(picture.convert("RGB"))[None])
        return Image.fromarray(dream[0])

    def dream(self, frames: np.ndarray, memory: Memory | None = None) -> tuple[np.ndarray, Memory]:
        """Consecutive frames of a film, uint8 RGB (N, H, W, 3) -> their dreams, same shape, and the new memory.

        Hand the memory to the next call, so that the film stays steady; None at the start and after a cut.
        """
        _, dreams, memory = self.translate(frames, memory)
        return dreams, memory

    def translate(self, frames: np.ndarray, memory: Memory | None = None) -> tuple[Tensor, np.ndarray, Memory]:
        """As `dream`, but first what the network was shown: (N, 3, h, w) in [-1, 1]."""
        shown, seen = self.see(frames, memory and memory.seen)
        painted, moment = self.hold(frames, self.paint(shown), memory and memory.moment)
        height, width = frames.shape[1:3]
        return shown, images.resize_uint8(images.to_uint8(painted), height, width), Memory(seen, moment)

    def film(self, path: str | Path, start: float = 0, end: float | None = None) -> Iterator[Frame]:
        """The film at `path`, or what is between `start` and `end` (seconds) of it, frame by frame as dreamt.

        Each `media.Frame` has a picture, uint8 RGB (H, W, 3), its time and its duration. Raises BeautyError.
        """
        from beautynet.media import Film, in_batches

        memory: Memory | None = None
        with Film(path, start, end) as film:
            for frames, after_cut in in_batches(film):
                pictures = np.stack([frame.picture for frame in frames])
                dreams, memory = self.dream(pictures, None if after_cut else memory)
                for frame, dream in zip(frames, dreams, strict=True):
                    yield frame._replace(picture=dream)

    @cached_property
    def identity(self) -> str:
        """What decides how a film is dreamt, as a digest: the network, its condition, size and steadiness."""
        digest = hashlib.sha256(repr((self.condition, self.size, self.steady, self.precision)).encode())
        for name, weights in self.generator.state_dict().items():
            digest.update(name.encode())
            digest.update(weights.cpu().flatten().contiguous().view(torch.uint8).numpy())
        return digest.hexdigest()

    @staticmethod
    def pack(memory: Memory) -> dict[str, np.ndarray]:
        """A memory as arrays, to be kept in a file."""
        packed = {f"seen{number}": each.cpu().numpy() for number, each in enumerate(memory.seen or ())}
        return packed if memory.moment is None else {**packed, **memory.moment._asdict()}

    def unpack(self, packed: Mapping[str, np.ndarray]) -> Memory:
        """The memory that `pack` was given."""
        seen = [torch.from_numpy(packed[name]).to(self.device) for name in sorted(packed) if name.startswith("seen")]
        return Memory(tuple(seen) or None, Moment(packed["frame"], packed["dream"]) if "frame" in packed else None)

    def see(self, frames: np.ndarray, memory: conditions.Memory = None) -> tuple[Tensor, conditions.Memory]:
        """What the network is shown for uint8 (N, H, W, 3) frames, at its own scale: (N, 3, h, w) in [-1, 1]."""
        height, width = frames.shape[1:3]
        height, width = images.scaled_to(height, width, self.size)
        photos = images.to_tensor(images.resize_uint8(frames, height, width), self.device)
        with torch.inference_mode():
            return self.condition.film(photos, memory)

    @torch.inference_mode()
    def paint(self, shown: Tensor) -> Tensor:
        """Conditions (N, 3, h, w) in [-1, 1], any h and w -> the generator's pictures, same shape and range.

        What memory does not do for is painted picture by picture, and what is too large even so in tiles.
        """
        pixels = shown.shape[-2] * shown.shape[-1]
        most = self.most_pixels or free_memory(self.device) // (2 * bytes_per_pixel(self.generator.width))
        if len(shown) * pixels <= most:
            return self._paint(shown)
        if pixels <= most:
            return torch.cat([self._paint(each[None]) for each in shown])
        return torch.cat([tiled(self._paint, each[None], math.isqrt(most)) for each in shown])

    def _paint(self, shown: Tensor) -> Tensor:
        height, width = shown.shape[-2:]
        padded = images.pad_to_multiple(shown, self.generator.multiple).contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.precision):
            painted: Tensor = self.generator(padded)
        return painted[:, :, :height, :width].float()

    def hold(self, frames: np.ndarray, painted: Tensor, before: Moment | None) -> tuple[Tensor, Moment | None]:
        """What was painted for the frames of a film, (N, 3, h, w), held still; and what the frame after them needs."""
        if not self.steady:
            return painted, None
        dreams, moment = lean(frames, painted.permute(0, 2, 3, 1).contiguous().cpu().numpy(), before, self.steady)
        return torch.from_numpy(dreams).permute(0, 3, 1, 2).to(self.device), moment
