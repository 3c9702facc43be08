"""Numbered pictures are a film. All by real pictures, written here."""

import errno
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_media import likeness, make_film, pictures
from test_video import Negative

from beautynet.errors import BeautyError
from beautynet.film import numbered
from beautynet.film.media import Film
from beautynet.verbs.video import Skipped, VideoSummary, video, videos


def written(folder: Path, name: str, numbers: range | list[int], width: int = 96) -> list[np.ndarray]:
    """Pictures by these numbers; `name` is what one is named after."""
    folder.mkdir(exist_ok=True, parents=True)
    shown = list(pictures(len(numbers), width, 64))
    for number, picture in zip(numbers, shown, strict=True):
        Image.fromarray(picture).save(folder / (name % number))
    return shown


@pytest.mark.parametrize("name", ["%04d.png", "shot 2_%d.tif", "100%%_%02d.webp"])
def test_in_the_order_of_their_numbers(tmp_path: Path, name: str) -> None:
    numbers = list(range(95, 103))
    shown = written(tmp_path, name, numbers)
    with Film(tmp_path / name.replace("%%", "%"), rate=24) as film:
        frames = list(film)
    assert [frame.time for frame in frames] == [Fraction(number, 24) for number in range(8)]
    assert {frame.duration for frame in frames} == {Fraction(1, 24)}
    assert (film.rate, film.expected, film.size, film.warnings) == (24, 8, (96, 64), [])
    if not name.endswith("webp"):
        assert all((frame.picture == picture).all() for frame, picture in zip(frames, shown, strict=True))


def test_the_one_before_stays_while_one_is_missing(tmp_path: Path) -> None:
    written(tmp_path, "%04d.png", [1, 2, 3, 6, 7])
    (tmp_path / "0007.png").write_bytes(b"not a picture")
    with Film(tmp_path / "%04d.png", rate=10) as film:
        frames = list(film)
    assert [(frame.time * 10, frame.duration * 10) for frame in frames] == [(0, 1), (1, 1), (2, 3), (5, 2)]
    assert film.warnings == ["%04d.png: 4 of 7 frames; the rest is damaged or missing"]


def test_a_broken_one_at_the_beginning(tmp_path: Path) -> None:
    """Nothing comes before it: the first that can be read is on from the beginning. In a part, the one before is."""
    shown = written(tmp_path, "%04d.png", range(1001, 1010))
    for number in (1001, 1005):
        (tmp_path / f"{number}.png").write_bytes(b"not a picture")
    with Film(tmp_path / "%04d.png", end=0.3, rate=10) as film:
        frames = list(film)
    assert [(frame.time * 10, frame.duration * 10) for frame in frames] == [(0, 2), (2, 1)]
    assert (frames[0].picture == shown[1]).all()
    assert len(film.warnings) == 1
    with Film(tmp_path / "%04d.png", start=0.45, end=0.6, rate=10) as film:
        frames = list(film)
    assert [(frame.time * 10, frame.duration * 10) for frame in frames] == [(0, 1), (1, 1)]
    assert (frames[0].picture == shown[3]).all()
    with Film(tmp_path / "%04d.png", start=0.5, rate=10) as film:
        assert len(list(film)) == 4
    assert not film.warnings


def test_what_is_missing_after_a_part_is_not_missed(tmp_path: Path) -> None:
    written(tmp_path, "%d.png", [1, 2, 3, 4, 5, 150])
    for end, is_missed in ((0.3, False), (0.4, False), (0.6, True)):
        with Film(tmp_path / "%d.png", end=end, rate=10) as film:
            list(film)
        assert bool(film.warnings) == is_missed


def test_a_number_that_is_none(tmp_path: Path) -> None:
    written(tmp_path, "%d.png", [1, 2, 3, 999999999])
    with pytest.raises(BeautyError, match=r"after 3 of .*%d.png comes 999999999"):
        Film(tmp_path / "%d.png")


def test_why_none_can_be_read(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.exr").write_bytes(b"v/1\x01")
    with pytest.raises(BeautyError, match=r"none of .*%d.exr can be read \(2.exr: .+\): choose other pictures"):
        Film(tmp_path / "%d.exr")


def test_a_part(tmp_path: Path) -> None:
    shown = written(tmp_path, "%04d.png", range(10))
    (tmp_path / "0001.png").write_bytes(b"not a picture")  # which nobody looks at
    with Film(tmp_path / "%04d.png", start=0.25, end=0.55, rate=10) as film:
        frames = list(film)
    assert [(frame.time * 20, frame.duration * 20) for frame in frames] == [(0, 2), (2, 2), (4, 2), (6, 1)]
    assert (frames[0].picture == shown[2]).all()
    assert not film.warnings


def test_all_as_large_as_the_first(tmp_path: Path) -> None:
    written(tmp_path, "%d.png", [1, 2])
    shown = written(tmp_path, "%d.png", [3], width=192)
    with Film(tmp_path / "%d.png") as film:
        last = list(film)[-1].picture
    assert last.shape == (64, 96, 3)
    assert likeness(last, shown[0].reshape(64, 96, 2, 3).mean(2)) < 1


def test_other_names_are_none_of_them(tmp_path: Path) -> None:
    for name in ("0001.png", "0002.png", "10000.png", "3.png", "00004.png", "0005.jpg", "a0006.png", "0007.png.png"):
        written(tmp_path, name.replace("%", "%%") + "%.0s", [0])
    with Film(tmp_path / "%04d.png") as film:
        assert film.expected == 10000
        assert len(list(film)) == 3


def test_a_file_of_such_a_name_is_a_file(tmp_path: Path) -> None:
    written(tmp_path, "%%d.png%.0s", [0])
    assert not numbered.are_meant(tmp_path / "%d.png")
    with Film(tmp_path / "%d.png") as film:
        assert len(list(film)) == 1


@pytest.mark.parametrize(
    ("pattern", "title"),
    [
        ("a/%04d.png", "a.mp4"),
        ("a/walk_%04d.webp", "a/walk.mp4"),
        ("v1.2/%d.jpg", "v1.2.mp4"),
        ("a/%d-b.png", "a/b.mp4"),
    ],
)
def test_titles(pattern: str, title: str) -> None:
    assert numbered.title(Path(pattern)) == Path(title)


def test_title_of_those_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert numbered.title(Path("%d.png")) == tmp_path.with_name(f"{tmp_path.name}.mp4")
    assert numbered.title(Path("/%d.png")) == Path("/film.mp4")


def test_patterns_are_found(tmp_path: Path) -> None:
    assert numbered.pattern_of(tmp_path) is None
    assert numbered.pattern_of(tmp_path / "nowhere") is None
    written(tmp_path, "v2_%03d.jpg", range(98, 103))
    written(tmp_path, "other%d.jpg", range(3))
    for number in range(9):
        (tmp_path / f"._v2_{number:03}.jpg").touch()  # a Mac's, on a disk that is no Mac's
    assert numbered.pattern_of(tmp_path) == tmp_path / "v2_%03d.jpg"


@pytest.mark.parametrize(
    ("name", "pattern"), [("%010d.png", "%010d.png"), ("50%%d_%04d.png", "50%d_%04d.png"), ("a%d.png", "a%d.png")]
)
def test_patterns_that_are_found_are_understood(name: str, pattern: str, tmp_path: Path) -> None:
    written(tmp_path, name, range(3))
    assert numbered.pattern_of(tmp_path) == tmp_path / pattern
    with Film(tmp_path / pattern) as film:
        assert len(list(film)) == 3


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    written(tmp_path, "%03d.png", range(3))
    with pytest.raises(BeautyError, match=r"no pictures are named like .*%04d.png: name .*%03d.png, which there are"):
        Film(tmp_path / "%04d.png")
    with pytest.raises(BeautyError, match=r"no films in .*: .*; its pictures are one if you name .*%03d.png"):
        list(videos(tmp_path, translator=Negative()))


def test_dreamt(tmp_path: Path) -> None:
    """The film is beside the folder, and has their number of frames a second."""
    folder = tmp_path / "frames"
    shown = written(folder, "%04d.png", range(1, 7))
    summary = video(folder / "%04d.png", layout="only", fps=12, translator=Negative())
    assert summary.out == tmp_path / "frames.beauty.mp4"
    assert (summary.frames, summary.warnings) == (6, ())
    with Film(summary.out) as film:
        frames = list(film)
    assert [frame.time for frame in frames] == [Fraction(number, 12) for number in range(6)]
    assert likeness(frames[3].picture, 255 - shown[3]) < 12


def test_a_gif_plays_at_their_speed(tmp_path: Path) -> None:
    written(tmp_path, "%04d.png", range(12))
    summary = video(tmp_path / "%04d.png", tmp_path / "a.gif", fps=60, translator=Negative())
    assert summary.warnings == (".gif shows at most 50 frames a second: it has 30 of 60",)
    with Film(summary.out) as film:
        frames = list(film)
    assert float(frames[-1].time + frames[-1].duration) == pytest.approx(0.2, abs=0.011)


def test_goes_on_unless_a_picture_changed(tmp_path: Path) -> None:
    """Two that are swapped are as many, as large, and as old."""
    written(tmp_path, "%03d.png", range(1000, 1040))
    (tmp_path / "1000.png").replace(tmp_path / "999.png")
    film = tmp_path / "%d.png"

    def swap() -> None:
        for name, other in (("1001.png", "swap"), ("1030.png", "1001.png"), ("swap", "1030.png")):
            (tmp_path / name).rename(tmp_path / other)

    with pytest.raises(KeyboardInterrupt):
        video(film, layout="only", translator=Negative(interrupt_at=3))
    with pytest.raises(BeautyError, match="another fps"):
        video(film, layout="only", fps=30, translator=Negative())
    swap()
    with pytest.raises(BeautyError, match="another film"):
        video(film, layout="only", translator=Negative())
    swap()
    summary = video(film, layout="only", translator=Negative())
    assert (summary.frames, summary.new) == (40, 40 - 16)
    assert len(summary.warnings) == 1  # 1000 is missing


@pytest.mark.parametrize("name", ["0003.webp", "0006.mp4"])
def test_none_of_them_is_written_over(name: str, tmp_path: Path) -> None:
    pattern = "%04d.webp" if name.endswith("webp") else "%04d.jpg"
    written(tmp_path, pattern, range(5))
    with pytest.raises(BeautyError, match="would take the place of"):
        video(tmp_path / pattern, tmp_path / name, poster=True, force=True, translator=Negative())
    assert len(list(tmp_path.iterdir())) == 5


def test_what_cannot_be_looked_into_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("locked", "gone", "open"):
        written(tmp_path / name, "%04d.png", range(3))
    (tmp_path / "gone" / "0001.png").unlink()
    (tmp_path / "gone" / "0001.png").symlink_to("nowhere")
    really = os.listdir

    def listing(folder: Path) -> list[str]:
        if "locked" in str(folder):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return really(folder)

    monkeypatch.setattr(os, "listdir", listing)
    patterns = [tmp_path / name / "%04d.png" for name in ("locked", "gone", "open")]
    locked, gone, there = videos([*patterns], translator=Negative())
    assert isinstance(locked, Skipped)
    assert locked.reason == f"cannot look into {tmp_path / 'locked'}: Permission denied"
    assert isinstance(gone, VideoSummary)
    assert gone.warnings == ("%04d.png: 2 of 3 frames; the rest is damaged or missing",)
    assert isinstance(there, VideoSummary)
    assert not there.warnings
    assert numbered.pattern_of(tmp_path / "locked") is None


def test_pictures_of_pictures_have_their_numbers(tmp_path: Path) -> None:
    """Also where one is missing, and of a part; nothing is lost, and nothing else stays."""
    shown = written(tmp_path / "frames", "%04d.png", [1001, 1002, 1003, 1005, 1006])
    out = tmp_path / "dreams" / "dream.%05d.png"
    summary = video(tmp_path / "frames" / "%04d.png", out, "only", poster=True, translator=Negative())
    assert (summary.out, summary.frames) == (out, 5)
    names = [f"dream.{number:05}.png" for number in (1001, 1002, 1003, 1005, 1006)]
    assert sorted(path.name for path in out.parent.iterdir()) == [*names, "dream.jpg"]
    for name, picture in zip(names, shown, strict=True):
        assert (np.asarray(Image.open(out.with_name(name))) == 255 - picture).all()
    with pytest.raises(BeautyError, match=r"dream.%05d.png exists: --force"):
        video(tmp_path / "frames" / "%04d.png", out, "only", translator=Negative())
    video(tmp_path / "frames" / "%04d.png", out.with_name("%d.jpg"), start=0.1, fps=20, translator=Negative())
    assert sorted(path.name for path in out.parent.glob("1*")) == ["1003.jpg", "1005.jpg", "1006.jpg"]


def test_pictures_of_a_film_are_counted(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", [Fraction(n * n, 25) for n in range(5)])
    with pytest.raises(BeautyError, match=r"cannot write pictures named %d.tga: end it in .jpg"):
        video(film, tmp_path / "%d.tga", translator=Negative())
    with pytest.raises(BeautyError, match=r"a loop in %d.png will not do"):
        video(film, tmp_path / "%d.png", loop=1, translator=Negative())
    with pytest.raises(BeautyError, match="is no folder, which several films need"):
        list(videos([film, film], tmp_path / "%d.png", translator=Negative()))
    video(film, tmp_path / "%d.png", layout="side", translator=Negative())
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [f"{number}.png" for number in range(1, 6)]


def test_it_is_said_how_many_pictures_of_other_numbers_stay(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", [Fraction(n, 25) for n in range(5)])
    written(tmp_path, "%d.png", range(1, 10))
    with pytest.raises(BeautyError, match=r"%d.png exists, and 4 pictures of other numbers will stay: --force"):
        video(film, tmp_path / "%d.png", translator=Negative())
    for number in range(6, 10):
        (tmp_path / f"{number}.png").unlink()
    with pytest.raises(BeautyError, match=r"%d.png exists: --force"):
        video(film, tmp_path / "%d.png", translator=Negative())


def test_pictures_go_on_where_they_were_interrupted(tmp_path: Path) -> None:
    shown = written(tmp_path / "frames", "%d.png", range(40))
    out = tmp_path / "out" / "%d.png"
    with pytest.raises(KeyboardInterrupt, match=r"there are the first 16 frames .* goes on"):
        video(tmp_path / "frames" / "%d.png", out, "only", translator=Negative(interrupt_at=3))
    assert not list(out.parent.glob("*.png"))
    summary = video(tmp_path / "frames" / "%d.png", out, "only", translator=Negative())
    assert (summary.frames, summary.new) == (40, 24)
    assert all((np.asarray(Image.open(out.with_name(f"{n}.png"))) == 255 - shown[n]).all() for n in range(40))
    assert len(list(out.parent.iterdir())) == 40


def test_a_part_that_begins_between_two_pictures_begins_with_the_one_that_is_on(tmp_path: Path) -> None:
    written(tmp_path / "frames", "%04d.png", range(1, 31))
    for start, first in ((0.5, 13), (0.1, 3), (0.52, 14)):
        out = tmp_path / f"{start}"
        summary = video(
            tmp_path / "frames" / "%04d.png", out / "%d.png", "only", start=start, end=1, translator=Negative()
        )
        numbers = sorted(int(path.stem) for path in out.iterdir())
        assert numbers == list(range(first, 26))
        assert summary.frames == len(numbers)


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("frames/%d.png", "frames/%d.png"),
        ("frames/%d.png", "frames/%04d.png"),
        ("frames/%d.png", "elsewhere/../frames/%04d.png"),
        ("frames/1000.png", "frames/%d.png"),
        ("frames/%d.png", "frames/%d.PNG"),  # the same to macOS and Windows
        ("frames/1000.png", "frames/%d.PNG"),
        ("linked/%d.png", "frames/%d.png"),
    ],
)
def test_pictures_do_not_take_the_place_of_their_own_film(source: str, out: str, tmp_path: Path) -> None:
    written(tmp_path / "frames", "%d.png", [1, 999, 1000, 1001])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "frames")
    with pytest.raises(BeautyError, match="would take the place of"):
        video(tmp_path / source, tmp_path / out, force=True, translator=Negative())


def test_names_that_are_no_patterns(tmp_path: Path) -> None:
    film = make_film(tmp_path / "50%day.mp4", [Fraction(n, 25) for n in range(5)])
    summary = video(film, tmp_path / "100%done.mp4", "only", translator=Negative())
    assert (summary.out.name, summary.frames) == ("100%done.mp4", 5)
    (each,) = videos([film], tmp_path / "50%discount", translator=Negative())
    assert isinstance(each, VideoSummary)
    with pytest.raises(BeautyError, match="No such file"):
        Film(tmp_path / "70%day.mp4")
    with pytest.raises(BeautyError, match=r"cannot write a film named a.nut: end it in .mp4"):
        video(film, tmp_path / "a.nut", translator=Negative())
