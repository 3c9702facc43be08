import time
from collections import Counter
from collections.abc import Iterator

import pytest

from beautynet.errors import BeautyError
from beautynet.sources import Candidate
from beautynet.sources.supply import AHEAD, Stream, Supply


def stream(name: str, count: int, stage: int = 0, error: BaseException | None = None) -> Stream:
    def begin() -> Iterator[Candidate]:
        for number in range(count):
            given.append(f"{name}{number}")
            yield Candidate(f"https://{name}.example/{number}", name, "roses")
        if error:
            raise error

    given: list[str] = []
    made = Stream(name, "roses", (stage, 0), begin)
    made.given = given  # type: ignore[attr-defined]
    return made


def supply(*streams: Stream, at_once: int = 100) -> Supply:
    return Supply(streams, lambda _: at_once, lambda: None)


def drain(made: Supply, most: int = 10_000) -> list[str]:
    """The sources of the candidates in order; waits for streams."""
    found: list[str] = []
    deadline = time.monotonic() + 10
    while len(found) < most and not made.dry and time.monotonic() < deadline:
        if candidate := made.take(Counter()):
            found.append(candidate.source)
        else:
            time.sleep(0.001)
    return found


def test_streams_of_a_stage_take_turns_and_stages_follow_each_other() -> None:
    made = supply(stream("late", 40, stage=1), stream("a", 50), stream("b", 50))
    found = drain(made)
    assert Counter(found) == {"a": 50, "b": 50, "late": 40}
    assert found[100:] == ["late"] * 40
    assert 20 <= Counter(found[:60])["a"] <= 40


def test_a_source_is_asked_for_little_more_than_is_taken() -> None:
    one, later = stream("one", 1000), stream("later", 5, stage=1)
    made = supply(one, later)
    assert len(drain(made, 30)) == 30
    time.sleep(0.05)
    assert len(one.given) <= 30 + AHEAD + 1  # type: ignore[attr-defined]
    assert later.thread is None
    made.stop()
    assert one.thread
    assert not one.thread.is_alive()


def test_a_busy_host_is_passed_over() -> None:
    made = supply(stream("busy", 500), stream("free", 100), at_once=1)
    found = []
    deadline = time.monotonic() + 10
    while len(found) < 100 and time.monotonic() < deadline:
        if candidate := made.take(Counter({"busy.example": 1})):
            found.append(candidate.source)
    assert found == ["free"] * 100
    made.stop()


def test_trouble_is_kept_and_mistakes_are_raised() -> None:
    broken = stream("broken", 3, error=BeautyError("HTTP 503"))
    assert Counter(drain(supply(broken, stream("whole", 5)))) == {"broken": 3, "whole": 5}
    assert broken.trouble == "HTTP 503"
    with pytest.raises(ZeroDivisionError):
        drain(supply(stream("wrong", 3, error=ZeroDivisionError())))
