"""Films as they come: frames with their true times, whatever the file says."""

from __future__ import annotations

import math
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self

import av
import numpy as np
from PIL import Image

from beautynet.decode import LFS_POINTER, MAX_PIXELS, Unreadable, decode, is_lfs_pointer, on_white
from beautynet.errors import BeautyError
from beautynet.film import numbered
from beautynet.film.developing import Developer, lies_on_its_side, progressive
from beautynet.film.frames import Frame
from beautynet.film.numbered import Numbered

USUAL_RATE = Fraction(25)  # frames/s, of films that do not say
MOST_ANIMATED, LOOKED_AT = 20_000_000_000, 25  # pixels of all frames of an animation; frames that tell its rate
MOST_RATE = 240  # frames/s; a guess above it was made of times in ms
BLINK = Fraction(1, 1000)
"""Seconds to which many films keep their times: what is on for less has only been rounded."""
MOST_HOURS = 1
"""One frame may be on for so long where it is shown many times a second: longer, and the film's clock has jumped."""
SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp", ".mts", ".m2ts")
}
"""Names of films end in these, where names are all there is to go by."""


class Film:
    """A film, animation or picture, opened for reading: iterate over it, once, for its `Frame`s.

    `start` and `end` (seconds) cut a part out of it, whose times begin at 0; `fps` shows it in so many frames a second,
    each moment the frame that was on, where None keeps the frames as they are; the last one ends when the film or part
    does. `path` may be a pattern of numbered pictures (frames/%04d.png), of which `rate` go to a second, 25 if it is
    None. Times strictly increase, whatever the file says. Damaged parts are stepped over and end up as a sentence in
    `warnings`. `size` is (width, height) as shown, `rate` the nominal frames/s, `expected` the announced number of
    frames or None, `pixel_aspect` a pixel's width / height. BeautyError if there is no frame to be had.
    """

    def __init__(
        self,
        path: str | Path,
        start: float = 0,
        end: float | None = None,
        fps: float | None = None,
        rate: float | None = None,
    ) -> None:
        self.path = Path(path)
        self.start = _exact(start)
        self.end = None if end is None else _exact(end)
        self._fps = None if fps is None else _exact_rate(fps)
        self.warnings: list[str] = []
        self._source: Numbered | _Pillow | _Stream
        if numbered.are_meant(self.path):
            self._source = Numbered(self.path, USUAL_RATE if rate is None else _exact_rate(rate))
            self.start = int(self.start * self._source.rate) / self._source.rate  # where a picture begins
        else:
            _check_file(self.path)
            self._source = _animation(self.path) or _Stream(self.path)
        try:
            self._frames = _part(self._source.frames(self.start), self.start, self.end)
            first = next(self._frames, None)
            if first is None and start:
                raise BeautyError(f"{self.path} has nothing from second {start:g} on: choose an earlier start")
            if first is None:
                raise BeautyError(f"{self.path} has no frames that can be decoded: choose another film")
        except BaseException:
            self.close()
            raise
        self._first = first
        self.size: tuple[int, int] = (first.picture.shape[1], first.picture.shape[0])
        self.rate = self._fps or self._source.rate
        self.expected = self._source.expected
        if self.expected and (start or end or fps):
            seconds = self.expected / self._source.rate
            seconds = min(self.end or seconds, seconds) - self.start
            self.expected = max(1, math.ceil((seconds - BLINK) * self.rate) if fps else round(seconds * self.rate))
        self.has_sound = self._source.has_sound
        self.pixel_aspect = self._source.pixel_aspect

    def __iter__(self) -> Iterator[Frame]:
        """All frames in order; thereafter `warnings` says what was missing."""
        count, end = 0, Fraction(0)
        frames = chain([self._first], self._frames)
        for frame in frames if self._fps is None else _resampled(self._unbroken(frames), self._fps):
            yield frame
            count, end = count + 1, frame.time + frame.duration
        sure = self._source.surely_until
        if self.end is not None:
            sure = min(sure, self.start + Fraction(9, 10) * (self.end - self.start))
        if self._source.damaged or self.start + end < sure:
            of = f" of {self.expected}" if self.expected and count < self.expected else ""
            self.warnings.append(f"{self.path.name}: {count}{of} frames; the rest is damaged or missing")

    def _unbroken(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The same; a BeautyError where one of them is on for hours."""
        for frame in frames:
            hours, begin = float(frame.duration) / 3600, float(self.start + frame.time)
            if hours > MOST_HOURS:
                raise BeautyError(
                    f"{self.path} shows one frame for {hours:.1f} hours, from second {begin:g} on: "
                    "cut a part out by --start and --end"
                )
            yield frame

    @property
    def number(self) -> int:
        """That of its first frame here: a numbered picture's own, else 1."""
        if isinstance(self._source, Numbered):
            return self._source.numbers[0] + int(self.start * self._source.rate)
        return 1

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What tells it from other films, and from what was or will be in its place."""
        if isinstance(self._source, Numbered):
            return str(self.path.absolute()), numbered.state(self.path)
        found = self.path.stat()
        return str(self.path.resolve()), found.st_size, found.st_mtime_ns

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file."""
        self.close()


def _exact(number: float) -> Fraction:
    """What was meant: 0.1 is a tenth."""
    return Fraction(number).limit_denominator(1001)


def _exact_rate(fps: float) -> Fraction:
    """What was meant, in frames a second: 29.97 is 30000/1001, as on American television."""
    television = Fraction(1000 * round(fps * 1.001), 1001)
    return television if abs(television - Fraction(fps)) < 1e-5 * fps else _exact(fps)


def _part(frames: Iterator[Frame], start: Fraction, end: Fraction | None) -> Iterator[Frame]:
    """What is shown between `start` and `end`, its times counted from `start`."""
    for frame in frames:
        if end is not None and frame.time >= end:
            return
        until = frame.time + frame.duration if end is None else min(frame.time + frame.duration, end)
        if until > start:
            begin = max(frame.time, start)
            yield Frame(frame.picture, begin - start, until - begin)


def _resampled(frames: Iterable[Frame], fps: Fraction) -> Iterator[Frame]:
    """The same in `fps` frames a second: each moment shows the frame that was on, or is in no time (BLINK).

    All begin at a multiple of 1 / fps, but the last one ends with them, not 1 / fps later: a part is as long as was
    asked for, and as its sound.
    """
    number, until = 0, Fraction(0)
    last: Frame | None = None
    for frame in frames:
        until = frame.time + frame.duration  # when the next one begins
        while number / fps + BLINK < until or not number:
            if last:
                yield last
            last = Frame(frame.picture, number / fps, 1 / fps)
            number += 1
    if last:
        yield last._replace(duration=until - last.time)


class _Stream:
    """The frames of a film file's best video stream, by libav."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = False
        self._open()
        guess = self.stream.guessed_rate if (self.stream.guessed_rate or 0) <= MOST_RATE else None
        rates = [rate for rate in (guess, self.stream.average_rate) if rate] or [USUAL_RATE]
        self.rate: Fraction = rates[0]
        self.pixel_aspect: Fraction = self.stream.sample_aspect_ratio or Fraction(1)
        self.has_pts = self.file.format.name != "avi"
        self.origin = origin_of(self.file)
        if self.stream.duration is not None:
            seconds = self.stream.duration * self.stream.time_base
        else:
            seconds = Fraction((self.file.duration or 0) - max(self.file.start_time or 0, 0), av.time_base)
        # fields, counted as frames, make the average too high; uneven steps make the guess too high
        self.expected: int | None = round(seconds * min(rates)) or None
        self.has_sound = bool(self.file.streams.audio)
        # a file may last longer than its pictures if there is sound
        knows_end = self.stream.duration is not None or not self.has_sound
        self.surely_until = Fraction(9, 10) * seconds if knows_end else Fraction(0)

    def _open(self) -> None:
        """The file, at its beginning."""
        self.file = open_file(self.path)
        try:
            self.stream = _best_video(self.file, self.path)
        except BaseException:
            self.close()
            raise
        if self.stream.width * self.stream.height > MAX_PIXELS:  # a kilobyte may claim gigabytes
            self.close()
            raise BeautyError(f"{self.path} is too large to be shown: scale it down first")
        self.decoder = _with_alpha(self.stream) or self.stream.codec_context

    def frames(self, start: Fraction) -> Iterator[Frame]:
        """All frames, or from the last one before `start` (seconds) on that can be decoded by itself.

        Each is on until the next one is, for which it waits: what a file says of durations is in the order of decoding.
        """
        step = 1 / self.rate
        developed = Developer()
        last: Frame | None = None
        for frame in progressive(self._decoded_from(start)):
            time = self._time(frame, first=last is None)
            if time is None or (last and time <= last.time):
                time = last.time + step if last else Fraction(0)
            if last:
                yield last._replace(duration=time - last.time)
            elif lies_on_its_side(frame):
                self.pixel_aspect = 1 / self.pixel_aspect
            duration = (self.has_pts and (frame.duration or 0) * frame.time_base) or step
            last = Frame(developed(frame), time, duration)
        if last:
            yield last

    def _decoded_from(self, start: Fraction) -> Iterator[Any]:
        """Decoded frames, the first of them on at `start` (seconds) if any is, where the file may seek too late."""
        if not start or not self.has_pts:
            return self._decoded()
        # x264 says which one it is before the first frame only, and old ones' 4:4:4 has to be decoded differently
        next(self._decoded(), None)
        back = Fraction(0)
        with suppress(av.FFmpegError):  # what cannot be sought in is read from its beginning
            while back < start:
                self.damaged = False
                self.file.seek(int((start - back + self.origin) * av.time_base))
                self.decoder.flush_buffers()
                frames = self._decoded()
                first = next(frames, None)
                time = first and self._time(first, first=False)
                if time is not None and time <= start:
                    return chain([first], frames)
                back = 2 * back or Fraction(1)
        self.close()
        self.damaged = False
        self._open()
        return self._decoded()

    def _time(self, frame: Any, first: bool) -> Fraction | None:
        """When a decoded frame appears, in seconds; None if the file does not say."""
        if frame.pts is None:
            return None
        time: Fraction = frame.pts * frame.time_base
        if first and not self.has_pts:
            self.origin = time - (self.stream.start_time or 0) * self.stream.time_base
        return time - self.origin

    def _decoded(self) -> Iterator[Any]:
        for packet in self._packets():
            try:
                frames = self.decoder.decode(packet)
            except av.FFmpegError:
                self.damaged = True
                continue
            for frame in frames:
                frame.time_base = self.stream.time_base  # which those that a flush brings may lack
                if not self.has_pts:
                    # AVI stores no presentation times, and those that libav makes up go backwards where there are B
                    # frames. But frames leave the decoder in the order of their decoding times, a constant delay later.
                    frame.pts = frame.dts
                yield frame

    def _packets(self) -> Iterator[Any]:
        try:
            yield from self.file.demux(self.stream)  # the last one is empty and flushes the decoder
        except av.FFmpegError:
            self.damaged = True
            yield None  # flushes too

    def close(self) -> None:
        self.file.close()


class _Pillow:
    """The frames of a GIF, WebP or PNG animation, on white where transparent; or a picture as a film of one frame."""

    rate = USUAL_RATE
    pixel_aspect = Fraction(1)
    has_sound = False
    surely_until = Fraction(0)

    def __init__(self, image: Image.Image, still: Image.Image | None = None) -> None:
        self.image = image
        self.still = still
        self.damaged = False
        # the first picture of some PNGs is for those who cannot show the animation
        self._first = int(getattr(image, "default_image", False))
        self.expected: int | None = 1 if still else getattr(image, "n_frames", 1) - self._first
        if (self.expected or 1) * image.width * image.height > MOST_ANIMATED:  # a kilobyte may claim as many
            raise BeautyError("too many frames for their size: make a film of it first, such as MP4")
        if not still and (durations := list(islice(self._durations(), LOOKED_AT))):
            self.rate = len(durations) / sum(durations, Fraction(0))
        self.damaged = False  # until it is read in earnest

    def frames(self, start: Fraction) -> Iterator[Frame]:  # noqa: ARG002  (what comes before is quickly read)
        if self.still:
            yield Frame(np.asarray(self.still), Fraction(0), 1 / self.rate)
            return
        time = Fraction(0)
        for duration in self._durations():
            yield Frame(np.asarray(on_white(self.image.convert("RGBA"))), time, duration)
            time += duration

    def _durations(self) -> Iterator[Fraction]:
        """How long each frame is on, in seconds, while `image` is that frame."""
        # browsers take no duration, and up to 10 ms in a GIF or WebP, to mean a tenth of a second
        least = 0 if self.image.format == "PNG" else 10
        for number in range(self._first, self._first + (self.expected or 0)):
            try:
                self.image.seek(number)
                self.image.load()
            except Exception:  # decoders of broken files raise nearly everything
                self.damaged = True
                return
            ms = self.image.info.get("duration") or 0
            yield Fraction(max(1, round(ms)) if ms > least else 100, 1000)

    def close(self) -> None:
        self.image.close()


def _animation(path: Path) -> _Pillow | None:
    """A picture file that libav would read worse (EXIF, transparency, animated WebP) than Pillow; else None."""
    image: Image.Image | None = None
    try:
        image = Image.open(path, formats=("GIF", "WEBP", "PNG", "JPEG"))
        moving = image.format in ("GIF", "WEBP", "PNG") and getattr(image, "n_frames", 1) > 1
    except Image.DecompressionBombError as error:
        raise BeautyError(f"{path} is too large to be shown: scale it down first") from error
    except Exception:  # not one of these, or so broken that libav shall say why
        if image is not None:
            image.close()
        return None
    if moving and image.width * image.height <= MAX_PIXELS:
        try:
            return _Pillow(image)
        except BeautyError as error:
            image.close()
            raise BeautyError(f"{path} has {error}") from error
    try:
        return _Pillow(image, decode(path))
    except Unreadable as error:
        image.close()
        raise BeautyError(f"{path} is a picture that cannot be read ({error}): choose another") from error


def _check_file(path: Path) -> None:
    """BeautyError unless `path` is a regular file with something in it; a FIFO would block whoever opens it."""
    try:
        found = path.stat()
    except OSError as error:
        raise BeautyError(f"cannot read {path}: {error.strerror or error}") from error
    if stat.S_ISDIR(found.st_mode):
        raise BeautyError(f"{path} is a folder: name one film in it")
    if not stat.S_ISREG(found.st_mode):
        raise BeautyError(f"{path} is not a regular file: save the film to a file first")
    if not found.st_size:
        raise BeautyError(f"{path} is empty: fetch or record it again")
    with suppress(OSError), open(path, "rb") as file:  # libav says why it cannot be read
        if is_lfs_pointer(file.read(100)):
            raise BeautyError(f"{path} is a {LFS_POINTER}")


_ANY_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Titles that are no text must not keep a film from being opened; PyAV 19 reads them only when it is asked for them."""


_PLAYLISTS = {"hls", "concat", "dash", "sdp", "webm_dash_manifest", "imf"}
_FORMATS = ",".join(sorted(av.formats_available - _PLAYLISTS))
"""Of films themselves: a playlist is of other files, perhaps private ones."""


def open_file(path: Path) -> Any:
    """A film file opened by libav, which may follow no links to other places."""
    try:
        # "file:" keeps names such as "concat:x" from being taken for protocols
        options = {"protocol_whitelist": "file,crypto,data", "format_whitelist": _FORMATS}
        return av.open(f"file:{path.resolve()}", options=options, **_ANY_METADATA)
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BeautyError(f"{path} is not a readable film ({reason}): choose another") from error


def origin_of(file: Any) -> Fraction:
    """The time (seconds) at which a film begins: 0, but for broadcast formats, whose clocks start anywhere."""
    broadcast = file.format.flags & av.format.Flags.ts_discont.value
    return Fraction(file.start_time or 0, av.time_base) if broadcast else Fraction(0)


def _best_video(file: Any, path: Path) -> Any:
    """The video stream that players would show; the cover picture of a song is none."""
    cover = av.stream.Disposition.attached_pic
    films = [stream for stream in file.streams.video if not stream.disposition & cover]
    if not films:
        raise BeautyError(f"no video stream in {path}: choose a film with pictures")
    best = file.streams.best("video")
    stream = best if best in films else films[0]
    if stream.codec_context is None:
        raise BeautyError(f"{path} has a video codec that is unknown here: convert it to H.264 first")
    return stream


def _with_alpha(stream: Any) -> Any:
    """A decoder that sees how transparent a WebM is, where libav's own does not; else None."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if name not in av.codecs_available or stream.metadata.get("alpha_mode") != "1":
        return None
    return av.CodecContext.create(name, "r")
