"""Who is answered and who is not, by real requests."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from beautynet.errors import BeautyError
from beautynet.server import Refused, Server, is_loopback, receive


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def take(request: Request) -> Response:
    body = bytearray()
    try:
        await receive(request, body.extend, 1000, 5)
    except Refused as refused:
        return refused.answer()
    return JSONResponse(len(body))


@contextmanager
def serving(**given: object) -> Iterator[Server]:
    server = Server([Route("/", hello), Route("/take", take, methods=["POST"])], **given)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.stop()
    thread.join(10)
    assert not thread.is_alive()


def ask(server: Server, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return response.status, response.getheader("Location") or response.read().decode()


def test_on_loopback_the_address_is_the_key() -> None:
    with serving() as server:
        assert server.url == f"http://127.0.0.1:{server.port}/{server.token}/"
        assert len(server.token) >= 24
        assert ask(server, f"/{server.token}/") == (200, "hello")
        assert ask(server, "/")[0] == 403
        assert ask(server, "/?token=" + server.token)[0] == 403
        assert ask(server, f"/{server.token}/", Host="evil.example")[0] == 403
        assert ask(server, f"/{server.token}/take", "POST", b"abc") == (200, "3")
        assert ask(server, f"/{server.token}/take", "POST", b"abc", Origin="https://evil.example")[0] == 403


def test_others_are_asked_for_the_token() -> None:
    with serving(host="0.0.0.0", token="rose-garden") as server:
        assert server.url.endswith("/rose-garden/")
        status, page = ask(server, "/")
        assert status == 200
        assert "What is the token?" in page
        assert "rose-garden" not in page
        assert ask(server, "/?token=rose-garden") == (303, "/rose-garden/")
        assert ask(server, "/?token=rose-gardens")[0] == 403
        assert ask(server, "/rose-garden/", Host="studio.example") == (200, "hello")
        assert ask(server, "/take", "POST", b"abc")[0] == 403
        assert ask(server, "/rose-garden/take", "POST", b"abc", Origin="https://evil.example")[0] == 403


@pytest.mark.parametrize("token", ["", "short", "with space in it", "../../../etc", "rösengarten"])
def test_a_token_that_will_not_do_is_one_line(token: str) -> None:
    with pytest.raises(BeautyError, match="will not do"):
        Server([], host="0.0.0.0", token=token)


def test_without_a_token_on_loopback() -> None:
    with serving(token="") as server:
        assert ask(server, "/") == (200, "hello")
        assert ask(server, "/take", "POST", bytes(1001))[0] == 413


def test_where_it_cannot_listen_is_one_line() -> None:
    with serving(token="") as server, pytest.raises(BeautyError, match=f"port {server.port} cannot be listened on"):
        Server([], server.port)
    with pytest.raises(BeautyError, match=r"host 192\.0\.2\.7 cannot be listened on"):
        Server([], host="192.0.2.7")


def test_loopback_is_known() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "192.168.1.5", "::", "example.org")))
