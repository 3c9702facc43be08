"""Films out: what goes into a FilmWriter, in one part or many, comes out of any player."""

import gc
import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image
from test_media import LAST, UNEVEN, decoded, likeness, make_film, packets, pictures, rotate, write

from beautynet.errors import BeautyError, UsageError
from beautynet.film import rendering
from beautynet.film.frames import Frame
from beautynet.film.media import Film
from beautynet.film.rendering import FORMATS, LOSSLESS, Part, film_format, join, writing


@pytest.mark.parametrize("suffix", FORMATS)
def test_written_frames_come_back_at_their_times(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    tick = Fraction(1, 100) if suffix == ".gif" else Fraction(1, 1000)
    written = write(path, size=(161, 95))
    with Film(path) as film:
        read = list(film)
    assert film.warnings == []
    assert len(read) == len(written)
    for a, b in zip(written, read, strict=True):
        assert abs(a.time - b.time) <= tick / 2
        assert likeness(a.picture, b.picture[:95, :161]) < 8
    assert abs(read[-1].duration - LAST) <= tick / 2
    even = suffix not in (".gif", ".webp")
    assert film.size == ((162, 96) if even else (161, 95))
    if even:
        assert likeness(read[0].picture[:95, 160], read[0].picture[:95, 161]) < 6, "the edge is not repeated"


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("count", [2, 3, 20, 31])
def test_the_last_frame_is_shown_for_its_time(tmp_path: Path, suffix: str, count: int) -> None:
    """Also where the encoder would rather have it decoded before others."""
    photo = load_sample_image("flower.jpg")
    step = Fraction(1, 25)
    with writing(tmp_path / f"film{suffix}", (160, 96)) as writer:
        for number in range(count):
            picture = photo[60:156, 4 * number :][:, :160]
            writer.write(Frame(picture, step * number, step if number < count - 1 else Fraction(2)))
    with Film(tmp_path / f"film{suffix}") as film:
        last = [*film][-1]
    assert abs(last.duration - 2) <= Fraction(1, 500)
    assert likeness(last.picture, picture) < 8


@pytest.mark.parametrize("suffix", [*FORMATS, LOSSLESS])
def test_a_place_that_looks_like_numbered_pictures(suffix: str, tmp_path: Path) -> None:
    written = write(tmp_path / "100%done" / f"film{suffix}")
    with Film(tmp_path / "100%done" / f"film{suffix}") as film:
        assert len(list(film)) == len(written)


@pytest.mark.parametrize(("suffix", "least"), [(".gif", 20), (".webp", 11)])
def test_no_frame_is_on_too_shortly_for_browsers(suffix: str, least: int, tmp_path: Path) -> None:
    """Nor in a burst of a film that is slow on the whole; after it all are in time again."""
    times = [Fraction(ms, 1000) for ms in (0, 8, 16, 24, 500, 900, 905)]
    with writing(tmp_path / f"film{suffix}", (160, 96)) as writer:
        for picture, (time, end) in zip(pictures(6, 160, 96), pairwise(times), strict=True):
            writer.write(Frame(picture, time, end - time))
    delays = []
    with Image.open(tmp_path / f"film{suffix}") as image:
        for number in range(image.n_frames):
            image.seek(number)
            image.load()
            delays.append(image.info["duration"])
    assert min(delays) == least
    assert (len(delays), sum(delays[:4]), sum(delays[:5])) == (6, 500, 900)


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with pytest.raises(BeautyError, match="a frame of 32×64 in a film of 64×32"), writing(path, (64, 32)) as writer:
        writer.write(Frame(np.zeros((64, 32, 3), np.uint8), Fraction(0), Fraction(1)))
    assert not path.exists()


def test_colours_survive(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (230, 150, 60)]
    picture = np.repeat(np.array([colours], np.uint8), 32, axis=1).repeat(64, axis=0)
    for suffix in FORMATS:
        with writing(tmp_path / f"film{suffix}", (192, 64)) as writer:
            writer.write(Frame(picture, Fraction(0), Fraction(1)))
        with Film(tmp_path / f"film{suffix}") as film:
            back = next(iter(film)).picture[32, 16::32]
        assert np.abs(back.astype(int) - colours).max() <= 8, (suffix, back)


@pytest.mark.parametrize(
    ("made", "out", "codec"),
    [
        ("film.mp4 aac", "dream.mp4", "copy"),
        ("film.mp4 mp3", "dream.mp4", "copy"),
        ("film.webm libopus", "dream.webm", "copy"),
        ("film.mp4 aac", "dream.webm", "opus"),
        ("film.webm libopus", "dream.mp4", "aac"),
    ],
)
def test_sound(tmp_path: Path, made: str, out: str, codec: str) -> None:
    name, encoder = made.split()
    source = make_film(tmp_path / name, sound=encoder, sound_from=Fraction(1, 5))
    write(tmp_path / f"silent {out}")
    assert join([Part(tmp_path / f"silent {out}", Fraction(0), UNEVEN[-1] + LAST)], tmp_path / out, source=source) == []
    before, after = packets(source), packets(tmp_path / out)
    if codec == "copy":
        assert [data for _, data in after] == [data for _, data in before]
        assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=0.001)
        return
    with av.open(str(tmp_path / out)) as file:
        assert file.streams.audio[0].codec_context.codec.canonical_name == codec
    # in sync: a second codec adds a delay of its own, which players take off again
    assert after[0][0] == pytest.approx(before[0][0], abs=0.05)
    assert after[-1][0] == pytest.approx(before[-1][0], abs=0.05)


def talk(
    path: Path,
    codec: str,
    rate: int = 48_000,
    tongues: tuple[str, ...] = ("",),
    said: str = "",
    layout: str = "mono",
) -> Path:
    """A grey film of a second with so many sounds of one codec, each in its tongue, and one subtitle."""
    channels = av.AudioLayout(layout).nb_channels
    (subtitles := path.with_suffix(".srt")).write_text(f"1\n00:00:00,000 --> 00:00:01,000\n{said}\n")
    with av.open(str(path), "w") as file, av.open(str(subtitles)) as text:
        file.metadata["title"] = "A walk"
        video = file.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
        sounds = [file.add_stream(codec, rate=rate, layout=layout) for _ in tongues]
        for sound, tongue in zip(sounds, tongues, strict=True):
            sound.metadata.update({"language": tongue} if tongue else {})
        written = file.add_stream_from_template(text.streams.subtitles[0]) if said else None
        for packet in text.demux() if written else ():
            if packet.dts is not None:
                packet.stream = written
                file.mux(packet)
        for number in range(25):
            image = av.VideoFrame.from_ndarray(np.full((96, 160, 3), 5 * number, np.uint8), format="rgb24")
            image.pts, image.time_base = number, Fraction(1, 25)
            file.mux(video.encode(image))
            for n, sound in enumerate(sounds, 1):
                wave = (9999 * np.sin(np.arange(number * rate // 25, (number + 1) * rate // 25) * n / 20))[None]
                wave = wave.repeat(channels, 1)  # one after the other, as they are stored
                tone = av.AudioFrame.from_ndarray(wave.astype(np.int16), format="s16", layout=layout)
                tone.sample_rate, tone.time_base, tone.pts = rate, Fraction(1, rate), number * rate // 25
                file.mux(sound.encode(tone))
        for stream in (video, *sounds):
            file.mux(stream.encode(None))
    subtitles.unlink()
    return path


def with_besides(source: Path, out: Path) -> list[str]:
    """Three frames in a second, and what else there is in `source`, as `out`; what could not be kept."""
    silent = out.with_name(f"silent{out.suffix}")
    write(silent, [Fraction(n, 3) for n in range(3)])
    return join([Part(silent, Fraction(0), Fraction(1))], out, source=source)


def test_sound_that_mp4_refuses_as_it_is_is_encoded(tmp_path: Path) -> None:
    """Old cameras' and Flash films' MP3 has less than 16 kHz, which MP4 does not take."""
    assert with_besides(talk(tmp_path / "film.flv", "libmp3lame", 11_025), tmp_path / "dream.mp4") == []
    with av.open(str(tmp_path / "dream.mp4")) as file:
        sound = file.streams.audio[0]
        assert sound.codec_context.codec.canonical_name == "aac"
        heard = sum(frame.samples for frame in file.decode(sound))
    assert abs(heard / 48_000 - 1) < 0.2  # with MP3's silence before and after


@pytest.mark.parametrize("out", ["dream.mp4", "dream.webm"])
@pytest.mark.parametrize(
    ("layout", "becomes"), [("5.1", "5.1"), ("5.1(side)", "5.1"), ("7.1", "7.1"), ("2.1", "stereo")]
)
def test_surround_sound_stays_so(layout: str, becomes: str, out: str, tmp_path: Path) -> None:
    source = talk(tmp_path / "film.mkv", "pcm_s32le", layout=layout)
    assert with_besides(source, tmp_path / out) == []
    with av.open(str(tmp_path / out)) as file:
        assert file.streams.audio[0].codec_context.layout.name == becomes


def test_sound_that_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    """A broadcast that begins, and then again: its clock goes back a little, which no encoder takes."""
    source = talk(tmp_path / "film.ts", "mp2")
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 470 * 188] + data)  # packets of 188 bytes, two fifths of them
    (said,) = with_besides(source, tmp_path / "dream.mp4")
    assert said.startswith("the sound could not be written")
    assert len(decoded(tmp_path / "dream.mp4")) == 3


@pytest.mark.parametrize("codec", ["ac3", "mp2"])  # which is copied, and which is not
def test_sound_goes_on_where_a_recording_follows_another(tmp_path: Path, codec: str) -> None:
    source = talk(tmp_path / "film.ts", codec)
    source.write_bytes(2 * source.read_bytes())
    assert with_besides(source, tmp_path / "dream.mp4") == []
    with av.open(str(tmp_path / "dream.mp4")) as file:
        heard = [(float(frame.pts * frame.time_base), frame.samples) for frame in file.decode(audio=0)]
    assert sum(samples for _, samples in heard) / 48_000 == pytest.approx(2, abs=0.1)
    assert heard[-1][0] == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ("made", "codec", "out", "kept"),
    [
        ("film.mkv", "libmp3lame", "dream.mp4", "mp3"),
        ("film.mkv", "libmp3lame", "dream.mov", "mp3"),
        ("film.mkv", "flac", "dream.mkv", "flac"),
        ("film.mkv", "flac", "dream.webm", "opus"),
    ],
)
def test_title_and_all_sounds_are_kept(tmp_path: Path, made: str, codec: str, out: str, kept: str) -> None:
    source = talk(tmp_path / made, codec, tongues=("eng", "deu"), said="Hello")
    assert with_besides(source, tmp_path / out) == ["subtitles are left out"]
    with av.open(str(tmp_path / out)) as file:
        assert file.metadata["title"] == "A walk"
        if out != "dream.mov":  # QuickTime has numbers for languages, of which libav reads not all
            assert [stream.metadata["language"] for stream in file.streams.audio] == ["eng", "deu"]
        assert {stream.codec_context.codec.canonical_name for stream in file.streams.audio} == {kept}
    for number in range(2):  # each is itself: the second one an octave above the first
        with av.open(str(tmp_path / out)) as file:
            sound = file.streams.audio[number]
            wave = np.concatenate([frame.to_ndarray()[0].astype(float) for frame in file.decode(sound)])
        hertz = np.argmax(np.abs(np.fft.rfft(wave))) * 48_000 / len(wave)
        assert hertz == pytest.approx((number + 1) * 48_000 / (40 * np.pi), rel=0.02)


@pytest.mark.parametrize("cut_off", [500, 507, 513])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_what_was_cut_off_a_films_sound_stays_so(suffix: str, cut_off: int, tmp_path: Path) -> None:
    """Telephones cut a film by saying when it begins: what was before that is in it still."""
    whole, cut = talk(tmp_path / "whole.mkv", "libopus" if suffix == ".webm" else "aac"), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as file:
        streams = [file.add_stream_from_template(each) for each in (*source.streams.video, *source.streams.audio)]
        for packet in source.demux():
            if packet.dts is not None:
                if packet.stream.type == "audio":
                    packet.pts = packet.dts = packet.pts - cut_off
                packet.stream = streams[packet.stream.index]
                file.mux(packet)
    assert with_besides(cut, tmp_path / f"dream{suffix}") == []
    heard = []
    for path in (cut, tmp_path / f"dream{suffix}"):
        with av.open(str(path)) as file:
            frames = [*file.decode(audio=0)]
        assert abs(frames[0].time) < 0.03
        heard.append(frames[-1].time)
    assert heard[0] == pytest.approx(heard[1], abs=0.003)
    with Film(tmp_path / f"dream{suffix}") as film:
        assert next(iter(film)).time == 0


def test_besides_of_a_film_that_is_gone(tmp_path: Path) -> None:
    (said,) = with_besides(tmp_path / "gone.mp4", tmp_path / "dream.mp4")
    assert said.startswith("nothing but the pictures could be taken over")


def test_lost_sound_is_said(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4", sound="aac")
    write(tmp_path / "silent.gif")
    (said,) = join(
        [Part(tmp_path / "silent.gif", Fraction(0), UNEVEN[-1] + LAST)], tmp_path / "dream.gif", source=source
    )
    assert "sound" in said
    assert sorted(os.listdir(tmp_path)) == ["dream.gif", "film.mp4"]


@pytest.mark.parametrize("ends", [(1,), (2, 3), (7,), (4, 8, 21)])
def test_parts_without_loss(ends: tuple[int, ...], tmp_path: Path) -> None:
    """Also short ones, of which a format may not say when to decode them."""
    shown = pictures(ends[-1], 161, 95)
    parts = []
    for begin, end in pairwise((0, *ends)):
        path = tmp_path / f"{begin}{LOSSLESS}"
        with writing(path, (161, 95), begin=Fraction(begin, 25)) as writer:
            for number in range(begin, end):
                writer.write(Frame(shown[number], Fraction(number, 25), Fraction(1, 25)))
        parts.append(Part(path, Fraction(begin, 25), Fraction(end, 25)))
    join(parts, tmp_path / f"film{LOSSLESS}")
    with Film(tmp_path / f"film{LOSSLESS}") as film:
        frames = list(film)
    assert [frame.time for frame in frames] == [Fraction(number, 25) for number in range(ends[-1])]
    assert all((frame.picture == picture).all() for frame, picture in zip(frames, shown, strict=True))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("cuts", [(0, 12), (0, 1, 12), (0, 3, 4, 9, 12)])
def test_parts_are_one_film(suffix: str, cuts: tuple[int, ...], tmp_path: Path) -> None:
    """Uneven times, from dense to sparse and back, and each part with a codec's head start of its own."""
    times = [Fraction(ms, 1000) for ms in (7, 20, 33, 46, 540, 1033, 1500, 1510, 1520, 1533, 1900, 2301)]
    last = Fraction(1, 10)
    frames = [
        Frame(picture, time, end - time)
        for picture, time, end in zip(pictures(12, 160, 96), times, [*times[1:], times[-1] + last], strict=True)
    ]
    aspect = Fraction(6, 5)
    parts = []
    for number, (first, end) in enumerate(pairwise(cuts)):
        path = tmp_path / f"{number}{suffix}"
        with writing(path, (160, 96), begin=times[first], pixel_aspect=aspect) as writer:
            for frame in frames[first:end]:
                writer.write(frame)
        parts.append(Part(path, times[first], frames[end - 1].time + frames[end - 1].duration))
    source = make_film(tmp_path / "tone.mp4", times=[Fraction(n, 25) for n in range(60)], sound="aac")
    join(parts, tmp_path / f"film{suffix}", source=source)
    with Film(tmp_path / f"film{suffix}") as film:
        read = list(film)
        assert film.pixel_aspect * film.size[0] == 160 * aspect
        assert (film.warnings, film.has_sound) == ([], True)
    assert len(read) == 12
    for a, b in zip(frames, read, strict=True):
        assert abs(a.time - b.time) <= Fraction(1, 1000)
        assert likeness(a.picture, cv2.resize(b.picture, (160, 96))) < 8
    assert len(decoded(tmp_path / f"film{suffix}")) == 12


def test_joining_holds_few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of twenty seconds without loss may be larger than memory."""
    held: list[int] = []
    take = rendering._Sound.take

    def counted(sound: rendering._Sound, until: Fraction | None) -> None:
        if not held:
            held.append(sum(type(each) is av.Packet for each in gc.get_objects()))
        take(sound, until)

    monkeypatch.setattr(rendering._Sound, "take", counted)
    source = make_film(tmp_path / "tone.mp4", sound="aac")
    write(tmp_path / "part.mkv", [Fraction(n, 25) for n in range(20)])
    join([Part(tmp_path / "part.mkv", Fraction(0), Fraction(1))], tmp_path / "film.mkv", source=source)
    assert 0 < held[0] < 10


@pytest.mark.parametrize("suffix", [".webm", ".gif", ".webp"])
def test_formats_of_square_pixels_are_stretched(suffix: str, tmp_path: Path) -> None:
    frames = write(tmp_path / f"wide{suffix}", pixel_aspect=Fraction(3, 2))
    with Film(tmp_path / f"wide{suffix}") as film:
        assert (film.size, film.pixel_aspect) == ((240, 96), 1)
        for before, after in zip(frames, film, strict=True):
            assert likeness(cv2.resize(before.picture, (240, 96)), after.picture) < 8


def test_pixel_aspect(tmp_path: Path) -> None:
    write(tmp_path / "wide.mp4", pixel_aspect=Fraction(4, 3))
    with Film(tmp_path / "wide.mp4") as film:
        assert film.pixel_aspect == Fraction(4, 3)
    with Film(rotate(tmp_path / "wide.mp4")) as film:
        assert film.pixel_aspect == Fraction(3, 4)


def fail(path: Path) -> None:
    with writing(path, (160, 96)) as writer:
        for frame in range(3):
            writer.write(Frame(pictures(1, 160, 96)[0], Fraction(frame), Fraction(1)))
        raise ZeroDivisionError


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    for suffix in FORMATS:
        with pytest.raises(ZeroDivisionError):
            fail(tmp_path / f"film{suffix}")
    with pytest.raises(BeautyError, match="cannot write"), writing(tmp_path / "film.mp4", (20_000, 2)) as writer:
        writer.write(Frame(np.zeros((2, 20_000, 3), np.uint8), Fraction(0), Fraction(1)))
    for suffix in FORMATS:
        with pytest.raises(BeautyError, match="at least one frame"), writing(tmp_path / f"film{suffix}", (160, 96)):
            pass
    assert list(tmp_path.iterdir()) == []


def test_unknown_suffix() -> None:
    with pytest.raises(UsageError, match=r"\.mp4, \.mov, \.mkv, \.webm, \.gif, \.webp"):
        film_format(Path("dream.avi"))
