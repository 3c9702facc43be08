"""Raw frames through a pipe."""

import errno
import io
import os
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from beautynet.errors import BeautyError
from beautynet.translator import Translator
from beautynet.verbs.stream import stream

WIDTH, HEIGHT = 80, 50

pytestmark = pytest.mark.usefixtures("two_threads")  # which share the frames of a film


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """A short pan."""
    china = load_sample_image("china.jpg")
    return np.stack([china[100 : 100 + HEIGHT, 4 * n : 4 * n + WIDTH] for n in range(5)])


@pytest.fixture
def translator(checkpoint: Path) -> Translator:
    return Translator.load(checkpoint, device="cpu", precision="float32")


def test_what_comes_out_is_the_film_that_went_in(translator: Translator, frames: np.ndarray) -> None:
    out = io.BytesIO()
    assert stream(io.BytesIO(frames.tobytes()), out, (WIDTH, HEIGHT), translator) == 5
    dreams, _ = translator.dream(frames)
    got = np.frombuffer(out.getvalue(), np.uint8).reshape(dreams.shape)
    assert np.abs(got.astype(int) - dreams).max() <= 2


def test_panels(translator: Translator, frames: np.ndarray) -> None:
    out = io.BytesIO()
    stream(io.BytesIO(frames.tobytes()), out, (WIDTH, HEIGHT), translator, "side")
    pages = np.frombuffer(out.getvalue(), np.uint8).reshape(5, HEIGHT, 2 * WIDTH, 3)
    assert np.array_equal(pages[:, :, :WIDTH], frames)


def test_every_frame_is_out_before_the_next_is_read(translator: Translator, frames: np.ndarray) -> None:
    out = io.BytesIO()

    class Camera(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert len(out.getvalue()) == self.tell()
            return super().read(size)

    assert stream(Camera(frames.tobytes()), out, (WIDTH, HEIGHT), translator) == 5


@pytest.mark.parametrize("reason", [errno.EPIPE, errno.EINVAL, errno.ENOSPC])
def test_whoever_reads_may_go(reason: int, translator: Translator, frames: np.ndarray) -> None:
    """Windows says it otherwise."""

    class Closed(io.BytesIO):
        def flush(self) -> None:
            raise OSError(reason, "nobody is there")

    given = io.BytesIO(frames.tobytes())
    if reason == errno.ENOSPC:
        with pytest.raises(OSError, match="nobody"):
            stream(given, Closed(), (WIDTH, HEIGHT), translator)
    else:
        assert stream(given, Closed(), (WIDTH, HEIGHT), translator) == 0


def test_torn_and_missing_frames(translator: Translator, frames: np.ndarray, capfd: pytest.CaptureFixture[str]) -> None:
    out = io.BytesIO()
    assert stream(io.BytesIO(frames.tobytes()[:-1]), out, (WIDTH, HEIGHT), translator) == 4
    assert len(out.getvalue()) == 4 * frames[0].size
    assert "torn" in capfd.readouterr().err
    with pytest.raises(BeautyError, match="no frame came in"):
        stream(io.BytesIO(), out, (WIDTH, HEIGHT), translator)
    with pytest.raises(BeautyError, match="will not do"):
        stream(io.BytesIO(), out, (0, HEIGHT), translator)


def run(*arguments: str, given: bytes = b"", film: str = "-") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "beautynet.cli", "video", film, *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=False)


def test_from_the_shell(checkpoint: Path, frames: np.ndarray) -> None:
    size = f"{WIDTH}x{HEIGHT}"
    options = ("--size", size, "--layout", "side", "-o", "-", "-c", str(checkpoint), "--device", "cpu")
    done = run(*options, given=frames.tobytes())
    assert done.returncode == 0, done.stderr
    pages = np.frombuffer(done.stdout, np.uint8).reshape(5, HEIGHT, 2 * WIDTH, 3)
    assert np.array_equal(pages[:, :, :WIDTH], frames)
    assert b"5 frames" in done.stderr


@pytest.mark.parametrize(
    "wrong", [[], ["--size", "384"], ["--size", "9x9", "-o", "a.mp4"], ["--size", "9x9", "--fps", "5"]]
)
def test_wrong_usage_is_said(wrong: list[str]) -> None:
    done = run(*wrong)
    assert done.returncode == 2
    assert not done.stdout


@pytest.mark.skipif(os.name == "nt", reason="no terminal to be had")
@pytest.mark.parametrize("options", [[], ["-o", "-"]])
def test_no_frames_come_out_on_a_terminal(options: list[str], frames: np.ndarray) -> None:
    person, terminal = os.openpty()
    command = [sys.executable, "-m", "beautynet.cli", "video", "-", "--size", f"{WIDTH}x{HEIGHT}", "-c", "nowhere"]
    try:
        done = subprocess.run(
            [*command, *options], input=frames.tobytes(), stdout=terminal, stderr=subprocess.PIPE, check=False
        )
        shown, _, _ = select.select([person], [], [], 0)
    finally:
        os.close(person)
        os.close(terminal)
    assert done.returncode == 2
    assert b"`-o -` needs a pipe or a file" in done.stderr
    assert not shown


def test_a_film_does_not_come_out_raw() -> None:
    done = run("-o", "-", film="walk.mp4")
    assert done.returncode == 2
    assert b"beautynet video - --size" in done.stderr
    assert not done.stdout


def test_nobody_reads_what_comes_out(checkpoint: Path, frames: np.ndarray) -> None:
    command = (
        f"{sys.executable} -m beautynet.cli video - --size {WIDTH}x{HEIGHT} -c {checkpoint} --device cpu | head -c 9"
    )
    done = subprocess.run(command, input=20 * frames.tobytes(), shell=True, capture_output=True, check=False)
    assert len(done.stdout) == 9
    assert b"Traceback" not in done.stderr
