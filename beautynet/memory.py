"""What glibc does with memory that is freed: see mallopt(3). Nothing where there is no glibc."""

from __future__ import annotations

import ctypes
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENA_MAX = -3, -1, -8  # of glibc's malloc.h
_LARGEST_KEPT, _MOST_KEPT = 32 << 20, 512 << 20
"""Bytes of one block, the most that glibc allows, and of all that are free."""


def keep() -> None:
    """Let it keep what is freed, for the next layer: each page that is fetched anew costs the system a fault.

    On a virtual machine that was a third of the time that a classifier takes.
    """
    _set(_MMAP_THRESHOLD, _LARGEST_KEPT)
    _set(_TRIM_THRESHOLD, _MOST_KEPT)


def share() -> None:
    """Let all threads that are begun from now on share what is kept: what is each one's own goes back when it is free.

    Of a film's painting that took a twentieth, in some runs. For a process that is ours: so from the shell only.
    """
    _set(_ARENA_MAX, 1)


def _set(parameter: int, value: int) -> None:
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):  # musl has none
        library.mallopt(parameter, value)
