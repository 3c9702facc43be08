"""Health in plain words: series as sound and as spoilt runs leave them, and what is said of each."""

import itertools
from typing import Any

import pytest

from beautynet.training import health

SOUND: dict[str, Any] = {
    **{"steps": 2000, "images": 8000, "seconds": 300.0, "images_per_second": 26.0, "photos": 629},
    **{"d": 1.7, "g": 3.0, "adversarial": 0.4, "perceptual": 0.2, "l1": 0.28, "real": 0.55, "fake": 0.75},
    **{"seen": 0.5, "unseen": 0.52, "variety": 0.8, "by_heart": 0.2},
}


def series(count: int = 40, **change: Any) -> list[dict[str, Any]]:
    """Rows of a log, the last as SOUND with `change`."""
    return [{**SOUND, **change, "steps": number, "images": 8000 - count + number} for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({}, []),
        ({"real": 0.99, "fake": 1.0, "d": 0.02, "adversarial": 2.5}, ["discriminator winning"]),
        ({"real": 0.45, "fake": 0.55, "d": 1.99}, ["discriminator losing"]),
        ({"real": 0.9, "fake": 0.01}, ["discriminator stuck"]),
        ({"variety": 0.0}, ["input ignored"]),
        ({"seen": 1.0, "unseen": 0.99}, ["input ignored"]),
        ({"seen": 0.9, "unseen": 0.98}, []),
        ({"variety": 0.08}, ["collapse"]),
        ({"by_heart": 1.1}, ["learning by heart"]),
        ({"seen": 0.2, "unseen": 0.5}, ["learning by heart"]),
        ({"photos": 120}, ["few photos"]),
        ({"photos": 5}, ["too few photos"]),
        (
            {"variety": 0.0, "real": 1.0, "fake": 1.0, "photos": 5},
            ["input ignored", "discriminator winning", "too few photos"],
        ),
    ],
)
def test_what_is_said(change: dict[str, Any], kinds: list[str]) -> None:
    found = health.findings(series(**change))
    assert [finding.kind for finding in found] == kinds
    for finding in found:
        assert all(sentence[0].isalnum() and sentence.endswith(".") for sentence in (finding.seen, finding.advice))
        assert str(finding) == f"{finding.seen} {finding.advice}"
    assert health.state(series(**change)) == (" · ".join(kinds) or "healthy")


def test_nothing_is_said_too_early_but_of_the_photos() -> None:
    assert health.findings([]) == []
    few = {"photos": 5, "real": 1.0, "fake": 1.0}
    early = [row | {"images": 500} for row in series(**few)]
    for rows in (series(**few)[: health.ENOUGH - 1], early):
        assert health.warming_up(rows)
        assert [finding.kind for finding in health.findings(rows)] == ["too few photos"]


def test_a_discriminator_may_start_slowly() -> None:
    for slow in ({"real": 0.5, "fake": 0.5}, {"seen": 1.0, "unseen": 0.99}):  # and so may colours
        rows = [row | {"images": 3000} for row in series(**slow)]
        assert health.findings(rows) == []


def test_a_bad_moment_is_none_of_a_runs_faults() -> None:
    rows = series()
    rows[-8:] = series(8, real=1.0, fake=1.0, variety=0.0)
    assert health.findings(rows) == []


def test_figures_that_are_no_numbers() -> None:
    rows = [*series(), {"steps": 41, "images": 8001, "d": None, "l1": 0.3}]
    (finding,) = health.findings(rows)
    assert finding.kind == "broken"
    assert "(d)" in finding.seen


def test_logs_of_old_are_understood() -> None:
    added = ("photos", "seen", "unseen", "variety", "by_heart")
    rows = [{name: value for name, value in row.items() if name not in added} for row in series()]
    assert health.findings(rows) == []
    mixed = list(itertools.chain(rows[:20], series(20, variety=0.0)))
    assert [finding.kind for finding in health.findings(mixed)] == ["input ignored"]


REPORT = {
    "kid": {"output": 19.0, "condition": 139.0},
    "perceptual": {"output": 0.4, "by chance": 0.8},
    "diversity": {"output": 0.9},
    "copying": {"output": 0.45},
    "dream": {"output": 0.8},
    "everyday_edges": {"output": 0.75, "condition": 0.8, "by chance": 0.5},
    "everyday_luminance": {"output": 0.8, "condition": 0.85, "by chance": 0.0},
}


@pytest.mark.parametrize(
    ("name", "figures", "kinds"),
    [
        ("kid", {"output": 19.0, "condition": 139.0}, []),
        ("kid", {"output": 139.0, "condition": 139.0}, ["worse than nothing"]),
        ("perceptual", {"output": 0.79, "by chance": 0.8}, ["input ignored"]),
        ("diversity", {"output": 0.05}, ["collapse"]),
        ("copying", {"output": 0.97}, ["learnt by heart"]),
        ("everyday_luminance", {"output": 0.1, "condition": 0.85, "by chance": 0.0}, []),  # edges tell it
    ],
)
def test_what_is_said_of_a_report(name: str, figures: dict[str, float], kinds: list[str]) -> None:
    found = list(health.measured(REPORT | {name: figures}))
    assert [finding.kind for finding in found] == kinds
    for finding in found:
        assert all(sentence[0].isalnum() and sentence.endswith(".") for sentence in (finding.seen, finding.advice))


def test_a_dream_without_its_scene_is_none() -> None:
    lost = {name: {**REPORT[name], "output": REPORT[name]["by chance"] + 0.1} for name in REPORT if "everyday" in name}
    assert health.is_told(REPORT)
    assert not health.is_told(lost)
    assert [finding.kind for finding in health.measured(REPORT | lost)] == ["scene lost"]
    # a condition of lines knows nothing of light, and lines alone will do
    lines = {"output": 0.9, "condition": 1.0, "by chance": 0.5}
    assert health.is_told({"everyday_edges": lines, "everyday_luminance": {**lines, "output": 0.5, "condition": 0.5}})
