"""Fine-tuning: only the late layers change, and they learn what they are shown."""

from functools import partial
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from beautynet import backbones, images
from beautynet.classifying import tuning


def test_variations_stay_pictures(crops: Tensor) -> None:
    random = torch.Generator().manual_seed(0)
    varied = [tuning.vary(crops[:1], random) for _ in range(8)]
    for each in varied:
        assert each.shape == crops[:1].shape
        assert each.abs().max() <= 1
        assert (each - crops[:1]).abs().mean() > 0.01
    again = tuning.vary(crops[:1], torch.Generator().manual_seed(0))
    assert torch.equal(again, varied[0])


def test_late_layers_learn_and_others_stay(crops: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    # a clock that each look sets on by a second: three steps on any machine
    monkeypatch.setattr(tuning, "time", SimpleNamespace(monotonic=partial(next, count())))
    backbone = backbones.load()
    before = {name: value.clone() for name, value in backbone.network.named_parameters()}
    spent: list[float] = []
    pictures = images.to_uint8(images.resize(crops[::3], backbone.size, backbone.size))
    truth = np.eye(2, dtype=bool)[[0, 0, 1, 1]]
    tuning.finetune(backbone, pictures, truth, False, seconds=4, done=spent.append)
    changed = {name for name, value in backbone.network.named_parameters() if not torch.equal(value, before[name])}
    assert changed == set(backbone.late)
    assert spent == [0.25, 0.5, 0.75]
    assert not any(value.requires_grad for value in backbone.network.parameters())
