"""The one way to run a model: a checkpoint's eyes (its condition) and its hand (its generator) together."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from beautynet import checkpoint as checkpoints
from beautynet import conditions, images, networks
from beautynet.conditions import Condition
from beautynet.config import STEADY
from beautynet.decode import as_shown, decode_for
from beautynet.devices import alone, autocast, free_memory, layout, pick_device, placed
from beautynet.errors import BeautyError, UsageError
from beautynet.files import Paths, listed
from beautynet.film import steady_gpu
from beautynet.film.frames import BATCH, BATCH_GPU, Batch, Frame, in_batches
from beautynet.film.pipeline import ahead, computing, own_cores
from beautynet.film.steady import Movement, View, lean, watch
from beautynet.replay import Replay
from beautynet.tiles import tiled

FEWEST_PIXELS = 256**2
"""However little memory there seems to be, so many are painted at once: of smaller squares nothing can be made out."""
MEMORY_VERSION = 3
"""Goes up when a film remembers something else: a render that was interrupted before that begins anew."""


class Memory(NamedTuple):
    """What a frame of a film leaves to the next; nothing before a film, and after a cut."""

    seen: conditions.Memory = None
    """What its condition remembers."""
    view: View | None = None
    """What it looked like, of a film that is held still."""
    dream: np.ndarray | None = None
    """Before its detail was restored: (h, w, 3) in [-1, 1]."""


def _is_of(memory: Memory, height: int, width: int) -> bool:
    """Whether it was left by frames of this size, at the network's own scale."""
    if memory.dream is not None and memory.dream.shape[:2] != (height, width):
        return False
    for each in memory.seen or ():
        if each.ndim == 4:
            return tuple(each.shape[2:]) == (height, width)
    return not memory.seen or any(each[0].numel() == height * width for each in memory.seen)


class Passed(NamedTuple):
    """Consecutive frames of a film, from step to step; each (N, 3, h, w) in [-1, 1]."""

    shown: Tensor
    """What the network was shown."""
    painted: Tensor
    held: Tensor
    """The dreams, held still."""
    memory: Memory


_Begin = Callable[[Tensor, np.ndarray | None], Callable[[], Tensor]]
"""Begins to paint conditions, seen from places, and returns what waits for the pictures."""


class Dreamt(NamedTuple):
    """Neighbouring frames of a film, and what became of them."""

    frames: list[Frame]
    dreams: np.ndarray
    """uint8 RGB (N, H, W, 3)."""
    memory: Memory
    """For what comes after them."""


class _Stage(NamedTuple):
    """Neighbouring frames of a film on their way."""

    batch: Batch
    pictures: Tensor
    """What the network is shown of them, then what it paints: (N, 3, h, w) in [-1, 1]."""
    seen: conditions.Memory
    """What the condition remembers after them."""
    moved: Movement | None
    """What moved in them, where the film is held still."""


def _as_large(dreams: Tensor, height: int, width: int) -> np.ndarray:
    """Dreams (N, 3, h, w) in [-1, 1] as uint8 (N, height, width, 3)."""
    return images.resize_uint8(images.to_uint8(dreams), height, width)


def _pictures(paths: Paths, size: int) -> Iterator[Tensor]:
    for path in listed(paths):
        picture = images.to_tensor(np.asarray(decode_for(path, "for the colours")))
        yield images.resize(picture, *images.scaled_to(picture.shape[2], picture.shape[3], size))


class Translator:
    """Picture in, dream out.

    translator = Translator.load("checkpoints/flowers")
    translator(Image.open("dump.jpg")).save("flowers.jpg")
    for frame in translator.film("walk.mp4"):
        show(frame.picture, frame.time)
    """

    def __init__(
        self, generator: networks.Generator, condition: Condition, device: torch.device | str, precision: str = "auto"
    ) -> None:
        """Takes the generator over: it is moved to the device, and put into evaluation mode."""
        if precision not in ("auto", "float32"):
            raise UsageError(f"precision {precision!r} will not do: it has to be auto or float32")
        self.device, self.precision = torch.device(device), precision
        with alone(self.device):
            self.generator = generator.to(**placed(self.device)).eval()
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
        other.condition = replace(self.condition, **{n: value for n, value in recipe.items() if value is not None})
        other.size = self.size if size is None else size
        if not 1 <= other.size <= conditions.MOST_PX:
            raise UsageError(f"size {size} will not do: it has to be 1..{conditions.MOST_PX} px")
        other.steady = self.steady if steady is None else steady
        if not 0 <= other.steady <= 1:
            raise UsageError(f"steady {other.steady:g} will not do: it has to be 0..1")
        return other

    def __call__(self, picture: Image.Image) -> Image.Image:
        """The dream of one picture, upright, of the same size, mode RGB."""
        dream, _ = self.dream(np.asarray(as_shown(picture))[None])
        return Image.fromarray(dream[0])

    def dream(self, frames: np.ndarray, memory: Memory | None = None) -> tuple[np.ndarray, Memory]:
        """Consecutive frames of a film, uint8 RGB (N, H, W, 3) -> their dreams, same shape, and the new memory.

        Hand the memory to the next call, so that the film stays steady; None at the start and after a cut. One of
        frames of another size is forgotten. Raises UsageError for what are no frames.
        """
        _, dreams, memory = self.translate(frames, memory)
        return dreams, memory

    def translate(self, frames: np.ndarray, memory: Memory | None = None) -> tuple[Tensor, np.ndarray, Memory]:
        """As `dream`, but first what the network was shown: (N, 3, h, w) in [-1, 1]."""
        passed = self.passed(frames, memory)
        return passed.shown, _as_large(passed.held, *np.shape(frames)[1:3]), passed.memory

    def passed(self, frames: np.ndarray, memory: Memory | None = None) -> Passed:
        """As `dream`, with all there is on the way, at the network's own scale."""
        frames = np.asarray(frames)
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size:
            given = f"{frames.dtype} {frames.shape}"
            raise UsageError(f"frames have to be uint8 RGB, an array of shape (N, H, W, 3), not {given}")
        small = self._sized(frames)
        before = memory if memory and _is_of(memory, *small.shape[1:3]) else Memory()
        moved = self._watch(small, before.view)
        shown, seen = self.see(small, before.seen)
        painted = self.paint(shown, moved and moved.places)
        held, dream = self._hold(painted, moved, before.dream)
        return Passed(shown, painted, held, Memory(seen, moved and moved.view, dream))

    def film(
        self, path: str | Path, start: float = 0, end: float | None = None, fps: float | None = None
    ) -> Generator[Frame]:
        """The film at `path`, or what is between `start` and `end` (seconds) of it, frame by frame as dreamt.

        Each `frames.Frame` has a picture, uint8 RGB (H, W, 3), its time, from 0 at `start`, and its duration, both
        fractions of a second. Of numbered pictures (`%04d.png`) `fps` make a second (default: 25); a film keeps its
        times. Raises BeautyError, at once for what is no film; close what is not read to its end.
        """
        from beautynet.film.media import Film

        def read() -> Generator[Frame]:
            with Film(path, start, end, rate=fps) as film, closing(self.dreams(in_batches(film, self.batch))) as dreamt:
                for frames, dreams, _ in dreamt:
                    for frame, dream in zip(frames, dreams, strict=True):
                        yield frame._replace(picture=dream)

        Film(path, start, end, rate=fps).close()  # what is no film is said now
        return read()

    def dreams(self, batches: Generator[Batch], memory: Memory | None = None) -> Generator[Dreamt]:
        """As `dream` of one batch after the other, which are at hand when they are asked for.

        Finding what the network is shown and what moved, painting, and steadying go on at the same time, each a batch
        ahead of the next. Close what is not read to its end: that waits for the work that has begun.
        """
        before = memory or Memory()
        dream = before.dream
        holding: Future[Dreamt] | None = None
        with (
            computing(1, cores=1) as eyes,
            ThreadPoolExecutor(1) as hand,
            closing(ahead(self._seen(batches, before.seen, before.view), eyes)) as seen,
            closing(self._painted(seen)) as painted,
        ):
            for each in painted:
                if holding:
                    yield (dreamt := holding.result())
                    dream = dreamt.memory.dream
                holding = hand.submit(self._dreamt, each, dream)
            if holding:
                yield holding.result()

    def _seen(self, batches: Generator[Batch], memory: conditions.Memory, view: View | None) -> Generator[_Stage]:
        """What the network is shown of them and what moved, each with what the condition remembers then."""
        see = self._seeing()
        for batch in batches:
            small = self._sized(np.stack([frame.picture for frame in batch.frames]))
            with alone(self.device):
                shown, memory = see(images.to_tensor(small, self.device), None if batch.after_cut else memory)
            moved = self._watch(small, None if batch.after_cut else view)  # while a GPU does what it was given
            view = moved and moved.view
            yield _Stage(batch, shown, memory, moved)

    def _seeing(self) -> Callable[[Tensor, conditions.Memory], tuple[Tensor, conditions.Memory]]:
        """As the condition's `film` of one batch after the other; what a GPU is to do is recorded and replayed."""
        film = torch.inference_mode()(self.condition.film)
        if self.device.type != "cuda":
            return film
        recorded = Replay(lambda frames, *memory: film(frames, memory), self.device)

        @torch.inference_mode()
        def see(frames: Tensor, memory: conditions.Memory) -> tuple[Tensor, conditions.Memory]:
            if memory is None:
                return film(frames, memory)
            shown, left = recorded(frames, *memory)
            return shown.clone(), left and tuple(each.clone() for each in left)

        return see

    def _painted(self, seen: Iterator[_Stage]) -> Generator[_Stage]:
        """The same, painted. A batch is begun before the last one is waited for, so that no core waits for another."""
        begun: tuple[_Stage, Callable[[], Tensor]] | None = None
        with ExitStack() as stack:
            begin: _Begin | None = None
            for each in seen:
                begin = begin or stack.enter_context(self._painting(self.batch, *each.pictures.shape[2:]))
                painting = each, begin(each.pictures, each.moved and each.moved.places)
                if begun:
                    yield begun[0]._replace(pictures=begun[1]())
                begun = painting
            if begun:
                yield begun[0]._replace(pictures=begun[1]())

    def _dreamt(self, painted: _Stage, before: np.ndarray | None) -> Dreamt:
        batch, pictures, seen, moved = painted
        held, dream = self._hold(pictures, moved, None if batch.after_cut else before)
        dreams = _as_large(held, *batch.frames[0].picture.shape[:2])
        return Dreamt(batch.frames, dreams, Memory(seen, moved and moved.view, dream))

    @property
    def batch(self) -> int:
        """How many frames of a film it had best be given at once."""
        return BATCH if self.device.type == "cpu" else BATCH_GPU

    @property
    def identity(self) -> str:
        """What decides how a film is dreamt, as a digest: the network, its condition, size and steadiness."""
        digest = hashlib.sha256(repr((MEMORY_VERSION, self.condition, self.size, self.steady, self.precision)).encode())
        for name, weights in self.generator.state_dict().items():
            digest.update(name.encode())
            digest.update(weights.cpu().flatten().contiguous().view(torch.uint8).numpy())
        return digest.hexdigest()

    def pack(self, memory: Memory) -> dict[str, np.ndarray]:
        """A memory as arrays, to be kept in a file."""
        with alone(self.device):
            packed = {f"seen{number}": each.cpu().numpy() for number, each in enumerate(memory.seen or ())}
        if memory.view is None or memory.dream is None:
            return packed
        return {**packed, **memory.view._asdict(), "dream": memory.dream}

    def unpack(self, packed: Mapping[str, np.ndarray]) -> Memory:
        """The memory that `pack` was given."""
        seen = [torch.from_numpy(packed[name]).to(self.device) for name in sorted(packed) if name.startswith("seen")]
        view = View(packed["frame"], packed["place"]) if "frame" in packed else None
        return Memory(tuple(seen) or None, view, packed.get("dream"))

    def _sized(self, frames: np.ndarray) -> np.ndarray:
        """Frames (N, H, W, 3) at the network's own scale; they are as they are if they have it."""
        height, width = frames.shape[1:3]
        return images.resize_uint8(frames, *images.scaled_to(height, width, self.size))

    def see(self, frames: np.ndarray, memory: conditions.Memory = None) -> tuple[Tensor, conditions.Memory]:
        """What the network is shown for uint8 (N, H, W, 3) frames, at its own scale: (N, 3, h, w) in [-1, 1]."""
        small = self._sized(frames)
        with torch.inference_mode(), alone(self.device):
            return self.condition.film(images.to_tensor(small, self.device), memory)

    def _watch(self, small: np.ndarray, before: View | None) -> Movement | None:
        """What moved in the frames of a film that is held still, at the network's own scale."""
        return watch(small, before) if self.steady else None

    def paint(self, shown: Tensor, places: np.ndarray | None = None) -> Tensor:
        """Conditions (N, 3, h, w) in [-1, 1], any h and w -> the generator's pictures, same shape and range.

        In a film, `places` (N, 2) say how far (x, y) in px the camera had panned. What memory does not do for is
        painted picture by picture, and what is too large even so in tiles. The cores of a CPU share the pictures out.
        """
        with self._painting(len(shown), *shown.shape[2:]) as begin:
            return begin(shown, places)()

    @contextmanager
    def _painting(self, count: int, height: int, width: int) -> Iterator[_Begin]:
        """What begins to paint up to `count` conditions of this size, and returns what waits for the pictures."""
        pixels = height * width
        free = free_memory(self.device) // (2 * networks.bytes_per_pixel(self.generator.width))
        most = self.most_pixels or max(FEWEST_PIXELS, free)
        together = min(count, max(1, most // pixels))
        cores = own_cores() if self.device.type == "cpu" else 1
        hands = min(cores, together)

        def work(shown: Tensor, places: Tensor | None) -> Tensor:
            if pixels <= most:
                return self._paint(shown, places)
            begin = shown.new_zeros(len(shown), 2, dtype=torch.float32) if places is None else places
            return tiled(  # with the noise that the whole picture has there
                lambda square, corner: self._paint(square, begin + begin.new_tensor(corner)), shown, math.isqrt(most)
            )

        def parts(shown: Tensor, places: np.ndarray | None, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
            if places is None or not places.any():
                return zip(torch.split(shown, size), repeat(None))
            where = torch.from_numpy(places).float().to(self.device)
            return zip(torch.split(shown, size), torch.split(where, size), strict=True)

        def at_once(shown: Tensor, places: np.ndarray | None) -> Callable[[], Tensor]:
            with alone(self.device):
                painted = torch.cat([work(*each) for each in parts(shown, places, together)])
            return lambda: painted

        if hands == 1:
            yield at_once
            return
        with computing(hands, cores // hands) as threads:

            def shared_out(shown: Tensor, places: np.ndarray | None) -> Callable[[], Tensor]:
                shares = parts(shown, places, -(-min(together, len(shown)) // hands))
                painted = [threads.submit(work, *each) for each in shares]
                return lambda: torch.cat([each.result() for each in painted])

            yield shared_out

    @torch.inference_mode()
    def _paint(self, shown: Tensor, places: Tensor | None) -> Tensor:
        height, width = shown.shape[-2:]
        with autocast(self.device, self.precision):
            padded = images.pad_to_multiple(shown, self.generator.multiple)
            painted: Tensor = self.generator(padded.contiguous(memory_format=layout(self.device)), places)
            return painted[:, :, :height, :width].float()

    def _hold(
        self, painted: Tensor, moved: Movement | None, before: np.ndarray | None
    ) -> tuple[Tensor, np.ndarray | None]:
        """What was painted for the frames of a film, (N, 3, h, w), held still; what the next frame needs."""
        if self.device.type == "mps":  # which is painting the next ones meanwhile
            with alone(self.device):
                painted = painted.cpu()
        if moved is None:
            return painted, None
        if painted.is_cuda:
            return steady_gpu.lean(moved.motions, painted, before, self.steady)
        own = painted.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        dreams, last = lean(moved.motions, own, before, self.steady)
        return torch.from_numpy(dreams).permute(0, 3, 1, 2), last
