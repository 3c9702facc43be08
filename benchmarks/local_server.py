"""A web server on this machine for the benchmarks: quick, and a process of its own, so that its GIL is not theirs."""

from __future__ import annotations

import asyncio
import functools
import io
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import cv2
import numpy as np
from PIL import Image


@contextmanager
def serving(body: Callable[[int], bytes], latency: float = 0.0) -> Iterator[tuple[str, Callable[[], Counter[int]]]]:
    """Answers GET /N with body(N), 404 where that is empty, after `latency` seconds.

    Yields the server's address, and a function that tells how often each N was asked for.
    """
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=_serve, args=(body, latency, theirs), daemon=True)
    server.start()
    address = f"http://127.0.0.1:{ours.recv()}"

    def asked() -> Counter[int]:
        ours.send("how often?")
        return Counter(ours.recv())

    try:
        yield address, asked
    finally:
        server.kill()


@functools.cache
def unlike(number: int, side: int = 288) -> bytes:
    """A JPEG unlike any other number's: random low frequencies, so that perceptual hashes are random too."""
    rough = np.random.default_rng(number).integers(0, 256, (9, 9, 3)).astype(np.float32)
    smooth = cv2.resize(rough, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(smooth).save(buffer, "JPEG")
    return buffer.getvalue()


def _serve(body: Callable[[int], bytes], latency: float, pipe: Connection) -> None:
    asked: Counter[int] = Counter()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                number = int(request.split(b" ", 2)[1][1:].partition(b".")[0])
                asked[number] += 1
                if latency:
                    await asyncio.sleep(latency)
                sent = body(number)
                head = b"HTTP/1.1 %s\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
                writer.write(head % (b"200 OK" if sent else b"404 Not Found", len(sent)))
                writer.write(sent)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        while True:
            if pipe.poll():
                pipe.recv()
                pipe.send(asked)
            await asyncio.sleep(0.1)

    asyncio.run(run())
