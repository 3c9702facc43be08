"""The memory of a crawl of 1,000, 10,000 and 100,000 different photos, each `beautynet scrape` in its own process.

    python benchmarks/memory.py [--most 100000]

The photos come from a server on this machine and are all unlike each other, so that all are kept.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
import time
from pathlib import Path

from local_server import serving, unlike

SIDE = 64  # px: small photos are quickly made, and what is remembered of each is the same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=100_000)
    given = parser.parse_args()
    body = functools.partial(unlike.__wrapped__, side=SIDE)
    print("photos      peak memory   photos/s")
    with serving(body) as (address, _), tempfile.TemporaryDirectory() as place:
        for count in (1_000, 10_000, 100_000):
            if count > given.most:
                break
            addresses = Path(place, f"{count}.txt")
            addresses.write_text("\n".join(f"{address}/{number}.jpg" for number in range(count)))
            command = [sys.executable, "-m", "beautynet.cli", "scrape", "--from", str(addresses), "--min-size", "1"]
            command += ["--max", str(count), "-o", str(Path(place, str(count))), "--allow-private"]
            start = time.monotonic()
            child = os.posix_spawn(sys.executable, command, os.environ)
            _, status, usage = os.wait4(child, 0)
            if status not in (0, 3 << 8):  # 3: a few are near-duplicates by chance
                sys.exit("the crawl failed")
            print(
                f"{count:>7,} {usage.ru_maxrss / 1024:11.1f} MB {count / (time.monotonic() - start):10.0f}", flush=True
            )


if __name__ == "__main__":
    main()
