"""How many cuts are found, and how many are no cuts: `python benchmarks/cuts.py FILMS PHOTOS`.

Cuts are frames of two films, and two photos, one after the other; no cuts are neighbours in a film, also where only
every second or fifth frame is left of it. All of it in its own light, and darker.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import combinations, islice
from pathlib import Path
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from beautynet.decode import decode
from beautynet.errors import BeautyError
from beautynet.film.frames import Cuts
from beautynet.film.media import Film

Picture = NDArray[np.uint8]
SIZE = (960, 540)
PHOTOS = 400
SPACES = (1, 2, 5)


def frames(film: Path) -> list[Picture]:
    with Film(film) as opened:
        return [frame.picture for frame in opened]


def photos(folder: Path) -> Iterator[Picture]:
    files = sorted(folder.rglob("*.jpg"))
    Random(0).shuffle(files)
    for file in files:
        try:
            yield cv2.resize(np.asarray(decode(file)), SIZE)
        except BeautyError:
            continue


def found(one: Picture, other: Picture, light: float) -> bool:
    """Whether there is a cut from one to the other."""
    is_cut = Cuts()
    return [is_cut((picture * light).astype(np.uint8)) for picture in (one, other)][1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path)
    parser.add_argument("photos", type=Path)
    given = parser.parse_args()
    films = [frames(film) for film in sorted(given.films.iterdir())]
    three = [[cv2.resize(film[i], SIZE) for i in (0, len(film) // 2, -1)] for film in films]
    cuts = [(one, other) for a, b in combinations(three, 2) for one in a for other in b]
    still = [*islice(photos(given.photos), PHOTOS)]
    cuts += zip(still[::2], still[1::2], strict=False)
    for light in (1, 0.5, 0.25):
        share = sum(found(*pair, light) for pair in cuts) / len(cuts)
        print(f"light {light:g}: {share:.1%} of {len(cuts)} cuts found", end="")
        for space in SPACES:
            pairs = [(one, other) for film in films for one, other in zip(film, film[space:], strict=False)]
            print(f"; {sum(found(*pair, light) for pair in pairs)} of {len(pairs)} others, {space} apart", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
