"""What a setting is worth: trains a network for each variant, measures it, and prints one table.

    python benchmarks/ablate.py PHOTOS --everyday OTHERS --minutes 5 "" perceptual=10 "l1=1 batch=8"

A variant is settings of `TrainConfig` other than the defaults, "" the defaults themselves. All get the same time (or,
with --steps, the same number of steps, which other work on the machine does not shorten), one after the other, each in
a process of its own. Runs and reports are left in --out; a variant whose report is there is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

WORKER = """
import json, sys, time
started = time.monotonic()
from beautynet.verbs.evaluate import evaluate
from beautynet.verbs.train import train
given = json.loads(sys.argv[1])
summary = train(given["data"], name=given["name"], started=started, **given["settings"])
report = evaluate(summary.folder, data=given["data"], everyday=given["everyday"], out=given["report"])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("variants", nargs="+")
    parser.add_argument("--everyday", type=Path, help="other pictures, for the dream score")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--steps", type=int, help="so many steps each, instead of a time")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("-o", "--out", type=Path, default=Path("ablation"))
    given = parser.parse_args()
    budget = {"steps": given.steps} if given.steps else {"minutes": given.minutes}
    given.out.mkdir(parents=True, exist_ok=True)
    for variant in given.variants:
        changed = {name: _value(text) for name, text in (pair.split("=", 1) for pair in variant.split())}
        name = f"{variant.replace(' ', ',') or 'defaults'},{given.size},{given.steps or given.minutes}"
        report = given.out.resolve() / "reports" / name
        if not (report / "report.json").exists():
            arguments = {
                "data": str(given.data.resolve()),
                "everyday": str(given.everyday.resolve()) if given.everyday else None,
                "name": name,
                "report": str(report),
                "settings": {**budget, "size": given.size, **changed},
            }
            command = [sys.executable, "-c", WORKER, json.dumps(arguments)]
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
            subprocess.run(command, check=True, cwd=given.out, env=environment)
        print(_row(variant or "defaults", json.loads((report / "report.json").read_text(encoding="utf-8"))), flush=True)


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _row(variant: str, report: dict[str, Any]) -> str:
    progress, chapters = report["progress"], report["figures"]
    found = [f"{figure['name']} {figure['values']['output']:.3f}" for each in chapters.values() for figure in each]
    return f"{variant:40} {progress['images']:6} images in {progress['seconds']:5.0f} s: {', '.join(found)}"


if __name__ == "__main__":
    main()
