"""A dream that leans on the one before it: still where the film is, gone where it changes."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

from beautynet.config import STEADY
from beautynet.film.steady import lean, watch

SHIFT = 3  # px from frame to frame
Film = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture(scope="module")
def film() -> Film:
    """A pan over a photo; its dream without flicker, and with."""
    photo = load_sample_image("china.jpg")[60:316]
    photo = np.asarray(cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    frames = np.stack([photo[:, SHIFT * i :][:, :192] for i in range(8)])
    still = 255 - frames.astype(np.float32)
    flicker = np.random.default_rng(0).normal(0, 20, (8, 1, 1, 3)).astype(np.float32)
    return frames, still, still + flicker


def test_flicker_goes_and_the_picture_moves_along(film: Film) -> None:
    frames, still, flickering = film
    steadied, _ = lean(watch(frames, None).motions, flickering, None, STEADY)
    inside = np.s_[1:, 8:-8, 8:-24]

    def unrest(dreams: NDArray[np.float32]) -> float:
        moved = dreams[:-1, :, SHIFT:] - dreams[1:, :, :-SHIFT]  # frame by frame, each pixel with itself
        return float(np.abs(moved).mean())

    assert unrest(steadied) < 0.5 * unrest(flickering)
    # no trails: but for the colour cast that flickers, it is the dream of this frame
    details = [(each - each.mean((1, 2), keepdims=True))[inside] for each in (steadied, still)]
    assert np.abs(details[0] - details[1]).mean() < 6
    sharpness = [np.abs(np.diff(each[inside], axis=2)).mean() for each in (steadied, still)]
    assert sharpness[0] > 0.9 * sharpness[1]


@pytest.mark.parametrize("light", [1, 0.25, 0.1])
def test_nothing_is_left_after_a_cut(light: float, film: Film) -> None:
    frames, still, _ = film
    moved = watch((frames * light).astype(np.uint8), None)
    _, before = lean(moved.motions, still, None, STEADY)
    elsewhere = load_sample_image("flower.jpg")[None, 60:188, :192]
    dream = 255 - elsewhere.astype(np.float32)
    after = watch((elsewhere * light).astype(np.uint8), moved.view)
    steadied, _ = lean(after.motions, dream, before, STEADY)
    assert np.abs(steadied - dream).max() < 1e-3


def test_a_part_that_changes_is_itself(film: Film) -> None:
    frames = film[0].copy()
    frames[4:, 64:] = load_sample_image("flower.jpg")[124:188, :192]
    dreams = 255 - frames.astype(np.float32)
    steadied, _ = lean(watch(frames, None).motions, dreams, None, STEADY)
    assert np.abs(steadied - dreams)[4, 72:].max() < 5


def test_grain_that_does_not_meet_stays_as_strong(film: Film) -> None:
    frames, still, _ = film
    grainy = still + np.random.default_rng(0).normal(0, 20, still.shape).astype(np.float32)
    steadied, _ = lean(watch(frames, None).motions, grainy, None, STEADY)
    strength = [np.abs(np.diff(each[1:, 8:-8, 8:-24].mean(axis=3), axis=2)).mean() for each in (steadied, grainy)]
    assert strength[0] > 0.95 * strength[1]


def test_any_batching_is_the_same(film: Film) -> None:
    frames, _, flickering = film
    whole = watch(frames, None)
    together, _ = lean(whole.motions, flickering, None, 0.6)
    view, before, parts, places = None, None, [], []
    for frame, dream in zip(frames[:, None], flickering[:, None], strict=True):
        moved = watch(frame, view)
        part, before = lean(moved.motions, dream, before, 0.6)
        view = moved.view
        parts.append(part)
        places.append(moved.places)
    assert np.array_equal(together, np.concatenate(parts))
    assert np.allclose(whole.places, np.concatenate(places))


def test_where_the_camera_is(film: Film) -> None:
    frames, _, _ = film
    assert watch(frames, None).places == pytest.approx(np.arange(8)[:, None] * [SHIFT, 0], abs=0.8)
    doubled = np.stack([cv2.resize(frame, None, fx=2, fy=2) for frame in frames])
    assert watch(doubled, None).places == pytest.approx(2 * np.arange(8)[:, None] * [SHIFT, 0], abs=1.6)
    grain = np.random.default_rng(0).normal(0, 4, (8, *frames[0].shape))
    tripod = (frames[0] + grain).clip(0, 255).astype(np.uint8)
    tripod[:, 40:80, 60:100] = frames[:, 40:80, 60:100]  # something passes by
    assert not watch(tripod, None).places.any()
    crowd = np.repeat(frames[:1], len(frames), axis=0)
    crowd[:, :80] = frames[:, :80]  # most of it goes by, but not all
    assert not watch(crowd, None).places.any()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (31, 40), (32, 32), (33, 500)])
def test_any_size(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, *size, 3), np.uint8)
    dreams = frames.astype(np.float32)
    moved = watch(frames, None)
    steadied, before = lean(moved.motions, dreams, None, 0.5)
    assert steadied.shape == dreams.shape == (3, *size, 3)
    assert before.shape == moved.view.frame.shape == (*size, 3)
    assert moved.places.shape == (3, 2)
    assert np.isfinite(steadied).all()
    assert np.array_equal(steadied[0], dreams[0])
