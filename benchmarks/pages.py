"""Frames a second in a real browser at a camera: `beautynet live`, and the page that `export --format web` writes.

    python benchmarks/pages.py FILM [--size 256] [--preset S] [--seconds 10]

The browser is Chromium without a window, its camera shows FILM, cut to a square of --size px. The network has learnt
nothing, which takes as long. Both run on this machine, one after the other, and share it with the browser.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser import browser, camera  # type: ignore[import-not-found]  # of the tests

from beautynet import checkpoint, images
from beautynet.conditions import Condition
from beautynet.film.media import Film
from beautynet.networks import PRESETS, Generator, depth_for
from beautynet.verbs.export import export
from beautynet.verbs.live import routes
from beautynet.web.server import Server
from beautynet.web.viewing import Stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--preset", choices=PRESETS, default="S")
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        film = y4m(given.film, folder / "camera.y4m", given.size)
        torch.manual_seed(0)
        model = folder / "network" / checkpoint.MODEL
        recipe = Condition(size=given.size)
        checkpoint.save_model(
            model, Generator(PRESETS[given.preset], depth_for(given.size)), {"condition": asdict(recipe)}
        )
        page = export(model, format="web", out=folder / "page").out
        for title, serving in (("web page", static(page)), ("live", live(model, folder))):
            with serving as address, browser(folder / title, *camera(film)) as opened:
                opened.get(address)
                opened.until("document.querySelector('#where, #checkpoint').innerText", seconds=60)
                opened.find_element("css selector", "#welcome [data-source=browser]").click()
                opened.until("document.querySelector('#rate').textContent > 0", seconds=60)
                time.sleep(given.seconds)
                rate, latency = (
                    opened.run(f"document.querySelector('{name}').textContent") for name in ("#rate", "#latency")
                )
                print(
                    f"{title:10} {given.preset} at {given.size}²: {rate} frames/s, {latency} ms from camera to screen"
                )


def y4m(source: Path, path: Path, size: int) -> Path:
    """The middle square of a film as a browser's camera takes it."""
    with open(path, "wb") as file, Film(source) as film:
        file.write(f"YUV4MPEG2 W{size} H{size} F30:1 Ip A1:1 C420jpeg\n".encode())
        for frame, _ in zip(film, range(90), strict=False):
            height, width = frame.picture.shape[:2]
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            square = images.resize_uint8(frame.picture[None, top : top + side, left : left + side], size, size)[0]
            file.write(b"FRAME\n" + cv2.cvtColor(square, cv2.COLOR_RGB2YUV_I420).tobytes())
    return path


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def static(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@contextmanager
def live(model: Path, folder: Path) -> Iterator[str]:
    stage = Stage(model, folder)
    server = Server(routes(stage, folder))
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server.url
    server.stop()
    thread.join()
    stage.close()


if __name__ == "__main__":
    main()
