"""Our clusters against scikit-learn's KMeans on the same 256² Lab pixels: `python benchmarks/clusters.py [FOLDER]`.

Both fit and label every pixel. Without a folder the photos are crops of scikit-learn's own two.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import TypeVar

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_images
from torch import Tensor

from beautynet import images
from beautynet.colour import rgb_to_lab, smooth
from beautynet.conditions import Condition
from beautynet.datasets.dataset import Dataset, Photos
from beautynet.decode import decode
from beautynet.kmeans import assign, fit_centres, sample

T = TypeVar("T")
SIZE = 256
BATCH = 8  # training takes 4 on a CPU, 32 on a GPU


def photos(folder: str | None, most: int = 100) -> list[Tensor]:
    """Up to `most` photos spread evenly over `folder`, as (1, 3, SIZE, SIZE) in [-1, 1]."""
    if folder is None:
        pictures = [images.to_tensor(picture) for picture in load_sample_images().images]
        tops, lefts = (0, 85, 171), (0, 192, 384)
        return [p[:, :, y : y + SIZE, x : x + SIZE] for p in pictures for y in tops for x in lefts]
    paths = Dataset.open(Path(folder)).photos
    chosen = paths[:: max(1, len(paths) // most)][:most]
    return list(Photos([np.asarray(decode(path)) for path in chosen], torch.device("cpu")).centres(SIZE))


def fit_and_assign(lab: Tensor, clusters: int) -> Tensor:
    """Our centres."""
    centres = fit_centres(sample(lab), clusters)
    assign(lab.flatten(2), centres)
    return centres


def fit_and_predict(points: np.ndarray, clusters: int) -> Tensor:
    """Scikit-learn's."""
    model = KMeans(clusters, random_state=0).fit(points)
    model.predict(points)
    return torch.from_numpy(model.cluster_centers_)[None]


def timed(work: Callable[..., T], *given: object) -> tuple[T, float]:
    """The result of `work` and its milliseconds."""
    began = time.perf_counter()
    result = work(*given)
    return result, (time.perf_counter() - began) * 1000


def inertia(pixels: Tensor, centres: Tensor) -> float:
    """Sum of squared distances of (1, 3, P) pixels to the nearest of (1, k, 3) centres."""
    return torch.cdist(pixels.mT.double(), centres.double()).amin(2).square().sum().item()


def main(folder: str | None = None) -> None:
    """Print the times and inertias."""
    recipe = Condition(size=SIZE)
    batch = photos(folder)
    recipe(batch[0])  # warm up
    rows = []
    for photo in batch:
        lab = rgb_to_lab(smooth(photo, recipe.sigma))
        pixels = lab.flatten(2)
        centres, our_ms = timed(fit_and_assign, lab, recipe.clusters)
        _, whole_ms = timed(recipe, photo)
        their_centres, their_ms = timed(fit_and_predict, pixels[0].T.contiguous().numpy(), recipe.clusters)
        rows.append((our_ms, whole_ms, their_ms, inertia(pixels, centres) / inertia(pixels, their_centres)))
    ours, whole, kmeans, ratios = zip(*rows, strict=True)
    batched = []
    for some in (torch.cat(batch[i : i + BATCH]) for i in range(0, len(batch), BATCH)):
        labs = rgb_to_lab(smooth(some, recipe.sigma))
        _, ms = timed(fit_and_assign, labs, recipe.clusters)
        batched.append(ms / len(some))
    print(f"{len(batch)} photos at {SIZE}², {recipe.clusters} clusters, {torch.get_num_threads()} threads; medians")
    print(f"ours, fit + assign   {median(ours):7.2f} ms a photo")
    print(
        f"the same, in batches {median(batched):7.2f} ms a photo: {median(kmeans) / median(batched):.1f} times as quick"
    )
    print(f"the whole condition  {median(whole):7.2f} ms a photo")
    print(f"KMeans fit + predict {median(kmeans):7.2f} ms a photo: {median(kmeans) / median(ours):.1f} times ours")
    print(f"inertia              {mean(ratios):.4f} of KMeans on average, {max(ratios):.3f} at most")


if __name__ == "__main__":
    main(*sys.argv[1:2])
