"""Who is answered and who is not, by real requests."""

import asyncio
import http.client
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from web import running

from beautynet.errors import BeautyError
from beautynet.web import server as module
from beautynet.web.server import HEADERS, MOST_ARRIVING, Refused, Server, is_loopback, receive


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


async def take(request: Request, seconds: float = 5) -> Response:
    body = bytearray()
    try:
        await receive(request, body.extend, 1000, seconds)
    except Refused as refused:
        return refused.answer()
    return JSONResponse(len(body))


async def hurry(request: Request) -> Response:
    return await take(request, 0.3)


@contextmanager
def serving(**given: object) -> Iterator[Server]:
    posted = [Route(f"/{each.__name__}", each, methods=["POST"]) for each in (take, hurry)]
    with running(Server([Route("/", hello), *posted], **given)) as server:
        yield server


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


def test_an_answer_is_not_held_back() -> None:
    """Linux acknowledges a first piece after 40 ms; whoever waits for that before the second one is late by as much."""
    with serving(token="") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        waits = []
        for _ in range(20):
            began = time.perf_counter()
            connection.request("GET", "/")
            connection.getresponse().read()
            waits.append(time.perf_counter() - began)
        assert sorted(waits)[len(waits) // 2] < 0.03


def test_every_answer_says_what_browsers_are_to_keep_to() -> None:
    with serving() as server:
        for path, status in ((f"/{server.token}/", 200), ("/", 403)):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == status
            assert {name: response.getheader(name) for name in HEADERS} == HEADERS


def test_who_guesses_has_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.2)
    with serving(host="0.0.0.0", token="rose-garden") as server:
        for path in ("/rose-gardens/", "/rose", "/?token=rose"):
            began = time.monotonic()
            assert ask(server, path)[0] == 403
            assert time.monotonic() - began >= 0.2


def test_browsers_leave_port_80_out() -> None:
    try:
        server = Server([], 80)
    except BeautyError as error:
        pytest.skip(str(error))
    with server._socket:
        assert server._server.config.app._hosts == ("127.0.0.1:80", "localhost:80", "127.0.0.1", "localhost")


def test_others_are_asked_for_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0)
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


def test_in_a_notebook_which_has_a_loop_already() -> None:
    """And without a console, as a program has that was begun by a click on Windows."""
    server = Server([Route("/", hello)])

    answers = []

    def visit() -> None:
        answers.append(ask(server, f"/{server.token}/"))
        server.stop()

    async def cell() -> None:
        threading.Timer(0.2, visit).start()
        server.run()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        patch.setattr(sys, "stderr", None)
        asyncio.run(cell())
    assert answers == [(200, "hello")]


def begun(server: Server, path: str) -> socket.socket:
    """A body that is on its way: three bytes of nine."""
    connection = socket.create_connection(("127.0.0.1", server.port), 5)
    head = f"POST /{server.token}/{path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: 9\r\n\r\nabc"
    connection.sendall(head.encode())
    time.sleep(0.02)
    return connection


def test_only_so_many_bodies_at_once() -> None:
    """Each takes memory until it is whole; the others wait."""
    with serving() as server:
        waiting = [begun(server, "take") for _ in range(MOST_ARRIVING + 1)]
        last = waiting.pop()
        last.sendall(b"defghi")
        last.settimeout(0.5)
        with pytest.raises(TimeoutError):
            last.recv(100)
        for each in waiting:
            each.sendall(b"defghi")
            assert each.recv(100).startswith(b"HTTP/1.1 200")
            each.close()
        last.settimeout(5)
        assert last.recv(100).startswith(b"HTTP/1.1 200")
        last.close()


def test_the_wait_for_a_turn_does_not_count() -> None:
    with serving() as server:
        waiting = [begun(server, "take") for _ in range(MOST_ARRIVING)]
        last = begun(server, "hurry")
        last.sendall(b"defghi")
        time.sleep(0.5)
        for each in waiting:
            each.close()
        assert last.recv(100).startswith(b"HTTP/1.1 200")
        last.close()
        late = begun(server, "hurry")
        assert late.recv(100).startswith(b"HTTP/1.1 408")
        late.close()


def test_who_vanishes_without_a_word_is_noticed() -> None:
    server = Server([])
    with server._socket, socket.create_connection(("127.0.0.1", server.port), 5):
        accepted, _ = server._socket.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_what_fails_while_serving_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server([Route("/", hello)])

    def broken(**_: object) -> None:
        raise ModuleNotFoundError("something")

    monkeypatch.setattr(server._server, "run", broken)
    with pytest.raises(ModuleNotFoundError):
        server.run()


def test_where_it_cannot_listen_is_one_line() -> None:
    with serving(token="") as server, pytest.raises(BeautyError, match=f"port {server.port} cannot be listened on"):
        Server([], server.port)
    for port in (None, 8341):
        with pytest.raises(BeautyError, match=r"host 192\.0\.2\.7 cannot be listened on"):
            Server([], port, host="192.0.2.7")
        with pytest.raises(BeautyError, match=r"host aaaa.* cannot be listened on"):
            Server([], port, host="a" * 64 + ".example")


def test_loopback_is_known() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "192.168.1.5", "::", "example.org")))
