"""What the network is shown: clusters as good as scikit-learn's, edges as good as OpenCV's, steady in a film."""

import itertools
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from random import Random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from beautynet import images
from beautynet.colour import luma, rgb_to_lab, smooth
from beautynet.conditions import (
    CONDITIONS,
    FILMS,
    PALETTES,
    Condition,
    Memory,
    ranked_palette,
)
from beautynet.config import CONDITION_NAMES, PALETTE_NAMES
from beautynet.errors import BeautyError
from beautynet.kmeans import quantisation_error, sample


def colours(picture: Tensor) -> Tensor:
    """The different colours in a (1, 3, H, W) picture: (C, 3)."""
    return picture[0].flatten(1).T.unique(dim=0)


def stripes(*greys: float, size: int = 64) -> Tensor:
    """Vertical stripes of the given greys: (1, 3, size, size)."""
    column = torch.tensor(greys)[torch.arange(size) * len(greys) // size]
    return column.expand(1, 3, size, size).clone()


def test_names_are_those_of_the_config() -> None:
    assert (tuple(CONDITIONS), tuple(PALETTES)) == (CONDITION_NAMES, PALETTE_NAMES)


# --- clusters -------------------------------------------------------------------------------------------------------


def test_lighter_clusters_get_later_colours(crops: Tensor) -> None:
    recipe = Condition()
    palette = ranked_palette(torch.zeros(1, recipe.clusters, 3))[0]
    assert len(palette.unique(dim=0)) == recipe.clusters
    for photo in crops.split(1):
        shown = recipe(photo)[0]
        luminance = rgb_to_lab(smooth(photo, recipe.sigma))[0, 0]
        means = [luminance[(shown[0] == colour[:, None, None]).all(0)].mean().item() for colour in palette]
        assert means == sorted(means), "NaN: a colour is missing"


@pytest.mark.parametrize("kind", CONDITIONS)
def test_a_photo_has_one_condition_whatever_its_company(kind: str, crops: Tensor) -> None:
    recipe = Condition(kind, size=192, palette="ranked")
    together = recipe(crops)[0]
    alone = torch.cat([recipe(photo)[0] for photo in crops.flip(0).split(1)]).flip(0)
    differing = (together != alone).any(1).float().mean()
    assert differing < 0.0005, "rounding may move a few pixels on the border of two clusters, no more: 3 were seen"


@pytest.mark.parametrize("kind", CONDITIONS)
@pytest.mark.parametrize("abstraction", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("shape", [(8, 8), (1, 1), (33, 57), (90, 160), (3, 200)])
def test_any_shape(kind: str, abstraction: float, shape: tuple[int, int], crops: Tensor) -> None:
    photo = images.resize(crops[:2], *shape)
    shown, _ = Condition(kind, abstraction=abstraction)(photo)
    assert shown.shape == photo.shape
    assert shown.isfinite().all()
    assert shown.abs().amax() <= 1


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("greys", [(0.3,), (-1.0,), (-0.5, 0.5), (-1.0, 1.0), (-0.8, 0.1, 0.9)])
def test_few_colours_stay_apart(greys: tuple[float, ...], palette: str) -> None:
    photo = stripes(*greys)
    shown, _ = Condition(abstraction=0, palette=palette)(photo)
    assert len(colours(shown)) == len(greys)
    middles = [len(greys) and (2 * i + 1) * 32 // len(greys) for i in range(len(greys))]
    assert len(colours(shown[..., middles])) == len(greys), "a stripe has the colour of another"
    if palette == "mean":
        assert (shown - photo).abs().max() < 0.02


def test_the_fewer_clusters_the_more_abstract(crops: Tensor) -> None:
    counts = [len(colours(Condition(abstraction=a)(crops[:1])[0])) for a in (0.0, 0.3, 0.6, 1.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
    assert len(colours(Condition(k=4)(crops[:1])[0])) == 4


def test_mean_palette_is_nearer_to_the_photo(crops: Tensor) -> None:
    near, far = (float((Condition(palette=p)(crops)[0] - crops).abs().mean()) for p in ("mean", "ranked"))
    assert near < far / 2


# --- borrowed colours -----------------------------------------------------------------------------------------------


def seen(picture: Tensor) -> set[tuple[int, ...]]:
    """The different colours in a (1, 3, H, W) picture, in levels of 255."""
    return {tuple(colour) for colour in ((colours(picture) + 1) * 127.5).round().int().tolist()}


def test_colours_are_those_of_the_lender_with_the_same_lights(crops: Tensor) -> None:
    lent = Condition(size=192, palette="borrowed").lent_by(crops.split(1))
    assert len(lent.lenders) == len(crops)
    assert torch.allclose(lent(crops)[0], lent.own(crops)[0], atol=0.02), "a photo's best lender is itself"

    other = crops.flip(1) * 0.5  # blue for red, and darker
    shown = lent(other[:1])[0]
    assert seen(shown) <= set().union(*(seen(lent(photo)[0]) for photo in crops.split(1)))
    assert len(colours(shown)) == len(colours(lent.own(other[:1])[0])), "as many colours as clusters"


def test_what_learns_is_shown_its_own_colours(crops: Tensor) -> None:
    lent = Condition(size=192, palette="borrowed").lent_by(crops.split(1))
    assert lent.own == Condition(size=192, palette="borrowed")
    assert torch.equal(lent.own(crops)[0], Condition(size=192, palette="mean")(crops)[0])
    assert lent.randomised(Random(0)).lenders == ()


def test_colours_can_be_lent_to_what_was_shown_in_its_own(crops: Tensor) -> None:
    lent = Condition(size=192, palette="borrowed").lent_by(crops[:2].split(1))
    assert torch.equal(lent.lend(*lent.own(crops)), lent(crops)[0])
    lines = Condition("edges", size=192)
    assert torch.equal(lines.lend(*lines(crops)), lines(crops)[0]), "lines borrow nothing"


def test_a_film_keeps_its_lender(crops: Tensor) -> None:
    lights = [(crops[:1] + 1) * light - 1 for light in (1.0, 0.98, 0.96)]
    lent = Condition(size=192, palette="borrowed").lent_by(lights)
    shown, memory = lent(lights[0])
    for dimmed in lights[1:]:
        now, memory = lent(dimmed, memory)
        assert seen(now) <= seen(shown)
        alone, _ = lent(dimmed)
        assert not seen(alone) <= seen(shown), "by itself it borrows elsewhere"


def test_a_film_that_fades_in_goes_over_to_the_colours_of_its_light(crops: Tensor) -> None:
    """Not to be dark to its end because it began so; and step by step, since nothing was cut."""
    lenders = [(crops[-1:] + 1) * light - 1 for light in (0.1, 0.4, 1)]
    lent = Condition(size=192, palette="borrowed").lent_by(lenders)
    alone, _ = lent(crops[-1:])
    before, memory = lent(lenders[0])
    assert (before - alone).abs().mean() > 0.2
    steps = []
    for _ in range(100):
        now, memory = lent(crops[-1:], memory)
        steps.append((now - before).abs().mean().item())
        before = now
    assert (now - alone).abs().mean() < 0.05
    assert max(steps[20:]) < 0.05, "no jump, once the clusters have found the picture"


def test_the_dullest_lend_none(crops: Tensor) -> None:
    grey = crops[:2].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    photos = [grey[:1], *crops[2:6].split(1), grey[1:]]
    recipe = Condition(size=192, palette="borrowed")
    everyone = recipe.lent_by(photos).lenders
    assert recipe.lent_by(photos, 0.34).lenders == everyone[1:5], "in the same order"
    assert recipe.lent_by(photos[:2], 0.34).lenders == everyone[:2], "of few, all lend"


def test_lenders_of_another_number_of_clusters(crops: Tensor) -> None:
    lent = Condition(size=192, palette="borrowed", k=7).lent_by(crops.split(1))
    for k in (2, 4, 12):
        shown, _ = replace(lent, k=k)(crops[:1])
        assert 2 <= len(seen(shown)) <= min(k, 7)


def test_lenders_survive_json(crops: Tensor) -> None:
    lent = Condition(size=192, palette="borrowed").lent_by(crops.split(1))
    assert Condition(**json.loads(json.dumps(asdict(lent)))) == lent
    with pytest.raises(BeautyError, match="same number"):
        Condition(palette="borrowed", lenders=(((0, 0, 0),), ((0, 0, 0), (1, 0, 0))))
    with pytest.raises(BeautyError, match="finite"):
        Condition(palette="borrowed", lenders=(((0, 0, float("nan")),),))


@pytest.mark.parametrize("recipe", [Condition(palette="ranked"), Condition(palette="mean"), Condition("edges")])
def test_the_others_borrow_nothing(recipe: Condition, crops: Tensor) -> None:
    assert recipe.lent_by(crops.split(1)) == recipe


# --- memory ---------------------------------------------------------------------------------------------------------


def test_memory_of_the_same_frame_changes_little(crops: Tensor) -> None:
    recipe = Condition(size=192, palette="ranked")
    shown, memory = recipe(crops)
    again, moved = recipe(crops, memory)
    assert memory is not None
    assert moved is not None
    assert (moved[0] - memory[0]).norm(dim=2).mean() < 0.2
    assert (again != shown).any(1).float().mean() < 0.005


@pytest.mark.parametrize(
    ("recipe", "most"), [(Condition(size=192, palette="ranked"), 0.4), (Condition("edges", size=192), 0.6)]
)
def test_memory_steadies_a_noisy_film(recipe: Condition, most: float, crops: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)

    def flicker(remember: bool) -> float:
        """Share of pixels that change colour from one frame to the next of the same scene under noise."""
        films, memory = [], None
        for _ in range(6):
            noisy = (crops * 0.98 + 0.1 * torch.randn(crops.shape, generator=generator)).clamp(-1, 1)
            shown, memory = recipe(noisy, memory if remember else None)
            films.append(shown)
        return float(np.mean([(a != b).any(1).float().mean().item() for a, b in itertools.pairwise(films)]))

    assert flicker(remember=True) < most * flicker(remember=False)


def test_labels_follow_ranks_that_swap() -> None:
    """Two grey fields of which the darker becomes the lighter: each keeps its place, and gets the other's colour."""
    recipe = Condition(size=64, k=2, abstraction=0, palette="ranked")
    fields = torch.full((1, 3, 64, 64), -0.6)
    fields[..., 32:] = -0.4
    shown, memory = recipe(fields)
    for _ in range(12):
        now, memory = recipe(fields.flip(3), memory)
    assert torch.equal(now, shown.flip(3))


@pytest.mark.parametrize(("kind", "most"), [("clusters", 0.03), ("edges", 0.003)])
def test_nothing_is_remembered_of_what_is_gone(kind: str, most: float, crops: Tensor) -> None:
    """A scene that changes at once is shown as it is a few frames later, but for pixels on the fence."""
    recipe = Condition(kind, size=192, palette="mean")
    _, memory = recipe(crops[:1] * 0.2)  # so dull that its thresholds and centres are another's
    for _ in range(16):
        shown, memory = recipe(crops[1:2], memory)
    alone, _ = recipe(crops[1:2])
    assert (shown - alone).abs().mean() < most


def test_memory_follows_a_changing_scene(crops: Tensor) -> None:
    recipe = Condition(size=192)
    _, memory = recipe(crops)
    others = crops.roll(1, dims=0)
    pixels = rgb_to_lab(smooth(others, recipe.sigma)).flatten(2)

    def inertia(memory: Memory) -> float:
        assert memory is not None
        return quantisation_error(pixels, memory[0]).mean().item()

    at_first, fresh = inertia(memory), inertia(recipe(others)[1])
    for _ in range(20):
        _, memory = recipe(others, memory)
    assert inertia(memory) < 1.5 * fresh < at_first


def test_memory_lets_go_of_colours_that_are_gone() -> None:
    """A wall that fills the picture, after a scene of many colours, is more than one field."""
    recipe = Condition("clusters", size=128, palette="mean")
    scene = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    grey = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 0.2 - 0.1
    scene, wall = (F.interpolate(each, (128, 128), mode="bilinear").expand(-1, 3, -1, -1) for each in (scene, grey))
    pixels = sample(recipe._lab(wall))
    (_, memory), (_, alone) = recipe(scene), recipe(wall)
    for _ in range(10):
        _, memory = recipe(wall, memory)
    assert memory is not None
    assert alone is not None
    assert quantisation_error(pixels, memory[0]) < 1.5 * quantisation_error(pixels, alone[0])


@pytest.mark.parametrize("kind", CONDITIONS)
@pytest.mark.parametrize("together", [False, True])
def test_a_film_is_its_frames_one_by_one(kind: str, together: bool, crops: Tensor) -> None:
    recipe = Condition(kind, size=192)
    film = partial(FILMS[kind], recipe) if together and kind in FILMS else recipe.film
    _, memory = recipe(crops[:1])
    for begin in (None, memory):
        shown, left = film(crops, begin)
        now, alone = begin, []
        for frame in crops.split(1):
            condition, now = recipe(frame, now)
            alone.append(condition)
        assert ((shown - torch.cat(alone)).abs() > 0.02).any(1).float().mean() < 0.001  # pixels on the fence
        assert [each.shape for each in left or ()] == [each.shape for each in now or ()]
        for ours, its in zip(left or (), now or (), strict=True):
            assert (ours - its).float().abs().mean() < 0.1, "the next frames would begin from another one's memory"


# --- edges ----------------------------------------------------------------------------------------------------------


def test_automatic_thresholds_leave_a_drawing(flowers: Callable[[int], list[Tensor]]) -> None:
    shown, _ = Condition("edges")(torch.cat(flowers(50)))
    assert set(shown.unique().tolist()) == {-1, 1}
    shares = (shown[:, 0] > 0).float().mean((1, 2))
    assert shares.min() > 0.005
    assert shares.max() < 0.15
    assert 0.01 < shares.mean() < 0.10


def test_nothing_to_draw_in_a_constant_picture() -> None:
    assert (Condition("edges")(torch.full((1, 3, 64, 64), 0.3))[0] == -1).all()


def test_sensitivity_scales_the_automatic_thresholds(crops: Tensor) -> None:
    few, many = (float((Condition("edges", sensitivity=s)(crops)[0] > 0).float().mean()) for s in (1.5, 0.7))
    assert few < many


# --- blur -----------------------------------------------------------------------------------------------------------


def test_blur_is_grey_and_low(crops: Tensor) -> None:
    shown, memory = Condition("blur", size=192)(crops)
    assert memory is None
    assert torch.equal(shown[:, :1].expand_as(shown), shown)
    spectrum = torch.fft.rfft2(shown[:, 0] - shown[:, 0].mean((1, 2), keepdim=True)).abs().square()
    rows = torch.fft.fftfreq(192).abs()[:, None].expand(192, 97)
    columns = torch.fft.rfftfreq(192).expand(192, 97)
    high = (rows > 1 / 18) | (columns > 1 / 18)  # 24 px of 256 are 18 px of 192
    assert (spectrum[:, high].sum() / spectrum.sum()) < 0.05


@pytest.mark.parametrize(("height", "width", "abstraction"), [(192, 192, 0.6), (45, 97, 1.0), (9, 31, 0.2)])
def test_blur_is_pooling_and_cubic_interpolation(height: int, width: int, abstraction: float, crops: Tensor) -> None:
    photo = crops[:1, :, :height, :width]
    factor = max(1.0, 40 * abstraction * 96 / 256)
    small = F.adaptive_avg_pool2d(luma(photo), (max(2, round(height / factor)), max(2, round(width / factor))))
    large = F.interpolate(small, size=(height, width), mode="bicubic", align_corners=False).clamp(-1, 1)
    shown, _ = Condition("blur", abstraction=abstraction, size=96)(photo)
    torch.testing.assert_close(shown[:, :1], large, atol=1e-5, rtol=0)


def test_blur_brightness_and_contrast(crops: Tensor) -> None:
    plain = Condition("blur")(crops)[0]
    changed = Condition("blur", brightness=0.1, contrast=0.5)(crops)[0]
    assert torch.allclose(changed, plain * 0.5 + 0.1, atol=0.05)
    assert torch.allclose(changed.mean(), plain.mean() * 0.5 + 0.1, atol=0.01)


# --- colour and smoothing -------------------------------------------------------------------------------------------


# --- the recipe -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONDITIONS)
@pytest.mark.parametrize("abstraction", [0.0, 0.6, 1.0])
def test_randomised(kind: str, abstraction: float) -> None:
    recipe = Condition(kind, abstraction=abstraction)
    near = [recipe.randomised(Random(seed)) for seed in range(200)]
    assert near == [recipe.randomised(Random(seed)) for seed in range(200)]
    for name in ("abstraction", "sensitivity", "brightness", "contrast"):
        assert len({getattr(n, name) for n in near}) > 50, name
    assert len({n.k for n in near}) > 2
    assert {n.kind for n in near} == {kind}
    assert all(0 <= n.abstraction <= 1 and 3 <= n.clusters <= 32 for n in near)


def test_randomised_many_clusters() -> None:
    assert all(Condition(k=32).randomised(Random(seed)).clusters <= 32 for seed in range(20))


def test_recipe_survives_json() -> None:
    for recipe in (Condition(), Condition("edges", thresholds=(60, 150.5), sensitivity=2), Condition("blur", k=3)):
        again = Condition(**json.loads(json.dumps(asdict(recipe))))
        assert again == recipe
        assert hash(again) == hash(recipe)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"kind": "x"}, {"palette": "x"}, {"abstraction": 1.1}, {"k": 1}, {"k": 33}),
        *({"size": 0}, {"size": 10**9}, {"size": 2.5}, {"size": "x"}),
    ],
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BeautyError, match=str(next(iter(wrong.values())))):
        replace(Condition(), **wrong)  # type: ignore[arg-type]
