"""What is made of a finished film. The whole command is in test_video.py."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from test_media import make_film, photo

from beautynet.errors import BeautyError
from beautynet.loops import colourfulness, loop, poster
from beautynet.media import Film


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
    with pytest.raises(BeautyError, match=r"\.gif or a \.webp"):
        loop(make_film(tmp_path / "film.mp4"), tmp_path / "loop.mp4", 1e6)


def test_a_poster_of_one_frame(tmp_path: Path) -> None:
    film = make_film(tmp_path / "film.mp4", [Fraction(0)])
    poster(film, tmp_path / "film.jpg")
    assert (tmp_path / "film.jpg").stat().st_size > 1000
