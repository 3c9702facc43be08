"""What a setting or a part is worth: trains a network for each variant, measures it, and prints one table.

    python benchmarks/ablate.py PHOTOS --everyday OTHERS --minutes 5 "" perceptual=3 "l1=1 batch=8" no-noise

A variant is settings of `TrainConfig` other than the defaults and names in PATCHES, which change what no setting
reaches; "" is the defaults themselves. All get the same time (or, with --steps, the same number of steps, which other
work on the machine does not shorten), one after the other, each in a process of its own. Runs and reports are left in
--out; a variant whose report is there is not trained again. With several --seeds the table has their mean, and half of
what lies between the lowest and the highest. `--plot plot.png` draws speed and quality, a point for each variant, as of
the presets with `preset=S preset=M preset=L`; `--axes everyday_edges,dream` draws other figures, `images` among them.
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


def _replace(owner: Any, **parts: Any) -> None:
    """Parts of a module or a class by others of theirs."""
    for name, part in parts.items():
        setattr(owner, name, part)


def _eight_groups() -> None:
    """As before 2026-11-26."""
    from beautynet.networks import Generator
    from beautynet.training import trainer

    _replace(trainer, Generator=lambda width, depth, _: Generator(width, depth, 8))


def _unmixed() -> None:
    """A discriminator that sees each scale by itself, as before 2026-11-27."""
    from beautynet.networks import Discriminator
    from beautynet.training import trainer

    _replace(trainer, Discriminator=lambda channels, **_: Discriminator(channels, mixes=False))


def _no_randomisation() -> None:
    from beautynet.conditions import Condition

    _replace(Condition, randomised=lambda self, _: self.own)


def _no_noise() -> None:
    from beautynet import networks

    _replace(networks.Up, with_noise=lambda _self, x, _places=None: x)


def _no_adversary() -> None:
    from beautynet.training import losses

    _replace(losses, generator_hinge=lambda fake: 0.0 * sum(scores.mean() for scores in fake))


def _least_squares() -> None:
    """LSGAN (Mao et al. 2017)."""
    from beautynet.training import losses

    def discriminator(real: Sequence[Any], fake: Sequence[Any]) -> Any:
        return sum(((r - 1) ** 2).mean() + (f**2).mean() for r, f in zip(real, fake, strict=True)) / len(real)

    def generator(fake: Sequence[Any]) -> Any:
        return sum(((scores - 1) ** 2).mean() for scores in fake) / len(fake)

    _replace(losses, discriminator_hinge=discriminator, generator_hinge=generator)


def _relativistic() -> None:
    """How much more real than the others' mean, with the logistic loss (RaGAN; Jolicoeur-Martineau 2019)."""
    from torch.nn.functional import softplus

    from beautynet import networks
    from beautynet.training import losses

    known: list[Any] = []
    """The scores of the photos that were looked at last, for the generator's side."""
    look = networks.Discriminator.forward

    def looked(self: Any, condition: Any, *pictures: Any) -> Any:
        scores = look(self, condition, *pictures)
        if len(pictures) > 1:  # photos and paintings: of scenes there is but one kind a look
            known[:] = [each.detach() for each in scores[0]]
        return scores

    def discriminator(real: Sequence[Any], fake: Sequence[Any]) -> Any:
        pairs = [softplus(f.mean() - r).mean() + softplus(f - r.mean()).mean() for r, f in zip(real, fake, strict=True)]
        return sum(pairs) / len(pairs)

    def generator(fake: Sequence[Any]) -> Any:
        pairs = [
            softplus(r.mean() - f).mean() + softplus(r - f.mean()).mean() for r, f in zip(known, fake, strict=True)
        ]
        return sum(pairs) / len(fake)

    _replace(networks.Discriminator, forward=looked)
    _replace(losses, discriminator_hinge=discriminator, generator_hinge=generator)


def _penalty() -> None:
    """Approximate R1 and R2 without a second derivative: |D(x) - D(x + noise)|² (Lin et al. 2025), x being features."""
    import torch

    from beautynet import networks
    from beautynet.training import losses

    look, distance = networks.Discriminator.forward, losses.discriminator_hinge
    rough: list[Any] = []

    def looked(self: Any, condition: Any, *pictures: Any) -> Any:
        scores = look(self, condition, *pictures)
        if self.training:
            shaken = [[each + 0.1 * each.detach().std() * torch.randn_like(each) for each in maps] for maps in pictures]
            moved = look(self, condition, *[[each.detach() for each in maps] for maps in shaken])
            rough.append(
                sum(
                    ((a - b) ** 2).mean()
                    for was, now in zip(scores, moved, strict=True)
                    for a, b in zip(was, now, strict=True)
                )
            )
        return scores

    def discriminator(real: Sequence[Any], fake: Sequence[Any]) -> Any:
        loss = distance(real, fake) + sum(rough)
        rough.clear()
        return loss

    _replace(networks.Discriminator, forward=looked)
    _replace(losses, discriminator_hinge=discriminator)


def _batch_norm() -> None:
    """Batch norm in the generator, with the statistics of the batch at inference, too, as pix2pix has it."""
    from torch.nn.functional import batch_norm

    from beautynet import networks

    _replace(networks.Norm, forward=lambda _, x: batch_norm(x, None, None, training=True))


def _no_average() -> None:
    """The generator as it is, not the moving average of it."""
    import torch

    from beautynet.training.trainer import Trainer

    @torch.no_grad()
    def follow(self: Trainer) -> None:
        torch._foreach_copy_(list(self.average.parameters()), list(self.generator.parameters()))

    _replace(Trainer, _follow=follow)


def _worse_labels(dropped: bool) -> Callable[[], None]:
    """A tenth of what is shown, in squares of 8 px, is grey, or is what is shown elsewhere."""

    def patch() -> None:
        import torch

        from beautynet.training import trainer

        crops = trainer.Trainer._crops

        def cropped(self: Any, *given: Any) -> Any:
            shown, made_up, photo = crops(self, *given)
            count, _, height, width = shown.shape
            there = torch.rand(count, 1, height // 8, width // 8, device=shown.device) < 0.1
            there = there.repeat_interleave(8, 2).repeat_interleave(8, 3)
            other = torch.zeros_like(shown) if dropped else shown.flip(2, 3)
            return torch.where(there, other, shown).to(memory_format=torch.channels_last), made_up, photo

        _replace(trainer.Trainer, _crops=cropped)

    return patch


def _no_spectral_norm() -> None:
    from beautynet import networks

    _replace(networks, spectral_norm=lambda layer: layer)


def _depth(levels: int) -> Callable[[], None]:
    def patch() -> None:
        from beautynet.training import trainer

        _replace(trainer, depth_for=lambda _: levels)

    return patch


PATCHES: dict[str, Callable[[], None]] = {
    "relativistic": _relativistic,
    "penalty": _penalty,
    "batch-norm": _batch_norm,
    "no-average": _no_average,
    "dropped-labels": _worse_labels(dropped=True),
    "noisy-labels": _worse_labels(dropped=False),
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
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the rows")
    parser.add_argument("--axes", default="images_per_second,kid,dream", help="X,Y,...: a panel for each Y against X")
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
        x, *others = given.axes.split(",")
        _plot(found, x, others, given.plot)


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _values(reports: Sequence[dict[str, Any]], name: str, column: str = "output") -> list[float]:
    """A figure of each report that has it; `images` and `images_per_second` are those of its training."""
    if name in ("images", "images_per_second"):
        spent = [report["progress"] for report in reports]
        return [each["images"] / (each["seconds"] if name == "images_per_second" else 1) for each in spent]
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


def _plot(found: dict[str, list[dict[str, Any]]], x: str, others: Sequence[str], out: Path) -> None:
    """A panel for each of the other figures that is known, in it a point for each variant, with bars over its seeds."""
    sys.path.insert(0, str(REPO))
    from beautynet.web.plots import name_points, plotted

    known = [y for y in others if all(_values(reports, name) for reports in found.values() for name in (x, y))]
    if not known:
        sys.exit(f"nothing to draw: the reports do not have {x} and {' or '.join(others) or 'another figure'}")

    def draw(figure: Any) -> None:
        for axes, y in zip(figure.subplots(1, len(known), squeeze=False)[0], known, strict=True):
            places = {}
            for variant, reports in found.items():
                across, up = _values(reports, x), _values(reports, y)
                places[variant] = sum(across) / len(across), sum(up) / len(up)
                apart = [(max(values) - min(values)) / 2 for values in (across, up)]
                axes.errorbar(*places[variant], xerr=apart[0], yerr=apart[1], fmt="o", capsize=3)
            name_points(axes, places)
            axes.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "))

    out.write_bytes(plotted(draw, 7 * len(known), 4.5))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(json.loads(sys.argv[2]))
    else:
        main()
