"""How many junk photos have to be clicked out of a crawl until the rest of them are found.

    python benchmarks/curate.py SHARED [--seeds 5]

A crawl of SHARED/flowers with 60 photos of SHARED/junk in it, of which none is marked; so many others of junk are
clicked out. What `beautynet curate` then says of the crawl's own photos, and its judge of junk that it never saw.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from beautynet import backbones
from beautynet.classifying import judge
from beautynet.decode import pictures_in

HIDDEN = 60
CLICKS = (5, 10, 20, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    network = backbones.load()
    flowers, junk = (
        {path.name: found for path, found in judge.features_of(pictures_in(given.shared / name), network, name)}
        for name in ("flowers", "junk")
    )
    names = list(junk)
    print(f"{len(flowers)} flowers, {HIDDEN} of {len(junk)} junk photos among them; {given.seeds} seeds, mean (worst)")
    print("clicked out   junk found   flowers lost   new junk let in")
    with tempfile.TemporaryDirectory() as place:
        for clicks in CLICKS:
            found, lost, let_in = [], [], []
            for seed in range(given.seeds):
                order = np.random.default_rng(seed).permutation(len(names))
                hidden, out, new = np.split(order, (HIDDEN, HIDDEN + clicks))
                crawl = flowers | {names[i]: junk[names[i]] for i in hidden}
                clicked = {names[i]: junk[names[i]] for i in out}
                made = judge.trained(crawl, clicked, network, Path(place, "judge.safetensors"), mixed=True)
                found.append(np.mean([made.unseen[names[i]] < 0.5 for i in hidden]))
                lost.append(np.mean([made.unseen[name] < 0.5 for name in flowers]))
                let_in.append((made.judge.shares(np.stack([junk[names[i]] for i in new])) >= 0.5).mean())
            cells = ((found, min), (lost, max), (let_in, max))
            print(
                f"{clicks:11}" + "".join(f"{np.mean(each):9.0%} ({worst(each):.0%})" for each, worst in cells),
                flush=True,
            )


if __name__ == "__main__":
    main()
