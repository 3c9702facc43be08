"""The whole job in one go, with nothing prepared: one dahlia, then a palace made of it, on one page."""

from __future__ import annotations

import html
import json
import re
import shutil
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources
from math import cos, pi
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from beautynet import checkpoint as checkpoints
from beautynet import files, images
from beautynet.config import TrainConfig
from beautynet.console import console
from beautynet.decode import decode
from beautynet.errors import BeautyError
from beautynet.film.frames import Frame
from beautynet.film.rendering import writing
from beautynet.training.trainer import Progress
from beautynet.translator import Translator
from beautynet.verbs.image import image
from beautynet.verbs.pairs import pairs
from beautynet.verbs.train import FILM, train
from beautynet.verbs.video import video
from beautynet.web.templates import filled

TRAINING: dict[str, Any] = {
    "preset": "S",
    "size": 96,
    "batch": 2,
    "abstraction": 0.7,
    "learning_rate": 1.4e-3,
    "perceptual": 3.0,
    "l1": 3.0,
}
"""Fields of `TrainConfig` for so short a run: many small, bold steps. The minutes are the caller's."""
PICTURE_SIZE, FILM_SIZE = 160, 144
"""Shorter side in px at which the network paints the pictures and the film: larger has finer petals."""
CROPS, CLOSEST = 16, 190
"""How many squares of the photo make up the dataset, and the side in px of the smallest; the largest is all of it."""
DAHLIA = (304, 222)
"""Where the flower is in the photo, in px."""
PALACE = (0, 0, 427, 427)
"""A square around the palace, to watch during the training."""
PAIRS_SHOWN = 6
PAN_SIZE, PAN_RATE, PAN_SECONDS = (480, 320), 20, 7
GAP, GROUND = 4, 14
"""Px between the pictures of the montage, and the grey there."""
MARK = ".demo.json"
"""This file says that a folder is ours to write in, with what the network in it is trained, and if all is finished."""


@dataclass(frozen=True)
class Show:
    """What the page shows: names of files in its folder."""

    pairs: list[str]
    film: str
    training: str | None


def demo(minutes: float = 3.0, out: str | Path = "demo", device: str = "auto") -> Path:
    """Train on scikit-learn's dahlia for `minutes`, dream its palace and a pan across it; returns the page in `out`.

    A stopped demo goes on with the same call, a finished one starts afresh. A folder with other things in it is
    refused with a BeautyError.
    """
    settings = {"minutes": minutes, **TRAINING}
    out = Path(out)
    _claim(out, settings)
    console.print("1/4  one flower: cutting the dahlia into squares")
    photo, palace = _sample(out, "flower.jpg"), _sample(out, "china.jpg")
    dataset = _write_crops(photo, out / "data" / "dahlia")
    written = pairs(dataset, abstraction=TRAINING["abstraction"], max=PAIRS_SHOWN, out=out / "pairs", device=device)
    run = _train(dataset, palace, out, settings, device)
    console.print("3/4  showing it a palace, and the flower again")
    translator = Translator.load(run, device=device, size=PICTURE_SIZE)
    for picture in (palace, photo):
        _write_shown(picture, translator)
    image([palace, photo], translator=translator)
    console.print("4/4  a film across the palace")
    translator.size = FILM_SIZE
    film = video(_write_pan(palace, out / "pan.mp4"), force=True, translator=translator).out
    show = Show([f"pairs/{p.name}" for p in sorted(written.folder.glob("*.png"))], film.name, _training_film(run, out))
    _write_montage(out, show)
    files.write_text(out / "index.html", _page(show, run, translator.header))
    files.write_text(out / MARK, json.dumps({"finished": settings}))
    return out / "index.html"


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Make the folder ours, and clear an earlier demo's network away unless it is the same one, unfinished."""
    mark = out / MARK
    if mark.is_file():
        if json.loads(mark.read_text(encoding="utf-8")) != settings:
            shutil.rmtree(out / "checkpoint", ignore_errors=True)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BeautyError(f"{out} holds other things than a demo: choose another folder with -o")
    files.write_text(mark, json.dumps(settings))


def _sample(out: Path, name: str) -> Path:
    """One of the photos that scikit-learn ships, copied to `out`."""
    files.write_bytes(out / name, (resources.files("sklearn.datasets.images") / name).read_bytes())
    return out / name


def _write_crops(photo: Path, folder: Path) -> Path:
    """Squares around the dahlia, from all of the photo to a few petals: each shows all greys that there are."""
    picture = decode(photo)
    random = Random(0)
    sides = np.linspace(min(picture.size), CLOSEST, CROPS).round().astype(int).tolist()
    for number, side in enumerate(random.sample(sides, CROPS)):
        left, top = (
            min(max(0, middle - side // 2 + random.randint(-60, 60)), extent - side)
            for middle, extent in zip(DAHLIA, picture.size, strict=True)
        )
        square = picture.crop((left, top, left + side, top + side))
        files.write_picture(folder / f"dahlia-{number:02}.jpg", square, quality=95)
    return folder


def _train(dataset: Path, palace: Path, out: Path, settings: dict[str, Any], device: str) -> Path:
    """The run in `out`, trained now, or already by a demo that was stopped after that."""
    run = (out / "checkpoint").resolve()  # not in checkpoints/, where `beautynet video` looks for yours
    if _is_trained(run, settings):
        console.print("2/4  the network is trained already")
        return run
    console.print(f"2/4  training on nothing else for {_minutes(60 * settings['minutes'])}")
    watched = out / "palace.jpg"
    files.write_picture(watched, decode(palace).crop(PALACE), quality=95)
    summary = train(dataset, name=str(run), device=device, preview=[watched], **settings)
    if not summary.finished:
        said = "stopped and saved: the same command goes on"
        if summary.stopped_by == signal.SIGTERM:
            console.print(said)
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt(said)
    return run


def _is_trained(run: Path, settings: dict[str, Any]) -> bool:
    """Whether there is nothing left to train."""
    try:
        progress = checkpoints.read_header(run / checkpoints.MODEL)["progress"]
    except BeautyError:
        return False
    return Progress(**progress).fraction(TrainConfig(**settings)) >= 1


def _write_shown(picture: Path, translator: Translator) -> None:
    """What the network is shown of a picture, enlarged to its size with all its corners, as `name.shown.png`."""
    original = decode(picture)
    shown, _ = translator.see(np.asarray(original)[None])
    shapes = Image.fromarray(images.to_uint8(shown)[0]).resize(original.size, Image.Resampling.NEAREST)
    files.write_picture(picture.with_suffix(".shown.png"), shapes)


def _write_pan(picture: Path, film: Path) -> Path:
    """A film that drifts across a picture and back, so that it can be looped."""
    original = decode(picture)
    with writing(film, PAN_SIZE, rate=Fraction(PAN_RATE)) as writer:
        for number, window in enumerate(_windows(original.size, PAN_RATE * PAN_SECONDS)):
            view = original.resize(PAN_SIZE, Image.Resampling.BICUBIC, box=window)
            writer.write(Frame(np.asarray(view), Fraction(number, PAN_RATE), Fraction(1, PAN_RATE)))
    return film


def _windows(size: tuple[int, int], count: int) -> Iterator[tuple[float, float, float, float]]:
    """Where the camera looks: from close up at the left to farther away at the right, and back."""
    for number in range(count):
        way = (1 - cos(2 * pi * number / count)) / 2  # 0, 1 and 0 again, gently
        share = 0.68 + 0.16 * way
        width = share * min(size[0], size[1] * PAN_SIZE[0] / PAN_SIZE[1])
        height = width * PAN_SIZE[1] / PAN_SIZE[0]
        left, top = way * (size[0] - width), (0.1 + 0.9 * way) * (size[1] - height)
        yield left, top, left + width, top + height


def _training_film(run: Path, out: Path) -> str | None:
    """The training film, copied beside the page; None if there is none (an old one goes)."""
    (out / FILM).unlink(missing_ok=True)
    if not (run / FILM).exists():
        return None
    shutil.copyfile(run / FILM, out / FILM)
    return FILM


def _write_montage(out: Path, show: Show) -> None:
    """The demo as one small picture: original | what the network is shown | dream, and some pairs below."""
    rows = (("china.jpg", "china.shown.png", "china.beauty.jpg"), show.pairs[:4])
    strips = [_strip([decode(out / name) for name in row]) for row in rows]
    sheet = np.concatenate([strips[0], np.full_like(strips[0][:GAP], GROUND), strips[1]])
    files.write_picture(out / "demo.jpg", sheet, quality=86)


def _strip(pictures: Sequence[Image.Image], width: int = 1200) -> np.ndarray:
    """Pictures beside each other, all of one height, `width` px wide together: uint8 (H, W, 3)."""
    aspects = [picture.width / picture.height for picture in pictures]
    height = (width - GAP * (len(pictures) - 1)) / sum(aspects)
    strip = Image.new("RGB", (width, round(height)), (GROUND,) * 3)
    left = 0.0
    for picture, aspect in zip(pictures, aspects, strict=True):
        size = (round(height * aspect), round(height))
        strip.paste(picture.resize(size, Image.Resampling.LANCZOS), (round(left), 0))
        left += height * aspect + GAP
    return np.asarray(strip)


# --- the page -------------------------------------------------------------------------------------------------------


def _page(show: Show, run: Path, header: dict[str, Any]) -> str:
    log, progress = checkpoints.read_log(run), Progress(**header["progress"])
    first, last = log[0]["l1"], log[-1]["l1"]
    notes = (resources.files("sklearn.datasets.images") / "README.txt").read_text(encoding="utf-8")
    page = filled(
        "showcase",
        minutes=_minutes(progress.seconds),
        images=f"{progress.images:,}",
        steps=f"{progress.steps:,}",
        rate=f"{log[-1]['images_per_second']:.1f}",
        error_first=f"{first / 2:.0%}",  # of the range from -1 to 1
        error_last=f"{last / 2:.0%}",
        device=html.escape({"cpu": "a CPU", "mps": "an Apple GPU"}.get(header["trained_on"], header["trained_on"])),
        size=str(TRAINING["size"]),
        crops=str(CROPS),
        pairs="\n".join(_pair(name) for name in show.pairs),
        film=show.film,
        training=show.training or "",
        credits="\n".join(_credits(notes)),
        notes=_with_links(notes.strip()),
    )
    return page if show.training else re.sub(r"<!-- training -->.*?<!-- /training -->", "", page, flags=re.DOTALL)


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.1f}".removesuffix(".0") + " minutes"


def _pair(name: str) -> str:
    alt = "Left, flat patches of colour; right, the square of dahlia that they stand for"
    return f'<img src="{name}" width="512" height="256" loading="lazy" alt="{alt}">'


def _credits(notes: str) -> Iterator[str]:
    """Photo, photographer and licence, by the links in scikit-learn's notes: the name given is not always theirs."""
    entry = r"Image: (\S+).*?\[1\] (\S+/licenses/([\w-]+)/([\d.]+)/)\s+\[2\] (\S+/photos/([^/\s]+)/?)\s+\[3\] (\S+)"
    for name, licence, kind, version, home, owner, source in re.findall(entry, notes, flags=re.DOTALL):
        yield (
            f'<li><a href="{source}">{name}</a> by <a href="{home}">{owner}</a>, '
            f'<a href="{licence}">CC {kind.upper()} {version}</a></li>'
        )


def _with_links(text: str) -> str:
    return re.sub(r"https?://\S+", r'<a href="\g<0>">\g<0></a>', html.escape(text))
