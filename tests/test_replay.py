"""Replayed work does what it does when called: the same numbers, other dice, any shape. Needs a CUDA GPU."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor

from beautynet.conditions import Condition
from beautynet.film.frames import BATCH, Frame, in_batches
from beautynet.networks import Generator
from beautynet.replay import WARM_UP, Replay
from beautynet.translator import Memory, Translator

DEVICE = torch.device("cuda")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def test_a_replay_learns_as_the_work_itself() -> None:
    def learnt(replayed: bool) -> list[Tensor]:
        weight = torch.ones(3, device=DEVICE, requires_grad=True)
        adam = torch.optim.Adam([weight], lr=torch.tensor(0.1, device=DEVICE), capturable=True)

        def step(x: Tensor) -> Tensor:
            adam.zero_grad(set_to_none=True)
            loss = ((weight * x) ** 2).sum()
            loss.backward()
            adam.step()
            return loss.detach()

        work = Replay(step, DEVICE) if replayed else step
        sizes = [4] * (WARM_UP + 3) + [2] * (WARM_UP + 2)
        return [*(work(torch.full((size, 3), 1.0 + i, device=DEVICE)).clone() for i, size in enumerate(sizes)), weight]

    for one, other in zip(learnt(True), learnt(False), strict=True):
        assert torch.allclose(one, other)


def test_dice_are_new_each_time_and_follow_the_seed() -> None:
    roll = Replay(torch.rand_like, DEVICE)
    at = torch.zeros(5, device=DEVICE)
    rolled = []
    for i in range(WARM_UP + 4):
        torch.manual_seed(i % (WARM_UP + 2))
        rolled.append(roll(at).clone())
    assert len({tuple(each.tolist()) for each in rolled}) == WARM_UP + 2
    assert torch.equal(rolled[0], rolled[WARM_UP + 2])


def test_what_comes_in_another_shape_between_is_right_too() -> None:
    double = Replay(lambda x: 2 * x, DEVICE)
    for size in [4] * (WARM_UP + 2) + [2, 4, 3, 4] + [2] * (WARM_UP + 2) + [4]:
        given = torch.rand(size, device=DEVICE)
        assert torch.equal(double(given), 2 * given)


def test_what_cannot_be_recorded_is_done_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    def double(x: Tensor) -> Tensor:
        if torch.cuda.is_current_stream_capturing():
            raise torch.OutOfMemoryError("no room for a recording")
        return 2 * x

    work, stream = Replay(double, DEVICE), torch.cuda.current_stream(DEVICE)
    for _ in range(WARM_UP + 3):
        given = torch.rand(4, device=DEVICE)
        assert torch.equal(work(given), 2 * given)
    assert torch.cuda.current_stream(DEVICE) == stream
    assert capfd.readouterr().err.count("going on without a recording") == 1


@pytest.mark.parametrize("kind", ["clusters", "edges", "blur"])
def test_a_film_whose_conditions_are_replayed_is_its_frames_one_after_the_other(kind: str) -> None:
    scene = load_sample_image("china.jpg")[200:280, 60:160]
    photos = torch.rand(3, 1, 3, 64, 64, device=DEVICE) * 2 - 1
    condition = Condition(kind, size=80).lent_by(photos)
    translator = Translator(Generator(8, 3), condition, DEVICE, "float32")
    pictures = [np.roll(scene, number, axis=1) for number in range((WARM_UP + 3) * BATCH)]
    batches = in_batches([Frame(each, Fraction(n, 25), Fraction(1, 25)) for n, each in enumerate(pictures)])
    dreams = np.concatenate([each.dreams for each in translator.dreams(batches)])
    memory: Memory | None = None
    for picture, dream in zip(pictures, dreams, strict=True):
        alone, memory = translator.dream(picture[None], memory)
        assert (np.abs(alone[0].astype(int) - dream).max(2) > 2).mean() < 0.01
