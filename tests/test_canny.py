"""Edges are OpenCV's."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from beautynet.canny import gradient_ridges, hysteresis, otsu
from beautynet.colour import luma


def f1(ours: np.ndarray, theirs: np.ndarray) -> float:
    """F1 of two maps of edges, where an edge counts as found within 1 px."""
    near_ours, near_theirs = (cv2.dilate(a.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for a in (ours, theirs))
    precision, recall = near_theirs[ours].mean(), near_ours[theirs].mean()
    return float(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize(("low", "high"), [(60.0, 150.0), (100.0, 300.0)])
def test_edges_are_opencvs(low: float, high: float, flowers: Callable[[int], list[Tensor]]) -> None:
    scores = []
    for photo in flowers(20):
        grey = ((luma(photo) + 1) * 127.5).round()
        magnitude, ridges = gradient_ridges(grey)
        lines = hysteresis((magnitude > high) & ridges, (magnitude > low) & ridges)
        theirs = cv2.Canny(grey[0, 0].numpy().astype(np.uint8), low, high, L2gradient=True)
        scores.append(f1(lines[0, 0].numpy(), theirs > 0))
    assert np.mean(scores) > 0.95


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("light", [0.0, 255.0])
def test_a_step_is_one_line(light: float, down: bool) -> None:
    """Of one pixel, though the gradient is as steep on both sides of it; to F1, lines of three are as good."""
    step = torch.full((1, 1, 8, 8), light)
    step[..., 4:] = 255 - light
    magnitude, ridges = gradient_ridges(step.mT if down else step)
    lines = ridges.mT if down else ridges
    assert (magnitude > 1).sum() == 16
    assert lines.any(2).sum() == 1
    assert lines.sum() == 8


def test_the_automatic_threshold_is_opencvs(crops: Tensor) -> None:
    levels = ((luma(crops) + 1) * 127.5).round()
    for grey in levels.split(1):
        found, _ = cv2.threshold(grey[0, 0].numpy().astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
        assert abs(otsu(grey).item() - found) < 2


def test_a_weak_edge_is_kept_where_a_strong_one_is_near() -> None:
    weak = torch.zeros(1, 1, 5, 40, dtype=torch.bool)
    weak[..., 1, :20] = weak[..., 3, :20] = True
    strong = weak & (torch.arange(40) == 0) & (torch.arange(5) == 1)[:, None]
    assert torch.equal(hysteresis(strong, weak), weak & (torch.arange(5) == 1)[:, None])
