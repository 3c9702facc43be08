"""Films as the network sees them: the original and the dream, in time, with the sound."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from beautynet.config import STEADY
from beautynet.console import progress
from beautynet.errors import BeautyError
from beautynet.layout import compose, composed_size
from beautynet.media import FORMATS, Film, FilmWriter, Frame, film_format, in_batches, writing

MOST_FPS = 240


class Dreamer(Protocol):
    """What a film needs of a Translator."""

    def dream(self, frames: NDArray[np.uint8], memory: Any = None) -> tuple[NDArray[np.uint8], Any]:
        """Consecutive frames, uint8 RGB (N, H, W, 3) -> their dreams, and the memory for the next call."""


@dataclass(frozen=True)
class VideoSummary:
    """What became of a film: where it is, how many frames, how long that took, what was not as it should be."""

    out: Path
    frames: int
    seconds: float
    warnings: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Frames per second of work."""
        return self.frames / self.seconds


def video(
    source: str | Path,
    out: str | Path | None = None,
    layout: str = "side",
    size: int | None = None,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    abstraction: float | None = None,
    colors: Sequence[str | Path] = (),
    steady: float = STEADY,
    start: float = 0,
    end: float | None = None,
    fps: float | None = None,
    *,
    translator: Dreamer | None = None,
) -> VideoSummary:
    """Dream a film: the same frames at the same times with the same sound, in panels of the film's own size.

    `out` is a name (its suffix chooses the format, see `media.FORMATS`), a folder, or None for `film.beauty.mp4`
    beside the film. `steady` (0..1) is how much a dream leans on the one before it: 0 paints each frame by itself, and
    flickers. `start` and `end` (seconds) dream a part of the film, `fps` that many frames of each second. A loaded
    `translator` replaces what chooses and sets one. On Ctrl-C the film is completed with the frames so far, and
    KeyboardInterrupt raised with a sentence that says so.
    """
    source = Path(source)
    target = _target(source, None if out is None else Path(out))
    composed_size((1, 1), layout)
    if start < 0 or (end is not None and end <= start):
        raise BeautyError(f"--start {start:g} and --end {end} will not do: a part begins at 0 or later and ends later")
    if fps is not None and not 0 < fps <= MOST_FPS:
        raise BeautyError(f"--fps {fps:g} will not do: it has to be over 0 and at most {MOST_FPS}")
    with Film(source, start, end, fps) as film:
        if translator is None:
            from beautynet.translator import Translator

            translator = Translator.load(
                checkpoint, device=device, size=size, abstraction=abstraction, colors=colors, steady=steady
            )
        began = time.perf_counter()
        frames = 0
        interrupted = False
        with (
            progress("frames") as bar,
            writing(
                target,
                composed_size(film.size, layout),
                rate=film.rate,
                pixel_aspect=film.pixel_aspect,
                sound=source if film.has_sound else None,
                sound_from=film.start,
            ) as writer,
        ):
            writer.cut_short = end is not None
            task = bar.add_task("dreaming", total=film.expected)

            def done(count: int) -> None:
                nonlocal frames
                frames += count
                bar.advance(task, count)

            try:
                _render(film, translator, layout, writer, done)
            except KeyboardInterrupt:
                if not frames:
                    raise
                interrupted = writer.cut_short = True
        if interrupted:
            raise KeyboardInterrupt(f"stopped: {target} has the first {frames} frames ({float(writer.end):.1f} s)")
        seconds = time.perf_counter() - began
        return VideoSummary(target, frames, seconds, (*film.warnings, *writer.warnings))


def _target(source: Path, out: Path | None) -> Path:
    """Where the dream goes; a BeautyError if that is no film's name, or the film itself."""
    suffix = source.suffix.lower()
    name = f"{source.stem}.beauty{suffix if suffix in FORMATS else '.mp4'}"
    if out is None:
        out = source.with_name(name)
    elif out.is_dir():
        out = out / name
    film_format(out)
    if out.exists() and source.exists() and out.samefile(source):
        raise BeautyError(f"{out} is the film itself: choose another name for the dream")
    return out


def _render(film: Film, translator: Dreamer, layout: str, writer: FilmWriter, done: Callable[[int], None]) -> None:
    """Dream every frame. Reading, the network and writing overlap, each at most one batch ahead of the next.

    The network runs in the calling thread, the one that Ctrl-C reaches: leaving the block waits for the other two,
    so that whatever happens the writer is left between two frames.
    """

    def write(batch: list[Frame], dreams: NDArray[np.uint8]) -> None:
        for frame, dream in zip(batch, dreams, strict=True):
            writer.write(frame._replace(picture=compose(frame.picture, dream, layout, float(frame.time))))
            done(1)

    batches = in_batches(film)
    memory: Any = None
    with ThreadPoolExecutor(1) as reading, ThreadPoolExecutor(1) as encoding:
        coming = reading.submit(next, batches, None)
        going = encoding.submit(lambda: None)
        while batch := coming.result():
            coming = reading.submit(next, batches, None)
            pictures = np.stack([frame.picture for frame in batch.frames])
            dreams, memory = translator.dream(pictures, None if batch.after_cut else memory)
            going.result()
            going = encoding.submit(write, batch.frames, dreams)
        going.result()
