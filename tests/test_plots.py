"""Plots are pictures of the size that was asked for, on our ground, and what is written in them stays within them."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import ablate
import abstraction
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from beautynet.web import plots
from beautynet.web.plots import GROUND, name_points, plotted


def test_a_plot_is_a_picture_on_our_ground() -> None:
    picture = Image.open(io.BytesIO(plotted(lambda figure: figure.subplots().plot([0, 1], [0, 1]), 4, 3)))
    assert picture.size == (400, 300)
    assert "#{:02x}{:02x}{:02x}".format(*np.asarray(picture.convert("RGB"))[0, 0]) == GROUND["figure.facecolor"]


def drawn(draw: Callable[[Figure], None]) -> Figure:
    figure = Figure(figsize=(7, 4.5), dpi=100, layout="constrained")
    draw(figure)
    FigureCanvasAgg(figure).draw()
    return figure


def written(figure: Figure) -> list[str]:
    """The names in its panels, all of which are within their frames."""
    for axes in figure.axes:
        frame = axes.get_window_extent()
        for text in axes.texts:
            box = text.get_window_extent()
            assert frame.x0 <= box.x0 < box.x1 <= frame.x1, text
            assert frame.y0 <= box.y0 < box.y1 <= frame.y1, text
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_names_of_points_stay_within_the_frame() -> None:
    places = {"the first of them": (0.0, 1.0), "the last of them": (1.0, 1.0), "one below": (1.0, 0.0), "x": (0.5, 0.5)}

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(*zip(*places.values(), strict=True), "o")
        name_points(axes, places)

    assert written(drawn(draw)) == [*places]
    found = {0.3: (0.84, 1.11), 0.6: (0.79, 0.77), 0.9: (0.66, 0.93)}
    figures = {each: {"everyday_edges": edges, "dream": dream} for each, (edges, dream) in found.items()}
    assert written(drawn(lambda figure: abstraction._draw(figure, figures))) == ["0.3", "0.6", "0.9"]


def test_the_presets_on_one_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for preset, images, kid in (("S", 2000, 28.0), ("M", 900, 25.0), ("L", 400, 40.0)):
        folder = tmp_path / "reports" / f"preset={preset},128,5,0"
        folder.mkdir(parents=True)
        figures = {"photos": [{"name": "kid", "values": {"output": kid}}]}
        report = {"progress": {"images": images, "seconds": 100}, "figures": figures}
        (folder / "report.json").write_text(json.dumps(report))
    found: list[Figure] = []

    def kept(draw: Callable[[Figure], None], width: float, height: float) -> bytes:
        found.append(drawn(draw))
        return plotted(draw, width, height)

    monkeypatch.setattr(plots, "plotted", kept)
    asked = [str(tmp_path), "preset=S", "preset=M", "preset=L", f"--out={tmp_path}", f"--plot={tmp_path / 'plot.png'}"]
    monkeypatch.setattr(sys, "argv", ["ablate.py", *asked])
    ablate.main()
    assert Image.open(tmp_path / "plot.png").size == (700, 450)
    assert written(found[0]) == ["preset=S", "preset=M", "preset=L"]
    (axes,) = found[0].axes  # there was no dream
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("images per second", "kid")
    assert axes.lines[0].get_xydata().tolist() == [[20, 28]]
    monkeypatch.setattr(sys, "argv", ["ablate.py", *asked, "--axes=images,swd"])
    with pytest.raises(SystemExit, match="do not have images and swd"):
        ablate.main()
