"""A web server on this machine for the tests: photos, trouble of all kinds, and result pages in Bing's markup."""

from __future__ import annotations

import contextlib
import functools
import html
import io
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from PIL import Image
from sklearn.datasets import load_sample_images

from beautynet.web.server import Server

SHARED = Path(__file__).parents[2] / "shared" / "data"

Answer = Callable[[BaseHTTPRequestHandler], None]


@functools.cache
def pictures() -> list[Image.Image]:
    """16 pictures, no two of them alike, also mirrored: corners of scikit-learn's two photos, and these upside down."""
    originals = [Image.fromarray(photo) for photo in load_sample_images().images]
    corners = [(left, top, left + 440, top + 300) for left in (0, 200) for top in (0, 127)]
    crops = [original.crop(box) for original in originals for box in corners]
    return [*crops, *(crop.rotate(180) for crop in crops)]


def encoded(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def bomb(side: int = 12_000) -> bytes:
    """A PNG of some kB with many megapixels."""
    return encoded(Image.new("1", (side, side)), "PNG")


class Web:
    """`with Web() as web`: answers `web.routes[path]`, where the path includes the query; notes each path in `log`.

    `peak` is the most requests that were being answered at once.
    """

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self.routes: dict[str, Answer] = {}
        self.log: list[str] = []
        self.times: list[float] = []
        self.agents: set[str] = set()
        self.peak = 0
        busy = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                busy.append(self)
                web.peak = max(web.peak, len(busy))
                web.log.append(self.path)
                web.times.append(time.monotonic())
                web.agents.add(self.headers["User-Agent"])
                answer = web.routes.get(self.path) or web.routes.get(urlsplit(self.path).path) or status(404)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client has had enough
                    answer(self)
                self.answered()

            def answered(self) -> None:
                """Before the last byte goes out: with it the client is free to ask again."""
                if self in busy:
                    busy.remove(self)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Quiet: clients that do not like our certificate."""

        self._server = Server((host, 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{name}:{self._server.server_port}"

    def __enter__(self) -> Web:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve_photos(self, count: int = 16) -> list[str]:
        """Serve that many different photos; their URLs."""
        for index, picture in enumerate(pictures()[:count]):
            self.routes[f"/photo{index}.jpg"] = body(encoded(picture, quality=90))
        return [f"{self.url}/photo{index}.jpg" for index in range(count)]

    def serve_bing(self, urls: list[str], step: int = 20) -> None:
        """Answer searches with these results, in pages."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            first = int(parse_qs(urlsplit(request.path).query)["first"][0])
            body(bing_page(urls[first : first + step]), "text/html")(request)

        self.routes["/images/async"] = answer


def bing_page(urls: list[str]) -> bytes:
    """A result page as Bing writes it."""
    rows = []
    for url in urls:
        result = {"murl": url, "turl": f"{url}&thumb.jpg", "purl": "https://example.org/garden", "md5": "0", "t": "A"}
        link = f'<a class="iusc" m="{html.escape(json.dumps(result))}" href="/x"><img></a>'
        rows.append(f'<li><div class="iuscp isv"><div class="imgpt">{link}</div></div></li>')
    return f'<div><ul class="dgControl_list">{"".join(rows)}</ul></div>'.encode()


def body(data: bytes, kind: str = "image/jpeg", promised: int | None = None, **headers: str) -> Answer:
    """200 with these bytes; with `promised`, a Content-Length that is not true."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(data) if promised is None else promised))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(data)

    return answer


def status(code: int, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def first(*answers: Answer) -> Answer:
    """One after the other; the last for ever."""
    remaining = list(answers)
    return lambda request: (remaining.pop(0) if len(remaining) > 1 else remaining[0])(request)


def tarpit(pause: float) -> Answer:
    """Headers without end."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(200):
            request.wfile.write(b"x")
            time.sleep(pause)

    return answer


def slowly(data: bytes, pause: float, piece: int = 100) -> Answer:
    """The body drips, `piece` bytes at a time."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        for start in range(0, len(data), piece):
            if start + piece >= len(data):
                request.answered()  # type: ignore[attr-defined]
            request.wfile.write(data[start : start + piece])
            if start + piece < len(data):
                time.sleep(pause)

    return answer


def drip(pieces: int = 60) -> Iterator[bytes]:
    """A body that takes its time."""
    for _ in range(pieces):
        time.sleep(0.1)
        yield b"x"


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """One of ours, in a thread; it ends with the block."""
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)
    assert not thread.is_alive()
