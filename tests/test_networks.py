"""The two networks: any size, no knowledge of place, noise only where it belongs."""

import pytest
import torch

from beautynet import networks
from beautynet.backbones import Eyes
from beautynet.config import PRESET_NAMES
from beautynet.networks import PRESETS, Discriminator, Generator, Mixing, depth_for


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


def test_noise_moves_along_with_the_camera() -> None:
    generator = small()
    sky = torch.tensor([0.5, -0.2, 0.1])[:, None, None].expand(3, 3, 64, 96)
    step = generator.multiple
    at_first, still, moved = generator(sky, torch.tensor([[0.0, 0.0], [0.0, 0.0], [step, 2 * step]]))
    assert torch.allclose(at_first, generator(sky)[0], atol=1e-5)
    assert torch.allclose(at_first, still, atol=1e-5)
    inside, there = at_first[:, 8 + 2 * step : -8, 8 + step : -8], moved[:, 8 : -8 - 2 * step, 8 : -8 - step]
    # but for the norm, which sees what came into the frame
    assert (there - inside).abs().mean() < 0.1 * inside.std() < 0.2 * (moved - at_first).abs().mean()


def test_noise_between_two_pixels_is_as_strong() -> None:
    tile = small().up[0].tile
    assert isinstance(tile, torch.Tensor)
    halfway = networks.seen_from(torch.tensor([[0.5, -3.25], [1e5, 7.0]]), tile)
    assert (halfway.std((1, 2, 3)) - tile.std()).abs().max() < 0.02
    back = networks.seen_from(torch.tensor([[-7.0, 5.0]]), networks.seen_from(torch.tensor([[7.0, -5.0]]), tile))
    assert torch.allclose(back, tile, atol=1e-4)


def test_a_picture_does_not_depend_on_its_batch() -> None:
    generator = small()
    conditions = torch.rand(4, 3, 64, 64)
    assert torch.allclose(generator(conditions)[2:3], generator(conditions[2:3]), atol=1e-5)


def test_what_is_compiled_computes_the_same_and_keeps_channels_last(monkeypatch: pytest.MonkeyPatch) -> None:
    wide, colours = (torch.rand(2, channels, 16, 24).to(memory_format=torch.channels_last) for channels in (16, 3))
    works = (
        (wide, networks.enlarge),
        (wide, lambda x: networks.pad(x, 2)),
        (wide, networks.Norm(1)),
        (wide, networks.Norm(8)),
        (colours, small()),
    )
    for x, work in works:
        made = []
        for compiled in (False, True):
            monkeypatch.setattr(networks, "_is_compiled", lambda _, compiled=compiled: compiled)
            given = x.clone().requires_grad_()
            result = work(given)
            (result * torch.linspace(-1, 1, result.numel()).view_as(result)).sum().backward()
            made.append((result, given.grad))
        assert result.is_contiguous(memory_format=torch.channels_last)
        for one, other in zip(*made, strict=True):
            assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)


def test_scales_are_mixed_from_coarse_to_fine() -> None:
    mixing = Mixing((5, 7, 9))
    maps = [torch.randn(2, 5, 36, 36), torch.randn(2, 7, 18, 18), torch.randn(2, 9, 9, 9)]
    mixed = mixing(maps)
    assert [each.shape for each in mixed] == [each.shape for each in maps]
    assert all(0.5 < each.std() < 1.5 for each in mixed)
    for level in range(3):
        changed = mixing([each + (at == level) for at, each in enumerate(maps)])
        assert [not torch.equal(a, b) for a, b in zip(mixed, changed, strict=True)] == [at <= level for at in range(3)]


def test_every_weight_learns() -> None:
    condition = torch.rand(2, 3, 96, 96)
    features = [torch.rand(2, 5, 48, 48), torch.rand(2, 7, 6, 6)]
    outputs = {
        (generator := small().train()): [generator(condition)],
        (discriminator := Discriminator((5, 7))): discriminator(condition, features)[0],
    }
    for network, output in outputs.items():
        sum(each.square().mean() for each in output).backward()
        silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
        assert all(name.startswith("mixing.") for name in silent)


def test_the_discriminator_looks_at_condition_and_features_at_every_scale() -> None:
    discriminator = Discriminator((5, 7)).eval()
    a, b = torch.rand(2, 2, 3, 80, 80)
    seen, other = ([torch.rand(2, 5, 40, 40), torch.rand(2, 7, 5, 5)] for _ in range(2))
    scores, others = discriminator(a, seen, other)
    assert [each.shape[:2] for each in scores] == [(2, 1), (2, 1)]
    for changed in (discriminator(b, seen)[0], others):
        assert not any(torch.allclose(x, y) for x, y in zip(scores, changed, strict=True))


@pytest.mark.parametrize("size", [64, 72, 128])
def test_the_smallest_squares_have_scores_at_every_scale(size: int) -> None:
    picture = torch.rand(1, 3, size, size)
    eyes = Eyes()
    assert all(each.numel() for each in Discriminator(eyes.channels)(picture, eyes(picture))[0])


def test_presets_grow() -> None:
    assert tuple(PRESETS) == PRESET_NAMES
    sizes = [sum(weight.numel() for weight in Generator(width, 3).parameters()) for width in PRESETS.values()]
    assert sizes == sorted(set(sizes))


def test_depth_follows_the_size() -> None:
    depths = [depth_for(size) for size in (64, 128, 256, 512, 1024)]
    assert depths == sorted(depths)
    assert all(
        size % 2**depth == 0 and size // 2**depth >= 2 for size, depth in zip((64, 128, 256), depths[:3], strict=True)
    )
