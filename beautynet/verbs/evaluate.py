"""How good a checkpoint is: figures on photos that it never saw, beside what they are for other pictures, and a page
that shows them with the pictures themselves. Without the pictures no figure tells the whole."""

from __future__ import annotations

import html
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from beautynet import backbones, files, images, metrics
from beautynet import checkpoint as checkpoints
from beautynet.colour import smooth
from beautynet.conditions import Condition
from beautynet.console import console, progress
from beautynet.datasets.dataset import Dataset, evenly, squares
from beautynet.datasets.dedup import digests
from beautynet.errors import BeautyError, UsageError
from beautynet.film.frames import Cuts
from beautynet.training import health
from beautynet.translator import Memory, Translator
from beautynet.web.report import Show, page, section, table

REFERENCE = 512
"""So many training photos at most stand for all of them, spread evenly over their names."""
COMPARED, COMPARED_BYTES = 4096, 1 << 30
"""So many, in so many bytes, are looked through for what was painted by heart: a copy has to find its photo."""
FILM_FRAMES = 100
BATCH = 8
SAME = 1e-5
"""Diversity that copies of one picture count as having, so that paintings of them may be alike too."""
EXTREMES, NEAREST, SHOWN = 5, 6, 8
"""Rows on the page: best and worst each, outputs nearest to a training photo, everyday pictures and frames."""
OUTPUT, CONDITION, BLURRED, CHANCE, REAL = "output", "condition", "blurred", "by chance", "real"
ALONE = "by frame"
"""What figures are given for: the network's pictures; what it was shown, as if it were the picture; the blurred photo;
each output held against another's photo; the real photo (an everyday picture, a film) itself; and of a film, each
frame painted by itself."""

KEY = """
<p><b>output</b> is what the network paints, <b>condition</b> what it was shown, as if that were the picture,
    <b>blurred</b> the photo out of focus, <b>by chance</b> an output beside another's photo, <b>real</b> the photo
    itself; of a film, <b>by frame</b> each frame painted without leaning on the one before.
    <span class="good-key">Green</span> beats the figure that is <span class="rival">underlined</span>, the least to ask
    of it; <span class="poor-key">red</span> does not.</p>
"""
FOOT = """
How each figure is made stands in <code>beautynet/metrics.py</code>; the same figures for machines in
  <code>report.json</code> beside this page. Few pictures make rough figures: mind the intervals.
"""


@dataclass(frozen=True)
class Figure:
    """One figure, for the output and for what stands beside it."""

    name: str
    title: str
    better: str
    """`lower`, `higher`, or in words."""
    meaning: str
    values: dict[str, float]
    """By OUTPUT, CONDITION, ...; those that would say nothing are left out."""
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """95%, where they are known."""
    rival: str | None = None
    """The column that an output has to beat, the least to ask of it."""
    void: bool = False
    """Whether the output's value says nothing good, however good it is."""

    def said(self, value: float) -> str:
        """One of its values, or an end of an interval: all with as many decimals as suit the largest."""
        all_of_them = chain(self.values.values(), *self.intervals.values())
        largest = max((abs(each) for each in all_of_them if math.isfinite(each)), default=0)
        digits = 3 if largest < 10 else 2 if largest < 100 else 1
        return f"{value:.{digits}f}"

    def row(self, columns: Sequence[str]) -> str:
        """For the terminal."""
        cells = (f"{self.said(self.values[c]) if c in self.values else '':>9}" for c in columns)
        within = self.intervals.get(OUTPUT)
        sure = f"; {self.said(within[0])} to {self.said(within[1])} with 95 %" if within else ""
        return f"{self.title:28}" + "  ".join(cells) + f"  {self.better}{sure}"


COLUMNS = (OUTPUT, ALONE, CONDITION, BLURRED, CHANCE, REAL)


@dataclass(frozen=True)
class EvaluateReport:
    """What `evaluate` found. `page` and `json` are the files that say it too."""

    folder: Path
    figures: dict[str, list[Figure]]
    """By chapter: `photos`, and `everyday` and `film` where they were given."""
    facts: dict[str, Any]
    """On what and with what: checkpoint, dataset, backbone, how many of each, seconds. And, where there is a log of its
    training, how that went: `health` in a word, and `findings` in sentences, with advice."""

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    @property
    def json(self) -> Path:
        """The figures."""
        return self.folder / "report.json"

    def __getitem__(self, name: str) -> Figure:
        """A figure by its name; KeyError with those that there are."""
        found = {figure.name: figure for figure in chain(*self.figures.values())}
        if name not in found:
            raise KeyError(f"{name!r} is none of {', '.join(found)}")
        return found[name]

    def __iter__(self) -> Iterator[str]:
        """The names of all figures."""
        return (figure.name for figure in chain(*self.figures.values()))

    def table(self) -> str:
        """The figures for a terminal, about 110 columns wide."""
        columns = _columns([*chain(*self.figures.values())])
        lines = [" " * 28 + "  ".join(f"{column:>9}" for column in columns) + "  better"]
        for chapter, figures in self.figures.items():
            lines += [CHAPTERS[chapter], *(figure.row(columns) for figure in figures)]
        return "\n".join(line.rstrip() for line in lines)


class _Known(NamedTuple):
    """Photos that were trained on: uint8 (N, size, size, 3), and their features (N, D)."""

    pictures: np.ndarray
    features: Tensor

    @property
    def some(self) -> Tensor:
        """The features of those that stand for all."""
        return self.features[evenly(len(self.features), REFERENCE)]


CHAPTERS = {"photos": "held-out photos", "everyday": "everyday pictures", "film": "film"}


@dataclass
class _Pairs:
    """Pictures and what the network makes of them: (N, 3, size, size) in [-1, 1] each."""

    paths: list[Path]
    real: Tensor
    condition: Tensor
    output: Tensor

    def columns(self, number: int) -> list[np.ndarray]:
        batch = torch.stack([self.real[number], self.condition[number], self.output[number]])
        return list(images.to_uint8(batch))

    def sets(self) -> dict[str, Tensor]:
        """What each column of the table holds, as pictures."""
        return {
            OUTPUT: self.output,
            CONDITION: self.condition,
            BLURRED: smooth(self.real, self.real.shape[-1] / 32),
            CHANCE: self.output.roll(len(self.output) // 2, 0),  # not the next one: frames, bursts
            REAL: self.real,
        }


def evaluate(
    checkpoint: str | Path | None = None,
    *,
    data: str | Path | None = None,
    everyday: str | Path | None = None,
    video: str | Path | None = None,
    backbone: str = backbones.DEFAULT,
    abstraction: float | None = None,
    max: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    translator: Translator | None = None,
) -> EvaluateReport:
    """Measure a checkpoint (None: the newest) on the photos held out of `data` (default: those it was trained on).

    `everyday` is a folder of other pictures, none it practised on, for the dream score; `video` a film, for its rest
    and sharpness; `max` limits the pictures of each kind. `backbone` is a name in `BACKBONES`; `abstraction` (0..1)
    replaces the recipe's own. Writes `report.json` and `report.html` to `out`, by default `report/` beside the
    checkpoint. A loaded `translator` replaces `checkpoint` and its `abstraction`; it needs `data` and `out`, then. The
    same call gives the same figures. Raises BeautyError.
    """
    began = time.perf_counter()
    if backbone == backbones.EYES:
        raise UsageError(f"training looks through {backbone}: measure with another one, such as {backbones.DEFAULT}")
    if max is not None and max < 2:
        raise UsageError(f"{max} pictures of each kind will not do: give 2 or more")
    if translator and (data is None or out is None):
        raise UsageError("a translator comes without what it was trained on: give data and out, too")
    if everyday is not None and not Path(everyday).is_dir():
        raise BeautyError(f"there is no folder {everyday}: name one with everyday pictures")
    if video is not None:
        from beautynet.film.media import Film

        Film(Path(video)).close()  # before minutes are spent on photos
    model = None if translator else checkpoints.find(checkpoint)
    translator = translator or Translator.load(model, device=device, abstraction=abstraction)
    header = translator.header
    recipe = translator.condition
    learnt = checkpoints.read_training_set(model.parent) if model else checkpoints.TrainingSet()
    dataset = _dataset(data, learnt, header.get("dataset"))
    training, held_out = dataset.split(learnt.pictures, learnt.held_out)
    held_out = _unseen(held_out, learnt, "held-out photos", "--data")
    if len(held_out) < 2:
        raise BeautyError(
            f"{dataset.folder} has too few photos to hold out two of them: gather more, or name others with --data"
        )
    folder = Path(out) if out else Path(model or ".").parent / "report"
    unpractised: list[Path] = []
    if everyday is not None:
        unpractised = _unseen(Dataset.open(everyday).photos, learnt, f"pictures in {everyday}", "--everyday")
        _check_count(unpractised)  # before minutes are spent on photos
    eyes = backbones.load(backbone, translator.device)

    photos = _pairs(translator, _spread(held_out, max), recipe.own)
    training, pictures = squares(_spread(training, min(COMPARED, COMPARED_BYTES // (3 * recipe.size**2))), recipe.size)
    known = _Known(pictures, _features(eyes, {"training": pictures})["training"])
    figures, shows = _photos(photos, known, eyes, recipe)
    chapters = {"photos": figures}
    if unpractised:
        others = _pairs(translator, _spread(unpractised, max), recipe)
        chapters["everyday"], show = _everyday(others, known.some, eyes, recipe)
        shows.insert(0, show)
    if video is not None:
        chapters["film"], show = _film(translator, Path(video))
        shows.append(show)

    log = checkpoints.read_log(model.parent) if model else []
    found = [*health.findings(log), *health.measured({f.name: f.values for f in chain(*chapters.values())})]
    facts = {
        "checkpoint": str(model) if model else "",
        "dataset": str(dataset.folder),
        "backbone": backbone,
        "size": recipe.size,
        "condition": asdict(recipe.own),  # without the colours of a hundred lenders
        "held_out": len(photos.paths),
        "training": len(training),
        "everyday": str(everyday) if everyday else None,
        "film": str(video) if video else None,
        "progress": header.get("progress"),
        "health": health.state(log) if log else None,
        "findings": [str(finding) for finding in found],
        "seconds": round(time.perf_counter() - began, 1),
    }
    report = EvaluateReport(folder, chapters, facts)
    plain = {chapter: [asdict(figure) for figure in figures] for chapter, figures in chapters.items()}
    files.write_text(report.json, json.dumps({**facts, "figures": plain}, indent=2, ensure_ascii=False))
    files.write_text(report.page, _page(report, shows))
    return report


def _dataset(data: str | Path | None, learnt: checkpoints.TrainingSet, name: str | None) -> Dataset:
    """The dataset `data`, else the one trained on: where the run found it, or one with that name."""
    if data:
        return Dataset.open(data)
    if learnt.place:
        with suppress(BeautyError):  # its photos are elsewhere now
            return Dataset.open(learnt.place)
    try:
        return Dataset.open(name)
    except BeautyError as error:
        raise BeautyError(f"{error}; or name the photos with --data") from error


def _unseen(pictures: Sequence[Path], learnt: checkpoints.TrainingSet, which: str, option: str) -> list[Path]:
    """Those that no training saw, byte for byte; how many others there are is told. BeautyError if all were seen."""
    known = digests(pictures) if learnt.pictures else {}
    new = [path for path in pictures if known.get(path) not in learnt.pictures]
    if left_out := len(pictures) - len(new):
        if not new:
            raise BeautyError(f"the network was trained on all {which}: name others with {option}")
        console.print(f"{left_out} {which} are left out: the network was trained on them", style="yellow")
    return new


def _spread(paths: Sequence[Path], most: int | None) -> list[Path]:
    return [paths[i] for i in evenly(len(paths), most)]


def _check_count(paths: Sequence[Path]) -> None:
    if len(paths) < 2:
        raise BeautyError(f"{paths[0]} alone cannot be measured: give two pictures of each kind or more")


@torch.no_grad()
def _pairs(translator: Translator, paths: Sequence[Path], recipe: Condition) -> _Pairs:
    readable, pictures = squares(paths, recipe.size)
    _check_count(readable)
    shown, painted = [], []
    with progress("pictures") as bar:
        task = bar.add_task("painting", total=len(pictures))
        for batch in np.split(pictures, range(BATCH, len(pictures), BATCH)):
            condition, _ = recipe(images.to_tensor(batch, translator.device))
            shown.append(condition.float().cpu())
            painted.append(translator.paint(condition).clamp(-1, 1).cpu())
            bar.advance(task, len(batch))
    return _Pairs(readable, images.to_tensor(pictures), torch.cat(shown), torch.cat(painted))


def _features(eyes: backbones.Backbone, sets: Mapping[str, Tensor | np.ndarray]) -> dict[str, Tensor]:
    """(N, D) each, of tensors in [-1, 1] and of pictures as uint8, which are taken to tensors a few at a time."""
    with progress("pictures") as bar:
        task = bar.add_task("looking", total=sum(map(len, sets.values())))

        def look(pictures: Tensor | np.ndarray) -> Tensor:
            if isinstance(pictures, Tensor):
                return eyes.features(pictures, lambda count: bar.advance(task, count))
            parts = np.split(pictures, range(REFERENCE, len(pictures), REFERENCE))
            return torch.cat([look(images.to_tensor(part)) for part in parts])

        return {name: look(pictures) for name, pictures in sets.items()}


# --- chapters -------------------------------------------------------------------------------------------------------


def _photos(
    pairs: _Pairs, training: _Known, eyes: backbones.Backbone, recipe: Condition
) -> tuple[list[Figure], list[Show]]:
    """How well held-out photos are painted from their conditions."""
    sets, known = pairs.sets(), training.some
    reference = images.to_tensor(training.pictures[evenly(len(training.pictures), REFERENCE)])
    alone = {column: sets[column] for column in (OUTPUT, CONDITION, BLURRED, REAL)}  # what pairing does not change
    features = _features(eyes, alone)
    kids = {column: metrics.estimate(1000 * metrics.kid(each, known)) for column, each in features.items()}
    diversity = {column: SAME + metrics.diversity(each) for column, each in features.items()}
    distances = {column: metrics.nearest(features[column], training.features) for column in (OUTPUT, REAL)}
    unlike = {column: metrics.perceptual(eyes, each, pairs.real) for column, each in sets.items() if column != REAL}
    figures = [
        Figure(
            "kid",
            "KID × 1000",
            "lower",
            "How unlike training photos the pictures are as a set, to a network that knows things and textures. "
            "Real photos of the same subject are near 0.",
            {column: each.value for column, each in kids.items()},
            {column: (each.low, each.high) for column, each in kids.items()},
            CONDITION,
        ),
        Figure(
            "swd",
            "patches (SWD)",
            "lower",
            "How unlike training photos small patches are, from fine grain to broad shapes; no network judges here. "
            "Checkerboards, blur and colour casts raise it.",
            {column: metrics.swd(each, reference) for column, each in alone.items()},
            rival=CONDITION,
        ),
        Figure(
            "perceptual",
            "unlike its photo",
            "lower",
            f"How unlike its own photo each picture looks: cosine distance of {eyes.name}'s feature maps. "
            "By chance is another photo's picture; at that height the input is ignored.",
            {**_means(unlike), REAL: 0.0},
            rival=CONDITION,
        ),
        *_faithfulness(sets, pairs, recipe),
        Figure(
            "diversity",
            "diversity / real",
            "near 1",
            "How unlike each other the pictures are, as a share of the photos' own. Near 0 it paints one picture for "
            "every input.",
            {column: each / diversity[REAL] for column, each in diversity.items()},
        ),
        Figure(
            "copying",
            "nearer than new photos",
            "0.5 or lower",
            "How often an output is nearer to some training photo than a held-out photo is. Near 1 it paints training "
            "photos by heart.",
            {OUTPUT: metrics.copying(distances[OUTPUT][0], distances[REAL][0]), REAL: 0.5},
        ),
    ]
    return figures, [*_extremes(pairs, unlike[OUTPUT]), _by_heart(pairs, *distances[OUTPUT], training.pictures)]


def _extremes(pairs: _Pairs, unlike: Tensor) -> Iterator[Show]:
    """Outputs closest to and farthest from their photos, by (N,) distances."""
    rows = [(f"{unlike[i]:.3f}", pairs.columns(i)) for i in unlike.argsort().tolist()]
    most = min(EXTREMES, len(rows) // 2)
    columns = ("photo", "shown", "painted")
    text = "The held-out photos that came back best, by the distance below."
    yield Show("Closest to their photo", text, columns, rows[:most])
    yield Show("Farthest from their photo", "And those that came back worst.", columns, rows[::-1][:most])


def _by_heart(pairs: _Pairs, distances: Tensor, places: Tensor, training: np.ndarray) -> Show:
    """Outputs nearest to a training photo, by (N,) distances to `training` photos and which these are."""
    rows = [
        (f"{distances[i]:.3f}", [*images.to_uint8(pairs.output[i : i + 1]), training[int(places[i])]])
        for i in distances.argsort()[:NEAREST].tolist()
    ]
    text = (
        f"The outputs nearest to one of {len(training)} training photos, beside that photo. Alike in kind is good, "
        "alike in every petal would be a copy."
    )
    return Show("Painted by heart?", text, ("painted", "training photo"), rows)


def _everyday(pairs: _Pairs, known: Tensor, eyes: backbones.Backbone, recipe: Condition) -> tuple[list[Figure], Show]:
    """How far everyday pictures moved towards the training photos, and what is left of their structure."""
    sets = pairs.sets()
    features = _features(eyes, {column: sets[column] for column in (OUTPUT, CONDITION, REAL)})
    dreams = {column: metrics.dream_score(each, features[REAL], known) for column, each in features.items()}
    structure = [replace(figure, name=f"everyday_{figure.name}") for figure in _faithfulness(sets, pairs, recipe)]
    figures = [
        Figure(
            "dream",
            "dream",
            "lower",
            "KID of the dreams to the training photos, as a share of the everyday pictures' own: 1 changed nothing, 0 "
            "is all training photos, above 1 is farther away than the pictures were. Good only while the scene is "
            "told: a network that looks at nothing paints flowers, too.",
            {column: each.value for column, each in dreams.items()},
            {column: (each.low, each.high) for column, each in dreams.items() if column != REAL},  # which is 1 always
            REAL,
            void=not health.is_told({figure.name: figure.values for figure in structure}),
        ),
        *structure,
    ]
    chosen = evenly(len(pairs.paths), SHOWN)
    rows = [("", pairs.columns(i)) for i in chosen]
    text = "It has never seen any of this. Can one still tell what it was, and is it made of what it knows?"
    return figures, Show("Everyday pictures", text, ("picture", "shown", "dream"), rows)


def _faithfulness(sets: Mapping[str, Tensor], pairs: _Pairs, recipe: Condition) -> Iterator[Figure]:
    """What is kept of the structure of the input."""
    if recipe.kind == "clusters":
        ranked = recipe.palette == "ranked"
        yield Figure(
            "palette",
            "pixels in their colour",
            "higher",
            "Share of pixels that come back to the colour they were shown in, when the picture is taken to the palette "
            "of its input" + (" by ranks of luminance." if ranked else "."),
            _means({c: metrics.palette_accuracy(each, pairs.condition, ranked) for c, each in sets.items()}),
            rival=CHANCE,
        )
    lines = recipe if recipe.kind == "edges" else None
    seen = {c: each for c, each in sets.items() if c != REAL}
    yield Figure(
        "edges",
        "edges kept (F1)",
        "higher",
        f"Edges of the photo found again in the picture within {metrics.TOLERANCE} px, 0 to 1. Texture has many edges, "
        "so some agree by chance.",
        {**_means({c: metrics.edge_f1(each, pairs.real, lines) for c, each in seen.items()}), REAL: 1.0},
        rival=CHANCE,
    )
    yield Figure(
        "luminance",
        "light and dark kept",
        "higher",
        "Rank correlation of luminance with the photo, -1 to 1: is light what was light?",
        {**_means({c: metrics.rank_correlation(each, pairs.real) for c, each in seen.items()}), REAL: 1.0},
        rival=CHANCE,
    )


def _means(values: Mapping[str, Tensor]) -> dict[str, float]:
    return {column: each.mean().item() for column, each in values.items()}


def _film(translator: Translator, path: Path) -> tuple[list[Figure], Show]:
    """How restless a film of dreams is, and how sharp, at the network's own scale."""
    from beautynet.film.media import Film  # which measuring photos does without

    sets: dict[str, list[np.ndarray]] = {REAL: [], CONDITION: [], OUTPUT: [], ALONE: []}
    memory: Memory | None = None
    is_cut = Cuts()
    with Film(path) as film, progress("frames") as bar:
        task = bar.add_task("dreaming", total=min(film.expected or FILM_FRAMES, FILM_FRAMES))
        for frame in islice(film, FILM_FRAMES):
            if is_cut(frame.picture):
                memory = None
            picture = frame.picture[None]
            passed = translator.passed(picture, memory)
            memory = passed.memory
            alone = translator.passed(picture).painted  # as if there were no other frames
            photo = images.resize(images.to_tensor(picture), *alone.shape[-2:])
            for column, batch in ((REAL, photo), (CONDITION, passed.shown), (OUTPUT, passed.held), (ALONE, alone)):
                sets[column] += list(images.to_uint8(batch))
            bar.advance(task)
    if len(sets[REAL]) < 2:
        raise BeautyError(f"{path} has one frame only: choose a film")
    stacks = {column: np.stack(each) for column, each in sets.items()}
    scores = {column: metrics.film_scores(each, stacks[REAL]) for column, each in stacks.items()}
    figures = [
        Figure(
            "warping",
            "flicker (warping error)",
            "lower",
            "Mean change of a pixel from frame to frame, of 255 levels, once the motion of the input is taken out. The "
            "film's own is noise and errors of the flow. Grey pictures never flicker: see the sharpness.",
            {column: score.warping_error for column, score in scores.items()},
            rival=ALONE,
        ),
        Figure(
            "sharpness",
            "sharpness",
            "near real",
            "Mean gradient of luminance, in levels a px.",
            {column: score.sharpness for column, score in scores.items()},
        ),
    ]
    if math.isnan(scores[REAL].warping_error):  # cuts alone: no figure at all is better than one that says nothing
        figures = figures[1:]
    chosen = evenly(len(stacks[REAL]), 4)
    rows = [(f"frame {i + 1}", [stacks[c][i] for c in (REAL, CONDITION, OUTPUT)]) for i in chosen]
    return figures, Show(
        "The film", f"{path.name}, its first {len(stacks[REAL])} frames.", ("film", "shown", "dream"), rows
    )


# --- the page -------------------------------------------------------------------------------------------------------


def _page(report: EvaluateReport, shows: Sequence[Show]) -> str:
    facts = report.facts
    name = Path(facts["checkpoint"]).parent.name or "a network"
    spent = f", trained for {facts['progress']['seconds'] / 60:.0f} minutes" if facts["progress"] else ""
    state = f" Its training: {facts['health']}." if facts["health"] else ""
    return page(
        name,
        f"{facts['held_out']} held-out photos of {Path(facts['dataset']).name} at {facts['size']} px, beside "
        f"{facts['training']} training photos; judged by {facts['backbone']}{spent}.{state}",
        "".join(f"<p class=poor-key>{html.escape(finding)}</p>" for finding in facts["findings"]) + KEY,
        "".join(_chapter(CHAPTERS[name], figures) for name, figures in report.figures.items())
        + "".join(section(show) for show in shows),
        FOOT,
    )


def _chapter(title: str, figures: Sequence[Figure]) -> str:
    columns = _columns(figures)
    rows = []
    for f in figures:
        cells = "".join(f"<td{_mark(f, c)} data-of='{c}'>{_value(f, c)}</td>" for c in columns)
        rows.append(
            f"<tr><th scope=row>{html.escape(f.title)}<small>{html.escape(f.better)} is better</small></th>{cells}</tr>"
            f"<tr class=meaning><td colspan={len(columns) + 1}>{html.escape(f.meaning)}</td></tr>"
        )
    return table(f"{title[:1].upper()}{title[1:]}", columns, rows)


def _columns(figures: Sequence[Figure]) -> list[str]:
    return [column for column in COLUMNS if any(column in figure.values for figure in figures)]


def _value(figure: Figure, column: str) -> str:
    if column not in figure.values:
        return "–"
    interval = figure.intervals.get(column)
    return figure.said(figure.values[column]) + (
        f"<small>{figure.said(interval[0])} to {figure.said(interval[1])}</small>" if interval else ""
    )


def _mark(figure: Figure, column: str) -> str:
    """The class of a cell: whether an output beats its rival, and which that is."""
    if column != OUTPUT or figure.rival is None:
        return " class=rival" if column == figure.rival else ""
    ours, theirs = figure.values[OUTPUT], figure.values[figure.rival]
    beats = ours < theirs if figure.better == "lower" else ours > theirs
    return " class=good" if beats and not figure.void else " class=poor"
