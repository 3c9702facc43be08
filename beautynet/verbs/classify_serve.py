"""A classifier that answers over HTTP: POST a picture, get JSON; and a page to drop pictures on."""

from __future__ import annotations

from pathlib import Path

from beautynet.classifying.classifier import Classifier
from beautynet.console import console
from beautynet.web.naming import routes
from beautynet.web.server import HOST, Server, is_loopback

PORT = 8341


def classify_serve(
    model: str | Path | None = None,
    *,
    host: str = HOST,
    port: int = PORT,
    token: str | None = None,
    device: str = "auto",
) -> None:
    """Serve a classifier (None: the newest) until Ctrl-C: to this machine, or on another `host` to whoever has `token`.

    POST a picture's bytes to `/classify`, get `{"labels": {label: probability, ...}, "seconds": ...}`, the likeliest
    first; with `?heat=1` also `heat`, a JPEG of where it looked as a data URL. What is no picture gets 400, one over
    30 MB 413, one that takes over a minute 408, each with `{"error": reason}`. `/` is a page for people. Elsewhere than
    on loopback all of it is under `/TOKEN/`; without a token one is made up. Raises BeautyError.
    """
    network = Classifier.load(model, device=device)
    alone = is_loopback(host)
    server = Server(routes(network), port, host, token or ("" if alone else None))
    console.print(
        f"{server.url} answers until you press Ctrl-C{', on this machine only' if alone else ''}\n\n"
        f"curl --data-binary @photo.jpg {server.url}classify\n\n"
        "import urllib.request\n"
        f'request = urllib.request.Request("{server.url}classify", open("photo.jpg", "rb").read())\n'
        "print(urllib.request.urlopen(request).read().decode())",
        soft_wrap=True,
    )
    server.run()
