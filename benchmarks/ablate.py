"""What a setting or a part is worth: trains a network for each variant, measures it, and prints one table.

    python benchmarks/ablate.py PHOTOS --everyday OTHERS --minutes 5 "" perceptual=3 "l1=1 batch=8" no-noise

A variant is settings of `TrainConfig` other than the defaults and names in PATCHES, which change what no setting
reaches; "" is the defaults themselves. All get the same time (or, with --steps, the same number of steps, which other
work on the machine does not shorten), one after the other, each in a process of its own. Runs and reports are left in
--out; a variant whose report is there is not trained again. With several --seeds the table has their mean, and half of
what lies between the lowest and the highest. `--plot everyday_edges,dream plot.png` draws one figure against another.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

REPO = Path(__file__).parents[1]
FIGURES = ("kid", "perceptual", "swd", "dream", "everyday_edges", "everyday_luminance", "warping", "sharpness")


def _eight_groups() -> None:
    """As before 2026-11-26."""
    from beautynet import trainer
    from beautynet.networks import Generator

    vars(trainer)["Generator"] = lambda width, depth, _: Generator(width, depth, 8)


def _unmixed() -> None:
    """A discriminator that sees each scale by itself, as before 2026-11-27."""
    from beautynet import trainer
    from beautynet.networks import Discriminator

    vars(trainer)["Discriminator"] = lambda channels, **_: Discriminator(channels, mixes=False)


def _no_randomisation() -> None:
    from beautynet.conditions import Condition

    Condition.randomised = lambda self, random: self.own  # type: ignore[method-assign] # noqa: ARG005


def _no_noise() -> None:
    from beautynet import networks

    networks.NOISE = networks.FINE_NOISE = 0.0


def _no_adversary() -> None:
    from beautynet import losses

    losses.generator_hinge = lambda fake: 0.0 * sum(scores.mean() for scores in fake)  # type: ignore[assignment,return-value]


def _least_squares() -> None:
    """LSGAN (Mao et al. 2017)."""
    from beautynet import losses

    def discriminator(real: Sequence[Any], fake: Sequence[Any]) -> Any:
        return sum(((r - 1) ** 2).mean() + (f**2).mean() for r, f in zip(real, fake, strict=True)) / len(real)

    def generator(fake: Sequence[Any]) -> Any:
        return sum(((scores - 1) ** 2).mean() for scores in fake) / len(fake)

    losses.discriminator_hinge, losses.generator_hinge = discriminator, generator


def _no_spectral_norm() -> None:
    from beautynet import networks

    vars(networks)["spectral_norm"] = lambda layer: layer


def _depth(levels: int) -> Callable[[], None]:
    def patch() -> None:
        from beautynet import trainer

        vars(trainer)["depth_for"] = lambda _: levels

    return patch


PATCHES: dict[str, Callable[[], None]] = {
    "eight-groups": _eight_groups,
    "unmixed": _unmixed,
    "no-randomisation": _no_randomisation,
    "no-noise": _no_noise,
    "no-adversary": _no_adversary,
    "least-squares": _least_squares,
    "no-spectral-norm": _no_spectral_norm,
    "depth-3": _depth(3),
    "depth-5": _depth(5),
}


def command(given: dict[str, Any]) -> list[str]:
    """The command that trains and measures one network; see `work`."""
    return [sys.executable, __file__, "--work", json.dumps(given)]


def work(given: dict[str, Any]) -> None:
    """Train with `settings` and `patches` on `data` as `name`, measure it beside `everyday` and `video`: `report`."""
    started = time.monotonic()
    sys.path.insert(0, str(REPO))
    for patch in given.get("patches", ()):
        PATCHES[patch]()
    from beautynet.verbs.evaluate import evaluate
    from beautynet.verbs.train import train

    summary = train(given["data"], name=given["name"], started=started, **given["settings"])
    evaluate(
        summary.folder, data=given["data"], everyday=given["everyday"], video=given.get("video"), out=given["report"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("variants", nargs="+")
    parser.add_argument("--everyday", type=Path, help="other pictures, for the dream score")
    parser.add_argument("--video", type=Path, help="a film, for its flicker and sharpness")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--steps", type=int, help="so many steps each, instead of a time")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--plot", nargs=2, metavar=("X,Y", "PNG"), help="draw figure Y against figure X")
    parser.add_argument("-o", "--out", type=Path, default=Path("ablation"))
    given = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    budget = {"steps": given.steps} if given.steps else {"minutes": given.minutes}
    given.out.mkdir(parents=True, exist_ok=True)
    for variant in given.variants:
        words = variant.split()
        patches = [word for word in words if word in PATCHES]
        changed = {name: _value(text) for name, text in (pair.split("=", 1) for pair in words if pair not in patches)}
        reports = []
        for seed in given.seeds:
            name = f"{variant.replace(' ', ',') or 'defaults'},{given.size},{given.steps or given.minutes},{seed}"
            report = given.out.resolve() / "reports" / name
            if not (report / "report.json").exists():
                arguments = {
                    "data": str(given.data.resolve()),
                    "everyday": str(given.everyday.resolve()) if given.everyday else None,
                    "video": str(given.video.resolve()) if given.video else None,
                    "name": name,
                    "report": str(report),
                    "patches": patches,
                    "settings": {**budget, "size": given.size, "seed": seed, **changed},
                }
                subprocess.run(command(arguments), check=True, cwd=given.out)
            reports.append(json.loads((report / "report.json").read_text(encoding="utf-8")))
        found[variant or "defaults"] = reports
        print(_row(variant or "defaults", reports), flush=True)
    if given.plot:
        x, y = given.plot[0].split(",")
        _plot(found, x, y, Path(given.plot[1]))


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _values(reports: Sequence[dict[str, Any]], name: str, column: str = "output") -> list[float]:
    """A figure of each report that has it."""
    figures = [each for report in reports for chapter in report["figures"].values() for each in chapter]
    return [figure["values"][column] for figure in figures if figure["name"] == name]


def _row(variant: str, reports: Sequence[dict[str, Any]]) -> str:
    """The figures of a variant, mean ± half of what lies between its seeds, as a row of Markdown."""
    cells = []
    for name in FIGURES:
        for column in ("output", "by frame") if name in ("warping", "sharpness") else ("output",):
            if values := _values(reports, name, column):
                mean, apart = sum(values) / len(values), (max(values) - min(values)) / 2
                of = f"{name} {column}" if column != "output" else name
                cells.append(f"{of} {mean:.3f}" + (f" ± {apart:.3f}" if len(values) > 1 else ""))
    progress = reports[0]["progress"]
    return f"| {variant} | {progress['images']} images in {progress['seconds']:.0f} s | {' | '.join(cells)} |"


def _plot(found: dict[str, list[dict[str, Any]]], x: str, y: str, out: Path) -> None:
    """A point for each variant, with bars over its seeds."""
    sys.path.insert(0, str(REPO))
    from beautynet.plots import plotted

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        for variant, reports in found.items():
            across, up = _values(reports, x), _values(reports, y)
            place = sum(across) / len(across), sum(up) / len(up)
            apart = [(max(values) - min(values)) / 2 for values in (across, up)]
            axes.errorbar(*place, xerr=apart[0], yerr=apart[1], fmt="o", capsize=3)
            axes.annotate(variant, place, xytext=(6, 6), textcoords="offset points")
        axes.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))

    out.write_bytes(plotted(draw, 7, 4.5))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(json.loads(sys.argv[2]))
    else:
        main()
