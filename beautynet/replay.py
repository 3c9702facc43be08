"""Work on a GPU, recorded once and replayed (CUDA graphs).

A training step is some two thousand small pieces, and a processor hands them over one by one, more slowly than a GPU
does them. A recording hands them over in one go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")
WARM_UP = 3
"""Calls before the recording: what is chosen or compiled at first must not be a part of it."""


class Replay(Generic[T]):
    """A function of tensors, which are of one shape most of the time.

    The function may change what it likes on the device, but must not look at it (no `item`). What it returns is
    overwritten by the next call. Random numbers are new each time, and follow `torch.manual_seed`.
    """

    def __init__(self, work: Callable[..., T], device: torch.device) -> None:
        self.work = work
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.forget()

    def forget(self) -> None:
        """Begin anew, and let go of the memory: what the function works with is other now."""
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: tuple[Tensor, ...] = ()
        self.made: T | None = None
        self.recordable = True

    def __call__(self, *given: Tensor) -> T:
        """What the function makes of these tensors."""
        if self.graph and any(new.shape != old.shape for new, old in zip(given, self.inputs, strict=True)):
            self.forget()
        self.calls += 1
        if self.calls > WARM_UP and self.graph is None and self.recordable:
            self._record(given)
        if self.graph is None:
            # on the recording's stream: what autograd remembers of streams must be the same then
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                made = self.work(*given)
            torch.cuda.current_stream().wait_stream(self.stream)
            return made
        for old, new in zip(self.inputs, given, strict=True):
            old.copy_(new)
        self.graph.replay()
        assert self.made is not None
        return self.made

    def _record(self, given: tuple[Tensor, ...]) -> None:
        """Nothing is computed here yet."""
        now = torch.cuda.current_stream()
        self.inputs = tuple(each.clone() for each in given)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                self.made = self.work(*self.inputs)
        except RuntimeError:  # a recording has memory of its own, and there may be too little: go on as it began
            torch.cuda.set_stream(now)
            self.inputs, self.made, self.recordable = (), None, False
        else:
            self.graph = graph
