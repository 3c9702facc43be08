"""Candidates from several sources at once: each runs a little ahead of its use, in a thread of its own."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from beautynet.errors import BeautyError
from beautynet.sources.fetch import host_of
from beautynet.sources.search import Candidate

AHEAD = 20
"""Candidates that wait in a stream; its source is asked for no more until some are taken."""
HELD = 50
"""Candidates of a stream set aside because their hosts are busy."""


@dataclass
class Stream:
    """A source that is asked one thing. Streams of a lower `stage` are used up before others begin."""

    source: str
    query: str
    stage: tuple[int, int]
    begin: Callable[[], Iterator[Candidate]]
    trouble: str | None = None
    """Why it broke off, if it did."""
    failure: BaseException | None = None
    thread: threading.Thread | None = None
    finished: bool = False
    waiting: deque[Candidate] = field(default_factory=deque)
    room: threading.Event = field(default_factory=threading.Event)
    """Set when half of those that may wait are taken: a thread that wakes for each would be busy waking."""
    held: deque[Candidate] = field(default_factory=deque)

    @property
    def dry(self) -> bool:
        """Whether nothing more will come."""
        return self.finished and not self.held and not self.waiting


class Supply:
    """Hands candidates out: from the streams of a stage in turn, and only such whose host has room."""

    def __init__(self, streams: Sequence[Stream], at_once: Callable[[str], int], wake: Callable[[], None]) -> None:
        """`at_once`: how many requests the host of a URL takes; `wake` is called when there may be something new."""
        self.streams = sorted(streams, key=lambda stream: stream.stage)
        self._at_once = at_once
        self._wake = wake
        self._stopping = threading.Event()
        self._turn = 0

    def take(self, busy: Counter[str]) -> Candidate | None:
        """A candidate whose host has room beside its `busy` requests; None where there is none at the moment."""
        left = [stream for stream in self.streams if not stream.dry]
        stage = [stream for stream in left if stream.stage == left[0].stage]
        for stream in stage:
            if stream.thread is None:
                stream.thread = threading.Thread(target=self._run, args=(stream,), daemon=True)
                stream.thread.start()
        for _ in stage:
            self._turn += 1
            if candidate := self._from(stage[self._turn % len(stage)], busy):
                return candidate
        return None

    @property
    def dry(self) -> bool:
        """Whether no candidate is left anywhere, and none will come. Raises what a source did not expect."""
        for stream in self.streams:
            if stream.failure:
                raise stream.failure
        return all(stream.dry for stream in self.streams)

    def stop(self) -> None:
        """End all streams; requests in flight have to be ended before, by whoever lent the sources their web."""
        self._stopping.set()
        for stream in self.streams:
            if stream.thread:
                stream.thread.join()

    def _from(self, stream: Stream, busy: Counter[str]) -> Candidate | None:
        for candidate in stream.held:
            if self._has_room(candidate, busy):
                stream.held.remove(candidate)
                return candidate
        while stream.waiting and len(stream.held) < HELD:
            candidate = stream.waiting.popleft()
            if len(stream.waiting) == AHEAD // 2:
                stream.room.set()
            if self._has_room(candidate, busy):
                return candidate
            stream.held.append(candidate)
        return None

    def _has_room(self, candidate: Candidate, busy: Counter[str]) -> bool:
        return candidate.path is not None or busy[host_of(candidate.url)] < self._at_once(candidate.url)

    def _run(self, stream: Stream) -> None:
        """Fill a stream, in its thread."""
        try:
            candidates = stream.begin()
            try:
                while not self._stopping.is_set() and (candidate := next(candidates, None)):
                    self._offer(stream, candidate)
            finally:
                if hasattr(candidates, "close"):
                    candidates.close()
        except BeautyError as error:
            stream.trouble = str(error)
        except BaseException as error:  # our mistake: raised where the run is
            stream.failure = error
        finally:
            stream.finished = True
            self._wake()

    def _offer(self, stream: Stream, candidate: Candidate) -> None:
        while len(stream.waiting) >= AHEAD and not self._stopping.is_set():
            stream.room.clear()
            if len(stream.waiting) > AHEAD // 2:  # not taken meanwhile
                stream.room.wait(0.1)
        stream.waiting.append(candidate)
        if len(stream.waiting) == 1:  # whoever takes one looks for another
            self._wake()
