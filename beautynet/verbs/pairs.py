"""Write (condition, photo) pairs: for looking at, and in the `aligned` layout that other pix2pix trainers read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from beautynet import files, images
from beautynet.conditions import Condition
from beautynet.config import TrainConfig
from beautynet.console import console, progress
from beautynet.datasets.dataset import Dataset, Photos
from beautynet.datasets.manifest import PAIRS
from beautynet.decode import Unreadable, decode
from beautynet.devices import pick_device
from beautynet.errors import BeautyError, UsageError

SHEET_PAIRS, SHEET_COLUMNS = 24, 4


@dataclass(frozen=True)
class PairsSummary:
    """What a call of `pairs` wrote."""

    folder: Path
    sheet: Path
    """The contact sheet: the first pairs in one picture."""
    written: int
    skipped: int


def pairs(
    dataset: str | Path | None = None,
    *,
    condition: str = "clusters",
    abstraction: float = 0.6,
    k: int | None = None,
    palette: str = TrainConfig.palette,
    size: int = 256,
    max: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
) -> PairsSummary:
    """Write the middle square of each photo beside its condition (on the left) as PNG, and a contact sheet.

    `dataset` as in `Dataset.open`; `out` is a folder (default: `<dataset>.pairs/<condition>`, beside the dataset).
    Raises BeautyError.
    """
    if max is not None and max < 1:
        raise UsageError(f"{max} photos will not do: give 1 or more")
    recipe = Condition(condition, abstraction=abstraction, size=size, k=k, palette=palette)
    source = Dataset.open(dataset)
    place = files.with_a_name(source.folder)
    folder = Path(out) if out else place.with_name(place.name + PAIRS) / condition
    where = pick_device(device)
    shown: list[np.ndarray] = []
    names: set[str] = set()
    skipped = 0
    with progress("pairs") as bar:
        for path in bar.track(source.photos[:max], description=f"{condition} of {source.name}"):
            try:
                photo = next(Photos([np.asarray(decode(path))], where).centres(size))
            except Unreadable as reason:
                console.print(f"skipped {path}: {reason}", style="yellow")
                skipped += 1
                continue
            pair = images.to_uint8(torch.cat([recipe(photo)[0], photo], dim=3))[0]
            name = "-".join(path.relative_to(source.folder).with_suffix("").parts)
            while name.lower() in names:  # a.jpg and a.png; A.jpg too, where case does not count
                name += "_"
            names.add(name.lower())
            files.write_picture(folder / f"{name}.png", pair)
            if len(shown) < SHEET_PAIRS:
                shown.append(pair)
    sheet = folder / "contact_sheet.jpg"
    if not shown:
        raise BeautyError(f"none of the {skipped} photos in {source.folder} can be read: gather others")
    files.write_picture(sheet, images.grid(shown, SHEET_COLUMNS))
    return PairsSummary(folder, sheet, len(names), skipped)
