"""Frames in batches: each once, in order, of one scene, and not more than memory does for."""

from fractions import Fraction

import numpy as np
import pytest

from beautynet.frames import BATCH, BATCH_PIXELS, CUT, Cuts, Frame, in_batches


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


@pytest.mark.parametrize(("change", "cut"), [(CUT, False), (CUT + 1, True)])
def test_a_cut_is_a_large_change(change: int, cut: bool) -> None:
    before, after = shot(10, 1)[0].picture, shot(10 + change, 1)[0].picture
    is_cut = Cuts()
    assert [is_cut(picture) for picture in (before, before, after)] == [False, False, cut]


def test_another_size_is_another_scene() -> None:
    is_cut = Cuts()
    picture = shot(10, 1)[0].picture
    assert [is_cut(each) for each in (picture, picture[:, :100])] == [False, True]
