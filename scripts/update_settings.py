"""Write the table of training settings into docs/training.md. `--check` only says whether it is current."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

from beautynet.config import TrainConfig

PAGE = Path(__file__).parents[1] / "docs" / "training.md"
START, END = "<!-- settings: made by scripts/update_settings.py -->\n", "<!-- end of settings -->"


def table() -> str:
    """The settings as Markdown."""
    rows = ["| option | default | |", "|---|---|---|"]
    for field in fields(TrainConfig):
        choices = f" ({', '.join(field.metadata['choices'])})" if field.metadata["choices"] else ""
        default = "" if field.default is None else f"`{field.default}`"
        rows.append(f"| `--{field.name.replace('_', '-')}` | {default} | {field.metadata['help']}{choices} |")
    return "\n".join(rows) + "\n"


def updated(text: str) -> str:
    """The page's text with the table made anew."""
    before, rest = text.split(START)
    return before + START + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        sys.exit(0 if updated(text) == text else "docs/training.md is stale: run python scripts/update_settings.py")
    PAGE.write_text(updated(text), encoding="utf-8")
