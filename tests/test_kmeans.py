"""k-means: as tight as scikit-learn's, and labels and ranks that do not flicker."""

from collections.abc import Callable

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from beautynet.colour import rgb_to_lab, smooth
from beautynet.conditions import Condition
from beautynet.kmeans import RANK_TOLERANCE, assign, fit_centres, rank_order, sample


def inertia_ratios(photos: list[Tensor]) -> list[float]:
    """Inertia of our centres, fitted on a grid, over that of KMeans on all pixels, for each photo."""
    ratios = []
    recipe = Condition()
    for photo in photos:
        lab = rgb_to_lab(smooth(photo, recipe.sigma))
        pixels = lab.flatten(2)
        ours = torch.cdist(pixels.mT, fit_centres(sample(lab), recipe.clusters)).amin(2).square().sum().item()
        ratios.append(ours / KMeans(recipe.clusters, random_state=0).fit(pixels[0].T.numpy()).inertia_)
    return ratios


def test_clusters_are_as_tight_as_those_of_kmeans(crops: Tensor) -> None:
    assert np.mean(inertia_ratios(list(crops.split(1)))) < 1.01


def test_clusters_of_flowers_are_as_tight_as_those_of_kmeans(flowers: Callable[[int], list[Tensor]]) -> None:
    assert np.mean(inertia_ratios(flowers(100))) < 1.01


def test_assign_finds_the_nearest_centre() -> None:
    torch.manual_seed(0)
    pixels, centres = torch.randn(2, 3, 500), torch.randn(2, 7, 3)
    assert torch.equal(assign(pixels, centres), torch.cdist(pixels.mT, centres).argmin(2))


def test_ranks_swap_only_after_a_clear_overtaking() -> None:
    centres = torch.tensor([[[20.0, 5, 5], [50, 0, 0], [50, 9, 9], [80, 0, 0]]])
    slight, clear = centres.clone(), centres.clone()
    slight[0, 2, 0] -= RANK_TOLERANCE / 2
    clear[0, 2, 0] -= RANK_TOLERANCE * 2
    assert rank_order(slight).tolist() == [[0, 1, 2, 3]]
    assert rank_order(clear).tolist() == [[0, 2, 1, 3]]
    assert rank_order(torch.cat([slight, clear])).tolist() == [[0, 1, 2, 3], [0, 2, 1, 3]]


def test_a_label_stays_unless_another_is_clearly_nearer() -> None:
    centres = torch.tensor([[[20.0, 0, 0], [60, 0, 0]]])
    lights = torch.tensor([38.0, 39.8, 40.2, 42]).view(1, 1, 4)
    pixels = torch.cat([lights, torch.zeros(1, 2, 4)], dim=1)
    assert assign(pixels, centres).tolist() == [[0, 0, 1, 1]]
    assert assign(pixels, centres, torch.zeros(1, 4, dtype=torch.int64)).tolist() == [[0, 0, 0, 1]]
    assert assign(pixels, centres, torch.ones(1, 4, dtype=torch.int64)).tolist() == [[0, 1, 1, 1]]
