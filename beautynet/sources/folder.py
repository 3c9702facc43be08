"""Photos from a folder on this machine, subfolders included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from beautynet.datasets import manifest
from beautynet.errors import BeautyError
from beautynet.files import MADE, is_hidden
from beautynet.sources.search import Candidate, Search


def folder(search: Search) -> Iterator[Candidate]:
    """Every file under `origin`, in the order of names, whatever its name: content decides later.

    Hidden files, dreams and what goes with a dataset are left out, and no link to a folder is followed.
    """
    origin = search.origin
    if origin is None or not origin.is_dir():
        raise BeautyError("the source `folder` imports from a folder: name it with --from")
    for place, subfolders, names in os.walk(origin.resolve(), onerror=_refuse):
        subfolders[:] = sorted(name for name in subfolders if not is_hidden(name))
        for name in sorted(names):
            path = Path(place, name)
            ours = name in manifest.OURS or name.endswith(manifest.TRIED) or MADE in path.suffixes
            if not ours and not is_hidden(name):
                yield Candidate(url=path.as_uri(), source="folder", query=search.query, path=path)


def _refuse(error: OSError) -> None:
    raise BeautyError(f"cannot look into {error.filename}: {error.strerror}")
