"""Train a classifier on a few dozen labelled pictures: frozen features and a linear head, in seconds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beautynet import backbones
from beautynet import checkpoint as checkpoints
from beautynet.backbones import Backbone
from beautynet.classifying import classifier, labelled, tuning
from beautynet.classifying.classifier import Classifier, Floats, Head, Seen
from beautynet.classifying.labelled import Example, Labelled
from beautynet.classifying.scores import Scores, advice, suspects, twins
from beautynet.console import console, progress
from beautynet.devices import pick_device
from beautynet.errors import BeautyError, UsageError

MOST_LABELS = 1000


@dataclass(frozen=True)
class ClassifySummary:
    """What was trained. Accuracies are None where there were too few pictures to tell."""

    model: Path
    labels: tuple[str, ...]
    pictures: dict[str, int]
    """By their place: training, validation, test."""
    cross_validated: float | None
    """Accuracy on the training pictures, each by a classifier that was trained without it; None of a fine-tuned one."""
    test: float | None
    """Accuracy on the pictures of the test split."""
    tuned: bool
    """Whether fine-tuning was better on the validation pictures, and kept."""
    skipped: tuple[tuple[str, str], ...]
    advice: tuple[str, ...]
    seconds: float

    def sentence(self) -> str:
        """All of it in words."""
        text = (
            f"{self.model}: {len(self.labels)} labels from {self.pictures['training']} pictures in {self.seconds:.0f} s"
        )
        if self.tuned:
            text += ", fine-tuned"
        if self.cross_validated is not None:
            text += f"; {self.cross_validated:.0%} right when cross-validated"
        if self.test is not None:
            text += f", {self.test:.0%} of {self.pictures['test']} kept to test on"
        return text


@dataclass
class _Pictures:
    """What was read: each with its features, truth and place."""

    examples: list[Example]
    features: Floats
    truth: NDArray[np.bool_]
    groups: list[int]
    hashes: list[str]
    places: NDArray[np.str_]
    whole: NDArray[np.uint8] | None
    """The pictures themselves, squares; where they are to be fine-tuned on."""

    def at(self, place: str) -> NDArray[np.intp]:
        return np.flatnonzero(self.places == place)


def classify_train(
    data: str | Path,
    *,
    labels: str | Path | None = None,
    name: str | None = None,
    backbone: str = backbones.DEFAULT,
    finetune: bool = False,
    minutes: float = 3.0,
    seed: int = 0,
    device: str = "auto",
) -> ClassifySummary:
    """Train on the pictures in `data` (see `Labelled.read`) into checkpoints/NAME/classifier.safetensors.

    A tenth of each label is kept to test on and a tenth to validate, unless the data say which. `finetune` lets the
    backbone's last layers learn too, for `minutes`; that is kept if it is better on the validation pictures. What
    cannot be read is left out and named. The same data and seed give the same classifier (but for `finetune`, which
    goes by the clock). Raises BeautyError.
    """
    began = time.perf_counter()
    if minutes <= 0:
        raise UsageError("--minutes has to be over 0")
    data_read = Labelled.read(data, labels)
    _check(data_read)
    network = backbones.load(backbone, pick_device(device))
    pictures = _read(data_read, network, seed, finetune)
    names, several = data_read.labels, data_read.several
    places = {place: pictures.at(place) for place in labelled.SPLITS}
    training, validation, test = places.values()
    missing = [label for i, label in enumerate(names) if not pictures.truth[training, i].any()]
    if missing:
        raise BeautyError(f"no picture of {', '.join(missing)} is left to train on: give more of it, or no `split`")
    head = _fit(data_read, pictures, network)
    better = _tuned(data_read, pictures, head, network, 60 * minutes, seed) if finetune else None
    unseen = head.unseen  # of the frozen network: layers that were tuned have seen every training picture
    cross_validated = None if better else unseen
    head = better or head

    trained_on = Counter({label: int(pictures.truth[training, i].sum()) for i, label in enumerate(names)})
    chosen = [pictures.examples[i] for i in training]
    doubtful = suspects([each.name for each in chosen], unseen) if unseen else []
    doubles = twins([e.name for e in pictures.examples], [e.labels for e in pictures.examples], pictures.groups)
    model = Classifier(network, names, head.weight, head.bias, {"several": several})
    scores = {
        place: Scores(names, pictures.truth[at], model.probabilities(pictures.features[at]), several)
        for place, at in (("validation", validation), ("test", test))
        if len(at)
    }
    said = advice(trained_on, unseen, doubtful, doubles, several)
    path = checkpoints.CHECKPOINTS / (name or _name(data_read.place)) / checkpoints.CLASSIFIER.file
    path.parent.mkdir(parents=True, exist_ok=True)
    model.header |= classifier.header(
        trained_on,
        {
            "cross_validated": cross_validated.summary() if cross_validated else None,
            **{place: each.summary() for place, each in scores.items()},
        },
        several=several,
        data=str(data_read.place),
        table=str(labels) if labels is not None else None,
        pictures={place: [pictures.examples[i].name for i in at] for place, at in places.items()},
        seen=sorted(pictures.hashes[i] for i in (*training, *validation)),
        head={"strength": head.strength, "style": head.style, "tuned": better is not None, "seed": seed},
        suspects=[asdict(each) for each in doubtful],
        twins=doubles,
        advice=said,
    )
    model.save(path, dict(network.late) if better else None)
    return ClassifySummary(
        path,
        tuple(names),
        {place: len(at) for place, at in places.items()},
        cross_validated.accuracy if cross_validated else None,
        scores["test"].accuracy if "test" in scores else None,
        better is not None,
        tuple(data_read.skipped),
        tuple(said),
        time.perf_counter() - began,
    )


def _name(place: Path) -> str:
    resolved = place.resolve()
    return resolved.name if resolved.is_dir() else resolved.stem


def _check(data: Labelled) -> None:
    names = data.labels
    if len(names) < 2:
        raise BeautyError(
            f"{data.place} has one label only ({names[0]}): add pictures of something else, in a "
            "folder `other` beside it"
        )
    if len(names) > MOST_LABELS:
        raise BeautyError(
            f"{data.place} has {len(names):,} labels; {MOST_LABELS:,} at most: is the column the right one?"
        )


def _read(data: Labelled, network: Backbone, seed: int, keep: bool) -> _Pictures:
    """Look at all pictures; those that cannot be read go to `data.skipped`."""
    whole: list[NDArray[np.uint8]] | None = [] if keep else None
    answers = list(classifier.look_at(data, network, "looking", whole))
    read = [(example, seen) for example, seen in answers if isinstance(seen, Seen)]
    data.skipped += [(example.name, str(seen)) for example, seen in answers if not isinstance(seen, Seen)]
    for name, reason in data.skipped:
        console.print(f"skipped {name}: {reason}", style="yellow", soft_wrap=True)
    names = data.labels
    data.examples = kept = [example for example, _ in read]
    if gone := sorted(set(names) - set(data.labels)):
        raise BeautyError(f"no picture of {', '.join(gone)} can be read: give others")
    groups = labelled.groups([seen.hashes for _, seen in read])
    return _Pictures(
        kept,
        np.stack([seen.features for _, seen in read]),
        np.array([[label in example.labels for label in names] for example in kept]),
        groups,
        [seen.hashes[0] for _, seen in read],
        np.array(labelled.split(kept, groups, seed)),
        np.stack(whole) if whole else None,
    )


def _fit(
    data: Labelled,
    pictures: _Pictures,
    network: Backbone,
    strengths: Sequence[float] = classifier.STRENGTHS,
    styles: Sequence[bool] = (True, False),
) -> Head:
    """A head on the training pictures."""
    things, _ = classifier.widths(network)
    at = pictures.at("training")
    features, truth, groups = pictures.features[at], pictures.truth[at], [pictures.groups[i] for i in at]
    return classifier.fit(features, things, truth, data.labels, groups, data.several, strengths, styles=styles)


def _tuned(
    data: Labelled, pictures: _Pictures, head: Head, network: Backbone, seconds: float, seed: int
) -> Head | None:
    """A head on fine-tuned features, if it does better on the validation pictures; the network is as it was if not."""
    assert pictures.whole is not None
    training, validation = pictures.at("training"), pictures.at("validation")
    if not len(validation):
        raise BeautyError("--finetune has to be judged by validation pictures: give 6 or more of each label")
    before = {name: value.detach().clone() for name, value in network.late.items()}
    with progress("") as bar:
        task = bar.add_task("fine-tuning", total=None)
        spent = partial(bar.update, task, total=round(seconds))
        tuning.finetune(
            network,
            pictures.whole[training],
            pictures.truth[training],
            data.several,
            seconds,
            seed,
            lambda fraction: spent(completed=round(fraction * seconds)),
        )
    frozen = pictures.features
    pictures.features = np.stack(
        [seen.features for _, seen in classifier.look_at(data, network, "looking again") if isinstance(seen, Seen)]
    )
    # Layers that have seen all training pictures make cross-validation on them too sure of itself.
    new = _fit(data, pictures, network, (head.strength,), (head.style,))
    # Compared at their best temperature, as the new one has had none of its own; but a picture or two are too few to
    # give it that for good.
    (_, without), (_, tuned) = (
        classifier.tempered(features[validation] @ each.weight.T + each.bias, pictures.truth[validation], data.several)
        for features, each in ((frozen, head), (pictures.features, new))
    )
    if tuned < without:
        return new
    console.print(f"fine-tuning is left out: {tuned:.3f} on validation pictures, {without:.3f} without (log loss)")
    pictures.features = frozen
    classifier.restore(network, before)
    return None
