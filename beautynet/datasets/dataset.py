"""A folder of photos, with or without a manifest: which are held out, and all of them in memory for training."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from beautynet import files, images
from beautynet.console import console, progress
from beautynet.datasets import curation, manifest
from beautynet.datasets.dedup import NEAR, digests, hashes
from beautynet.decode import Unreadable, decode, decode_with_jpeg, pictures_in
from beautynet.devices import free_memory
from beautynet.errors import BeautyError
from beautynet.machine import cores

AHEAD = 256
"""So many photos are read ahead of what is done with them."""
HELD_OUT_SHARE = 1 / 16
FEWEST_TO_SPLIT = 8
SPLIT = manifest.SPLIT
"""This file in a dataset with a manifest says which of its photos are held out and which are not."""
MEMORY = 4 << 30
"""Photos are kept at up to twice the training size, smaller if together they would pass so many bytes. They are on the
device where half of its free memory does for them, else in the machine's, else on the disk."""


@dataclass(frozen=True)
class Dataset:
    """A folder of photos."""

    folder: Path
    photos: tuple[Path, ...]

    @classmethod
    def open(cls, folder: str | Path | None = None) -> Dataset:
        """The dataset in `folder`, a path or a name in `data/`; None is the newest in `data/`. Needs one photo."""
        place = manifest.newest() if folder is None else manifest.folder_of(folder)
        photos = tuple(_kept(place) if (place / manifest.NAME).exists() else pictures_in(place))
        dataset = cls(place, photos)
        if not photos:
            raise BeautyError(f"no photos in {place}: gather some with `beautynet scrape {dataset.name} --max 1000`")
        return dataset

    @property
    def name(self) -> str:
        """The folder's name; checkpoints are called after it."""
        return self.folder.resolve().name

    def split(
        self, learnt: frozenset[str] = frozenset(), held_out: frozenset[str] = frozenset()
    ) -> tuple[list[Path], list[Path]]:
        """(training, held out): about one photo in sixteen is held out, at least one, but none of fewer than eight.

        A photo's place follows from its name, and near-duplicates, mirrored ones too, go together. With a manifest the
        split is stored beside it, so that a photo keeps its place as the dataset grows. In a folder without one the
        photos are compared at each call, and those keep their places of which a run says, by SHA-256, that it has
        `learnt` from them or that they were `held_out`, once it held any out.
        """
        names = {path.relative_to(self.folder).as_posix(): path for path in self.photos}
        stored = self.folder / SPLIT if (self.folder / manifest.NAME).exists() else None
        places = _stored_places(stored) if stored else _known_places(names, learnt, held_out)
        if not any(map(places.get, names)):  # none is held out, or none is left
            places = {}
        if len(names) >= FEWEST_TO_SPLIT and not names.keys() <= places.keys():
            _place_new(names, _Alike(self.folder, names), places)
            if stored:
                lists = {title: [n for n in places if places[n] == held] for title, held in _TITLES.items()}
                try:
                    files.write_text(stored, json.dumps(lists, ensure_ascii=False, indent=0))
                except BeautyError as error:  # a dataset that may only be read: the same split is made each time
                    console.print(f"the split is not stored: {error}", style="yellow")
        training, others = ([p for n, p in names.items() if places.get(n, False) == held] for held in (False, True))
        return training, others


_TITLES = {"held_out": True, "training": False}


def _stored_places(path: Path) -> dict[str, bool]:
    """Whether each photo is held out, by name; empty if there is no split yet."""
    try:
        lists = json.loads(path.read_text(encoding="utf-8"))
        return {name: held for title, held in _TITLES.items() for name in lists[title]}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise BeautyError(f"{path} is damaged: take it away, and the photos are split anew") from error


def _known_places(names: Mapping[str, Path], learnt: frozenset[str], held_out: frozenset[str]) -> dict[str, bool]:
    """Whether each photo is held out, by name, of those that a run knows; nothing where it held none out."""
    found = digests(names.values()) if held_out else {}
    known = learnt | held_out
    return {name: found[path] in held_out for name, path in names.items() if found.get(path) in known}


def _place_new(names: Mapping[str, Path], alike: _Alike, places: dict[str, bool]) -> None:
    """Add the photos that have no place yet to `places`."""
    for name in [n for n in names if places.get(n)]:
        for other in alike.group(name):
            places.setdefault(other, True)
    new = sorted((n for n in names if n not in places), key=_rank)
    for limit in (HELD_OUT_SHARE, 1.0):
        for name in new:
            if _rank(name) > limit or (limit == 1 and any(map(places.get, names))):
                break
            if name not in places:
                group = alike.group(name)
                # The limit is for all of a group: whoever split by names alone has not trained on any of it.
                if all(n not in places and _rank(n) <= limit for n in group) and 2 * len(group) <= len(names):
                    places |= dict.fromkeys(group, True)
    for name in new:
        places.setdefault(name, False)


def _rank(name: str) -> float:
    """0..1, as good as random, by the name without its folder."""
    return int(hashlib.sha256(name.rpartition("/")[2].encode(errors="surrogateescape")).hexdigest()[:8], 16) / 2**32


class _Alike:
    """Which photos of a dataset are near-duplicates of each other."""

    def __init__(self, folder: Path, names: Mapping[str, Path]) -> None:
        self.paths = names
        known = dict(manifest.Rows(folder).kept_files())
        unknown = [name for name in names if not known.get(name)]
        with progress("photos") as bar, ThreadPoolExecutor(cores()) as pool:
            found = bar.track(pool.map(self._hashes, unknown), len(unknown), description="comparing photos")
            known |= {name: both[0] for name, both in zip(unknown, found, strict=True) if both}
        hashed = {name: phash for name in names if (phash := known.get(name))}
        self.names, self.hashes = list(hashed), np.array([int(phash, 16) for phash in hashed.values()], np.uint64)

    def group(self, name: str) -> set[str]:
        """The photo, all near it, all near those, and so on."""
        group, queue = {name}, [name]
        while queue:
            for phash in self._hashes(queue.pop()):
                near = np.flatnonzero(np.bitwise_count(self.hashes ^ np.uint64(int(phash, 16))) <= NEAR)
                queue += {self.names[i] for i in near} - group
                group.update(queue)
        return group

    def _hashes(self, name: str) -> tuple[str, ...]:
        """Of the photo and of its mirror image; none if it cannot be read."""
        try:
            return hashes(decode_with_jpeg(self.paths[name], hashable=True).picture)
        except Unreadable:
            return ()


def _kept(folder: Path) -> Iterator[Path]:
    """The photos that the manifest says are kept, that are not out by a verdict, and that are there; by name."""
    rows = manifest.Rows(folder).values("file", "status", "verdict")
    kept = {file for file, status, verdict in rows if status == "kept" and not curation.is_out(verdict)}
    with os.scandir(folder) as entries:  # one listing instead of a question about each photo
        names = [entry.name for entry in entries if entry.name in kept and entry.is_file()]
    del kept
    return map(folder.joinpath, sorted(names))


class Photos:
    """Photos as uint8 (3, H, W), to draw random squares from, on a device or where there is room for them."""

    def __init__(
        self, pictures: Iterable[np.ndarray], device: torch.device, home: torch.device | BinaryIO | None = None
    ) -> None:
        """Taken over one by one, and kept in the `home`: on the device (None), on another one, or in an empty file.

        The file is mapped into memory as they are needed.
        """
        self.device = device
        self._at_hand = home is None or home == device
        if home is None or isinstance(home, torch.device):
            self.pictures = [_planes(picture).to(home or device) for picture in pictures]
            return
        shapes = []
        for picture in pictures:
            planes = _planes(picture)
            shapes.append(planes.shape)
            home.write(planes.numpy().data)
        home.flush()
        if not shapes:
            self.pictures = []
            return
        mapped = np.memmap(home, np.uint8, "r+")  # its pages go back to the disk when memory is short
        parts = np.split(mapped, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
        self.pictures = [torch.from_numpy(part).view(shape) for part, shape in zip(parts, shapes, strict=True)]

    @classmethod
    def load(cls, paths: Sequence[Path], size: int, device: torch.device) -> Photos:
        """Read `paths`, scaled so that the shorter side is between `size` and twice that; unreadable ones are named."""
        # whatever else runs, the same photos are of one size: the same seed is to give the same network
        side = min(2 * size, max(size, int((MEMORY / (4 * len(paths))) ** 0.5)))
        home = _home(4 * len(paths) * side**2, device)
        if home != device:
            where = "laid out on the disk" if home is None else "kept in the machine's"
            console.print(f"{len(paths):,} photos are more than the memory of {device} holds: they are {where}")
        with _shelf() if home is None else nullcontext(home) as place:
            photos = cls(_readable(paths, size, side), device, place)
        if not photos.pictures:
            raise BeautyError(f"none of the {len(paths)} photos can be read: gather others")
        return photos

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.pictures)

    def crops(self, indices: Sequence[int], size: int, random: Random) -> Tensor:
        """Random squares of half to all of the shorter side, flipped or not: (N, 3, size, size), float in [-1, 1]."""
        cuts, mirrored = zip(*(_cut(self.pictures[i], random) for i in indices), strict=True)
        if not self._at_hand:  # copied by several threads, as each may wait for the disk
            cuts = tuple(_workers().map(_copied, cuts))
        squares = [_scaled(cut, size, self.device) for cut in cuts]
        squares = [each.flip(3) if flip else each for each, flip in zip(squares, mirrored, strict=True)]
        return torch.cat(squares)

    def centres(self, size: int, most: int | None = None) -> Iterator[Tensor]:
        """The middle square of each photo, or of at most so many, evenly chosen: (1, 3, size, size) in [-1, 1]."""
        for i in evenly(len(self.pictures), most):
            picture = self.pictures[i]
            height, width = picture.shape[1:]
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            cut = picture[:, top : top + side, left : left + side]
            yield _scaled(cut, size, self.device)


def evenly(count: int, most: int | None = None) -> list[int]:
    """The indices of at most so many of `count` things, spread evenly over them."""
    return np.linspace(0, count - 1, count if most is None else min(most, count)).round().astype(int).tolist()  # type: ignore[no-any-return]


def squares(paths: Sequence[Path], size: int) -> tuple[list[Path], np.ndarray]:
    """The middle squares of the photos that can be read, and which those are: uint8 (N, size, size, 3)."""
    with progress("photos") as bar, ThreadPoolExecutor(cores()) as pool:
        read = bar.track(pool.map(lambda p: _read(p, size, size), paths), len(paths), description="reading photos")
        found = {
            path: picture for path, picture in zip(paths, read, strict=True) if not isinstance(picture, Unreadable)
        }
    if not found:
        raise BeautyError(f"none of the {len(paths)} photos can be read: gather others")
    corners = ((p, (p.shape[0] - size) // 2, (p.shape[1] - size) // 2) for p in found.values())
    return list(found), np.stack([p[top : top + size, left : left + size] for p, top, left in corners])


def _home(needed: int, device: torch.device) -> torch.device | None:
    """Where half of the free memory does for so many bytes: on the device, else on the CPU; None is nowhere."""
    return next((each for each in (device, torch.device("cpu")) if needed <= free_memory(each) // 2), None)


@cache
def _workers() -> ThreadPoolExecutor:
    """What fetches squares of photos that are not on the device."""
    return ThreadPoolExecutor(cores())


@contextmanager
def _shelf() -> Iterator[Any]:
    """An empty file on a disk, which is gone once nobody uses it."""
    place = files.cache()
    with files.explaining(place):
        place.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=place) as shelf:
            yield shelf


def _readable(paths: Sequence[Path], size: int, side: int) -> Iterator[np.ndarray]:
    """One after the other; those that cannot be read are named."""
    with progress("photos") as bar, ThreadPoolExecutor(cores()) as pool:
        task = bar.add_task("reading photos", total=len(paths))
        for first in range(0, len(paths), AHEAD):
            some = paths[first : first + AHEAD]
            for path, read in zip(some, pool.map(lambda p: _read(p, size, side), some), strict=True):
                bar.advance(task)
                if isinstance(read, Unreadable):
                    console.print(f"skipped {path}: {read}", style="yellow")
                else:
                    yield read


def _planes(picture: np.ndarray) -> Tensor:
    """(H, W, 3) -> (3, H, W)."""
    return torch.tensor(picture).permute(2, 0, 1).contiguous()


def _cut(picture: Tensor, random: Random) -> tuple[Tensor, bool]:
    """A random square of half to all of the shorter side, (3, side, side), and whether to mirror it."""
    height, width = picture.shape[1:]
    side = round(min(height, width) * random.uniform(0.5, 1))
    top, left = random.randint(0, height - side), random.randint(0, width - side)
    return picture[:, top : top + side, left : left + side], random.random() < 0.5


def _copied(cut: Tensor) -> Tensor:
    """By numpy: in each thread torch would begin as many of its own as there are cores."""
    return torch.from_numpy(cut.numpy().copy())


def _scaled(cut: Tensor, size: int, device: torch.device) -> Tensor:
    """(3, side, side), uint8 -> (1, 3, size, size), float in [-1, 1], on the device."""
    # nearly as sharp as what it will be measured against (Parmar et al. 2022): bilinear taught it to paint softer
    return images.resize(cut[None].to(device) / 127.5 - 1, size, size)


def _read(path: Path, smallest: int, largest: int) -> np.ndarray | Unreadable:
    try:
        picture = decode(path)
    except Unreadable as reason:
        return reason
    short = min(picture.size)
    scale = min(max(short, smallest), largest) / short
    if scale != 1:
        width, height = (max(smallest, round(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2)
    return np.asarray(picture)
