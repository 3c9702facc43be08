"""The evaluate verb: from a checkpoint to figures, and a page that shows them. A statistic stands in for a backbone."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from beautynet import backbones, images
from beautynet import checkpoint as checkpoints
from beautynet.datasets.dataset import Dataset
from beautynet.datasets.dedup import sha256
from beautynet.errors import BeautyError
from beautynet.translator import Translator
from beautynet.verbs import evaluate as module
from beautynet.verbs.evaluate import CHANCE, CONDITION, OUTPUT, REAL, evaluate


class Statistic(nn.Module):
    """A network that needs no package: small random filters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.filters = nn.Conv2d(3, 12, 5, stride=4)
        self.head = nn.Linear(12, 1000)

    def forward(self, squares: Tensor) -> Tensor:
        return self.head(self.filters(squares).relu().mean((2, 3)))


@pytest.fixture(autouse=True)
def statistic(monkeypatch: pytest.MonkeyPatch) -> None:
    def parts() -> backbones.Parts:
        network = Statistic()
        return backbones.Parts(network, network.head, [network.filters], 64, *backbones.IMAGENET)

    monkeypatch.setitem(backbones.BACKBONES, backbones.DEFAULT, parts)
    monkeypatch.setattr("beautynet.datasets.dataset.HELD_OUT_SHARE", 0.4)


@pytest.fixture
def own(checkpoint: Path, tmp_path: Path) -> Path:
    """The checkpoint in a folder that may be written to."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / checkpoint.name).write_bytes(checkpoint.read_bytes())
    return folder


def test_report(own: Path, photos: Path) -> None:
    report = evaluate(own, data=photos)
    assert report.folder == own / "report"
    stored = json.loads(report.json.read_text())
    assert stored["dataset"] == str(photos)
    assert stored["held_out"] >= 2
    assert stored["held_out"] + stored["training"] == 12
    kid = next(figure for figure in stored["figures"]["photos"] if figure["name"] == "kid")
    assert kid["values"][OUTPUT] == report["kid"].values[OUTPUT]
    for column in (OUTPUT, CONDITION, REAL):
        low, high = kid["intervals"][column]
        assert low < kid["values"][column] < high
    assert "kid" in report
    assert next(iter(report)) == "kid"
    with pytest.raises(KeyError, match="'KID' is none of kid, "):
        report["KID"]
    assert report["palette"].values[CONDITION] == 1
    assert report["diversity"].values[REAL] == pytest.approx(1)
    assert report["perceptual"].values[REAL] == 0 < report["perceptual"].values[CHANCE]
    assert {"swd", "edges", "luminance", "copying"} <= {figure["name"] for figure in stored["figures"]["photos"]}
    for line in report.table().splitlines():
        assert len(line) <= 120
    assert "KID × 1000" in report.table()


def test_the_same_again(own: Path, photos: Path) -> None:
    first, again = evaluate(own, data=photos), evaluate(own, data=photos)
    assert first.figures == again.figures


def test_the_page_needs_nothing_else(own: Path, photos: Path) -> None:
    report = evaluate(own, data=photos, max=3)
    assert report.facts["held_out"] == 3
    page = report.page.read_text()
    assert not re.search(r"\{\{|https?://|<script|<link rel=.stylesheet", page)
    assert page.count('<img src="data:image/jpeg;base64,') >= 3 * 2
    assert "Painted by heart?" in page


def test_how_abstract(own: Path, photos: Path, tmp_path: Path) -> None:
    as_trained, less = (evaluate(own, data=photos, abstraction=each, out=tmp_path / "out") for each in (None, 0.1))
    assert (as_trained.facts["condition"]["abstraction"], less.facts["condition"]["abstraction"]) == (0.6, 0.1)
    assert less["edges"].values[CONDITION] > as_trained["edges"].values[CONDITION]


def test_health_of_its_training(own: Path, photos: Path) -> None:
    unknown = evaluate(own, data=photos, max=3)
    assert unknown.facts["health"] is None
    assert "Its training" not in unknown.page.read_text()
    (own / checkpoints.LOG).write_text(json.dumps({"steps": 1, "images": 4, "photos": 12}) + "\n")
    known = evaluate(own, data=photos, max=3)
    stored, page = json.loads(known.json.read_text()), known.page.read_text()
    assert stored["health"] == "too few photos"
    assert "Its training: too few photos." in page
    assert [*stored["findings"][1:]] == unknown.facts["findings"]
    said = stored["findings"][0]
    assert "12 photos" in said
    assert f"<p class=poor-key>{said}</p>" in page


class Perfect:
    """Paints the photo itself, by looking at it: what every figure should call the best."""

    def __init__(self, real: Translator, answer: dict[bytes, Tensor]) -> None:
        self.condition_, self.answer, self.header, self.device = real.condition, answer, {}, real.device

    @property
    def condition(self) -> object:
        return self

    own = condition

    def __getattr__(self, name: str) -> object:
        return getattr(self.condition_, name)

    def __call__(self, batch: Tensor) -> tuple[Tensor, None]:
        shown, _ = self.condition_(batch)
        for one, photo in zip(shown, batch, strict=True):
            self.answer[one.numpy().tobytes()] = photo
        return shown, None

    def paint(self, shown: Tensor) -> Tensor:
        return torch.stack([self.answer[one.numpy().tobytes()] for one in shown])


def test_a_perfect_network_gets_perfect_figures(
    own: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    perfect = Perfect(Translator.load(own), {})
    monkeypatch.setattr(module, "asdict", lambda value: {} if value is perfect else vars(value))
    report = evaluate(data=photos, out=tmp_path / "out", everyday=photos, translator=perfect)  # type: ignore[arg-type]
    for name in ("kid", "swd", "perceptual", "palette", "edges", "luminance", "diversity"):
        assert report[name].values[OUTPUT] == pytest.approx(report[name].values[REAL], abs=1e-5), name
    assert report["copying"].values[OUTPUT] == 0.5
    assert report["dream"].values[OUTPUT] == pytest.approx(1)
    assert not report["dream"].void
    for name, better in (("kid", "lower"), ("everyday_edges", "higher")):
        assert report[name].better == better
        assert module._mark(report[name], OUTPUT) == " class=good"
    assert report.facts["findings"] == []


def test_a_network_that_looks_at_nothing_is_told_so(
    own: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = torch.Generator().manual_seed(0)

    class Blind(Perfect):
        def paint(self, shown: Tensor) -> Tensor:
            return torch.rand(shown.shape, generator=dice) * 2 - 1

    blind: Any = Blind(Translator.load(own), {})
    monkeypatch.setattr(module, "asdict", lambda value: {} if value is blind else vars(value))
    report = evaluate(data=photos, out=tmp_path / "out", everyday=photos, translator=blind)
    assert report["dream"].void
    assert "cannot be told" in report.facts["findings"][-1]
    dream = report.page.read_text().partition(">dream<")[2]
    assert "<td class=poor data-of='output'>" in dream[: dream.index("</tr>")]


def test_everyday_pictures_and_a_film(own: Path, photos: Path, tmp_path: Path, crops: Tensor) -> None:
    everyday = tmp_path / "everyday"
    everyday.mkdir()
    for i in range(4):
        Image.effect_noise((90, 100), 20 + 40 * i).save(everyday / f"{i}.png")
    frames = [Image.fromarray(images.to_uint8(crops[:1, :, :90, 3 * i : 3 * i + 100])[0]) for i in range(4)]
    frames[0].save(tmp_path / "film.webp", save_all=True, append_images=frames[1:], duration=100, lossless=True)
    report = evaluate(own, data=photos, everyday=everyday, video=tmp_path / "film.webp", out=tmp_path / "there")
    assert report.page == tmp_path / "there" / "report.html"
    assert list(report.figures) == ["photos", "everyday", "film"]
    assert report["dream"].values[REAL] == pytest.approx(1)
    assert report["dream"].intervals.keys() == {OUTPUT, CONDITION}, "that of the pictures themselves is 1 by definition"
    assert report["everyday_edges"].values[REAL] == 1
    assert report["warping"].values[REAL] < 5
    assert report["sharpness"].values[REAL] > 0
    for title in ("Everyday pictures", "The film", "flicker"):
        assert title in report.page.read_text()


def test_the_photos_it_was_trained_on(own: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photos, "data/flowers")
    by_name = evaluate(own, max=3)
    assert by_name.facts["dataset"] == "data/flowers"
    checkpoints.write_training_set(own, checkpoints.TrainingSet(str(photos), frozenset()))
    assert evaluate(own, max=3).facts["dataset"] == str(photos)
    checkpoints.write_training_set(own, checkpoints.TrainingSet(str(tmp_path / "gone"), frozenset()))
    assert evaluate(own, max=3).figures == by_name.figures


def test_what_it_was_trained_on_is_not_measured(own: Path, photos: Path, tmp_path: Path) -> None:
    everyday = tmp_path / "everyday"
    everyday.mkdir()
    for i in range(4):
        Image.effect_noise((90, 100), 20 + 40 * i).save(everyday / f"{i}.png")
    whole = evaluate(own, data=photos, everyday=everyday)
    _, (first, *_) = Dataset.open(photos).split()
    seen = frozenset(sha256(each.read_bytes()) for each in (first, everyday / "0.png"))
    checkpoints.write_training_set(own, checkpoints.TrainingSet("another place", seen))
    without = evaluate(own, data=photos, everyday=everyday)
    assert without.facts["held_out"] == whole.facts["held_out"] - 1
    (everyday / "0.png").unlink()
    assert evaluate(own, data=photos, everyday=everyday).figures == without.figures
    all_of_it = frozenset(sha256(path.read_bytes()) for path in everyday.iterdir())
    checkpoints.write_training_set(own, checkpoints.TrainingSet(str(photos), all_of_it))
    with pytest.raises(BeautyError, match="trained on all pictures in"):
        evaluate(own, data=photos, everyday=everyday)


def test_what_cannot_be_measured_is_one_line(
    own: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BeautyError, match=r"no dataset at flowers: .* --data"):
        evaluate(own)
    with monkeypatch.context() as early:  # before anything is painted
        early.setattr(module, "_pairs", lambda *_: pytest.fail("painted"))
        with pytest.raises(BeautyError, match="no folder nowhere"):
            evaluate(own, data=photos, everyday="nowhere")
        with pytest.raises(BeautyError, match=r"nothing\.mp4"):
            evaluate(own, data=photos, video="nothing.mp4")
    with pytest.raises(BeautyError, match="unknown backbone"):
        evaluate(own, data=photos, backbone="eyes")
    with pytest.raises(BeautyError, match=f"training looks through {backbones.EYES}"):
        evaluate(own, data=photos, backbone=backbones.EYES)
    with pytest.raises(BeautyError, match="1 pictures of each kind will not do"):
        evaluate(own, data=photos, max=1)
    Image.fromarray(np.zeros((80, 90, 3), np.uint8)).save(tmp_path / "still.png")
    with pytest.raises(BeautyError, match="one frame only"):
        evaluate(own, data=photos, video=tmp_path / "still.png")
    for path in sorted(photos.iterdir())[5:]:
        path.unlink()
    with pytest.raises(BeautyError, match="too few photos to hold out"):
        evaluate(own, data=photos)
    assert not (own / "report").exists()


def test_one_picture_is_too_few(own: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "everyday").mkdir()
    Image.effect_noise((90, 100), 40).save(tmp_path / "everyday" / "0.png")
    with monkeypatch.context() as early:
        early.setattr(module, "_pairs", lambda *_: pytest.fail("painted"))
        with pytest.raises(BeautyError, match=r"0\.png alone cannot be measured"):
            evaluate(own, data=photos, everyday=tmp_path / "everyday")
    _, held_out = Dataset.open(photos).split()
    for path in held_out[1:]:
        path.write_bytes(b"damaged")
    with pytest.raises(BeautyError, match=f"{held_out[0].name} alone cannot be measured"):
        evaluate(own, data=photos)
    assert not (own / "report").exists()


def test_what_was_held_out_is_measured_whatever_came_since(own: Path, photos: Path) -> None:
    training, held_out = Dataset.open(photos).split()
    shares = (frozenset(sha256(path.read_bytes()) for path in paths) for paths in (training, held_out))
    checkpoints.write_training_set(own, checkpoints.TrainingSet(str(photos), *shares))
    for path in (*training, *held_out):
        ImageOps.mirror(Image.open(path)).save(path.with_name(f"mirror-{path.name}"), quality=95)
    facts = evaluate(own, max=20).facts
    assert (facts["held_out"], facts["training"]) == (2 * len(held_out), 2 * len(training))


@pytest.mark.parametrize(
    ("column", "cell"),
    [(OUTPUT, "17.4<small>7.0 to 32.7</small>"), (CONDITION, "139.2"), (REAL, "-1.8"), (CHANCE, "–")],
)
def test_a_figure_has_one_precision(column: str, cell: str) -> None:
    values = {OUTPUT: 17.432, CONDITION: 139.24, REAL: -1.836}
    figure = module.Figure("kid", "KID", "lower", "", values, {OUTPUT: (7.031, 32.69)})
    assert module._value(figure, column) == cell
    assert cell.partition("<")[0].strip("–") in figure.row([OUTPUT, CONDITION, REAL])
    assert figure.row([OUTPUT]).endswith("; 7.0 to 32.7 with 95 %")


def test_copies_of_one_picture(own: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "01.jpg").write_bytes((photos / "00.jpg").read_bytes())
    monkeypatch.setattr(Dataset, "split", lambda self, *_: (list(self.photos[2:]), list(self.photos[:2])))
    report = evaluate(own, data=photos)
    assert list(report["diversity"].values.values()) == pytest.approx([1] * 4, abs=0.1)
    assert not any("nearly alike" in finding for finding in report.facts["findings"])
