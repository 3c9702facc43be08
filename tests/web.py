"""A web server on this machine for the tests: photos, trouble of all kinds, and result pages in Bing's markup."""

from __future__ import annotations

import contextlib
import functools
import html
import io
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from PIL import Image
from sklearn.datasets import load_sample_images

SHARED = Path(__file__).parents[2] / "shared" / "data"

Answer = Callable[[BaseHTTPRequestHandler], None]


@functools.cache
def pictures() -> list[Image.Image]:
    """16 pictures, no two of them alike: scikit-learn's two photos, turned and mirrored."""
    originals = [Image.fromarray(photo) for photo in load_sample_images().images]
    return [p for original in originals for p in (original, *(original.transpose(t) for t in Image.Transpose))]


def encoded(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def bomb(side: int = 12_000) -> bytes:
    """A PNG of some kB with many megapixels."""
    return encoded(Image.new("1", (side, side)), "PNG")


class Web:
    """`with Web() as web`: answers `web.routes[path]`, where the path includes the query; notes each path in `log`."""

    def __init__(self) -> None:
        self.routes: dict[str, Answer] = {}
        self.log: list[str] = []
        self.agents: set[str] = set()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.log.append(self.path)
                web.agents.add(self.headers["User-Agent"])
                answer = web.routes.get(self.path) or web.routes.get(urlsplit(self.path).path) or status(404)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client has had enough
                    answer(self)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

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


def body(data: bytes, kind: str = "image/jpeg", promised: int | None = None) -> Answer:
    """200 with these bytes; with `promised`, a Content-Length that is not true."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(data) if promised is None else promised))
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
            request.wfile.write(data[start : start + piece])
            time.sleep(pause)

    return answer
