"""What the two networks minimise."""

from collections.abc import Callable

import pytest
import torch

from beautynet.training.losses import discriminator_hinge, generator_hinge, perceptual, restraint, texture


def test_discriminator_is_paid_for_being_right_and_no_more() -> None:
    right, wrong, unsure = torch.full((4,), 1.0), torch.full((4,), -1.0), torch.zeros(4)
    assert discriminator_hinge([right], [wrong]) == 0
    assert discriminator_hinge([10 * right], [10 * wrong]) == 0
    assert discriminator_hinge([unsure], [unsure]) == 2
    assert discriminator_hinge([wrong], [right]) == 4


def test_every_scale_counts_the_same() -> None:
    large, small = torch.full((1, 1, 30, 30), -1.0), torch.ones(1, 1, 3, 3)
    assert discriminator_hinge([large, small], [-large, -small]) == 2
    assert generator_hinge([large, small]) == 0


def test_generator_climbs_the_score() -> None:
    score = torch.tensor([0.5, -3.0], requires_grad=True)
    generator_hinge([score]).backward()
    assert (score.grad < 0).all()


def test_perceptual_pulls_the_painting_only() -> None:
    real = [torch.rand(2, 4, 8, 8, requires_grad=True), torch.rand(2, 8, 4, 4, requires_grad=True)]
    fake = [(r.detach() + offset).requires_grad_() for r, offset in zip(real, (1.0, 3.0), strict=True)]
    loss = perceptual(real, fake)
    assert loss.item() == pytest.approx(2)
    loss.backward()
    assert all(r.grad is None for r in real)
    assert all((f.grad > 0).all() for f in fake)
    assert perceptual(real, real) == 0


def test_texture_may_be_anywhere_but_has_to_be_as_strong() -> None:
    real = [torch.randn(2, 4, 16, 16), torch.randn(2, 8, 8, 8)]
    assert texture(real, [maps.flip(3).roll(5, 2) for maps in real]) < 1e-6
    weak = [(maps / 2).requires_grad_() for maps in real]
    loss = texture(real, weak)
    assert 0.4 < loss < 0.7  # half of a deviation of one, and next to nothing of the mean
    loss.backward()
    assert all(((maps.grad * maps).sum((2, 3)) < 0).all() for maps in weak)  # stronger, everywhere
    flat = torch.zeros(1, 4, 8, 8, requires_grad=True)
    texture([torch.randn(1, 4, 8, 8)], [flat]).backward()
    assert flat.grad.isfinite().all()


def test_restraint_asks_for_less_grain_never_for_more() -> None:
    paintings = [torch.randn(3, 4, 16, 16), torch.randn(3, 8, 8, 8), torch.randn(3, 8, 4, 4)]
    assert restraint(paintings, [maps[:1] / 2 for maps in paintings]) == 0
    assert restraint(paintings, [*(maps[:1] / 2 for maps in paintings[:2]), 9 * paintings[2]]) == 0, "grain is fine"
    speckled = [(3 * maps[:1]).requires_grad_() for maps in paintings]
    loss = restraint(paintings, speckled)
    assert 1.5 < loss < 2.5
    loss.backward()
    assert all(((maps.grad * maps).sum((2, 3)) > 0).all() for maps in speckled[:2])
    assert restraint([maps[:1] for maps in paintings], [maps[:1] for maps in paintings]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", [discriminator_hinge, perceptual, texture, restraint])
def test_losses_want_all_scales(loss: Callable[..., torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="zip"):
        loss([torch.zeros(1, 1, 2, 2)] * 2, [torch.zeros(1, 1, 2, 2)])
