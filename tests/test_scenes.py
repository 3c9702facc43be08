"""Made-up scenes."""

import cv2
import numpy as np
import pytest

from beautynet.training.scenes import LARGEST, _field, scenes


@pytest.mark.parametrize("size", [64, 128, 2048])
def test_scenes_are_pictures_of_many_kinds_and_no_larger_than_they_need_be(size: int) -> None:
    made = scenes(24, size, seed=0)
    side = min(size, LARGEST)
    assert all(each.shape == (side, side, 3) and each.dtype == np.uint8 for each in made)
    spread = [float(each.std()) for each in made]
    assert min(spread) > 0.5, "none is one flat colour"
    assert max(spread) > 40, "and some have a lot of light and dark"
    assert len({each.tobytes() for each in made}) == len(made)


def test_a_scene_has_straight_edges() -> None:
    """Along a third of the picture or more, as few photos of flowers have them."""
    detector = cv2.createLineSegmentDetector()
    found = [detector.detect(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY))[0] for each in scenes(24, 128, seed=0)]
    lines = [each.reshape(-1, 2, 2) for each in found if each is not None]
    longest = [np.linalg.norm(each[:, 1] - each[:, 0], axis=1).max() for each in lines]
    assert sum(length > 40 for length in longest) > 4, "of clouds alone none has"


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_noise_falls_with_the_frequency(power: float) -> None:
    field = _field(128, power, np.random.default_rng(0))
    assert abs(float(field.mean())) < 1e-5
    assert abs(float(field.std()) - 1) < 1e-5
    rows = np.abs(np.fft.rfft2(field))[0, 1:33]
    slope, _ = np.polyfit(np.log(np.arange(1, 33)), np.log(rows), 1)
    assert abs(slope + power) < 0.5


def test_things_are_unevenly_lit() -> None:
    """Neighbours of the very same light are few, as in photos."""
    same = [float((np.diff(each.astype(int), axis=1) == 0).all(axis=2).mean()) for each in scenes(24, 128, seed=0)]
    assert np.median(same) < 0.3


def test_the_same_seed_makes_the_same_scenes() -> None:
    one, same, other = (np.stack(scenes(4, 64, seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
