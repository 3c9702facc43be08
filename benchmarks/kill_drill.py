"""A crawl of 2,000 photos, killed with SIGKILL at 20 random moments and gone on with: nothing lost, nothing twice.

    python benchmarks/kill_drill.py [--photos 2000] [--kills 20] [--seed 0]

A server on this machine has that many different photos, some of them a second time under another address, and some
addresses with nothing behind them. After the last run: every address has one row that holds, every photo is there
once, whole, as its row says, and nothing else is in the folder. Exits with 1 where that is not so.
"""

from __future__ import annotations

import argparse
import functools
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from local_server import serving, unlike

from beautynet.datasets import manifest
from beautynet.datasets.dedup import sha256

COPIES, MISSING = 50, 50


def body(photos: int, number: int) -> bytes:
    """What is behind each address: the photos, copies of some, nothing."""
    return unlike(number % photos) if number < photos + COPIES else b""


def faults(folder: Path, urls: list[str], photos: int) -> list[str]:
    """What is wrong with the dataset, in words."""
    rows = list(manifest.latest(folder))
    kept = [row for row in rows if row.status == "kept"]
    files = sorted(row.file or "" for row in kept)
    ours = {manifest.NAME, manifest.ATTRIBUTION}
    checks = {
        "addresses without a row": set(urls) - {row.url for row in rows},
        "rows that hold, twice for one address": [url for url, n in Counter(row.url for row in rows).items() if n > 1],
        "photos lost": photos - len({row.sha256 for row in kept}),
        "photos twice": len(kept) - len({row.sha256 for row in kept}),
        "files and rows differ": {path.name for path in folder.iterdir()} ^ (set(files) | ours),
        "files unlike their rows": [r.file for r in kept if sha256((folder / str(r.file)).read_bytes()) != r.sha256],
    }
    return [f"{what}: {found}" for what, found in checks.items() if found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    served = serving(functools.partial(body, given.photos), latency=0.08)
    with served as (address, asked), tempfile.TemporaryDirectory() as place:
        urls = [f"{address}/{number}" for number in range(given.photos + COPIES + MISSING)]
        rng.shuffle(urls)
        folder, addresses = Path(place, "set"), Path(place, "urls.txt")
        addresses.write_text("\n".join(urls))
        command = [sys.executable, "-m", "beautynet.cli", "scrape", "--from", str(addresses), "-o", str(folder)]
        command += ["--max", str(2 * given.photos), "--allow-private"]
        kills = 0
        while kills < given.kills:
            before = asked().total()
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while child.poll() is None and asked().total() == before:  # however long a busy machine takes to start it
                time.sleep(0.02)
            try:
                child.wait(rng.uniform(0.0, 1.2))
                sys.exit(f"the crawl ended after {kills} kills, with {child.returncode}: give it more --photos")
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            kills += 1
            rows = manifest.read(folder)
            print(f"kill {kills:2}: {len(rows):5} rows, {sum(row.status == 'kept' for row in rows):5} kept", flush=True)
        start = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        print(f"\nthen to the end in {time.monotonic() - start:.1f} s: {done.stdout.strip()}{done.stderr}")
        found = faults(folder, urls, given.photos)
        requests = asked()
        again = requests.total() - len(requests)
        print(
            f"{requests.total()} requests, {again} of them again ({again / max(kills, 1):.1f} a kill: in flight then)"
        )
        print("\n".join(found) or "nothing lost, nothing twice, manifest and folder agree")
        sys.exit(bool(found))


if __name__ == "__main__":
    main()
