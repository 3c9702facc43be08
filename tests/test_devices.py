"""Devices that are there, and those that are not."""

import platform
from collections.abc import Iterator

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
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(devices, "_trouble", lambda _: "no kernel image")
    assert pick_device() == torch.device("cpu")
    assert "computing on the CPU, as this torch cannot on the GPU (no kernel image)" in capfd.readouterr().err
    with pytest.raises(BeautyError, match=r"cannot compute on cuda \(no kernel image\): use --device cpu"):
        pick_device("cuda")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, float]]:
    """One that computes, in a Linux in Windows; what shares of its memory may be used."""
    shares: dict[int, float] = {}
    ones = torch.ones
    for name, value in {"is_available": True, "device_count": 1, "current_device": 0}.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, i: shares.update({i: share}))
    monkeypatch.setattr(torch, "ones", lambda count, **_: ones(count))
    monkeypatch.setattr(platform, "release", lambda: "5.15.153.1-microsoft-standard-WSL2")
    devices._trouble.cache_clear()
    yield shares
    devices._trouble.cache_clear()


def test_a_gpu_in_windows_is_not_filled_to_the_brim(gpu: dict[int, float]) -> None:
    assert pick_device() == torch.device("cuda")
    assert pick_device("cuda:0") == torch.device("cuda:0")
    assert gpu == {0: 0.9}


@pytest.mark.usefixtures("gpu")
def test_a_full_gpu_is_waited_for_and_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    full = True
    ones = torch.ones

    def made(count: int, **_: object) -> torch.Tensor:
        if full:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")
        return ones(count)

    monkeypatch.setattr(torch, "ones", made)
    for name in ("auto", "cuda"):
        with pytest.raises(BeautyError, match="the GPU is full"):
            pick_device(name)
    full = False
    assert pick_device() == torch.device("cuda")


def test_float32_is_just_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "has_bfloat16", lambda _: True)
    for precision, dtype in (("float32", torch.float32), ("auto", torch.bfloat16)):
        with autocast(torch.device("cpu"), precision):
            assert torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == dtype
