"""Films in: what is in a file comes out of Film, at its times."""

import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence
from sklearn.datasets import load_sample_image

from beautynet.errors import BeautyError
from beautynet.film.frames import Frame
from beautynet.film.media import BLINK, Film, open_file
from beautynet.film.rendering import writing

SHARED = Path(__file__).parents[2] / "shared" / "data"
VIDEOS = sorted((SHARED / "videos").glob("*.*"))
UNEVEN = [Fraction(ms, 1000) for ms in (0, 100, 140, 640, 673, 1200)]
LAST = Fraction(3, 10)
needs_videos = pytest.mark.skipif(not VIDEOS, reason="no films in ../shared/data/videos")
MEND = {"people_square_h264_in_avi.avi": Fraction(1, 25)}  # times are wrong in the file: even steps instead


def hostile(name: str) -> Path:
    path = SHARED / "hostile" / name
    if not path.exists():
        pytest.skip(f"no {name} in ../shared/data/hostile")
    return path


@cache
def photo() -> np.ndarray:
    return load_sample_image("china.jpg")


def pictures(count: int, width: int, height: int) -> list[np.ndarray]:
    """A camera that pans over a photo."""
    return [np.ascontiguousarray(photo()[i : i + height, 3 * i : 3 * i + width]) for i in range(count)]


def make_film(
    path: Path,
    times: list[Fraction] = UNEVEN,
    size: tuple[int, int] = (160, 96),
    sound: str = "",
    pix_fmt: str = "yuv420p",
    sound_from: Fraction = Fraction(0),
    announced: bool = True,
) -> Path:
    """A film made by libav alone, with a tone as long as the film, if `sound` names a codec."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("libvpx-vp9" if path.suffix == ".webm" else "libx264", rate=25)
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        video.codec_context.time_base = Fraction(1, 90_000)
        if not announced:
            video.codec_context.framerate = 0
        audio = file.add_stream(sound, rate=48_000, layout="stereo") if sound else None
        for time, picture in zip(times, pictures(len(times), *size), strict=True):
            image = av.VideoFrame.from_ndarray(picture, format="rgb24")
            image.pts, image.time_base = round(time * 90_000), Fraction(1, 90_000)
            file.mux(video.encode(image))
        file.mux(video.encode(None))
        if audio:
            for start in range(0, round(times[-1] * 48_000), 1024):
                wave = np.sin(np.arange(start, start + 1024) * 0.06).astype(np.float32)
                tone = av.AudioFrame.from_ndarray(np.stack([wave, wave]), format="fltp", layout="stereo")
                tone.sample_rate, tone.time_base = 48_000, Fraction(1, 48_000)
                tone.pts = start + round(sound_from * 48_000)
                file.mux(audio.encode(tone))
            file.mux(audio.encode(None))
    return path


def rotate(path: Path) -> Path:
    """Set the matrix of an mp4's track header to a quarter turn clockwise."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    numbers = (0, 1 << 16, 0, -(1 << 16), 0, 0, 96 << 16, 0, 1 << 30)
    data[matrix : matrix + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)
    path.write_bytes(data)
    return path


def decoded(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    """Times and stored pictures, by libav alone; where it is not told which colours, in BT.709 if they are HD's."""
    found = []
    with av.open(str(path)) as file:
        for frame in file.decode(file.streams.best("video")):
            colours = 1 if frame.colorspace == 2 and frame.height >= 720 else None
            picture = frame.reformat(format="rgb24", src_colorspace=colours).to_ndarray()
            found.append((frame.pts * frame.time_base, picture))
    return found


def packets(path: Path) -> list[tuple[float, bytes]]:
    """Times and contents of the sound as stored."""
    with av.open(str(path)) as file:
        if not file.streams.audio:
            return []
        stream = file.streams.best("audio")
        found = [p for p in file.demux(stream) if p.dts is not None]
        return [(float(p.pts * p.time_base), bytes(p)) for p in found]


def write(path: Path, times: list[Fraction] = UNEVEN, size: tuple[int, int] = (160, 96), **how: object) -> list[Frame]:
    ends = [*times[1:], times[-1] + LAST]
    frames = [
        Frame(picture, time, end - time)
        for picture, time, end in zip(pictures(len(times), *size), times, ends, strict=True)
    ]
    with writing(path, size, **how) as writer:
        for frame in frames:
            writer.write(frame)
    assert not list(path.parent.glob(".*")), "a temporary file was left"
    return frames


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference, 0..255."""
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def test_uneven_times_come_in_as_they_are(tmp_path: Path) -> None:
    with Film(make_film(tmp_path / "film.mp4")) as film:
        assert [frame.time for frame in film] == UNEVEN
    assert film.expected == len(UNEVEN)


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
def test_a_frame_is_on_until_the_next(tmp_path: Path, suffix: str) -> None:
    path = make_film(tmp_path / f"film{suffix}", times := [Fraction(ms, 1000) for ms in (0, 300, 350, 900, 940, 1500)])
    with Film(path) as film:
        frames = list(film)
    assert [frame.duration for frame in frames[:-1]] == [b - a for a, b in pairwise(times)]
    with Film(path, start=0.6) as film:
        assert [frame.time for frame in film] == [0, Fraction(3, 10), Fraction(34, 100), Fraction(9, 10)]


@needs_videos
def test_real_uneven_film() -> None:
    path = SHARED / "videos" / "people_vfr_384x216.mp4"
    with Film(path) as film:
        assert all(a.time + a.duration == b.time for a, b in pairwise(film))
    with Film(path, start=12.92) as film:
        assert next(iter(film)).time == 0


def test_rate_of_times_in_ms(tmp_path: Path) -> None:
    times = np.cumsum([16, 33, 7, 93, 41, 50, 17, 33, 93, 16, 50, 41, 7, 17, 93, 33, 16, 41, 50, 7]).tolist()
    path = make_film(tmp_path / "film.webm", [Fraction(ms, 1000) for ms in times], announced=False)
    with Film(path) as film:
        assert film.rate == 25  # libav guesses 1000


@pytest.mark.parametrize(
    ("fps", "rate"),
    [(29.97, "30000/1001"), (23.976, "24000/1001"), (119.88, "120000/1001"), (12.5, "25/2"), (30, "30"), (0.5, "1/2")],
)
def test_rate_of_television(tmp_path: Path, fps: float, rate: str) -> None:
    with Film(make_film(tmp_path / "film.mp4"), fps=fps) as film:
        assert film.rate == Fraction(rate)


@pytest.mark.parametrize("fps", [6, 7.5, 29.97, 100])
@pytest.mark.parametrize(("start", "end"), [(1.0, 2.2), (0.5, 1.0), (0.0, 0.77), (2.35, None), (0.0, None)])
def test_a_part_at_another_rate_is_as_long(fps: float, start: float, end: float | None, tmp_path: Path) -> None:
    path = make_film(tmp_path / "film.mp4", [Fraction(n, 30) for n in range(90)])
    with Film(path, start, end) as film:
        last = [*film][-1]
    with Film(path, start, end, fps) as film:
        frames = list(film)
    assert [frame.time for frame in frames] == [n / film.rate for n in range(len(frames))]
    assert all(a.time + a.duration == b.time for a, b in pairwise(frames))
    assert frames[-1].time + frames[-1].duration == last.time + last.duration
    assert BLINK <= frames[-1].duration <= 1 / film.rate
    if end is not None:
        assert last.time + last.duration == Fraction(str(end)) - Fraction(str(start))
        assert film.expected == len(frames)


@pytest.mark.parametrize("fps", [24, 30, 60])
def test_times_in_milliseconds_do_not_judder(fps: int, tmp_path: Path) -> None:
    path = make_film(tmp_path / "film.mkv", [Fraction(round(1000 * n / fps), 1000) for n in range(40)])
    with Film(path) as film:
        own = [frame.picture for frame in film]
    for every in (1, 2):
        with Film(path, fps=fps / every) as film:
            shown = [frame.picture for frame in film]
        at_their_times = own[::every]  # the last one is on for longer in such a file
        assert len(shown) >= len(at_their_times)
        assert all(np.array_equal(*pair) for pair in zip(shown, at_their_times, strict=False))


def test_no_frame_comes_of_rounding(tmp_path: Path) -> None:
    """Times in ms may end a film of 0.2 s a little later."""
    path = make_film(tmp_path / "film.mp4", [Fraction(n, 25) for n in range(20)])
    for end, count in ((0.2, 1), (0.2004, 1), (0.202, 2)):
        with Film(path, end=end, fps=5) as film:
            frames = list(film)
        assert len(frames) == film.expected == count
        assert abs(frames[-1].time + frames[-1].duration - Fraction(str(end))) < BLINK


def test_a_film_that_git_has_not_fetched(tmp_path: Path) -> None:
    for name in ("film.mp4", "film.webm", "film.gif", "film.ts"):
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
        (tmp_path / name).write_text(pointer)
        with pytest.raises(BeautyError, match=f"{name} is a Git LFS pointer: run `git lfs pull`"):
            Film(tmp_path / name)


def test_a_clock_that_jumps_by_hours(tmp_path: Path) -> None:
    """It is left as it is, but not filled with frames."""
    path = make_film(tmp_path / "film.mp4", [Fraction(n, 25) for n in (0, 1, 2, 180_000, 180_001)])
    with Film(path) as film:
        assert len(list(film)) == 5
    says = r"film.mp4 shows one frame for 2.0 hours, from second 0.08 on: cut a part out by --start and --end"
    with pytest.raises(BeautyError, match=says), Film(path, fps=5) as film:
        list(film)
    with Film(path, end=1, fps=5) as film:
        assert len(list(film)) == 5


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("film.ts", "libx264", {"g": "12"}),
        ("film.mpg", "mpeg2video", {"g": "12", "bf": "2"}),
        ("film.h264", "libx264", {"g": "12"}),
        ("open.mov", "libx265", {"x265-params": "keyint=12:min-keyint=12:open-gop=1:scenecut=0:log-level=error"}),
    ],
)
def test_a_part_begins_where_it_should(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    """A seek in these lands at a later frame than was asked for."""
    with av.open(str(tmp_path / name), "w") as file:
        video = file.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        for picture in pictures(40, 160, 96):
            file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(video.encode(None))
    with Film(tmp_path / name) as film:
        whole = list(film)
    for start in (0.09, 0.41, 1.01):
        with Film(tmp_path / name, start=start) as film:
            part = list(film)
        assert part[0].time == 0
        assert len(part) == sum(frame.time + frame.duration > start for frame in whole)
        assert all((a.picture == b.picture).all() for a, b in zip(part[::-1], whole[::-1], strict=False))
        assert not film.warnings


@needs_videos
def test_a_part_of_old_444() -> None:
    """How x264's old 4:4:4 is coded is said before the first frame only."""
    path = SHARED / "videos" / "cockatoo_1280x720_yuv444p_mp3.mp4"
    with Film(path, end=3.9) as film:
        *_, (there, _, _) = film
    with Film(path, start=3.85) as film:  # after a key frame at 3.8
        assert likeness(next(iter(film)).picture, there) < 1


def test_rotation_flag(tmp_path: Path) -> None:
    path = make_film(tmp_path / "film.mp4")
    with Film(path) as film:
        lying = next(iter(film)).picture
    with Film(rotate(path)) as film:
        upright = next(iter(film)).picture
    assert film.size == (96, 160)
    assert likeness(upright, np.rot90(lying, -1)) < 1


@pytest.mark.parametrize("pix_fmt", ["yuvj420p", "yuv444p", "yuv420p10le"])
def test_pixel_formats(tmp_path: Path, pix_fmt: str) -> None:
    with Film(make_film(tmp_path / "film.mp4", pix_fmt=pix_fmt)) as film:
        assert likeness(next(iter(film)).picture, pictures(1, 160, 96)[0]) < 8


def test_broadcast_clock_starts_at_zero(tmp_path: Path) -> None:
    times = [Fraction(5000) + i * Fraction(1, 25) for i in range(10)]
    path = make_film(tmp_path / "film.ts", times, sound="", size=(160, 96))
    with Film(path) as film:
        assert [frame.time for frame in film] == [time - 5000 for time in times]


def test_truncated_film(tmp_path: Path) -> None:
    """Whatever is left of a film comes out, and the rest is announced."""
    times = [Fraction(i, 25) for i in range(60)]
    write(tmp_path / "whole.mp4", times)  # index first
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 7 // 10])
    with Film(tmp_path / "cut.mp4") as film:
        read = [frame.time for frame in film]
    assert 10 < len(read) < 60
    assert read == times[: len(read)]
    assert film.warnings == [f"cut.mp4: {len(read)} of 60 frames; the rest is damaged or missing"]


def test_what_the_decoder_holds_where_reading_fails_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Torn:
        """A film on a disk that fails after 20 packets."""

        def __init__(self, path: Path) -> None:
            self.file = open_file(path)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def demux(self, stream: Any) -> Iterator[Any]:
            yield from islice(self.file.demux(stream), 20)
            raise av.InvalidDataError(1, "torn")

    times = [Fraction(n, 25) for n in range(40)]
    monkeypatch.setattr("beautynet.film.media.open_file", Torn)
    with Film(make_film(tmp_path / "film.mp4", times)) as film:
        read = [frame.time for frame in film]
    assert len(read) == 20
    assert set(read) < set(times)
    assert film.warnings == ["film.mp4: 20 of 40 frames; the rest is damaged or missing"]


@pytest.mark.parametrize(("name", "count"), [("truncated_faststart.mp4", 17), ("corrupted_packets.mp4", 28)])
def test_damaged_films(name: str, count: int, capfd: pytest.CaptureFixture[str]) -> None:
    with Film(hostile(name)) as film:
        times = [frame.time for frame in film]
    assert len(times) >= count
    assert times == sorted(set(times))
    assert len(film.warnings) == 1
    assert f"of {film.expected} frames" in film.warnings[0]
    assert capfd.readouterr().err == ""


def test_backward_times_are_mended(capfd: pytest.CaptureFixture[str]) -> None:
    with Film(hostile("badly_cut_bframes.avi")) as film:
        times = [frame.time for frame in film]
    assert times == [i * Fraction(1, 25) for i in range(15)]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("audio_only.mp4", "no video stream"),
        ("text_named.mp4", "not a readable film"),
        ("truncated_no_moov.mp4", "not a readable film"),
        ("zero_byte.mp4", "empty"),
        ("zero_frames.mp4", "no frames"),
        ("bomb_30000x30000.png", "too large"),
    ],
)
def test_hopeless_films(name: str, says: str) -> None:
    with pytest.raises(BeautyError, match=says) as caught:
        Film(hostile(name))
    assert "\n" not in str(caught.value)


def test_no_files(tmp_path: Path) -> None:
    """Nothing blocks or gives a traceback."""
    with pytest.raises(BeautyError, match="No such file"):
        Film(tmp_path / "missing.mp4")
    (tmp_path / "nowhere.mp4").symlink_to(tmp_path / "missing.mp4")
    with pytest.raises(BeautyError, match="No such file"):
        Film(tmp_path / "nowhere.mp4")
    with pytest.raises(BeautyError, match="folder"):
        Film(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(BeautyError, match="not a regular file"):
        Film(tmp_path / "pipe.mp4")


def test_name_of_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_film(Path("film.mp4")).rename("concat:a|b #1 100% 花.mp4")
    with Film("concat:a|b #1 100% 花.mp4") as film:
        assert film.expected == len(UNEVEN)


def test_a_songs_cover_is_no_film(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp3"), "w") as file:
        audio, cover = file.add_stream("mp3", rate=44_100, layout="mono"), file.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        file.mux(cover.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(photo()[:64, :64]))))
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), format="s16", layout="mono")
        tone.sample_rate = 44_100
        file.mux(audio.encode(tone))
        file.mux(audio.encode(None))
    with pytest.raises(BeautyError, match="no video stream"):
        Film(tmp_path / "song.mp3")


def test_animations() -> None:
    with Film(hostile("animated.gif")) as film:
        durations = [frame.duration for frame in film]
    assert durations == [Fraction(8, 100)] * 9 + [Fraction(4, 10)]
    with Film(hostile("animated.webp")) as film:
        assert len(list(film)) == film.expected == 5


def test_delays_of_less_than_a_millisecond(tmp_path: Path) -> None:
    layers = [Image.new("RGB", (32, 32), (8 * n, 0, 0)) for n in range(4)]
    layers[0].save(tmp_path / "a.png", save_all=True, append_images=layers[1:], duration=1)
    data = bytearray((tmp_path / "a.png").read_bytes())
    for found in re.finditer(b"fcTL", bytes(data)):  # its delay, a fraction of a second, stands after 20 bytes
        chunk = slice(found.start(), found.end() + 26)
        struct.pack_into(">HH", data, found.end() + 20, 1, 5000)
        struct.pack_into(">I", data, chunk.stop, zlib.crc32(data[chunk]))
    (tmp_path / "a.png").write_bytes(data)
    with Film(tmp_path / "a.png") as film:
        assert [frame.time for frame in film] == [Fraction(n, 1000) for n in range(4)]


@pytest.mark.parametrize(("suffix", "shown"), [(".gif", 100), (".webp", 100), (".png", 10)])
def test_delays_that_browsers_do_not_believe(suffix: str, shown: int, tmp_path: Path) -> None:
    layers = [Image.new("RGB", (32, 32), (60 * n, 0, 0)) for n in range(4)]
    layers[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=layers[1:], duration=10)
    with Film(tmp_path / f"a{suffix}") as film:
        assert [frame.duration for frame in film] == [Fraction(shown, 1000)] * 4
    assert film.rate == 1000 / shown


def test_a_picture_for_those_who_show_no_animations_is_no_frame(tmp_path: Path) -> None:
    instead, lime, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue"))
    instead.save(tmp_path / "a.png", save_all=True, default_image=True, append_images=[lime, blue], duration=40)
    with Film(tmp_path / "a.png") as film:
        assert [tuple(frame.picture[0, 0]) for frame in film] == [(0, 255, 0), (0, 0, 255)]
    assert (film.expected, film.warnings) == (2, [])


def test_animation_is_shown_on_white(tmp_path: Path) -> None:
    clear, red = Image.new("RGBA", (8, 8)), Image.new("RGBA", (8, 8), "red")
    red.paste((0, 0, 0, 0), (0, 0, 4, 8))
    red.save(tmp_path / "a.webp", save_all=True, append_images=[clear], duration=[70, 30], lossless=True)
    with Image.open(tmp_path / "a.webp") as image:
        assert len(list(ImageSequence.Iterator(image))) == 2
    with Film(tmp_path / "a.webp") as film:
        first, second = film
    assert (first.picture[0, 0] == 255).all()
    assert tuple(first.picture[0, 7]) == (255, 0, 0)
    assert (second.picture == 255).all()
    assert second.time == Fraction(7, 100)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_truncated_animation(tmp_path: Path, kind: str) -> None:
    """Wherever it ends: what is there, or a sentence."""
    layers = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    layers[0].save(tmp_path / "whole", kind, save_all=True, append_images=layers[1:], duration=40)
    data, read = (tmp_path / "whole").read_bytes(), 0
    for end in range(1, len(data)):
        (tmp_path / "cut").write_bytes(data[:end])
        with suppress(BeautyError), Film(tmp_path / "cut") as film:
            read += len(list(film))
    assert read or kind == "WEBP"


def test_rate_of_an_animation(tmp_path: Path) -> None:
    layers = [Image.new("RGB", (8, 8), (n, 0, 0)) for n in range(0, 100, 10)]
    layers[0].save(tmp_path / "a.gif", save_all=True, append_images=layers[1:], duration=200)
    with Film(tmp_path / "a.gif", start=1.1) as film:
        assert film.rate == 5
        assert len(list(film)) == 5
    assert film.expected in (4, 5)


def test_picture_as_film() -> None:
    for name, size in (("jpeg_named.mp4", (640, 360)), ("exif_rotated_6.jpg", (640, 360))):
        with Film(hostile(name)) as film:
            assert len(list(film)) == 1
        assert film.size == size


@needs_videos
@pytest.mark.parametrize("path", VIDEOS, ids=lambda path: path.name)
def test_real_films_come_in_whole(path: Path) -> None:
    truth = decoded(path)
    turned = "rot" in path.name
    with Film(path) as film:
        for number, frame in enumerate(film):
            time, picture = truth[number]
            if path.name in MEND:
                time = number * MEND[path.name]
            assert abs(frame.time - time) < Fraction(1, 1000)
            if number % 10 == 0 and "alpha" not in path.name:  # that one is laid on white
                assert (frame.picture == (np.rot90(picture, -1) if turned else picture)).all()
    assert number + 1 == len(truth)
    assert film.warnings == []
    assert film.expected == len(truth)


def test_a_kilobyte_may_not_claim_gigabytes(tmp_path: Path) -> None:
    width, height = 12_000, 10_000
    palette, pixels = bytes(4) + b"\xff\xff\xff\x00", b"\x00\x01"  # all of it is "the end" (run lengths)
    begin = 14 + 40 + len(palette)
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(pixels), 0, 0, 2, 0)
    file = b"BM" + struct.pack("<IHHI", begin + len(pixels), 0, 0, begin) + head + palette + pixels
    (tmp_path / "big.bmp").write_bytes(file)
    with pytest.raises(BeautyError, match="too large"):
        Film(tmp_path / "big.bmp")


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile film.mp4\n", "#EXTM3U\n#EXTINF:1,\nfilm.mp4\n#EXT-X-ENDLIST\n"]
)
@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8"])
def test_a_list_of_other_films_is_none(text: str, name: str, tmp_path: Path) -> None:
    """Whose films they are, nobody knows who is sent it."""
    make_film(tmp_path / "film.mp4")
    (tmp_path / name).write_text(text)
    with pytest.raises(BeautyError, match="is not a readable film"):
        Film(tmp_path / name)


def test_an_animation_of_too_many_pixels_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Image.new("L", (90, 90), 8 * n) for n in range(30)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=40, disposal=1)
    with Film(tmp_path / "a.gif") as film:
        assert film.expected == 30
    monkeypatch.setattr("beautynet.film.media.MOST_ANIMATED", 29 * 90 * 90)
    with pytest.raises(BeautyError, match=r"a.gif has too many frames for their size"):
        Film(tmp_path / "a.gif")
