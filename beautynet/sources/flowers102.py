"""Oxford 102 Flowers: 8,189 photos of 102 species common in Britain, for research; one download of 345 MB.

M-E. Nilsback and A. Zisserman, "Automated flower classification over a large number of classes", 2008;
https://www.robots.ox.ac.uk/~vgg/data/flowers/102/. The md5 is the one that torchvision's Flowers102 checks.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from beautynet import files
from beautynet.console import console
from beautynet.errors import BeautyError
from beautynet.sources.search import Candidate, Search

PAGE = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
ARCHIVE = "102flowers.tgz"
MD5 = "52808999861908f626f3c1f4e79d11fa"
MOST_BYTES = 400_000_000
_NAME = re.compile(r"jpg/(image_\d{5}\.jpg)")
_ATTRIBUTION = f"Nilsback and Zisserman, 102 Category Flower Dataset, Visual Geometry Group, Oxford, 2008, {PAGE}"


def flowers102(search: Search, *, base_url: str = PAGE.rstrip("/"), md5: str = MD5) -> Iterator[Candidate]:
    """All photos of the set, whatever the query says: it is flowers. Mixed, as the set itself goes by species.

    They stay in the cache (`$XDG_CACHE_HOME/beautynet`), so a second run downloads nothing. No licence is stated.
    """
    folder = files.cache() / "flowers102"
    if not folder.is_dir():
        _get(search, f"{base_url}/{ARCHIVE}", md5, folder)
    photos = sorted(folder.iterdir())
    random.Random(0).shuffle(photos)
    for photo in photos:
        yield Candidate(
            url=f"{PAGE}{ARCHIVE}#jpg/{photo.name}",
            source="flowers102",
            query=search.query,
            path=photo,
            page=PAGE,
            attribution=_ATTRIBUTION,
        )


def _get(search: Search, url: str, md5: str, folder: Path) -> None:
    """Download the set and unpack it into `folder`, which is there when all of it is."""
    archive = folder.with_name(ARCHIVE)
    if not archive.exists():
        console.print("flowers102: downloading 345 MB, this once")
        search.web.download(url, archive, MOST_BYTES, _told())
    unpacking = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        with open(archive, "rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()  # against accidents: it is what torchvision knows
        if found != md5:
            archive.unlink()
            raise BeautyError(f"{url} is not the set that is known (md5 {found}): try again, or leave this source out")
        unpacking.mkdir(exist_ok=True)
        _unpack(archive, unpacking, search.web.limits.max_bytes)
        unpacking.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # which another run made meanwhile
            raise BeautyError(files.explained(error, folder) or f"cannot unpack {archive}: {error}") from error
    finally:
        shutil.rmtree(unpacking, ignore_errors=True)
    archive.unlink(missing_ok=True)


def _told() -> Callable[[int, int | None], None]:
    """Says how far a download is, at each tenth of it: the bar on the screen belongs to the photos."""
    began = time.monotonic()
    said = 0

    def note(size: int, promised: int | None) -> None:
        nonlocal said
        if promised and size * 10 // promised > said:
            said = size * 10 // promised
            rate = size / max(time.monotonic() - began, 1e-3)
            left = f"{(promised - size) / rate:.0f} s left"
            console.print(f"flowers102: {size / 1e6:.0f} of {promised / 1e6:.0f} MB, {rate / 1e6:.1f} MB/s, {left}")

    return note


def _unpack(archive: Path, folder: Path, max_bytes: int) -> None:
    """The photos of the archive, as files in `folder`. Nothing else in it is looked at, and no path of its own used."""
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                name = _NAME.fullmatch(member.name)
                if name and member.isreg() and member.size <= max_bytes and (content := tar.extractfile(member)):
                    (folder / name[1]).write_bytes(content.read())
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise BeautyError(f"{archive} is broken ({type(error).__name__}): remove it and try again") from error
