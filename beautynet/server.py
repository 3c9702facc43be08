"""A small web server for one person: on loopback, on a free port, under an address that nobody can guess."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Sequence
from contextlib import suppress

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Loopback:
    """The server. `Loopback(routes).run()` serves until Ctrl-C, or until `stop` is called."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._socket = socket.create_server((HOST, 0))  # listens already: who comes early waits
        self._origin = f"{HOST}:{self._socket.getsockname()[1]}"
        # In the path and not in a cookie, which every other port of this machine would be sent too.
        secret = f"/{secrets.token_urlsafe(24)}"
        app = _Guard(Starlette(routes=[Mount(secret, routes=routes)]), self._origin, secret)
        self.url = f"http://{self._origin}{secret}/"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, lifespan="off", ws="none", log_level="error", server_header=False, timeout_graceful_shutdown=3
            )
        )

    def run(self) -> None:
        """Serve; returns after Ctrl-C too."""
        with self._socket, suppress(KeyboardInterrupt):  # uvicorn raises it once all requests are answered
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Stop serving once all requests are answered."""
        self._server.should_exit = True


class _Guard:
    """Answers nobody but the page that we opened: other sites in the same browser can reach this port too."""

    def __init__(self, app: ASGIApp, origin: str, secret: str) -> None:
        self._app = app
        self._host = origin
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        answer = self._app if refusal is None else PlainTextResponse(refusal, 403)
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if headers.get("host") != self._host:
            return "wrong host"  # a foreign name that was made to point here (DNS rebinding)
        if not secrets.compare_digest(scope["path"].encode()[: len(self._secret) + 1], f"{self._secret}/".encode()):
            return "wrong address: open the one that beautynet printed"
        if scope["method"] not in ("GET", "HEAD") and headers.get("origin") != f"http://{self._host}":
            return "wrong origin"
        return None
