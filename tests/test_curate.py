"""Judging a dataset: verdicts in the manifest, junk that is not trained on, doubt that is shown first."""

import queue
import threading
import webbrowser
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from browser import browser
from click.testing import CliRunner, Result
from PIL import Image
from sklearn.datasets import load_sample_image

from beautynet import backbones
from beautynet.classifying import classifier, judge
from beautynet.classifying.classifier import Classifier
from beautynet.classifying.judge import Judge
from beautynet.cli import main
from beautynet.datasets import curation, manifest
from beautynet.datasets.dataset import Dataset
from beautynet.datasets.manifest import Manifest, Record
from beautynet.errors import BeautyError
from beautynet.verbs.curate import curate
from beautynet.verbs.look import look
from beautynet.verbs.scrape import scrape


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def crops(name: str, folder: Path, numbers: Iterator[int] | range, prefix: str = "") -> list[str]:
    """Crops of a photo of scikit-learn's, of 240 px, each from another place."""
    photo = load_sample_image(name)
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number in numbers:
        top, left = 60 * (number // 5), 90 * (number % 5)
        names.append(f"{prefix}{number:02}.jpg")
        Image.fromarray(photo[top : top + 240, left : left + 240]).save(folder / names[-1], quality=95)
    return names


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve crops of a flower, three of a palace."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "flowers"
    names = crops("flower.jpg", folder, range(12), "flower") + crops("china.jpg", folder, range(3), "junk")
    empty = dict.fromkeys(field.name for field in fields(Record))
    with Manifest(folder) as rows:
        for name in names:
            rows.append(
                Record(**{**empty, "file": name, "url": f"https://e.org/{name}", "source": "x", "status": "kept"})
            )  # type: ignore[arg-type]
    return folder


def verdicts(folder: Path) -> dict[str, str | None]:
    return {row.file or "": row.verdict for row in manifest.latest(folder)}


def test_junk_is_told_by_pictures_of_it(dataset: Path, tmp_path: Path) -> None:
    crops("china.jpg", tmp_path / "unlike", range(4, 15))
    before = sorted(dataset.rglob("*.jpg"))
    result = run("curate", "flowers", "--unlike", tmp_path / "unlike")
    assert result.exit_code == 0, result.output
    assert "12 of 15 photos" in result.output
    assert {name for name, said in verdicts(dataset).items() if curation.is_out(said)} == {
        f"junk0{n}.jpg" for n in range(3)
    }
    assert sorted(dataset.rglob("*.jpg")) == before, "nothing moves"
    assert {path.name[:4] for path in Dataset.open("flowers").photos} == {"flow"}
    rows = len(Path(dataset, manifest.NAME).read_text().splitlines())
    assert run("curate", "flowers", "--unlike", tmp_path / "unlike").exit_code == 0
    assert len(Path(dataset, manifest.NAME).read_text().splitlines()) == rows, "what has not changed is not said again"


def test_what_was_seen_is_remembered(dataset: Path) -> None:
    backbone = backbones.load()
    photos = sorted(dataset.glob("*.jpg"))
    first = judge.remembered(dataset, photos, backbone)
    for path in photos[1:]:
        path.write_bytes(b"")  # they are called by their content, and not looked at again
    again = judge.remembered(dataset, photos, backbone)
    assert again.keys() == first.keys()
    assert np.allclose(again["flower03.jpg"], first["flower03.jpg"], rtol=0.01, atol=0.01)
    (dataset / judge.FEATURES).write_bytes(b"damaged")
    assert judge.remembered(dataset, photos, backbone).keys() == {photos[0].name}


def test_what_others_saw_is_not_taken_for_it(dataset: Path) -> None:
    """Another backbone, and one whose last layers were tuned, which calls itself as before."""
    backbone, other = backbones.load(), backbones.load()
    other.name = "another"
    weight = np.zeros((2, 2 * sum(classifier.widths(backbone))), np.float32)
    head = {"several": False, "head": {"tuned": True}}
    tuned = Classifier(backbone, ["like", "other"], weight, np.zeros(2, np.float32), head)
    photos = sorted(dataset.glob("*.jpg"))[:2]
    assert judge.remembered(dataset, photos, tuned).keys() == {path.name for path in photos}
    assert not (dataset / judge.FEATURES).exists()
    judge.remembered(dataset, photos, backbone)
    for path in photos:
        path.write_bytes(b"")
    assert len(judge.remembered(dataset, photos, backbone)) == 2
    for network in (tuned, other):
        assert not judge.remembered(dataset, photos, network)


def test_clicks_are_labels(dataset: Path) -> None:
    with pytest.raises(BeautyError, match="click some photos out"):
        curate("flowers")
    with Manifest(dataset) as opened:
        curation.reject(opened, [row for row in manifest.latest(dataset) if row.file in ("junk00.jpg", "junk01.jpg")])
    summary = curate("flowers")
    assert summary.photos == 13
    assert summary.model is not None
    said = verdicts(dataset)
    assert curation.doubt(said["junk02.jpg"]) > max(curation.doubt(said[f"flower{n:02}.jpg"]) for n in range(12))
    page_order = sorted(manifest.latest(dataset), key=lambda row: -curation.doubt(row.verdict))
    assert page_order[0].file == "junk02.jpg"


def test_the_same_judge_at_the_door(dataset: Path, tmp_path: Path) -> None:
    crops("china.jpg", tmp_path / "unlike", range(4, 15))
    made = curate(dataset, unlike=tmp_path / "unlike").model
    crops("china.jpg", tmp_path / "new", range(3), "a")
    crops("flower.jpg", tmp_path / "new", range(3), "b")
    summary = scrape(origin=tmp_path / "new", out=tmp_path / "judged", min_size=100, judge=made)
    assert (summary.kept, summary.reasons) == (3, {"judged": 3})
    again = scrape(origin=tmp_path / "new", out=tmp_path / "judged", min_size=100, judge=made)
    assert (again.new, again.reasons) == (0, {"judged": 3})
    other = scrape(origin=tmp_path / "new", out=tmp_path / "judged", min_size=100, judge=made, want=["other"])
    assert (other.new, other.reasons) == (3, {}), "what another label is wanted of is looked at again"
    for photo in list((tmp_path / "judged").glob("*.jpg")):
        photo.unlink()
    (tmp_path / "judged" / manifest.NAME).unlink()
    assert scrape(origin=tmp_path / "new", out=tmp_path / "judged", min_size=100, judge=made).kept == 3
    without = scrape(origin=tmp_path / "new", out=tmp_path / "judged", min_size=100)
    assert without.kept == 6, "what a judge turned away comes in without it"


def test_a_classifier_with_a_label_that_is_wanted(dataset: Path, tmp_path: Path) -> None:
    crops("china.jpg", tmp_path / "unlike", range(4, 15))
    made = curate(dataset, unlike=tmp_path / "unlike").model
    summary = curate(model=made, want=("other",))  # of the newest dataset
    assert summary.folder.samefile(dataset)
    assert summary.out == 12
    with pytest.raises(BeautyError, match="knows no roses: it knows like, other"):
        Judge.load(made or "", ("roses",))


def test_a_dataset_that_is_being_filled_is_refused_before_the_work(dataset: Path, tmp_path: Path) -> None:
    crops("china.jpg", tmp_path / "unlike", range(4, 15))
    with Manifest(dataset), pytest.raises(BeautyError, match="another run is filling"):
        curate(dataset, unlike=tmp_path / "unlike")
    assert not (dataset / judge.FEATURES).exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nowhere",), "no dataset at nowhere"),
        (("flowers", "--unlike", "missing"), "no folder missing"),
        (("flowers", "--model", "missing"), "no classifier at missing"),
        (("flowers", "--model", "m", "--like", "."), "not both"),
        (("flowers", "--want", "roses"), "--want names labels of a --model"),
    ],
)
@pytest.mark.usefixtures("dataset")
def test_mistakes_are_one_line(words: tuple[str, ...], says: str) -> None:
    result = run("curate", *words)
    assert result.exit_code == (2 if "--like" in words or "--want" in words else 1)
    assert says in result.stderr


@pytest.mark.parametrize("said", [None, "in 0.900", "nonsense", "in", "out x", "in nan", 5, ["out 1"]])
def test_any_verdict_can_be_read(said: object) -> None:
    assert 0 <= curation.doubt(said) <= 0.5
    assert curation.is_out(said) == (said == "out x")


def test_verdicts_say_what_they_mean() -> None:
    assert curation.verdict(0.5) == "in 0.500"
    assert curation.is_out(curation.verdict(0.499))
    assert curation.doubt(curation.verdict(0.45)) == pytest.approx(0.45)


def test_clicks_on_the_sheet_teach_the_judge(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(webbrowser, "open", opened.put)
    thread = threading.Thread(target=look, args=(dataset,), kwargs={"judge": curate}, daemon=True)
    with browser(tmp_path) as page:
        thread.start()
        page.get(opened.get(timeout=20))
        for width, height in ((390, 844), (1280, 900)):  # with a button more than other sheets
            page.fits(width, height)
        page.find_element("id", "judge").click()
        page.until("document.querySelector('.trouble').textContent.includes('click some photos out')")
        for name in ("junk00.jpg", "junk01.jpg"):
            page.find_element("css selector", f"[data-name='{name}'] .face").click()
        page.find_element("id", "judge").click()
        # the page comes again by itself: a button that was found before that is none any more
        page.until("document.querySelector('#order option').textContent === 'in doubt first'", seconds=120)
        assert verdicts(dataset)["junk02.jpg"]
        page.find_element("id", "done").click()
    thread.join(20)
    assert not thread.is_alive()
    said = verdicts(dataset)
    assert curation.is_out(said["junk02.jpg"])
    assert not curation.is_out(said["flower05.jpg"])
