"""A training run through every fault we could think of: nothing lost but what came after the last save, nothing silent.

    python benchmarks/train_drill.py [--kills 30] [--steps 2500] [--flips 200] [--seed 0]

SIGKILL at random moments of one run, by the same command each time, and its end compared bit for bit with that of a
run that nobody disturbed; truncated and bit-flipped checkpoints; a disk that is full while saving; a folder that
cannot be written to; photos deleted, damaged and added. Prints a table; exits with 1 where something is not as it
should be. The full disk and the read-only folder are small tmpfs and need root; without it they are left out.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from beautynet import checkpoint as checkpoints
from beautynet.errors import BeautyError

REPO = Path(__file__).parents[1]
SAVE_EVERY = 1.0
SLACK = 3.0
"""Seconds that a save and a log line may take on a busy machine."""
COMMAND = [sys.executable, "-m", "beautynet.cli", "train", "photos", "--device", "cpu"]
COMMAND += ["--size", "64", "--preset", "S", "--batch", "2", f"--save-every={SAVE_EVERY}"]


class Drill:
    """A folder to work in, and what was found wrong so far."""

    def __init__(self, place: Path, given: argparse.Namespace) -> None:
        self.place, self.given, self.rng = place, given, random.Random(given.seed)
        self.faults: list[str] = []
        self.environment = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
        photos = place / "photos"
        photos.mkdir()
        for number, picture in enumerate(load_sample_images().images):
            for left in range(0, 448, 64):
                square = Image.fromarray(picture[100:292, left : left + 192])
                square.save(photos / f"{number}{left:03}.jpg", quality=95)

    def hold(self, what: str, true: bool) -> bool:
        """Whether it is true; what is not is noted."""
        if not true:
            self.faults.append(what)
            print(f"  NOT AS IT SHOULD BE: {what}", flush=True)
        return true

    def start(self, name: str, steps: int, *more: str) -> subprocess.Popen[str]:
        """The command, in the background."""
        command = [*COMMAND, "--name", name, "--steps", str(steps), *more]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.place, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, name: str, steps: int, *more: str) -> tuple[int, str]:
        """The command to its end: exit code and all it said, on one line."""
        out, said = (child := self.start(name, steps, *more)).communicate()
        self.hold(f"{name}: a traceback: {said}", "Traceback" not in said)
        return child.returncode, " ".join((out + said).split())

    def folder(self, name: str) -> Path:
        """Where a run of that name leaves its files."""
        return self.place / checkpoints.CHECKPOINTS / name


def report(what: str, outcome: str, *held: bool) -> None:
    """A row of the table, which says so where something did not hold."""
    print(f"| {what} | {outcome if all(held) else 'NOT AS IT SHOULD BE'} |", flush=True)


def until_it_trains(child: subprocess.Popen[str], folder: Path, rows: int) -> None:
    """Wait until the log in `folder` has so many rows, with those that earlier runs left, or the child has ended."""
    while child.poll() is None and len(checkpoints.read_log(folder)) < rows:
        time.sleep(0.02)


# --- killed ---------------------------------------------------------------------------------------------------------


def kills(drill: Drill) -> None:
    given, folder, lost = drill.given, drill.folder("killed"), list[float]()
    reached = 0
    for number in range(given.kills):
        known = len(checkpoints.read_log(folder))
        child = drill.start("killed", given.steps)
        if number % 3:  # most of them once it trains, the others as it starts
            until_it_trains(child, folder, known + 1)
            time.sleep(drill.rng.uniform(0, 3))
        else:
            time.sleep(drill.rng.uniform(0, 6))
        child.kill()
        _, said = child.communicate()
        if child.returncode != -signal.SIGKILL:
            sys.exit(f"the run ended with {child.returncode} after {number} kills: give it more --steps\n{said}")
        rows, state = checkpoints.read_log(folder), checkpoints.load_state(folder)
        if state is None:
            continue
        drill.hold(f"kill {number}: unreadable: {state['unreadable']}", not state["unreadable"])
        progress = state["progress"]
        drill.hold(f"kill {number}: went back from {reached} to {progress['steps']}", progress["steps"] >= reached)
        reached = progress["steps"]
        lost.append(max(0.0, rows[-1]["seconds"] - progress["seconds"]))
        drill.hold(f"kill {number}: {lost[-1]:.1f} s lost", lost[-1] <= SAVE_EVERY + SLACK)
        checkpoints.load_generator(folder / checkpoints.MODEL)
    at_most = f"{statistics.median(lost):.1f} s lost in the middle, {max(lost):.1f} s at most"
    report(f"SIGKILL at {given.kills} random moments", f"step {reached} reached; {at_most}")
    code, said = drill.run("killed", given.steps)
    drill.hold(f"the end is not reached: {said}", code == 0)
    agree(drill, "killed")
    drill.hold(f"undisturbed: {said}", drill.run("whole", given.steps)[0] == 0)
    agree(drill, "whole")
    report("then to the end", "bit for bit the network of a run that nobody disturbed" if same(drill) else "DIFFERS")
    drill.hold("the killed run is not the undisturbed one", same(drill))


def agree(drill: Drill, name: str) -> None:
    """Log, samples and state tell one story."""
    folder = drill.folder(name)
    state = checkpoints.load_state(folder)
    assert state
    text = (folder / checkpoints.LOG).read_text().splitlines()
    rows = checkpoints.read_log(folder)
    steps = [row["steps"] for row in rows]
    samples = [path.name for path in sorted((folder / checkpoints.SAMPLES).iterdir())]
    drill.hold(f"{name}: broken lines in the log", len(text) == len(rows))
    drill.hold(f"{name}: the log goes back", steps == sorted(set(steps)) and steps[-1] <= state["progress"]["steps"])
    wanted = [f"{number:04}.png" for number in range(state["progress"]["samples"])]
    drill.hold(f"{name}: samples {samples}", samples == wanted)


def same(drill: Drill) -> bool:
    """Whether both runs have the same networks, averages and optimisers."""
    a, b = (checkpoints.load_state(drill.folder(name)) for name in ("killed", "whole"))
    parts = ("generator", "discriminator", "average", "optimisers")
    return all(equal((a or {})[part], (b or {})[part]) for part in parts)


def equal(a: Any, b: Any) -> bool:
    leaves = [torch.utils._pytree.tree_leaves(tree) for tree in (a, b)]
    return len(leaves[0]) == len(leaves[1]) and all(
        torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in zip(*leaves, strict=True)
    )


# --- damaged --------------------------------------------------------------------------------------------------------


def damage(drill: Drill) -> None:
    run = drill.folder("whole")
    state, model = run / checkpoints.STATE, run / checkpoints.MODEL
    newest, generator = checkpoints.load_state(run), checkpoints.load_generator(model)
    previous = torch.load(run / checkpoints.PREVIOUS_STATE, weights_only=True)
    assert newest

    def state_now() -> str:
        found = checkpoints.load_state(run)
        assert found
        complaint = found.pop("unreadable")
        if complaint and equal(found, previous):
            return "the one before, with a line"
        return "as it was" if equal({**found, "unreadable": []}, newest) else "SILENTLY WRONG"

    def model_now() -> str:
        module, header = checkpoints.load_generator(model)
        intact = header == generator[1] and equal(module.state_dict(), generator[0].state_dict())
        return "as it was" if intact else "SILENTLY WRONG"

    def flipped(data: bytes) -> bytes:
        at = drill.rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << drill.rng.randrange(8)]) + data[at + 1 :]

    def truncated(data: bytes) -> bytes:
        return data[: drill.rng.randrange(len(data))]

    for path, now in ((state, state_now), (model, model_now)):
        for harm in (truncated, flipped):
            counts = attempts(drill, path, harm, now)
            words = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items(), key=lambda c: -c[1]))
            report(f"{path.name} {harm.__name__}, {drill.given.flips} times", words)
            drill.hold(f"{path.name} {harm.__name__}: {words}", not any(outcome.isupper() for outcome in counts))


def attempts(drill: Drill, path: Path, harm: Callable[[bytes], bytes], now: Callable[[], str]) -> dict[str, int]:
    """How often each outcome came."""
    whole, counts = path.read_bytes(), dict[str, int]()
    for _ in range(drill.given.flips):
        path.write_bytes(harm(whole))
        try:
            outcome = now()
        except BeautyError:
            outcome = "one clear line"
        except Exception as error:
            outcome = f"CRASHED ({error!r})".upper()
        counts[outcome] = counts.get(outcome, 0) + 1
    path.write_bytes(whole)
    return counts


# --- the disk -------------------------------------------------------------------------------------------------------


@contextmanager
def tmpfs(place: Path, options: str) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(ballast: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), open(ballast, "wb") as file:
        while file.write(bytes(1 << 20)):
            file.flush()


def full_disk(drill: Drill) -> None:
    run = drill.folder("full")
    with tmpfs(run, "size=64m"):
        drill.run("full", 5)
        before = checkpoints.load_state(run)
        ballast = run / "ballast"
        fill(ballast)
        code, said = drill.run("full", 10)
        after = checkpoints.load_state(run)
        kept = before is not None and after is not None and equal(before["generator"], after["generator"])
        well = drill.hold(f"full disk: {code} {said}", code == 1 and "disk full" in said and kept)
        report("disk full from the start", f"exit {code}, the state before is kept: {said[-150:]}", well)
        ballast.unlink()
        code, said = drill.run("full", 10)
        drill.hold(f"disk no longer full: {said}", code == 0)
        report("the same command with space again", f"exit {code}")

        known = len(checkpoints.read_log(run))
        child = drill.start("full", 100_000)
        until_it_trains(child, run, known + 4)
        fill(ballast)
        time.sleep(4 * SAVE_EVERY)
        ballast.unlink()
        time.sleep(4 * SAVE_EVERY)
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate()
        state, once = checkpoints.load_state(run), " ".join(said.split()).count("disk full") == 1
        held = [
            drill.hold(f"full for a while: {said}", child.returncode == 143 and once),
            drill.hold("full for a while: the log is broken", len(checkpoints.read_log(run)) > known),
            drill.hold("full for a while: not saved afterwards", state is not None and state["progress"]["steps"] > 10),
        ]
        report("disk full for 4 s of a run", "one line, the run goes on and saves when there is space", *held)


def read_only(drill: Drill) -> None:
    with tmpfs(drill.folder("sealed"), "ro"):
        code, said = drill.run("sealed", 5)
    drill.hold(f"read-only: {code} {said}", code == 1 and "read-only" in said)
    report("read-only folder", f"exit {code}: {said[-120:]}")


# --- photos ---------------------------------------------------------------------------------------------------------


def photos(drill: Drill) -> None:
    every = sorted((drill.place / "photos").iterdir())
    child = drill.start("photos", 40)
    until_it_trains(child, drill.folder("photos"), 1)
    every[0].unlink()
    every[1].write_bytes(every[1].read_bytes()[:2000])
    every[-1].write_bytes(b"")
    _, said = child.communicate()
    well = drill.hold(f"a photo deleted during the run: {said}", child.returncode == 0)
    report("photos deleted and damaged during a run", f"exit {child.returncode}: they are in memory", well)
    code, said = drill.run("photos", 45)
    well = drill.hold(f"damaged photos: {said}", code == 0 and "skipped" in said)
    report("the next run on them", f"exit {code}, the damaged are named", well)
    for number, path in enumerate(every[2:6]):
        Image.open(path).rotate(90).save(path.with_name(f"new{number}.jpg"))
    code, said = drill.run("photos", 50)
    drill.hold(f"a dataset that grew: {said}", code == 0 and "photos now" in said)
    agree(drill, "photos")
    report("four photos more", f"exit {code}")
    for path in (drill.place / "photos").iterdir():
        path.write_bytes(b"no photo")
    code, said = drill.run("photos", 55)
    drill.hold(f"no photo can be read: {said}", code == 1)
    report("every photo damaged", f"exit {code}: {said[-90:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        drill = Drill(Path(place), given)
        print("| fault | outcome |\n|---|---|", flush=True)
        kills(drill)
        damage(drill)
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            full_disk(drill)
            read_only(drill)
        photos(drill)
    print("\n" + ("\n".join(drill.faults) or "all as it should be"))
    sys.exit(bool(drill.faults))


if __name__ == "__main__":
    main()
