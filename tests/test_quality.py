"""Filters name what was done to a photo, pass what it was made from, and survive any picture."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_images

from beautynet.decode import decode
from beautynet.errors import BeautyError
from beautynet.gathering import quality

CHINA, FLOWER = (Image.fromarray(photo) for photo in load_sample_images().images)
ALL = list(quality.FILTERS)


def blurred(photo: Image.Image) -> Image.Image:
    return Image.fromarray(cv2.GaussianBlur(np.asarray(photo), (0, 0), 4))


def enlarged(photo: Image.Image) -> Image.Image:
    return photo.resize((photo.width // 4, photo.height // 4)).resize(photo.size, Image.Resampling.BICUBIC)


def cartoon(photo: Image.Image) -> Image.Image:
    sheet = Image.new("RGB", photo.size, "skyblue")
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((0, 300, 640, 427), "green")
    for x, colour in ((120, "red"), (320, "gold"), (520, "violet")):
        draw.rectangle((x - 8, 180, x + 8, 380), "darkgreen", "black", 3)
        draw.ellipse((x - 80, 60, x + 80, 220), colour, "black", 3)
    return sheet


def beside(photo: Image.Image, gutter: int = 0) -> Image.Image:
    sheet = Image.new("RGB", (photo.width + gutter, photo.height), "white")
    sheet.paste(photo.resize((320, photo.height)))
    sheet.paste((CHINA if photo is FLOWER else FLOWER).resize((320, photo.height)), (320 + gutter, 0))
    return sheet


def marked(photo: Image.Image, opacity: float = 0.7) -> Image.Image:
    ink = Image.new("L", photo.size)
    draw = ImageDraw.Draw(ink)
    for x, y in ((20, 30), (340, 130), (20, 230), (340, 330)):
        draw.text((x, y), "flowerstock", round(255 * opacity), ImageFont.load_default(44))
    return Image.composite(Image.new("RGB", photo.size, "white"), photo, ink)


FAULTS: list[tuple[str, Callable[[Image.Image], Image.Image]]] = [
    ("blurred", blurred),
    ("blurred", enlarged),
    ("drawing", cartoon),
    ("collage", beside),
    ("collage", lambda photo: beside(photo, gutter=8)),
    ("watermark", marked),
]


def kinds(picture: Image.Image) -> set[str]:
    return {name for name in ALL if quality.why_not(picture, [name])}


@pytest.mark.parametrize("photo", [CHINA, FLOWER])
def test_photos_pass(photo: Image.Image) -> None:
    framed = Image.new("RGB", (photo.width + 60, photo.height + 90), "white")
    framed.paste(photo, (30, 30))
    for picture in (photo, photo.convert("L"), photo.resize((1600, 1067)), photo.resize((360, 240)), framed):
        assert quality.why_not(picture, ALL) is None


@pytest.mark.parametrize("photo", [CHINA, FLOWER])
@pytest.mark.parametrize(("kind", "spoil"), FAULTS)
def test_faults_are_named(photo: Image.Image, kind: str, spoil: Callable[[Image.Image], Image.Image]) -> None:
    spoilt = spoil(photo)
    reason = quality.why_not(spoilt, [kind])
    assert reason is not None
    assert reason.startswith(f"{kind}: ")
    for turned in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM):
        assert kind in kinds(spoilt.transpose(turned))
    if kind != "watermark":  # letters lie on a line from left to right
        assert kind in kinds(spoilt.transpose(Image.Transpose.ROTATE_90))
    if kind != "blurred":  # a small picture of a blurred one is sharp
        assert kind in kinds(spoilt.resize((480, 320), Image.Resampling.LANCZOS))
    assert kind in kinds(spoilt.resize((spoilt.width * 2, spoilt.height * 2), Image.Resampling.LANCZOS))


def test_only_what_was_asked_for_is_judged() -> None:
    assert quality.why_not(blurred(FLOWER), ["drawing", "collage", "watermark"]) is None
    assert quality.why_not(blurred(FLOWER), []) is None


def test_a_flower_on_white_is_no_drawing() -> None:
    mask = Image.new("L", FLOWER.size)
    ImageDraw.Draw(mask).ellipse((160, 40, 480, 390), 255)
    for background in ("white", "black"):
        assert quality.why_not(Image.composite(FLOWER, Image.new("RGB", FLOWER.size, background), mask), ALL) is None


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3000, 2), (31, 31), (32, 32), (33, 700), (9000, 40)])
@pytest.mark.parametrize("colour", ["black", "white", "teal", None])
def test_odd_pictures_do_no_harm(size: tuple[int, int], colour: str | None) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    picture = Image.new("RGB", size, colour) if colour else Image.fromarray(noise)
    for name in ALL:
        reason = quality.why_not(picture, [name])
        assert reason is None or reason.startswith(f"{name}: ")


def test_grain_takes_no_memory_by_the_square_of_its_specks() -> None:
    page = np.zeros((640, 640, 3), np.uint8)
    for x in range(0, 636, 5):
        for y in range(0, 632, 8):
            page[y : y + 6, x : x + 3] = 255
            page[y + 2 : y + 4, x + 1] = 0
    tracemalloc.start()
    quality.why_not(Image.fromarray(page), ["watermark"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6


def test_unknown_filters_are_one_line() -> None:
    with pytest.raises(BeautyError, match=r"no filter 'ugly': choose from blurred, drawing, collage, watermark"):
        quality.why_not(FLOWER, ["blurred", "ugly"])


def test_agencies_by_their_hosts() -> None:
    for url in (
        "https://c8.alamy.com/comp/A1/x.jpg",
        "https://www.gettyimages.co.uk/photos/rose",
        "http://t3.ftcdn.net/jpg/01/x.jpg",
        "https://stock.adobe.com/search?k=rose",
        "https://media.istockphoto.com/id/1/photo/x.jpg",
    ):
        assert quality.stock_agency(url)
        assert str(quality.why_not(FLOWER, ["watermark"], urls=("", url))).startswith("watermark: from ")
        assert quality.why_not(FLOWER, ["blurred"], urls=(url,)) is None
    for url in ("", "https://[broken", "file:///shutterstock.com/a.jpg", "https://notalamy.com/?u=alamy.com"):
        assert quality.stock_agency(url) is None


def test_real_flowers_pass(shared: Path) -> None:
    photos = [decode(path) for path in sorted((shared / "flowers").iterdir())[::3]]
    for name in ALL:
        refused = sum(quality.why_not(photo, [name]) is not None for photo in photos)
        assert refused <= 0.02 * len(photos), name
