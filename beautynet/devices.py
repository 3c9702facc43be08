"""Which device to compute on, and in which precision."""

from __future__ import annotations

import sys
from contextlib import suppress

import torch

from beautynet import memory
from beautynet.errors import BeautyError


def pick_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, then Apple's MPS, then the CPU. A device asked for and absent is a BeautyError."""
    memory.keep()
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BeautyError(f"unknown device {name!r}: use auto, cuda, mps or cpu") from error
    if device.type == "cuda" and (not cuda or (device.index or 0) >= torch.cuda.device_count()):
        found = f"{torch.cuda.device_count()} found" if cuda else "none found by torch"
        raise BeautyError(f"no CUDA device {name!r} here ({found}): use --device cpu, or install a CUDA build of torch")
    if device.type == "mps" and not mps:
        raise BeautyError("no Apple GPU here: use --device cpu")
    if device.type not in ("cuda", "mps", "cpu"):
        raise BeautyError(f"device {name!r} is not supported: use auto, cuda, mps or cpu")
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is quicker than float32 on this device, not merely emulated."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """Mixed precision where it helps: `auto` is bfloat16 on GPUs and CPUs that compute in it, `float32` just that."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "auto" and has_bfloat16(device))


def free_memory(device: torch.device) -> int:
    """Bytes that may be had, of the device on a GPU, of the machine elsewhere; 4 GiB where it does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    with suppress(OSError, ValueError, StopIteration), open("/proc/meminfo", encoding="ascii") as lines:
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    return 4 << 30


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
