"""The two networks: any size, no knowledge of place, noise only where it belongs."""

import pytest
import torch
import torch.nn.functional as F

from beautynet import networks
from beautynet.config import PRESET_NAMES
from beautynet.networks import PRESETS, Discriminator, Generator, depth_for, halvings_for


def small(depth: int = 3) -> Generator:
    torch.manual_seed(0)
    return Generator(8, depth).eval()


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_any_multiple_of_the_smallest_size(depth: int) -> None:
    generator = small(depth)
    for rows, columns in ((1, 1), (1, 5), (3, 2)):
        condition = torch.rand(2, 3, rows * generator.multiple, columns * generator.multiple) * 2 - 1
        painted = generator(condition)
        assert painted.shape == condition.shape
        assert painted.abs().max() <= 1


def without_noise(generator: Generator) -> Generator:
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("strength"):
                parameter.zero_()
    return generator


def test_it_does_not_know_where_in_the_frame_it_is() -> None:
    condition = torch.tensor([0.5, -0.2, 0.1])[:, None, None].expand(1, 3, 64, 96)
    generator = small()
    assert generator(condition).flatten(2).std(2).max() > 1e-3, "noise gives a flat condition texture"
    assert without_noise(generator)(condition).flatten(2).std(2).max() < 1e-5


def test_what_moves_by_its_multiple_is_painted_the_same() -> None:
    generator = without_noise(small())
    torch.manual_seed(1)
    inside = torch.rand(1, 3, 32, 32)
    step = generator.multiple
    pictures = []
    for shift in (0, step):
        condition = torch.zeros(1, 3, 256, 256)
        condition[:, :, 112 : 112 + 32, 112 + shift : 112 + shift + 32] = inside
        pictures.append(generator(condition)[:, :, 112:144, 112 + shift : 112 + shift + 32])
    assert torch.allclose(*pictures, atol=1e-4)


def test_noise_is_fresh_in_training_and_fixed_afterwards() -> None:
    generator = small()
    condition = torch.rand(1, 3, 64, 64)
    assert torch.equal(generator(condition), generator(condition))
    generator.train()
    assert not torch.equal(generator(condition), generator(condition))


def test_a_picture_does_not_depend_on_its_batch() -> None:
    generator = small()
    conditions = torch.rand(4, 3, 64, 64)
    assert torch.allclose(generator(conditions)[2:3], generator(conditions[2:3]), atol=1e-5)


def test_every_weight_learns() -> None:
    for network, inputs in ((small().train(), 1), (Discriminator(8), 2)):
        output = network(*(torch.rand(1, 3, 96, 96) for _ in range(inputs)))
        (output[0] if inputs == 2 else output).square().mean().backward()
        silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
        assert not silent


@pytest.mark.parametrize(("size", "patch"), [(64, 34), (128, 34), (256, 70), (512, 70)])
def test_the_size_of_a_patch(size: int, patch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "instance_norm", lambda x: x)  # its mean and variance are of the whole picture
    torch.manual_seed(0)
    discriminator = Discriminator(8, halvings_for(size))
    picture = torch.rand(1, 3, 142, 142, requires_grad=True)
    scores, _ = discriminator(torch.zeros_like(picture), picture)
    row, column = (side // 2 for side in scores.shape[2:])
    scores[0, 0, row, column].backward()
    assert picture.grad is not None
    seen = picture.grad[0].abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (patch, patch)


def test_the_discriminator_looks_at_condition_and_picture() -> None:
    discriminator = Discriminator(8)
    a, b = torch.rand(2, 2, 3, 80, 80)
    scores, features = discriminator(a, b)
    assert scores.shape[:2] == (2, 1)
    assert len(features) == len(discriminator.layers)
    assert not torch.allclose(scores, discriminator(b, b)[0])
    assert not torch.allclose(scores, discriminator(a, a)[0])


def test_presets_grow() -> None:
    assert tuple(PRESETS) == PRESET_NAMES
    for network in (lambda p: Generator(p.width, 3), lambda p: Discriminator(p.critic_width)):
        sizes = [sum(weight.numel() for weight in network(preset).parameters()) for preset in PRESETS.values()]
        assert sizes == sorted(set(sizes))


def test_depth_follows_the_size() -> None:
    depths = [depth_for(size) for size in (64, 128, 256, 512, 1024)]
    assert depths == sorted(depths)
    assert all(
        size % 2**depth == 0 and size // 2**depth >= 2 for size, depth in zip((64, 128, 256), depths[:3], strict=True)
    )


def test_instance_norm_is_torchs() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 5, 9, 7).to(memory_format=torch.channels_last).requires_grad_()
    grown = torch.randn(3, 5, 9, 7)
    ours, theirs = networks.instance_norm(x), F.instance_norm(x)
    assert torch.allclose(ours, theirs, atol=1e-5)
    gradients = [torch.autograd.grad(each, x, grown)[0] for each in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-5)
