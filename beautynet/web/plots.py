"""Plots in the colours of our pages."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUND = {
    **{"figure.facecolor": "#0e0d0f", "savefig.facecolor": "auto"},  # which matplotlib's own dark style makes black
    **{"axes.facecolor": "#17151a", "axes.edgecolor": "#57505c", "font.size": 11},
}
"""As the page."""
SCRIPTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans Devanagari", "Noto Sans Thai", "Noto Sans Arabic"),
    *("PingFang SC", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Nirmala UI"),
    *("Leelawadee UI", "Arial Unicode MS"),
)
"""Fonts for labels in scripts that matplotlib's own font does not have, where they are installed."""


def plotted(draw: Callable[[Figure], None], width: float, height: float) -> bytes:
    """What `draw` puts on a figure of so many hundred px, as PNG."""
    from matplotlib import font_manager, style
    from matplotlib.figure import Figure

    there = set(font_manager.get_font_names())
    fonts = {"font.family": ["DejaVu Sans", *(font for font in SCRIPTS if font in there)]}
    with style.context(["dark_background", GROUND | fonts]):
        figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
        draw(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def name_points(axes: Axes, places: Mapping[str, tuple[float, float]]) -> None:
    """Write the names of points beside them, once all are drawn: towards the middle, so that none is over the frame."""
    axes.margins(0.12)
    middle = sum(axes.get_xlim()) / 2
    for name, place in places.items():
        before, side = (7, "left") if place[0] <= middle else (-7, "right")
        axes.annotate(name, place, xytext=(before, 5), textcoords="offset points", ha=side)
