"""How well `gathering/quality.py` tells photos from what is none: `python benchmarks/quality.py DATA [DRAWINGS]`.

DATA has the folders flowers, junk, street_art and paintings; blurred photos, collages and watermarked photos are made
from them, drawings are drawn, and those in the folder DRAWINGS (icons, screenshots) are added. Thresholds were
chosen on one half of all that; the table is about the other.
"""

from __future__ import annotations

import glob
import io
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from beautynet.decode import Unreadable, decode
from beautynet.errors import BeautyError
from beautynet.gathering import quality

Picture = Image.Image
Rng = np.random.Generator
NEGATIVES = ("flowers", "junk", "street_art", "paintings")
POSITIVES = 160  # of each kind, in both halves together
SYSTEM_FONTS = "/usr/share/fonts/truetype/*/*.ttf"
WORDS = ["shutterstock", "alamy", "gettyimages", "dreamstime", "depositphotos", "SAMPLE", "PREVIEW", "iStock", "123RF"]
WORDS += ["COPYRIGHT", "Bloemen", "www.flowers-online.com", "PhotoArt.com", "GardenPictures", "Do-not-copy"]


def blurred(photo: Picture, rng: Rng) -> Picture:
    """Out of focus (sigma 3 to 6 on 500 px), or a thumbnail enlarged 3 to 4 times."""
    if rng.random() < 0.5:
        sigma = rng.uniform(3, 6) * max(photo.size) / 500
        return as_file(Image.fromarray(cv2.GaussianBlur(np.asarray(photo), (0, 0), sigma)), rng)
    factor = rng.uniform(3, 4)
    small = as_file(photo.resize([round(side / factor) for side in photo.size], Image.Resampling.LANCZOS), rng)
    how = rng.choice([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS])
    return as_file(small.resize(photo.size, Image.Resampling(how)), rng)


def collage(photos: Sequence[Picture], rng: Rng) -> Picture:
    """Two to nine photos in rows or columns, with or without gutters and a border, even and uneven."""
    bands = [int(n) for n in [(1, 1), (2, 2), (1, 2), (3, 3, 3), (2, 3), (1, 1, 1)][rng.integers(6)]]
    length, breadth = (int(each) for each in rng.integers(400, 1000, 2))
    length, breadth = max(length, 150 * len(bands)), max(breadth, 150 * max(bands))
    gap = int(rng.choice([0, 0, 0, 2, 4, 8, 16]))
    uneven = rng.random() < 0.4
    colour = (255,) * 3 if rng.random() < 0.6 else tuple(int(c) for c in rng.integers(0, 256, 3))
    sheet = Image.new("RGB", (breadth, length), colour)
    tops = cuts(length, len(bands), uneven, rng)
    for (top, bottom), count in zip(pairwise(tops), bands, strict=True):
        lefts = cuts(breadth, count, uneven, rng)
        for left, right in pairwise(lefts):
            photo = photos[int(rng.integers(len(photos)))]
            size = (max(1, right - left - gap), max(1, bottom - top - gap))
            sheet.paste(filling(photo, size), (left + gap // 2, top + gap // 2))
    if gap and rng.random() < 0.3:  # no border around it
        sheet = sheet.crop((gap // 2, gap // 2, breadth - gap + gap // 2, length - gap + gap // 2))
    return as_file(sheet.transpose(Image.Transpose.TRANSPOSE) if rng.random() < 0.5 else sheet, rng)


def cuts(length: int, parts: int, uneven: bool, rng: Rng) -> list[int]:
    """Where `parts` parts of a length begin and end."""
    shares = rng.uniform(1, 1.8, parts) if uneven else np.ones(parts)
    return [0, *(int(end) for end in np.rint(np.cumsum(shares) / shares.sum() * length))]


def filling(photo: Picture, size: tuple[int, int]) -> Picture:
    """The middle of a photo, scaled to fill `size`."""
    scale = max(size[0] / photo.width, size[1] / photo.height)
    large = photo.resize([max(round(photo.width * scale), size[0]), max(round(photo.height * scale), size[1])])
    left, top = (large.width - size[0]) // 2, (large.height - size[1]) // 2
    return large.crop((left, top, left + size[0], top + size[1]))


def watermark(photo: Picture, rng: Rng) -> Picture:
    """Words over a photo: repeated, one across the middle, or a line in a corner."""
    enlarged = rng.uniform(1, 1.8)
    photo = photo.resize([round(side * enlarged) for side in photo.size], Image.Resampling.BICUBIC)
    kind = rng.choice(["repeated", "centre", "corner"])
    word = str(rng.choice(WORDS))
    if kind == "corner":
        word = str(rng.choice(["© " + word, f"© Anna Miller {rng.integers(2003, 2024)}", word, f"Photo by {word}"]))
    height = rng.uniform(0.03, 0.055) if kind == "corner" else rng.uniform(0.05, 0.14)
    ink = letters(word, max(11, round(height * min(photo.size))), rng)
    share = photo.width * (0.95 if kind == "centre" else 0.7) / ink.shape[1]
    if share < 1:
        ink = cv2.resize(ink, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    mask = np.zeros((photo.height, photo.width), np.uint8)
    h, w = ink.shape
    if kind == "repeated":
        step_x, step_y = round(w * rng.uniform(1.2, 2)), round(h * rng.uniform(1.8, 4))
        for row, y in enumerate(range(0, photo.height - h, step_y)):
            for x in range((row % 2) * step_x // 2, photo.width - w, step_x):
                mask[y : y + h, x : x + w] = ink
        if rng.random() < 0.5:  # slanted, as most agencies do
            turn = cv2.getRotationMatrix2D((photo.width / 2, photo.height / 2), float(rng.choice([-30, 20, 30, 45])), 1)
            mask = cv2.warpAffine(mask, turn, photo.size)
    else:
        pad = round(0.02 * photo.height)
        x = (photo.width - w) // 2 if kind == "centre" else int(rng.choice([pad, photo.width - w - pad]))
        y = (photo.height - h) // 2 if kind == "centre" else int(rng.choice([pad, photo.height - h - pad]))
        mask[max(0, y) : max(0, y) + h, max(0, x) : max(0, x) + w] = ink
    opacity = rng.uniform(0.6, 1) if kind == "corner" else rng.uniform(0.25, 1)
    colour = 255 if rng.random() < 0.8 else 0
    alpha = mask[..., None] / 255 * opacity
    marked = np.asarray(photo) * (1 - alpha) + colour * alpha
    return as_file(Image.fromarray(marked.astype(np.uint8)), rng)


def letters(word: str, height: int, rng: Rng) -> NDArray[np.uint8]:
    """A word in one of several fonts, 0 to 255, cut to its ink."""
    if rng.random() < 0.35:
        face = [cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX][rng.integers(3)]
        thick = max(1, round(height / 14))
        word = word.replace("©", "(c)")
        scale = cv2.getFontScaleFromHeight(face, height, thick)
        (w, h), below = cv2.getTextSize(word, face, scale, thick)
        canvas = np.zeros((h + below + 2 * height, w + 2 * height), np.uint8)
        cv2.putText(canvas, word, (height, h + height), face, scale, 255, thick, cv2.LINE_AA)
    else:
        found = sorted(glob.glob(SYSTEM_FONTS))
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont = ImageFont.load_default(1.4 * height)
        if found and rng.random() < 0.5:
            font = ImageFont.truetype(found[rng.integers(len(found))], round(1.4 * height))
        right, bottom = (round(each) for each in font.getbbox(word)[2:])
        sheet = Image.new("L", (right + 8, bottom + 8))
        ImageDraw.Draw(sheet).text((4, 4), word, 255, font)
        canvas = np.asarray(sheet)
    x, y, w, h = cv2.boundingRect(canvas)
    return canvas[y : y + max(h, 1), x : x + max(w, 1)]


def drawing(rng: Rng) -> Picture:
    """A chart, a cartoon, a logo or a screenshot, drawn at twice its size for smooth lines."""
    width, height = (int(side) for side in rng.integers(300, 900, 2))
    paper = tuple(int(c) for c in rng.integers(0, 256, 3)) if rng.random() < 0.4 else (255,) * 3
    sheet = Image.new("RGB", (2 * width, 2 * height), paper)
    draw = ImageDraw.Draw(sheet)
    [chart, cartoon, logo, screenshot][rng.integers(4)](draw, 2 * width, 2 * height, rng)
    if rng.random() < 0.2:  # a gradient over it all
        ramp = Image.linear_gradient("L").rotate(90 * int(rng.integers(4))).resize(sheet.size)
        sheet = Image.blend(sheet, Image.merge("RGB", [ramp] * 3), 0.25)
    return as_file(sheet.resize((width, height), Image.Resampling.BOX), rng)


def chart(draw: ImageDraw.ImageDraw, width: int, height: int, rng: Rng) -> None:
    left, base = round(0.1 * width), round(0.9 * height)
    draw.line([(left, height // 10), (left, base), (width, base)], "black", 3)
    for y in np.linspace(0.1, 0.8, 6) * height:
        draw.line([(left, y), (width, y)], "lightgrey", 2)
        draw.text((left // 4, y), f"{y:.0f}", "black", ImageFont.load_default(24))
    count = int(rng.integers(4, 12))
    tops = rng.uniform(0.15, 0.85, count) * height
    wide = (width - left) / count
    if rng.random() < 0.5:
        for i, top in enumerate(tops):
            draw.rectangle((left + i * wide + 4, top, left + (i + 0.7) * wide + 4, base), colour(rng))
    else:
        for _ in range(3):
            points = [(left + i * wide, float(top)) for i, top in enumerate(rng.permutation(tops))]
            draw.line(points, colour(rng), 6)
    draw.text((left, 8), "Flowers sold in each month", "black", ImageFont.load_default(40))


def cartoon(draw: ImageDraw.ImageDraw, width: int, height: int, rng: Rng) -> None:
    for _ in range(rng.integers(8, 40)):
        x, y = rng.uniform(0, 1, 2) * (width, height)
        radius = rng.uniform(0.03, 0.3) * min(width, height)
        outline = "black" if rng.random() < 0.6 else None
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        points = [(x + radius * np.cos(a), y + radius * np.sin(a)) for a in angles]
        if rng.random() < 0.6:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour(rng), outline, 6)
        else:
            draw.polygon(points, colour(rng), outline, 6)


def logo(draw: ImageDraw.ImageDraw, width: int, height: int, rng: Rng) -> None:
    side = min(width, height)
    for turn in range(int(rng.integers(4, 9))):
        x, y = width / 2 + side / 6 * np.cos(turn), height / 2.6 + side / 6 * np.sin(turn)
        draw.ellipse((x - side / 8, y - side / 8, x + side / 8, y + side / 8), colour(rng))
    draw.text((width / 2, 0.8 * height), "Florista", colour(rng), ImageFont.load_default(side / 7), anchor="mm")


def screenshot(draw: ImageDraw.ImageDraw, width: int, height: int, rng: Rng) -> None:
    draw.rectangle((0, 0, width, 90), colour(rng))
    draw.text((30, 20), "www.example.com / flowers", "white", ImageFont.load_default(36))
    draw.rectangle((0, 90, width // 4, height), colour(rng))
    for y in range(130, height, int(rng.integers(36, 60))):
        words = " ".join(rng.choice(WORDS, 30))
        draw.text((width // 4 + 30, y), words, "black", ImageFont.load_default(26))
        draw.text((20, y), words[:12], "white", ImageFont.load_default(26))


def colour(rng: Rng) -> tuple[int, int, int]:
    red, green, blue = (int(c) for c in rng.integers(0, 256, 3))
    return red, green, blue


def as_file(picture: Picture, rng: Rng) -> Picture:
    """The picture after a JPEG file of quality 80 to 95, or now and then as it is."""
    if rng.random() < 0.15:
        return picture
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=int(rng.integers(80, 96)))
    return Image.open(buffer).convert("RGB")


def pictures(folder: Path) -> list[Picture]:
    """All that can be read, in a random order that is the same every time."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            found.append(decode(path))
        except Unreadable:
            continue
    if not found:
        raise SystemExit(f"no pictures in {folder}: name a folder with {', '.join(NEGATIVES)} in it")
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


def half(data: Path, drawings: Path | None, which: int) -> dict[str, list[Picture]]:
    """Photos by folder and faults by kind: half 0 is for choosing thresholds, half 1 for judging them."""
    rng = np.random.default_rng(which)
    found = {name: pictures(data / name)[which::2] for name in NEGATIVES}
    photos = [*found["flowers"], *found["junk"]]

    def some() -> Sequence[Picture]:
        return [photos[i] for i in rng.choice(len(photos), POSITIVES // 2, replace=False)]

    found["blurred"] = [blurred(photo, rng) for photo in some()]
    found["drawing"] = [drawing(rng) for _ in some()]
    found["collage"] = [collage(photos, rng) for _ in some()]
    found["watermark"] = [watermark(photo, rng) for photo in some()]
    if drawings:
        found["DRAWINGS"] = pictures(drawings)[which::2]
    return found


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that `work` takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def main(data: str = "", drawings: str | None = None) -> None:
    """Print how many of each kind each filter refuses, and what it costs."""
    if not data:
        raise SystemExit(__doc__)
    cv2.setNumThreads(1)
    found = half(Path(data), Path(drawings) if drawings else None, 1)
    names = list(quality.FILTERS)
    print(f"{'refused, in % of the pictures':32}" + "".join(f"{name:>12}" for name in names))
    refused = {
        kind: [sum(bool(quality.why_not(each, [n])) for each in batch) for n in names] for kind, batch in found.items()
    }
    for kind, counts in refused.items():
        print(
            f"{kind:12}{len(found[kind]):5} pictures{'':6}"
            + "".join(f"{100 * n / len(found[kind]):12.1f}" for n in counts)
        )
    wrong = [sum(refused[kind][i] for kind in NEGATIVES) for i in range(len(names))]
    right = [refused[name][i] for i, name in enumerate(names)]
    shares = [100 * yes / max(yes + no, 1) for yes, no in zip(right, wrong, strict=True)]
    print(f"{'precision among these, in %':32}" + "".join(f"{share:12.1f}" for share in shares))
    photo = found["flowers"][0].resize((500, 375))
    asked = [*([name] for name in names), names]
    *costs, together = (median(timed(partial(quality.why_not, photo, some)) for _ in range(30)) for some in asked)
    print(
        f"{'ms for a photo of 500×375':32}" + "".join(f"{cost:12.1f}" for cost in costs) + f"   together {together:.1f}"
    )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:3])
    except BeautyError as error:
        raise SystemExit(str(error)) from None
