"""How little to show a network: its dream of everyday pictures against what is kept of their edges.

    python benchmarks/abstraction.py CHECKPOINT --data PHOTOS --everyday OTHERS --plot plot.png

One network, measured at each abstraction: it has been shown more and less than its own when it learnt. What networks
that were trained for it do is `ablate.py`'s to tell (`abstraction=0.4 abstraction=0.8 …`).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from beautynet.verbs.evaluate import OUTPUT, evaluate
from beautynet.web.plots import name_points, plotted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = ("kid", "dream", "everyday_edges", "everyday_luminance")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--data", help="the photos it was trained on, if it does not find them itself")
    parser.add_argument("--everyday", type=Path, required=True, help="other pictures")
    parser.add_argument("--abstractions", type=float, nargs="+", default=[0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    found: dict[float, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as out:
        for abstraction in given.abstractions:
            report = evaluate(
                given.checkpoint, data=given.data, everyday=given.everyday, abstraction=abstraction, out=out
            )
            found[abstraction] = {name: report[name].values[OUTPUT] for name in FIGURES}
            print(
                abstraction, " ".join(f"{name} {value:.3f}" for name, value in found[abstraction].items()), flush=True
            )
    if given.plot:
        given.plot.write_bytes(plotted(lambda figure: _draw(figure, found), 7, 4.5))


def _draw(figure: Figure, found: dict[float, dict[str, float]]) -> None:
    """Down and to the right is better: nearer to the photos, and more of the scene left."""
    axes = figure.subplots()
    across, up = ([figures[name] for figures in found.values()] for name in ("everyday_edges", "dream"))
    axes.plot(across, up, "o-", color="#f0a071")
    names = (f"{abstraction:g}" for abstraction in found)
    name_points(axes, dict(zip(names, zip(across, up, strict=True), strict=True)))
    axes.set(xlabel="edges of everyday pictures that are kept, F1", ylabel="dream (KID over the pictures' own)")


if __name__ == "__main__":
    main()
