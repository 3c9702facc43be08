"""How good a classifier's answers are, and what that says about its pictures in plain words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

OTHER = "other"
"""A word of a label for anything else: nothing that is looked for."""
FEW = 20
"""Pictures of a label to train on, under which more of them help the most (see docs/classify.md)."""
CONFIDENT = 0.9
"""Probability of another label from which on a picture's own label may be wrong."""
BINS = 10


def is_other(label: str) -> bool:
    """Whether a label says "none of these"."""
    return OTHER in label.lower().split()


@dataclass(frozen=True)
class LabelScore:
    """One label: `pictures` that have it, and of them and of those named so the share that is right."""

    label: str
    pictures: int
    precision: float | None
    """None where no picture was given the label."""
    recall: float | None
    """None where none has it."""
    average_precision: float | None


@dataclass(frozen=True)
class Scores:
    """Answers beside the truth: bool and float (N, L), L the labels; probabilities of 0..1."""

    labels: Sequence[str]
    truth: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    several: bool = False
    """A picture may have several labels: each is then given from a probability of one half on, not the likeliest."""

    @cached_property
    def given(self) -> NDArray[np.bool_]:
        """The labels that each picture was given: (N, L)."""
        if self.several:
            return self.probabilities >= 0.5
        given: NDArray[np.bool_] = np.arange(len(self.labels)) == self.probabilities.argmax(1)[:, None]
        return given

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether each picture was given just what it has: (N,)."""
        right: NDArray[np.bool_] = (self.given == self.truth).all(1)
        return right

    @property
    def accuracy(self) -> float:
        """The share of pictures that were given just what they have."""
        return float(self.right.mean())

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the labels' recalls: what a rare label counts as much in as a common one."""
        return float(np.mean([each.recall for each in self.by_label if each.recall is not None]))

    @cached_property
    def by_label(self) -> list[LabelScore]:
        """Precision, recall and average precision of each."""
        from sklearn.metrics import average_precision_score

        hits, had, named = (self.given & self.truth).sum(0), self.truth.sum(0), self.given.sum(0)
        return [
            LabelScore(
                label,
                int(had[i]),
                float(hits[i] / named[i]) if named[i] else None,
                float(hits[i] / had[i]) if had[i] else None,
                float(average_precision_score(self.truth[:, i], self.probabilities[:, i])) if had[i] else None,
            )
            for i, label in enumerate(self.labels)
        ]

    def confusion(self) -> NDArray[np.int64]:
        """Pictures by (what they are, what they were given): (L, L). Only where each has one label."""
        table = np.zeros((len(self.labels), len(self.labels)), np.int64)
        np.add.at(table, (self.truth.argmax(1), self.given.argmax(1)), 1)
        return table

    @cached_property
    def calibration(self) -> list[tuple[float, float, int]]:
        """For tenths of confidence that have answers: (mean confidence, share that was right, answers)."""
        if self.several:
            sure, right = self.probabilities.ravel(), self.truth.ravel()
        else:
            sure, right = self.probabilities.max(1), self.right
        bins = np.minimum((sure * BINS).astype(int), BINS - 1)
        chosen = [bins == number for number in range(BINS)]
        return [(float(sure[c].mean()), float(right[c].mean()), int(c.sum())) for c in chosen if c.any()]

    @property
    def calibration_error(self) -> float:
        """How far confidence and share of right answers are apart on average (expected calibration error)."""
        counts = sum(count for _, _, count in self.calibration)
        return sum(abs(sure - right) * count for sure, right, count in self.calibration) / counts

    def curve(self, label: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """(threshold, precision, recall) of a label that some picture has."""
        from sklearn.metrics import precision_recall_curve

        precision, recall, threshold = precision_recall_curve(self.truth[:, label], self.probabilities[:, label])
        return threshold, precision[:-1], recall[:-1]

    def mistakes(self) -> list[int]:
        """The pictures that were given something else, the most confident first."""
        wrong = self.given != self.truth
        sure = np.where(wrong, np.abs(self.probabilities - 0.5) if self.several else self.probabilities, 0).max(1)
        return [int(i) for i in np.argsort(-sure, kind="stable") if not self.right[i]]

    def summary(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "pictures": len(self.truth),
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "calibration_error": self.calibration_error,
            "by_label": [asdict(each) for each in self.by_label],
            "confusion": None if self.several else self.confusion().tolist(),
        }


@dataclass(frozen=True)
class Suspect:
    """A picture whose label may be wrong: trained without it, the classifier is sure of another one."""

    name: str
    label: str
    rather: str
    confidence: float


def suspects(names: Sequence[str], unseen: Scores) -> list[Suspect]:
    """The pictures whose label is probably wrong; `unseen` are answers of classifiers that never saw the picture.

    Confident disagreement out of fold, as in confident learning (Northcutt, Jiang and Chuang 2021). The surest first.
    """
    found = []
    for i, name in enumerate(names):
        likeliest = int(unseen.probabilities[i].argmax())
        sure = float(unseen.probabilities[i, likeliest])
        own = int(np.where(unseen.truth[i], unseen.probabilities[i], -1).argmax())
        if not unseen.truth[i, likeliest] and sure >= CONFIDENT:
            found.append(Suspect(name, unseen.labels[own], unseen.labels[likeliest], sure))
    return sorted(found, key=lambda each: -each.confidence)


def twins(names: Sequence[str], labels: Sequence[Sequence[str]], groups: Sequence[int]) -> list[tuple[str, str]]:
    """Pairs of the same picture that do not have the same labels."""
    members: Mapping[int, list[int]] = defaultdict(list)
    for i, number in enumerate(groups):
        members[number].append(i)
    return [
        (names[i], names[j])
        for same in members.values()
        for i, j in combinations(same, 2)
        if set(labels[i]) != set(labels[j])
    ]


def advice(
    trained_on: Counter[str],
    unseen: Scores | None,
    doubtful: Sequence[Suspect] = (),
    doubles: Sequence[tuple[str, str]] = (),
    several: bool = False,
) -> list[str]:
    """What would help the most, a sentence each.

    `unseen` are answers on pictures that were not trained on, None where there are too few to have any; `several` is
    whether a picture may have several labels.
    """
    said = []
    if few := [f"{label} ({count})" for label, count in sorted(trained_on.items(), key=lambda e: e[1]) if count < FEW]:
        said.append(f"Few pictures of {_listed(few)}: {FEW} or more of each label make the answers firm.")
    most, least = max(trained_on.values()), min(trained_on.values())
    if most > 10 * least:
        common, rare = (max(trained_on, key=trained_on.__getitem__), min(trained_on, key=trained_on.__getitem__))
        said.append(f"{common} has {most} pictures and {rare} {least}: what is rare is overlooked; add some of it.")
    if unseen and not several:
        table = unseen.confusion()
        had = table.sum(1)
        pairs = sorted(combinations(range(len(table)), 2), key=lambda p: -(table[p] + table[p[::-1]]))
        for i, j in pairs[:3]:
            mixed = int(table[i, j] + table[j, i])
            if mixed >= 2 and mixed > 0.1 * (had[i] + had[j]):
                said.append(
                    f"{unseen.labels[i]} and {unseen.labels[j]} are taken for each other "
                    f"({mixed} of {had[i] + had[j]}): give more of both, above all such as look alike; or join them."
                )
    if doubtful:
        first = [f"{each.name} ({each.label}, rather {each.rather})" for each in doubtful]
        said.append(f"Labels that may be wrong ({len(doubtful)}): {_listed(first, 3)}.")
    if doubles:
        first = [f"{one} and {other}" for one, other in doubles]
        said.append(f"The same picture with different labels ({len(doubles)} times): {_listed(first, 3)}.")
    if not several and not any(is_other(label) for label in trained_on):
        said.append(
            f"There is no label `{OTHER}`: whatever it is shown will be called one of {len(trained_on)}. A folder "
            f"`{OTHER}` with pictures of anything else lets it say none of these."
        )
    return said


def _listed(items: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + rest
