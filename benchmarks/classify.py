"""How many labelled pictures it takes: accuracy on pictures never trained on, over seeds, and how long it takes.

    python benchmarks/classify.py SHARED [--seeds 10]

SHARED has `street_art/{invader,other}`, `paintings/{four painters}`, `flowers` and `junk`. Each picture is looked at
once; then, for each number of examples of a label and each seed, a head is trained on so many drawn at random and
asked about all the others. What is chosen, it chooses by cross-validation on the examples alone.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from beautynet import backbones
from beautynet.classifying import classifier, labelled
from beautynet.classifying.classifier import Seen
from beautynet.classifying.labelled import Example, Labelled
from beautynet.decode import pictures_in
from beautynet.verbs.classify_predict import classify_predict
from beautynet.verbs.classify_train import classify_train

COUNTS = (5, 10, 28, 38, 50)
FEWEST_LEFT = 10
"""Pictures of a label to ask about."""
PAINTERS = ("monet", "van_gogh", "cezanne", "renoir")
HONEST = tuple(f"other_{number:03}.jpg" for number in range(47, 53))
"""Taken with the same camera, of the same walls, as Invader's mosaics."""


class Pictures(NamedTuple):
    """Of one label."""

    names: list[str]
    features: NDArray[np.float32]


def seen(folder: Path, labels: tuple[str, ...], backbone: backbones.Backbone) -> dict[str, Pictures]:
    """Each label's pictures, `folder/label`, after they were looked at."""
    paths = [(label, path) for label in labels for path in pictures_in(folder / label)]
    data = Labelled(folder, [Example(str(path), (label,), None, path) for label, path in paths])
    found = [(e, each) for e, each in classifier.look_at(data, backbone, folder.name) if isinstance(each, Seen)]
    twins = len(found) - len(set(labelled.groups([each.hashes for _, each in found])))
    sets = {}
    for label in labels:
        mine = [(Path(e.name).name, each.features) for e, each in found if e.labels == (label,)]
        sets[label] = Pictures([name for name, _ in mine], np.stack([features for _, features in mine]))
    print(
        f"{folder.name}: {', '.join(f'{len(p.names)} {label}' for label, p in sets.items())}; {twins} near-duplicates"
    )
    return sets


def trial(sets: dict[str, Pictures], things: int, count: int, seed: int) -> dict[str, dict[str, bool]]:
    """Which of those left out are right, by label and name, with so many examples of each."""
    labels = list(sets)
    random = np.random.default_rng(seed)
    orders = [random.permutation(len(sets[label].names)) for label in labels]
    chosen = [sets[label].features[order[:count]] for label, order in zip(labels, orders, strict=True)]
    truth = np.repeat(np.eye(len(labels), dtype=bool), count, axis=0)
    head = classifier.fit(np.concatenate(chosen), things, truth, labels, list(range(len(truth))))
    right = {}
    for i, (label, order) in enumerate(zip(labels, orders, strict=True)):
        given = (sets[label].features[order[count:]] @ head.weight.T + head.bias).argmax(1)
        names = (sets[label].names[number] for number in order[count:])
        right[label] = dict(zip(names, (given == i).tolist(), strict=True))
    return right


def mean_recall(right: dict[str, dict[str, bool]]) -> float:
    """Each label counts as much."""
    return float(np.mean([np.mean(list(each.values())) for each in right.values()]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--backbone", default=backbones.DEFAULT)
    given = parser.parse_args()
    backbone = backbones.load(given.backbone)
    things, _ = classifier.widths(backbone)
    street = seen(given.shared / "street_art", ("invader", "other"), backbone)
    paintings = seen(given.shared / "paintings", PAINTERS, backbone)
    tasks = {
        "Invader or not": street,
        **{
            ", ".join(three): {name: paintings[name] for name in three} for three in itertools.combinations(PAINTERS, 3)
        },
        "flowers or not": seen(given.shared, ("flowers", "junk"), backbone),
    }
    print(f"\naccuracy on all others, each label counting as much, over {given.seeds} seeds: mean ± deviation, worst")
    print(f"{'examples of each':28}" + "".join(f"{count:>22}" for count in COUNTS))
    for title, sets in tasks.items():
        cells = []
        for count in COUNTS:
            if min(len(each.names) for each in sets.values()) < count + FEWEST_LEFT:
                cells.append("–")
                continue
            means = np.array([mean_recall(trial(sets, things, count, seed)) for seed in range(given.seeds)])
            cells.append(f"{means.mean():.3f} ± {means.std():.3f}, {means.min():.3f}")
        print(f"{title:28}" + "".join(f"{cell:>22}" for cell in cells), flush=True)
    answers = [trial(street, things, 28, seed)["other"] for seed in range(given.seeds)]
    honest = [each[name] for each in answers for name in HONEST if name in each]
    print(f"same camera and walls, but not Invader's: {sum(honest)} of {len(honest)} right with 28 examples of each")

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "data")
        for source in (given.shared / "street_art", given.shared / "paintings"):
            for label in ("invader", "other", *PAINTERS[:2]):
                for path in pictures_in(source / label)[:50]:
                    (folder / label).mkdir(parents=True, exist_ok=True)
                    (folder / label / path.name).symlink_to(path.resolve())
        begin = time.perf_counter()
        summary = classify_train(folder, name=str(Path(place, "model")), backbone=given.backbone)
        seconds = time.perf_counter() - begin
        print(f"\ntraining, {sum(summary.pictures.values())} pictures, {len(summary.labels)} labels: {seconds:.1f} s")
        begin = time.perf_counter()
        found = classify_predict(summary.model, [folder])
        print(f"prediction: {len(found) / (time.perf_counter() - begin):.1f} pictures/s, loading the model included")


if __name__ == "__main__":
    main()
