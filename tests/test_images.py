"""Ranges and layouts."""

import numpy as np
import pytest
import torch

from beautynet import images


def test_there_and_back() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    batch = images.to_tensor(pictures)
    assert batch.shape == (2, 3, 5, 7)
    assert batch.dtype == torch.float32
    assert batch.min() >= -1
    assert batch.max() <= 1
    assert (images.to_uint8(batch) == pictures).all()
    assert torch.equal(images.to_tensor(pictures[0]), batch[:1])


def test_what_is_out_of_range_is_clipped() -> None:
    assert images.to_uint8(torch.tensor([-9.0, -1, 1, 9]).reshape(1, 1, 1, 4)).ravel().tolist() == [0, 0, 255, 255]


def test_resize_keeps_range_and_mean() -> None:
    batch = torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0)).round() * 2 - 1
    for size in ((31, 17), (128, 96), (64, 48)):
        resized = images.resize(batch, *size)
        assert resized.shape[2:] == size
        assert resized.abs().max() <= 1
        assert resized.mean() == pytest.approx(batch.mean().item(), abs=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_makes_a_large_picture_as_small_as_it_has_to_be() -> None:
    batch = torch.rand(1, 3, 64 * 60, 64 * 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.allclose(images.resize(batch.cuda(), 64, 64).cpu(), images.resize(batch, 64, 64), atol=1e-4)


@pytest.mark.parametrize("size", [(180, 100), (250, 100), (180, 1600), (400, 1600), (400, 1800)])
def test_what_gets_smaller_is_averaged_whatever_the_other_side_does(size: tuple[int, int]) -> None:
    lines = np.full((1, 180, 1600, 3), 255, np.uint8)
    lines[:, :, ::2] = 0
    resized = images.resize_uint8(lines, *size)
    assert resized.shape == (1, *size, 3)
    assert (resized.std() < 3) == (size[1] < 1600)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((480, 640), (256, 341)),
        ((640, 480), (341, 256)),
        ((1, 3), (256, 768)),
        ((10, 10_000), (8, images.LONGEST_SIDE)),
        ((20_000, 1), (images.LONGEST_SIDE, 1)),
    ],
)
def test_scaled_to(given: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert images.scaled_to(*given, 256) == wanted


def test_padding_repeats_the_edge() -> None:
    batch = torch.arange(30.0).reshape(1, 1, 5, 6)
    padded = images.pad_to_multiple(batch, 4)
    assert padded.shape == (1, 1, 8, 8)
    assert torch.equal(padded[:, :, :5, :6], batch)
    assert (padded[..., 5:] == padded[..., 5:6]).all()
    assert (padded[:, :, 4:] == padded[:, :, 4:5]).all()
    assert images.pad_to_multiple(padded, 4).shape == padded.shape


def test_grid_is_row_by_row() -> None:
    pictures = [np.full((2, 3, 3), value, np.uint8) for value in (50, 100, 150)]
    sheet = images.grid(pictures, 2, gap=1)
    assert sheet.shape == (2 * (2 + 1) + 1, 2 * (3 + 1) + 1, 3)
    assert [int(sheet[1, 1, 0]), int(sheet[1, 5, 0]), int(sheet[4, 1, 0])] == [50, 100, 150]
    assert sheet.dtype == np.uint8
