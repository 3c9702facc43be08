"""Colours and smoothing are OpenCV's."""

import math

import cv2
import pytest
import torch
from torch import Tensor

from beautynet.colour import _kept, lab_to_rgb, rgb_to_lab, smooth


def test_lab_is_opencvs() -> None:
    rgb = torch.rand(1, 3, 100, 100, generator=torch.Generator().manual_seed(0))
    rgb[..., :2, :] = torch.tensor([0.0, 1.0])[:, None]
    wanted = cv2.cvtColor(rgb[0].permute(1, 2, 0).contiguous().numpy(), cv2.COLOR_RGB2Lab)
    ours = rgb_to_lab(rgb * 2 - 1)
    assert (ours[0].permute(1, 2, 0) - torch.from_numpy(wanted)).abs().max() < 0.5
    assert torch.allclose(lab_to_rgb(ours), rgb * 2 - 1, atol=1e-3)


@pytest.mark.parametrize("sigma", [0.7, 2.9, 8.0])
def test_smooth_is_opencvs_gaussian(sigma: float, crops: Tensor) -> None:
    margin = math.ceil(4 * sigma)
    kernel = 2 * margin + 1
    wanted = cv2.GaussianBlur(crops[0].permute(1, 2, 0).contiguous().numpy(), (kernel, kernel), sigma)
    inner = slice(margin, -margin)
    difference = smooth(crops[:1], sigma)[0].permute(1, 2, 0)[inner, inner] - torch.from_numpy(wanted)[inner, inner]
    assert difference.abs().max() < 1e-3
    assert torch.allclose(smooth(torch.full((1, 3, 9, 50), 0.3), sigma), torch.tensor(0.3)), "the border darkens"


def test_what_recordings_point_to_stays_where_it_is() -> None:
    cpu = torch.device("cpu")
    kept = _kept((0.25, 0.5), cpu, torch.float32)
    for number in range(200):
        _kept((float(number),), cpu, torch.float32)
    assert _kept((0.25, 0.5), cpu, torch.float32) is kept
