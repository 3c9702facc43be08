"""Which device to compute on, in which precision, and what it has room for."""

from __future__ import annotations

import os
import platform
import sys
import threading
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from typing import Any

import torch

from beautynet import machine, memory
from beautynet.console import console
from beautynet.errors import OUT_OF_MEMORY, BeautyError

_MPS = threading.RLock()
_FILLED = 0.9
"""Share of a GPU's memory that may be used where its driver would go on in the machine's: screens need some, too."""


def pick_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, then Apple's MPS, then the CPU. A device asked for and absent is a BeautyError."""
    memory.keep()
    _keep_to_cores()
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        if cuda and (trouble := _trouble(torch.cuda.current_device())):
            console.print(f"computing on the CPU, as this torch cannot on the GPU ({trouble})", style="yellow")
            return torch.device("cpu")
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BeautyError(f"unknown device {name!r}: use auto, cuda, mps or cpu") from error
    if device.type == "cuda" and (not cuda or (device.index or 0) >= torch.cuda.device_count()):
        found = f"{torch.cuda.device_count()} found" if cuda else "none found by torch"
        raise BeautyError(f"no CUDA device {name!r} here ({found}): use --device cpu, or install a CUDA build of torch")
    if device.type == "cuda" and (trouble := _trouble(device.index or 0)):
        raise BeautyError(
            f"this torch cannot compute on {name} ({trouble}): use --device cpu, or install another build"
        )
    if device.type == "mps" and not mps:
        raise BeautyError("no Apple GPU here: use --device cpu")
    if device.type not in ("cuda", "mps", "cpu"):
        raise BeautyError(f"device {name!r} is not supported: use auto, cuda, mps or cpu")
    return device


@cache
def _trouble(number: int) -> str | None:
    """Why nothing can be computed on a GPU that is there, as where torch is built for newer ones.

    BeautyError where others have all of its memory: that passes.
    """
    try:
        torch.ones(1, device=f"cuda:{number}").add_(1).item()
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        if OUT_OF_MEMORY.search(reason):
            raise BeautyError(f"the GPU is full ({reason}): wait for what uses it, or use --device cpu") from error
        return reason
    if os.name == "nt" or "microsoft" in platform.release().lower():  # Windows, and Linux in it
        # they never run out, but go on many times slower, where halving the batch is the better way
        torch.cuda.set_per_process_memory_fraction(_FILLED, number)
    return None


@cache
def _keep_to_cores() -> None:
    """Compute in no more threads than there are cores for us: a container's quota would only slow them down."""
    if "OMP_NUM_THREADS" not in os.environ and machine.cores() < torch.get_num_threads():
        torch.set_num_threads(machine.cores())


def alone(device: torch.device) -> AbstractContextManager[object]:
    """What threads have to hold while they use an Apple GPU, on which two at once end the process (pytorch#197805)."""
    return _MPS if device.type == "mps" else nullcontext()


def layout(device: torch.device) -> torch.memory_format:
    """How pictures and weights lie in memory there: channels last, but where gradients come out wrong of it.

    So they did on Apple's GPUs (pytorch#175189).
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


def placed(device: torch.device) -> dict[str, Any]:
    """What a network's `to` takes to move it there."""
    return {"device": device, "memory_format": layout(device)}


@cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is quicker than float32 on this device, not merely emulated."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """Mixed precision where it helps: `auto` is bfloat16 on GPUs and CPUs that compute in it, `float32` just that."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "auto" and has_bfloat16(device))


def free_memory(device: torch.device) -> int:
    """Bytes that may be had, of the device on an NVIDIA GPU, of the machine elsewhere."""
    if device.type != "cuda":
        return machine.memory()
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # by torch, for what comes
    return int(torch.cuda.mem_get_info(device)[0]) + kept


def peak_memory(device: torch.device) -> int | None:
    """The most bytes in use at once so far: of the GPU, or of this process on a CPU; None where nobody counts."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, ValueError, StopIteration), open("/proc/self/status", encoding="ascii") as lines:
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    if sys.platform == "win32":
        return None
    import resource  # which on Linux counts what the program had that started this one

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
