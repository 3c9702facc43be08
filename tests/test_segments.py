"""Segments of a render: found again by the same settings only, whatever a kill or a bad disk left of them."""

import errno
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_media import likeness, pictures

from beautynet.errors import BeautyError
from beautynet.film import segments as module
from beautynet.film.frames import Frame
from beautynet.film.media import Film
from beautynet.film.segments import Segments, folder_of, is_resumable, others

SETTINGS = {"layout": "side"}
FRAMES = [Frame(picture, Fraction(n, 25), Fraction(1, 25)) for n, picture in enumerate(pictures(12, 160, 96))]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.0)  # each call of `write` ends a segment


def opened(target: Path, settings: dict[str, Any] = SETTINGS) -> Segments:
    return Segments(target, settings, (160, 96), rate=Fraction(25), pixel_aspect=Fraction(1))


def rendered(target: Path, count: int) -> None:
    """So many segments of three frames."""
    with opened(target) as segments:
        for number in range(count):
            segments.write(FRAMES[3 * number : 3 * number + 3], {"number": np.array(number)}.copy)


def test_what_is_whole_is_found_again(tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    rendered(target, 2)
    assert is_resumable(target, SETTINGS)
    with opened(target) as segments:
        assert (segments.frames, segments.end, len(segments.parts)) == (6, Fraction(6, 25), 2)
        assert segments.memory == {"number": 1}
        segments.write(FRAMES[6:], dict)
        assert segments.join(None, Fraction(0), sound_for=None) == []
        segments.forget()
    with Film(target) as film:
        made = list(film)
    assert [frame.time for frame in made] == [frame.time for frame in FRAMES]
    assert max(likeness(a.picture, b.picture) for a, b in zip(FRAMES, made, strict=True)) < 8
    assert os.listdir(tmp_path) == ["film.mp4"]


def test_a_loop_that_a_kill_kept_from_its_name_begins_anew(tmp_path: Path) -> None:
    target = tmp_path / "film.gif"
    rendered(target, 1)
    with opened(target) as segments:
        segments.write(FRAMES[:3], dict)
        segments.close_segment()  # killed here
    assert not is_resumable(target, SETTINGS)
    assert not others(target, SETTINGS)
    with opened(target) as segments:
        assert not segments.frames
        segments.write(FRAMES, dict)
        segments.join(None, Fraction(0), sound_for=None)
    with Film(target) as film:
        assert len(list(film)) == len(FRAMES)


def test_what_is_left_and_cannot_be_removed_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is held: once it can be removed, the same render goes on."""
    target = tmp_path / "film.mp4"
    rendered(target, 1)
    (folder_of(target) / "000001.mp4").touch()

    def refused(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "no", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        with pytest.raises(BeautyError, match=r"no permission to write .*film\.mp4"):
            opened(target)
    with opened(target) as segments:
        assert segments.frames == 3


@pytest.mark.parametrize("harm", ["no notes", "no film", "torn notes", "empty notes", "other notes"])
def test_what_is_not_whole_is_rendered_again(harm: str, tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    rendered(target, 3)
    film, notes = folder_of(target) / "000001.mp4", folder_of(target) / "000001.npz"
    if harm.startswith("no "):
        (notes if harm == "no notes" else film).unlink()
    elif harm == "other notes":
        np.savez(notes, frames=6)
    else:
        notes.write_bytes(notes.read_bytes()[: 0 if harm == "empty notes" else 200])
    with opened(target) as segments:
        assert (segments.frames, segments.end, segments.memory) == (3, Fraction(3, 25), {"number": 0})
        segments.write(FRAMES[3:4], dict)  # shorter than what was there
    with opened(target) as segments:
        assert (segments.frames, len(segments.parts)) == (4, 2), "the third segment of before is none of these"


def test_other_settings_begin_anew(tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    rendered(target, 2)
    assert (others(target, SETTINGS), others(tmp_path / "b.mp4", SETTINGS)) == ("", "")
    assert not is_resumable(target, {"layout": "only"})
    assert others(target, {"layout": "only", "fps": 5}) == "2 segments of another fps and another layout"
    with opened(target, {"layout": "only"}) as segments:
        assert (segments.frames, segments.parts) == (0, [])
    assert os.listdir(tmp_path) == []


def test_what_is_not_known_yet_may_be_the_same(tmp_path: Path) -> None:
    target, made = tmp_path / "film.mp4", {"layout": "side", "network": "one"}
    with opened(target, made) as segments:
        segments.write(FRAMES[:3], dict)
    assert not is_resumable(target, SETTINGS)
    assert is_resumable(target, SETTINGS, ["network"])
    assert others(target, SETTINGS, ["network"]) == ""
    assert not is_resumable(target, {"layout": "only"}, ["network"])
    assert others(target, {"layout": "only"}, ["network"]) == "1 segment of another layout"
    assert not is_resumable(target, {}, ["network"])
    assert is_resumable(target, made, ["fps"])


def test_nothing_stays_without_a_whole_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 60.0)
    target = tmp_path / "film.mp4"
    with opened(target) as segments:
        segments.write(FRAMES, dict)
    assert os.listdir(tmp_path) == []


def test_nothing_stays_when_the_first_segment_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "SECONDS", 60.0)
    segments = opened(tmp_path / "film.mp4")
    segments.write(FRAMES, dict)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BeautyError, match=re.escape(f"disk full while writing {tmp_path / 'film.mp4'}:")), segments:
        segments.close_segment()
    assert os.listdir(tmp_path) == []


def test_what_a_kill_left_of_joining_goes(tmp_path: Path) -> None:
    target = tmp_path / "film.mp4"
    rendered(target, 2)
    for name in (".film.4711.part.mp4", ".film.two.4711.part.mp4", ".film.4711.part.jpg"):
        (tmp_path / name).touch()
    torn = folder_of(target) / ".000002.4711.part.mp4"
    torn.touch()
    with opened(target) as segments:
        assert segments.frames == 6
        assert not torn.exists()
    left = {path.name for path in tmp_path.iterdir()} - {folder_of(target).name}
    assert left == {".film.two.4711.part.mp4", ".film.4711.part.jpg"}, "what others write is not ours"


def test_one_render_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path / "film.mp4"), pytest.raises(BeautyError, match="another run is rendering"):
        opened(tmp_path / "film.mp4")
    assert os.listdir(tmp_path) == []


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BeautyError, match="is not a folder"):
        opened(tmp_path / "file" / "film.mp4")
