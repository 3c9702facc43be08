"""Progress bars: on stderr, and silent where nobody watches. Signals: the first is noted, the second goes through."""

import signal
from contextlib import nullcontext

import pytest

from beautynet.console import NOTEBOOKS, Stop, console, printable, progress, redraws, status


def test_stdout_stays_for_results(capfd: pytest.CaptureFixture[str]) -> None:
    console.print("a warning")
    with progress("frames") as bar:
        assert list(bar.track(range(3), description="dreaming")) == [0, 1, 2]
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == "a warning\n"


def test_names_command_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """Nor are they taken for rich's own markup."""
    console.print("skipped a[/x].jpg [red]: damaged")
    assert capfd.readouterr().err == "skipped a[/x].jpg [red]: damaged\n"
    console.print("left out: a\x1b]0;title\x07")
    assert capfd.readouterr().err == "left out: a\ufffd]0;title\ufffd\n"
    assert printable("写真　花 👩‍🎨\x1b\n\tü") == "写真　花 👩‍🎨\ufffd\n\tü"


def test_a_terminal_sees_count_and_rate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setattr(console, "_width", 100)
    with progress("frames") as bar:
        task = bar.add_task("dreaming", total=8)
        bar.advance(task, 3)
        bar.advance(task, 5)
    said = capsys.readouterr().err
    assert "dreaming" in said
    assert "8/8" in said
    assert " frames/s" in said


def test_nothing_is_redrawn_where_each_redrawing_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_force_terminal", True)
    for name in NOTEBOOKS:
        monkeypatch.delenv(name, raising=False)
    assert redraws(console)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    assert not redraws(console)
    assert isinstance(status("putting it together"), nullcontext)


def test_the_first_ctrl_c_is_noted_and_the_second_goes_through() -> None:
    listening = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Stop() as stop:
        assert stop.signal is None
        signal.raise_signal(signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    with Stop():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == listening
