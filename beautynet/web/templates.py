"""Pages from the files of `pages/`, their `{{name}}` filled in."""

from __future__ import annotations

import re
from importlib import resources


def filled(page: str, **values: str) -> str:
    """The file `pages/<page>.html`; each `{{name}}` is `values[name]`, or else the file `pages/<name>.html`.

    Values are HTML, and not looked into again: what comes from the web may say `{{name}}` too.
    """

    def value(found: re.Match[str]) -> str:
        name = found[1]
        return values[name] if name in values else filled(name)

    text = (resources.files("beautynet") / "pages" / f"{page}.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", value, text)
