"""What a checkpoint or dataset is, in a few lines for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from beautynet import checkpoint as checkpoints
from beautynet import manifest
from beautynet.dataset import DATA, Dataset
from beautynet.errors import BeautyError


def info(target: str | Path) -> str:
    """Describe a dataset (a folder or a name in `data/`) or a checkpoint (a folder, file or name in `checkpoints/`)."""
    path = Path(target)
    if path.is_file() or (path / checkpoints.MODEL).exists():
        return _of_checkpoint(path)
    if path.is_dir():
        return _of_dataset(path)
    parts = [
        describe(path)
        for place, describe in ((DATA / path, _of_dataset), (checkpoints.CHECKPOINTS / path, _of_checkpoint))
        if place.is_dir()
    ]
    if not parts:
        raise BeautyError(f"there is no {target}: name a folder in data/ or checkpoints/, or a model file")
    return "\n\n".join(parts)


def _of_checkpoint(path: Path) -> str:
    model = checkpoints.find(path)
    header = checkpoints.read_header(model)
    config, progress, recipe = header["config"], header["progress"], header["condition"]
    generator = header["generator"]
    settings = ", ".join(f"{name} {value}" for name, value in recipe.items() if value is not None)
    return "\n".join(
        (
            f"checkpoint {model} ({model.stat().st_size / 1e6:.0f} MB)",
            f"  trained on   {header['photos']} photos of {header['dataset']}, at {config['size']} px",
            f"  for          {progress['seconds'] / 60:.1f} minutes on {header['trained_on']}: "
            f"{progress['images']:,} images in {progress['steps']:,} steps",
            f"  network      U-Net, preset {config['preset']}: width {generator['width']}, depth {generator['depth']}",
            f"  is shown     {settings}",
            f"  losses       adversarial + {config['feature_matching']:g} feature matching + {config['l1']:g} L1",
            f"  seed         {config['seed']}",
        )
    )


def _of_dataset(folder: Path) -> str:
    dataset = Dataset.open(folder)
    training, held_out = dataset.split()
    lines = [
        f"dataset {dataset.folder}: {len(dataset.photos)} photos "
        f"({len(training)} to train on, {len(held_out)} held out)"
    ]
    rows = manifest.read(dataset.folder)
    if rows:
        kept = [row for row in rows if row.status == "kept"]
        sides = sorted(min(row.width, row.height) for row in kept if row.width and row.height)
        lines.append(f"  from         {_counts(row.source for row in kept)}")
        lines.append(f"  licences     {_counts(row.licence or 'not stated' for row in kept)}")
        if sides:
            lines.append(f"  shorter side {sides[0]} to {sides[-1]} px, half of them {sides[len(sides) // 2]} or more")
        turned_away = [row for row in rows if row.status != "kept"]
        if turned_away:
            lines.append(f"  not kept     {_counts((row.reason or '?').split(':')[0] for row in turned_away)}")
    return "\n".join(lines)


def _counts(names: Iterable[str]) -> str:
    counted = Counter(names)
    return ", ".join(f"{count} {name}" for name, count in counted.most_common())
