"""Films through the video verb: panels, times, sound, damage, interruption. A negative stands in for the network."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from fractions import Fraction
from itertools import count
from pathlib import Path
from time import sleep
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from test_media import (
    MEND,
    UNEVEN,
    VIDEOS,
    decoded,
    hostile,
    likeness,
    make_film,
    needs_videos,
    packets,
    photo,
    pictures,
    rotate,
)

from beautynet.cli import MISUSED, PARTLY, main
from beautynet.errors import BeautyError, UsageError
from beautynet.film.frames import BATCH, Batch, Frame
from beautynet.film.media import Film
from beautynet.film.rendering import writing
from beautynet.verbs.video import Skipped, video, videos


class Negative:
    """Dreams negatives, and keeps what it was asked."""

    def __init__(self, interrupt_at: int | None = None, by: int = signal.SIGINT) -> None:
        self.calls: list[tuple[int, object]] = []
        self.interrupt_at, self.by = interrupt_at, by

    identity = "negative"
    batch = BATCH

    def pack(self, memory: int) -> dict[str, np.ndarray]:
        return {"calls": np.array(memory)}

    def unpack(self, packed: dict[str, np.ndarray]) -> int:
        return int(packed["calls"])

    def dreams(
        self, batches: Generator[Batch], memory: object = None
    ) -> Generator[tuple[list[Frame], np.ndarray, int]]:
        for batch in batches:
            pictures = np.stack([frame.picture for frame in batch.frames])
            dreams, memory = self.dream(pictures, None if batch.after_cut else memory)
            yield batch.frames, dreams, memory

    def dream(self, frames: np.ndarray, memory: object) -> tuple[np.ndarray, int]:
        self.calls.append((len(frames), memory))
        if len(self.calls) == self.interrupt_at:
            signal.raise_signal(self.by)
        return 255 - frames, len(self.calls)


def even(n: int) -> int:
    return n + n % 2


@pytest.mark.parametrize(("start", "end"), [(0.0, 2.0), (1.0, 2.5), (3.3, None), (3.85, 9.0)])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_part_has_its_frames_times_and_sound(start: float, end: float | None, suffix: str, tmp_path: Path) -> None:
    times = [Fraction(n, 25) for n in range(100)]
    source = make_film(tmp_path / f"film{suffix}", times=times, sound="aac" if suffix == ".mp4" else "libopus")
    out = video(source, tmp_path / "part.mp4", "only", start=start, end=end, translator=Negative()).out
    with Film(source) as film:
        wanted = [f for f in film if float(f.time + f.duration) > start + 1e-6 and float(f.time) < (end or 9)]
    with Film(out) as made:
        got = list(made)
    assert len(got) == len(wanted)
    for before, after in zip(wanted, got, strict=True):
        assert likeness(255 - before.picture, after.picture) < 8
        assert abs(max(float(before.time) - start, 0) - float(after.time)) < 0.002
    sound = [time for time, _ in packets(out)]
    assert -0.025 < sound[0] < 0.05
    assert sound[-1] <= float(got[-1].time + got[-1].duration) + 0.05


def test_sound_of_a_part_is_that_part(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4", times=[Fraction(n, 25) for n in range(100)], sound="aac")
    part = packets(video(source, tmp_path / "part.mp4", start=2, end=3, translator=Negative()).out)
    whole = {data: time for time, data in packets(source)}
    assert 40 < len(part) < 50
    assert all(abs(whole[data] - 2 - time) < 0.002 for time, data in part)


def test_sound_after_the_last_picture_is_in_a_part_too(tmp_path: Path) -> None:
    times = [Fraction(n, 25) for n in range(26)]
    source = make_film(tmp_path / "film.mp4", times, sound="aac", sound_from=Fraction(1))
    sound = packets(video(source, tmp_path / "part.mp4", end=1.5, translator=Negative()).out)
    assert sound[-1][0] == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("fps", [5, 10.0, 60])
def test_frames_a_second(fps: float, tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4")
    out = video(source, layout="only", fps=fps, translator=Negative()).out
    with Film(source) as film:
        frames = list(film)
    with Film(out) as made:
        got = list(made)
    seconds = frames[-1].time + frames[-1].duration
    assert abs(len(got) - float(seconds) * fps) <= 1
    for number, frame in enumerate(got):
        assert abs(float(frame.time) - number / fps) < 0.002
        shown = [f for f in frames if f.time <= Fraction(number) / Fraction(fps)][-1]
        assert likeness(255 - shown.picture, frame.picture) < 8


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_part_at_another_rate_is_as_long(suffix: str, tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4", [Fraction(n, 30) for n in range(90)])
    out = video(source, tmp_path / f"part{suffix}", start=1, end=2.2, fps=6, translator=Negative()).out
    assert [float(time) for time, _ in decoded(out)] == pytest.approx([n / 6 for n in range(8)], abs=0.001)
    with av.open(str(out)) as file:
        assert file.duration / av.time_base == pytest.approx(1.2, abs=0.001)


def test_parts_that_are_none(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4")
    parts = [{"start": 5.0}, {"start": 0.5, "end": 0.5}, {"start": -1.0}, {"start": math.inf}, {"end": math.nan}]
    for wrong in (*parts, {"fps": 0.0}, {"fps": 1e6}, {"fps": 0.0004}, {"fps": math.nan}):
        with pytest.raises(BeautyError):
            video(source, translator=Negative(), **wrong)  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == ["film.mp4"]


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        (2, 1.0, "--start 0:02 and --end 0:01 will not do"),
        (3723.5, 90, "--start 1:02:03.5 and --end 1:30 will not do"),
        (0.25, 0.125, "--start 0:00.25 and --end 0:00.125 will not do"),
        (-1.5, None, "--start -1.5 will not do"),
        (0, math.nan, "--start 0:00 and --end nan will not do"),
    ],
)
def test_times_are_said_as_they_are_typed(start: float, end: float | None, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(says)}: a part begins at 0 or later and ends later$"):
        video(tmp_path / "film.mp4", start=start, end=end, translator=Negative())


def test_a_line_goes_there_and_back(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4", times=[Fraction(n, 2) for n in range(17)])
    lines = []
    with Film(source) as film, Film(video(source, layout="wipe", translator=Negative()).out) as made:
        assert made.size == film.size
        for before, after in zip(film, made, strict=True):
            is_dream = np.abs(after.picture.astype(int) - before.picture).mean((0, 2)) > 30
            lines.append(int(np.argmax(np.append(is_dream, True))))
    assert lines[0] > 150
    assert lines[8] < 5
    assert lines[16] > 150
    assert lines[:9] == sorted(lines[:9], reverse=True)


@pytest.mark.parametrize("layout", ["side", "stack", "only"])
def test_layouts(tmp_path: Path, layout: str) -> None:
    source = make_film(tmp_path / "film.mp4")
    summary = video(source, layout=layout, translator=Negative())
    with Film(source) as film, Film(summary.out) as made:
        assert summary.out == tmp_path / "film.beauty.mp4"
        assert made.size == {"side": (320, 96), "stack": (160, 192), "only": (160, 96)}[layout]
        for before, after in zip(film, made, strict=True):
            assert likeness(255 - before.picture, after.picture[-96:, -160:]) < 8
            if layout != "only":
                assert likeness(before.picture, after.picture[:96, :160]) < 8
            assert abs(before.time - after.time) < Fraction(1, 1000)
    assert (summary.frames, summary.warnings) == (len(UNEVEN), ())
    assert summary.rate > 0


def test_rotated_film_is_upright(tmp_path: Path) -> None:
    source = rotate(make_film(tmp_path / "film.mp4"))
    with Film(source) as film, Film(video(source, translator=Negative()).out) as made:
        assert made.size == (192, 160)
        assert likeness(next(iter(film)).picture, next(iter(made)).picture[:, :96]) < 8


@needs_videos
@pytest.mark.parametrize("path", VIDEOS, ids=lambda path: path.name)
def test_real_films(path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = Path(shutil.copy(path, tmp_path))
    summary = video(source, layout="only", translator=Negative())
    before, after = decoded(path), decoded(summary.out)
    assert summary.frames == len(before) == len(after)
    for number, ((time, _), (time_after, _)) in enumerate(zip(before, after, strict=True)):
        time = number * MEND[path.name] if path.name in MEND else time
        assert abs(time - time_after) < Fraction(1, 1000)
    height, width = before[0][1].shape[:2]
    if "rot" in path.name:
        height, width = width, height
    assert after[0][1].shape[:2] == (even(height), even(width))
    assert [data for _, data in packets(summary.out)] == [data for _, data in packets(path)]
    assert capfd.readouterr().err == ""
    assert sorted(tmp_path.iterdir()) == sorted([source, summary.out])


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("truncated_faststart.mp4", 17),
        ("corrupted_packets.mp4", 28),
        ("badly_cut_bframes.avi", 15),
        ("one_frame.mp4", 1),
        ("jpeg_named.mp4", 1),
        ("animated.gif", 10),
        ("animated.webp", 5),
    ],
)
def test_awkward_films(name: str, count: int, tmp_path: Path) -> None:
    summary = video(hostile(name), tmp_path, layout="only", translator=Negative())
    with Film(summary.out) as made:
        assert len(list(made)) == summary.frames >= count
    assert bool(summary.warnings) == (name in ("truncated_faststart.mp4", "corrupted_packets.mp4"))
    assert list(tmp_path.iterdir()) == [summary.out]


@pytest.mark.parametrize(
    "name", ["audio_only.mp4", "text_named.mp4", "truncated_no_moov.mp4", "zero_byte.mp4", "zero_frames.mp4"]
)
def test_hopeless_films_leave_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(BeautyError, match=name):
        video(hostile(name), tmp_path, translator=Negative())
    assert list(tmp_path.iterdir()) == []


def test_memory_goes_from_batch_to_batch_and_not_across_a_cut(tmp_path: Path) -> None:
    scenes = [photo()[:96, :160], 255 - photo()[:96, :160]]
    with writing(tmp_path / "film.mp4", (160, 96)) as writer:
        for number in range(2 * BATCH + 3):
            writer.write(Frame(scenes[number > BATCH], Fraction(number, 25), Fraction(1, 25)))
    translator = Negative()
    video(tmp_path / "film.mp4", translator=translator)
    assert translator.calls == [(BATCH, None), (1, 1), (BATCH, None), (2, 3)]


def test_folders_of_films(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    (clips / "deep").mkdir(parents=True)
    for name in ("a.mp4", "A.mov", "deep/b.webm", ".hidden.mp4", "c.beauty.mp4"):
        make_film(clips / name)
    (clips / "broken.mp4").write_bytes(b"no film")
    (clips / "notes.txt").write_text("no film")
    out = tmp_path / "dreams"

    def told() -> dict[str, str]:
        every = videos([clips, tmp_path / "gone.mp4"], out, translator=Negative())
        return {each.reason if isinstance(each, Skipped) else f"{each.out.relative_to(out)}": "" for each in every}

    first = [*told()]
    made = [name for name in first if name.endswith(".beauty.mp4") or name.endswith(".beauty.webm")]
    assert made == ["A.beauty.mp4", "a-2.beauty.mp4", "deep/b.beauty.webm"]
    assert len(first) == 5
    assert sorted(path.suffix for path in out.rglob("*.*")) == [".mp4", ".mp4", ".webm"]
    assert sum("exists" in reason for reason in told()) == 3  # nothing is replaced unasked, nor named anew
    sources = [clips / "c.beauty.mp4", make_film(clips / "c.mp4")]
    before = sources[0].read_bytes()
    renamed = [each for each in videos(sources, translator=Negative(), force=True) if not isinstance(each, Skipped)]
    assert [each.out.name for each in renamed] == ["c.beauty.beauty.mp4", "c-2.beauty.mp4"]
    assert sources[0].read_bytes() == before  # an input is never written over
    with pytest.raises(BeautyError, match="fps"):
        next(videos(clips, translator=Negative(), fps=0))
    with pytest.raises(BeautyError, match="no films"):
        next(videos(out / "deep", translator=Negative()))
    with pytest.raises(BeautyError, match="no folder"):
        next(videos(clips, tmp_path / "one.mp4", translator=Negative()))


def test_animations_in_folders_are_films_and_pictures_are_none(tmp_path: Path) -> None:
    red, blue = (Image.new("RGB", (64, 48), colour) for colour in ("red", "blue"))
    for suffix in (".gif", ".webp"):
        red.save(tmp_path / f"moving{suffix}", save_all=True, append_images=[blue], duration=100)
        red.save(tmp_path / f"still{suffix}")
    (tmp_path / "broken.gif").write_bytes(b"GIF89a, no more")
    made = [*videos(tmp_path, translator=Negative())]
    assert [each.source.name for each in made if isinstance(each, Skipped)] == ["broken.gif"]
    outs = [each.out.name for each in made if not isinstance(each, Skipped)]
    assert outs == ["moving.beauty.gif", "moving.beauty.webp"]
    (named,) = [*videos([tmp_path / "still.gif"], translator=Negative())]
    assert not isinstance(named, Skipped)
    assert named.frames == 1


def test_films_of_cameras_discs_and_broadcasts_in_folders(tmp_path: Path) -> None:
    for suffix in (".ts", ".mxf", ".vob"):
        with av.open(str(tmp_path / f"{suffix[1:]}{suffix}"), "w") as file:
            stream = file.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
            for picture in pictures(5, 160, 96):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode(None))
    made = [each for each in videos(tmp_path, translator=Negative()) if not isinstance(each, Skipped)]
    assert [(each.out.name, each.frames) for each in made] == [(f"{n}.beauty.mp4", 5) for n in ("mxf", "ts", "vob")]


def test_the_film_itself_is_never_written_to(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4")
    content = source.read_bytes()
    (tmp_path / "link.mp4").symlink_to(source)
    for name in ("film.mp4", "link.mp4"):
        with pytest.raises(BeautyError, match="would take the place of"):
            video(source, tmp_path / name, translator=Negative())
    video(source, tmp_path / "new folder" / "dream.webm", translator=Negative())
    assert source.read_bytes() == content
    assert (tmp_path / "new folder" / "dream.webm").exists()


def test_a_name_without_a_suffix_is_a_folder(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4")
    assert video(source, tmp_path / "dreams", translator=Negative()).out == tmp_path / "dreams" / "film.beauty.mp4"


@pytest.mark.skipif(os.name == "nt", reason="no terminal to be had")
@pytest.mark.parametrize(("answer", "replaced"), [("n", False), ("y", True)])
def test_on_a_terminal_it_is_asked(
    answer: str, replaced: bool, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = make_film(tmp_path / "film.mp4"), tmp_path / "dream.mp4"
    out.write_bytes(b"mine")
    person, terminal = os.openpty()
    os.write(person, f"{answer}\n".encode())
    with open(terminal) as keyboard:
        monkeypatch.setattr(sys, "stdin", keyboard)
        with pytest.raises(SystemExit) as ended:
            main(["video", str(source), "-c", str(checkpoint), "-o", str(out)])
    assert (ended.value.code or 0, out.read_bytes() != b"mine") == (0 if replaced else 1, replaced)


@pytest.mark.parametrize(("how", "says"), [({"out": "dream.avi"}, r"\.mp4"), ({"layout": "pile"}, "side, stack, only")])
def test_wrong_options(how: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(BeautyError, match=says):
        video(make_film(tmp_path / "film.mp4"), **how, translator=Negative())


def test_names_that_are_none_are_wrong_usage(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4")
    for name, what in (("x.txt", "a film"), ("x.nut", "a film"), ("%d.tga", "pictures")):
        done = CliRunner().invoke(main, ["video", str(source), "-o", str(tmp_path / name)])
        assert done.exit_code == MISUSED
        (line,) = done.stderr.splitlines()
        assert f"cannot write {what} named {name}: end it in ." in line
    assert os.listdir(tmp_path) == ["film.mp4"]


@pytest.mark.parametrize("where", ["reading", "network", "writing"])
def test_failures_in_any_stage_come_out(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_film(tmp_path / "film.mp4", [Fraction(i, 25) for i in range(40)])

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    translator = Negative()
    if where == "network":
        translator.dream = fail  # type: ignore[method-assign, assignment]
    else:
        target = {"reading": "in_batches", "writing": "compose"}[where]
        monkeypatch.setattr(
            f"beautynet.verbs.video.{target}", lambda *_: map(fail, [0]) if where == "reading" else fail()
        )
    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        video(source, translator=translator)
    assert list(tmp_path.iterdir()) == [source]
    assert threading.active_count() == threads


def test_interrupted_film_is_complete_up_to_there_and_goes_on(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4", [Fraction(i, 25) for i in range(100)], sound="aac")
    out = tmp_path / "film.beauty.mp4"
    with pytest.raises(KeyboardInterrupt, match=f"has the first {2 * BATCH} frames") as caught:
        video(source, layout="only", translator=Negative(interrupt_at=3))
    assert str(out) in str(caught.value)
    assert len(decoded(out)) == 2 * BATCH
    sound = packets(out)
    assert abs(sound[-1][0] - 2 * BATCH / 25) < 0.1
    with pytest.raises(BeautyError, match=r"1 segment of another layout: --force"):  # it is no beginning of that one
        video(source, layout="side", translator=Negative())
    translator = Negative()
    summary = video(source, layout="only", translator=translator)
    assert (summary.frames, summary.new) == (100, 100 - 2 * BATCH)
    assert translator.calls[0] == (BATCH, 2)  # with the memory of the second batch
    with Film(source) as film, Film(out) as made:
        for before, after in zip(film, made, strict=True):
            assert abs(before.time - after.time) < Fraction(1, 1000)
            assert likeness(255 - before.picture, after.picture) < 8
    assert packets(out) == packets(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.beauty.mp4", "film.mp4"]


def test_a_film_goes_on_in_batches_of_another_size(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4", [Fraction(i, 25) for i in range(40)])
    in_fives = Negative(interrupt_at=3)
    in_fives.batch = 5
    with pytest.raises(KeyboardInterrupt, match="has the first 10 frames"):
        video(source, layout="only", translator=in_fives)
    translator = Negative()
    summary = video(source, layout="only", translator=translator)
    assert (summary.frames, summary.new) == (40, 30)
    assert translator.calls[0] == (2 * BATCH - 10, 2)
    with Film(source) as film, Film(summary.out) as made:
        assert [each.time for each in film] == [each.time for each in made]


def test_interrupted_loop_goes_on(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4", [Fraction(i, 12) for i in range(40)])
    with pytest.raises(KeyboardInterrupt, match=rf"there are the first {2 * BATCH} frames .* goes on"):
        video(source, loop=1, fps=12, translator=Negative(interrupt_at=3))
    assert not (tmp_path / "film.beauty.gif").exists()
    summary = video(source, loop=1, fps=12, translator=Negative())
    assert (summary.frames, summary.new) == (40, 40 - 2 * BATCH)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.beauty.gif", "film.mp4"]


def test_interrupted_gif_is_what_it_is(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4", [Fraction(i, 25) for i in range(40)])
    with pytest.raises(KeyboardInterrupt, match=rf"has the first {2 * BATCH} frames \(0.6 s\)$"):
        video(source, tmp_path / "film.gif", translator=Negative(interrupt_at=3))
    with Film(tmp_path / "film.gif") as made:
        assert len(list(made)) == 2 * BATCH
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.gif", "film.mp4"]


@pytest.mark.parametrize(("suffix", "says"), [(".mp4", "; the same command goes on"), (".gif", "")])
def test_a_film_that_is_terminated_is_complete_up_to_there(
    suffix: str, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = make_film(tmp_path / "film.mp4", [Fraction(i, 25) for i in range(40)])
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as the command line does
    try:
        with pytest.raises(SystemExit, match="143"):
            video(source, tmp_path / f"a{suffix}", "only", translator=Negative(3, signal.SIGTERM))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert f"has the first {2 * BATCH} frames (0.6 s){says}\n" in capfd.readouterr().err
    with Film(tmp_path / f"a{suffix}") as made:
        assert len(list(made)) == 2 * BATCH


def test_ctrl_c_pressed_twice_waits_for_what_is_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_film(tmp_path / "film.mp4", [Fraction(i, 25) for i in range(40)])
    translator, written = Negative(interrupt_at=3), count(1)

    def slowly(original: np.ndarray, *_: object) -> np.ndarray:
        if next(written) == BATCH + 1:  # the first of the second batch
            while len(translator.calls) < 3:
                sleep(0.01)
            sleep(0.1)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            sleep(0.3)
        return original

    monkeypatch.setattr("beautynet.verbs.video.compose", slowly)
    with pytest.raises(KeyboardInterrupt, match=f"has the first {2 * BATCH} frames"):
        video(source, layout="only", translator=translator)
    assert len(decoded(tmp_path / "film.beauty.mp4")) == 2 * BATCH
    assert video(source, layout="only", translator=Negative()).new == 40 - 2 * BATCH


def killed(source: Path, frames: int) -> None:
    """Render in a process of its own, which is killed after so many frames."""
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import os, signal
from test_video import Negative, video
from beautynet.film import segments
from pathlib import Path
class Killed(Negative):
    def dream(self, frames, memory):
        if sum(count for count, _ in self.calls) >= {frames}:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().dream(frames, memory)
segments.SECONDS = 0.0  # each batch is a segment
video(Path({str(source)!r}), layout="only", translator=Killed())
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_killed_film_goes_on(suffix: str, tmp_path: Path) -> None:
    times = [Fraction(i * 41 + i % 3, 1000) for i in range(40)]
    source = make_film(tmp_path / f"film{suffix}", times, sound="aac" if suffix == ".mp4" else "libopus")
    for _ in range(2):  # from where the one before was killed, the batch in the air lost, or written in time
        killed(source, 9)
        assert not (tmp_path / f"film.beauty{suffix}").exists()
    translator = Negative()
    summary = video(source, layout="only", translator=translator)
    assert 0 < summary.new < 40 - 9
    with Film(source) as film, Film(summary.out) as made:
        for before, after in zip(film, made, strict=True):
            assert abs(before.time - after.time) < Fraction(1, 500)
            assert likeness(255 - before.picture, after.picture) < 8
    assert packets(summary.out) == packets(source)
    assert sorted(tmp_path.iterdir()) == sorted([source, summary.out])


def test_what_is_there_is_replaced_if_wanted(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4")
    out = video(source, translator=Negative()).out
    (tmp_path / "untouched").write_bytes(out.read_bytes())
    asked: list[str] = []
    for force in (False, lambda what: bool(asked.append(what))):
        with pytest.raises(BeautyError, match="exists: --force replaces it"):
            video(source, layout="only", force=force, translator=Negative())
        assert out.read_bytes() == (tmp_path / "untouched").read_bytes()
    assert asked == [f"{out} exists"]
    assert video(source, layout="only", force=True, translator=Negative()).out == out
    with Film(out) as made:
        assert made.size == (160, 96)


def test_what_is_there_is_refused_before_the_network_is_loaded(tmp_path: Path) -> None:
    """There is no such network, which nobody hears of."""
    films, nowhere = tmp_path / "films", tmp_path / "nowhere"
    films.mkdir()
    source = make_film(films / "film.mp4", [Fraction(i, 25) for i in range(40)])
    out, poster = films / "film.beauty.mp4", films / "film.beauty.jpg"
    poster.write_bytes(b"mine")
    with pytest.raises(BeautyError, match=r"film\.beauty\.jpg exists: --force replaces it"):
        video(source, checkpoint=nowhere, poster=True)
    with pytest.raises(UsageError, match=r"it is a \.jpg"):
        video(source, checkpoint=nowhere, poster=films / "film.png")
    with pytest.raises(KeyboardInterrupt):
        video(source, layout="only", translator=Negative(interrupt_at=3))
    with pytest.raises(BeautyError, match=r"is begun already, 1 segment of another layout: --force replaces it"):
        video(source, checkpoint=nowhere)
    assert video(source, layout="only", translator=Negative()).out == out
    with pytest.raises(BeautyError, match=r"film\.beauty\.mp4 exists: --force replaces it"):
        video(source, checkpoint=nowhere)
    done = CliRunner().invoke(main, ["video", str(source), "-c", str(nowhere)])
    assert (done.exit_code, done.stderr) == (1, f"error: {out} exists: --force replaces it, -o chooses another name\n")
    (each,) = videos(films, checkpoint=nowhere)
    assert isinstance(each, Skipped)
    assert each.reason == f"{out} exists: --force replaces it, -o chooses another name"
    with pytest.raises(BeautyError, match="nowhere"):
        video(source, checkpoint=nowhere, force=True)
    make_film(films / "later.mp4", UNEVEN[:3])
    there = videos(films, checkpoint=nowhere)
    assert isinstance(next(there), Skipped)
    with pytest.raises(BeautyError, match="nowhere"):  # as all films after it
        next(there)


def test_what_is_there_is_asked_about_once(checkpoint: Path, tmp_path: Path) -> None:
    """Before or after the network is loaded; what only that can tell, after it."""
    source, out = make_film(tmp_path / "film.mp4", [Fraction(i, 25) for i in range(40)]), tmp_path / "dream.mp4"
    with pytest.raises(KeyboardInterrupt):
        video(source, out, "only", translator=Negative(interrupt_at=3))
    asked: list[str] = []

    def agreed(what: str) -> bool:
        asked.append(what)
        return True

    network: dict[str, Any] = {"checkpoint": checkpoint, "device": "cpu", "size": 64, "force": agreed}
    assert video(source, out, "only", **network).new == 40
    assert asked == [f"{out} is begun already, 1 segment of another network or setting of it"]
    assert video(source, out, "only", poster=True, **network).new == 40
    assert video(source, out, "side", poster=True, **network).new == 40
    assert asked[1:] == [f"{out} exists", f"{out} exists", f"{tmp_path / 'dream.jpg'} exists"]


def test_another_film_under_the_same_name_begins_anew(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4", [Fraction(i, 25) for i in range(40)])
    with pytest.raises(KeyboardInterrupt):
        video(source, translator=Negative(interrupt_at=3))
    make_film(source, [Fraction(i, 25) for i in range(41)])
    translator = Negative()
    assert video(source, force=True, translator=translator).new == 41
    assert translator.calls[0] == (BATCH, None)


def test_a_film_in_its_own_times_is_another_than_at_its_rate(tmp_path: Path) -> None:
    times = [Fraction(i, 25) + Fraction(i % 3, 90) for i in range(40)]
    source = make_film(tmp_path / "film.mp4", times)
    with Film(source) as film:
        rate = float(film.rate)
    with pytest.raises(KeyboardInterrupt):
        video(source, translator=Negative(interrupt_at=3))
    with pytest.raises(BeautyError, match="1 segment of another fps: --force replaces it"):
        video(source, fps=rate, translator=Negative())
    summary = video(source, fps=rate, force=True, translator=Negative())
    assert summary.new == summary.frames == len(decoded(summary.out))


def test_hours_of_work_are_not_lost_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = make_film(tmp_path / "film.mp4", [Fraction(i, 25) for i in range(40)])
    killed(source, 9)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    begun = r"film\.beauty\.mp4 is begun already, [12] segments? of another layout and another network"
    asked: list[str] = []
    for force in (False, lambda what: bool(asked.append(what))):
        trained_on = Negative()
        trained_on.identity = "another"
        with pytest.raises(BeautyError, match=begun + ".*--force replaces it"):
            video(source, force=force, translator=trained_on)
    assert [re.search(begun, what) is not None for what in asked] == [True]
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before
    assert video(source, force=True, translator=trained_on).new == 40
    assert re.search(r"is begun anew, instead of [12] segments? of another layout", capfd.readouterr().err)


def test_two_renders_of_one_film(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4")

    class Both(Negative):
        def dream(self, frames: np.ndarray, memory: object) -> tuple[np.ndarray, int]:
            with pytest.raises(BeautyError, match="another run is rendering"):
                video(source, translator=Negative())
            return super().dream(frames, memory)

    assert video(source, translator=Both()).frames == len(UNEVEN)


@pytest.mark.parametrize(("suffix", "limits"), [(".gif", (0.5, 1.2)), (".webp", (0.2, 0.6))])
def test_a_loop_within_its_size(suffix: str, limits: tuple[float, float], tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4", [Fraction(i, 25) for i in range(50)], (320, 192), sound="aac")
    sizes = []
    for megabytes in limits:
        summary = video(source, tmp_path / f"{megabytes}{suffix}", loop=megabytes, poster=True, translator=Negative())
        size = summary.out.stat().st_size / 1e6
        assert 0.4 * megabytes < size <= megabytes
        assert summary.warnings == ()
        with Film(summary.out) as film:
            sizes.append(film.size[0])
            frames = list(film)
        assert len(frames) == 25
        assert abs(frames[-1].time + frames[-1].duration - 2) < Fraction(1, 20)
        with Image.open(summary.out) as image:
            assert image.info["loop"] == 0
        with Image.open(summary.out.with_suffix(".jpg")) as image:
            assert image.size == film.size
    assert sizes[0] < sizes[1]
    with pytest.raises(BeautyError, match=r"allow more \(the same command with --loop [\d.]+ goes on with what is"):
        video(source, tmp_path / f"more{suffix}", loop=0.001, translator=Negative())
    assert video(source, tmp_path / f"more{suffix}", loop=1.5, translator=Negative()).new == 0
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize(("fps", "shown"), [(240, 48), (60, 30), (50, 50)])
def test_a_gif_of_a_quick_film(fps: int, shown: int, tmp_path: Path) -> None:
    """Browsers play hundredths of a second, which GIF has, as tenths."""
    source = make_film(tmp_path / "film.mp4", [Fraction(i, fps) for i in range(fps // 2)])
    summary = video(source, tmp_path / "film.gif", layout="only", translator=Negative())
    assert bool(summary.warnings) == (shown < fps)
    assert all(f"at most 50 frames a second: it has {shown} of {fps}" in said for said in summary.warnings)
    with Image.open(summary.out) as image:
        delays = []
        for number in range(image.n_frames):
            image.seek(number)
            delays.append(image.info["duration"])
    assert min(delays) >= 20
    assert len(delays) == shown // 2 == summary.frames
    assert abs(sum(delays) - 500) <= 10


def test_a_film_too_large_for_phones(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = make_film(tmp_path / "film.mp4", UNEVEN[:2], (2200, 64))
    assert video(source, translator=Negative()).warnings == ()
    said = "film.mp4: 4400×64 px are too many for most phones: --layout stack or --layout only or --layout wipe fits"
    assert capfd.readouterr().err.splitlines() == [said]
    video(source, layout="only", force=True, translator=Negative())
    assert capfd.readouterr().err == ""


def test_loops_that_are_none(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4")
    for wrong in ({"loop": 0.0}, {"loop": math.nan}, {"loop": math.inf}, {"loop": 5.0, "out": tmp_path / "film.webm"}):
        with pytest.raises(BeautyError, match=r"^(--loop \S+|a loop in film\.webm) will not do"):
            video(source, translator=Negative(), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_is_as_long_as_a_film_that_begins_late(suffix: str, tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4", [Fraction(5 + i, 10) for i in range(4)])
    with Film(source) as film:
        ends = [frame.time + frame.duration for frame in film]
    with Film(video(source, tmp_path / f"a{suffix}", layout="only", translator=Negative()).out) as animation:
        assert [float(frame.time + frame.duration) for frame in animation] == pytest.approx(
            [*map(float, ends)], abs=0.01
        )


def test_the_poster_is_the_most_colourful_moment(tmp_path: Path) -> None:
    with writing(tmp_path / "film.mp4", (160, 96)) as writer:
        for number in range(30):
            grey = np.full((96, 160, 3), 128, np.uint8)
            picture = photo()[:96, :160] if 12 <= number < 18 else grey
            writer.write(Frame(picture, Fraction(number, 10), Fraction(1, 10)))
    summary = video(tmp_path / "film.mp4", layout="only", poster=True, translator=Negative())
    with Image.open(summary.out.with_suffix(".jpg")) as poster:
        assert likeness(np.asarray(poster), 255 - photo()[:96, :160]) < 8


def test_posters_take_no_others_place(tmp_path: Path) -> None:
    picture = tmp_path / "walk.jpg"
    Image.fromarray(photo()).save(picture)
    before = picture.read_bytes()
    with pytest.raises(BeautyError, match=r"walk\.jpg would take the place of"):
        video(picture, tmp_path / "walk.mp4", poster=True, force=True, translator=Negative())
    assert picture.read_bytes() == before
    (tmp_path / "films").mkdir()
    for suffix in (".mp4", ".webm"):
        make_film(tmp_path / "films" / f"walk{suffix}")
    assert not any(isinstance(each, Skipped) for each in videos(tmp_path / "films", poster=True, translator=Negative()))
    posters = {each.name for each in (tmp_path / "films").glob("*.jpg")}
    assert posters == {"walk.beauty.jpg", "walk.beauty.webm.jpg"}
    again = [*videos(tmp_path / "films", poster=True, translator=Negative())]
    assert all(isinstance(each, Skipped) and re.search(r"beauty\.(mp4|webm) exists", each.reason) for each in again)
    video(tmp_path / "films" / "walk.mp4", tmp_path / "a.mp4", poster=tmp_path / "b.jpg", translator=Negative())
    assert (tmp_path / "b.jpg").exists()
    with pytest.raises(BeautyError, match=r"it is a \.jpg"):
        video(tmp_path / "films" / "walk.mp4", tmp_path / "c.mp4", poster=tmp_path / "c.mp4", translator=Negative())
    with pytest.raises(BeautyError, match="poster=True"):
        next(videos(tmp_path / "films", poster="d.jpg", translator=Negative()))


def test_a_poster_replaces_nothing_unasked(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4")
    mine = tmp_path / "dream.jpg"
    mine.write_bytes(b"mine")
    for may in (False, lambda what: str(mine) not in what):
        with pytest.raises(BeautyError, match=r"dream\.jpg exists"):
            video(source, tmp_path / "dream.mp4", poster=True, force=may, translator=Negative())
        assert mine.read_bytes() == b"mine"
        assert not (tmp_path / "dream.mp4").exists()
    video(source, tmp_path / "dream.mp4", poster=True, force=True, translator=Negative())
    assert mine.read_bytes() != b"mine"


def test_interrupted_before_the_first_frame(tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4")
    with pytest.raises(KeyboardInterrupt):
        video(source, translator=Negative(interrupt_at=1))
    assert list(tmp_path.iterdir()) == [source]


def test_real_network(checkpoint: Path, tmp_path: Path) -> None:
    source = make_film(tmp_path / "film.mp4", size=(107, 65), pix_fmt="yuv444p")
    summary = video(source, checkpoint=checkpoint, device="cpu", size=64)
    with av.open(str(summary.out)) as file:
        assert (file.streams.video[0].width, file.streams.video[0].height) == (214, 66)
        assert file.streams.video[0].frames == len(UNEVEN)


def test_folders_from_the_shell(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    make_film(tmp_path / "clips" / "a.mp4", times=UNEVEN[:3])
    command = ["video", str(tmp_path / "clips"), "-c", str(checkpoint), "--size", "64", "--device", "cpu"]
    done = CliRunner().invoke(main, command)
    assert (done.exit_code, done.stdout.count("a.beauty.mp4: 3 frames")) == (0, 1)
    make_film(tmp_path / "clips" / "b.mp4", times=UNEVEN[:3])
    more = CliRunner().invoke(main, command)
    assert more.exit_code == PARTLY
    assert "b.beauty.mp4: 3 frames" in more.stdout
    assert "a.beauty.mp4 exists" in more.stderr
    assert CliRunner().invoke(main, command).exit_code == 1


def test_a_film_without_permission_is_named_and_the_others_go_on(checkpoint: Path, tmp_path: Path) -> None:
    secret, good = make_film(tmp_path / "secret.mp4"), make_film(tmp_path / "good.mp4", times=UNEVEN[:3])
    secret.chmod(0)
    # root reads everything, unless its powers are taken away
    plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if plain and subprocess.run([*plain, "true"], check=False).returncode:
        pytest.skip("root reads everything, and nothing here takes that away")
    command = [*plain, sys.executable, "-m", "beautynet.cli", "video", str(secret), str(good)]
    settings = ["-c", str(checkpoint), "--size", "64", "--device", "cpu"]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, check=False)
    assert done.returncode == PARTLY
    (line,) = done.stderr.splitlines()
    assert f"skipped: {secret}" in line
    assert "Permission denied" in line
    assert f"{good.stem}.beauty.mp4: 3 frames" in done.stdout
