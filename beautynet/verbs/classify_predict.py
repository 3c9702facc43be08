"""What a classifier says of pictures, and where it looked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beautynet import files
from beautynet.classifying import classifier
from beautynet.classifying.classifier import Classifier, Seen
from beautynet.console import progress
from beautynet.decode import SUFFIXES, decode
from beautynet.errors import BeautyError, UsageError


@dataclass(frozen=True)
class Prediction:
    """What a picture is: its labels with their probabilities, the likeliest first; or why it could not be looked at."""

    path: Path
    probabilities: dict[str, float]
    reason: str | None = None
    heat: Path | None = None
    """The picture with where it looked for the likeliest label."""

    @property
    def label(self) -> str | None:
        """The likeliest."""
        return next(iter(self.probabilities), None)

    def line(self) -> str:
        """For people."""
        if self.reason:
            return f"skipped {self.path}: {self.reason}"
        said = "  ".join(f"{label} {share:.0%}" for label, share in self.probabilities.items())
        return f"{self.path}: {said}" + (f"  ({self.heat})" if self.heat else "")

    def json(self) -> str:
        """For programs."""
        values: dict[str, Any] = {"path": str(self.path), "labels": self.probabilities}
        values |= {"reason": self.reason} if self.reason else {}
        values |= {"heat": str(self.heat)} if self.heat else {}
        return json.dumps(values, ensure_ascii=False)


def classify_predict(
    model: str | Path | Classifier | None,
    paths: files.Paths,
    *,
    top: int | None = None,
    heat: str | Path | None = None,
    device: str = "auto",
) -> list[Prediction]:
    """The `top` likeliest labels (None: all) of pictures, or of all in folders; in `heat`, a folder, where it looked.

    `model` is a file, a folder or a name in `checkpoints/`, or one that is loaded; None is the newest. What cannot be
    read has a reason instead. Raises BeautyError.
    """
    if top is not None and top < 1:
        raise UsageError("--top has to be at least 1")
    asked = [path for path, _ in files.named(paths, SUFFIXES)]
    if not asked:
        raise BeautyError(f"no pictures in {', '.join(map(str, files.listed(paths)))}")
    network = model if isinstance(model, Classifier) else Classifier.load(model, device=device)
    found = []
    with progress("pictures") as bar:
        task = bar.add_task("looking", total=len(asked))
        for path, seen in zip(asked, classifier.look(network.backbone, asked), strict=True):
            bar.advance(task)
            if not isinstance(seen, Seen):
                found.append(Prediction(path, {}, str(seen)))
                continue
            named = network.named(network.probabilities(seen.features[None])[0])
            place = Path(heat, f"{len(found):04}.{path.stem}.jpg") if heat is not None else None
            if place:
                files.write_picture(place, network.overlaid(decode(path), next(iter(named))), quality=90)
            found.append(Prediction(path, dict(list(named.items())[:top]), None, place))
    return found
