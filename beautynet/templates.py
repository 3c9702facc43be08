"""Pages from files of the package, their `{{name}}` filled in."""

from __future__ import annotations

import re
from importlib import resources


def filled(path: str, **values: str) -> str:
    """The file at `path` in the package; each `{{name}}` is `values[name]`, or else the file `pages/name.html`.

    Values are HTML, and not looked into again: what comes from the web may say `{{name}}` too.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        return values[name] if name in values else filled(f"pages/{name}.html")

    text = resources.files("beautynet").joinpath(path).read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", value, text)
