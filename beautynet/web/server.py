"""A small web server, under an address that nobody can guess; on loopback, unless others are asked in."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import re
import secrets
import socket
import threading
import webbrowser
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from beautynet.errors import BeautyError

HOST = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'self'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
SHORTEST_TOKEN = 8
PAUSE = 1.0
"""Seconds that whoever is not of this machine waits for a refusal: guessing one of the 2⁴⁰ tokens that we make up takes
a thousand years then, and years with a thousand connections at once."""
MOST_ARRIVING = 8
"""Bodies that are taken at once: each takes memory or disk until it is whole. The others wait."""
GOODBYE, LONGEST_GOODBYE = 3, 10
"""Seconds that requests have to be answered once it is to stop, and in which it then has stopped, whatever they do."""
MOST_MESSAGE = 8 << 20
"""Bytes of a WebSocket's message."""
_GATE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="dark"><title>beautynet</title><link rel="icon" href="data:,"><style>
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #0e0d0f; color: #cfc8c4;
       font: 1rem/1.6 system-ui, sans-serif; }
form { display: grid; gap: 1rem; width: min(20rem, 88vw); }
h1 { margin: 0; color: #f6efe8; font: 400 2.2rem/1.1 Palatino, Georgia, serif; }
input, button { padding: .7rem 1rem; border: 1px solid #4a4350; border-radius: 999px; background: #17151a;
                color: inherit; font: inherit; }
button { border: 0; background: #f0a071; color: #1b110b; cursor: pointer; }
</style><form><h1>beautynet</h1><label for="token">WORDS</label>
<input id="token" name="token" autofocus autocomplete="off" autocapitalize="none"><button>Come in</button></form></html>
"""


class Server:
    """The server. `Server(routes).run()` serves until Ctrl-C, or until `stop` is called.

    Its address ends in a token, made up unless given; "" is none, for programs of this machine. On another `host` than
    loopback, whoever comes without the token is asked for it. No `port` is a free one. Raises BeautyError.
    """

    def __init__(
        self, routes: Sequence[BaseRoute], port: int | None = None, host: str = HOST, token: str | None = None
    ) -> None:
        alone = is_loopback(host)
        if token is None:
            token = secrets.token_urlsafe(24) if alone else secrets.token_hex(5)
        elif not re.fullmatch(rf"[\w.~-]{{{SHORTEST_TOKEN},}}", token, re.ASCII) and not (alone and not token):
            raise BeautyError(
                f"token {token!r} will not do: it has to be {SHORTEST_TOKEN} or more letters, digits or -._~"
            )
        self._socket = _listening(host, port)
        self.port = int(self._socket.getsockname()[1])
        # In the path and not in a cookie, which every other port of this machine would be sent too.
        secret = f"/{token}" if token else ""
        mounted: list[BaseRoute] = [Mount(secret, routes=routes)] if secret else list(routes)
        if not alone:
            mounted.append(Route("/", _gate(token)))
        known = [_in_url(name) for name in (host, "localhost")] if alone else []
        bare = known if self.port == 80 else []  # which browsers leave out
        starlette = Starlette(routes=mounted)
        starlette.state.room = asyncio.Semaphore(MOST_ARRIVING)
        app = _Guard(starlette, (*(f"{name}:{self.port}" for name in known), *bare), secret)
        self.url = f"http://{_in_url(_reached_at(host))}:{self.port}{secret}/"
        self.token = token
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="websockets-sansio",
                ws_max_size=MOST_MESSAGE,
                ws_per_message_deflate=False,  # JPEGs are
                log_level="error",
                log_config=None,  # its own wants a console, which not every program has
                server_header=False,
                timeout_graceful_shutdown=GOODBYE,
            )
        )

    def run(self, browser: bool = False) -> None:
        """Serve, opened in a `browser` if asked; returns after Ctrl-C too."""
        if browser:  # in a thread: a browser in this terminal would hold us up
            threading.Thread(target=webbrowser.open, args=(self.url,), daemon=True).start()
        failed: list[BaseException] = []
        done = threading.Event()

        def serve() -> None:
            try:
                self._server.run(sockets=[self._socket])
            except BaseException as error:  # the caller's to hear of
                failed.append(error)
            finally:
                done.set()

        serving = threading.Thread(target=serve)  # a notebook's own has a loop already, in which none other can run
        with self._socket, suppress(KeyboardInterrupt):
            try:
                serving.start()
                while not done.wait(0.2):  # Ctrl-C does not end one long wait on Windows
                    pass
            finally:
                self.stop()
                done.wait(LONGEST_GOODBYE)
        if failed:
            raise failed[0]

    def stop(self) -> None:
        """Stop serving once all requests are answered."""
        self._server.should_exit = True


class Refused(Exception):  # noqa: N818
    """A body that is not taken: `args` are the status and the reason."""

    def answer(self) -> Response:
        """The refusal as JSON."""
        status, reason = self.args
        return JSONResponse({"error": reason}, status, {"Connection": "close"})  # what is on its way is not waited for


async def receive(request: Request, take: Callable[[bytes], object], most: int, seconds: float) -> None:
    """As `arrive`, one of MOST_ARRIVING at once; the wait for its turn does not count."""
    async with request.app.state.room:
        await arrive(request, take, most, seconds)


async def arrive(request: Request, take: Callable[[bytes], object], most: int, seconds: float) -> None:
    """Hand the body of a request to `take`, piece by piece; Refused over `most` bytes or after so many seconds."""
    count = 0
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                count += len(piece)
                if count > most:
                    raise Refused(413, f"over {most / 1e6:g} MB")
                take(piece)
    except TimeoutError:
        raise Refused(408, f"not whole after {seconds:g} s") from None
    except ClientDisconnect:
        raise Refused(400, "broken off") from None


def _listening(host: str, port: int | None) -> socket.socket:
    """A socket that listens already, so that who is early waits."""
    try:
        family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    except (OSError, UnicodeError) as error:  # a label of a name has 63 letters at most
        why = getattr(error, "strerror", None) or error
        raise BeautyError(f"host {host} cannot be listened on ({why}): choose another") from error
    try:
        listening = socket.create_server((host, port or 0), family=family)
        # Those that it accepts inherit it; else the end of an answer waits 40 ms for the beginning's receipt.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # This, too: who vanishes without a word, as when Wi-Fi is lost, is gone in the end also where uvicorn is of
        # a version that sends WebSockets no pings.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except (OSError, OverflowError) as error:
        is_elsewhere = getattr(error, "errno", None) == errno.EADDRNOTAVAIL
        where = f"host {host}" if is_elsewhere or not port else f"port {port}"
        why = getattr(error, "strerror", None) or error
        raise BeautyError(f"{where} cannot be listened on ({why}): choose another") from error
    return listening


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _reached_at(host: str) -> str:
    """What others call `host`: of "all addresses" the one that this machine would be seen with. Nothing is sent."""
    if host not in ("0.0.0.0", "::"):
        return host
    elsewhere = "192.0.2.1" if host == "0.0.0.0" else "2001:db8::1"  # of the networks that exist in documents only
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((elsewhere, 9))
        return str(probe.getsockname()[0])
    return socket.gethostname()


def _gate(token: str) -> Callable[[Request], Awaitable[Response]]:
    async def gate(request: Request) -> Response:
        given = request.query_params.get("token")
        if given is None:
            return HTMLResponse(_GATE.replace("WORDS", "What is the token?"))
        if secrets.compare_digest(given.strip().encode(), token.encode()):
            return RedirectResponse(f"/{token}/", 303)
        await asyncio.sleep(PAUSE)
        return HTMLResponse(_GATE.replace("WORDS", "That is not the token."), 403)

    return gate


class _Guard:
    """Answers nobody but the page that we opened: other sites in the same browser can reach this port too."""

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], secret: str) -> None:
        self._app = app
        self._hosts = hosts
        """What we may be called; () is anything."""
        self._secret = secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        if refusal and not self._hosts:
            await asyncio.sleep(PAUSE)
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal})
        else:
            await PlainTextResponse(refusal, 403)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        # A foreign name may have been made to point here (DNS rebinding).
        if self._hosts and host not in self._hosts:
            return "wrong host"
        at_gate = not self._hosts and scope["path"] == "/"
        within = secrets.compare_digest(scope["path"].encode()[: len(self._secret) + 1], f"{self._secret}/".encode())
        if not within and not at_gate:
            return "wrong address: open the one that beautynet printed"
        # A browser names the page that asks; a program names none.
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        return "wrong origin" if changes and headers.get("origin", f"http://{host}") != f"http://{host}" else None
