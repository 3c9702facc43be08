"""Our training beside plain pix2pix at equal time: same photos, split, conditions, held-out pictures and wall clock.

    python benchmarks/equal_time.py PHOTOS --everyday OTHERS [--minutes 20] [--size 128] [--on ranked mean edges]
        [--passed 0.5 1 2] [--seed 0]

One after the other, each in a process of its own, start-up included in its minutes; each is then measured by
`beautynet evaluate`. Networks and reports are left in --out; what has its report there is not trained again. With
--passed ours is trained for these minutes, too, the fewest first, until one has a lower KID than plain's at its end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ablate import command as work

PLAIN = Path(__file__).with_name("plain_pix2pix.py")
CONDITIONS = {
    "ranked": {"condition": "clusters", "palette": "ranked"},
    "mean": {"condition": "clusters", "palette": "mean"},
    "edges": {"condition": "edges"},
}


def ours(given: argparse.Namespace, settings: dict[str, str], minutes: float, report: Path) -> list[str]:
    """The command that trains and measures ours."""
    arguments = {
        "data": str(given.data.resolve()),
        "everyday": str(given.everyday.resolve()) if given.everyday else None,
        "name": report.parent.name,
        "report": str(report),
        "settings": {"minutes": minutes, "size": given.size, "seed": given.seed, **settings},
    }
    return work(arguments)


def plain(given: argparse.Namespace, settings: dict[str, str], minutes: float, report: Path) -> list[str]:
    """And plain pix2pix."""
    command = [sys.executable, str(PLAIN), str(given.data.resolve()), "--report", "-o", str(report.parent)]
    command += ["--minutes", str(minutes), "--size", str(given.size), "--seed", str(given.seed)]
    command += [word for name, value in settings.items() for word in (f"--{name}", value)]
    return [*command, *(["--everyday", str(given.everyday.resolve())] if given.everyday else [])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--everyday", type=Path, help="other pictures, for the dream score")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--size", type=int, choices=(128, 256), default=128)
    parser.add_argument("--on", nargs="+", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--passed", type=float, nargs="+", default=[], help="minutes after which ours may be better")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--out", type=Path, default=Path("equal-time"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.on:
        theirs, mine = (trained(who, name, given.minutes, given) for who in COMMANDS)
        print(table(name, theirs, mine), flush=True)
        for minutes in sorted(given.passed):
            kid = figure(trained("ours", name, minutes, given), "kid")
            print(f"{name}: ours after {minutes:g} minutes has KID {kid:.1f}", flush=True)
            if kid < figure(theirs, "kid"):
                break


COMMANDS = {"plain": plain, "ours": ours}


def trained(who: str, name: str, minutes: float, given: argparse.Namespace) -> dict[str, Any]:
    """The report of one network, which is trained first if there is none."""
    report = given.out.resolve() / f"{who},{name},{given.size},{minutes:g},{given.seed}" / "report"
    if not (report / "report.json").exists():
        environment = {**os.environ, "PYTHONPATH": str(PLAIN.parents[1])}
        command = COMMANDS[who](given, CONDITIONS[name], minutes, report)
        subprocess.run(command, check=True, cwd=given.out, env=environment)
    found: dict[str, Any] = json.loads((report / "report.json").read_text(encoding="utf-8"))
    return found


def figure(report: dict[str, Any], name: str) -> float:
    """The output's figure of that name, of held-out photos."""
    return next(float(each["values"]["output"]) for each in report["figures"]["photos"] if each["name"] == name)


def table(name: str, plain: dict[str, Any], ours: dict[str, Any]) -> str:
    """The figures of both, and of what both were shown."""
    images = [report["progress"]["images"] for report in (plain, ours)]
    lines = [f"\n{name}: {images[0]:,} and {images[1]:,} images"]
    lines.append(f"{'':28}{'shown':>9}{'plain':>9}{'ours':>9}{'ours/plain':>12}  better")
    for chapter, figures in ours["figures"].items():
        for mine, theirs in zip(figures, plain["figures"][chapter], strict=True):
            shown = mine["values"].get("condition")
            a, b = theirs["values"]["output"], mine["values"]["output"]
            columns = f"{'' if shown is None else f'{shown:.3f}':>9}{a:9.3f}{b:9.3f}{b / a if a else 0:12.2f}"
            held = [each["intervals"].get("output") for each in (theirs, mine)]
            sure = "; ".join(f"{low:.3g} to {high:.3g}" for low, high in filter(None, held))
            lines.append(f"{mine['name']:28}{columns}  {mine['better']}{f' (95 %: {sure})' if sure else ''}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
