"""Replayed work does what it does when called: the same numbers, other dice, any shape. Needs a CUDA GPU."""

import pytest
import torch
from torch import Tensor

from beautynet.replay import WARM_UP, Replay

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
