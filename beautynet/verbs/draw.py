"""Draw a few ellipses that a network takes for what is asked for."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from inspect import signature
from itertools import chain, islice
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import ImageColor
from sklearn.cluster import KMeans
from torch import Tensor

from beautynet import backbones, files
from beautynet import checkpoint as checkpoints
from beautynet.console import Stop, console, progress
from beautynet.decode import decode, decode_for
from beautynet.devices import pick_device
from beautynet.drawing.draughtsman import (
    METHODS,
    MOST_COLOURS,
    Best,
    Critic,
    Network,
    check,
    confidence,
    find,
    networks_of,
)
from beautynet.drawing.ellipses import Colour, Style
from beautynet.errors import BeautyError, UsageError
from beautynet.film.frames import Frame
from beautynet.film.rendering import writing
from beautynet.web.plots import plotted
from beautynet.web.report import page
from beautynet.web.templates import data_url

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWINGS = Path("drawings")
REPORT, SETTINGS = "drawing.json", "gallery.json"
FILM_SIDE, FILM_RATE, FILM_SECONDS, FILM_END = 512, 24, 8, 2
"""Of the film of the search, which holds still at its end."""
TOP = 5
SIZES = (32, 8192)


@dataclass(frozen=True)
class DrawSummary:
    """A drawing, and how much it convinces."""

    folder: Path
    names: tuple[str, ...]
    confidence: float
    """0..1: the mean probability of what was asked for, over the networks that it was made with, of `drawing.png` read
    again and seen in 13 views."""
    convinced: dict[str, float]
    """The same by network, those it was not made with too."""
    top: dict[str, dict[str, float]]
    """By network, the five likeliest labels."""
    made_with: tuple[str, ...]
    looks: int
    seconds: float
    """Of the search, without what came before and after it."""
    network_share: dict[str, float]
    """Of the seconds: what each network took that it was made with."""
    stopped_by: int | None = None

    def sentence(self) -> str:
        """All of it in words."""
        several = len(self.network_share) > 1
        shares = {name if several else "the network": share for name, share in self.network_share.items()}
        lines = [
            f"{self.folder}: {self.confidence:.1%} {' and '.join(self.names)}; {self.looks:,} drawings seen, "
            f"{self.looks / self.seconds:.0f} a second, "
            f"{' and '.join(f'{share:.0%} of the time in {name}' for name, share in shares.items())}"
        ]
        for name, found in self.top.items():
            said = ", ".join(f"{label} {share:.1%}" for label, share in found.items())
            if name not in self.made_with:
                name = f"{name} (not asked before, {self.convinced[name]:.1%} convinced)"
            lines.append(f"  {name}: {said}")
        return "\n".join(lines)


def draw(
    *names: str,
    ellipses: int = 8,
    colors: int | None = None,
    palette: str | Path | None = None,
    from_photo: str | Path | None = None,
    background: str = "auto",
    minutes: float = 1.0,
    steps: int | None = None,
    method: str = "gradient",
    backbone: str | Sequence[str] = (backbones.DEFAULT,),
    model: str | Path | None = None,
    size: int = 1024,
    seed: int = 0,
    out: str | Path | None = None,
    film: bool = True,
    device: str = "auto",
) -> DrawSummary:
    """Find `ellipses` that the `backbone` networks take for all of `names` (labels of ImageNet, or of `model`).

    `colors` is how many colours there are in all (each ellipse its own if None); `palette` a file of them, a line each;
    `from_photo` a picture to take them from (8 unless `colors` says more or less). `background` is a colour, or "auto".
    `steps` of the method instead of `minutes`; same seed and steps, same drawing. Several backbones have to be
    convinced together. Writes `drawing.svg`, `drawing.png` (`size` px), `search.mp4`, `curve.png` and `drawing.json` to
    `out` (default: `drawings/NAME`). Ctrl-C keeps the best so far. Raises BeautyError.
    """
    style = style_of(ellipses, colors, palette, from_photo, background)
    if not minutes > 0:
        raise UsageError(f"{minutes:g} minutes will not do: give more than 0")
    if steps is not None and steps < 1:
        raise UsageError(f"{steps} steps will not do: give 1 or more")
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}: choose from {', '.join(METHODS)}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise UsageError(f"{size} px will not do: give {SIZES[0]} to {SIZES[1]}")
    if not names:
        raise UsageError('say what to draw: `beautynet draw "great white shark"`; --list shows all names')
    chosen = pick_device(device)
    backbone = files.words(backbone)
    networks = networks_of(backbone, model, device)
    for network in networks:
        network.want(names)
    labels = tuple(networks[0].labels[i] for i in networks[0].wanted)
    folder = Path(out) if out else DRAWINGS / slug(labels)
    critic = Critic(networks, chosen)
    began = time.perf_counter()
    best, points, stopped_by = _search(critic, style, method, minutes, steps, seed, began)
    seconds = time.perf_counter() - began
    drawn = style.read(best.genes[None])

    files.write_text(folder / "drawing.svg", drawn.svg()[0])
    files.write_picture(folder / "drawing.png", drawn.picture(size))
    picture = np.asarray(decode(folder / "drawing.png"))
    others = () if model else (Network.backbone(name, device) for name in backbones.here() if name not in backbone)
    found = {network.name: confidence(network, picture, chosen) for network in chain(networks, others)}
    convinced = {name: geometric_mean([shares[label] for label in labels]) for name, shares in found.items()}
    if film:
        _film(folder / "search.mp4", style, [genes for _, _, genes in points])
    files.write_bytes(folder / "curve.png", plotted(lambda figure: _curve(figure, points, names), 8, 4.5))
    summary = DrawSummary(
        folder,
        labels,
        fmean(convinced[network.name] for network in networks),
        convinced,
        {name: dict(islice(shares.items(), TOP)) for name, shares in found.items()},
        tuple(network.name for network in networks),
        critic.looks,
        seconds,
        {name: spent / seconds for name, spent in critic.seconds.items()},
        stopped_by,
    )
    told = asdict(summary) | {"folder": str(folder), "method": method, "seed": seed, "style": asdict(style)}
    told |= {"minutes": minutes, "steps": steps, "judged": [[round(at, 3), score] for at, score, _ in points]}
    files.write_text(folder / REPORT, json.dumps(told, ensure_ascii=False, indent=1))
    return summary


def _search(
    critic: Critic, style: Style, method: str, minutes: float, steps: int | None, seed: int, began: float
) -> tuple[Best, list[tuple[float, float, Tensor]], int | None]:
    """The best drawing; (seconds, confidence, genes) of each that was better than all before it; what stopped it."""
    done = 0
    spent = 0.0

    def clock() -> float:
        nonlocal spent
        spent = done / steps if steps else (time.perf_counter() - began) / (60 * minutes)
        return min(1.0, spent) if stop.signal is None else 1.0

    points: list[tuple[float, float, Tensor]] = []
    with Stop() as stop, progress("steps") as bar:
        task = bar.add_task("drawing", total=steps or None)
        for best in METHODS[method](critic, style, clock, torch.Generator().manual_seed(seed)):
            done += 1
            if not points or best.confidence > points[-1][1]:
                points.append((time.perf_counter() - began, best.confidence, best.genes))
            bar.update(
                task, completed=done, total=steps or done / max(spent, 1e-3), description=f"{best.confidence:.1%}"
            )
    return best, points, stop.signal


def slug(names: Sequence[str], labels: Sequence[str] = ()) -> str:
    """A folder's name; of those `labels` that would have the same one, the later ones get a number."""
    plain = files.folder_name(" and ".join(names)) or "drawing"
    twins = [label for label in labels if slug([label]) == plain]
    number = twins.index(names[0]) if twins else 0
    return f"{plain}-{number + 1}" if number else plain


# --- colours --------------------------------------------------------------------------------------------------------


def style_of(
    ellipses: int,
    colors: int | None = None,
    palette: str | Path | None = None,
    from_photo: str | Path | None = None,
    background: str = "auto",
) -> Style:
    """What may vary in a drawing. Raises BeautyError."""
    check(ellipses, colors)
    if palette and from_photo:
        raise UsageError("give --palette or --from-photo, not both")
    if palette and colors is not None:
        raise UsageError("--palette has its own number of colours: give it or --colors, not both")
    inks: tuple[Colour, ...] = ()
    if palette:
        inks = _palette(Path(palette))
    elif from_photo:
        inks = _colours_of(Path(from_photo), colors or 8)
    paper = None if background == "auto" else _colour(background, "--background")
    return Style(ellipses, None if inks else colors, inks, paper)


def _palette(path: Path) -> tuple[Colour, ...]:
    lines = files.read_lines(path, "a text file of colours, one a line, such as #f59d1b")
    inks = tuple(_colour(line, str(path)) for line in lines)
    if not 2 <= len(set(inks)) <= MOST_COLOURS:
        raise BeautyError(f"{path} has {len(set(inks))} colours: a palette has 2 to {MOST_COLOURS}, one a line")
    return inks


def _colour(text: str, where: str) -> Colour:
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise BeautyError(f"{where}: {text!r} is no colour: write it as #f59d1b, or by name") from None
    return red / 255, green / 255, blue / 255


def _colours_of(path: Path, count: int) -> tuple[Colour, ...]:
    """A photo's, by k-means."""
    picture = decode_for(path, "for the colours")
    picture.thumbnail((96, 96))
    pixels = np.asarray(picture).reshape(-1, 3) / 255
    count = min(count, len(np.unique(pixels, axis=0)))
    if count < 2:
        raise BeautyError(f"{path} has one colour only: choose another picture for the colours")
    centres = KMeans(count, n_init=3, random_state=0).fit(pixels).cluster_centers_
    return tuple((float(r), float(g), float(b)) for r, g, b in centres)


# --- what is kept of the search -------------------------------------------------------------------------------------


def _film(path: Path, style: Style, genes: Sequence[Tensor]) -> None:
    """Each better drawing in turn, flowing into the next."""
    frames, end = FILM_RATE * FILM_SECONDS, FILM_RATE * FILM_END
    with writing(path, (FILM_SIDE, FILM_SIDE), rate=Fraction(FILM_RATE)) as film, progress("frames") as bar:
        for number in bar.track(range(frames + end), description="filming"):
            at = min(1.0, number / frames) * (len(genes) - 1)
            low = min(int(at), max(0, len(genes) - 2))
            between = torch.lerp(genes[low], genes[min(low + 1, len(genes) - 1)], at - low)
            picture = style.read(between[None]).picture(FILM_SIDE)
            film.write(Frame(picture, Fraction(number, FILM_RATE), Fraction(1, FILM_RATE)))


def _curve(figure: Figure, points: Sequence[tuple[float, float, Tensor]], names: Sequence[str]) -> None:
    axes = figure.subplots()
    axes.plot([at for at, _, _ in points], [score for _, score, _ in points], drawstyle="steps-post", color="#f0a071")
    axes.set(xlabel="seconds", ylabel="confidence", title=" and ".join(names).replace("$", r"\$"), ylim=(0, 1.02))


# --- many -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GallerySummary:
    """Drawings of many names, the most convincing first; `new` were made now."""

    page: Path
    drawings: tuple[tuple[str, float], ...]
    new: int
    stopped_by: int | None

    def sentence(self) -> str:
        """All of it in words."""
        first = ", ".join(f"{name} {share:.0%}" for name, share in self.drawings[:3])
        return f"{self.page}: {len(self.drawings)} drawings, {self.new} of them new; {first or 'none yet'}"


def draw_gallery(*names: str, out: str | Path = "gallery", **settings: Any) -> GallerySummary:
    """Draw each of `names` by itself, and one page of all of them, the most convincing first.

    `settings` are those of `draw`. The same command goes on where it was stopped. Raises BeautyError.
    """
    if not names:
        raise UsageError("say what to draw: `beautynet draw gallery daisy banana`; `beautynet draw --list` shows all")
    labels = all_names(settings.get("model"))
    wanted = list(dict.fromkeys(find(name, labels) for name in names))  # all of them, before an hour is spent on some
    folder, new, stopped_by, found = Path(out), 0, None, []
    _settle(folder / SETTINGS, settings)
    for name in wanted:
        place = folder / slug([name], labels)
        report = _report(place)
        if stopped_by is None and (report is None or report.get("stopped_by") is not None):  # a half-drawn one is none
            summary = draw(name, out=place, **settings)
            stopped_by, new, report = summary.stopped_by, new + 1, _report(place)
            console.print(summary.sentence().splitlines()[0])
        if report:
            found.append((name, float(report["confidence"]), place, report))
            found.sort(key=lambda each: -each[1])
            files.write_text(folder / "index.html", _gallery(found))
    drawings = tuple((name, share) for name, share, *_ in found)
    return GallerySummary(folder / "index.html", drawings, new, stopped_by)


def _report(place: Path) -> dict[str, Any] | None:
    """What `draw` noted of the drawing in a folder; None where there is none yet."""
    path = place / REPORT
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _settle(path: Path, settings: dict[str, Any]) -> None:
    """Keep what a gallery is drawn with, at `path`; BeautyError if there are drawings in it of other settings."""
    usual = {name: each.default for name, each in signature(draw).parameters.items() if each.kind is each.KEYWORD_ONLY}
    kind = usual | settings
    for name in ("out", "device"):  # wherever it is drawn, it is the same
        kind.pop(name, None)
    wanted = json.loads(json.dumps(kind, default=str))
    if path.exists() and any(path.parent.glob(f"*/{REPORT}")):
        before = json.loads(path.read_text(encoding="utf-8"))
        names = [name for name in sorted({*before, *wanted}) if before.get(name) != wanted.get(name)]
        if names:
            other = "; ".join(f"{name}: {before.get(name)} then, {wanted.get(name)} now" for name in names)
            raise BeautyError(
                f"{path.parent} was drawn with other settings ({other}): give the same ones to go on, or another "
                "folder with -o"
            )
    files.write_text(path, json.dumps(wanted, ensure_ascii=False, indent=1))


def _gallery(found: Sequence[tuple[str, float, Path, dict[str, Any]]]) -> str:
    figures = []
    for name, share, place, report in found:
        others = [other for network, other in report["convinced"].items() if network not in report["made_with"]]
        besides = f", another network {max(others):.0%}" if others else ""
        svg = data_url((place / "drawing.svg").read_bytes(), "image/svg+xml")
        figures.append(
            f"<figure><div><img src='{svg}' alt='{html.escape(name, quote=True)}'></div>"
            f"<figcaption><span>{html.escape(name)}</span> {share:.1%}{besides}</figcaption></figure>"
        )
    return page(
        "Seen in ellipses",
        f"{len(found)} drawings that a network was convinced by, the most convincing first.",
        "<p>The figure is the mean probability that the network gives it, shifted, scaled, cropped and blurred a "
        "little; the other one is of a network that it was not made with.</p>",
        f"<section><div class=rows>{''.join(figures)}</div></section>",
        "Each drawing is in a folder beside this page, as SVG and PNG, with the film of its search.",
    )


def all_names(model: str | Path | None = None) -> list[str]:
    """What can be drawn: ImageNet's classes, or a classifier's labels. Raises BeautyError."""
    if not model:
        return backbones.class_names()
    path = checkpoints.find(model, checkpoints.CLASSIFIER)
    return list(checkpoints.read_header(path, checkpoints.CLASSIFIER)["labels"])
