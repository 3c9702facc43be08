"""How much drawings convince: the methods beside each other at equal time, and by the number of ellipses.

    python benchmarks/draw.py [--minutes 1] [--methods gradient evolve search] [--classes 20] [-o drawn]
    python benchmarks/draw.py --ellipses 2 4 8 16 32 --methods gradient --classes 5 --sheet docs/drawing-ellipses.png

Each figure is of `drawing.png`, read again and seen in 13 views (shifts, scales, crops, blurs); `search` is the older
experiment's random search. Drawings are left in --out, and what is there is not drawn again. The network's share is of
the time of the search. --sheet is a picture of the drawings of the first method: a row for each class, a column for
each number of ellipses.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median

from PIL import Image

from beautynet.verbs.draw import REPORT, draw, slug

NAMES = (
    *("great white shark", "goldfish", "peacock", "king penguin", "flamingo", "tiger", "ladybug", "starfish", "banana"),
    *("strawberry", "pizza", "daisy", "school bus", "teapot", "umbrella", "acoustic guitar", "balloon"),
    *("beacon", "volcano", "traffic light"),
)
"""Chosen for being different. With thirteen of them the methods were tried out: shark, goldfish, strawberry, daisy,
school bus, teapot, umbrella, guitar, volcano, peacock, pizza, tiger and flamingo."""
TILE, GAP = 160, 8
"""Px of the sheet."""


def sheet(path: Path, pictures: Sequence[Path], columns: int) -> None:
    """Drawings beside and beneath each other, in few colours, so that the file is small."""
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (columns * (TILE + GAP) - GAP, rows * (TILE + GAP) - GAP), "white")
    for number, each in enumerate(pictures):
        row, column = divmod(number, columns)
        with Image.open(each) as picture:
            whole.paste(picture.resize((TILE, TILE)), (column * (TILE + GAP), row * (TILE + GAP)))
    whole.quantize(128).save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--methods", nargs="+", default=["gradient", "evolve", "search"])
    parser.add_argument("--ellipses", nargs="+", type=int, default=[8])
    parser.add_argument("--classes", type=int, default=len(NAMES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("drawn"))
    given = parser.parse_args()
    found: dict[tuple[str, int], dict[str, float]] = {}
    shown: list[Path] = []
    for name in NAMES[: given.classes]:
        for ellipses in given.ellipses:
            for method in given.methods:
                place = given.out / f"{method},{ellipses},{given.minutes:g},{given.seed}" / slug([name])
                if not (place / REPORT).exists():
                    draw(
                        name,
                        ellipses=ellipses,
                        method=method,
                        minutes=given.minutes,
                        seed=given.seed,
                        out=place,
                        film=False,
                    )
                if method == given.methods[0]:
                    shown.append(place / "drawing.png")
                report = json.loads((place / REPORT).read_text(encoding="utf-8"))
                others = [score for network, score in report["convinced"].items() if network not in report["made_with"]]
                found.setdefault((method, ellipses), {})[name] = report["confidence"]
                print(
                    f"{name:20} {method:9} {ellipses:3} ellipses: {report['confidence']:.3f}, another network "
                    f"{max(others):.3f}; {report['looks'] / report['seconds']:.0f} drawings/s, "
                    f"{sum(report['network_share'].values()):.0%} of the time in the network",
                    flush=True,
                )
    if given.sheet:
        sheet(given.sheet, shown, len(given.ellipses))
    print()
    for (method, ellipses), scores in found.items():
        values = sorted(scores.values())
        print(
            f"{method:9} {ellipses:3} ellipses: median {median(values):.3f}, mean {fmean(values):.3f}, "
            f"worst {values[0]:.4f}"
        )
    for ellipses in given.ellipses:
        if {("gradient", ellipses), ("search", ellipses)} <= found.keys():
            ours, plain = found["gradient", ellipses], found["search", ellipses]
            ratios = sorted(ours[name] / max(plain[name], 1e-9) for name in ours)
            print(f"gradient / search, {ellipses} ellipses: median class {median(ratios):.1f} times")


if __name__ == "__main__":
    main()
