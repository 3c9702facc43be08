"""What a person takes out of a dataset and puts back: a row in the manifest, then the photo moves."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from beautynet import files
from beautynet.datasets.manifest import REJECTED, Manifest, Record, Status

REASON = "clicked out"


def photos(rows: Iterable[Record]) -> dict[str, Record]:
    """The photos that were ever kept, by name: of each the row that holds, "kept" or "rejected".

    Names that are not plain ones (`../x`, `.x`) are left out: a manifest that came with somebody's dataset must not
    move or show files elsewhere.
    """
    return {row.file: row for row in rows if row.file and row.status in ("kept", "rejected") and _is_plain(row.file)}


def reject(manifest: Manifest, chosen: Iterable[Record]) -> None:
    """Take photos out: they move to `REJECTED` in the dataset, and their URLs are not gathered again."""
    _mark(manifest, chosen, "rejected", REASON)


def restore(manifest: Manifest, chosen: Iterable[Record]) -> None:
    """Put photos back that were taken out."""
    _mark(manifest, chosen, "kept", None)


def judge(manifest: Manifest, chosen: Iterable[Record], shares: Iterable[float]) -> None:
    """Note with which probabilities photos are wanted; what was taken out meanwhile stays out."""
    for record, share in zip(chosen, shares, strict=True):
        row = _newest(manifest, record)
        if row and row.status == "kept" and row.verdict != verdict(share):
            manifest.append(replace(row, verdict=verdict(share)))


def verdict(share: float) -> str:
    """What a manifest says of a photo that is wanted with this probability: `in 0.973`, `out 0.120`."""
    return f"{'in' if share >= 0.5 else 'out'} {share:.3f}"


def is_out(verdict: object) -> bool:
    """Whether a photo is not to be trained on, by its verdict; None is not judged."""
    return isinstance(verdict, str) and verdict.startswith("out ")  # a manifest from elsewhere may say anything


def doubt(verdict: object) -> float:
    """From 0, certain or not judged, to 0.5, on the border."""
    found = re.fullmatch(r"(?:in|out) ([01]\.\d{3})", verdict) if isinstance(verdict, str) else None
    return 0.5 - abs(min(float(found[1]), 1.0) - 0.5) if found else 0.0


def reconcile(manifest: Manifest) -> None:
    """Move photos to where their rows say that they are: a kill may have come between the two."""
    if not manifest.counts()["rejected"] and not (manifest.folder / REJECTED).is_dir():
        return
    inside, outside = _names(manifest.folder), _names(manifest.folder / REJECTED)
    for file, row in photos(manifest.latest()).items():
        if (file in inside) if row.status == "rejected" else (file in outside and file not in inside):
            _move(manifest.folder, row)


def _mark(manifest: Manifest, chosen: Iterable[Record], status: Status, reason: str | None) -> None:
    for record in chosen:
        row = _newest(manifest, record)
        if row is None or row.status not in ("kept", "rejected"):
            continue
        if row.status != status:
            row = replace(row, status=status, reason=reason)
            manifest.append(row)  # first: what a kill leaves undone can then be seen, by reconcile
        _move(manifest.folder, row)


def _newest(manifest: Manifest, record: Record) -> Record | None:
    """The row of a photo as it is now, which may have changed since it was read; None if it is of another photo."""
    row = (record.url and manifest.by_url(record.url)) or record
    return row if row.file == record.file else None


def _move(folder: Path, row: Record) -> None:
    """Move the photo to where its row says; nothing happens where it is there, or was deleted by hand."""
    assert row.file is not None
    ends = (folder / row.file, folder / REJECTED / row.file)
    source, target = ends if row.status == "rejected" else ends[::-1]
    with files.explaining(target), suppress(FileNotFoundError):
        target.parent.mkdir(exist_ok=True)
        files.replace(source, target)


def _names(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.is_dir() else set()


def _is_plain(name: str) -> bool:
    return not name.startswith(".") and not set(name) & set("/\\:\0")
