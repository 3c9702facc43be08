"""How much of the machine is ours: memory and cores, as containers and schedulers limit them."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MEMBERSHIPS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Where Linux tells of its control groups, by which Docker, Slurm and systemd limit what is in them: cgroups(7)."""


def memory() -> int:
    """Bytes of memory that this process may still have; 4 GiB where nobody says."""
    with suppress(OSError, ValueError, StopIteration), open("/proc/meminfo", encoding="ascii") as lines:
        free = 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
        return min([free, *memory_left()])
    if sys.platform == "darwin":  # where what is free is hardly ever told from what could be
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    if sys.platform == "win32":
        return _windows_memory()
    return 4 << 30


def cores() -> int:
    """On how many cores this process may compute."""
    ours = os.cpu_count() or 1
    if sys.platform == "linux":  # process_cpu_count is Python 3.13's
        ours = len(os.sched_getaffinity(0))
    return max(1, min([ours, *map(math.ceil, quotas())]))


def memory_left(memberships: Path = MEMBERSHIPS, groups: Path = GROUPS) -> Iterator[int]:
    """Bytes that the limit of each control group leaves that this process is in."""
    for version, group in _groups("memory", memberships, groups):
        limit, used, cached = (
            ("memory.max", "memory.current", "inactive_file")
            if version == 2
            else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        )
        with suppress(OSError, ValueError, KeyError):  # no limit is "max"; the uppermost group has no files
            most, now = (int((group / name).read_text(encoding="ascii")) for name in (limit, used))
            counts = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
            yield max(0, most - now + int(counts[cached]))  # copies of files give way


def quotas(memberships: Path = MEMBERSHIPS, groups: Path = GROUPS) -> Iterator[float]:
    """How many cores' time the quota of each control group allows that this process is in."""
    for version, group in _groups("cpu", memberships, groups):
        names = ("cpu.max",) if version == 2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        with suppress(OSError, ValueError):
            quota, period = " ".join((group / name).read_text(encoding="ascii") for name in names).split()
            if int(quota) > 0:  # none is "max", or -1
                yield int(quota) / int(period)


def _groups(kind: str, memberships: Path, groups: Path) -> Iterator[tuple[int, Path]]:
    """Folders of the control groups that limit such a thing, from the process's own up to the root, and their version.

    In a container its own group is the root, whatever it is called.
    """
    try:
        lines = memberships.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return
    for _, kinds, place in (line.split(":", 2) for line in lines):
        if kinds and kind not in kinds.split(","):
            continue
        root = groups / kind if kinds else groups
        own = root / place.lstrip("/")
        for group in [own, *own.parents][: len(own.relative_to(root).parts) + 1]:
            yield 1 if kinds else 2, group


if sys.platform == "win32":
    import ctypes

    class _Status(ctypes.Structure):
        """MEMORYSTATUSEX of sysinfoapi.h."""

        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", *"abcde")),
        ]

    def _windows_memory() -> int:
        status = _Status(length=ctypes.sizeof(_Status))
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.free) or 4 << 30
