"""Memory that is freed is there for the next layer: its pages are not fetched anew from the system."""

import ctypes
import subprocess
import sys

import pytest
import torch

from beautynet.devices import pick_device

pytestmark = pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="of glibc")


def test_memory_is_not_fetched_anew_for_each_layer() -> None:
    import resource

    def faults() -> int:
        maps = [torch.ones(1 << 21) for _ in range(6)]  # of 8 MB, 2,048 pages
        del maps
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    pick_device("cpu")
    before = faults()
    assert [faults() for _ in range(10)][-1] - before < 2 * 6 * 2048


FAULTS = """
import resource, sys, threading
import torch
from beautynet import memory

def layers():
    maps = torch.ones(16 << 18)
    for megabytes in (30, 8, 24, 4, 30, 16, 8, 30):
        also = torch.ones(megabytes << 17)
        maps = torch.ones(megabytes << 18)

def work():
    for _ in range(10):
        layers()

def faults():
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for name in sys.argv[1:]:
    getattr(memory, name)()
counts = [faults() for _ in range(5)]
print(min(after - before for before, after in zip(counts, counts[1:])))
"""


def fetched(*settings: str) -> int:
    """Pages that layers fetch once their like has been, in two threads of a process of their own.

    The least of four times: on a busy machine threads do not always overlap alike, and then the memory grows.
    """
    command = [sys.executable, "-c", FAULTS, *settings]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_nor_in_threads() -> None:
    assert fetched("keep", "share") < 10_000  # without the second 31,000 to 85,000
