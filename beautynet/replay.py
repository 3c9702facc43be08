"""Work on a GPU, recorded once and replayed (CUDA graphs).

A training step is some two thousand small pieces, and a processor hands them over one by one, more slowly than a GPU
does them. A recording hands them over in one go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

from beautynet.console import console

T = TypeVar("T")
WARM_UP = 3
"""Calls before the recording: what is chosen or compiled at first must not be a part of it."""


class Replay(Generic[T]):
    """A function of tensors, which are of one shape most of the time.

    The function may change what it likes on the device, but must not look at it (no `item`), nor fetch anything for it
    from the processor. What it returns is overwritten by the next call. Random numbers are new each time, and follow
    `torch.manual_seed`.
    """

    def __init__(self, work: Callable[..., T], device: torch.device) -> None:
        self.work, self.device = work, device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.forget()

    def forget(self) -> None:
        """Begin anew, and let go of the memory: what the function works with is other now."""
        self.shapes: list[torch.Size] = []
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: tuple[Tensor, ...] = ()
        self.made: T | None = None
        self.recordable = True

    def __call__(self, *given: Tensor) -> T:
        """What the function makes of these tensors."""
        shapes = [each.shape for each in given]
        if self.graph is None or shapes != [each.shape for each in self.inputs]:
            self.calls = self.calls + 1 if shapes == self.shapes else 1
            self.shapes = shapes
            if self.calls <= WARM_UP or not self.recordable or not self._record(given):
                return self._called(given)
        for old, new in zip(self.inputs, given, strict=True):
            old.copy_(new)
        assert self.graph is not None
        self.graph.replay()
        assert self.made is not None
        return self.made

    def _called(self, given: tuple[Tensor, ...]) -> T:
        # on the recording's stream: what autograd remembers of streams must be the same then
        self.stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self.stream):
            made = self.work(*given)
        torch.cuda.current_stream(self.device).wait_stream(self.stream)
        return made

    def _record(self, given: tuple[Tensor, ...]) -> bool:
        """Record the work on tensors of these shapes, instead of others. Nothing is computed here yet."""
        now = torch.cuda.current_stream(self.device)
        self.graph = self.made = None
        self.inputs = tuple(each.clone() for each in given)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.device):  # a recording waits for the current GPU, which may be another one
            try:
                with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                    self.made = self.work(*self.inputs)
            except RuntimeError as error:  # a recording has memory of its own, and there may be too little
                torch.cuda.set_stream(now)
                reason = str(error).partition("\n")[0]
                console.print(f"going on without a recording, which takes longer ({reason})", style="yellow")
                self.inputs, self.made, self.recordable = (), None, False
                return False
        self.graph = graph
        return True
