"""What the studio shows: datasets and what the network would be shown of them, runs, films; each by its place in a
list of ours, so that no name from outside is ever a path."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
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
from beautynet.files import MADE
from beautynet.film.rendering import FORMATS
from beautynet.training import health
from beautynet.web.sheet import thumbnail

PAGE = 60
"""Photos told of at once."""
THUMBNAIL = (480, 240)
PAIR = 320
"""Shorter side in px of a pair's pictures."""
CURVE = 100
"""Points of a curve at most, each the mean of the rows that it stands for: a row is one step, and steps are noisy."""
ALIVE = 20.0
"""A run that has logged nothing for so many seconds is not running."""
CURVES = ("g", "d", "adversarial", "perceptual", "texture", "scenes", "l1")


def routes(films: Path) -> list[Route]:
    """What the studio's page asks for; `films` is the folder whose dreams it shows."""
    return [
        Route("/datasets", _answers(lambda _: [folder.name for folder in manifest.folders()])),
        Route("/datasets/{dataset}", _answers(_photos)),
        Route("/datasets/{dataset}/{number:int}.jpg", _answers(_photo)),
        Route("/datasets/{dataset}/{number:int}/pair.jpg", _answers(_pair)),
        Route("/runs", _answers(lambda _: [folder.name for folder in _run_folders()])),
        Route("/runs/{run}", _answers(_run)),
        Route("/runs/{run}/samples/{number:int}.png", _answers(_sample)),
        Route("/films", _answers(lambda _: [path.name for path in _films(films)])),
        Route("/films/{name}", _answers(lambda request: FileResponse(_one_of(_films(films), request, "name")))),
    ]


def _answers(answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def respond(request: Request) -> Response:
        try:
            found = await run_in_threadpool(answer, request)
        except (BeautyError, FileNotFoundError) as error:  # what is looked at may go at any moment
            return JSONResponse({"error": str(error)}, 404)
        return found if isinstance(found, Response) else JSONResponse(found, headers={"Cache-Control": "no-store"})

    return respond


def _one_of(paths: list[Path], request: Request, key: str) -> Path:
    """The path of this name; what is not in the list is not there."""
    for path in paths:
        if path.name == request.path_params[key]:
            return path
    raise HTTPException(404)


# --- datasets -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _opened(folder: Path, _: float) -> Dataset:
    return Dataset.open(folder)


def _dataset(request: Request) -> Dataset:
    """Opened once for as long as it stays as it is: a million rows take seconds."""
    folder = _one_of(manifest.folders(), request, "dataset")
    return _opened(folder, manifest.written(folder))


def _photos(request: Request) -> dict[str, Any]:
    return {"photos": len(_dataset(request).photos), "page": PAGE}


def _path(request: Request) -> Path:
    photos = _dataset(request).photos
    number: int = request.path_params["number"]
    if number >= len(photos):
        raise HTTPException(404)
    return photos[number]


def _photo(request: Request) -> Response:
    headers = {"Cache-Control": "private, max-age=300"}
    return Response(thumbnail(_path(request), *THUMBNAIL), media_type="image/jpeg", headers=headers)


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
            sensitivity=min(max(float(asked.get("sensitivity", 1)), 0.05), 20),
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
    logs = checkpoints.newest_first(checkpoints.LOG)
    return [path.parent for path in logs]


def _run(request: Request) -> dict[str, Any]:
    folder = _one_of(_run_folders(), request, "run")
    rows = checkpoints.read_log(folder)
    told: dict[str, Any] = {
        "running": time.time() - (folder / checkpoints.LOG).stat().st_mtime < ALIVE,
        "curves": {name: _curve(rows, name) for name in CURVES},
        "samples": len(checkpoints.samples_in(folder)),
        "findings": [{"seen": each.seen, "advice": each.advice} for each in health.findings(rows)],
        "warming_up": health.warming_up(rows),
    }
    if rows:
        told |= {name: rows[-1].get(name) for name in ("images", "steps", "seconds", "images_per_second", "photos")}
    try:
        told["budget"] = _budget(checkpoints.read_header(folder / checkpoints.MODEL)["config"])
    except (BeautyError, KeyError, TypeError):  # nothing saved yet
        told["budget"] = None
    return told


def _curve(rows: list[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    """(images, value) from the first row to the last."""
    points = [(row["images"], row[name]) for row in rows if row.get(name) is not None]
    every = max(1, -(-len(points) // CURVE))
    parts = (points[start : start + every] for start in range(0, len(points), every))
    return [(part[-1][0], fmean(value for _, value in part)) for part in parts]


def _budget(config: dict[str, Any]) -> dict[str, float]:
    """What the run may spend."""
    return {"steps": config["steps"]} if config.get("steps") else {"seconds": 60 * config["minutes"]}


def _sample(request: Request) -> Response:
    samples = checkpoints.samples_in(_one_of(_run_folders(), request, "run"))
    number = request.path_params["number"]
    if number >= len(samples):
        raise HTTPException(404)
    return FileResponse(samples[number], headers={"Cache-Control": "private, max-age=3600"})


# --- films ----------------------------------------------------------------------------------------------------------


def _films(folder: Path) -> list[Path]:
    """The dreams in a folder, the newest first."""
    found = [
        path
        for path in folder.glob(f"*{MADE}.*")
        if path.suffix.lower() in FORMATS and path.suffixes[-2:-1] == [MADE] and path.is_file()
    ]
    return sorted(found, key=lambda path: -path.stat().st_mtime)
