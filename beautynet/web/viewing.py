"""Viewers of the live page: what each wants to see, and what all of them share."""

from __future__ import annotations

import asyncio
import json
import secrets
import struct
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

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
from beautynet.files import Paths, is_text
from beautynet.film.frames import Cuts
from beautynet.film.media import Film
from beautynet.film.reels import Camera, Projector, Reel
from beautynet.translator import Memory, Translator
from beautynet.web.server import receive

MAX_UPLOAD, MAX_SECONDS = 100_000_000, 120.0
"""Of a film: as large, and as long on its way."""
MOST_BYTES = 1_000_000_000
"""Of uploads that are kept, the newest ones, and those that are shown to somebody: in memory, where /tmp is."""
MOST_NETWORKS = 2
"""So many are kept loaded, and those that are shown to somebody."""
MOST_SIDE = 1280
"""Px of the longer side of what is dreamt and sent; larger frames are scaled down."""
MOST_ASPECT = 8
PAUSE = 1.0
"""Seconds after something that nobody expected, before the next frame is dreamt."""
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
        self._networks: OrderedDict[Path, Translator] = OrderedDict()
        self._in_use: WeakValueDictionary[tuple[Path, int], Translator] = WeakValueDictionary()
        """Whatever anybody holds, by its file and the moment at which that was written, in ns."""
        self._loading = threading.Lock()
        self._kept: dict[str, tuple[Path, int]] = {}
        """Uploads and their bytes, by their names, the oldest first."""
        self._said: set[type[Exception]] = set()
        self.viewers: set[Viewer] = set()
        self.painter = ThreadPoolExecutor(1, "painter")
        """Paints, first come, first served, whatever all other threads are busy with."""
        self.network(None)
        self.classifier = _classifier(device)
        self.camera: Reel | None = None if camera is None else Camera(camera, self._on_camera)

    def close(self) -> None:
        """Let go of the camera, and paint no more."""
        self.painter.shutdown(wait=False, cancel_futures=True)
        if self.camera:
            self.camera.close()

    def _on_camera(self) -> None:
        for viewer in tuple(self.viewers):
            viewer.hear("camera")

    def _names(self) -> dict[str, Path]:
        """The checkpoints to choose from, the newest first after the one asked for."""
        name, path = self._first
        others = {p.parent.name: p for p in checkpoints.newest_first() if p.parent.name != name}
        return {name: path} | {each: p for each, p in others.items() if is_text(each)}

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
            key = path, path.stat().st_mtime_ns  # a run that goes on writes it anew
            network = self._in_use.get(key)
            if network is None:
                network = Translator.load(path, device=self._device, colors=self._colors)
            self._in_use[key] = self._networks[path] = network
            self._networks.move_to_end(path)
            while len(self._networks) > MOST_NETWORKS:
                self._networks.popitem(last=False)
            return network

    async def upload(self, request: Request) -> str:
        """Keep the film or picture in a request, under a name of ours. Raises Refused, or BeautyError if it is none."""
        name = secrets.token_hex(8)
        path = self._uploads / name
        self._uploads.mkdir(0o700, parents=True, exist_ok=True)  # the system may tidy up what was empty for long
        try:
            with open(path, "wb") as file:
                await receive(request, file.write, MAX_UPLOAD, MAX_SECONDS)
            await run_in_threadpool(lambda: Film(path).close())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        size = path.stat().st_size
        self._make_room(size)
        self._kept[name] = path, size
        return name

    def _make_room(self, size: int) -> None:
        """For so many bytes: let go of the oldest uploads that nobody is shown."""
        shown = {viewer.shows for viewer in self.viewers}
        for name in [each for each in self._kept if each not in shown]:
            if size + sum(each for _, each in self._kept.values()) <= MOST_BYTES:
                return
            with suppress(OSError):  # on Windows, while it is still being closed
                self._kept.pop(name)[0].unlink()

    def uploaded(self, name: str) -> Path:
        """Raises BeautyError."""
        if name not in self._kept or not self._kept[name][0].exists():
            raise BeautyError("this film is no longer here: choose it again")
        return self._kept[name][0]

    def note(self, error: Exception) -> str:
        """What to tell of an error that nobody expected; the first of its kind is said on the console, in its words."""
        if type(error) not in self._said:  # its words may have figures in them, others each time
            self._said.add(type(error))
            line = f"{type(error).__name__}: {error}".splitlines()[0]
            console.print(f"a frame was not dreamt ({line})", style="yellow", soft_wrap=True)
        return f"this was not dreamt ({type(error).__name__}): trying again …"


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
        self._loop = asyncio.get_running_loop()
        self._news, self._wished = asyncio.Event(), asyncio.Event()
        self._dropped = 0
        self._after = 0
        """The number of the last picture of a reel that was dreamt as it is wished for now."""
        self._reel: tuple[str, Reel] | None = None
        self._gone = False
        self._at_reel = threading.RLock()
        """Held while a reel is opened or closed: a page may be closed meanwhile."""
        self._shown: tuple[Wish, Translator] | None = None
        self._network: Translator | None = None
        """Of which that is a variety; held, so that others need not load it again."""
        self._memory: Memory | None = None
        self._is_cut = Cuts()

    @property
    def shows(self) -> str | None:
        """The upload that it shows."""
        return self._reel[0] if self._reel else None

    def hear(self, source: str) -> None:
        """That there is something new of a source; from its thread."""
        if self._wish.source == source:
            with suppress(RuntimeError):  # the server has stopped
                self._loop.call_soon_threadsafe(self._news.set)

    async def run(self) -> None:
        """Until the page is closed."""
        await self._socket.accept()
        self._stage.viewers.add(self)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen())
                tasks.create_task(self._perform())
        except* WebSocketDisconnect:
            pass  # which is how it ends
        finally:
            self._stage.viewers.remove(self)
            self._gone = True
            await run_in_threadpool(self._leave)

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
            self._news.clear()
            wish = self._wish
            try:
                if self._shown is None or self._shown[0] != wish:
                    network = await run_in_threadpool(self._wished_for, wish)
                    self._shown, self._memory, self._after = (wish, network), None, 0
                    await self._say(network=_told(network))
                found = await self._next(wish)
            except BeautyError as error:  # nothing will come of this wish
                await self._say(error=str(error))
                await self._wished.wait()
                continue
            except WebSocketDisconnect:
                raise
            except Exception as error:
                await self._excuse(error)
                continue
            if found is None:
                continue
            network, began = self._shown[1], time.perf_counter()
            try:
                answer = await self._loop.run_in_executor(
                    self._stage.painter, self._dream, network, *found, wish, began
                )
            except BeautyError as error:  # nor of this frame
                await self._say(error=str(error))
            except Exception as error:
                await self._excuse(error)
            else:
                await self._socket.send_bytes(answer)

    async def _excuse(self, error: Exception) -> None:
        """For a GPU without memory, or our own mistake; then it is tried again."""
        self._memory, self._after = None, 0
        await self._say(error=self._stage.note(error))
        await asyncio.sleep(PAUSE)

    def _wished_for(self, wish: Wish) -> Translator:
        if self.shows != wish.source:
            self._leave()  # so the film of a page that was out of sight begins anew
        self._network = self._stage.network(wish.checkpoint)
        return self._network.varied(**{name: getattr(wish, name) for name in _LIMITS})

    async def _next(self, wish: Wish) -> tuple[int, bytes | NDArray[np.uint8]] | None:
        """The newest frame; None, after there is news, if there was none until then, or what is wanted has changed."""
        if self._wish != wish:
            return None
        found: tuple[int, bytes | NDArray[np.uint8]] | None
        if wish.source is None:
            found, self._frame = self._frame, None
        elif found := await run_in_threadpool(self._of_reel, wish.source):
            self._dropped += max(0, found[0] - self._after - 1) if self._after else 0
            self._after = found[0]
        if found is None:
            await self._news.wait()
        return found

    def _of_reel(self, source: str) -> tuple[int, NDArray[np.uint8]] | None:
        if source == "camera":
            if self._stage.camera is None:
                raise BeautyError("this machine shows no camera: start it with --camera 0")
            return self._stage.camera.newest(self._after, patience=0)
        with self._at_reel:
            if self._gone:
                return None
            try:
                if self._reel is None or self._reel[0] != source:
                    self._leave()
                    self._reel = source, Projector(self._stage.uploaded(source), lambda: self.hear(source))
                return self._reel[1].newest(self._after, patience=0)
            except BeautyError:
                self._leave()
                self._stage.uploaded(source)  # says it in better words, if it is gone
                raise

    def _leave(self) -> None:
        """Close what is open."""
        with self._at_reel:
            if self._reel:
                self._reel[1].close()
                self._reel, self._after = None, 0

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
        shown, dreams, self._memory = network.translate(frame[None], None if self._is_cut(frame) else self._memory)
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
