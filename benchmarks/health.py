"""Whether runs that are spoilt on purpose are called so, and sound ones are not.

    python benchmarks/health.py PHOTOS [--steps 1600] [--size 128] [--only sound ...]

Each run is trained as a user's would be, but for what spoils it, and its log is read as the panel reads it: what was
said of it, and after how many images it was said first. Exits with 1 if that is not what is wrong with it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Set
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor

from beautynet import checkpoint as checkpoints
from beautynet.datasets.dataset import Dataset
from beautynet.errors import BeautyError
from beautynet.training import health
from beautynet.training.trainer import Trainer
from beautynet.verbs import train as training


class Case(NamedTuple):
    """A run, what is to be said of it, and what else may be."""

    said: Set[str] = frozenset()
    also: Set[str] = frozenset()
    settings: dict[str, Any] | None = None
    photos: int | None = None
    spoil: Callable[[Trainer], None] = lambda _: None


def blind(trainer: Trainer) -> None:
    """The generator is shown nothing."""
    for network in (trainer.generator, trainer.average):
        network.register_forward_pre_hook(lambda _, given: (given[0] * 0, *given[1:]))


def slow(which: int) -> Callable[[Trainer], None]:
    """One of the networks (0 the generator, 1 the discriminator) learns nothing."""

    def spoil(trainer: Trainer) -> None:
        patch.object(trainer.optimisers[which], "step", lambda *_: None).start()

    return spoil


CASES = {
    "sound": Case(),
    "sound, by rank": Case(settings={"palette": "ranked"}),
    "sound, edges": Case(settings={"condition": "edges"}),
    "the generator sees nothing": Case({"input ignored"}, {"collapse", "discriminator winning"}, spoil=blind),
    "the generator learns nothing": Case({"discriminator winning"}, {"input ignored", "collapse"}, spoil=slow(0)),
    "the discriminator learns nothing": Case({"discriminator losing"}, {"discriminator stuck"}, spoil=slow(1)),
    "100 photos": Case({"few photos"}, photos=100),
    "12 photos": Case({"too few photos"}, {"learning by heart"}, photos=12),
    "a rate of 3": Case({"input ignored"}, {"discriminator winning", "collapse", "broken"}, {"learning_rate": 3.0}),
    "a rate of 1e9": Case({"broken"}, {"input ignored", "collapse", "discriminator stuck"}, {"learning_rate": 1e9}),
}


def run(photos: Path, case: Case, **settings: Any) -> dict[str, int]:
    """After how many images each thing was said first."""
    there = Path("photos")
    there.mkdir()
    chosen = Dataset.open(photos).photos
    for number, path in enumerate(Random(0).sample(chosen, case.photos or len(chosen))):
        os.symlink(path.resolve(), there / f"{number:05}{path.suffix}")
    step = Trainer.step

    def spoilt(trainer: Trainer, *given: Any) -> dict[str, Tensor]:
        if not trainer.progress.steps:
            case.spoil(trainer)
        return step(trainer, *given)

    finished = False
    # a broken one ends with an error, and its log says so
    with patch.object(Trainer, "step", spoilt), suppress(BeautyError):
        finished = training.train(there, **(settings | (case.settings or {}))).finished
    rows = checkpoints.read_log(checkpoints.CHECKPOINTS / "photos")
    if not finished and "broken" not in case.said | case.also:
        raise RuntimeError("the run did not come to its end")
    first: dict[str, int] = {}
    for count, row in enumerate(rows, 1):
        for finding in health.findings(rows[:count]):
            first.setdefault(finding.kind, row["images"])
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    given = parser.parse_args()
    photos, wrong = given.photos.resolve(), []
    for name in given.only:
        case = CASES[name]
        with tempfile.TemporaryDirectory() as place:
            os.chdir(place)
            said = run(photos, case, steps=given.steps, size=given.size)
            os.chdir("/")
        right = case.said <= said.keys() <= case.said | case.also
        wrong += [] if right else [name]
        words = ", ".join(f"{kind} (after {images:,})" for kind, images in said.items()) or "nothing"
        print(f"{'' if right else 'WRONG: '}{name}: {words}", flush=True)
    sys.exit(f"{len(wrong)} of {len(given.only)} went wrong" if wrong else None)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    main()
