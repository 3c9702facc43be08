"""The live panel of a training run: losses, images a second, time left, and what the figures mean in plain words."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from beautynet.config import TrainConfig
from beautynet.console import console, redraws
from beautynet.training import health

SMOOTHING = 0.95
PLAIN_LINE_EVERY = 30.0
"""Seconds between lines where there is no terminal to redraw."""


class TrainPanel:
    """Shows rows of the log. On a terminal it is redrawn in place; elsewhere a line now and then."""

    def __init__(self, folder: Path, config: TrainConfig, photos: int, device: object) -> None:
        self.folder, self.config, self.photos, self.device = folder, config, photos, device
        self.smooth: dict[str, float] = {}
        self.rows = deque[Mapping[str, Any]](maxlen=health.WINDOW)
        self.findings: tuple[health.Finding, ...] = ()
        self.fraction = 0.0
        self.last_save: float | None = None
        self.printed_at = 0.0
        self.live = Live(console=console, refresh_per_second=2, transient=False, get_renderable=self._render)

    def __enter__(self) -> TrainPanel:
        """Start drawing, on a terminal."""
        if redraws(console):
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last figures standing."""
        if self.live.is_started:
            self.live.stop()

    def saved(self) -> None:
        """The state was just saved."""
        self.last_save = time.monotonic()

    def update(self, fraction: float, row: Mapping[str, Any]) -> None:
        """A new row of the log, at `fraction` of the budget."""
        self.fraction = fraction
        for name in ("d", "adversarial", "perceptual", "texture", "scenes", "l1", "real", "fake"):
            self.smooth[name] = SMOOTHING * self.smooth.get(name, row[name]) + (1 - SMOOTHING) * row[name]
        self.rows.append(row)  # now: rich's thread draws whenever it likes
        known = {finding.kind for finding in self.findings}
        self.findings = tuple(health.findings(list(self.rows)))
        if redraws(console):
            return
        for finding in self.findings:
            if finding.kind not in known:
                console.print(str(finding), style="yellow", soft_wrap=True)
        if time.monotonic() - self.printed_at > PLAIN_LINE_EVERY:
            self.printed_at = time.monotonic()
            figures = "  ".join(f"{name} {value:.3f}" for name, value in self.smooth.items())
            console.print(
                f"{fraction:4.0%}  {row['images_per_second']:.1f} images/s  {figures}  {self.health()}", soft_wrap=True
            )

    def health(self) -> str:
        """How the run is, in a word or two."""
        return health.state(list(self.rows))

    def _render(self) -> Panel:
        table = Table.grid(padding=(0, 3))
        if self.rows:
            row = self.rows[-1]
            whole = self.config.minutes * 60 if self.config.steps is None else row["seconds"] / self.fraction
            table.add_row("images", f"{row['images']:,}", "images/s", f"{row['images_per_second']:.1f}")
            table.add_row("L1", f"{self.smooth['l1']:.3f}", "perceptual", f"{self.smooth['perceptual']:.3f}")
            table.add_row("discriminator", f"{self.smooth['d']:.3f}", "generator", f"{self.smooth['adversarial']:.3f}")
            right = f"{self.smooth['real']:.0%} of photos, {self.smooth['fake']:.0%} of paintings"
            table.add_row("it tells", right, "time left", _clock(whole * (1 - self.fraction)))
        ago = "nothing saved yet" if self.last_save is None else f"saved {time.monotonic() - self.last_save:.0f} s ago"
        bar = ProgressBar(total=1.0, completed=self.fraction)
        advice = [Text(str(finding), style="yellow") for finding in self.findings]
        state = self.health() if self.rows else "starting"
        foot = Text(f"{state} · {ago} · Ctrl-C saves and stops", style="dim")
        title = (
            f"{self.folder} · {self.photos} photos · {self.config.condition} · {self.config.size} px · {self.device}"
        )
        return Panel(Group(bar, table, *advice, foot), title=title)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
