"""Viewers of the live page: what each wants to see, and what all of them share."""

from __future__ import annotations

import asyncio
import json
import secrets
import struct
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.websockets import WebSocket, WebSocketDisconnect

from beautynet import checkpoint as checkpoints
from beautynet import images
from beautynet.classifying.classifier import Classifier
from beautynet.classifying.judge import SUFFIX as JUDGE
from beautynet.conditions import MOST_CLUSTERS
from beautynet.console import console
from beautynet.decode import decode
from beautynet.errors import BeautyError
from beautynet.files import Paths
from beautynet.film.frames import Cuts
from beautynet.film.media import Film
from beautynet.film.reels import Camera, Projector, Reel
from beautynet.translator import Memory, Translator
from beautynet.web.server import receive

MAX_UPLOAD, MAX_SECONDS = 100_000_000, 120.0
"""Of a film: as large, and as long on its way."""
MOST_UPLOADS = 6
"""So many are kept, the newest ones."""
MOST_NETWORKS = 2
"""So many are kept loaded."""
MOST_SIDE = 1280
"""Px of the longer side of what is dreamt and sent; larger frames are scaled down."""
MOST_ASPECT = 8
QUALITY = 88


@dataclass(frozen=True)
class Wish:
    """What a viewer wants to see. None is the network's own; what cannot be is brought to the nearest that can."""

    checkpoint: str | None = None
    source: str | None = None
    """None is frames from the viewer, "camera" this machine's, all else an upload."""
    size: int | None = None
    abstraction: float | None = None
    k: int | None = None
    sensitivity: float | None = None
    contrast: float | None = None
    steady: float | None = None
    seen: bool = False
    """What the network is shown, too."""

    @classmethod
    def read(cls, text: str) -> Wish:
        """From JSON; ValueError or TypeError if it is none."""
        said = json.loads(text)
        wish: dict[str, Any] = {f.name: said[f.name] for f in fields(cls) if said.get(f.name) is not None}
        for name, (kind, low, high) in _LIMITS.items():
            if name in wish:
                wish[name] = min(max(kind(wish[name]), low), high)
        for name in ("checkpoint", "source"):
            if name in wish and not isinstance(wish[name], str):
                raise TypeError(name)
        return cls(**wish | {"seen": bool(wish.get("seen"))})


_LIMITS: dict[str, tuple[type, float, float]] = {
    "size": (int, 64, 512),
    "abstraction": (float, 0, 1),
    "k": (int, 2, MOST_CLUSTERS),
    "sensitivity": (float, 0.1, 10),
    "contrast": (float, 0.1, 4),
    "steady": (float, 0, 1),
}


class Stage:
    """What all viewers share: the networks, of which one paints at a time, the camera, and what was uploaded."""

    def __init__(
        self,
        checkpoint: str | Path | None,
        uploads: Path,
        *,
        camera: str | None = None,
        device: str = "auto",
        colors: Paths = (),
    ) -> None:
        self._device, self._colors, self._uploads = device, colors, uploads
        first = checkpoints.find(checkpoint)
        self._first = first.parent.name, first
        self._networks: OrderedDict[Path, tuple[int, Translator]] = OrderedDict()
        """By its file, with the moment at which that was written, in ns."""
        self._loading = threading.Lock()
        self._kept: OrderedDict[str, Path] = OrderedDict()
        self.turn = asyncio.Lock()
        """Who holds it paints; first come, first served."""
        self.network(None)
        self.classifier = _classifier(device)
        self.camera: Reel | None = None if camera is None else Camera(camera)

    def close(self) -> None:
        """Let go of the camera."""
        if self.camera:
            self.camera.close()

    def _names(self) -> dict[str, Path]:
        """The checkpoints to choose from, the newest first after the one asked for."""
        name, path = self._first
        return {name: path} | {p.parent.name: p for p in checkpoints.newest_first() if p.parent.name != name}

    def about(self) -> dict[str, Any]:
        """What the page offers."""
        return {
            "checkpoints": list(self._names()),
            "camera": self.camera is not None,
            "classifier": self.classifier is not None,
            "max_upload": MAX_UPLOAD,
        }

    def network(self, name: str | None) -> Translator:
        """The network of this name, None for the first one. Raises BeautyError."""
        path = self._names().get(name or self._first[0])
        if path is None or not path.exists():
            raise BeautyError("there is no such checkpoint any more: choose another")
        with self._loading:
            written = path.stat().st_mtime_ns  # a run that goes on writes it anew
            if path not in self._networks or self._networks[path][0] != written:
                self._networks[path] = written, Translator.load(path, device=self._device, colors=self._colors)
                while len(self._networks) > MOST_NETWORKS:
                    self._networks.popitem(last=False)
            self._networks.move_to_end(path)
            return self._networks[path][1]

    async def upload(self, request: Request) -> str:
        """Keep the film or picture in a request, under a name of ours. Raises Refused, or BeautyError if it is none."""
        name = secrets.token_hex(8)
        path = self._uploads / name
        try:
            with open(path, "wb") as file:
                await receive(request, file.write, MAX_UPLOAD, MAX_SECONDS)
            await run_in_threadpool(lambda: Film(path).close())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._kept[name] = path
        while len(self._kept) > MOST_UPLOADS:
            _, oldest = self._kept.popitem(last=False)
            with suppress(OSError):  # on Windows, while it is played
                oldest.unlink()
        return name

    def uploaded(self, name: str) -> Path:
        """Raises BeautyError."""
        if name not in self._kept:
            raise BeautyError("this film is no longer here: choose it again")
        return self._kept[name]


def _classifier(device: str) -> Classifier | None:
    """The newest that can be read, but for the judges of datasets, which tell wanted from unwanted only."""
    for path in checkpoints.newest_first(checkpoints.CLASSIFIER.file):
        if path.parent.name.endswith(JUDGE):
            continue
        try:
            return Classifier.load(path, device=device)
        except BeautyError as error:
            console.print(f"left out: {error}", style="yellow", soft_wrap=True)
    return None


class Viewer:
    """One page that is open: what it wants, what it was shown last, and the newest frame that it has sent.

    It sends its wish as JSON text, and frames as 4 bytes (a number, little-endian) and a picture file. Back come a JSON
    text when the network changes or something is wrong; and dreams: 4 bytes (the length of a JSON head, little-endian),
    the head, and JPEGs as it lists them. Frames that come while one is dreamt replace each other: they are dropped,
    never queued.
    """

    def __init__(self, stage: Stage, socket: WebSocket) -> None:
        self._stage, self._socket = stage, socket
        self._wish = Wish()
        self._frame: tuple[int, bytes] | None = None
        self._news, self._wished = asyncio.Event(), asyncio.Event()
        self._dropped = 0
        self._after = 0
        """The number of the last picture of a reel that was dreamt as it is wished for now."""
        self._reel: tuple[str, Reel] | None = None
        self._shown: tuple[Wish, Translator] | None = None
        self._memory: Memory | None = None
        self._shape: tuple[int, ...] = ()
        self._is_cut = Cuts()

    async def run(self) -> None:
        """Until the page is closed."""
        await self._socket.accept()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen())
                tasks.create_task(self._perform())
        except* WebSocketDisconnect:
            pass  # which is how it ends
        finally:
            if self._reel:
                await run_in_threadpool(self._reel[1].close)

    async def _listen(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            if (data := message.get("bytes")) is not None:
                if len(data) > 4:
                    self._dropped += self._frame is not None
                    self._frame = struct.unpack("<I", data[:4])[0], data[4:]
            else:
                try:
                    self._wish = Wish.read(message.get("text") or "")
                except (ValueError, TypeError, AttributeError, OverflowError):
                    await self._say(error="not a wish that can be understood")
                self._wished.set()
            self._news.set()

    async def _say(self, **said: object) -> None:
        await self._socket.send_text(json.dumps(said))

    async def _perform(self) -> None:
        while True:
            self._wished.clear()
            wish = self._wish
            try:
                network = await run_in_threadpool(self._network, wish)
                if self._shown is None or self._shown[0] != wish:
                    self._shown, self._memory, self._after = (wish, network), None, 0
                    await self._say(network=_told(network))
                found = await self._next(wish)
            except BeautyError as error:  # nothing will come of this wish
                await self._say(error=str(error))
                await self._wished.wait()
                continue
            if found is None:
                continue
            began = time.perf_counter()
            try:
                async with self._stage.turn:
                    answer = await run_in_threadpool(self._dream, network, *found, wish, began)
            except BeautyError as error:  # nor of this frame
                await self._say(error=str(error))
            else:
                await self._socket.send_bytes(answer)

    def _network(self, wish: Wish) -> Translator:
        if self._shown is not None and self._shown[0] == wish:
            return self._shown[1]
        network = self._stage.network(wish.checkpoint)
        return network.varied(**{name: getattr(wish, name) for name in _LIMITS})

    async def _next(self, wish: Wish) -> tuple[int, bytes | NDArray[np.uint8]] | None:
        """The newest frame, waited for; None if there was none, or what is wanted has changed."""
        if wish.source is None:
            await self._news.wait()
            if self._wish != wish:
                return None
            self._news.clear()
            frame, self._frame = self._frame, None
            return frame
        newest = await run_in_threadpool(self._of_reel, wish.source)
        if newest is not None:
            self._dropped += max(0, newest[0] - self._after - 1) if self._after else 0
            self._after = newest[0]
        return newest

    def _of_reel(self, source: str) -> tuple[int, NDArray[np.uint8]] | None:
        if source == "camera":
            if self._stage.camera is None:
                raise BeautyError("this machine shows no camera: start it with --camera 0")
            return self._stage.camera.newest(self._after)
        if self._reel is None or self._reel[0] != source:
            if self._reel:
                self._reel[1].close()
                self._reel = None
            self._reel = source, Projector(self._stage.uploaded(source))
        return self._reel[1].newest(self._after)

    def _dream(
        self, network: Translator, number: int, picture: bytes | NDArray[np.uint8], wish: Wish, began: float
    ) -> bytes:
        """What is sent back for a frame; `began` is when its turn was waited for."""
        frame = np.asarray(decode(picture)) if isinstance(picture, bytes) else picture
        height, width = frame.shape[:2]
        if max(height, width) > MOST_ASPECT * min(height, width):
            raise BeautyError(f"{width}×{height} px is too long a strip: show another picture")
        if (scale := MOST_SIDE / max(height, width)) < 1:
            frame = images.resize_uint8(frame[None], max(1, round(height * scale)), max(1, round(width * scale)))[0]
        goes_on = not self._is_cut(frame) and frame.shape == self._shape
        self._shape = frame.shape
        shown, dreams, self._memory = network.translate(frame[None], self._memory if goes_on else None)
        parts = {"dream": _jpeg(dreams[0])}
        if wish.seen:
            parts["seen"] = _jpeg(images.to_uint8(shown)[0])
        if wish.source is not None:
            parts["original"] = _jpeg(frame)
        head = {
            "number": number,
            "milliseconds": round(1000 * (time.perf_counter() - began), 1),
            "dropped": self._dropped,
            "parts": [[name, len(part)] for name, part in parts.items()],
        }
        text = json.dumps(head).encode()
        return struct.pack("<I", len(text)) + text + b"".join(parts.values())


def _jpeg(picture: NDArray[np.uint8]) -> bytes:
    """As `as_jpeg`, which takes three times as long."""
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def _told(network: Translator) -> dict[str, Any]:
    """What the page shows of a network: its recipe as it is now."""
    recipe = network.condition
    return {
        "kind": recipe.kind,
        "size": network.size,
        "steady": network.steady,
        "abstraction": recipe.abstraction,
        "k": recipe.clusters,
        "sensitivity": recipe.sensitivity,
        "contrast": recipe.contrast,
    }
