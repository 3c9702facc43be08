"""Devices that are there, and those that are not."""

import pytest
import torch

from beautynet import devices
from beautynet.devices import autocast, pick_device
from beautynet.errors import BeautyError


def test_cpu_is_always_there() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device().type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("name", ["toaster", "cuda:99", "meta"])
def test_what_is_not_there_says_what_is(name: str) -> None:
    with pytest.raises(BeautyError, match="cpu"):
        pick_device(name)


def test_a_gpu_that_cannot_compute_is_left(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """One that is there, but of which torch knows nothing: too old for its kernels."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(devices, "_trouble", lambda _: "no kernel image")
    assert pick_device() == torch.device("cpu")
    assert "computing on the CPU, as this torch cannot on the GPU (no kernel image)" in capfd.readouterr().err
    with pytest.raises(BeautyError, match=r"cannot compute on cuda \(no kernel image\): use --device cpu"):
        pick_device("cuda")


def test_float32_is_just_that() -> None:
    with autocast(torch.device("cpu"), "float32"):
        assert torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == torch.float32
