import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from web import SHARED, encoded, pictures

from beautynet.decode import decode
from beautynet.dedup import NEAR, NearDuplicates, phash, sha256


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
        assert near.nearest(phash(picture)) is None
        near.add(phash(picture), f"{index}")
    for index, picture in enumerate(pictures()):
        for name, copy in copies(picture).items():
            found = near.nearest(phash(copy))
            assert found is not None, name
            assert found[0] == f"{index}", name


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not here")
def test_real_photos_are_told_apart_and_their_copies_found() -> None:
    photos = [decode(path) for path in sorted((SHARED / "junk").glob("*.jpg"))]
    hashes = [phash(photo) for photo in photos]
    assert min(distance(a, b) for a, b in itertools.combinations(hashes, 2)) > NEAR
    for photo, own in zip(photos[::5], hashes[::5], strict=True):
        far = {name for name, copy in copies(photo).items() if distance(phash(copy), own) > NEAR}
        assert far <= {"trimmed"}


def test_nearest_among_many_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(0)
    hashes = [f"{value:016x}" for value in random.integers(0, 2**64, 3000, np.uint64)]
    near = NearDuplicates(distance=20)
    for index, value in enumerate(hashes):
        near.add(value, str(index))
    for value in (f"{v:016x}" for v in random.integers(0, 2**64, 50, np.uint64)):
        best = min(range(len(hashes)), key=lambda index: distance(value, hashes[index]))
        expected = distance(value, hashes[best])
        assert near.nearest(value) == ((str(best), expected) if expected <= 20 else None)


def test_hashes_are_of_fixed_form() -> None:
    assert sha256(b"abc").startswith("ba7816bf")
    for picture in (pictures()[0], Image.new("RGB", (300, 300)), Image.new("RGB", (1, 1))):
        assert len(phash(picture)) == 16
        int(phash(picture), 16)
