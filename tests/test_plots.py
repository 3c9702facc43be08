"""Plots are pictures of the size that was asked for, on our ground."""

import io

import numpy as np
from PIL import Image

from beautynet.web.plots import GROUND, plotted


def test_a_plot_is_a_picture_on_our_ground() -> None:
    picture = Image.open(io.BytesIO(plotted(lambda figure: figure.subplots().plot([0, 1], [0, 1]), 4, 3)))
    assert picture.size == (400, 300)
    assert "#{:02x}{:02x}{:02x}".format(*np.asarray(picture.convert("RGB"))[0, 0]) == GROUND["figure.facecolor"]
