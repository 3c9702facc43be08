"""A dream that leans on the one before it: still where the film is, gone where it changes."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

from beautynet.config import STEADY
from beautynet.steady import lean

SHIFT = 3  # px from frame to frame
Film = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture(scope="module")
def film() -> Film:
    """A pan over a photo at twice the dream's scale; its dream without flicker, and with."""
    photo = load_sample_image("china.jpg")
    frames = np.stack([photo[60:316, 2 * SHIFT * i :][:, :384] for i in range(8)])
    still = 255 - frames[:, ::2, ::2].astype(np.float32)
    flicker = np.random.default_rng(0).normal(0, 20, (8, 1, 1, 3)).astype(np.float32)
    return frames, still, still + flicker


def test_flicker_goes_and_the_picture_moves_along(film: Film) -> None:
    frames, still, flickering = film
    steadied, _ = lean(frames, flickering, None, STEADY)
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


def test_nothing_is_left_after_a_cut(film: Film) -> None:
    frames, still, _ = film
    _, before = lean(frames, still, None, STEADY)
    elsewhere = load_sample_image("flower.jpg")[None, 60:316, :384]
    dream = 255 - elsewhere[:, ::2, ::2].astype(np.float32)
    steadied, _ = lean(elsewhere, dream, before, STEADY)
    assert np.abs(steadied - dream).mean() < 2


def test_any_batching_is_the_same(film: Film) -> None:
    frames, _, flickering = film
    together, _ = lean(frames, flickering, None, 0.6)
    before, parts = None, []
    for frame, dream in zip(frames[:, None], flickering[:, None], strict=True):
        part, before = lean(frame, dream, before, 0.6)
        parts.append(part)
    assert np.array_equal(together, np.concatenate(parts))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (31, 40), (32, 32), (33, 500)])
def test_any_size(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 2 * size[0], 2 * size[1], 3), np.uint8)
    dreams = frames[:, ::2, ::2].astype(np.float32)
    steadied, before = lean(frames, dreams, None, 0.5)
    assert steadied.shape == dreams.shape == (3, *size, 3)
    assert before.frame.shape == (*size, 3)
    assert np.isfinite(steadied).all()
    assert np.array_equal(steadied[0], dreams[0])
