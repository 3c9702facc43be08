"""The live panel: what it says of a run, on a terminal and in a log."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from beautynet.config import TrainConfig
from beautynet.training import health, panel

HEALTHY = {
    "d": 1.2,
    "g": 3.0,
    "adversarial": 0.3,
    "perceptual": 0.2,
    "texture": 0.1,
    "scenes": 0.3,
    "l1": 0.25,
    "real": 0.6,
    "fake": 0.7,
}
ROW = {"steps": 10, "images": 4321, "seconds": 60.0, "images_per_second": 12.5, **HEALTHY}


def shown(config: TrainConfig, fraction: float, row: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> str:
    text = io.StringIO()
    terminal = Console(file=text, force_terminal=True, width=120, color_system=None)
    monkeypatch.setattr(panel, "console", terminal)
    with panel.TrainPanel(Path("checkpoints/flowers"), config, 950, "cpu") as live:
        live.update(fraction, row)
        live.saved()
    return text.getvalue()


@pytest.mark.parametrize(
    ("config", "left"), [(TrainConfig(minutes=120), "1:30:00"), (TrainConfig(steps=40), "0:03:00")]
)
def test_a_terminal_shows_it_all(config: TrainConfig, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(config, 0.25, ROW, monkeypatch)
    for fact in ("950 photos", "4,321", "12.5", "0.250", left, "60% of photos", "saved 0 s ago", "warming up"):
        assert fact in text


def test_a_log_gets_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    with panel.TrainPanel(Path("checkpoints/flowers"), TrainConfig(), 950, "cpu") as live:
        live.update(0.5, ROW)
        live.update(0.5, ROW)
    said = " ".join(capfd.readouterr().err.split())
    assert said.count("50%") == 1
    assert "12.5 images/s" in said
    assert "l1 0.250" in said


def test_a_log_is_told_once_what_is_wrong(capfd: pytest.CaptureFixture[str]) -> None:
    with panel.TrainPanel(Path(), TrainConfig(), 5, "cpu") as live:
        assert live.health() == "warming up"
        for _ in range(health.ENOUGH):
            live.update(0.5, ROW | {"photos": 5, "real": 1.0, "fake": 1.0})
    assert live.health() == "discriminator winning · too few photos"
    said = " ".join(capfd.readouterr().err.split())
    assert all(said.count(str(finding)) == 1 for finding in live.findings)


def test_a_terminal_gives_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(TrainConfig(), 0.25, ROW | {"photos": 5}, monkeypatch)
    assert "5 photos are very few" in text
