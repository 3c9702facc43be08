"""What a GPU holds still is what a CPU does; its arithmetic is tried on a CPU, too."""

import cv2
import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image

from beautynet.config import STEADY
from beautynet.film import steady, steady_gpu

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(1, 1), (31, 40), (33, 50), (64, 96), (150, 140)])
def test_it_is_what_a_cpu_does(size: tuple[int, int], device: str) -> None:
    height, width = size
    photo = load_sample_image("china.jpg")[::2, ::2]
    frames = np.stack([photo[20:][:height, 3 * i :][:, :width] for i in range(7)])
    frames[4:, height // 2 :] = 255 - frames[4:, height // 2 :]  # a part that changes
    noise = np.random.default_rng(0).normal(0, 0.1, frames.shape)
    own = (1 - frames / 127.5 + noise).astype(np.float32)
    view = one = other = None
    limit = 2e-3 if int(cv2.__version__.split(".")[0]) > 4 else 2.5e-3
    for part in (slice(0, 1), slice(1, 4), slice(4, 7)):
        motions, _, view = steady.watch(frames[part], view)
        wanted, one = steady.lean(motions, own[part], one, STEADY)
        dreams = torch.from_numpy(own[part]).permute(0, 3, 1, 2).to(device)
        held, other = steady_gpu.lean(motions, dreams, other, STEADY)
        assert held.device == dreams.device
        # the border is blurred otherwise, a GPU may do so with ten bits, some OpenCV look places up by 32nds of a px
        assert np.abs(held.permute(0, 2, 3, 1).cpu().numpy() - wanted).mean() < limit
        assert np.abs(other - one).mean() < limit
        assert part.start == 0 or min(size) < steady.SMALLEST or not np.allclose(wanted, own[part], atol=0.02)
