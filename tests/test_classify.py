"""The classify verbs, from labelled pictures to a report, as a user runs them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image
from torch import Tensor

from beautynet.backbones import Backbone
from beautynet.classifying import classifier, tuning
from beautynet.classifying.classifier import Classifier
from beautynet.cli import main
from beautynet.errors import BeautyError
from beautynet.verbs.classify_evaluate import classify_evaluate
from beautynet.verbs.classify_predict import classify_predict
from beautynet.verbs.classify_train import classify_train

LABELS = {"a flower": "flower.jpg", "other": "china.jpg"}


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve crops of each of two photos."""
    folder = tmp_path_factory.mktemp("labelled") / "set"
    for label, name in LABELS.items():
        photo = load_sample_image(name)
        (folder / label).mkdir(parents=True)
        for number in range(12):
            top, left = 60 * (number // 4), 120 * (number % 4)
            crop = Image.fromarray(photo[top : top + 240, left : left + 240])
            crop.save(folder / label / f"{number}.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def model(data: Path) -> Path:
    return classify_train(data, name=str(data.parent / "model")).model


def test_it_learns_in_one_go(data: Path, model: Path) -> None:
    summary = classify_train(data, name=str(data.parent / "again"))
    assert summary.labels == ("a flower", "other")
    assert sum(summary.pictures.values()) == 24
    assert summary.cross_validated == 1
    assert summary.test in (None, 1)
    assert not summary.skipped
    again, first = (Classifier.load(each) for each in (summary.model, model))
    assert np.allclose(again.weight, first.weight, atol=1e-5), "same data, same classifier"
    assert any("Few pictures" in line for line in summary.advice)


def test_predictions_with_heat(model: Path, tmp_path: Path) -> None:
    (tmp_path / "no.jpg").write_text("not a picture")
    Image.fromarray(load_sample_image("flower.jpg")).save(tmp_path / "été.jpg")
    result = run("classify", "predict", model, tmp_path, "--json", "--heat", tmp_path / "heat", "--device", "cpu")
    assert result.exit_code == 3
    bad, good = map(json.loads, result.stdout.splitlines())
    assert "not a picture" in bad["reason"]
    assert next(iter(good["labels"])) == "a flower"
    with Image.open(good["heat"]) as heat:
        assert heat.size == (640, 427)
    people = run("classify", "predict", model, tmp_path / "été.jpg", "--top", "1")
    assert people.exit_code == 0
    assert people.stdout.startswith(f"{tmp_path / 'été.jpg'}: a flower ")
    assert "other" not in people.stdout


def test_a_report(data: Path, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "more"
    for label, name in LABELS.items():
        (other / label).mkdir(parents=True)
        Image.fromarray(load_sample_image(name)[:400:2, :600:2]).save(other / label / "new.png")
    (other / "unknown").mkdir()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(other / "unknown" / "black.png")
    first = data / "other" / "0.jpg"
    ImageOps.mirror(Image.open(first)).save(other / "other" / "seen.jpg", quality=95)
    result = run("classify", "evaluate", model, other, "-o", tmp_path / "report")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["pictures"] + len(report["left_out"]) == 4
    assert dict(report["left_out"])["unknown/black.png"] == "the model knows no unknown"
    assert dict(report["left_out"])["other/seen.jpg"] == "it was trained on"
    assert report["accuracy"] == 1
    page = (tmp_path / "report" / "report.html").read_text()
    assert "a flower" in page
    assert "http" not in page.replace("http-equiv", "")
    with Image.open(tmp_path / "report" / "report.png") as plots:
        assert plots.size == (1200, 1000)
        assert np.asarray(plots.convert("L")).std() > 10


def test_what_it_was_trained_on_is_no_test(data: Path, model: Path, tmp_path: Path) -> None:
    report = classify_evaluate(model, data, out=tmp_path)
    assert {reason for _, reason in report.left_out} == {"it was trained on"}
    places = Classifier.load(model).header["pictures"]
    assert sorted(name for name, _ in report.left_out) == sorted(places["training"] + places["validation"])
    assert sorted(report.names) == sorted(places["test"])


def test_mistakes_are_shown(model: Path, tmp_path: Path) -> None:
    (tmp_path / "set" / "other").mkdir(parents=True)
    mirrored = load_sample_image("flower.jpg")[::2, ::-2]
    Image.fromarray(mirrored).save(tmp_path / "set" / "other" / "wrong.png")
    classify_evaluate(model, tmp_path / "set", out=tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [each["name"] for each in report["mistakes"]] == ["other/wrong.png"]
    assert "taken for \u2068a flower" in (tmp_path / "report" / "report.html").read_text()


def test_several_labels_and_a_table(data: Path, tmp_path: Path) -> None:
    rows = [f"a flower/{i}.jpg,flower,{'left' if i % 4 < 2 else 'right'}" for i in range(12)]
    rows += [f"other/{i}.jpg,palace,{'left' if i % 4 < 2 else 'right'}" for i in range(12)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,label", *rows, "gone.jpg,flower,"]))
    name = tmp_path / "model"
    result = run("classify", "train", data, "--labels", tmp_path / "labels.csv", "--name", name)
    assert result.exit_code == 3, result.output
    assert "skipped gone.jpg: no such file" in result.stderr
    (found,) = classify_predict(name, [data / "other" / "5.jpg"])
    assert found.probabilities["palace"] > 0.5 > found.probabilities["flower"]
    classify_evaluate(name, out=tmp_path / "report")


def test_fine_tuning_is_kept_or_left_out_by_validation(data: Path, tmp_path: Path) -> None:
    summary = classify_train(data, name=str(tmp_path / "tuned"), finetune=True, minutes=0.05)
    assert summary.pictures["validation"] > 0
    assert (summary.cross_validated is None) == summary.tuned, "tuned layers have seen what they would be validated on"
    (found,) = classify_predict(summary.model, [data / "other" / "5.jpg"])
    assert found.label == "other"


@pytest.mark.parametrize("better", [True, False])
def test_what_does_worse_on_validation_pictures_is_undone(
    better: bool, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "labels.csv"
    rows = [f"{label}/{i}.jpg,{label},{place}" for label in LABELS for i, place in ((0, "train"), (11, "val"))]
    table.write_text("\n".join(["path,label,split", *rows]))
    late: list[tuple[Tensor, Tensor]] = []  # now, before

    def tuned(network: Backbone, *_: object) -> None:
        with torch.no_grad():
            for weight in network.late.values():
                late.append((weight, weight.clone()))
                weight.add_(0.01)

    losses = iter([2.0, 1.0] if better else [1.0, 2.0])  # without it, and with it
    monkeypatch.setattr(tuning, "finetune", tuned)
    monkeypatch.setattr(classifier, "tempered", lambda *_: (5.0, next(losses)))
    heads, fit = [], classifier.fit
    monkeypatch.setattr(classifier, "fit", lambda *of, **how: heads.append(fit(*of, **how)) or heads[-1])
    summary = classify_train(data, labels=table, name=str(tmp_path / "model"), finetune=True)
    assert summary.tuned == better
    assert late
    assert all(torch.equal(now, before) != better for now, before in late)
    # as it was fitted: a picture or two, all of them right, would make it five times as sure of itself
    wanted = np.asarray(heads[better].weight)
    assert np.allclose(np.asarray(Classifier.load(summary.model).weight), wanted)


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        ({"one": 2}, "one label only"),
        ({}, "no labelled pictures"),
        ({"one": 2, "two": 0}, "one label only"),
    ],
)
def test_too_few_labels_are_one_line(folders: dict[str, int], says: str, data: Path, tmp_path: Path) -> None:
    for label, count in folders.items():
        (tmp_path / label).mkdir()
        for number in range(count):
            (tmp_path / label / f"{number}.jpg").write_bytes((data / "other" / f"{number}.jpg").read_bytes())
    result = run("classify", "train", tmp_path)
    assert result.exit_code == 1
    assert says in result.stderr
    assert result.stderr.startswith("error: ")
    assert len([line for line in result.stderr.splitlines() if line.startswith("error")]) == 1


def test_of_too_few_to_be_measured_it_still_says_what_would_help(data: Path, tmp_path: Path) -> None:
    for label in ("one", "two"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "0.jpg").write_bytes((data / "other" / "0.jpg").read_bytes())
    said = classify_train(tmp_path, name=str(tmp_path / "model")).advice
    assert [line.split()[0] for line in said] == ["Few", "The", "There"]
    assert "one/0.jpg and two/0.jpg" in said[1]


def test_a_label_that_cannot_be_read_is_one_line(data: Path, tmp_path: Path) -> None:
    for label in ("good", "bad"):
        (tmp_path / label).mkdir()
    (tmp_path / "good" / "0.jpg").write_bytes((data / "other" / "0.jpg").read_bytes())
    (tmp_path / "bad" / "0.jpg").write_text("<html>")
    with pytest.raises(BeautyError, match="no picture of bad can be read"):
        classify_train(tmp_path, name=str(tmp_path / "model"))


def test_no_classifier_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (("evaluate",), ("predict", "none", "x.jpg")):
        result = run("classify", *words)
        assert result.exit_code == 1
        assert "beautynet classify train" in result.stderr


def test_what_it_is(model: Path) -> None:
    for target in (model, model.parent):
        result = run("info", target)
        assert result.exit_code == 0, result.output
        assert "a flower" in result.output
        assert "100.0% right" in result.output
