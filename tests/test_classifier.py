"""Classifiers: what is seen of a picture, a head that is chosen honestly, and a file that is whole or refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from beautynet import backbones
from beautynet import checkpoint as checkpoints
from beautynet.backbones import Backbone
from beautynet.classifying import classifier
from beautynet.classifying.classifier import Classifier
from beautynet.decode import Unreadable, decode, to_rgb
from beautynet.errors import BeautyError

FLOWER, CHINA = (Image.fromarray(load_sample_image(name)) for name in ("flower.jpg", "china.jpg"))


@pytest.fixture(scope="module")
def lite() -> Backbone:
    return backbones.load()


def clouds(count: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of three labels, two views of 6 things and 4 of style each, and the truth."""
    random = np.random.default_rng(seed)
    truth = np.eye(3, dtype=bool)[np.arange(count) % 3]
    centres = np.random.default_rng(9).normal(0, apart, (3, 20))
    return (truth @ centres + random.normal(0, 1, (count, 20))).astype(np.float32), truth


def test_views_are_the_whole_and_two_quarters() -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, 30:] = 200
    pixels[20:, :30] = 100
    whole, upper, lower = classifier.views(Image.fromarray(pixels), 16)
    assert (upper == 200).all()
    assert (lower == 100).all()
    assert (whole[:7, 9:] == 200).all()
    assert classifier.views(FLOWER.resize((3000, 1)), 16).shape == (3, 16, 16, 3)


def test_features_do_not_depend_on_the_company(lite: Backbone) -> None:
    shown = np.stack([classifier.views(each, lite.size) for each in (FLOWER, CHINA, FLOWER)])
    together = classifier.find_features(lite, shown)
    assert together.shape == (3, 2 * sum(classifier.widths(lite)))
    assert np.allclose(together[1], classifier.find_features(lite, shown[1:2])[0], atol=1e-3)
    assert np.allclose(together[0], together[2], atol=1e-3)


def test_looking_keeps_the_order_and_names_what_cannot_be_read(lite: Backbone, tmp_path: Path) -> None:
    FLOWER.save(tmp_path / "flower.png")
    (tmp_path / "text.jpg").write_text("<html>")
    sources = [tmp_path / "text.jpg", tmp_path / "flower.png", Unreadable("gone"), tmp_path / "flower.png"] * 6
    kept: list[np.ndarray] = []
    found = list(classifier.look(lite, sources, kept))
    assert [isinstance(each, Unreadable) for each in found] == [True, False, True, False] * 6
    assert len(kept) == 12
    assert str(found[2]) == "gone"


def test_a_head_tells_apart_what_is_apart() -> None:
    features, truth = clouds(60, apart=3)
    head = classifier.fit(features, 6, truth, "abc", range(60))
    others, answers = clouds(60, apart=3, seed=1)
    given = (others @ head.weight.T + head.bias).argmax(1)
    assert (given == answers.argmax(1)).mean() > 0.95
    assert head.unseen is not None
    assert head.unseen.accuracy > 0.9


def test_cross_validation_is_not_fooled_by_noise() -> None:
    features, truth = clouds(60, apart=0)
    head = classifier.fit(features, 6, truth, "abc", range(60))
    assert head.unseen is not None
    assert head.unseen.accuracy < 0.6
    assert head.unseen.calibration_error < 0.25


def test_nor_by_duplicates() -> None:
    features, truth = clouds(30, apart=0)
    twice, truths = np.repeat(features, 2, 0), np.repeat(truth, 2, 0)
    together = classifier.fit(twice, 6, truths, "abc", np.repeat(range(30), 2).tolist()).unseen
    apart = classifier.fit(twice, 6, truths, "abc", range(60)).unseen
    assert together is not None
    assert apart is not None
    assert apart.accuracy > together.accuracy + 0.2


@pytest.mark.parametrize(("balanced", "least", "most"), [(False, 0, 0.05), (True, 0.2, 0.6)])
def test_of_noise_a_rare_label_is_the_answer_where_labels_count_alike(
    balanced: bool, least: float, most: float
) -> None:
    features, _ = clouds(100, apart=0)
    truth = np.eye(2, dtype=bool)[(np.arange(100) % 10 == 0).astype(int)]
    head = classifier.fit(features, 6, truth, "ab", range(100), strengths=[0.01], balanced=balanced)
    assert least <= (features @ head.weight.T + head.bias).argmax(1).mean() <= most


def test_one_example_of_each_will_do() -> None:
    features, truth = clouds(3, apart=5)
    head = classifier.fit(features, 6, truth, "abc", range(3))
    assert head.unseen is None
    assert (features @ head.weight.T + head.bias).argmax(1).tolist() == [0, 1, 2]


def test_a_few_pictures_with_one_in_common() -> None:
    """Their folds may have nothing of a label to train on."""
    features, _ = clouds(4, apart=3)
    head = classifier.fit(features, 6, np.eye(2, dtype=bool)[[0, 0, 1, 1]], "ab", [0, 1, 2, 1])
    assert np.isfinite(head.weight).all()
    assert head.unseen is not None
    assert np.isfinite(head.unseen.probabilities).all()


def test_several_labels() -> None:
    random = np.random.default_rng(0)
    truth = random.random((80, 2)) < 0.5
    features = (truth @ random.normal(0, 3, (2, 20)) + random.normal(0, 0.5, (80, 20))).astype(np.float32)
    head = classifier.fit(features, 6, truth, "ab", range(80), several=True)
    assert head.unseen is not None
    assert head.unseen.accuracy > 0.9


@pytest.fixture(scope="module")
def model(lite: Backbone) -> Classifier:
    random = np.random.default_rng(0)
    width = 2 * sum(classifier.widths(lite))
    weight = random.normal(0, 0.01, (3, width)).astype(np.float32)
    return Classifier(lite, ["a rose", "ünï/code", "other"], weight, np.zeros(3, np.float32), {"several": False})


def test_probabilities_add_up(model: Classifier) -> None:
    named = model(FLOWER)
    assert sum(named.values()) == pytest.approx(1)
    assert list(named.values()) == sorted(named.values(), reverse=True)
    assert set(named) == set(model.labels)


def test_a_picture_is_named_as_its_file_is(model: Classifier, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    FLOWER.save(tmp_path / "turned.jpg", exif=exif)
    turned = Image.open(tmp_path / "turned.jpg")
    assert model(turned) == pytest.approx(model(decode(tmp_path / "turned.jpg")), abs=1e-6)
    assert model.heat(turned).shape == (turned.width, turned.height)
    with pytest.raises(BeautyError, match=r"knows no daisy: it knows a rose, ünï/code, other"):
        model.heat(FLOWER, "daisy")


def test_a_saved_one_answers_the_same(model: Classifier, tmp_path: Path) -> None:
    model.save(tmp_path / "m.safetensors")
    again = Classifier.load(tmp_path / "m.safetensors")
    assert again(FLOWER) == pytest.approx(model(FLOWER), abs=1e-5)


def test_what_was_tuned_is_saved_too(model: Classifier, tmp_path: Path) -> None:
    tuned = Classifier(backbones.load(), model.labels, model.weight, model.bias, model.header)
    for value in tuned.backbone.late.values():
        value.data.mul_(1.05)
    tuned.save(tmp_path / "m.safetensors", dict(tuned.backbone.late))
    again = Classifier.load(tmp_path / "m.safetensors")
    assert again(FLOWER) == pytest.approx(tuned(FLOWER), abs=1e-5)
    assert again(FLOWER) != pytest.approx(model(FLOWER), abs=1e-3)


def test_files_of_other_kinds_are_one_line(model: Classifier, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(BeautyError, match="is a beautynet generator, not a beautynet classifier"):
        Classifier.load(checkpoint)
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(BeautyError, match="is a beautynet classifier, not a beautynet generator"):
        checkpoints.read_header(tmp_path / "m.safetensors")
    whole = bytearray((tmp_path / "m.safetensors").read_bytes())
    whole[-9] ^= 1
    (tmp_path / "m.safetensors").write_bytes(whole)
    with pytest.raises(BeautyError, match="damaged"):
        Classifier.load(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "harm",
    [{"labels": ["one"]}, {"backbone": "nonsense"}, {"several": None, "labels": None}],
    ids=["too few labels", "no such backbone", "no labels"],
)
def test_headers_that_do_not_fit_are_one_line(harm: dict[str, object], model: Classifier, tmp_path: Path) -> None:
    weights = {"head.weight": torch.from_numpy(model.weight), "head.bias": torch.from_numpy(model.bias)}
    header = {"labels": model.labels, "backbone": "efficientnet-lite0", "several": False, **harm}
    checkpoints.write_model(tmp_path / "m.safetensors", weights, header, checkpoints.CLASSIFIER)
    with pytest.raises(BeautyError, match="its header is damaged"):
        Classifier.load(tmp_path / "m.safetensors")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_no_damage(model: Classifier, tmp_path: Path) -> None:
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(BeautyError) as caught:
        Classifier.load(tmp_path / "m.safetensors", device="cuda")
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("mode", ["P", "1", "RGBA"])
def test_large_pictures_of_any_mode_are_seen(mode: str) -> None:
    picture = FLOWER.resize((400, 300)).convert(mode)
    if mode == "RGBA":
        picture.putalpha(0)  # on white, as in training
    whole = classifier.views(picture, 64)[0]
    wanted = classifier.views(to_rgb(picture), 64)[0]
    assert (whole == wanted).all()
    assert (mode == "RGBA") == bool((whole == 255).all())


def test_heat_is_where_it_looked(lite: Backbone) -> None:
    """A head for ImageNet's daisy alone looks at the flower, not at the leaves around it."""
    daisy = backbones.class_names().index("daisy")
    things, _ = classifier.widths(lite)
    weight = np.zeros((2, 2 * sum(classifier.widths(lite))), np.float32)
    weight[0, :things] = lite.network._fc.weight[daisy].detach().numpy()
    heat = Classifier(lite, ["daisy", "other"], weight, np.zeros(2, np.float32), {"several": False}).heat(
        FLOWER, "daisy"
    )
    assert heat.shape == (FLOWER.height, FLOWER.width)
    assert 0 <= heat.min() < 0.5
    assert heat.max() == pytest.approx(1, abs=0.05)
    middle = heat[80:350, 150:500]
    assert middle.mean() > 2 * heat[:, -60:].mean()
