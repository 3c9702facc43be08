"""What the studio shows: datasets and what the network would be shown of them, runs, films; each looked up in a list of
ours, so that no name from outside is ever a path."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from beautynet import checkpoint as checkpoints
from beautynet import images
from beautynet.conditions import Condition
from beautynet.datasets import manifest
from beautynet.datasets.dataset import Dataset
from beautynet.decode import as_jpeg, decode
from beautynet.errors import BeautyError
from beautynet.files import MADE, is_text
from beautynet.film.rendering import FORMATS
from beautynet.machine import cores
from beautynet.training import health
from beautynet.web.cache import Cache
from beautynet.web.sheet import thumbnail

PAGE = 60
"""Photos told of at once."""
THUMBNAIL = (480, 240)
PAIR = 320
"""Shorter side in px of a pair's pictures."""
CURVE = 200
"""Points of a curve at most, an even number; each is the mean of the rows that it stands for: a row is one step, and
steps are noisy."""
ALIVE = 20.0
"""A run that has logged nothing for so many seconds is not running."""
CURVES = ("g", "d", "adversarial", "perceptual", "texture", "scenes", "l1")
AT_ONCE = min(cores(), 4)
"""Requests that are answered at once, however many wait: a decoded photo can take 300 MB, and dreams need threads."""
FRESH = 10.0
"""Seconds for which a dataset that grows is shown as it was: to look at a million rows takes a few."""


def routes(films: Path) -> list[Route]:
    """What the studio's page asks for; `films` is the folder whose dreams it shows."""
    answers = partial(_answers, asyncio.Semaphore(AT_ONCE))
    return [
        Route("/datasets", answers(lambda _: _names(manifest.folders()))),
        Route("/datasets/{dataset}", answers(_photos)),
        Route("/datasets/{dataset}/photos/{photo:path}", answers(_photo)),
        Route("/datasets/{dataset}/pairs/{photo:path}", answers(_pair)),
        Route("/runs", answers(lambda _: _names(_run_folders()))),
        Route("/runs/{run}", answers(_run)),
        Route("/runs/{run}/samples/{number:int}.png", answers(_sample)),
        Route("/films", answers(lambda _: _names(_films(films)))),
        Route("/films/{name}", answers(lambda request: FileResponse(_one_of(_films(films), request, "name")))),
    ]


def _answers(room: asyncio.Semaphore, answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def respond(request: Request) -> Response:
        try:
            async with room:
                found = await run_in_threadpool(answer, request)
        except (BeautyError, FileNotFoundError) as error:  # what is looked at may go at any moment
            return JSONResponse({"error": str(error)}, 404)
        return found if isinstance(found, Response) else JSONResponse(found, headers={"Cache-Control": "no-store"})

    return respond


def _names(paths: list[Path]) -> list[str]:
    """Of those that a page can ask for: names of old systems may be no text."""
    return [path.name for path in paths if is_text(path.name)]


def _one_of(paths: list[Path], request: Request, key: str) -> Path:
    """The path of this name; what is not in the list is not there."""
    for path in paths:
        if path.name == request.path_params[key]:
            return path
    raise HTTPException(404)


# --- datasets -------------------------------------------------------------------------------------------------------


class _Photos:
    """The photos of a dataset: looked for anew once it has changed, but not all the time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._written, self._until = 0.0, 0.0
        self._photos: dict[str, Path] = {}

    def by_name(self) -> dict[str, Path]:
        """In the order of their names."""
        with self._lock:
            written = manifest.written(self._folder)
            if written != self._written and time.monotonic() > self._until:
                photos = Dataset.open(self._folder).photos
                self._photos = dict(sorted((self._name(path), path) for path in photos))
                self._written, self._until = written, time.monotonic() + FRESH
            return self._photos

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix().encode(errors="replace").decode()  # which JSON takes


_opened = lru_cache(maxsize=32)(_Photos)
_thumbnails = Cache()


def _dataset(request: Request) -> dict[str, Path]:
    return _opened(_one_of(manifest.folders(), request, "dataset")).by_name()


def _photos(request: Request) -> dict[str, Any]:
    """How many there are, and the names of the first, or of those after one."""
    photos, after = _dataset(request), request.query_params.get("after", "")
    return {"photos": len(photos), "names": list(islice((name for name in photos if name > after), PAGE))}


def _path(request: Request) -> Path:
    path = _dataset(request).get(request.path_params["photo"])
    if path is None:
        raise HTTPException(404)
    return path


def _photo(request: Request) -> Response:
    path = _path(request)
    key = path, path.stat().st_mtime_ns
    if (data := _thumbnails.get(key)) is None:
        _thumbnails.put(key, data := thumbnail(path, *THUMBNAIL))
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"})


def _pair(request: Request) -> Response:
    """What the network would be shown of a photo with the recipe in the query, left of the photo."""
    asked = request.query_params
    try:
        recipe = Condition(
            asked.get("kind", "clusters"),
            abstraction=float(asked.get("abstraction", 0.6)),
            size=PAIR,
            k=int(asked["k"]) if asked.get("k") else None,
            palette=asked.get("palette", "mean"),
        )
    except ValueError as error:
        raise BeautyError(f"not a recipe: {error}") from None
    picture = np.asarray(decode(_path(request)))
    height, width = images.scaled_to(picture.shape[0], picture.shape[1], PAIR)
    photo = images.to_tensor(images.resize_uint8(picture[None], height, width))
    shown, _ = recipe(photo)
    both = np.concatenate([images.to_uint8(shown)[0], images.to_uint8(photo)[0]], axis=1)
    return Response(as_jpeg(Image.fromarray(both)), media_type="image/jpeg")


# --- runs -----------------------------------------------------------------------------------------------------------


def _run_folders() -> list[Path]:
    return [log.parent for log in checkpoints.newest_first(checkpoints.LOG)]


class _Curve:
    """A figure from the first row to the last."""

    def __init__(self) -> None:
        self._points: list[tuple[float, float]] = []
        """Each (images, mean) of `_each` rows."""
        self._each = 1
        self._rest: list[float] = []
        self._images = 0.0

    def add(self, images: float, value: float) -> None:
        """From the next row."""
        self._images = images
        self._rest.append(value)
        if len(self._rest) == self._each:
            self._points.append((images, fmean(self._rest)))
            self._rest.clear()
        if len(self._points) == CURVE:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [(later[0], (earlier[1] + later[1]) / 2) for earlier, later in pairs]
            self._each *= 2

    def points(self) -> list[tuple[float, float]]:
        """(images, value) each."""
        rest = [(self._images, fmean(self._rest))] if self._rest else []
        return self._points + rest


class _Log:
    """A run's log: what of it is shown, kept while it grows, so that only what is new is read."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / checkpoints.LOG
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._read, self._last = 0, b""
        """How many bytes, and the line before there."""
        self._rows: deque[Mapping[str, Any]] = deque(maxlen=health.WINDOW)
        self._curves = {name: _Curve() for name in CURVES}

    def newest(self) -> tuple[list[Mapping[str, Any]], dict[str, list[tuple[float, float]]]]:
        """The newest rows, as many as `health` judges, and the curves of all."""
        with self._lock, open(self._path, "rb") as file:
            file.seek(self._read - len(self._last))
            if file.read(len(self._last)) != self._last:  # a run that is resumed writes it anew
                self._begin()
                file.seek(0)
            for line in file:
                if not line.endswith(b"\n"):  # not whole yet
                    break
                self._read, self._last = self._read + len(line), line
                with suppress(ValueError):  # half a line, as a kill or a full disk leaves it
                    self._add(json.loads(line))
            return list(self._rows), {name: curve.points() for name, curve in self._curves.items()}

    def _add(self, row: Mapping[str, Any]) -> None:
        self._rows.append(row)
        for name, curve in self._curves.items():
            if row.get(name) is not None:
                curve.add(row["images"], row[name])


_logs = lru_cache(maxsize=64)(_Log)


def _run(request: Request) -> dict[str, Any]:
    folder = _one_of(_run_folders(), request, "run")
    rows, curves = _logs(folder).newest()
    told: dict[str, Any] = {
        "running": abs(time.time() - (folder / checkpoints.LOG).stat().st_mtime) < ALIVE,
        "curves": curves,
        "samples": len(checkpoints.samples_in(folder)),
        "findings": [{"seen": each.seen, "advice": each.advice} for each in health.findings(rows)],
        "warming_up": health.warming_up(rows),
    }
    if rows:
        told |= {name: rows[-1].get(name) for name in ("images", "steps", "seconds", "images_per_second", "photos")}
    try:
        config = checkpoints.read_header(folder / checkpoints.MODEL)["config"]
        told["budget"] = {"steps": config["steps"]} if config.get("steps") else {"seconds": 60 * config["minutes"]}
    except (BeautyError, KeyError, TypeError):  # nothing saved yet
        told["budget"] = None
    return told


def _sample(request: Request) -> Response:
    samples = checkpoints.samples_in(_one_of(_run_folders(), request, "run"))
    number = request.path_params["number"]
    if number >= len(samples):
        raise HTTPException(404)
    return FileResponse(samples[number], headers={"Cache-Control": "no-cache"})  # a run may begin anew


# --- films ----------------------------------------------------------------------------------------------------------


def _films(folder: Path) -> list[Path]:
    """The dreams in a folder, the newest first."""
    found = [
        path
        for path in folder.glob(f"*{MADE}.*")
        if path.suffix.lower() in FORMATS and path.suffixes[-2:-1] == [MADE] and path.is_file()
    ]
    return sorted(found, key=lambda path: -path.stat().st_mtime)
