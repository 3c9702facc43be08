"""Films as they go: frames to an encoder, parts to one film, and the sound and title of another film with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace

from beautynet import files
from beautynet.errors import BeautyError, UsageError
from beautynet.files import atomic, explained
from beautynet.film.developing import filtered
from beautynet.film.frames import Frame
from beautynet.film.media import USUAL_RATE, open_file, origin_of

JUMP = 0.5
"""Seconds from which on sound that goes back is of another recording; less of it is disorder."""
SURROUND = {1: "mono", 6: "5.1", 8: "7.1"}
"""How many channels of sound stay so many where it is encoded anew; both AAC and Opus know these."""
HELD_BACK = 2
"""Frames that wait until it is known whether they are the last. Those depend on none after them, so that they are
decoded last, too: by what comes last there, MP4 tells when the film ends."""


@dataclass(frozen=True)
class Format:
    """How films are written under one suffix."""

    container: str  # by libav's name: a .webp with a %d in its path it would take for numbered pictures
    codec: str
    pixels: str  # libav's pixel format
    tick: Fraction  # seconds, the unit of times
    options: dict[str, str]  # of the codec
    container_options: dict[str, str] = field(default_factory=dict)
    copied: tuple[str, ...] = ()  # codecs of sound that are taken over as they are
    sound: str | None = None  # the codec for all others; None for silent formats
    edits: bool = False  # it says that sound begins before what is heard of it: a decoder's lead-in, what was cut off
    square: bool = True  # it knows, or libav writes, square pixels only
    most_fps: int | None = None  # more frames a second are not shown in time


_MP4 = Format(
    "mp4",
    "libx264",
    "yuv420p",
    Fraction(1, 90_000),
    # as good without the finest search for motion, in 0.7 of the time, for a twelfth more bytes
    {"crf": "18", "preset": "veryfast", "x264-params": "subme=1"},
    {"movflags": "+faststart"},
    copied=("aac", "mp3", "ac3", "eac3", "alac"),
    sound="aac",
    edits=True,
    square=False,
)
_ALSO_COPIED = (*_MP4.copied, "pcm_s16le", "pcm_s24le")
FORMATS = {
    ".mp4": _MP4,
    ".mov": replace(_MP4, container="mov", copied=_ALSO_COPIED),
    ".mkv": replace(
        _MP4,
        container="matroska",
        tick=Fraction(1, 1000),
        # Matroska does not say when a frame is to be decoded, so none may wait for a later one
        options=_MP4.options | {"x264-params": "subme=1:bframes=0"},
        container_options={},
        copied=(*_ALSO_COPIED, "opus", "vorbis", "flac"),
        edits=False,
    ),
    ".webm": Format(
        "webm",
        "libvpx-vp9",
        "yuv420p",
        Fraction(1, 1000),
        {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "7", "row-mt": "1"},
        copied=("opus", "vorbis"),
        sound="libopus",
    ),
    # browsers take up to one hundredth of a second, in both of these, to mean a tenth
    ".gif": Format("gif", "gif", "pal8", Fraction(1, 100), {}, {"loop": "0"}, most_fps=50),
    # one still WebP per frame: the encoder of whole animations merges like frames and invents the last one's duration
    ".webp": Format("webp", "libwebp", "bgra", Fraction(1, 1000), {"quality": "85"}, {"loop": "0"}, most_fps=90),
}

LOSSLESS = ".nut"
"""The suffix of films of which something else is made: libav's own, nothing is lost, half as quick again as FFV1."""
_LOSSLESS = replace(
    _MP4,
    container="nut",
    codec="libx264rgb",
    pixels="rgb24",
    options={"qp": "0", "preset": "ultrafast"},
    container_options={},
    square=True,
)


def film_format(path: Path) -> Format:
    """The format that a film's name asks for, or a UsageError that lists them."""
    if path.suffix == LOSSLESS:
        return _LOSSLESS
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise UsageError(f"cannot write a film named {path.name}: end it in {', '.join(FORMATS)}") from None


class FilmWriter:
    """A film without sound that is being written; made by `writing`, which completes it."""

    def __init__(
        self, path: Path, size: tuple[int, int], rate: Fraction, pixel_aspect: Fraction, begin: Fraction
    ) -> None:
        self._path, self._given = path, size
        self._format = film_format(path)
        self._begin = round(begin / self._format.tick)
        # ticks that a frame is on at least, also in a burst of a film that is slow on the whole
        self._least = int(1 / (self._format.tick * self._format.most_fps)) if self._format.most_fps else 1
        self._last_tick = -self._least
        self._durations: dict[int, int] = {}  # of the frames inside the encoder, by presentation time, in ticks
        self._last_packet = b""
        self._ahead: deque[Any] = deque()
        self._begun = False  # whether the encoder has had the first frame, which it makes a whole one
        self._file = _opened(path, self._format)
        if self._format.square:
            size, pixel_aspect = (max(1, round(size[0] * pixel_aspect)), size[1]), Fraction(1)
        self._size = width, height = size
        if self._format.pixels == "yuv420p":
            width, height = width + width % 2, height + height % 2
        self._padding = ((0, height - size[1]), (0, width - size[0]), (0, 0))
        self._stream = self._file.add_stream(self._format.codec, rate=rate, options=self._format.options)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, self._format.pixels
        self._stream.time_base = self._stream.codec_context.time_base = self._format.tick
        self._stream.codec_context.sample_aspect_ratio = pixel_aspect
        if self._format.pixels == "yuv420p":
            context = self._stream.codec_context
            context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
            context.color_primaries, context.color_trc = 1, 1  # BT.709
        self._palette = _palette_graph(width, height, self._format.tick) if self._format.pixels == "pal8" else None

    def write(self, frame: Frame) -> None:
        """Append a frame, at its own time, which is after the last one's. BeautyError if it is of another size."""
        picture = np.asarray(frame.picture)
        height, width = picture.shape[:2]
        if (width, height) != self._given:
            raise BeautyError(f"a frame of {width}×{height} in a film of {self._given[0]}×{self._given[1]}")
        tick = max(round(frame.time / self._format.tick) - self._begin, self._last_tick + self._least)
        self._durations[tick] = max(self._least, round(frame.duration / self._format.tick))
        self._last_tick = tick
        if self._given != self._size:  # pixels become square
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_CUBIC)
        if np.any(self._padding):
            picture = np.pad(picture, self._padding, mode="edge")
        image = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        image.pts, image.time_base = tick, self._format.tick
        self._ahead.append(image)
        if len(self._ahead) > HELD_BACK:
            self._encode(self._converted(self._ahead.popleft()))
            self._begun = True

    def finish(self) -> None:
        """Write what the encoder still holds, and the index."""
        if not self._durations:
            raise BeautyError("a film needs at least one frame: none was written")
        for image in chain.from_iterable(map(self._converted, self._ahead)):
            if self._begun:
                image.pict_type = PictureType.P
            self._encode([image])
        self._encode([*(self._converted(None) if self._palette else ()), None])
        self._file.close()
        if self._palette:
            _set_last_delay(self._path, self._last_packet, self._durations[self._last_tick])

    def close(self) -> None:
        """Let go of the file, finished or not."""
        with suppress(av.FFmpegError):  # of an unfinished file, which nobody will see
            self._file.close()

    def _converted(self, image: Any) -> Iterator[Any]:
        """The frame in the codec's pixel format; from None, what the palette's maker held back."""
        if self._palette:
            yield from filtered(self._palette, image)
        else:
            yield image.reformat(
                format=self._format.pixels, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )

    def _encode(self, images: Iterable[Any]) -> None:
        for image in images:
            for packet in self._stream.encode(image):
                packet.duration = self._durations[packet.pts]
                if packet.pts != self._last_tick:
                    del self._durations[packet.pts]
                if self._palette:
                    self._last_packet = bytes(packet)
                self._file.mux(packet)


def _opened(path: Path, written: Format) -> Any:
    """A film file to write to."""
    return av.open(str(path.absolute()), "w", format=written.container, container_options=written.container_options)


@contextmanager
def writing(
    path: Path,
    size: tuple[int, int],
    *,
    rate: Fraction = USUAL_RATE,
    pixel_aspect: Fraction = Fraction(1),
    begin: Fraction = Fraction(0),
    named: Path | None = None,
) -> Iterator[FilmWriter]:
    """Write a silent film: it is complete under `path` after the block, and not there at all if the block raised.

    `size` is (width, height) of the frames; odd sides become even by repeating the edge where the format needs it.
    The suffix chooses the format (`FORMATS`). In the film, frames appear `begin` (seconds) earlier than they say.
    Errors speak of `named`, the film that this one is a part of.
    """
    with (
        atomic(path, named) as temporary,
        _explained(named or path),
        closing(FilmWriter(temporary, size, rate, pixel_aspect, begin)) as writer,
    ):
        yield writer
        writer.finish()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Libav's failures to write `path` in a sentence."""
    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError) and explained(error, path):
            raise
        raise BeautyError(f"cannot write {path} ({error.strerror}): try another format or a smaller film") from error


class Part(NamedTuple):
    """A film that `writing` made of some of the frames of a longer one; its times (seconds) in that one."""

    path: Path
    begin: Fraction
    end: Fraction


def join(
    parts: Sequence[Part],
    path: Path,
    *,
    source: Path | None = None,
    sound_from: Fraction = Fraction(0),
    sound_for: Fraction | None = None,
) -> list[str]:
    """Make one film of parts that follow each other, not encoded anew; the result is what could not be kept.

    Of the film `source` the title and all sound are taken along, the latter from second `sound_from` on, for
    `sound_for` seconds or to its end: untouched where the format takes it, else encoded anew, else not at all.
    Formats without sound take one part only.
    """
    written = film_format(path)
    besides, lost = _besides(source, sound_from, sound_for)
    with atomic(path) as temporary, _explained(path):
        if not written.sound:
            if besides.sounds:
                lost.append(f"{path.suffix} has no sound: it was left out (choose .mp4 or .webm to keep it)")
            (only,) = parts
            files.replace(only.path, temporary)
            return lost
        # a format says that it refuses a sound, as it is or at all, when the film is begun or at its very end
        for copied in (written.copied, ()):
            try:
                return lost + _joined(parts, temporary, written, besides, copied)
            except av.FFmpegError as error:
                if isinstance(error, OSError) and explained(error, path):
                    raise
                refused = f"the sound could not be written and was left out: {error.strerror}"
        return [*lost, refused, *_joined(parts, temporary, written, replace(besides, sounds=()), ())]


@dataclass(frozen=True)
class _Besides:
    """What is taken along of a film besides its pictures."""

    begin: Fraction  # seconds, of the sound
    end: Fraction | None  # seconds after that
    source: Path = Path()
    title: str = ""
    sounds: tuple[int, ...] = ()  # its streams, that which players choose first


def _besides(source: Path | None, begin: Fraction, end: Fraction | None) -> tuple[_Besides, list[str]]:
    """What there is besides pictures, and what of that is not taken along."""
    if source is None:
        return _Besides(begin, end), []
    try:
        opened = open_file(source)
    except BeautyError as error:
        return _Besides(begin, end), [f"nothing but the pictures could be taken over: {error}"]
    with opened as file:
        best = file.streams.best("audio")
        sounds = sorted(file.streams.audio, key=lambda stream: stream is not best)
        lost = ["subtitles are left out"] if file.streams.subtitles else []
        title = file.metadata.get("title", "")
        return _Besides(begin, end, source, title, tuple(stream.index for stream in sounds)), lost


def _joined(
    parts: Sequence[Part], path: Path, written: Format, besides: _Besides, copied: tuple[str, ...]
) -> list[str]:
    """See `join`; sound in the codecs `copied` is taken over as it is."""
    lost: list[str] = []
    with ExitStack() as opened:
        file = opened.enter_context(_opened(path, written))
        if besides.title:
            file.metadata["title"] = besides.title
        first = opened.enter_context(open_file(parts[0].path)).streams.video[0]
        stream = file.add_stream_from_template(first)
        stream.time_base = written.tick
        heard: list[_Sound] = []
        for number in besides.sounds:
            try:
                heard.append(opened.enter_context(closing(_Sound(besides, number, file, written, copied))))
            except (av.FFmpegError, ValueError) as error:
                lost.append(f"the sound could not be taken over and was left out: {error}")
        for packet in opened.enter_context(closing(_pictures(parts, written.tick))):
            until = packet.dts * written.tick
            packet.stream = stream
            file.mux(packet)
            for sound in heard:
                sound.take(until)
        for sound in heard:
            sound.take(besides.end)
            lost += sound.warnings
    return lost


def _pictures(parts: Sequence[Part], tick: Fraction) -> Generator[Any]:
    """The encoded frames of all parts, in the order of decoding, at their times in the film."""
    last = -(1 << 62)
    for part in parts:
        shift, end = round(part.begin / tick), round(part.end / tick)
        until = dict(pairwise([*sorted(packet.pts + shift for packet in _packets(part.path)), end]))
        with closing(_packets(part.path)) as packets:
            for packet in packets:  # read twice: all of a part without loss may not fit into memory
                packet.pts += shift
                # Each part's decoder wants a head start, which the end of the part before it may take away. Where a
                # format does not say when to decode a frame, none waits for a later one.
                packet.dts = last = max(packet.pts if packet.dts is None else packet.dts + shift, last + 1)
                packet.duration = until[packet.pts] - packet.pts
                yield packet


def _packets(path: Path) -> Generator[Any]:
    """The encoded frames of a film, in the order of decoding."""
    with open_file(path) as file:
        yield from (packet for packet in file.demux(file.streams.video[0]) if packet.size)


class _Sound:
    """A sound of a film on its way into another one: copied if it is in one of the codecs `copied`, else encoded.

    What is heard before `besides.begin` is left out.
    """

    def __init__(self, besides: _Besides, number: int, into: Any, wanted: Format, copied: tuple[str, ...]) -> None:
        self.warnings: list[str] = []
        self._into = into
        self._file = open_file(besides.source)
        self._origin = origin_of(self._file) + besides.begin
        self._source = self._file.streams[number]
        context = self._source.codec_context
        if context is None or not context.sample_rate or not context.channels:
            raise ValueError("it has an unknown codec")
        self._raw = self._read()
        first = next(self._raw, None)
        if first is None or not first.size:  # nothing but the packet that flushes a decoder
            raise ValueError("it is empty")
        self._raw = chain([first], self._raw)
        # where the film is taken from its start, a sound's lead-in may lie before 0
        self._earliest = Fraction(0) if besides.begin else None
        if context.codec.canonical_name in copied:
            if not besides.begin and not wanted.edits:
                self._earliest = _lead_in(context)
            self._stream = into.add_stream_from_template(self._source)
            self._packets = self._copied()
        else:
            layout = SURROUND.get(context.channels, "stereo")
            self._stream = into.add_stream(wanted.sound, rate=48_000, layout=layout)
            self._packets = self._encoded()
        if language := self._source.metadata.get("language"):
            self._stream.metadata["language"] = language
        self._next = next(self._packets, None)

    def take(self, until: Fraction | None) -> None:
        """Write the sound up to a time (seconds), or all of it."""
        while self._next and (until is None or self._next.dts * self._next.time_base <= until):
            self._into.mux(self._next)
            self._next = next(self._packets, None)

    def close(self) -> None:
        self._file.close()

    def _read(self) -> Iterator[Any]:
        """Packets; a clock that jumps back, as where recordings follow each other in a file, goes on instead."""
        shift, following = 0, None
        try:
            for packet in self._file.demux(self._source):
                if packet.dts is not None:
                    if following is not None and (following - packet.dts - shift) * packet.time_base > JUMP:
                        shift = following - packet.dts
                    packet.dts += shift
                    packet.pts = None if packet.pts is None else packet.pts + shift
                    following = packet.dts + (packet.duration or 0)
                yield packet
        except av.FFmpegError as error:
            self.warnings.append(f"the sound ends early: {error}")

    def _is_early(self, sound: Any) -> bool:
        """Whether a packet or frame begins before any that is wanted."""
        return self._earliest is not None and sound.pts * sound.time_base < self._earliest

    def _copied(self) -> Iterator[Any]:
        last: int | None = None
        for packet in self._raw:
            if packet.dts is None or (last is not None and packet.dts <= last):
                continue  # cannot be written
            last = packet.dts
            shift = round(self._origin / packet.time_base)
            packet.dts -= shift
            packet.pts = packet.dts if packet.pts is None else packet.pts - shift
            if self._is_early(packet):
                continue
            packet.stream = self._stream
            yield packet

    def _encoded(self) -> Iterator[Any]:
        for packet in self._raw:
            try:
                frames = self._source.decode(packet)
            except av.FFmpegError:
                continue  # a gap
            for frame in frames:
                if frame.pts is not None:
                    frame.pts -= round(self._origin / frame.time_base)
                    if self._is_early(frame):
                        continue
                yield from self._stream.encode(frame)
        yield from self._stream.encode(None)


def _lead_in(context: Any) -> Fraction:
    """The time (seconds, to a ms) before which Matroska has no sound: 0, but for Opus, whose lead-in it knows of."""
    if context.codec.canonical_name != "opus":
        return Fraction(0)
    skipped = int.from_bytes((context.extradata or b"")[10:12], "little")  # RFC 7845, section 5.1
    return Fraction(-skipped, 48_000) - Fraction(1, 1000)


def _palette_graph(width: int, height: int, tick: Fraction) -> Any:
    """A filter that gives each RGB frame its own best 256 colours, for GIF."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format="rgb24", time_base=tick)
    split = graph.add("split")
    made = graph.add("palettegen", "stats_mode=single")
    used = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=3")
    source.link_to(split)
    split.link_to(made, 0, 0)
    split.link_to(used, 1, 0)
    made.link_to(used, 0, 1)
    used.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _set_last_delay(path: Path, packet: bytes, hundredths: int) -> None:
    """Set how long a GIF's last frame is shown: libav repeats the delay of the frame before it.

    `packet` is that frame as encoded; the file ends with it and a trailer of one byte. GIF89a, section 23.
    """
    control = packet.find(b"\x21\xf9\x04")
    with open(path, "r+b") as file:
        file.seek(-1 - len(packet) + control + 4, 2)
        file.write(min(hundredths, 65535).to_bytes(2, "little"))
