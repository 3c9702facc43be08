"""Pages from the files of `pages/`, their `{{name}}` filled in, and what may be filled in."""

from __future__ import annotations

import base64
import json
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


def data_url(data: bytes, kind: str) -> str:
    """Bytes of this media type as an address."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def scripted(data: object) -> str:
    """JSON for inside a script, where nothing but "<" can end it or begin a comment."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
