"""Pictures as the network sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from beautynet.console import progress
from beautynet.decode import Unreadable, decode
from beautynet.errors import BeautyError, UsageError
from beautynet.files import PICTURES, Paths, dreams_of, listed, named, write_picture
from beautynet.film.layout import compose, composed_size

Dreamer = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class ImageResult:
    """What became of a picture: where its dream is, or else the reason why there is none."""

    source: Path
    out: Path | None
    reason: str | None = None


def image(
    paths: Paths,
    out: str | Path | None = None,
    layout: str = "only",
    size: int | None = None,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    abstraction: float | None = None,
    colors: Paths = (),
    *,
    translator: Dreamer | None = None,
) -> list[ImageResult]:
    """Dream a picture or several, and all in folders; a result for each, in order, also for those that cannot be read.

    `out` is a picture's name (for one input) or a folder; None puts `photo.beauty.jpg` beside `photo.jpg`. JPEG
    stays JPEG, all else becomes PNG; originals are never overwritten, nor one result by another. A loaded
    `translator` replaces what follows `layout`. BeautyError if nothing could be read.
    """
    composed_size((1, 1), layout)
    asked = listed(paths)
    sources = named(asked, None)  # what they are says their content
    if not sources:
        raise BeautyError(f"no pictures in {', '.join(map(str, asked)) or 'nothing'}: name pictures or folders of them")
    alone = [source for source, _ in sources] == asked and len(asked) == 1
    targets = _targets(sources, None if out is None else Path(out), alone)
    results = []
    with progress("pictures") as bar:
        for (source, _), target in zip(bar.track(sources, description="dreaming"), targets, strict=True):
            try:
                original = decode(source)
            except Unreadable as error:
                results.append(ImageResult(source, None, str(error)))
                continue
            if translator is None:
                from beautynet.translator import Translator

                translator = Translator.load(
                    checkpoint, device=device, size=size, abstraction=abstraction, colors=colors
                )
            both = compose(np.asarray(original), np.asarray(translator(original)), layout)
            write_picture(target, both, **PICTURES[target.suffix.lower()])
            results.append(ImageResult(source, target))
    if not any(result.out for result in results):
        more = f", nor any of the other {len(results) - 1}" if len(results) > 1 else ""
        raise BeautyError(f"cannot read {results[0].source} ({results[0].reason}){more}: choose other pictures")
    return results


def _targets(sources: list[tuple[Path, Path]], out: Path | None, alone: bool) -> list[Path]:
    """Where each dream goes. `alone` says that the only source was named itself, so that `out` may be a file."""
    if out is not None and alone and out.suffix and not out.is_dir():
        source = sources[0][0]
        if out.suffix.lower() not in PICTURES:
            raise UsageError(f"cannot write a picture named {out.name}: end it in {', '.join(PICTURES)}")
        if out.exists() and source.exists() and out.samefile(source):
            raise BeautyError(f"{out} is the picture itself: choose another name for the dream")
        return [out]
    if out is not None and not out.is_dir() and (out.exists() or out.suffix.lower() in PICTURES):
        raise BeautyError(f"{out} is a file, but several dreams need a folder: choose another name")
    return list(dreams_of(sources, out, lambda p: p.suffix if p.suffix.lower() in (".jpg", ".jpeg") else ".png"))
