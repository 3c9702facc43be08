"""Moving pictures as they happen: a camera, or a film played at its own pace, over and over. Only the newest is had."""

from __future__ import annotations

import os
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from beautynet.errors import BeautyError
from beautynet.film.media import Film

PATIENCE = 10.0
"""Seconds that a camera may take for its first picture."""
REST, LONGEST_REST = 2.0, 30.0
"""Seconds after which a camera that shows nothing any more is tried again, at first and in the long run."""


class Reel(ABC):
    """What is to be seen just now; a thread of its own keeps up with it. Used as a context, or closed."""

    def __init__(self, tell: Callable[[], object] = lambda: None) -> None:
        self._tell = tell
        self._news = threading.Condition()
        self._number = 0
        self._picture: NDArray[np.uint8] | None = None
        self._trouble: str | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def newest(self, after: int = 0, patience: float = 0.5) -> tuple[int, NDArray[np.uint8]] | None:
        """The newest picture, uint8 RGB (H, W, 3), and its number, if it is over `after`; waits a little for one.

        BeautyError if there will be no more, or none until its trouble is over. Whenever there is either, `tell` is
        called, in the reel's own thread.
        """
        with self._news:
            self._news.wait_for(lambda: self._number > after or self._trouble is not None, patience)
            if self._picture is not None and self._number > after:
                return self._number, self._picture
            if self._trouble is not None:
                raise BeautyError(self._trouble)
            return None

    def close(self) -> None:
        """Stop."""
        self._closed.set()
        self._thread.join(2)

    def __enter__(self) -> Reel:
        """As a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _show(self, picture: NDArray[np.uint8]) -> None:
        with self._news:
            self._number, self._picture, self._trouble = self._number + 1, picture, None
            self._news.notify_all()
        self._tell()

    def _complain(self, trouble: str) -> None:
        with self._news:
            self._trouble = trouble
            self._news.notify_all()
        self._tell()

    def _run(self) -> None:
        try:
            self._play()
        except BeautyError as error:
            self._complain(str(error))
        except BaseException as error:  # our own mistake: who waits for pictures has to hear of it, too
            self._complain(str(error) or type(error).__name__)
            raise

    @abstractmethod
    def _play(self) -> None:
        """Show pictures until closed; runs in the thread."""


class Camera(Reel):
    """A camera of this machine, by number, or one in the network, by address (rtsp://…).

    One that goes away later is waited for: it may come back, as after Wi-Fi was lost.
    """

    def __init__(self, camera: str, tell: Callable[[], object] = lambda: None) -> None:
        self._camera = camera
        # an address may have a password in it, and visitors read this
        self._name = re.sub("//.*@", "//", camera.partition("?")[0])
        # one of this machine here: macOS asks for permission in the main thread only
        self._device = self._opened() if camera.isdecimal() else None
        super().__init__(tell)
        try:
            if self.newest(patience=PATIENCE) is None:
                raise BeautyError(f"camera {self._name} shows nothing: is another program using it?")
        except BeautyError:
            self.close()
            raise

    def _opened(self) -> cv2.VideoCapture:
        camera = int(self._camera) if self._camera.isdecimal() else self._camera
        # Windows' newer way takes up to a minute and a half for some cameras
        for way in (cv2.CAP_DSHOW, cv2.CAP_ANY) if os.name == "nt" and camera != self._camera else (cv2.CAP_ANY,):
            device = cv2.VideoCapture(camera, way)
            if device.isOpened():
                return device
        raise BeautyError(
            f"camera {self._name} cannot be opened: is it plugged in, is 0 the first one, and may this program use it?"
        )

    def _play(self) -> None:
        self._watch(self._device or self._opened())
        cv2.utils.logging.setLogLevel(0)  # or it tells of each try, in ten lines
        rest = REST
        while not self._closed.wait(rest):
            rest = min(2 * rest, LONGEST_REST)
            with suppress(BeautyError):  # not yet
                self._watch(self._opened())
                rest = REST

    def _watch(self, device: cv2.VideoCapture) -> None:
        """Show what it sees, as long as it sees anything."""
        try:
            device.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest, not what waited
            while not self._closed.is_set():
                there, picture = device.read()
                if not there:
                    return self._complain(f"camera {self._name} shows nothing any more: plug it in again")
                self._show(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8))
        finally:
            device.release()


class Projector(Reel):
    """A film or picture file, in real time: what comes too late is not shown. Raises BeautyError if it is neither."""

    def __init__(self, path: Path, tell: Callable[[], object] = lambda: None) -> None:
        Film(path).close()
        self._path = path
        super().__init__(tell)

    def _play(self) -> None:
        while not self._closed.is_set():
            began, count = time.monotonic(), 0
            with Film(self._path) as film:
                for frame in film:
                    count += 1
                    ahead = began + float(frame.time) - time.monotonic()
                    if ahead > -float(frame.duration) or count == 1:
                        if self._closed.wait(max(0.0, ahead)):
                            return
                        self._show(frame.picture)
            if count == 1:  # a picture
                return
            self._closed.wait(max(0.0, began + float(frame.time + frame.duration) - time.monotonic()))
