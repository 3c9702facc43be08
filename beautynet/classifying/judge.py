"""Judges: how probable it is that a photo is one of those that are wanted."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from beautynet import backbones, files
from beautynet.classifying import classifier
from beautynet.classifying.classifier import Classifier, Floats, Head, Seen
from beautynet.classifying.labelled import Example, Labelled
from beautynet.classifying.scores import OTHER, is_other
from beautynet.datasets.dedup import sha256
from beautynet.errors import BeautyError

LIKE, UNLIKE = "like", OTHER
SUFFIX = "-judge"
"""Ends the name of a dataset's judge in `checkpoints/`."""
CAUTIOUS = (1e-3,)
"""How strong a head is among mixed examples: a stronger one learns by heart which were picked out."""
FEATURES = ".features.npz"
"""In a dataset, what its photos were seen as, so that judging them again takes seconds."""


class Judge:
    """A classifier, and which of its labels are wanted. May be asked from several threads."""

    def __init__(self, network: Classifier, wanted: Sequence[str]) -> None:
        if unknown := [label for label in wanted if label not in network.labels]:
            raise BeautyError(f"the model knows no {', '.join(unknown)}: it knows {', '.join(network.labels)}")
        self.network = network
        self.wanted = [network.labels.index(label) for label in wanted]
        made = sha256(network.weight.tobytes() + network.bias.tobytes())[:8]
        self.name = f"{made}: {', '.join(sorted(wanted))}"
        """What tells it from others: one that was trained again, or is asked for other labels."""
        self._alone = threading.Lock()

    @classmethod
    def load(cls, model: str | Path, wanted: Sequence[str] = (), device: str = "auto") -> Judge:
        """A classifier (see `Classifier.load`); `wanted` are all its labels but `other` where none is named."""
        network = Classifier.load(model, device=device)
        rest = [label for label in network.labels if not is_other(label)]
        if not wanted and len(rest) == len(network.labels):
            raise BeautyError(f"say which label is wanted, with --want: {', '.join(network.labels)}")
        return cls(network, wanted or rest)

    def __call__(self, picture: Image.Image) -> float:
        """0..1, how probable it is that the picture is wanted."""
        with self._alone:
            shown = classifier.views(picture, self.network.backbone.size)[None]
            return float(self.shares(classifier.find_features(self.network.backbone, shown))[0])

    def shares(self, features: Floats) -> NDArray[np.float64]:
        """The same of pictures with these features (N, D): (N,)."""
        each = self.network.probabilities(features)[:, self.wanted]
        # with several labels to a picture, one wanted is enough
        shares: NDArray[np.float64] = each.max(1) if self.network.several else each.sum(1)
        return shares


class Trained(NamedTuple):
    """A judge made from examples, and how sure it is of those by heads that had not seen them."""

    judge: Judge
    unseen: dict[str, float]


def trained(
    like: dict[str, Floats], unlike: dict[str, Floats], backbone: backbones.Backbone, path: Path, mixed: bool
) -> Trained:
    """A judge between pictures, by name; written to `path`.

    If `mixed`, there is some junk among what is `like`, as there is in a crawl. Then a cautious head learns what was
    picked out and what was not; what looks half as likely to be picked as what was is on the border (after Elkan and
    Noto 2008, section 2), and what is beyond it counts as junk when the judge is trained. As labels count alike here,
    however few were picked, shares are an order and no probabilities.
    """
    for title, each in ((LIKE, like), ("junk", unlike)):
        if len(each) < 2:
            raise BeautyError(f"{len(each)} pictures of {title}: a judge needs two of both at least")
    unseen: dict[str, float] = {}
    if mixed:
        picked = _between(like, unlike, backbone, CAUTIOUS)[1]
        border = float(logit(float(np.mean([1 - picked[name] for name in unlike])) / 2))
        unseen = {name: float(1 / (1 + np.exp(-logit(share) - border))) for name, share in picked.items()}
        junk = [name for name in like if unseen[name] < 0.5]
        if len(like) - len(junk) >= 2:
            unlike = unlike | {name: like[name] for name in junk}
            like = {name: each for name, each in like.items() if name not in junk}
    head, sure = _between(like, unlike, backbone, classifier.STRENGTHS)
    assert head.unseen is not None  # two of both are enough
    # of labels that a head of its own gave there is no accuracy
    scores = {"cross_validated": None if mixed else head.unseen.summary()}
    header = classifier.header({LIKE: len(like), UNLIKE: len(unlike)}, scores)
    model = Classifier(backbone, (LIKE, UNLIKE), head.weight, head.bias, header)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return Trained(Judge(model, (LIKE,)), sure | unseen)


def _between(
    like: dict[str, Floats], unlike: dict[str, Floats], backbone: backbones.Backbone, strengths: Sequence[float]
) -> tuple[Head, dict[str, float]]:
    """A head between the two, and how probable each is to be like, by heads that had not seen it."""
    truth = np.repeat(np.eye(2, dtype=bool), (len(like), len(unlike)), axis=0)
    features = np.stack([*like.values(), *unlike.values()])
    things, _ = classifier.widths(backbone)
    groups = list(range(len(truth)))
    head = classifier.fit(features, things, truth, (LIKE, UNLIKE), groups, strengths=strengths, balanced=True)
    assert head.unseen is not None
    return head, dict(zip([*like, *unlike], head.unseen.probabilities[:, 0].tolist(), strict=True))


def logit(share: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The logarithm of the odds, of what is neither 0 nor 1 quite."""
    share = np.clip(share, 1e-6, 1 - 1e-6)
    odds: NDArray[np.float64] = np.log(share / (1 - share))
    return odds


def features_of(paths: Sequence[Path], backbone: backbones.Backbone, what: str) -> Iterator[tuple[Path, Floats]]:
    """Those that can be read, with their features."""
    examples = [Example(str(path), (), None, path) for path in paths]
    if examples:
        for example, seen in classifier.look_at(Labelled(Path(), examples), backbone, what):
            if isinstance(seen, Seen) and example.path:
                yield example.path, seen.features


def remembered(folder: Path, paths: Sequence[Path], network: backbones.Backbone | Classifier) -> dict[str, Floats]:
    """The features of a dataset's photos, by name; what was seen before is read from FEATURES.

    A dataset's photos are called by their content, so that a name says it all.
    """
    tuned = isinstance(network, Classifier) and bool(network.header.get("head", {}).get("tuned"))
    backbone = network.backbone if isinstance(network, Classifier) else network
    known: dict[str, Floats] = {}
    store = folder / FEATURES
    if not tuned:
        missing = suppress(OSError, EOFError, ValueError, KeyError, BadZipFile)  # or damaged: they are found again
        with missing, np.load(store, allow_pickle=False) as stored:
            if str(stored["backbone"]) == backbone.name and stored["features"].ndim == 2:
                known = dict(zip(stored["names"].tolist(), stored["features"].astype(np.float32), strict=True))
    new = dict(features_of([path for path in paths if path.name not in known], backbone, "looking"))
    known |= {path.name: features for path, features in new.items()}
    if new and not tuned:
        rows = np.stack(list(known.values())).astype(np.float16)
        with files.atomic(store) as temporary, open(temporary, "wb") as file:
            np.savez(file, backbone=np.array(backbone.name), names=np.array(list(known)), features=rows)
    return {path.name: known[path.name] for path in paths if path.name in known}
