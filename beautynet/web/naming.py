"""A classifier over HTTP: what answers a picture with its labels, and the page to drop pictures on."""

from __future__ import annotations

import asyncio
import html
import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from beautynet.classifying.classifier import Classifier
from beautynet.decode import Unreadable, as_jpeg, decode
from beautynet.web.server import MOST_ARRIVING, Refused, arrive
from beautynet.web.templates import data_url, filled, scripted

MAX_BYTES = 30_000_000
MAX_SECONDS = 60.0
"""Of one picture: as large, and as long on its way."""


def routes(network: Classifier) -> list[Route]:
    """What is answered."""
    room = asyncio.Semaphore(MOST_ARRIVING)  # of its own: elsewhere films are long on their way
    alone = asyncio.Lock()  # two at once would take twice as long, and twice the memory

    def answer(body: bytes, heat: bool) -> dict[str, Any]:
        began = time.perf_counter()
        picture = decode(body)
        labels = network(picture)
        answered: dict[str, Any] = {"labels": labels}
        if heat:
            answered["heat"] = data_url(as_jpeg(network.overlaid(picture, next(iter(labels)))), "image/jpeg")
        return answered | {"seconds": round(time.perf_counter() - began, 3)}

    async def classify(request: Request) -> Response:
        body = bytearray()
        heat = request.query_params.get("heat") == "1"
        try:
            async with room:  # until it is answered: those that wait take memory
                await arrive(request, body.extend, MAX_BYTES, MAX_SECONDS)
                async with alone:
                    return JSONResponse(await run_in_threadpool(answer, bytes(body), heat))
        except Refused as refused:
            return refused.answer()
        except Unreadable as reason:
            is_form = request.headers.get("content-type", "").startswith("multipart/")
            said = "send the picture alone, not a form: curl --data-binary @photo.jpg" if is_form else str(reason)
            return JSONResponse({"error": said}, 400)

    async def page(_: Request) -> Response:
        title = html.escape(", ".join(network.labels[:3]) + (", …" if len(network.labels) > 3 else ""))
        labels = scripted(network.labels)
        return HTMLResponse(filled("classify", title=title, labels=labels, count=str(len(network.labels))))

    return [Route("/", page), Route("/classify", classify, methods=["POST"])]
