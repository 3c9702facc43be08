"""The looks at a run: what they say of networks whose answer is known."""

import pytest
import torch
from torch import Tensor, nn

from beautynet.config import TrainConfig
from beautynet.training.examiner import Examiner
from beautynet.training.trainer import Trainer

CPU = torch.device("cpu")


class Painter(nn.Module):
    """Paints what a test wants."""

    width, multiple = 24, 1

    def __init__(self, pictures: Tensor) -> None:
        super().__init__()
        self.pictures, self.painted = pictures, 0

    def forward(self, condition: Tensor, *_: Tensor | None) -> Tensor:
        first = self.painted
        self.painted += len(condition)
        return self.pictures[first : self.painted]


@pytest.fixture
def photos() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(8, 3, 1, 1).expand(-1, -1, 64, 64) * 2 - 1


def examined(photos: Tensor, pictures: Tensor, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    trainer = Trainer(TrainConfig(size=64, preset="S").for_device("cpu"), CPU)
    monkeypatch.setattr(trainer, "average", Painter(pictures))
    return Examiner(trainer, photos[:4], photos[4:])()


def test_a_copy_is_at_no_distance_and_as_various(photos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(photos, photos, monkeypatch)
    assert found == pytest.approx({"seen": 0, "unseen": 0, "variety": 1, "by_heart": 0}, abs=1e-2)


def test_one_picture_for_all_tells_nothing_of_its_photo(photos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(photos, photos.mean(0, keepdim=True).expand_as(photos), monkeypatch)
    assert found["variety"] == pytest.approx(0, abs=1e-3)
    assert found["seen"] > 0.5


def test_what_is_known_by_heart_is_nearer(photos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    found = examined(photos, torch.cat([photos[:4], photos[4:].flip(0)]), monkeypatch)
    assert found["seen"] == pytest.approx(0, abs=1e-2)
    assert found["unseen"] > 0.5


def test_it_looks_now_and_then_only(photos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(TrainConfig(size=64, preset="S").for_device("cpu"), CPU)
    painter = Painter(photos)
    monkeypatch.setattr(trainer, "average", painter)
    examiner = Examiner(trainer, photos[:4], photos[4:])
    assert examiner() == examiner()
    assert painter.painted == len(photos)
