"""What the figures of a training run say of its health, in plain words, and what to do about it.

    for finding in findings(rows_of_the_log):
        print(finding.kind, finding.seen, finding.advice)

A row is a line of `log.jsonl`; `trainer.py` and `examiner.py` say what its figures mean. Nothing here touches a
network, so the panel, the report, `info` and a page can all ask, during the run and long after it. The thresholds come
from runs that were spoilt on purpose, and from sound ones, which must not be called ill.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

WINDOW = 60
"""So many of the newest rows are judged, a minute of training: a bad moment is none of a run's faults."""
ENOUGH = 20
"""With fewer rows than this nothing is said of the two networks."""
WARM_UP = 2000
"""Nor before so many images."""
IGNORED, COLLAPSED = 0.02, 0.12
"""`variety` under this. A network that is shown edges only knows nothing of colours: 0.2 is sound for it."""
SWAPPED = 0.97
"""`seen` and `unseen` over this: the pictures of others fit a photo as well as its own. Of edges 0.85 and 1.04 are
sound, which tell nothing of colours, and both are near 1 at first."""
WINNING, LOSING, STUCK = 0.9, 0.53, 0.05
"""How often the discriminator is right: on average over the first or under the second, on either under the third."""
COPIED, BY_HEART = 2.0, 0.9
"""`unseen` over `seen`; `by_heart`."""
SLOW_START = 5000
"""Images after which a discriminator that guesses is losing, and pictures that fit any photo are nobody's: where the
condition tells much the discriminator takes 3,000 to start, and from edges colours take as many."""
FEW_PHOTOS, ENOUGH_PHOTOS = 50, 200


@dataclass(frozen=True)
class Finding:
    """Something wrong with a run: what is seen, and what to do, a sentence each."""

    kind: str
    seen: str
    advice: str

    def __str__(self) -> str:
        """Both sentences."""
        return f"{self.seen} {self.advice}"


def warming_up(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether it is too early to say anything of the networks."""
    return len(rows) < ENOUGH or rows[-1]["images"] < WARM_UP


def state(rows: Sequence[Mapping[str, Any]]) -> str:
    """How a run is, in a word or two: what is wrong with it, or that nothing is, or that it is too early to say."""
    if found := findings(rows):
        return " · ".join(finding.kind for finding in found)
    return "warming up" if warming_up(rows) else "healthy"


def findings(rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """What is wrong, by the newest rows of the log, oldest first; the worst first. Nothing when all is well."""
    if not rows:
        return []
    newest = rows[-WINDOW:]
    if broken := [name for name, value in newest[-1].items() if value is None]:
        return [
            Finding(
                "broken",
                f"The figures are no longer numbers ({', '.join(broken)}).",
                "The run has stopped and its last good save is kept: try a smaller --learning-rate under another "
                "--name.",
            )
        ]
    figures = {name: median([row[name] for row in newest if name in row]) for name in newest[-1]}
    found = [] if warming_up(rows) else [*_answers(figures), *_contest(figures), *_by_heart(figures)]
    return [*found, *_photos(figures)]


def _answers(figures: Mapping[str, float]) -> Iterator[Finding]:
    """Whether the network answers to what it is shown: the swap test, and how unlike its answers are."""
    variety = figures.get("variety", 1)
    swapped = min(figures.get("seen", 0), figures.get("unseen", figures.get("seen", 0)))
    if variety < IGNORED or (swapped > SWAPPED and figures["images"] > SLOW_START):
        yield Finding(
            "input ignored",
            "The network does not look at what it is shown: swap the conditions, and the pictures fit as well.",
            "Raise --l1, or lower --abstraction so that the condition tells it more.",
        )
    elif variety < COLLAPSED:
        yield Finding(
            "collapse",
            f"The pictures are nearly alike: {variety:.0%} of the variety of the photos.",
            "Start again under another --name with a smaller --learning-rate, or more --l1 and --perceptual.",
        )


def _contest(figures: Mapping[str, float]) -> Iterator[Finding]:
    """Whether discriminator and generator are a match for each other."""
    real, fake = figures["real"], figures["fake"]
    if min(real, fake) < STUCK:
        yield Finding(
            "discriminator stuck",
            f"The discriminator gives every picture the same answer (right on {real:.0%} of photos, {fake:.0%} of "
            "paintings).",
            "Start again under another --name with a smaller --learning-rate or another --seed.",
        )
    elif real + fake > 2 * WINNING:
        yield Finding(
            "discriminator winning",
            f"The discriminator is hardly ever fooled (right on {real:.0%} of photos, {fake:.0%} of paintings), so it "
            "has nothing left to teach.",
            "More photos help most; else a smaller --learning-rate or more --perceptual.",
        )
    elif real + fake < 2 * LOSING and figures["images"] > SLOW_START:
        yield Finding(
            "discriminator losing",
            f"The discriminator can only guess (right on {real:.0%} of photos, {fake:.0%} of paintings), so nothing "
            "pulls the pictures towards photos.",
            "Lower --l1 and --perceptual, or try another --learning-rate.",
        )


def _by_heart(figures: Mapping[str, float]) -> Iterator[Finding]:
    """Whether what was trained on is known too well, by the pictures or by the discriminator."""
    painted = figures.get("unseen", 0) > COPIED * figures.get("seen", 1)
    if painted or figures.get("by_heart", 0) > BY_HEART:
        yield Finding(
            "learning by heart",
            "The training photos are known by heart: "
            + (
                "their pictures fit far better than those of held-out photos."
                if painted
                else "the discriminator cannot tell photos that were held out from paintings."
            ),
            "More photos help most; else stop here (fewer --minutes) or take a smaller --preset.",
        )


def _photos(figures: Mapping[str, float]) -> Iterator[Finding]:
    """Whether there are enough of them."""
    count = int(figures.get("photos", ENOUGH_PHOTOS))
    if count < ENOUGH_PHOTOS:
        yield Finding(
            "too few photos" if count < FEW_PHOTOS else "few photos",
            f"{count} photos are {'very ' if count < FEW_PHOTOS else ''}few: the network will know them by heart.",
            f"Gather {ENOUGH_PHOTOS} or more, for example with `beautynet scrape`; or --init a run that has seen many.",
        )


# --- of a report ----------------------------------------------------------------------------------------------------

TOLD = 0.5
"""A scene is told as long as so much of what its condition keeps of it, beyond chance, is kept by the dream."""
TELLING = 0.05
"""A figure of a condition has to be so far from chance to say anything."""
OWN = 0.95
"""A picture as far from its own photo as so much of the distance of any other's picture is not of it."""
STRUCTURE = ("everyday_palette", "everyday_edges", "everyday_luminance")


def is_told(figures: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether everyday scenes can be told in their dreams, by figures of a report: {name: {column: value}}."""
    kept = [
        (of["output"] - of["by chance"]) / beyond
        for of in (figures[name] for name in STRUCTURE if name in figures)
        if (beyond := of["condition"] - of["by chance"]) > TELLING
    ]
    return max(kept, default=1.0) >= TOLD


def measured(figures: Mapping[str, Mapping[str, float]]) -> Iterator[Finding]:
    """What is wrong with a network by the figures of its report: {name: {column: value}}."""
    kid, unlike = figures["kid"], figures["perceptual"]
    if kid["output"] >= kid["condition"]:
        yield Finding(
            "worse than nothing",
            f"Its pictures are less like photos than what it was shown (KID {kid['output']:.0f} and "
            f"{kid['condition']:.0f}).",
            "Train it for longer: more --minutes with the same command go on.",
        )
    if unlike["output"] > OWN * unlike["by chance"]:
        yield Finding(
            "input ignored",
            "Its pictures fit other photos as well as their own.",
            "Train it for longer, raise --l1, or lower --abstraction so that the condition tells it more.",
        )
    if figures["diversity"]["output"] < COLLAPSED:
        yield Finding(
            "collapse",
            f"Its pictures are nearly alike: {figures['diversity']['output']:.0%} of the diversity of photos.",
            "Train again under another --name with a smaller --learning-rate, or more --l1 and --perceptual.",
        )
    if (nearer := figures["copying"]["output"]) > BY_HEART:
        yield Finding(
            "learnt by heart",
            f"Its pictures are nearer to training photos than new photos are ({nearer:.0%} of the time).",
            "More photos help most; else train for less, or take a smaller --preset.",
        )
    if "dream" in figures and not is_told(figures):
        yield Finding(
            "scene lost",
            "Everyday scenes cannot be told in its dreams, so that their score says nothing.",
            "Lower --abstraction, raise --l1, or train it for longer.",
        )
