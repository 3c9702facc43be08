"""Every figure against known answers: the same again is perfect, noise, blur and a wrong pairing are worse."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from beautynet import backbones, images, metrics
from beautynet.colour import smooth
from beautynet.conditions import Condition

SMALL = 96


@pytest.fixture(scope="module")
def eyes() -> backbones.Backbone:
    return backbones.load()


@pytest.fixture(scope="module")
def photos(crops: Tensor) -> Tensor:
    """48 pieces of the two photos, (48, 3, 96, 96)."""
    pieces = [crops[..., top : top + SMALL, left : left + SMALL] for top in (0, 96) for left in (0, 96)]
    return torch.cat(pieces)


def noisy(pictures: Tensor, strength: float = 0.3) -> Tensor:
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    return (pictures + strength * noise).clamp(-1, 1)


def drawn(count: int, seed: int, shift: float = 0.0) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)) + shift


# --- sets -----------------------------------------------------------------------------------------------------------


def test_kid_is_unbiased() -> None:
    small, large = ([metrics.kid(drawn(n, s), drawn(2 * n, 99 + s))[0].item() for s in range(40)] for n in (10, 80))
    for values in (small, large):
        assert abs(np.mean(values)) < 3 * np.std(values) / len(values) ** 0.5
    assert min(small) < 0 < max(small)


def test_kid_of_a_set_and_itself_is_about_nothing() -> None:
    one = drawn(60, 0)
    assert metrics.kid(one, one)[0] <= 0
    assert abs(metrics.kid(one, one)[0]) < metrics.kid(one, one + 0.5)[0]


def test_kid_is_that_of_torchmetrics() -> None:
    kid = pytest.importorskip("torchmetrics.image.kid", reason="needs pip install '.[dev]'")
    a, b = drawn(50, 1), drawn(50, 2, 0.3)
    assert metrics.kid(a, b)[0].item() == pytest.approx(kid.poly_mmd(a.double(), b.double()).item(), rel=1e-9)


def test_the_interval_holds_the_truth() -> None:
    truth = metrics.kid(drawn(2000, 1), drawn(2000, 2, 0.4))[0].item()
    within = 0
    for seed in range(30):
        found = metrics.estimate(metrics.kid(drawn(50, 2 * seed + 10), drawn(60, 2 * seed + 11, 0.4)))
        assert found.low < found.value < found.high
        within += found.low < truth < found.high
    assert within >= 25


def test_kid_ranks_damage(eyes: backbones.Backbone, photos: Tensor) -> None:
    some, others = photos[::2], eyes.features(photos[1::2])

    def score(pictures: Tensor) -> float:
        return metrics.kid(eyes.features(pictures), others)[0].item()

    clean = score(some)
    assert clean < score(smooth(some, 1)) < score(smooth(some, 4))
    assert clean < score(noisy(some, 0.2)) < score(noisy(some, 0.6))


def test_dream_score() -> None:
    training, everyday = drawn(80, 0), drawn(40, 1, 1.0)
    same, way, there = (metrics.dream_score(drawn(40, 1, s), everyday, training) for s in (1.0, 0.5, 0.0))
    assert same == pytest.approx((1, 1, 1))
    assert 0.05 < way.value < 0.8
    assert abs(there.value) < 0.1
    assert metrics.dream_score(drawn(40, 1, 1.5), everyday, training).low > 1


def test_swd(photos: Tensor) -> None:
    some, others = photos[::2], photos[1::2]
    assert metrics.swd(photos, photos) == 0
    clean = metrics.swd(some, others)
    assert metrics.swd(some, others) == clean
    checkers = some.clone()
    checkers[..., ::2, ::2] += 0.2
    checkers[..., 1::2, 1::2] += 0.2
    cast = (some + torch.tensor([0.3, 0, -0.3])[:, None, None]).clamp(-1, 1)
    for worse in (noisy(some), smooth(some, 2), checkers, cast, some.mean((2, 3), keepdim=True).expand_as(some)):
        assert metrics.swd(worse, others) > 1.15 * clean
    assert metrics.swd(photos[:5], others[:9]) > 0, "sets of different sizes"


def test_diversity() -> None:
    assert metrics.diversity(drawn(1, 0).expand(9, -1)) == pytest.approx(0, abs=1e-6)
    assert metrics.diversity(torch.eye(5)) == pytest.approx(1)


def test_copies_are_noticed() -> None:
    training, held_out, new = drawn(60, 0), drawn(30, 1), drawn(30, 2)
    known = metrics.nearest(held_out, training)[0]
    distance, index = metrics.nearest(training[:30] * 2, training)
    assert distance.abs().max() < 1e-5
    assert index.tolist() == list(range(30))
    assert metrics.copying(distance, known) == 1
    assert 0.3 < metrics.copying(metrics.nearest(new, training)[0], known) < 0.7
    assert metrics.copying(known, known) == 0.5


# The same of real pictures: each crop has two pieces that stand for training photos, and two that were held out.


@pytest.fixture(scope="module")
def pieces(photos: Tensor) -> Tensor:
    """(4 pieces, 12 crops, 3, 96, 96); of the crops the first half are of a palace, the others of a dahlia."""
    return photos.unflatten(0, (4, 12))


@pytest.mark.parametrize(
    ("change", "low", "high"),
    [
        (lambda p: p, 1, 1),
        (lambda p: p.flip(0), 1, 1),
        (lambda p: p[:1].expand_as(p), 0, 0),
        (lambda p: smooth(p, 4), 0.4, 0.95),
        (lambda p: noisy(p, 2), 0, 0.5),
    ],
    ids=["identical", "shuffled", "all alike", "blur", "noise"],
)
def test_diversity_of_pictures(
    change: Callable[[Tensor], Tensor], low: float, high: float, eyes: backbones.Backbone, pieces: Tensor
) -> None:
    some = pieces[0]
    before, after = (metrics.diversity(eyes.features(each)) for each in (some, change(some)))
    assert low - 1e-3 <= after / before <= high + 1e-3


@pytest.mark.parametrize(
    ("change", "low", "high"),
    [
        (lambda p: p, 1, 1),
        (lambda p: p.flip(0), 1, 1),
        (lambda p: noisy(p, 0.02), 0.6, 1),
        (lambda p: smooth(p, 0.4), 0.9, 1),
        (lambda p: noisy(p, 2), 0, 0.3),
        (lambda p: smooth(p, 8), 0, 0.4),
    ],
    ids=["identical", "shuffled", "a little noise", "a little blur", "noise", "blur"],
)
def test_copies_of_pictures(
    change: Callable[[Tensor], Tensor], low: float, high: float, eyes: backbones.Backbone, pieces: Tensor
) -> None:
    training, held_out = (each.flatten(0, 1) for each in (pieces[::3], pieces[1:3]))
    known, changed, new = (eyes.features(each) for each in (training, change(training), held_out))
    distances = [metrics.nearest(each, known)[0] for each in (changed, new)]
    assert low <= metrics.copying(*distances) <= high


@pytest.mark.parametrize(
    ("dreams", "low", "high"),
    [
        (lambda palaces, _: palaces, 1, 1),
        (lambda palaces, _: palaces.flip(0), 1, 1),
        (lambda _, dahlias: dahlias, -0.3, 0.3),
        (lambda palaces, dahlias: torch.cat([palaces[::2], dahlias[::2]]), 0.05, 0.6),
        (lambda _, dahlias: noisy(dahlias, 0.6), 0.3, 9),
        (lambda _, dahlias: smooth(dahlias, 4), 0.3, 9),
    ],
    ids=["identical", "shuffled", "dreamt", "half of them", "noise", "blur"],
)
def test_dream_score_of_pictures(
    dreams: Callable[[Tensor, Tensor], Tensor], low: float, high: float, eyes: backbones.Backbone, pieces: Tensor
) -> None:
    palaces, dahlias, training = (each.flatten(0, 1) for each in (pieces[1:3, :6], pieces[1:3, 6:], pieces[::3, 6:]))
    painted, everyday, known = (eyes.features(each) for each in (dreams(palaces, dahlias), palaces, training))
    assert low - 1e-3 <= metrics.dream_score(painted, everyday, known).value <= high + 1e-3


# --- pairs ----------------------------------------------------------------------------------------------------------


def test_perceptual(eyes: backbones.Backbone, photos: Tensor) -> None:
    some = photos[::4]

    def score(pictures: Tensor) -> float:
        return metrics.perceptual(eyes, pictures, some).mean().item()

    assert score(some) == pytest.approx(0, abs=1e-5)
    assert 0.01 < score(smooth(some, 1)) < score(smooth(some, 3)) < score(some.roll(1, 0)) < 2
    assert score(noisy(some, 0.1)) < score(noisy(some, 0.5))


@pytest.mark.parametrize("palette", ["ranked", "mean"])
def test_palette(palette: str, photos: Tensor) -> None:
    shown, _ = Condition("clusters", abstraction=0.4, size=SMALL, palette=palette)(photos)

    def score(pictures: Tensor) -> float:
        return metrics.palette_accuracy(pictures, shown, palette == "ranked").mean().item()

    assert score(shown) == 1
    assert 1 > score(smooth(shown, 1)) > score(smooth(shown, 4)) > score(smooth(shown.roll(1, 0), 4)) > 0
    assert 1 > score(photos) > score(noisy(photos)) > score(photos.roll(1, 0)) > 0
    assert score(shown.roll(1, 0)) < 0.5


def test_edges() -> None:
    squares = torch.full((1, 3, 96, 96), -1.0)
    for top in (12, 60):
        for left in (12, 60):
            squares[..., top : top + 24, left : left + 24] = 1

    def score(pictures: Tensor) -> float:
        return metrics.edge_f1(pictures, squares, Condition("edges", abstraction=0, size=96)).item()

    assert score(squares) == 1
    assert score(-squares) > 0.9
    assert score(squares.roll(2, 3)) > 0.9
    assert score(squares.roll((3, 3), (2, 3))) < 0.35
    assert score(torch.zeros_like(squares)) == 0
    assert metrics.edge_f1(torch.zeros_like(squares), torch.zeros_like(squares)).item() == 1


def test_edges_by_chance_are_fewer(photos: Tensor) -> None:
    right, wrong = (metrics.edge_f1(noisy(p, 0.05), photos).mean() for p in (photos, photos.roll(1, 0)))
    assert right > wrong + 0.2


def test_rank_correlation(photos: Tensor) -> None:
    from scipy.stats import spearmanr

    grey = (photos[:2] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1).flatten(1).double()
    expected = spearmanr(grey[0].float().numpy(), grey[1].float().numpy()).statistic
    assert metrics.rank_correlation(photos[:1], photos[1:2]).item() == pytest.approx(expected, abs=1e-4)
    darker = (photos + 1) ** 2 / 2 - 1
    grey_only = photos.mean(1, keepdim=True).expand_as(photos)
    assert metrics.rank_correlation(((grey_only + 1) ** 2 / 2 - 1), grey_only).min() > 0.999
    assert metrics.rank_correlation(darker, photos).mean() > 0.98
    assert metrics.rank_correlation(-photos, photos).max() < -0.99
    assert abs(metrics.rank_correlation(photos.roll(1, 0), photos).mean()) < 0.4
    assert metrics.rank_correlation(torch.zeros_like(photos), photos).abs().max() == 0


@pytest.mark.parametrize("figure", ["palette", "edges", "luminance"])
def test_blur_noise_and_a_wrong_pairing(figure: str, photos: Tensor) -> None:
    """The same is perfect; the more of each the worse; nothing is as wrong as another's."""
    some = photos[::4]
    if figure == "palette":
        some, _ = Condition("clusters", abstraction=0.4, size=SMALL, palette="mean")(some)

    def score(pictures: Tensor) -> float:
        kept = {
            "palette": lambda: metrics.palette_accuracy(pictures, some, ranked=False),
            "edges": lambda: metrics.edge_f1(pictures, some),
            "luminance": lambda: metrics.rank_correlation(pictures, some),
        }
        return float(kept[figure]().mean())

    assert score(some) == pytest.approx(1)
    wrong = score(some.roll(1, 0))
    for damaged in ([smooth(some, px) for px in (1, 3, 8)], [noisy(some, strength) for strength in (0.1, 0.3, 1)]):
        scores = [1.0, *(score(pictures) for pictures in damaged)]
        assert scores == sorted(scores, reverse=True)
        assert scores[2] > wrong


# --- films ----------------------------------------------------------------------------------------------------------


def pan(crops: Tensor, step: int = 2, count: int = 8) -> np.ndarray:
    """A camera that moves to the right: uint8 (count, 120, 160, 3)."""
    frames = [crops[0:1, :, 20:140, step * i : step * i + 160] for i in range(count)]
    return images.to_uint8(torch.cat(frames))


def test_a_film_at_rest_and_one_that_flickers(crops: Tensor) -> None:
    moving = pan(crops)
    still = np.repeat(moving[:1], 6, axis=0)
    assert metrics.film_scores(still, still).warping_error == 0
    steady = metrics.film_scores(moving, moving)
    flicker = np.clip(moving.astype(int) + np.array([0, 12] * 4)[:, None, None, None], 0, 255).astype(np.uint8)
    assert metrics.film_scores(flicker, moving).warping_error > steady.warping_error + 8
    noise = np.random.default_rng(0).normal(0, 12, moving.shape)
    noisy_film = np.clip(moving + noise, 0, 255).astype(np.uint8)
    assert metrics.film_scores(noisy_film, moving).warping_error > steady.warping_error + 8
    soft = images.to_uint8(smooth(images.to_tensor(moving), 2))
    assert metrics.film_scores(soft, moving).warping_error < steady.warping_error, "of what is soft little moves"
    assert metrics.sharpness(noisy_film) > 1.5 * metrics.sharpness(moving)
    frozen = np.repeat(moving[:1], len(moving), axis=0)
    assert metrics.film_scores(frozen, moving).warping_error > 2 * steady.warping_error, (
        "it does not go with the motion"
    )


def test_a_grey_film_is_told_by_its_sharpness(crops: Tensor) -> None:
    moving = pan(crops)
    grey = metrics.film_scores(np.full_like(moving, 128), moving)
    assert grey == (0, 0)
    soft = images.to_uint8(smooth(images.to_tensor(moving), 2))
    assert 0 < metrics.sharpness(soft) < 0.7 * metrics.sharpness(moving)


def test_a_cut_is_left_out(crops: Tensor) -> None:
    one, other = pan(crops, 1, 4), pan(crops.flip(0), 1, 4)
    cut = metrics.film_scores(np.concatenate([one, other]), np.concatenate([one, other]))
    apart = [metrics.film_scores(film, film).warping_error for film in (one, other)]
    assert cut.warping_error == pytest.approx(np.mean(apart), rel=0.2)
    nothing_else = np.stack([one[0], other[0]])
    assert np.isnan(metrics.film_scores(nothing_else, nothing_else).warping_error)


def test_everything_again_is_the_same(photos: Tensor) -> None:
    a, b = drawn(20, 0), drawn(30, 1)
    assert torch.equal(metrics.kid(a, b), metrics.kid(a, b))
    assert metrics.swd(photos[:8], photos[8:]) == metrics.swd(photos[:8], photos[8:])
