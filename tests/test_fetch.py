import datetime
import email.utils
import gzip
import itertools
import json
import os
import socket
import ssl
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import trustme
from web import Answer, Web, body, first, slowly, status, tarpit

from beautynet.errors import BeautyError
from beautynet.sources import connections, fetch
from beautynet.sources.connections import FetchError
from beautynet.sources.fetch import Fetcher, Limits, Manners, is_transient

QUICK = Limits(
    connect_seconds=1,
    read_seconds=0.5,
    total_seconds=1,
    max_bytes=100_000,
    backoff_seconds=0.02,
    max_wait_seconds=2,
    private_addresses=True,
)
DATA = bytes(range(256)) * 40


def reason(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(FetchError) as caught:
        fetcher.fetch(url)
    return str(caught.value)


def test_fetch_returns_the_body_through_redirects() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/photo"] = body(DATA)
        web.routes["/a?b=%20%C3%A7"] = status(302, Location="photo")
        web.routes["/%E8%8A%B1.jpg"] = status(301, Location="/a?b=%20%C3%A7")
        assert fetcher.fetch(f"{web.url}/花.jpg#fragment") == DATA
        (agent,) = web.agents
        assert agent.startswith("beautynet/")


def test_redirects_to_names_in_plain_utf8() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/to"] = status(302, Location="/花 ç.jpg".encode().decode("latin-1"))  # as headers are written
        web.routes["/%E8%8A%B1%20%C3%A7.jpg"] = body(DATA)
        assert fetcher.fetch(f"{web.url}/to") == DATA


def test_hosts_are_forgotten() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/photo"] = body(DATA)
        assert fetcher.fetch(f"{web.url}/photo") == DATA
        web.routes["/busy"] = first(status(503), body(DATA))
        assert fetcher.fetch(f"{web.url}/busy") == DATA
        web.routes["/later"] = first(status(503, Retry_After="1"), body(DATA))
        assert fetcher.fetch(f"{web.url}/later") == fetcher.fetch(f"{web.url}/photo") == DATA
        assert not fetcher._next_start
        assert not fetcher._inside


@pytest.mark.parametrize(
    "address",
    [
        "ftp://example.org/x",
        "file:///etc/hostname",
        "nonsense",
        "http://",
        "http://[::1",
        "http://a\0b/",
        "data:image/png;base64,AA",
    ],
)
def test_fetch_takes_web_addresses_only(address: str) -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        assert "not a web address" in reason(fetcher, address)
        web.routes["/to"] = status(302, Location=address)
        if ":" in address and address != "http://":
            assert "not a web address" in reason(fetcher, f"{web.url}/to")


@pytest.mark.parametrize("address", ["http://exa mple.org:x/", "http://" + "a" * 300 + ".org/", "http://xn--/"])
def test_fetch_of_an_impossible_address_is_a_reason(address: str) -> None:
    with Fetcher(QUICK) as fetcher:
        assert reason(fetcher, address)


def test_fetch_gives_up_on_what_will_not_change() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/gone"] = status(404)
        web.routes["/loop"] = status(302, Location="/loop")
        web.routes["/big"] = body(bytes(QUICK.max_bytes + 1))
        web.routes["/lies"] = body(bytes(10), promised=QUICK.max_bytes + 1)
        assert reason(fetcher, f"{web.url}/gone") == "HTTP 404"
        assert reason(fetcher, f"{web.url}/loop") == "more than 5 redirects"
        assert reason(fetcher, f"{web.url}/big") == reason(fetcher, f"{web.url}/lies") == "over 0.1 MB"
        assert web.log.count("/gone") == web.log.count("/big") == 1
        assert web.log.count("/loop") == QUICK.max_redirects + 1


def unmeasured(data: bytes) -> Answer:
    """A body that nobody says the length of: it ends with the connection."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + data)

    return answer


def test_what_promises_no_length_is_measured_as_it_comes(tmp_path: Path) -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/most"] = unmeasured(bytes(QUICK.max_bytes))
        assert len(fetcher.fetch(f"{web.url}/most")) == QUICK.max_bytes
        web.routes["/more"] = unmeasured(bytes(QUICK.max_bytes + 1))
        web.routes["/packed"] = body(gzip.compress(bytes(QUICK.max_bytes + 1)), Content_Encoding="gzip")
        for path in ("/more", "/packed"):
            assert reason(fetcher, web.url + path) == "over 0.1 MB"
            with pytest.raises(FetchError, match=r"over 0\.1 MB"):
                fetcher.download(web.url + path, tmp_path / "set.tgz", QUICK.max_bytes)
        assert not list(tmp_path.iterdir())


def test_what_comes_packed_is_unpacked() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/photo"] = body(gzip.compress(DATA), Content_Encoding="gzip")
        assert fetcher.fetch(f"{web.url}/photo") == DATA


def test_fetch_tries_again_what_may_pass() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/busy"] = first(status(503), status(500), body(DATA))
        web.routes["/cut"] = body(DATA, promised=len(DATA) + 1)
        web.routes["/down"] = status(503)
        assert fetcher.fetch(f"{web.url}/busy") == DATA
        for path, why in (("/cut", "cut short"), ("/down", "HTTP 503")):
            text = reason(fetcher, web.url + path)
            assert text.startswith(why)
            assert is_transient(text)
            assert web.log.count(path) == QUICK.attempts
        assert not is_transient("HTTP 404")


def test_fetch_waits_as_long_as_it_is_told() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/polite"] = first(status(429, Retry_After="1"), body(DATA))
        start = time.monotonic()
        assert fetcher.fetch(f"{web.url}/polite") == DATA
        assert 0.95 < time.monotonic() - start < 5
        web.routes["/hour"] = status(429, Retry_After="3600")
        start = time.monotonic()
        assert is_transient(reason(fetcher, f"{web.url}/hour"))
        assert "wants no requests" in reason(fetcher, f"{web.url}/polite")  # the whole host is left alone
        assert time.monotonic() - start < 1
        assert web.log.count("/hour") == 1


@pytest.mark.parametrize("code", [429, 503])
def test_a_host_is_left_alone_until_the_time_it_names(code: int) -> None:
    in_an_hour = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    for when in ("3600", email.utils.format_datetime(in_an_hour, usegmt=True)):
        with Web() as web, Fetcher(QUICK) as fetcher:
            web.routes["/photo"] = status(code, Retry_After=when)
            assert "wants no requests" in reason(fetcher, f"{web.url}/photo")
            assert web.log == ["/photo"]


def test_a_date_that_no_clock_will_show_is_no_date() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        never = "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"
        web.routes["/photo"] = first(status(429, Retry_After=never), body(DATA))
        assert fetcher.fetch(f"{web.url}/photo") == DATA


def test_a_busy_host_is_asked_no_sooner_than_one_that_is_not() -> None:
    with Web() as web:
        web.routes["/api"] = first(status(429), body(b"{}"))
        with Fetcher(QUICK, manners={web.url.removeprefix("http://"): Manners(1, 0.6)}) as fetcher:
            fetcher.json(f"{web.url}/api")
        assert web.times[1] - web.times[0] > 0.5


def test_fetch_is_not_held_up() -> None:
    once = replace(QUICK, attempts=1)
    with Web() as web, Fetcher(once) as fetcher:
        web.routes["/drip"] = slowly(DATA, pause=0.05, piece=1)
        web.routes["/headers"] = tarpit(pause=0.05)
        web.routes["/silent"] = slowly(DATA, pause=3, piece=10)
        start = time.monotonic()
        assert reason(fetcher, f"{web.url}/drip") == "too slow: not whole after 1 s"
        assert reason(fetcher, f"{web.url}/headers") == "too slow: no answer within 0.5 s"
        assert reason(fetcher, f"{web.url}/silent") == "too slow: no answer within 0.5 s"
        assert time.monotonic() - start < 4


def dripping(head: bytes, piece: bytes) -> Answer:
    """A body that begins so and never says anything that its reader could hand on."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n" + head)
        for _ in range(400):
            request.wfile.write(piece)
            time.sleep(0.02)

    return answer


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"),  # trailers
        (b"Transfer-Encoding: chunked\r\n\r\n", b"0"),  # the size of a chunk
        (b"Transfer-Encoding: chunked\r\n\r\n5;", b"x"),  # what else is said of it
        (b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"")),  # nothing, again and again
        (b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08" + bytes(6), b"x"),  # a name that does not end
    ],
    ids=["trailers", "size", "extension", "empty", "name"],
)
def test_bodies_that_never_yield_a_byte(head: bytes, piece: bytes) -> None:
    with Web() as web, Fetcher(replace(QUICK, attempts=1, total_seconds=0.4)) as fetcher:
        web.routes["/x"] = dripping(head, piece)
        start = time.monotonic()
        assert reason(fetcher, f"{web.url}/x") == "too slow: not whole after 0.4 s"
        assert time.monotonic() - start < 3


def test_stop_ends_waits_and_bodies() -> None:
    with Web() as web, Fetcher(Limits(max_wait_seconds=100, private_addresses=True)) as fetcher:
        web.routes["/drip"] = slowly(DATA, pause=0.05, piece=1)
        web.routes["/wait"] = status(429, Retry_After="60")
        web.routes["/silent"] = slowly(DATA, pause=15)
        reasons: list[str] = []

        def fail(path: str) -> None:
            reasons.append(reason(fetcher, web.url + path))

        workers = [threading.Thread(target=fail, args=(path,)) for path in ("/drip", "/wait", "/silent")]
        for worker in workers:
            worker.start()
        time.sleep(0.3)
        start = time.monotonic()
        fetcher.stop()
        for worker in workers:
            worker.join()
        assert time.monotonic() - start < 1
        assert [why.partition(":")[0] for why in reasons] == ["cut short"] * 3


def test_cookies_are_not_kept() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        seen: list[str | None] = []

        def answer(request: object) -> None:
            seen.append(request.headers.get("Cookie"))  # type: ignore[attr-defined]
            status(404, Set_Cookie="id=1")(request)  # type: ignore[arg-type]

        web.routes["/x"] = answer
        reason(fetcher, f"{web.url}/x")
        reason(fetcher, f"{web.url}/x")
        assert seen == [None, None]


# Where it goes


PRIVATE = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",  # 127.0.0.1 as one number
    "http://0x7f.0.0.1/",
    "http://0/",
    "http://localhost/",
    "http://10.0.0.1/",
    "http://172.16.5.4/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",
    "http://224.0.0.1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[fec0::1]/",
    "http://[::127.0.0.1]/",
    "http://metadata.google.internal/",
    "http://printer.local/",
    "http://nas.lan/",
    "http://nas.home.arpa/",
    "http://wiki.intranet/",
    "http://wiki.corp/",
    "http://intranet/",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused(address: str) -> None:
    with pytest.raises(FetchError, match=r"^a private address: "):
        connections.check_address(address)
    connections.check_address(address, private=True)


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/",
        "http://172.32.0.1/",
        "http://93.184.215.14/",
        "http://[2606:4700:4700::1111]/",
        "http://[64:ff9b::5db8:d70e]/",  # 93.184.215.14 where there is IPv6 only
    ],
)
def test_public_addresses_are_not(address: str) -> None:
    connections.check_address(address)


def resolve_as(answers: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Names have these addresses, all others their own."""
    resolve = socket.getaddrinfo

    def resolved(host: str, port: int, *rest: object, **more: object) -> list[object]:
        found = answers.get(host)
        if found is None:
            return list(resolve(host, port, *rest, **more))  # type: ignore[arg-type]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


def test_redirects_and_names_lead_to_no_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"photos.example": ["93.184.215.14", "127.0.0.1"], "rebound.example": ["::1"]}
    resolve_as(answers, monkeypatch)
    with Web() as web:
        port = web.url.rpartition(":")[2]
        web.routes["/secret"] = body(DATA)
        with Fetcher(replace(QUICK, private_addresses=False)) as fetcher:
            for host in ("photos.example", "rebound.example", "localhost"):
                assert reason(fetcher, f"http://{host}:{port}/secret").startswith("a private address")
        # A host whose own address passes redirects inwards: that is judged by itself.
        answers["photos.example"] = ["127.0.0.1"]
        web.routes["/out"] = status(302, Location=f"http://127.0.0.1:{port}/secret")
        check, judged = connections._check_ip, []

        def lenient_once(address: str, private: bool) -> None:
            judged.append(address)
            if len(judged) > 1:
                check(address, private)

        monkeypatch.setattr(connections, "_check_ip", lenient_once)
        with Fetcher(replace(QUICK, private_addresses=False)) as fetcher:
            assert reason(fetcher, f"http://photos.example:{port}/out").startswith("a private address")
        assert web.log == ["/out"]


def test_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        web = Web("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with web, Fetcher(QUICK) as fetcher:
        web.routes["/photo"] = body(DATA)
        assert fetcher.fetch(f"{web.url}/photo") == DATA


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setattr("certifi.where", lambda: str(trusted))
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    certificates = {
        "good": authority.issue_cert("127.0.0.1"),
        "expired": authority.issue_cert("127.0.0.1", not_after=yesterday),
        "another's": authority.issue_cert("example.org"),
        "unknown": stranger.issue_cert("127.0.0.1"),
    }
    for name, certificate in certificates.items():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        with Web(tls=context) as web, Fetcher(replace(QUICK, attempts=1)) as fetcher:
            web.routes["/photo"] = body(DATA)
            if name == "good":
                assert fetcher.fetch(f"{web.url}/photo") == DATA
            else:
                assert reason(fetcher, f"{web.url}/photo") == "no trusted TLS certificate", name
                assert not web.log


def test_what_the_system_trusts_is_trusted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Schools and companies that look into all that passes add their own authority there."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    for name in ("127.0.0.1", "example.org"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        with Web(tls=context) as web, Fetcher(replace(QUICK, attempts=1)) as fetcher:
            web.routes["/photo"] = body(DATA)
            if name == "127.0.0.1":
                assert fetcher.fetch(f"{web.url}/photo") == DATA
            else:
                why = reason(fetcher, f"{web.url}/photo")
                assert why == "no trusted TLS certificate"
                assert is_transient(why)  # the clock may be wrong, or a hotel's page in the way


def test_a_broken_certificate_of_the_system_spoils_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows' are read one by one, and the first that cannot be read ends it."""

    def broken(*_: object) -> None:
        raise ssl.SSLError("not enough data")

    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").configure_cert(context)
    monkeypatch.setattr("certifi.where", lambda: str(tmp_path / "ca.pem"))
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", broken)
    with Web(tls=context) as web, Fetcher(replace(QUICK, attempts=1)) as fetcher:
        web.routes["/photo"] = body(DATA)
        assert fetcher.fetch(f"{web.url}/photo") == DATA


def test_a_host_of_many_addresses_has_time_for_its_handshake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setattr("certifi.where", lambda: str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("photos.example").configure_cert(context)
    context.sni_callback = lambda *_: time.sleep(0.6)
    with Web(tls=context) as web:
        port = web.url.rpartition(":")[2]
        resolve_as({"photos.example": [f"127.0.0.{last}" for last in range(1, 6)]}, monkeypatch)
        web.routes["/photo"] = body(DATA)
        with Fetcher(replace(QUICK, attempts=1)) as fetcher:
            assert fetcher.fetch(f"https://photos.example:{port}/photo") == DATA


def test_a_proxy_is_used_and_private_numbers_still_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with Web() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        fetch._proxies.cache_clear()
        proxy.routes["http://photos.example/rose.jpg"] = body(DATA)
        proxy.routes["http://xn--mnchen-3ya.example/a%20%C3%A7"] = body(DATA)
        with Fetcher(replace(QUICK, private_addresses=False)) as fetcher:
            assert fetcher.fetch("http://photos.example/rose.jpg") == DATA
            assert fetcher.fetch("http://München.example/a ç#fragment") == DATA
            near = ("192.168.0.1", "localhost:6379", "2130706433", "0x7f.1", "a.localhost", "metadata.google.internal.")
            for host in near:
                assert reason(fetcher, f"http://{host}/").startswith("a private address")
            assert len(proxy.log) == 2
        monkeypatch.undo()
        fetch._proxies.cache_clear()


# Where there is no network


OUTSIDE = replace(QUICK, attempts=2, private_addresses=False, away_seconds=30)


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """While it is set, nobody can be found; photos.example is on this machine, and gone.example nowhere."""
    gone, resolve = threading.Event(), socket.getaddrinfo

    def resolved(host: str, *rest: object, **more: object) -> list[object]:
        if gone.is_set() or host == "gone.example":
            raise socket.gaierror("no network")
        return list(resolve("127.0.0.1" if host == "photos.example" else host, *rest, **more))

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(connections, "_check_ip", lambda *_: None)
    monkeypatch.setattr(fetch, "APART", 0.1)
    return gone


def photo_on(web: Web) -> str:
    web.routes["/photo"] = body(DATA)
    return f"http://photos.example:{web.url.rpartition(':')[2]}/photo"


def test_a_network_that_is_gone_is_waited_for(away: threading.Event) -> None:
    with Web() as web, Fetcher(OUTSIDE) as fetcher:
        url = photo_on(web)
        start = time.monotonic()
        away.set()
        assert reason(fetcher, url) == "cannot connect"  # there has been none
        away.clear()
        assert fetcher.fetch(url) == DATA
        assert reason(fetcher, "http://gone.example/") == "cannot connect"  # but others can be reached
        assert time.monotonic() - start < 2
        away.set()
        threading.Timer(0.3, away.clear).start()
        assert fetcher.fetch(url) == DATA


@pytest.mark.usefixtures("away")
def test_who_answered_is_not_bothered_with_the_dead_addresses_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "APART", 0.3)
    asked, connect = [time.monotonic()], socket.create_connection

    def connected(*where: object) -> socket.socket:
        asked.append(time.monotonic())
        return connect(*where)

    with Web() as web, Fetcher(replace(OUTSIDE, attempts=3)) as fetcher:
        assert fetcher.fetch(photo_on(web)) == DATA
        monkeypatch.setattr(socket, "create_connection", connected)
        dead = [threading.Thread(target=reason, args=(fetcher, "http://gone.example/")) for _ in range(20)]
        for each in dead:
            each.start()
        for each in dead:
            each.join()
    assert 2 <= len(asked) <= 4
    assert min(later - earlier for earlier, later in itertools.pairwise(asked)) > 0.2


def test_but_not_for_ever(away: threading.Event) -> None:
    with Web() as web, Fetcher(replace(OUTSIDE, away_seconds=0.4)) as fetcher:
        url = photo_on(web)
        assert fetcher.fetch(url) == DATA
        away.set()
        for least, most in ((0.4, 2), (0, 0.3)):  # once
            start = time.monotonic()
            assert reason(fetcher, url) == "cannot connect"
            assert least <= time.monotonic() - start < most


def test_stop_ends_waiting_for_the_network(away: threading.Event) -> None:
    with Web() as web, Fetcher(OUTSIDE) as fetcher:
        url = photo_on(web)
        assert fetcher.fetch(url) == DATA
        away.set()
        threading.Timer(0.2, fetcher.stop).start()
        start = time.monotonic()
        assert reason(fetcher, url).startswith("cut short")
        assert time.monotonic() - start < 2


# Manners


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({"X_Robots_Tag": "noai"}, False),
        ({"X_Robots_Tag": "noindex, NoImageAI"}, False),
        ({"X_Robots_Tag": "noindex", "x_robots_tag": "noai"}, False),  # a line each
        ({"X_Robots_Tag": "beautynet: noai"}, False),
        ({"X_Robots_Tag": "*: noai"}, False),
        ({"X_Robots_Tag": "max-image-preview:large, noai"}, False),
        ({"X_Robots_Tag": "unavailable_after: Sun, 25 Jun 2030 15:00:00 GMT, noai"}, False),
        ({"X_Robots_Tag": "max-snippet:-1, otherbot: noai"}, True),
        ({"TDM_Reservation": "1"}, False),
        ({"X_Robots_Tag": "noindex"}, True),
        ({"X_Robots_Tag": "otherbot: noai, noimageai"}, True),
        ({"X_Robots_Tag": "unavailable_after: 25 Jun 2030 15:00:00 PST"}, True),
        ({"TDM_Reservation": "0"}, True),
    ],
)
def test_opting_out_is_obeyed_unless_told_otherwise(headers: dict[str, str], taken: bool) -> None:
    with Web() as web, Fetcher(QUICK) as fetcher, Fetcher(replace(QUICK, ignore_opt_out=True)) as rude:
        web.routes["/photo"] = body(DATA, **headers)
        assert rude.fetch(f"{web.url}/photo") == DATA
        if taken:
            assert fetcher.fetch(f"{web.url}/photo") == DATA
        else:
            assert reason(fetcher, f"{web.url}/photo").startswith("opted out: ")


def test_who_runs_it_is_said() -> None:
    with Web() as web, Fetcher(QUICK, contact="ana@example.org") as fetcher:
        reason(fetcher, f"{web.url}/x")
        (agent,) = web.agents
        assert "ana@example.org" in agent
    with pytest.raises(BeautyError, match="--contact"):
        Fetcher(QUICK, contact="ana\r\nX-Evil: 1")


@pytest.mark.parametrize(("manners", "most"), [({}, 2), ({"at_once": 1}, 1)])
def test_no_host_gets_more_requests_at_once_than_it_likes(manners: dict[str, int], most: int) -> None:
    with Web() as web:
        host = web.url.removeprefix("http://")
        polite = {host: Manners(**manners)} if manners else {}
        with Fetcher(replace(QUICK, per_host=2), manners=polite) as fetcher:
            web.routes["/photo"] = slowly(DATA, pause=0.05, piece=5000)
            workers = [threading.Thread(target=fetcher.fetch, args=(f"{web.url}/photo",)) for _ in range(6)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            assert fetcher.at_once(f"{web.url}/photo") == web.peak == most
            assert len(web.log) == 6


def test_requests_keep_their_distance() -> None:
    with Web() as web:
        web.routes["/api"] = body(b"{}")
        with Fetcher(QUICK, manners={web.url.removeprefix("http://"): Manners(4, 0.2)}) as fetcher:
            workers = [threading.Thread(target=fetcher.json, args=(f"{web.url}/api",)) for _ in range(4)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        assert min(later - earlier for earlier, later in zip(web.times, web.times[1:], strict=False)) > 0.15


def test_json_or_a_reason() -> None:
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes |= {"/good": body(json.dumps({"花": [1]}).encode()), "/page": body(b" <html>"), "/cut": body(b"{")}
        assert fetcher.json(f"{web.url}/good") == {"花": [1]}
        for path, what in (("/page", "an HTML page instead of JSON"), ("/cut", "something else instead of JSON")):
            with pytest.raises(FetchError, match=what):
                fetcher.json(web.url + path)


def test_download_is_whole_or_absent(tmp_path: Path) -> None:
    big = DATA * 20  # more than an answer may usually hold
    target, told = tmp_path / "deep" / "set.tgz", []
    with Web() as web, Fetcher(QUICK) as fetcher:
        web.routes["/set"] = first(body(big[:5000], promised=len(big)), body(big))
        fetcher.download(f"{web.url}/set", target, len(big), lambda *sizes: told.append(sizes))
        assert target.read_bytes() == big
        assert told[-1] == (len(big), len(big))
        target.write_bytes(b"old")
        web.routes["/set"] = body(big + b"x")
        with pytest.raises(FetchError, match="over"):
            fetcher.download(f"{web.url}/set", target, len(big))
        assert target.read_bytes() == b"old"
        assert os.listdir(target.parent) == ["set.tgz"]
