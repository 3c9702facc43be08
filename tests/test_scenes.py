"""Made-up scenes."""

import numpy as np
import pytest

from beautynet.scenes import LARGEST, scenes


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
    """As no photo of a flower has: columns that change along a good part of the picture at once."""
    steps = [np.abs(np.diff(each.mean(axis=2), axis=1)) > 8 for each in scenes(24, 128, seed=0)]
    longest = [int(step.sum(axis=0).max()) for step in steps]
    assert sum(length > 32 for length in longest) > 4


def test_the_same_seed_makes_the_same_scenes() -> None:
    one, same, other = (np.stack(scenes(4, 64, seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
