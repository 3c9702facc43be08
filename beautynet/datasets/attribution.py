"""`ATTRIBUTION.md` in a dataset: whose photos these are, for people, and for printing beside a film made of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from beautynet import files
from beautynet.datasets.manifest import ATTRIBUTION, Record

_HEAD = """\
# Where these photos come from

Made by beautynet from manifest.jsonl, which holds more. Photos belong to those who made them; where no licence is
stated, none is given.

| file | source | author | licence | attribution |
|---|---|---|---|---|
"""


def write(folder: Path, records: Iterable[Record]) -> None:
    """Write the page for the kept photos among `records`."""
    with files.atomic(folder / ATTRIBUTION) as temporary, open(temporary, "w", encoding="utf-8") as page:
        page.write(_HEAD)
        for record in records:
            if record.status == "kept" and record.file:
                licence = _link(record.licence or "none stated", record.licence_url)
                is_private = record.source == "folder"  # where it lies is nobody's business
                where = None if is_private else record.page or record.url
                text = _link(record.attribution or ("the page" if where else "a photo of your own"), where)
                cells = (f"`{record.file}`", _plain(record.source or ""), _plain(record.author or ""), licence, text)
                page.write(f"| {' | '.join(cells)} |\n")


def _link(text: str, url: str | None) -> str:
    if not url or not url.startswith(("http://", "https://")):
        return _plain(text)
    return f"[{_plain(text)}]({url.translate(_ESCAPED_URL)})"


def _plain(text: str) -> str:
    """Words from the web as one line that means nothing to Markdown or HTML."""
    return " ".join(text.split()).translate(_ESCAPED)


_ESCAPED = str.maketrans({c: f"\\{c}" for c in "\\`*_[]|"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})
_ESCAPED_URL = str.maketrans({c: f"%{ord(c):02X}" for c in " ()|<>\\\t"} | {"\n": "", "\r": ""})
