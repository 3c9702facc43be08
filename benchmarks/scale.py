"""What a dataset's size costs: `python benchmarks/scale.py [--hashes N ...] [--rows N ...]`.

Near-duplicates by our index against comparing all pairs, and opening a manifest and a dataset, each in a process of
its own. Hashes are random; those of real photos are less even: a search among them compares about twice as many.
`--hashes 100000 --rows 100000` takes half a minute; all of it, with a million files, about four.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from beautynet.datasets.dedup import NearDuplicates
from beautynet.datasets.manifest import NAME, Manifest, Record, Rows

SAMPLES = 20  # fill levels at which all pairs are measured; they would take hours


def row(number: int) -> Record:
    """A row of about 650 bytes, as of Wikimedia Commons; one in four was not kept."""
    name = f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}"
    kept = number % 4 > 0
    return Record(
        file=f"{name}.jpg" if kept else None,
        url=f"https://upload.wikimedia.org/wikipedia/commons/a/ab/Dahlia_{number}_at_the_botanical_garden.jpg",
        page=f"https://commons.wikimedia.org/wiki/File:Dahlia_{number}_at_the_botanical_garden.jpg",
        source="commons",
        query="flowers",
        licence="CC BY-SA 4.0",
        licence_url="https://creativecommons.org/licenses/by-sa/4.0",
        author="Somebody Orother",
        attribution='Somebody "Or" Other, via Wikimedia Commons',
        sha256=name * 4,
        phash=name,
        width=1024,
        height=768,
        status="kept" if kept else "skipped",
        reason=None if kept else f"near-duplicate: 4 bits from {name}.jpg",
    )


def gather(hashes: list[str]) -> float:
    """Seconds to look up each photo and its mirror image, and to add it, as scrape does."""
    near = NearDuplicates()
    began = time.perf_counter()
    for phash, mirrored in zip(hashes, reversed(hashes), strict=True):
        near.nearest(phash, mirrored)
        near.add(phash, f"{phash}.jpg")
    return time.perf_counter() - began


def gather_by_all_pairs(hashes: list[str]) -> float:
    """The same by comparing with all that came before, as measured now and then on the way."""
    known = np.array([int(phash, 16) for phash in hashes], np.uint64)
    repeats = min(20, len(hashes) // SAMPLES)
    seconds = 0.0
    for before in np.linspace(0, len(hashes), SAMPLES + 1, dtype=int)[1:]:
        began = time.perf_counter()
        for phash in hashes[:repeats]:
            for _ in range(2):
                np.bitwise_count(known[:before] ^ np.uint64(int(phash, 16))).argmin()
        seconds += (time.perf_counter() - began) / repeats
    return seconds / SAMPLES * len(hashes)


def open_manifest(folder: Path) -> int:
    with Manifest(folder) as manifest:
        return len(manifest)


def fill_index(folder: Path) -> int:
    near = NearDuplicates()
    near.extend(Rows(folder).kept_files())
    near.nearest("0" * 16)
    return len(near)


def open_dataset(folder: Path) -> int:
    from beautynet.datasets.dataset import Dataset

    return len(Dataset.open(folder).photos)


OPENERS: dict[str, Callable[[Path], int]] = {
    "Manifest": open_manifest,
    "Rows, NearDuplicates": fill_index,
    "Dataset": open_dataset,
}


def measure(name: str, folder: Path) -> None:
    """In a fresh process: print how many, seconds, and MB of peak memory before and after."""
    if name == "Dataset":
        import beautynet.datasets.dataset  # noqa: F401  # torch takes its time, whatever the size
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    count = OPENERS[name](folder)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([count, seconds, before / 1024, after / 1024]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hashes", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where to put the files that are measured; by default /tmp or so")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure[0], Path(options.measure[1]))
        return
    # First, while this process is small: a child's peak begins with its parent's (Linux, vfork).
    if options.rows:
        print(f"{'rows':>9}  {'opening':22} {'found':>9} {'seconds':>8}  peak memory, MB")
    for size in options.rows:
        with tempfile.TemporaryDirectory(dir=options.folder) as place:
            with open(Path(place, NAME), "w", encoding="utf-8") as file:
                for record in map(row, range(size)):
                    file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
                    if record.file:
                        Path(place, record.file).touch()
            for name in OPENERS:
                command = [sys.executable, __file__, "--measure", name, place]
                said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                count, seconds, before, after = json.loads(said)
                print(f"{size:9,}  {name:22} {count:9,} {seconds:8.2f}  {after:.0f}, {before:.0f} of it imports")
    if options.hashes:
        print(f"\n{'hashes':>9}  {'index':>20}  {'all pairs':>20}   look up a photo and its mirror image, add it")
    for size in options.hashes:
        hashes = [f"{value:016x}" for value in np.random.default_rng(0).integers(0, 2**64, size, np.uint64)]
        ours, pairs = gather(hashes), gather_by_all_pairs(hashes)
        columns = "  ".join(f"{s / size * 1e6:7.1f} µs {s:8.2f} s" for s in (ours, pairs))
        print(f"{size:9,}  {columns}   {pairs / ours:.1f} times as quick")


if __name__ == "__main__":
    main()
