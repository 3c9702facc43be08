"""What the terminal shows: progress bars with rate and time left, on stderr so that stdout stays for results."""

from __future__ import annotations

import os
import signal
import threading
import unicodedata
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.text import Text


class _Console(Console):
    """Which names of strangers do not command."""

    def print(self, *objects: Any, **how: Any) -> None:
        """As rich's."""
        super().print(*(printable(each) if isinstance(each, str) else each for each in objects), **how)

    def _check_buffer(self) -> None:
        """Where all of rich writes. A log on a full disk, a terminal that was closed: work goes on."""
        with suppress(OSError):
            super()._check_buffer()

    def on_broken_pipe(self) -> None:
        """Nobody listens any more."""
        self.quiet = True


console = _Console(stderr=True, highlight=False, markup=False)


def printable(text: str) -> str:
    """A text for a terminal, which names, headers and manifests of strangers may want to command."""
    return "".join("\ufffd" if is_command(each) and each not in "\n\t" else each for each in text)


def is_command(character: str) -> bool:
    """Whether it is no part of a text: half a character, or an order to a terminal or to turn around what follows."""
    turns = unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    return turns or unicodedata.category(character) in ("Cc", "Cs")


NOTEBOOKS = ("COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE", "JPY_PARENT_PID")
"""In these, what `!beautynet …` writes has a terminal by its own account, but every redrawing is a new line."""


def redraws(where: Console) -> bool:
    """Whether what was shown there can be shown anew, as on a terminal, and in a notebook that has widgets."""
    return (where.is_terminal and not any(name in os.environ for name in NOTEBOOKS)) or (
        where.is_jupyter and find_spec("ipywidgets") is not None
    )


def status(text: str) -> AbstractContextManager[object]:
    """What is being done, where no progress can be shown. Quiet when piped."""
    return console.status(text) if redraws(console) else nullcontext()


class Rate(ProgressColumn):
    """Things per second, once there is something to divide."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """The rate since the start of this run."""
        return Text(f"{task.speed:.1f} {self.unit}/s" if task.speed else "", style="cyan")


def progress(unit: str) -> Progress:
    """A progress bar: `with progress("frames") as bar: task = bar.add_task("dreaming", total=n)`. Quiet when piped."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        Rate(unit),
        TimeLeft(compact=True, elapsed_when_finished=True),
        console=console,
        disable=not redraws(console),
    )


class Stop:
    """Catch Ctrl-C and SIGTERM: note the first, so that the run can save; a second one goes through."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        """Listen, from the main thread; others get no signals."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not None:  # else it is what the program around us listens for
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        """As it was before."""
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: object) -> None:
        self.signal = number
        console.print("stopping: saving first (again to quit at once)", style="yellow")
        self._restore()
