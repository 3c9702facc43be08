"""The page of a report: one HTML file with its pictures inside, that asks nobody for anything."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from beautynet.decode import as_jpeg
from beautynet.web.templates import data_url, filled


@dataclass
class Show:
    """Pictures for the page: titles above columns, and rows of (caption, one uint8 (H, W, 3) picture a column)."""

    title: str
    text: str
    columns: Sequence[str]
    rows: list[tuple[str, list[np.ndarray]]] = field(default_factory=list)


def page(title: str, lead: str, key: str, body: str, foot: str) -> str:
    """The whole page. `title` and `lead` are plain text; `key`, which says how to read it, `body` and `foot` HTML."""
    return filled("report", title=html.escape(title), lead=html.escape(lead), key=key, body=body, foot=foot)


def section(show: Show) -> str:
    """Pictures with their captions."""
    heads = " | ".join(show.columns)
    rows = (
        f"<figure><div>{''.join(map(picture, pictures, show.columns or [caption]))}</div>"
        f"<figcaption dir=auto>{html.escape(caption)}</figcaption></figure>"
        for caption, pictures in show.rows
    )
    return (
        f"<section><h2>{html.escape(show.title)}</h2><p>{html.escape(show.text)}</p>"
        f"<p class=heads>{html.escape(heads)}</p><div class=rows>{''.join(rows)}</div></section>"
    )


def picture(pixels: np.ndarray, says: str) -> str:
    """An uint8 (H, W, 3) picture, and what is said of it to those who do not see it."""
    height, width = pixels.shape[:2]
    data = data_url(as_jpeg(Image.fromarray(pixels), quality=90), "image/jpeg")
    return f'<img src="{data}" width={width} height={height} alt="{html.escape(says)}">'


def table(title: str, columns: Sequence[str], rows: Iterable[str]) -> str:
    """A chapter that is a table: plain text above its columns, HTML rows whose first cells have nothing above them."""
    heads = "".join(f"<th scope=col dir=auto>{html.escape(column)}</th>" for column in columns)
    return (
        f"<section><h2>{html.escape(title)}</h2><table style='--n:{len(columns)}'>"
        f"<thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></section>"
    )
