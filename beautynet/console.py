"""What the terminal shows: progress bars with rate and time left, on stderr so that stdout stays for results."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.text import Text

console = Console(stderr=True, highlight=False)


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
        disable=not console.is_terminal,
    )
