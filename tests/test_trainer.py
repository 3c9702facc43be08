"""The step of training: what it shows, which photos it draws, what it does where the machine does not do for it."""

import copy
import itertools
import re
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from beautynet.conditions import mean_palette
from beautynet.config import TrainConfig
from beautynet.datasets.dataset import Dataset, Photos
from beautynet.replay import Replay
from beautynet.training import losses
from beautynet.training.trainer import Trainer

CPU = torch.device("cpu")


def trainer(**settings: Any) -> Trainer:
    small = {"size": 64, "preset": "S", "batch": 4, "steps": 10}
    return Trainer(TrainConfig(**{**small, **settings}).for_device("cpu"), CPU)


@pytest.fixture
def loaded(photos: Path) -> Photos:
    return Photos.load(Dataset.open(photos).photos, 64, CPU)


def test_a_step_moves_what_learns_and_nothing_else(loaded: Photos) -> None:
    run = trainer()
    networks = {
        "generator": run.generator,
        "discriminator": run.discriminator,
        "average": run.average,
        "eyes": run.eyes,
    }
    before = copy.deepcopy({name: dict(network.named_parameters()) for name, network in networks.items()})
    run.step(loaded)
    assert (run.progress.steps, run.progress.images) == (1, 4)
    for name, network in networks.items():
        for weight, values in network.named_parameters():
            learns = name != "eyes" and not weight.startswith("mixing.")
            moved = not torch.equal(values, before[name][weight])
            assert moved == learns or values.ndim == 1, f"{name}.{weight}"  # a bias may have no gradient yet


def test_a_loss_is_the_sum_of_its_parts_and_the_rate_falls(loaded: Photos) -> None:
    run = trainer(steps=4, perceptual=3.0, texture=5.0, l1=7.0, scenes=11.0)
    run.meet(loaded)
    for begun, share in ((0, 1), (3, 0.5)):
        run.progress.steps = begun
        found = {name: value.item() for name, value in run.step(loaded).items()}
        parts = {"adversarial": 1, "perceptual": 3, "texture": 5, "l1": 7, "scenes": 11}
        assert found["g"] == pytest.approx(sum(weight * found[name] for name, weight in parts.items()), rel=1e-2)
        rates = [optimiser.param_groups[0]["lr"] for optimiser in run.optimisers]
        assert rates == [pytest.approx(share * run.config.learning_rate)] * 2
    assert found["scenes"]


@pytest.mark.parametrize(
    ("louder", "other"), [("discriminator_hinge", "generator"), ("generator_hinge", "discriminator")]
)
def test_neither_networks_loss_reaches_into_the_other(
    louder: str, other: str, loaded: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    hinge, gradients = getattr(losses, louder), []
    for times in (1, 1000):
        monkeypatch.setattr(losses, louder, lambda *scores, times=times: times * hinge(*scores))
        run = trainer()
        run.step(loaded)
        gradients.append([weight.grad for weight in getattr(run, other).parameters() if weight.requires_grad])
    assert all(map(torch.equal, *gradients))


def test_the_average_comes_half_the_way_in_its_half_life() -> None:
    run = trainer(ema_images=500)
    for images, half_life in ((4, 1), (1000, 100), (10**6, 500)):
        for network, value in ((run.generator, 1.0), (run.average, 0.0)):
            for weight in network.parameters():
                weight.detach().fill_(value)
        run.progress.images = images
        run._follow()
        wanted = pytest.approx(1 - 0.5 ** (run.batch / half_life))
        assert all(weight.min().item() == weight.max().item() == wanted for weight in run.average.parameters())


@pytest.mark.parametrize(
    ("error", "batch", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), 2, "going on with batches of 2"),
        (
            NotImplementedError("no such compiler"),
            4,
            r"no code could be made for this GPU \(NotImplementedError: no such compiler\)",
        ),
    ],
)
def test_a_compiler_that_fails_is_done_without(
    error: Exception,
    batch: int,
    said: str,
    loaded: Photos,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def compile(network: Any, **_: Any) -> Any:
        def limited(pictures: Tensor) -> Any:
            if len(pictures) > 2:
                raise error
            return network(pictures)

        return limited

    monkeypatch.setattr(torch, "compile", compile)
    run = trainer()
    run.compile(loaded)
    assert run.batch == batch
    assert (run.paint is run.generator) == (batch == 4)
    assert re.search(said, " ".join(capfd.readouterr().err.split()))
    assert run.step(loaded)["g"].isfinite()
    assert run.progress.images == batch


def test_the_second_half_practises_on_made_up_scenes(loaded: Photos) -> None:
    practised = []
    for settings in ({}, {"scenes": 0}, {"palette": "ranked"}):
        run = trainer(steps=4, **settings)
        practised.append([bool(run.step(loaded)["scenes"]) for _ in range(4)])
    assert practised == [[False, False, True, True], [False] * 4, [False] * 4]


def test_what_was_recorded_before_practice_is_let_go(loaded: Photos) -> None:
    run = trainer(steps=6)

    class Recorded(Replay[dict[str, Tensor]]):
        """Recorded on a CPU, as good as that goes."""

        def __init__(self) -> None:
            self.inputs, self.forgotten = (), []

        def forget(self) -> None:
            self.forgotten.append(run.progress.steps)

        def __call__(self, *given: Tensor) -> dict[str, Tensor]:
            self.inputs = given
            return run._learn(*given)

    run.learn = recorded = Recorded()
    for _ in range(6):
        run.step(loaded)
    assert recorded.forgotten == [3]


def test_a_look_that_fails_leaves_the_discriminator_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer()

    def no_room(*_: Any) -> Any:
        raise torch.OutOfMemoryError("another program has it")

    monkeypatch.setattr(run.eyes, "forward", no_room)
    with pytest.raises(torch.OutOfMemoryError):
        run.score(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64))
    assert run.discriminator.training


def test_scenes_are_shown_as_an_everyday_picture_will_be(loaded: Photos) -> None:
    run = trainer()
    run.meet(loaded)
    lent = mean_palette(torch.tensor(run.condition.lenders)).reshape(-1, 3)
    for begun, scenes in ((0, 0), (5, 1), (9, 1)):
        run.progress.steps = begun
        shown, made_up, photo = run.pairs(loaded, Random(0))
        assert (len(shown), len(made_up), len(photo)) == (4 - scenes, scenes, 4)
        colours = made_up.permute(0, 2, 3, 1).reshape(-1, 3).unique(dim=0)
        assert all((lent - colour).abs().amax(1).min() < 1e-3 for colour in colours), "in the colours of a photo"


def test_everyday_pictures_are_practised_on_as_much_as_scenes(loaded: Photos) -> None:
    run = trainer(palette="mean", scenes=1)
    made_up = len(run.exercises)
    run.meet(loaded, Photos([np.full((64, 64, 3), grey, np.uint8) for grey in (10, 120, 240)], CPU))
    assert abs(len(run.exercises) - 2 * made_up) <= 1
    run.progress.steps = 5
    drawn = [run.pairs(loaded, Random(seed))[1] for seed in range(32)]
    greys = [round((each.mean().item() + 1) * 127.5) for each in drawn if each.std() < 0.01]
    assert set(greys) == {10, 120, 240}
    assert 8 < len(greys) < 24


def test_every_photo_is_seen_once_an_epoch(loaded: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    crops = Photos.crops

    def noted(self: Photos, indices: list[int], *others: Any) -> Tensor:
        drawn.extend(indices)
        return crops(self, indices, *others)

    monkeypatch.setattr(Photos, "crops", noted)
    run = trainer(batch=2, scenes=0)
    for _ in range(3 * len(loaded) // 2):
        run.step(loaded)
    epochs = [drawn[i : i + len(loaded)] for i in range(0, len(drawn) - len(loaded) + 1, len(loaded))]
    assert len(epochs) >= 2
    assert all(sorted(epoch) == list(range(len(loaded))) for epoch in epochs)
    assert all(a != b for a, b in itertools.pairwise(epochs))
