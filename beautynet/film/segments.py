"""A long render in segments: what is whole stays, so that the same command goes on where a killed one left off."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from beautynet import files
from beautynet.errors import BeautyError
from beautynet.film.frames import Frame
from beautynet.film.rendering import FilmWriter, Part, film_format, join, writing

SECONDS = 20.0
"""Of work in a segment: what a kill costs at most. GIF and WebP, which are short, are of one."""
_SETTINGS = "settings.json"


class Segments:
    """The segments of one film on their way to `target`, in a hidden folder beside it until they are joined.

    Segment n is a film and `n.npz`: the frames that there are with it, when it begins, and what the frame after it has
    to know. It counts when both are there. A context manager; leaving it keeps what is whole.
    """

    def __init__(
        self,
        target: Path,
        settings: Mapping[str, Any],
        size: tuple[int, int],
        *,
        rate: Fraction,
        pixel_aspect: Fraction,
    ) -> None:
        """Find what an earlier run with the same `settings` (JSON) left; forget what another one did."""
        self.target, self.size, self.rate, self.pixel_aspect = target, size, rate, pixel_aspect
        self.many = film_format(target).sound is not None
        """Whether there is more than one segment, so that a render can be gone on with."""
        self.folder = folder_of(target)
        self.parts: list[Part] = []
        self.frames = 0
        """Frames rendered so far."""
        self.end = Fraction(0)
        """When (seconds) the last of them ends."""
        self.memory: dict[str, NDArray[Any]] = {}
        """What the frame after them has to know."""
        self._writer: FilmWriter | None = None
        self._remember: Callable[[], dict[str, NDArray[Any]]] = dict
        with ExitStack() as stack:
            try:
                busy = f"another run is rendering {target}: wait until it is done, or stop it"
                stack.enter_context(files.held(self.folder / "lock", busy, target))
                files.clear_leftover(target)
                files.clear_leftovers(self.folder)
                if not is_resumable(target, settings):
                    for left in self.folder.iterdir():
                        if left.name != "lock":
                            left.unlink()
                    with files.atomic(self.folder / _SETTINGS, target) as temporary:
                        temporary.write_text(_text(settings), encoding="utf-8")
                self._find()
            except OSError as error:
                raise BeautyError(files.explained(error, target) or f"cannot write {target}: {error}") from error
            self._stack = stack.pop_all()

    def _find(self) -> None:
        """The whole segments that are there, and what they leave to the next one."""
        for number in range(len(os.listdir(self.folder))):
            film, notes = self._film(number), self._notes(number)
            if not (film.exists() and notes.exists()):
                break
            try:
                with open(notes, "rb") as file, np.load(file, allow_pickle=False) as stored:
                    memory = dict(stored)
                frames, begin, end = (memory.pop(name).tolist() for name in ("frames", "begin", "end"))
            except (OSError, EOFError, ValueError, LookupError, BadZipFile):  # a damaged disk: from there on anew
                break
            self.frames, self.end = frames, Fraction(*end)
            self.parts.append(Part(film, Fraction(*begin), self.end))
            self.memory = memory
        # what follows a damaged one does not follow what is rendered in its place
        for left in self.folder.iterdir():
            if left.stem.isdecimal() and int(left.stem) >= len(self.parts):
                left.unlink()

    def _film(self, number: int) -> Path:
        return self.folder / f"{number:06}{self.target.suffix.lower()}"

    def _notes(self, number: int) -> Path:
        return self.folder / f"{number:06}.npz"

    def write(self, frames: Sequence[Frame], remember: Callable[[], dict[str, NDArray[Any]]]) -> None:
        """Append composed frames; `remember` gives what the frame after them has to know, if it comes to that."""
        for frame in frames:
            if self._writer is None:
                if not self.many:  # GIF and WebP begin with their first frame: one that comes late is there at once
                    frame = Frame(frame.picture, Fraction(0), frame.time + frame.duration)
                self._began, self._begin = time.monotonic(), frame.time
                self._file = self._stack.enter_context(ExitStack())
                self._writer = self._file.enter_context(
                    writing(
                        self._film(len(self.parts)),
                        self.size,
                        rate=self.rate,
                        pixel_aspect=self.pixel_aspect,
                        begin=frame.time,
                        named=self.target,
                    )
                )
            self._writer.write(frame)
            self.frames += 1
            self.end = frame.time + frame.duration
        self._remember = remember
        if self.many and time.monotonic() - self._began > SECONDS:
            self.close_segment()

    def close_segment(self) -> None:
        """Make what was written since the last one a segment."""
        if self._writer is None:
            return
        self._writer = None
        number = len(self.parts)
        with files.atomic(self._notes(number), self.target) as temporary, open(temporary, "wb") as file:
            notes: dict[str, Any] = {"frames": self.frames, **self._remember()}
            notes |= {"begin": self._begin.as_integer_ratio(), "end": self.end.as_integer_ratio()}
            np.savez(file, **notes)
        self._file.close()
        self.parts.append(Part(self._film(number), self._begin, self.end))

    def join(self, source: Path | None, sound_from: Fraction, *, sound_for: Fraction | None) -> list[str]:
        """Make the film of what there is, see `rendering.join`."""
        self.close_segment()
        return join(self.parts, self.target, source=source, sound_from=sound_from, sound_for=sound_for)

    def forget(self) -> None:
        """Remove the segments: the film is complete, or there is none."""
        self.parts = []

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *raised: Any) -> None:
        """Let go of the files; nothing stays of a render without a whole segment."""
        try:
            self._stack.__exit__(*raised)
        finally:  # a disk may be full until the last
            if not self.parts:
                shutil.rmtree(self.folder, ignore_errors=True)


def folder_of(target: Path) -> Path:
    """Where the segments of a film are."""
    return target.with_name(f".{target.name}.segments")


def is_resumable(target: Path, settings: Mapping[str, Any], unknown: Iterable[str] = ()) -> bool:
    """Whether segments of this film, made with these settings, are there; films of one segment begin anew.

    Of settings that are `unknown` so far it is taken that they are the same.
    """
    before = _settings_of(target)
    for name in unknown:
        before.pop(name, None)
    return bool(film_format(target).sound and before == json.loads(_text(settings)))


def others(target: Path, settings: Mapping[str, Any], unknown: Iterable[str] = ()) -> str:
    """What whole segments of this film, made with other settings, are there, in words; empty if there are none.

    Of `unknown` settings see `is_resumable`.
    """
    if not film_format(target).sound:
        return ""
    notes = folder_of(target).glob("[0-9]*.npz")
    count = sum(each.with_suffix(target.suffix.lower()).exists() for each in notes)
    if not count or is_resumable(target, settings, unknown):
        return ""
    before, now = _settings_of(target), json.loads(_text(settings))
    differing = " and ".join(f"another {name}" for name in now if before.get(name) != now[name])
    return f"{count} segment{'s' * (count > 1)} of {differing or 'something else'}"


def _settings_of(target: Path) -> dict[str, Any]:
    """The settings of the segments that are there; none if they cannot be read."""
    try:
        stored = json.loads((folder_of(target) / _SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, default=str)
