"""Plots in the colours of our pages."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUND = {
    **{"figure.facecolor": "#0e0d0f", "savefig.facecolor": "auto"},  # which matplotlib's own dark style makes black
    **{"axes.facecolor": "#17151a", "axes.edgecolor": "#57505c", "font.size": 11},
}
"""As the page."""


def plotted(draw: Callable[[Figure], None], width: float, height: float) -> bytes:
    """What `draw` puts on a figure of so many hundred px, as PNG."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["dark_background", GROUND]):
        figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
