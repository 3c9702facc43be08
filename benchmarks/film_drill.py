"""Bad films through `beautynet video`, the real command: one clear line each, and nothing lost.

    python benchmarks/film_drill.py FOLDER... -c CHECKPOINT [--small-disk FOLDER]

Every file of the folders, a file that is still being written, a FIFO, a file without permission, an output that is
there, one in a folder that is not, one in a folder that may not be written to, and one on a disk that is too small
(`mount -t tmpfs -o size=300k none FOLDER`). Checked each time: the exit code; one line on standard error and no
traceback; the input as it was; no half-written output and nothing else left; and where there is an output, that it has
as many frames as the input, at the same times, by decoding both.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from beautynet.errors import BeautyError
from beautynet.media import Film

SECONDS = 120
DONE, FAILED, PARTLY = 0, 1, 3


def times(path: Path) -> list[float]:
    with Film(path) as film:
        return [float(frame.time) for frame in film]


def run(film: Path, checkpoint: Path, out: Path, *more: str, expected: tuple[int, ...]) -> str:
    """What became of it, beginning with `WRONG` if that should not be."""
    before = hashlib.sha256(film.read_bytes()).digest() if film.is_file() and os.access(film, os.R_OK) else b""
    there = set(out.parent.iterdir()) if out.parent.is_dir() else set()
    command = [sys.executable, "-m", "beautynet.cli", "video", str(film), "-c", str(checkpoint), "-o", str(out), *more]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
    )
    lines = done.stderr.strip().splitlines()
    wrong = []
    if done.returncode not in expected or "Traceback" in done.stderr:
        wrong.append(f"exit {done.returncode}")
    if done.returncode and len(lines) != 1:
        wrong.append(f"{len(lines)} lines")
    if before and hashlib.sha256(film.read_bytes()).digest() != before:
        wrong.append("the input was changed")
    left = (set(out.parent.iterdir()) if out.parent.is_dir() else set()) - there - {out}
    if left:
        wrong.append(f"left {', '.join(path.name for path in left)}")
    if done.returncode == FAILED and out.exists() and out not in there:
        wrong.append("there is an output")
    if done.returncode in (DONE, PARTLY):
        had, has = times(film), times(out)
        if len(had) != len(has) or any(abs(a - b) > 1.1e-3 for a, b in zip(had, has, strict=True)):
            wrong.append(f"{len(had)} frames became {len(has)}, or other times")
    return f"{'WRONG: ' + ', '.join(wrong) + ': ' if wrong else ''}exit {done.returncode} {' | '.join(lines)[:160]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("-c", "--checkpoint", type=Path, required=True)
    parser.add_argument("--small-disk", type=Path)
    given = parser.parse_args()
    films = [path for folder in given.folders for path in sorted(folder.iterdir())]
    good = next(path for path in films if path.suffix == ".mp4" and readable(path))
    results = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        cases: list[tuple[str, Path, Path, tuple[int, ...]]] = [
            (film.name, film, place / f"{number}.mp4", (DONE, FAILED, PARTLY)) for number, film in enumerate(films)
        ]
        growing, fifo, secret = place / "growing.mp4", place / "fifo.mp4", place / "secret.mp4"
        growing.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
        os.mkfifo(fifo)
        secret.write_bytes(good.read_bytes())
        secret.chmod(0)
        (place / "there.mp4").write_bytes(b"mine")
        (place / "closed").mkdir(mode=0o500)
        cases += [
            ("still being written", growing, place / "a.mp4", (FAILED, PARTLY)),
            ("a FIFO", fifo, place / "b.mp4", (FAILED,)),
            # root reads everything
            ("no permission to read", secret, place / "c.mp4", (FAILED,) if os.geteuid() else (DONE,)),
            ("the output is there", good, place / "there.mp4", (FAILED,)),
            ("a folder that is not there", good, place / "new" / "folder" / "d.mp4", (DONE,)),
            ("no permission to write", good, place / "closed" / "e.mp4", (FAILED,) if os.geteuid() else (DONE,)),
            ("a file for a folder", good, place / "there.mp4" / "f.mp4", (FAILED,)),
        ]
        if given.small_disk:
            cases.append(("a full disk", good, given.small_disk / "g.mp4", (FAILED,)))
        for what, film, out, expected in cases:
            results.append(run(film, given.checkpoint, out, expected=expected))
            print(f"{what}: {results[-1]}", flush=True)
        if (place / "there.mp4").read_bytes() != b"mine":
            results.append("WRONG: what was there is gone")
    bad = [each for each in results if each.startswith("WRONG")]
    sys.exit(f"{len(bad)} of {len(results)} went wrong" if bad else None)


def readable(path: Path) -> bool:
    """Whether the film is one, of a few frames and without damage."""
    try:
        with Film(path) as film:
            return len(list(film)) > 20 and not film.warnings
    except BeautyError:
        return False


if __name__ == "__main__":
    main()
