import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from web import SHARED, encoded, pictures

from beautynet.datasets import dedup
from beautynet.datasets.dedup import NEAR, NearDuplicates, hashes, sha256
from beautynet.decode import decode


def distance(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def copies(picture: Image.Image) -> dict[str, Image.Image]:
    """The same photo as other sites show it."""
    width, height = picture.size
    return {
        "coarse": decode(encoded(picture, quality=30)),
        "webp": decode(encoded(picture, "WEBP", quality=50)),
        "half": picture.resize((width // 2, height // 2)),
        "third": picture.resize((width // 3, height // 3), Image.Resampling.BILINEAR),
        "stretched": picture.resize((width * 2, height * 2 + 3)),
        "grey": picture.convert("L").convert("RGB"),
        "contrast": ImageEnhance.Contrast(picture).enhance(0.9),
        "trimmed": picture.crop((width // 100, height // 100, width - width // 100, height - height // 100)),
    }


def test_copies_are_near_and_other_photos_are_far() -> None:
    near = NearDuplicates()
    for index, picture in enumerate(pictures()):
        assert near.nearest(hashes(picture)[0]) is None
        near.add(hashes(picture)[0], f"{index}")
    for index, picture in enumerate(pictures()):
        for name, copy in copies(picture).items():
            found = near.nearest(hashes(copy)[0])
            assert found is not None, name
            assert found[0] == f"{index}", name


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not here")
def test_real_photos_are_told_apart_and_their_copies_found() -> None:
    photos = [decode(path) for path in sorted((SHARED / "junk").glob("*.jpg"))]
    known = [hashes(photo) for photo in photos]
    assert min(distance(a[0], b) for a, both in itertools.permutations(known, 2) for b in both) > NEAR
    for photo, (own, _) in zip(photos[::5], known[::5], strict=True):
        far = {name for name, copy in copies(photo).items() if distance(hashes(copy)[0], own) > NEAR}
        assert far <= {"trimmed"}


def nearest_of_all(wanted: list[str], hashes: list[str], most: int) -> tuple[str, int] | None:
    """By comparing all pairs; of equals the first."""
    bits, index = min(((distance(w, other), i) for i, other in enumerate(hashes) for w in wanted), default=(65, 0))
    return (f"{index}", bits) if bits <= most else None


def flipped(value: int, random: np.random.Generator, most: int) -> int:
    for bit in random.choice(64, random.integers(0, most + 1), replace=False):
        value ^= 1 << int(bit)
    return value


@pytest.mark.parametrize("most", [0, NEAR, 7, 8, 20])
@pytest.mark.parametrize("kind", ["any", "in threes", "crowded", "one quarter", "all alike"])
def test_the_index_answers_as_comparing_all_does(kind: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "_UNSORTED", 300)
    random = np.random.default_rng(most)
    centres = [int(value) for value in random.integers(0, 2**64, 1000, np.uint64)]
    match kind:
        case "in threes":
            centres = [centres[i % 333] for i in range(1000)]
        case "crowded":
            centres = [centres[i % 5] for i in range(1000)]
        case "one quarter":
            centres = [value & ~0xFFFF0000 for value in centres]
        case "all alike":
            centres = centres[:1] * 1000
    flips = {"any": 0, "in threes": 1, "crowded": most + 2, "one quarter": 0, "all alike": 0}[kind]
    hashes = [f"{flipped(value, random, flips):016x}" for value in centres]
    near = NearDuplicates(distance=most)
    assert near.nearest(hashes[0]) is None
    near.extend((f"{index}", hash) for index, hash in enumerate(hashes[:500]))
    for index in range(500, 1000):
        if index % 10 == 0:
            # One that was sorted in long ago, one of the latest, one that comes later.
            some = [centres[i] for i in (random.integers(0, 300), index - random.integers(1, 10), index)]
            wanted = [f"{flipped(value, random, flips):016x}" for value in some for flips in (0, most + 2)]
            for asked in (wanted, wanted[1:3], *([one] for one in wanted)):
                assert near.nearest(*asked) == nearest_of_all(asked, hashes[:index], most)
        near.add(hashes[index], f"{index}")
    assert len(near) == 1000


def test_names_come_back() -> None:
    near = NearDuplicates()
    names = ["00000000000000ff.jpg", "ffffffffffffffff.jpg", "00000000000000FF.jpg", "ff.jpg", "café/0.png"]
    near.extend((name, f"{255 << (8 * i):016x}") for i, name in enumerate(names))
    near.extend([("without a hash", None)])
    assert [near.nearest(f"{255 << (8 * i):016x}") for i in range(6)] == [*((name, 0) for name in names), None]


def test_mirror_images_are_found() -> None:
    for picture in (*pictures(), Image.new("RGB", (300, 200))):
        own, mirrored = hashes(picture)
        again = hashes(ImageOps.mirror(picture))
        assert own == hashes(picture)[0]
        assert distance(own, again[1]) <= 2
        assert distance(mirrored, again[0]) <= 2


def test_hashes_are_of_fixed_form() -> None:
    assert sha256(b"abc").startswith("ba7816bf")
    for picture in (pictures()[0], Image.new("RGB", (300, 300)), Image.new("RGB", (1, 1))):
        assert len(hashes(picture)[0]) == 16
        int(hashes(picture)[0], 16)
