"""The draughtsman, with a real network: what is asked for, what is made of it, and what cannot be asked."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from sklearn.datasets import load_sample_image

import beautynet
from beautynet import backbones, cli, images
from beautynet.classifying import classifier
from beautynet.classifying.classifier import Classifier
from beautynet.drawing import draughtsman
from beautynet.drawing.draughtsman import METHODS, Critic, Network, confidence, find, looks_at
from beautynet.drawing.ellipses import Style
from beautynet.errors import BeautyError
from beautynet.film.media import Film
from beautynet.verbs.draw import REPORT, draw, draw_gallery, slug, style_of
from beautynet.verbs.draw_survey import draw_survey


@pytest.fixture(scope="module")
def network() -> Network:
    return Network.backbone(backbones.DEFAULT, "cpu")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("great white shark", "great white shark"),
        ("Great-White_Shark", "great white shark"),
        ("hammerhed", "hammerhead"),
        ("school  bus", "school bus"),
        ("strawbery", "strawberry"),
        ("white shark", "great white shark"),
        ("cardigan", "cardigan"),
        ("Cardigan", "Cardigan"),
    ],
)
def test_names_as_people_write_them(said: str, meant: str) -> None:
    assert find(said, backbones.class_names()) == meant


def test_names_in_any_form() -> None:
    labels = ["rosé", "straße"]
    assert find("rose\u0301", labels) == "rosé"
    assert find("STRASSE", labels) == "straße"


def test_unknown_names_get_suggestions() -> None:
    with pytest.raises(BeautyError, match=r"did you mean .*tiger shark"):
        find("shark", backbones.class_names())
    with pytest.raises(BeautyError, match="--list` shows all names"):
        find("xyzzy", backbones.class_names())


# --- what convinces -------------------------------------------------------------------------------------------------


def test_a_photo_convinces(network: Network) -> None:
    found = confidence(network, load_sample_image("flower.jpg"))
    assert sum(found.values()) == pytest.approx(1, abs=1e-4)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert "daisy" in list(found)[:5]


def test_views_are_of_the_picture() -> None:
    picture = images.to_tensor(load_sample_image("china.jpg")[:400, :400])
    seen = looks_at(picture, 100)
    assert seen.shape == (13, 3, 100, 100)
    assert torch.allclose(seen[0], images.resize(picture, 100, 100), atol=1e-4)
    assert torch.allclose(seen[1][..., :-4], seen[0][..., 4:], atol=1e-3)  # by 4 %
    assert torch.allclose(seen[4][..., 4:, :], seen[0][..., :-4, :], atol=1e-3)
    assert (seen[1:] - seen[:1]).abs().flatten(1).mean(1).min() > 0.005


def test_the_gradient_is_that_of_the_score(network: Network) -> None:
    network.want(["daisy"])
    critic, style = Critic([network]), Style(ellipses=3)
    genes = style.random(2, torch.Generator().manual_seed(0)).requires_grad_()
    feather = torch.full((2,), 8.0)
    scores = critic.ascend(style.read(genes), feather, draughtsman.SIDES[0])
    assert genes.grad is not None
    assert torch.allclose(scores, critic.score(style.read(genes.detach()), feather), atol=1e-3)
    step = 0.01 * genes.grad / genes.grad.norm()
    uphill = critic.score(style.read(genes.detach() + step), feather).sum() - scores.sum()
    assert float(uphill) == pytest.approx(0.01 * float(genes.grad.norm()), rel=0.3)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("method", METHODS)
def test_each_method_gets_better_and_is_repeatable(method: str, network: Network) -> None:
    network.want(["daisy"])
    found = []
    for _ in range(2):
        step, scores = 0, []

        def clock() -> float:
            nonlocal step
            step += 1
            return min(1.0, (step - 1) / 10)

        for best in METHODS[method](Critic([network]), Style(4), clock, torch.Generator().manual_seed(7)):
            scores.append(best.confidence)
        found.append((best.genes, best.confidence))
        assert scores == sorted(scores)
        assert scores[-1] > 1.5 * next(filter(None, scores))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] > 0.001  # by chance it would be less, of 1,000 classes


# --- drawing --------------------------------------------------------------------------------------------------------


def test_a_drawing_and_what_is_kept_of_it(tmp_path: Path) -> None:
    summary = draw("Daisy", steps=10, ellipses=5, size=300, out=tmp_path / "out")
    assert summary.names == ("daisy",)
    assert {path.name for path in summary.folder.iterdir()} == {
        *("drawing.svg", "drawing.png", "drawing.json", "curve.png", "search.mp4")
    }
    assert summary.confidence > 0.002
    picture = Image.open(summary.folder / "drawing.png")
    assert picture.size == (300, 300)
    again = confidence(Network.backbone(backbones.DEFAULT, "cpu"), np.asarray(picture))
    assert again["daisy"] == pytest.approx(summary.confidence, abs=1e-5)
    assert (summary.folder / "drawing.svg").read_text().count("<ellipse") == 5
    with Film(summary.folder / "search.mp4") as film:
        assert sum(1 for _ in film) == 240
    assert set(summary.top) == {"efficientnet-lite0", "efficientnet-lite1"}
    assert "efficientnet-lite1 (not asked before, " in summary.sentence()
    assert summary.convinced["efficientnet-lite0"] == summary.confidence
    assert json.loads((summary.folder / "drawing.json").read_text())["style"]["ellipses"] == 5


@pytest.mark.parametrize("method", METHODS)
def test_no_time_at_all_is_a_drawing_too(method: str) -> None:
    summary = draw("daisy", minutes=1e-6, method=method, film=False, size=32, out=method)
    assert (summary.folder / "drawing.svg").exists()
    assert summary.confidence > 0


def test_same_seed_same_drawing(tmp_path: Path) -> None:
    made = [draw("teapot", steps=3, film=False, seed=seed, out=tmp_path / str(i)) for i, seed in enumerate((3, 3, 4))]
    first, second, third = ((each.folder / "drawing.svg").read_text() for each in made)
    assert first == second
    assert first != third


def test_colours_are_those_asked_for(tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("#ff0000\n\nnavy\n")
    draw("teapot", steps=2, film=False, palette="two.txt", out="a")
    assert set(re.findall(r"fill=\"(#\w+)\"", Path("a/drawing.svg").read_text())) <= {"#ff0000", "#000080"}
    draw("teapot", steps=2, film=False, colors=2, background="#123456", out="b")
    found = set(re.findall(r"fill=\"(#\w+)\"", Path("b/drawing.svg").read_text()))
    assert "#123456" in found
    assert len(found) <= 3
    Image.fromarray(load_sample_image("flower.jpg")).save("flower.jpg")
    draw("teapot", steps=2, film=False, from_photo="flower.jpg", colors=4, out="c")
    assert len(set(re.findall(r"fill=\"(#\w+)\"", Path("c/drawing.svg").read_text()))) <= 4
    half = Image.new("RGB", (40, 40), "red")
    half.paste("blue", (0, 0, 20, 40))
    half.save("half.png")
    assert np.allclose(sorted(style_of(4, from_photo="half.png").palette), [(0, 0, 1), (1, 0, 0)])


def test_several_names_and_several_networks(tmp_path: Path) -> None:
    summary = draw(
        "teapot", "daisy", steps=6, film=False, backbone=("efficientnet-lite0", "efficientnet-lite1"), out=tmp_path
    )
    assert summary.names == ("teapot", "daisy")
    assert summary.made_with == ("efficientnet-lite0", "efficientnet-lite1")
    assert "not asked before" not in summary.sentence()
    assert set(summary.network_share) == set(summary.made_with)
    assert min(summary.network_share.values()) > 0.1
    assert 0.5 < sum(summary.network_share.values()) < 1
    assert "of the time in efficientnet-lite1" in summary.sentence()


def test_a_label_of_a_classifier_trained_here(tmp_path: Path) -> None:
    lite = backbones.load()
    weight = np.random.default_rng(0).normal(0, 0.01, (3, 2 * sum(classifier.widths(lite)))).astype(np.float32)
    model = Classifier(lite, ["Invader", "Banksy", "other"], weight, np.zeros(3, np.float32), {"several": False})
    model.save(tmp_path / "artists.safetensors")
    summary = draw("invader", model="artists.safetensors", steps=4, film=False, out="out")
    assert summary.names == ("Invader",)
    assert summary.confidence > 0.34
    assert model(Image.open("out/drawing.png"))["Invader"] == pytest.approx(summary.confidence, abs=0.25)
    with pytest.raises(BeautyError, match=r"no label 'daisy'"):
        draw("daisy", model="artists.safetensors")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ellipses": 0}, "0 ellipses will not do"),
        ({"ellipses": 1000}, "1000 ellipses will not do"),
        ({"colors": 1}, "1 colours will not do"),
        ({"palette": "one.txt"}, "has 1 colours"),
        ({"palette": "picture.png"}, "not a text file"),
        ({"palette": "wrong.txt"}, "is no colour"),
        ({"palette": "one.txt", "from_photo": "x"}, "not both"),
        ({"palette": "one.txt", "colors": 3}, "not both"),
        ({"model": "x", "backbone": ("resnet18",)}, "not both"),
        ({"from_photo": "one.txt"}, "cannot read one.txt"),
        ({"from_photo": "picture.png"}, "one colour only"),
        ({"background": "sky"}, "--background: 'sky' is no colour"),
        ({"method": "magic"}, "unknown method"),
        ({"backbone": ("squeezenet",)}, "unknown backbone"),
        ({"model": "nowhere"}, "no classifier at nowhere"),
        ({"minutes": 0}, "minutes"),
        ({"steps": 0}, "steps"),
    ],
)
def test_what_cannot_be_is_one_line(given: dict[str, object], said: str) -> None:
    Path("one.txt").write_text("#ff0000\n")
    Path("wrong.txt").write_text("#ff0000\nblurple\n")
    Image.new("RGB", (40, 40), "red").save("picture.png")
    with pytest.raises(BeautyError, match=re.escape(said)):
        draw("daisy", **given)  # type: ignore[arg-type]
    assert not Path("drawings").exists()


def test_a_checkpoint_is_no_classifier(checkpoint: Path) -> None:
    with pytest.raises(BeautyError, match="not a beautynet classifier"):
        draw("daisy", model=checkpoint)


def test_ctrl_c_keeps_the_best_so_far(tmp_path: Path) -> None:
    words = ["beautynet", "draw", "daisy", "--minutes", "30", "--no-film", "-o", "out"]
    code = f"""
import signal, sys
from beautynet import cli
from beautynet.drawing import draughtsman

plain = draughtsman.METHODS["gradient"]

def told(*given):
    for best in plain(*given):
        print("seen", flush=True)
        yield best

draughtsman.METHODS["gradient"] = told
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = {words!r}
cli.main()
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(beautynet.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"seen\n"  # however long it takes to begin
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=120)
    assert running.returncode == 130
    assert (tmp_path / "out" / "drawing.svg").exists()


# --- survey and gallery ---------------------------------------------------------------------------------------------


def test_a_survey(tmp_path: Path) -> None:
    summary = draw_survey(images=6, ellipses=3, out=tmp_path / "survey")
    lines = (tmp_path / "survey" / "survey.csv").read_text().splitlines()
    assert lines[0] == "class,min,median,max"
    assert len(lines) == 1001
    medians = [float(line.rsplit(",", 3)[2]) for line in lines[1:]]
    assert medians == sorted(medians, reverse=True)
    assert Image.open(summary.plot).size[0] > 500
    assert "orders of magnitude" in summary.sentence()
    for given, said in (({"images": 0}, "0 drawings"), ({"ellipses": 0}, "0 ellipses"), ({"colors": -1}, "-1 colours")):
        with pytest.raises(BeautyError, match=said):
            draw_survey(**given)


def test_a_gallery_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"steps": 2, "film": False, "size": 64}
    first = draw_gallery("daisy", out=tmp_path, **settings)
    assert (first.new, len(first.drawings)) == (1, 1)
    before = (tmp_path / "daisy" / "drawing.svg").stat().st_mtime_ns
    second = draw_gallery("daisy", "teapot", "Daisy", out=tmp_path, **settings)
    assert (second.new, len(second.drawings)) == (1, 2)
    assert (tmp_path / "daisy" / "drawing.svg").stat().st_mtime_ns == before
    page = second.page.read_text()
    assert page.count("data:image/svg+xml") == 2
    with pytest.raises(BeautyError, match=r"other settings \(steps: 2 then, 3 now\)"):
        draw_gallery("daisy", out=tmp_path, **settings | {"steps": 3})
    assert draw_gallery("daisy", out=tmp_path, **settings, ellipses=8, device="cpu").new == 0  # what it was anyway
    monkeypatch.setattr(draughtsman, "METHODS", {})
    with pytest.raises(BeautyError, match="no label 'xyzzy'"):
        draw_gallery("daisy", "xyzzy", out=tmp_path, **settings)


def test_what_was_stopped_half_drawn_is_drawn_again(tmp_path: Path) -> None:
    settings = {"steps": 1, "ellipses": 2, "film": False, "size": 64}
    draw_gallery("daisy", out=tmp_path, **settings)
    report = tmp_path / "daisy" / REPORT
    report.write_text(json.dumps(json.loads(report.read_text()) | {"stopped_by": signal.SIGINT}))
    assert draw_gallery("daisy", out=tmp_path, **settings).new == 1
    assert draw_gallery("daisy", out=tmp_path, **settings).new == 0


def test_a_gallery_that_has_no_drawing_yet_takes_other_settings(tmp_path: Path) -> None:
    with pytest.raises(BeautyError, match="0 ellipses"):
        draw_gallery("daisy", out=tmp_path, ellipses=0)
    assert draw_gallery("daisy", out=tmp_path, ellipses=2, steps=2, film=False, size=64).new == 1


def test_names_make_folders_of_ours() -> None:
    assert slug(["great white shark"]) == "great-white-shark"
    assert slug(["../../etc/passwd"]) == "etc-passwd"
    assert slug(["***"]) == slug(["🌷\ufe0f"]) == "drawing"
    assert slug(["Ça va, 花"]) == "ça-va-花"
    assert slug(["दिन"]) == "दिन", "vowels are no gaps"
    assert slug(["दिन"]) != slug(["दान"])
    labels = ["a b", "rose", "a-b", "***", "A b", "???"]
    assert [slug([label], labels) for label in labels] == ["a-b", "rose", "a-b-2", "drawing", "a-b-3", "drawing-2"]


def test_the_command() -> None:
    run = CliRunner().invoke
    listed = run(cli.main, ["draw", "--list"])
    assert len(listed.output.splitlines()) == 1000
    assert run(cli.main, ["draw"]).exit_code == 2
    done = run(cli.main, ["draw", "daissy", "--steps", "3", "--no-film"])
    assert done.exit_code == 0, done.output
    assert Path("drawings/daisy/drawing.svg").exists()
