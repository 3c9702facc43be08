"""Bad films through `beautynet video`, the real command: one clear line each, and nothing lost.

    python benchmarks/film_drill.py FOLDER... -c CHECKPOINT [--as .mkv] [--small-disk FOLDER]

Every file of the folders, half a file, one that another process appends to meanwhile, a FIFO, a file without
permission, an output that is there, one in a folder that is not, one in a folder that may not be written to, and one on
a disk that is too small (`mount -t tmpfs -o size=300k none FOLDER`). Checked each time: the exit code; one line on
standard error and no traceback; the input as it was; no half-written output and nothing else left; and where there is
an output, that it has as many frames as the input, at the same times, as Film reads both, and that libav alone finds as
many and the same length in both, and, of whole films, sound of the same length. `--as` names the format of the dreams
(.mp4).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
from PIL import Image, ImageSequence

from beautynet.errors import BeautyError
from beautynet.film.media import Film

SECONDS = 120
NEAR = 2e-3  # seconds that a film may be longer or shorter: times are rounded to a ms, twice
SOUND_NEAR = 0.05  # and its sound: codecs fill up their last packet, and begin before the beginning
APPEND = """
import sys, time
whole, grows = open(sys.argv[1], "rb").read(), open(sys.argv[2], "ab", buffering=0)
begun = grows.tell()
step = (len(whole) - begun) // 200 + 1
for at in range(begun, len(whole), step):
    grows.write(whole[at : at + step])
    time.sleep(0.1)
"""
DONE, FAILED, PARTLY = 0, 1, 3


def times(path: Path) -> list[float]:
    with Film(path) as film:
        return [float(frame.time) for frame in film]


class Length(NamedTuple):
    """What there is of a film, by libav alone; seconds of all frames and of all sound."""

    frames: int
    seconds: float
    sound: float


def length(path: Path) -> Length:
    """By decoding it with no code of ours; WebP, whose animations libav does not read, by Pillow."""
    if path.suffix == ".webp":
        with Image.open(path) as image:
            shown = [frame.copy().info["duration"] / 1000 for frame in ImageSequence.Iterator(image)]
        return Length(len(shown), sum(shown) or 0.04, 0)  # a still one is on for as long as libav has others
    times, last = frames_of(path)
    return Length(len(times), max(times) + last - min(times), sound_of(path))


def frames_of(path: Path) -> tuple[list[float], float]:
    """When each frame is shown, and for how long the last one is, in seconds."""
    times: list[float] = []
    last = 0.0
    with av.open(str(path)) as file:
        stream = file.streams.best("video")
        avi = file.format.name == "avi"  # which has no times of presentation
        step = 1 / float(stream.guessed_rate or 25)
        for frame in whole(file, stream):
            times.append(len(times) * step if avi or frame.time is None else frame.time)
            if times[-1] == max(times):
                last = (not avi and float((frame.duration or 0) * frame.time_base)) or step
    return times, last


def sound_of(path: Path) -> float:
    """Seconds of sound."""
    with av.open(str(path)) as file:
        stream = file.streams.best("audio")
        return sum(frame.samples / frame.sample_rate for frame in whole(file, stream)) if stream else 0


def whole(file: Any, stream: Any) -> Iterator[Any]:
    """All frames of a stream, those that are damaged left out."""
    packets = file.demux(stream)
    while True:
        try:
            frames = stream.decode(next(packets))
        except StopIteration:
            return
        except av.FFmpegError:
            continue
        yield from frames


def kept(film: Path, out: Path, *, perfect: bool) -> Iterator[str]:
    """What of the film is not as it should be in the output."""
    had, has = times(film), times(out)
    if len(had) != len(has) or any(abs(a - b) > 1.1e-3 for a, b in zip(had, has, strict=True)):
        yield f"{len(had)} frames became {len(has)}, or other times"
    before, after = length(film), length(out)
    if before.frames != after.frames or abs(before.seconds - after.seconds) > NEAR:
        yield f"libav finds {before} and {after}"
    elif perfect and abs(before.sound - after.sound) > SOUND_NEAR:
        yield f"{before.sound:.3f} s of sound became {after.sound:.3f}"


def run(film: Path, checkpoint: Path, out: Path, *, expected: tuple[int, ...], grows: bool = False) -> str:
    """What became of it, beginning with `WRONG` if that should not be; one that grows may be read up to anywhere."""
    before = hashlib.sha256(film.read_bytes()).digest() if film.is_file() and os.access(film, os.R_OK) else b""
    there = set(out.parent.iterdir()) if out.parent.is_dir() else set()
    command = [sys.executable, "-m", "beautynet.cli", "video", str(film), "-c", str(checkpoint), "-o", str(out)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
    )
    lines = done.stderr.strip().splitlines()
    wrong = []
    if done.returncode not in expected or "Traceback" in done.stderr:
        wrong.append(f"exit {done.returncode}")
    if done.returncode and len(lines) != 1:
        wrong.append(f"{len(lines)} lines")
    if before and not grows and hashlib.sha256(film.read_bytes()).digest() != before:
        wrong.append("the input was changed")
    left = (set(out.parent.iterdir()) if out.parent.is_dir() else set()) - there - {out}
    if left:
        wrong.append(f"left {', '.join(path.name for path in left)}")
    if done.returncode == FAILED and out.exists() and out not in there:
        wrong.append("there is an output")
    if done.returncode in (DONE, PARTLY):
        wrong += kept(film, out, perfect="damaged" not in done.stderr) if not grows else ()
    return f"{'WRONG: ' + ', '.join(wrong) + ': ' if wrong else ''}exit {done.returncode} {' | '.join(lines)[:160]}"


def grown(good: Path, place: Path, checkpoint: Path) -> str:
    """What became of a film that another process appends to until it is done."""
    recorded, grows, out = place / "recorded.mkv", place / "grows.mkv", place / "h.mp4"
    with av.open(str(good)) as source, av.open(str(recorded), "w", options={"live": "1"}) as file:
        stream = file.add_stream_from_template(source.streams.best("video"))
        for packet in source.demux(source.streams.best("video")):
            if packet.dts is not None:
                packet.stream = stream
                file.mux(packet)
    data = recorded.read_bytes()
    grows.write_bytes(data[: len(data) // 2])
    with subprocess.Popen([sys.executable, "-c", APPEND, str(recorded), str(grows)]) as writer:
        what = run(grows, checkpoint, out, expected=(DONE, PARTLY), grows=True)
        writer.kill()
    has, had = (frames_of(path)[0] if path.exists() else [] for path in (out, recorded))
    if not what.startswith("WRONG") and not 0 < len(has) <= len(had):
        return f"WRONG: {len(had)} frames became {len(has)}: {what}"
    if not what.startswith("WRONG") and max(abs(a - b) for a, b in zip(has, had, strict=False)) > NEAR:
        return f"WRONG: other times: {what}"
    return f"{what}: {len(has)} of {len(had)} frames"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("-c", "--checkpoint", type=Path, required=True)
    parser.add_argument("--as", dest="suffix", default=".mp4", choices=(".mp4", ".mov", ".mkv", ".webm"))
    parser.add_argument("--small-disk", type=Path)
    given = parser.parse_args()
    films = [path for folder in given.folders for path in sorted(folder.iterdir())]
    good = next(path for path in films if path.suffix == ".mp4" and readable(path))
    results = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        cases: list[tuple[str, Path, Path, tuple[int, ...]]] = [
            (film.name, film, place / f"{number}{given.suffix}", (DONE, FAILED, PARTLY))
            for number, film in enumerate(films)
        ]
        half, fifo, secret = place / "half.mp4", place / "fifo.mp4", place / "secret.mp4"
        half.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
        os.mkfifo(fifo)
        secret.write_bytes(good.read_bytes())
        secret.chmod(0)
        (place / "there.mp4").write_bytes(b"mine")
        (place / "closed").mkdir(mode=0o500)
        cases += [
            ("half a film", half, place / "a.mp4", (FAILED, PARTLY)),
            ("a FIFO", fifo, place / "b.mp4", (FAILED,)),
            # root reads everything
            ("no permission to read", secret, place / "c.mp4", (DONE,) if os.access(secret, os.R_OK) else (FAILED,)),
            ("the output is there", good, place / "there.mp4", (FAILED,)),
            ("a folder that is not there", good, place / "new" / "folder" / "d.mp4", (DONE,)),
            (
                "no permission to write",
                good,
                place / "closed" / "e.mp4",
                (DONE,) if os.access(place / "closed", os.W_OK) else (FAILED,),
            ),
            ("a file for a folder", good, place / "there.mp4" / "f.mp4", (FAILED,)),
        ]
        if given.small_disk:
            cases.append(("a full disk", good, given.small_disk / "g.mp4", (FAILED,)))
        for what, film, out, expected in cases:
            results.append(run(film, given.checkpoint, out, expected=expected))
            print(f"{what}: {results[-1]}", flush=True)
        results.append(grown(good, place, given.checkpoint))
        print(f"still being written: {results[-1]}", flush=True)
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
