"""Reels: only the newest picture, in real time, and an end that is said."""

import threading
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import wait
from PIL import Image

from beautynet.errors import BeautyError
from beautynet.film import reels
from beautynet.film.frames import Frame
from beautynet.film.reels import Camera, Projector, Reel
from beautynet.film.rendering import writing


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """20 frames at 20 a second, each lighter than the one before."""
    path = tmp_path / "film.mp4"
    with writing(path, (64, 48), rate=Fraction(20)) as writer:
        for number in range(20):
            picture = np.full((48, 64, 3), 10 * number + 20, np.uint8)
            writer.write(Frame(picture, Fraction(number, 20), Fraction(1, 20)))
    return path


class Broken(Reel):
    def _play(self) -> None:
        raise RuntimeError("out of order")


class Hiccup(Reel):
    def _play(self) -> None:
        self._complain("gone")
        self._show(np.zeros((2, 2, 3), np.uint8))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whatever_ends_it_is_said() -> None:
    with Broken() as reel, pytest.raises(BeautyError, match="out of order"):
        reel.newest(patience=5)


def test_with_the_next_picture_trouble_is_over_and_all_is_told() -> None:
    told: list[int] = []
    with Hiccup(lambda: told.append(1)) as reel:
        reel._thread.join(5)
        assert reel.newest(1, patience=0) is None
    assert len(told) == 2


def exhaust(reel: Reel) -> None:
    for _ in range(60):
        reel.newest(10**9, patience=0.1)


def test_a_film_is_played_in_its_own_time_and_again(film: Path) -> None:
    with Projector(film) as reel:
        began, number, lights = time.monotonic(), 0, []
        while len(lights) < 25 and time.monotonic() - began < 20:
            newest = reel.newest(number)
            if newest:
                assert newest[0] > number
                number = newest[0]
                lights.append(float(newest[1].mean()))
        seconds = time.monotonic() - began
    drops = [later < earlier for earlier, later in pairwise(lights)]
    assert sum(drops) >= 1  # it began anew
    assert seconds > 1.1  # 25 pictures at 20 a second, from the first on


def test_who_is_slow_gets_the_newest(film: Path) -> None:
    with Projector(film) as reel:
        first = reel.newest()
        assert first
        time.sleep(0.5)
        later = reel.newest(first[0])
        assert later
        assert later[0] - first[0] >= 3


def test_a_picture_is_shown_once(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "red.png")
    with Projector(tmp_path / "red.png") as reel:
        found = reel.newest(patience=5)
        assert found
        assert found[1].shape == (30, 40, 3)
        assert reel.newest(found[0], patience=0.2) is None
        assert reel.newest(0) is not None


def test_what_is_no_film_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_text("nothing")
    with pytest.raises(BeautyError):
        Projector(tmp_path / "no.mp4")


def test_a_film_that_vanishes_says_so(film: Path) -> None:
    with Projector(film) as reel:
        film.unlink()
        with pytest.raises(BeautyError):
            exhaust(reel)


def test_a_red_film_is_red(tmp_path: Path) -> None:
    red = np.full((48, 64, 3), (255, 0, 0), np.uint8)
    with writing(tmp_path / "red.mp4", (64, 48), rate=Fraction(20)) as writer:
        writer.write(Frame(red, Fraction(0), Fraction(1, 20)))
    for reel in (Camera(str(tmp_path / "red.mp4")), Projector(tmp_path / "red.mp4")):
        with reel:
            found = reel.newest(patience=5)
        assert found
        assert np.abs(found[1].astype(int) - red).mean() < 10


def test_no_camera_is_one_line() -> None:
    with pytest.raises(BeautyError, match="camera 77 cannot be opened"):
        Camera("77")


def test_nobody_reads_a_cameras_password() -> None:
    with pytest.raises(BeautyError, match=r"camera rtsp://127\.0\.0\.1:9/door cannot be opened"):
        Camera("rtsp://user:secret@127.0.0.1:9/door?pwd=secret")


def test_a_camera_is_opened_by_who_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """MacOS asks for permission in the main thread only."""
    openers, really = [], cv2.VideoCapture

    def opening(camera: int, way: int) -> cv2.VideoCapture:
        openers.append(threading.current_thread())
        return really(camera, way)

    monkeypatch.setattr(cv2, "VideoCapture", opening)
    with pytest.raises(BeautyError):
        Camera("77")
    assert openers == [threading.current_thread()]


def test_a_camera_by_address(film: Path) -> None:
    with Camera(str(film)) as camera:
        found = camera.newest()
        assert found
        assert found[1].shape == (48, 64, 3)
        with pytest.raises(BeautyError, match="shows nothing any more"):
            exhaust(camera)


def test_a_camera_that_went_away_is_shown_again(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reels, "REST", 0.05)
    away = film.with_name("away.mp4")
    with Camera(str(film)) as camera:
        film.rename(away)
        time.sleep(0.5)  # what is open is played to its end
        found = camera.newest()
        assert found
        with pytest.raises(BeautyError, match="shows nothing any more"):
            camera.newest(found[0])
        away.rename(film)
        wait(lambda: camera.newest()[0] > found[0], 5)
