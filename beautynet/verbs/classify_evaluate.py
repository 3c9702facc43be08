"""How good a classifier is on pictures that it was not trained on: figures, plots, its worst mistakes, advice."""

from __future__ import annotations

import html
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from beautynet import checkpoint as checkpoints
from beautynet import files
from beautynet.classifying import classifier
from beautynet.classifying.classifier import Classifier, Seen
from beautynet.classifying.labelled import Labelled
from beautynet.classifying.scores import Scores, Suspect, advice
from beautynet.datasets.dedup import NEAR
from beautynet.decode import Unreadable, decode
from beautynet.errors import BeautyError
from beautynet.web.plots import plotted
from beautynet.web.report import Show, page, section, table
from beautynet.web.templates import data_url

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISTAKES = 24
"""Rows of pictures on the page."""
SIDE = 224
"""px of a picture there."""
MOST_CURVES = 8
"""Labels in one plot, the commonest first; the figures of all stand in the table."""
KEY = """<p><b>Precision</b> is the share of the pictures given a label that have it, <b>recall</b> the share of those
that have it that were given it; <b>average precision</b> says how well they stand before all others, whatever the
threshold.</p>"""
FOOT = """How each figure is made stands in <code>beautynet/classifying/scores.py</code>; the same for machines in
<code>report.json</code> beside this page, the plots in <code>report.png</code>. Few pictures make rough figures."""


@dataclass(frozen=True)
class ClassifyReport:
    """What was found. `page`, `plots` and `json` are the files that say it too."""

    folder: Path
    scores: Scores
    names: tuple[str, ...]
    """Of the pictures, in the order of `scores`."""
    advice: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    """(name, reason)."""

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / "report.html"

    @property
    def plots(self) -> Path:
        """The plots."""
        return self.folder / "report.png"

    @property
    def json(self) -> Path:
        """The figures."""
        return self.folder / "report.json"

    def table(self) -> str:
        """The figures for a terminal."""
        wide = max(len("label"), *map(cell_len, self.scores.labels))
        lines = [f"{'label':{wide}}  pictures  precision  recall  average precision"]
        for each in self.scores.by_label:
            cells = (each.precision, each.recall, each.average_precision)
            text = [f"{cell:.3f}" if cell is not None else "–" for cell in cells]
            label = each.label + " " * (wide - cell_len(each.label))
            lines.append(f"{label}  {each.pictures:8}  {text[0]:>9}  {text[1]:>6}  {text[2]:>17}")
        lines.append(
            f"accuracy {self.scores.accuracy:.3f}, balanced {self.scores.balanced_accuracy:.3f}, "
            f"calibration error {self.scores.calibration_error:.3f}, on {len(self.names)} pictures"
        )
        return "\n".join(lines)


def classify_evaluate(
    model: str | Path | None = None,
    data: str | Path | None = None,
    *,
    labels: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
) -> ClassifyReport:
    """Measure a classifier (None: the newest) on `data` (see `Labelled.read`); by default on what it kept to test on.

    Pictures of `data` that it was trained on are left out, near-duplicates of them too, and so are labels that it does
    not know. Writes `report.json`, `report.png` and `report.html` to `out`, by default `report/` beside the model.
    Raises BeautyError.
    """
    path = checkpoints.find(model, checkpoints.CLASSIFIER)
    network = Classifier.load(path, device=device)
    pictures = _kept_to_test(network, path) if data is None else Labelled.read(data, labels)
    known = set(network.labels)
    strange = [each for each in pictures.examples if not known.issuperset(each.labels)]
    left_out = pictures.skipped + [(e.name, f"the model knows no {', '.join(set(e.labels) - known)}") for e in strange]
    pictures.examples = [each for each in pictures.examples if known.issuperset(each.labels)]

    trained_on = np.array([int(each, 16) for each in network.header["seen"]], np.uint64)
    names, features, truth = [], [], []
    for example, seen in classifier.look_at(pictures, network.backbone, "looking"):
        if not isinstance(seen, Seen):
            left_out.append((example.name, str(seen)))
            continue
        mine = np.array([int(each, 16) for each in seen.hashes], np.uint64)
        if data is not None and len(trained_on) and np.bitwise_count(trained_on[:, None] ^ mine).min() <= NEAR:
            left_out.append((example.name, "it was trained on"))
        else:
            names.append(example.name)
            features.append(seen.features)
            truth.append([label in example.labels for label in network.labels])
    if not names:
        why = f": {left_out[0][0]}: {left_out[0][1]}" if left_out else "; name some"
        raise BeautyError(f"no pictures to test {path} on{why}")
    scores = Scores(network.labels, np.array(truth), network.probabilities(np.stack(features)), network.several)
    suspects = [Suspect(**each) for each in network.header["suspects"]]
    twins = [(one, other) for one, other in network.header["twins"]]
    said = advice(Counter(network.header["trained_on"]), scores, suspects, twins, network.several)
    folder = Path(out) if out else path.parent / "report"
    report = ClassifyReport(folder, scores, tuple(names), tuple(said), tuple(left_out))
    _write(report, network, path, pictures)
    return report


def _kept_to_test(network: Classifier, path: Path) -> Labelled:
    header = network.header
    try:
        if header["data"] is None:
            raise BeautyError(f"{path} kept no pictures to test on")
        pictures = Labelled.read(header["data"], header["table"])
    except BeautyError as error:
        raise BeautyError(f"{error}; or name other labelled pictures") from error
    test = set(header["pictures"]["test"])
    pictures.examples = [each for each in pictures.examples if each.name in test]
    return pictures


def _write(report: ClassifyReport, network: Classifier, path: Path, pictures: Labelled) -> None:
    scores = report.scores
    facts: dict[str, Any] = {
        "model": str(path),
        "backbone": network.backbone.name,
        **scores.summary(),
        "cross_validated": network.header["scores"]["cross_validated"],
        "advice": report.advice,
        "left_out": report.left_out,
        "mistakes": [
            {"name": report.names[i], "labels": _named(scores, scores.truth[i]), "given": _given(scores, i)}
            for i in scores.mistakes()
        ],
    }
    files.write_text(report.json, json.dumps(facts, indent=2, ensure_ascii=False))
    drawn = plotted(lambda figure: _draw(figure, scores), 12, 10)
    files.write_bytes(report.plots, drawn)
    plots = f"<section><img src='{data_url(drawn, 'image/png')}' alt='plots of these figures'></section>"
    body = [_by_label(scores), plots]
    if report.advice:
        said = "".join(f"<p>{html.escape(each)}</p>" for each in report.advice)
        body.insert(1, f"<section><h2>What would help</h2>{said}</section>")
    show = _mistakes(report, pictures)
    body += [section(show)] if show.rows else []
    lead = f"{scores.accuracy:.0%} of {len(report.names)} pictures that it was not trained on are named right."
    files.write_text(report.page, page(path.parent.name, lead, KEY, "".join(body), FOOT))


def _mistakes(report: ClassifyReport, pictures: Labelled) -> Show:
    """The surest ones, with their pictures as squares."""
    scores, worst = report.scores, report.scores.mistakes()[:MISTAKES]
    names = {report.names[i] for i in worst}
    wanted = Labelled(pictures.place, [each for each in pictures.examples if each.name in names])
    there = ((each.name, source) for each, source in wanted.sources() if not isinstance(source, Unreadable))
    seen = {name: classifier.views(decode(source), SIDE)[0] for name, source in there}
    show = Show("Mistakes", "The surest first: what it is, and what it was taken for.", ())
    for i in worst:
        named = (report.names[i], ", ".join(_named(scores, scores.truth[i])), _given(scores, i))
        name, label, given = (f"\u2068{each}\u2069" for each in named)  # some are written from right to left
        show.rows.append((f"{name}: {label}, taken for {given}", [seen[report.names[i]]]))
    return show


def _named(scores: Scores, row: NDArray[np.bool_]) -> list[str]:
    return [label for label, has in zip(scores.labels, row, strict=True) if has]


def _given(scores: Scores, number: int) -> str:
    sure = scores.probabilities[number]
    chosen = np.flatnonzero(scores.given[number]).tolist()
    return ", ".join(f"{scores.labels[i]} ({sure[i]:.0%})" for i in chosen) or "none of them"


def _by_label(scores: Scores) -> str:
    heads = ("pictures", "precision", "recall", "average precision")
    rows = []
    for each in scores.by_label:
        values = (each.precision, each.recall, each.average_precision)
        texts = [f"{each.pictures}", *(f"{value:.3f}" if value is not None else "–" for value in values)]
        cells = "".join(f"<td data-of='{head}'>{text}</td>" for head, text in zip(heads, texts, strict=True))
        rows.append(f"<tr><th scope=row dir=auto>{html.escape(each.label)}</th>{cells}</tr>")
    return table("By label", heads, rows)


def _draw(figure: Figure, scores: Scores) -> None:
    """Confusion, precision against recall, both against the threshold, calibration."""
    (confusion, curves), (thresholds, calibration) = figure.subplots(2, 2)
    had = scores.truth.sum(0)
    drawn = [int(i) for i in np.argsort(-had, kind="stable")[:MOST_CURVES] if had[i]]
    for number, i in enumerate(drawn):
        threshold, precision, recall = scores.curve(i)
        colour = f"C{number}"
        curves.plot(recall, precision, color=colour, drawstyle="steps-post")
        thresholds.plot(threshold, precision, color=colour)
        thresholds.plot(threshold, recall, color=colour, linestyle="--")
    curves.set(xlabel="recall", ylabel="precision", title="precision and recall", xlim=(0, 1.02), ylim=(0, 1.02))
    curves.legend(curves.get_lines(), [_short(scores.labels[i]) for i in drawn], fontsize="small")
    thresholds.set(xlabel="threshold", title="precision (—) and recall (- -) by threshold", xlim=(0, 1), ylim=(0, 1.02))
    sure, right, counts = zip(*scores.calibration, strict=True)
    calibration.plot((0, 1), (0, 1), color="grey", linewidth=1)
    calibration.scatter(sure, right, s=30 + 300 * np.array(counts) / sum(counts))
    calibration.set(xlabel="how sure it was", ylabel="share that was right", title="calibration")
    calibration.set(xlim=(0, 1), ylim=(0, 1.02))
    if scores.several:
        each = scores.by_label
        confusion.barh([_short(e.label) for e in each], [e.average_precision or 0 for e in each])
        confusion.set(title="average precision", xlim=(0, 1))
    else:
        table = scores.confusion()
        share = table / np.maximum(table.sum(1, keepdims=True), 1)
        confusion.imshow(share, cmap="magma", vmin=0, vmax=1)
        confusion.set(xlabel="taken for", ylabel="is", title="confusion")
        labels = [_short(label) for label in scores.labels]
        if len(labels) <= 20:
            confusion.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
            confusion.set_yticks(range(len(labels)), labels)
            for i, j in np.ndindex(*table.shape):
                text = f"{table[i, j]}\n{share[i, j]:.0%}" if table[i, j] else ""
                colour = "black" if share[i, j] > 0.6 else "white"
                confusion.text(j, i, text, ha="center", va="center", fontsize="small", color=colour)


def _short(label: str) -> str:
    """For a plot; a dollar sign would begin a formula there."""
    return (label if len(label) <= 24 else f"{label[:23]}…").replace("$", r"\$")
