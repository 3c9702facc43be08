"""What is made of a finished film. The whole command is in test_video.py."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_media import make_film, photo, write

from beautynet.errors import BeautyError, UsageError
from beautynet.film.loops import colourfulness, loop, poster
from beautynet.film.media import Film


def test_colour_is_told_from_grey() -> None:
    scene = photo()[:96, :160]
    grey = np.repeat(scene.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    assert colourfulness(grey) < 1e-3 < 10 < colourfulness(scene)
    assert colourfulness(scene // 2) < colourfulness(scene)


def test_a_loop_is_no_larger_than_its_film(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", [Fraction(n, 10) for n in range(5)])
    loop(film, tmp_path / "loop.gif", 1e9)
    with Film(tmp_path / "loop.gif") as made:
        assert made.size == (160, 96)
        assert len(list(made)) == 5


def test_a_loop_has_a_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.gif or a \.webp"):
        loop(make_film(tmp_path / "film.mp4"), tmp_path / "loop.mp4", 1e6)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_it_is_said_how_large_a_loop_has_to_be(suffix: str, tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", [Fraction(n, 10) for n in range(5)])
    with pytest.raises(BeautyError, match=r"allow more \(the same command with --loop [\d.]+ goes on") as caught:
        loop(film, tmp_path / f"loop{suffix}", 1000)
    enough = re.search(r"would have ([\d.]+) MB .*--loop \1 ", str(caught.value))
    assert enough
    loop(film, tmp_path / f"loop{suffix}", float(enough[1]) * 1e6)
    assert (tmp_path / f"loop{suffix}").stat().st_size <= float(enough[1]) * 1e6


def test_a_poster_of_one_frame(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", [Fraction(0)])
    poster(film, tmp_path / "film.jpg", Fraction(1, 25))
    assert (tmp_path / "film.jpg").stat().st_size > 1000


def test_a_poster_has_square_pixels(tmp_path: Path) -> None:
    frames = write(tmp_path / "film.mp4", pixel_aspect=Fraction(3, 2))
    poster(tmp_path / "film.mp4", tmp_path / "film.jpg", frames[-1].time)
    assert Image.open(tmp_path / "film.jpg").size == (240, 96)


@pytest.mark.parametrize("duration", [20, 200])
def test_a_poster_of_an_animation(tmp_path: Path, duration: int) -> None:
    """Of all of it, however long (ms) its frames are on."""
    layers = [Image.new("RGB", (32, 32), (8 * n, 8 * n, 8 * n)) for n in range(30)]
    layers[26:] = [Image.new("RGB", (32, 32), (255, 8 * n, 0)) for n in range(4)]
    layers[0].save(tmp_path / "film.gif", save_all=True, append_images=layers[1:], duration=duration)
    poster(tmp_path / "film.gif", tmp_path / "film.jpg", Fraction(30 * duration, 1000))
    assert Image.open(tmp_path / "film.jpg").getpixel((16, 16))[0] > 200
