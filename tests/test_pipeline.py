"""Stages overlap, keep their order, end with what reads them, and leave torch's threads as they were."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import torch

from beautynet.film.pipeline import ahead, computing, own_cores

pytestmark = pytest.mark.usefixtures("two_threads")  # one would be a share of one core as well


def test_items_are_made_one_ahead_and_in_order() -> None:
    made: list[int] = []
    begun = [threading.Event() for _ in range(6)]

    def items() -> Generator[int]:
        for number in range(5):
            made.append(threading.get_ident())
            begun[number].set()
            yield number
        begun[5].set()

    with ThreadPoolExecutor(1) as thread:
        for number, item in enumerate(ahead(items(), thread)):
            assert item == number
            assert begun[number + 1].wait(5), "the next one is made while this one is used"
            if number < 4:
                assert len(made) == number + 2
    assert threading.get_ident() not in made


def test_what_is_not_read_is_closed() -> None:
    closed = threading.Event()

    def items() -> Generator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    with ThreadPoolExecutor(1) as thread, closing(ahead(items(), thread)) as some:
        next(some)
    assert closed.is_set()


def test_what_fails_in_a_thread_fails_where_it_is_read() -> None:
    def items() -> Generator[int]:
        yield 1
        raise ValueError("two")

    with ThreadPoolExecutor(1) as thread:
        some = ahead(items(), thread)
        assert next(some) == 1
        with pytest.raises(ValueError, match="two"):
            next(some)


def test_threads_compute_on_their_share_of_the_cores() -> None:
    before = torch.get_num_threads()
    with computing(2, cores=1) as threads:
        assert list(threads.map(lambda _: torch.get_num_threads(), range(4))) == [1] * 4
        assert torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == torch.get_num_threads() == before


def test_films_at_once_leave_the_cores_as_they_were() -> None:
    """The second one begins in a new thread, which finds torch as the first one set it, and ends last."""
    before = torch.get_num_threads()
    first, second = computing(1, cores=1), computing(1, cores=1)
    found = []
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        one.submit(lambda: first.__enter__().submit(torch.get_num_threads).result()).result()
        other.submit(lambda: second.__enter__().submit(torch.get_num_threads).result()).result()
        found.append(other.submit(own_cores).result())
        one.submit(first.__exit__, None, None, None).result()
        other.submit(second.__exit__, None, None, None).result()
    with ThreadPoolExecutor(1) as later:
        found.append(later.submit(torch.get_num_threads).result())
    assert [*found, own_cores()] == [before] * 3


def test_what_has_not_begun_is_left() -> None:
    began = threading.Event()
    with computing(1, cores=1) as threads:
        first = threads.submit(lambda: (began.set(), time.sleep(0.2)))
        rest = [threads.submit(int) for _ in range(3)]
        assert began.wait(5)
    assert first.done()
    assert all(each.cancelled() for each in rest)
