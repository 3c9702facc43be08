"""Films as the network sees them: the original and the dream, in time, with the sound."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from beautynet import files
from beautynet.config import STEADY
from beautynet.console import console, progress, status
from beautynet.errors import BeautyError, UsageError
from beautynet.files import PICTURES, Paths, dreams_of, listed, named
from beautynet.film import loops, numbered
from beautynet.film.frames import Batch, Frame, in_batches
from beautynet.film.layout import LAYOUTS, compose, composed_size
from beautynet.film.media import SUFFIXES, Film
from beautynet.film.rendering import FORMATS, LOSSLESS, film_format
from beautynet.film.segments import Segments, is_resumable, others

LEAST_FPS, MOST_FPS = 0.01, 240
PLAYED_PX = 4096
"""Longest side in px of films that most phones play."""
MOVING = {".gif", ".webp"}
"""Names of films that may be pictures as well."""
FILMS = SUFFIXES | MOVING | {".ts", ".mxf", ".vob"}
"""Names of the films in a folder."""
_LIKE_THE_FILM = (".webm", ".gif", ".webp")
"""Dreams of these are such, too, if no name is given; all others are MP4, which everything plays."""
NETWORK = ("checkpoint", "device", "size", "abstraction", "colors", "steady")
"""Arguments of `video` that say which network, and how it works."""
_IDENTITY = "network or setting of it"
"""What a render's settings call these: all that is not known of them until the network is loaded."""

Pictures = NDArray[np.uint8]
Stopping = KeyboardInterrupt | SystemExit
"""What is raised on Ctrl-C, and on SIGTERM by the command line."""


class Dreamer(Protocol):
    """What a film needs of a Translator."""

    @property
    def identity(self) -> str:
        """What tells one dream of a film from another: a film is gone on with only if it is the same."""

    @property
    def batch(self) -> int:
        """How many frames it had best be given at once."""

    def dreams(self, batches: Generator[Batch], memory: Any = None) -> Generator[tuple[list[Frame], Pictures, Any]]:
        """Neighbouring frames, what they become, uint8 RGB (N, H, W, 3), and the memory for those after them."""

    def pack(self, memory: Any) -> dict[str, NDArray[Any]]:
        """A memory as arrays."""

    def unpack(self, packed: dict[str, NDArray[Any]]) -> Any:
        """The memory of these arrays."""


class _Network:
    """What dreams, loaded when it is asked for: that takes long, and much can be refused before."""

    def __init__(self, loaded: Dreamer | None, **arguments: Any) -> None:
        """What is `loaded` already, or else what these arguments of `Translator.load` are of."""
        self.loaded = loaded
        self.failed = False
        """Whether it could not be loaded."""
        self._arguments = arguments

    def load(self) -> Dreamer:
        """The same each time."""
        if self.loaded is None:
            from beautynet.translator import Translator

            self.failed = True  # until it is there
            self.loaded = Translator.load(**self._arguments)
            self.failed = False
        return self.loaded


@dataclass(frozen=True)
class VideoSummary:
    """What became of a film: where it is, how many frames, how long that took, what was not as it should be."""

    out: Path
    frames: int
    new: int
    """Frames that were dreamt now, not in an earlier run."""
    seconds: float
    warnings: tuple[str, ...]

    @property
    def rate(self) -> float:
        """Frames per second of work."""
        return self.new / self.seconds


def video(
    source: str | Path,
    out: str | Path | None = None,
    layout: str = "side",
    size: int | None = None,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    abstraction: float | None = None,
    colors: Paths = (),
    steady: float = STEADY,
    start: float = 0,
    end: float | None = None,
    fps: float | None = None,
    loop: float | None = None,
    poster: bool | str | Path = False,
    *,
    force: bool | Callable[[str], bool] = False,
    translator: Dreamer | _Network | None = None,
) -> VideoSummary:
    """Dream a film: the same frames at the same times with the same sound, in panels of the film's own size.

    `out` is a name (its suffix chooses the format, see `rendering.FORMATS`), a folder (what has no suffix is one), or
    None for `film.beauty.mp4` beside the film. `steady` (0..1) is how much a dream leans on the one before it: at 0
    only what the network is shown does, and it flickers. `start` and `end` (seconds) dream a part of the film, `fps`
    that many frames of each second. A `source` such as frames/%04d.png is a film of numbered pictures, `fps` of them a
    second, 25 if that is None. An `out` such as dreams/%04d.png makes such pictures, with the numbers of the film's if
    that is of such. `loop` makes a GIF or WebP of at most so many MB of it, `poster` a JPEG of its most colourful
    moment, beside it or under that name.

    What is there already, a film or what is rendered of another one, is replaced if `force` says so, True or a function
    of a sentence that says what it is. A loaded `translator` replaces what chooses and sets one.

    What was rendered when a run ends early is kept, and the same call goes on there. On Ctrl-C, and on a SystemExit,
    which the command line makes of SIGTERM, the film is completed with the frames so far, too (loops and pictures are
    not), and that is said: by the KeyboardInterrupt which is raised, or before the SystemExit is.
    """
    source = Path(source)
    target = _target(source, None if out is None else Path(out), loop)
    _check(layout, start, end, fps, loop)
    pictures, as_pictures = numbered.are_meant(source), numbered.are_meant(target)
    if loop is not None and (as_pictures or film_format(target).sound):
        raise UsageError(f"a loop in {target.name} will not do: name a .gif or .webp")
    still = _poster_of(target) if poster is True else Path(poster) if poster else None
    if still and still.suffix.lower() not in (".jpg", ".jpeg"):
        raise UsageError(f"a poster named {still.name} will not do: it is a .jpg")
    if isinstance(translator, _Network):
        network = translator
    else:
        chosen: dict[str, Any] = {"checkpoint": checkpoint, "device": device, "size": size, "abstraction": abstraction}
        network = _Network(translator, **chosen, colors=colors, steady=steady)
    rate, fps = (fps, None) if pictures else (None, fps)
    asked, slowed = _frames_a_second(source, target, fps, loop, rate)
    with Film(source, start, end, asked, rate) as film:
        settings: dict[str, Any] = {
            "film": film.identity,
            "layout": layout,
            "start": start,
            "end": end,
            # not the film's rate: a film in its own times may have the same
            "fps": (asked, rate) if asked and rate else asked or rate,
        }
        if network.loaded:
            settings[_IDENTITY] = network.loaded.identity
        direct = loop is None and not as_pictures
        film_target = target if direct else target.with_name(f".{target.name}{LOSSLESS if as_pictures else '.mp4'}")
        for each in filter(None, (target, still)):
            if _is_of(each, film.path):
                raise BeautyError(f"{each} would take the place of {film.path}: choose another name for the dream")
        replaced = _replaced(film, target, film_target, settings, force)
        if still and still.exists():
            _ask(f"{still} exists", force)
        dreamer = network.load()
        settings[_IDENTITY] = dreamer.identity
        if replaced is None:
            replaced = _replaced(film, target, film_target, settings, force)
        if replaced:
            _say(f"{target} is begun anew, instead of {replaced}")
        if direct:
            _warn_if_large(film, layout)
        began = time.perf_counter()
        with Segments(
            film_target, settings, composed_size(film.size, layout), rate=film.rate, pixel_aspect=film.pixel_aspect
        ) as segments:
            already = segments.frames
            stop = _render(film, dreamer, layout, segments)
            if stop and not segments.frames:
                raise stop
            lost = slowed
            if direct or not stop:
                with status("putting it together"):
                    lost += segments.join(
                        source if direct and not pictures else None,
                        film.start,
                        sound_for=segments.end if stop else film.end and film.end - film.start,
                    )
            if stop:
                segments.close_segment()
                raise _stopped(stop, segments, f"{target} has" if direct else "there are")
            try:
                if loop is not None:
                    files.clear_leftover(target)
                    with status("searching for the size"):
                        loops.loop(film_target, target, loop * 1e6)
                elif as_pictures:
                    with Film(film_target) as frames:
                        numbered.write(frames, target, film.number, film.rate if pictures else None)
                if still:
                    loops.poster(film_target if as_pictures else target, still, segments.end)
            finally:
                if not direct:
                    film_target.unlink()
            segments.forget()
        seconds = time.perf_counter() - began
        return VideoSummary(target, segments.frames, segments.frames - already, seconds, (*film.warnings, *lost))


def _stopped(stop: Stopping, segments: Segments, has: str) -> Stopping:
    """What is raised where a render was stopped, and says so; one that cannot be gone on with is forgotten."""
    said = f"stopped: {has} the first {segments.frames} frames ({float(segments.end):.1f} s)"
    if segments.many:
        said += "; the same command goes on"
    else:
        segments.forget()
    if isinstance(stop, KeyboardInterrupt):
        return KeyboardInterrupt(said)
    _say(said)
    return stop


class Skipped(NamedTuple):
    """A film that there is no dream of, and why."""

    source: Path
    reason: str


def videos(
    paths: Paths, out: str | Path | None = None, *, translator: Dreamer | None = None, **settings: Any
) -> Iterator[VideoSummary | Skipped]:
    """Dream several films, and all in folders, one after the other, each as `video` does with the same settings.

    `out` is a folder; None puts each dream beside its film. What became of a film is told when it is done; one that
    fails is skipped, and the next one goes on. BeautyError where none could do. The network is loaded for the first
    film that is not skipped without it.
    """
    _check(**{name: value for name, value in settings.items() if name in ("layout", "start", "end", "fps", "loop")})
    asked, out = listed(paths), None if out is None else Path(out)
    given = set(asked)
    sources = [each for each in named(asked, FILMS) if each[0] in given or not _is_still(each[0])]
    if not sources:
        pattern = next(filter(None, map(numbered.pattern_of, asked)), None)
        hint = f"; its pictures are one if you name {pattern}" if pattern else ""
        raise BeautyError(f"no films in {', '.join(map(str, asked)) or 'nothing'}: name films or folders of them{hint}")
    if out is not None and (out.suffix.lower() in FORMATS or numbered.are_meant(out) or out.is_file()):
        raise BeautyError(f"{out} is no folder, which several films need: choose another name")
    if not isinstance(settings.get("poster", False), bool):
        raise UsageError("several films have a poster each: give poster=True")
    network = _Network(translator, **{name: settings.pop(name) for name in NETWORK if name in settings})
    named_after = [(_titled(source), inside) for source, inside in sources]
    targets = dreams_of(named_after, out, partial(_suffix, loop=settings.get("loop")))
    posters: set[str] = set()
    for (source, _), target in zip(sources, targets, strict=True):
        if settings.get("poster"):  # that of walk.webm is not that of Walk.mp4
            still = _poster_of(target)
            known = str(still.absolute()).lower()
            settings["poster"] = target.with_name(f"{target.name}.jpg") if known in posters else still
            posters.add(known)
        try:
            yield video(source, target, translator=network, **settings)
        except BeautyError as error:
            if network.failed:  # as it would for all others
                raise
            yield Skipped(source, str(error))


def _is_still(path: Path) -> bool:
    """Whether it is a picture, which may be named like a film; one that cannot be read is none."""
    if path.suffix.lower() not in MOVING:
        return False
    try:
        with Film(path) as film:
            return film.expected == 1
    except BeautyError:
        return False


def _check(
    layout: str = "side",
    start: float = 0,
    end: float | None = None,
    fps: float | None = None,
    loop: float | None = None,
) -> None:
    """BeautyError for what no film can be dreamt with."""
    composed_size((1, 1), layout)
    if not 0 <= start < math.inf or (end is not None and not start < end < math.inf):  # nor NaN
        part = f"--start {_typed(start)}" + ("" if end is None else f" and --end {_typed(end)}")
        raise UsageError(f"{part} will not do: a part begins at 0 or later and ends later")
    if fps is not None and not LEAST_FPS <= fps <= MOST_FPS:
        raise UsageError(f"--fps {fps:g} will not do: it has to be {LEAST_FPS}..{MOST_FPS}")
    if loop is not None and not 0 < loop < math.inf:
        raise UsageError(f"--loop {loop:g} will not do: it has to be over 0")


def _typed(seconds: float) -> str:
    """A time as one types it, 1:30 or 0:02.5; what is none as it is."""
    if not 0 <= seconds < math.inf:
        return f"{seconds:g}"
    minutes, rest = divmod(round(seconds * 1e6), 60_000_000)
    hours, minutes = divmod(minutes, 60)
    before = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{before}:{rest / 1e6:09.6f}".rstrip("0").rstrip(".")


def _frames_a_second(
    source: Path, target: Path, fps: float | None, loop: float | None, rate: float | None
) -> tuple[float | None, list[str]]:
    """Frames a second to dream, None for the film's own, and what is to be said if the format shows no more.

    Every second frame, or third, is even; what fits best would not be. `rate` is that of numbered pictures.
    """
    most = None if numbered.are_meant(target) else film_format(target).most_fps
    if not most and not loop:
        return fps, []
    with Film(source, rate=rate) as film:
        own = float(film.rate)
    wanted = fps or (loop and min(loops.FPS, own))
    had = wanted or own
    if not most or had <= most:
        return wanted, []
    slower = had / math.ceil(had / most)
    return slower, [f"{target.suffix} shows at most {most} frames a second: it has {slower:.4g} of {had:.4g}"]


def _warn_if_large(film: Film, layout: str) -> None:
    """Say it before hours of work if many a phone will not play what comes of them."""
    width, height = composed_size(film.size, layout)
    if max(width, height) <= PLAYED_PX:
        return
    fitting = [f"--layout {each}" for each in LAYOUTS if max(composed_size(film.size, each)) <= PLAYED_PX]
    fits = f": {' or '.join(fitting)} fits" if fitting else ""
    _say(f"{film.path.name}: {width}×{height} px are too many for most phones{fits}")


def _say(what: str) -> None:
    """A line on standard error, before the work."""
    console.print(what, style="yellow", soft_wrap=True)


def _replaced(
    film: Film, target: Path, film_target: Path, settings: dict[str, Any], force: bool | Callable[[str], bool]
) -> str | None:
    """BeautyError if something is there that is no beginning of this very film, and shall stay.

    The result is what was rendered of another one, in words, empty if it is something else that goes. It is None if
    nothing does; without the network among the `settings`, if that has to say it.
    """
    unknown = {_IDENTITY} - settings.keys()
    if rendered := others(film_target, settings, unknown):
        _ask(f"{target} is begun already, {rendered}", force)
    elif (there := _there(target, film)) and not is_resumable(film_target, settings, unknown):
        _ask(there, force)
    else:
        return None
    return rendered


def _there(target: Path, film: Film) -> str:
    """That there is something in the place of the dream already, in words; empty if there is nothing."""
    if not numbered.are_meant(target):
        return f"{target} exists" if target.exists() else ""
    numbers = numbered.there(target)
    left = sum(not 0 <= number - film.number < (film.expected or math.inf) for number in numbers)
    stay = f", and {left} picture{'s' * (left > 1)} of other numbers will stay" if left else ""
    return f"{target} exists{stay}" if numbers else ""


def _is_of(out: Path, source: Path) -> bool:
    """Whether what is written there would be written over a film, or over one of its pictures."""
    if numbered.are_meant(source):
        return numbered.overlap(source, out) if numbered.are_meant(out) else numbered.is_one(out, source)
    if numbered.are_meant(out):
        return numbered.is_one(source, out)
    return out.exists() and source.exists() and out.samefile(source)


def _ask(what: str, force: bool | Callable[[str], bool]) -> None:
    """BeautyError unless what is there may be replaced."""
    if not (force(what) if callable(force) else force):
        raise BeautyError(f"{what}: --force replaces it, -o chooses another name")


def _suffix(source: Path, loop: float | None) -> str:
    """The format of the dream of a film that nothing else was asked for."""
    suffix = source.suffix.lower()
    return ".gif" if loop is not None else suffix if suffix in _LIKE_THE_FILM else ".mp4"


def _poster_of(target: Path) -> Path:
    """Where the poster of a dream goes if nobody says."""
    return _titled(target).with_suffix(".jpg")


def _titled(source: Path) -> Path:
    """What a film's dream is named after."""
    return numbered.title(source) if numbered.are_meant(source) else source


def _target(source: Path, out: Path | None, loop: float | None) -> Path:
    """Where the dream goes; a UsageError if that is no film's name."""
    if out is None or out.is_dir() or not (out.suffix or out.name.startswith(".") or "%" in out.name):
        (out,) = dreams_of([(_titled(source), Path())], out, partial(_suffix, loop=loop))
    if out.suffix.lower() == LOSSLESS:  # which is for what becomes pictures
        raise UsageError(f"cannot write a film named {out.name}: end it in {', '.join(FORMATS)}")
    if not numbered.are_meant(out):
        film_format(out)
    elif out.suffix.lower() not in PICTURES:
        raise UsageError(f"cannot write pictures named {out.name}: end it in {', '.join(PICTURES)}")
    return out


def _render(film: Film, translator: Dreamer, layout: str, segments: Segments) -> Stopping | None:
    """Dream every frame that is not there yet; the result is what came between, as Ctrl-C does.

    Dreaming and writing overlap, one batch ahead of the other, in threads: Ctrl-C reaches the calling one, and leaving
    the block waits for the others, so that whatever happens what is written ends between two frames.
    """
    already = segments.frames
    with progress("frames") as bar:
        task = bar.add_task("dreaming", total=film.expected, completed=already)

        def new() -> Generator[Batch]:
            passed = 0
            for frames, after_cut in in_batches(film, translator.batch):
                known = max(0, already - passed)  # part of a batch, if the batches were of another size
                passed += len(frames)
                if passed > already:
                    yield Batch(frames[known:], after_cut and not known)

        def write(frames: list[Frame], dreams: Pictures, memory: Any) -> None:
            pages = [
                frame._replace(picture=compose(frame.picture, dream, layout, float(frame.time)))
                for frame, dream in zip(frames, dreams, strict=True)
            ]
            segments.write(pages, lambda: translator.pack(memory))
            bar.update(task, completed=segments.frames)

        memory = translator.unpack(segments.memory) if already else None
        with ThreadPoolExecutor(1) as writing:
            try:
                with closing(translator.dreams(new(), memory)) as dreamt:
                    written = writing.submit(lambda: None)
                    for each in dreamt:
                        written.result()
                        written = writing.submit(write, *each)
                    written.result()
            except (KeyboardInterrupt, SystemExit) as stop:
                _finish(writing)
                return stop
        return None


def _finish(thread: Executor) -> None:
    """Wait until a thread has done what it was given, however often Ctrl-C is pressed meanwhile."""
    while True:
        try:
            wait([thread.submit(lambda: None)])
        except (KeyboardInterrupt, SystemExit):
            continue
        return
