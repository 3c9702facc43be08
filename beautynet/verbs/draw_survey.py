"""What a network sees in ellipses thrown at random: how easy each class is to come by."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from beautynet import backbones, files
from beautynet.console import progress
from beautynet.devices import pick_device
from beautynet.drawing.draughtsman import SIDES, check, networks_of
from beautynet.drawing.ellipses import Style
from beautynet.errors import UsageError
from beautynet.web.plots import plotted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 12
"""Names at each end of the plot."""


@dataclass(frozen=True)
class SurveySummary:
    """What was seen in random drawings: `medians` by class, the highest first."""

    csv: Path
    plot: Path
    images: int
    medians: dict[str, float]

    def sentence(self) -> str:
        """All of it in words."""
        names, values = list(self.medians), list(self.medians.values())
        span = np.log10(values[0] / max(values[-1], 1e-30))
        return (
            f"{self.images:,} random drawings: {', '.join(names[:3])} come easiest, {', '.join(names[-3:])} hardest; "
            f"medians span {span:.1f} orders of magnitude. {self.csv} and {self.plot} have all {len(names)}"
        )


def draw_survey(
    *,
    images: int = 1000,
    ellipses: int = 8,
    colors: int | None = None,
    backbone: str = backbones.DEFAULT,
    model: str | Path | None = None,
    seed: int = 0,
    out: str | Path = "survey",
    device: str = "auto",
) -> SurveySummary:
    """Show a network random drawings; minimum, median and maximum of each class's probability, sorted by median.

    Writes `survey.csv` and `survey.png` to `out`. Raises BeautyError.
    """
    if images < 1:
        raise UsageError(f"{images} drawings will not do: give 1 or more")
    check(ellipses, colors)
    (network,) = networks_of([backbone], model, device)
    style, chosen = Style(ellipses, colors), pick_device(device)
    dice = torch.Generator().manual_seed(seed)
    found = []
    with progress("drawings") as bar, torch.no_grad():
        task = bar.add_task("looking", total=images)
        for start in range(0, images, backbones.BATCH_CPU):
            count = min(backbones.BATCH_CPU, images - start)
            pictures = style.read(style.random(count, dice).to(chosen)).painted(SIDES[1])
            found.append(network.log_probabilities(pictures).double().exp().cpu().numpy())
            bar.advance(task, count)
    seen = np.concatenate(found)
    order = np.argsort(-np.median(seen, 0), kind="stable")
    figures = np.stack([seen.min(0), np.median(seen, 0), seen.max(0)], 1)[order]
    labels = [network.labels[i] for i in order]
    folder = Path(out)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("class", "min", "median", "max"))
    rows.writerows((label, *(f"{value:.6g}" for value in row)) for label, row in zip(labels, figures, strict=True))
    files.write_text(folder / "survey.csv", text.getvalue())
    files.write_bytes(folder / "survey.png", plotted(lambda figure: _draw(figure, labels, figures, images), 12, 6))
    medians = {label: float(row[1]) for label, row in zip(labels, figures, strict=True)}
    return SurveySummary(folder / "survey.csv", folder / "survey.png", images, medians)


def _draw(figure: Figure, labels: Sequence[str], figures: NDArray[np.float64], images: int) -> None:
    axes = figure.subplots()
    ranks = np.arange(len(labels))
    low, median, high = figures.T.clip(1e-12)
    axes.fill_between(ranks, low, high, color="#f0a071", alpha=0.25, linewidth=0, label="min to max")
    axes.plot(ranks, median, color="#f0a071", label="median")
    axes.set(yscale="log", xlabel="class, by median", ylabel="probability", title=f"{images:,} random drawings")
    ends = f"easiest: {', '.join(labels[:SHOWN])}\nhardest: {', '.join(labels[-SHOWN:])}".replace("$", r"\$")
    figure.supxlabel(ends, x=0.01, ha="left", fontsize=7, color="#938b89", wrap=True)
    axes.legend()
