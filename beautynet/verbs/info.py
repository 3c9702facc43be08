"""What a checkpoint or dataset is, in a few lines for people."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from beautynet import checkpoint as checkpoints
from beautynet.datasets import manifest
from beautynet.datasets.dataset import Dataset
from beautynet.datasets.manifest import DATA
from beautynet.errors import BeautyError
from beautynet.training import health

MOST_COMMON = 8
"""Sources, licences or reasons that are named; the others are counted together."""


def info(target: str | Path) -> str:
    """Describe a dataset (a folder or a name in `data/`), a checkpoint or a classifier (the same in `checkpoints/`)."""
    path = Path(target)
    if path.is_file() or any((path / kind.file).exists() for kind in checkpoints.KINDS):
        return _of_model(path)
    if path.is_dir() and not _is_run(path):
        return _of_dataset(path)
    parts = []
    if (DATA / path).is_dir() and not _is_run(DATA / path):  # which is `path` itself where that is absolute
        parts.append(_of_dataset(path))
    if any((checkpoints.CHECKPOINTS / path / kind.file).exists() for kind in checkpoints.KINDS):
        parts.append(_of_model(path))
    if not parts and any(_is_run(place) for place in (path, checkpoints.CHECKPOINTS / path)):
        raise BeautyError(f"the run {target} has saved nothing yet: ask again in a minute")
    if not parts:
        raise BeautyError(f"there is no {target}: name a folder in data/ or checkpoints/, or a model file")
    return "\n\n".join(parts)


def _is_run(folder: Path) -> bool:
    """Whether it is that of a run, perhaps of one that has just begun."""
    return any((folder / name).exists() for name in (checkpoints.LOCK, checkpoints.LOG))


def _of_model(path: Path) -> str:
    model, kind = checkpoints.find_any(path)
    header = checkpoints.read_header(model, kind)
    checkpoints.read_weights(model, kind)  # some MB, for its checksum: what is damaged is not what it says it is
    with checkpoints.rebuilding(model):
        return (_of_classifier if kind is checkpoints.CLASSIFIER else _of_checkpoint)(model, header)


def _of_classifier(model: Path, header: dict[str, Any]) -> str:
    lines = [
        f"classifier {model} ({model.stat().st_size / 1e6:.1f} MB)",
        f"  labels       {_most_common(Counter(header['trained_on']))}",
        f"  looks with   {header['backbone']}" + (", fine-tuned" if header.get("head", {}).get("tuned") else ""),
    ]
    for place, title in (("cross_validated", "cross-validated"), ("test", "tested")):
        if scores := header["scores"].get(place):
            lines.append(f"  {title:16} {scores['accuracy']:.1%} right of {scores['pictures']}")
    return "\n".join(lines)


def _of_checkpoint(model: Path, header: dict[str, Any]) -> str:
    config, progress, recipe = header["config"], header["progress"], dict(header["condition"])
    if lenders := recipe.pop("lenders", ()):
        recipe["colours of"] = f"{len(lenders)} photos"
    generator = header["generator"]
    settings = ", ".join(f"{name} {value}" for name, value in recipe.items() if value is not None)
    log = checkpoints.read_log(model.parent)
    return "\n".join(
        (
            f"checkpoint {model} ({model.stat().st_size / 1e6:.0f} MB)",
            f"  trained on   {header['photos']} photos of {header['dataset']}, at {config['size']} px",
            f"  for          {progress['seconds'] / 60:.1f} minutes on {header['trained_on']}: "
            f"{progress['images']:,} images in {progress['steps']:,} steps",
            f"  network      U-Net, preset {config['preset']}: width {generator['width']}, depth {generator['depth']}",
            f"  is shown     {settings}",
            f"  losses       adversarial + {config['perceptual']:g} perceptual + {config.get('texture', 0):g} texture"
            f" + {config.get('scenes') or 0:g} scenes + {config['l1']:g} L1",
            f"  seed         {config['seed']}",
            *([f"  health       {health.state(log)}"] if log else []),
        )
    )


def _of_dataset(folder: Path) -> str:
    dataset = Dataset.open(folder)
    training, held_out = dataset.split()
    lines = [
        f"dataset {dataset.folder}: {len(dataset.photos):,} photos "
        f"({len(training):,} to train on, {len(held_out):,} held out)"
    ]
    statuses, sources, licences, reasons = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    sides = Counter[int]()
    values = manifest.Rows(dataset.folder).values("source", "licence", "width", "height", "status", "reason")
    for source, licence, width, height, status, reason in values:
        statuses[status] += 1
        if status == "kept":
            sources[source] += 1
            licences[licence or "none stated"] += 1
            if width and height:
                sides[min(width, height)] += 1
        else:
            reasons[(reason or "no reason").partition(":")[0]] += 1
    titled = {"candidates": statuses, "from": sources, "licences": licences, "not kept": reasons}
    for title, counts in titled.items():
        if counts:
            lines.append(f"  {title:12} {_most_common(counts)}")
    if sides:
        ranked = sorted(sides.elements())
        lines.append(f"  shorter side {ranked[0]} to {ranked[-1]} px, half of them {ranked[len(ranked) // 2]} or more")
    return "\n".join(lines)


def _most_common(counts: Counter[str]) -> str:
    most = counts.most_common(MOST_COMMON)
    named = [f"{count:,} {name}" for name, count in most]
    others = counts.total() - sum(count for _, count in most)
    return ", ".join([*named, f"{others:,} others"] if others else named)
