"""`python -m beautynet` is the command itself."""

import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[1]


def test_python_runs_it_as_a_module(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    command = [sys.executable, "-m", "beautynet", "video", "gone.mp4"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: cannot read gone.mp4")
