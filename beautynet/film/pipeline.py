"""Work that goes on at the same time, in threads."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")


def ahead(items: Generator[Item], thread: Executor) -> Generator[Item]:
    """The same items, none of them None, each made in another thread while the one before it is used.

    Closing it waits for the item that is being made, and closes `items`.
    """
    coming = thread.submit(next, items, None)
    try:
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item
    finally:
        wait([coming])
        items.close()


class _Cores:
    """On how many cores torch computes in threads that are begun now: the whole program's, so films share it."""

    alone = threading.Lock()
    users, own = 0, 0


def own_cores() -> int:
    """On how many cores torch computes where nobody is `computing`."""
    with _Cores.alone:
        return _Cores.own if _Cores.users else torch.get_num_threads()


@contextmanager
def computing(threads: int, cores: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads, each of which computes with torch on so many cores.

    Cores that join in on the work of several threads wait for each other: a film took 7 % longer.
    """
    with _Cores.alone:
        if not _Cores.users:
            _Cores.own = torch.get_num_threads()
        _Cores.users += 1
    try:
        pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(cores,))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)  # what has begun is waited for
    finally:
        with _Cores.alone:
            _Cores.users -= 1
            if not _Cores.users:
                torch.set_num_threads(_Cores.own)  # which is also what threads that are begun later find
