"""Gathering against a bare downloader: photos a second from a server on this machine, in one run.

    python benchmarks/gather.py PHOTOS [--rounds 5] [--connections 8] [--latency 0.05]

The bare ones fetch with as many threads, over connections that stay open, and write what comes to disk: no decoding, no
hashing, no manifest, nothing checked. They use requests, as most would, and urllib3, which costs less. Rounds take
turns; rates and ratios are medians over them. `--latency` makes the server wait before each answer, as the web does.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
import urllib3
from local_server import serving

from beautynet.sources.fetch import Limits
from beautynet.verbs.scrape import scrape


def bare_requests(urls: list[str], folder: Path, connections: int) -> None:
    """As most would write it: a session a thread."""
    local = threading.local()

    def fetch(numbered: tuple[int, str]) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        (folder / f"{numbered[0]}.jpg").write_bytes(local.session.get(numbered[1]).content)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(fetch, enumerate(urls)))


def bare_urllib3(urls: list[str], folder: Path, connections: int) -> None:
    """The leanest that Python's usual libraries offer."""
    pool_manager = urllib3.PoolManager(maxsize=connections)

    def fetch(numbered: tuple[int, str]) -> None:
        (folder / f"{numbered[0]}.jpg").write_bytes(pool_manager.request("GET", numbered[1]).data)

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(fetch, enumerate(urls)))


def ours(urls: list[str], folder: Path, connections: int) -> None:
    """The whole of it, from a list of addresses to a dataset."""
    addresses = folder / "urls.txt"
    addresses.write_text("\n".join(urls))
    limits = Limits(connections=connections, per_host=connections, private_addresses=True)
    summary = scrape(origin=addresses, max=len(urls), out=folder / "set", min_size=1, limits=limits)
    assert summary.failed == 0, summary.sentence()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of JPEGs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    given = parser.parse_args()
    photos = [path.read_bytes() for path in sorted(given.photos.rglob("*.jpg"))]
    ways: dict[str, Callable[[list[str], Path, int], None]] = {
        "bare, requests": bare_requests,
        "bare, urllib3": bare_urllib3,
        "beautynet": ours,
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    served = serving(photos.__getitem__, given.latency)
    # One folder for all rounds: deleting is work for the disk that would disturb the next round.
    with served as (address, _), tempfile.TemporaryDirectory() as place:
        urls = [f"{address}/{number}.jpg" for number in range(len(photos))]
        for number in range(given.rounds):
            for name, way in ways.items():
                folder = Path(place, f"{name} {number}")
                folder.mkdir()
                start = time.perf_counter()
                way(urls, folder, given.connections)
                rates[name].append(len(urls) / (time.perf_counter() - start))
    size = sum(map(len, photos)) / len(photos) / 1000
    print(f"{platform.machine()}, {os.cpu_count()} cores; {len(photos)} photos of {size:.0f} kB,")
    print(f"{given.connections} connections, {given.latency * 1000:g} ms latency, median of {given.rounds} rounds\n")
    for name, values in rates.items():
        ratio = statistics.median(our / its for our, its in zip(rates["beautynet"], values, strict=True))
        print(f"{name:15} {statistics.median(values):7.0f} photos/s   beautynet reaches {ratio:5.0%} of it")


if __name__ == "__main__":
    main()
