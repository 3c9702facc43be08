"""Frames in batches: each once, in order, of one scene, and not more than memory does for."""

from fractions import Fraction

import numpy as np
import pytest

from beautynet.film.frames import BATCH, BATCH_PIXELS, Cuts, Frame, in_batches


def shot(level: int, count: int, first: int = 0) -> list[Frame]:
    """So many frames of one grey."""
    picture = np.full((90, 160, 3), level, np.uint8)
    return [Frame(picture, Fraction(first + number), Fraction(1)) for number in range(count)]


@pytest.mark.parametrize(("height", "width", "together"), [(90, 160, BATCH), (2160, 3840, 2), (1, BATCH_PIXELS + 1, 1)])
def test_large_frames_come_in_small_batches(height: int, width: int, together: int) -> None:
    same = np.broadcast_to(np.uint8(0), (height, width, 3))
    frames = [Frame(same, Fraction(number), Fraction(1)) for number in range(2 * together + 1)]
    batches = [*in_batches(frames)]
    assert [len(batch.frames) for batch in batches] == [together, together, 1]
    assert not any(batch.after_cut for batch in batches)


def test_a_batch_is_of_one_scene() -> None:
    film = [*shot(20, 3), *shot(200, BATCH + 2, first=3), *shot(20, 1, first=BATCH + 5)]
    batches = [*in_batches(film)]
    assert [frame for batch in batches for frame in batch.frames] == film
    assert [(len(batch.frames), batch.after_cut) for batch in batches] == [
        (3, False),
        (BATCH, True),
        (2, False),
        (1, True),
    ]


def test_no_frames_no_batches() -> None:
    assert not [*in_batches([])]


@pytest.mark.parametrize("light", [1, 0.5, 0.25])
def test_dark_films_have_cuts_too(light: float) -> None:
    one, other = np.random.default_rng(0).uniform(0, 255 * light, (2, 180, 320, 3))
    is_cut = Cuts()
    assert [is_cut(picture.astype(np.uint8)) for picture in (one, one, other, other)] == [False, False, True, False]


@pytest.mark.parametrize("change", ["brighter", "moved", "noise in the dark"])
def test_what_goes_on_is_no_cut(change: str) -> None:
    rng = np.random.default_rng(0)
    scene = np.repeat(rng.integers(0, 200, (180, 10, 3), np.uint8), 32, axis=1)
    pictures = {
        "brighter": [scene, scene + np.uint8(35)],
        "moved": [scene, np.roll(scene, 8, axis=1)],
        "noise in the dark": [rng.normal(40, 10, scene.shape).clip(0, 255).astype(np.uint8) for _ in range(2)],
    }
    is_cut = Cuts()
    assert [is_cut(picture) for picture in pictures[change]] == [False, False]


@pytest.mark.parametrize("of", ["a scene", "a flat one"])
@pytest.mark.parametrize("to", [0, 255])
def test_a_fade_is_no_cut(of: str, to: int) -> None:
    scene = np.full((180, 320, 3), 128.0)
    if of == "a scene":
        scene += np.random.default_rng(0).uniform(-100, 100, scene.shape)
    is_cut = Cuts()
    steps = [((1 - part) * scene + part * to).astype(np.uint8) for part in np.linspace(0, 1, 13)]
    assert not any(is_cut(picture) for picture in [*steps, *reversed(steps)])


def test_a_flash_is_a_cut() -> None:
    is_cut = Cuts()
    assert [is_cut(np.full((90, 160, 3), light, np.uint8)) for light in (20, 60, 101, 20)] == [False, False, True, True]


def test_another_size_is_another_scene() -> None:
    is_cut = Cuts()
    picture = shot(10, 1)[0].picture
    assert [is_cut(each) for each in (picture, picture[:, :100])] == [False, True]
    is_cut = Cuts()
    turned = np.full((100, 97, 3), 90, np.uint8)
    assert [is_cut(each) for each in (turned, turned.swapaxes(0, 1))] == [False, True]
