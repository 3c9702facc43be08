"""Connections to hosts that may be slow, broken or hostile: to public addresses only, and none is waited for long."""

from __future__ import annotations

import functools
import ipaddress
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from beautynet.errors import BeautyError


class FetchError(BeautyError):
    """Why there is no file, as a manifest's reason."""


class Watch:
    """Hangs up on hosts that let us wait: a timeout between two bytes does not notice a drip.

    Nor does whoever reads where a chunk's size drips, or what is packed never yields a byte.

    One thread for all connections; and all of them are hung up on when it is told to stop.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._deadlines: dict[object, tuple[socket.socket, float]] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, sock: socket.socket, deadline: float | None = None) -> Iterator[Callable[[], bool]]:
        """While something is awaited on `sock`, headers by default; what is yielded tells whether it came too late."""
        deadline = time.monotonic() + self._seconds if deadline is None else deadline
        turn = object()  # with its last byte a connection goes to whoever is next, who may be here before we have left
        with self._lock:
            self._sockets.add(sock)
            self._deadlines[turn] = sock, deadline
            if self._stopped.is_set():
                _hang_up(sock)
            elif self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
        try:
            yield lambda: time.monotonic() > deadline
        finally:
            with self._lock:
                self._deadlines.pop(turn, None)

    def stop(self) -> None:
        """Hang up on all, now and from now on."""
        with self._lock:
            self._stopped.set()
            for sock in self._sockets:
                _hang_up(sock)

    def _run(self) -> None:
        while not self._stopped.wait(min(0.1, self._seconds / 4)):
            now = time.monotonic()
            with self._lock:
                for sock, deadline in self._deadlines.values():
                    if now > deadline:
                        _hang_up(sock)


def check_address(url: str, private: bool = False) -> None:
    """Refuse what must not be asked for; called for every URL and every redirect. Raises FetchError.

    Of a name, the addresses behind it are checked once it is resolved: at the moment of connecting, so that no second
    answer of a name server can slip another address in.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise FetchError("not a web address") from None
    if parts.scheme not in ("http", "https") or not host or not host.isprintable():
        raise FetchError("not a web address: only http:// and https:// are fetched")
    try:
        _check_ip(str(ipaddress.ip_address(host)), private)
    except ValueError:  # a name; of one that a proxy will resolve nothing more is known
        if not private and _is_near(host):
            raise FetchError(f"a private address: {host}") from None


_NEAR = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".intranet", ".corp")
"""Names that end so are of this machine or of the network it is in (RFC 6761, 6762, 8375; ICANN's .internal)."""


def _is_near(name: str) -> bool:
    """Whether a name is none of the public internet, or a number that is read as an address (0x7f.1)."""
    name = name.rstrip(".").lower()
    with suppress(OSError, ValueError):
        return _not_public(socket.inet_ntoa(socket.inet_aton(name))) is not None
    return "." not in name or name.endswith(_NEAR)


def _check_ip(address: str, private: bool) -> None:
    """Refuse what is not on the public internet."""
    if not private and (ip := _not_public(address)):
        raise FetchError(f"a private address: {ip}")


@functools.lru_cache(1024)
def _not_public(address: str) -> str | None:
    """An address as what it is, if it is not on the public internet. ValueError if it is no address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):  # an IPv4 address in IPv6's clothes is judged as what it is
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in ipaddress.ip_network("64:ff9b::/96"):  # NAT64, RFC 6052
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    is_public = ip.version == 4 or ip in ipaddress.ip_network("2000::/3")  # where all that is routed is
    return str(ip) if not ip.is_global or ip.is_multicast or not is_public else None


def pool_manager(agent: str, watch: Watch, proxy: str | None, most: int, *, private: bool) -> Any:
    """urllib3's, for at most so many connections at once; to addresses that are not public only if `private`."""
    import certifi
    import urllib3

    trusted = urllib3.util.create_urllib3_context()
    # With what a school or a company, which looks into everything, adds to Linux' or Windows' own; macOS' keychain is
    # not read. One broken certificate there spoils all of them.
    with suppress(ssl.SSLError):
        trusted.load_default_certs()
    trusted.load_verify_locations(certifi.where())
    settings: dict[str, Any] = {
        "num_pools": 4 * most,
        "maxsize": most,
        "headers": {"User-Agent": agent, "Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity"},
        "ssl_context": trusted,
    }
    manager = (
        urllib3.ProxyManager(proxy, proxy_ssl_context=trusted, **settings) if proxy else urllib3.PoolManager(**settings)
    )
    manager.pool_classes_by_scheme = {
        # Behind a proxy it is the proxy that resolves names; its own address is private more often than not.
        scheme: _guarded(pool, watch, private=private or proxy is not None)
        for scheme, pool in (("http", urllib3.HTTPConnectionPool), ("https", urllib3.HTTPSConnectionPool))
    }
    return manager


def _guarded(pool: Any, watch: Watch, *, private: bool) -> Any:
    """A kind of connection pool that goes to public addresses only, under a watch."""
    from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
    from urllib3.util.connection import create_connection

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            try:
                found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
            except (socket.gaierror, UnicodeError) as error:
                raise NameResolutionError(self.host, self, socket.gaierror(str(error))) from error
            addresses = list(dict.fromkeys(str(address[4][0]) for address in found))
            for address in addresses:
                _check_ip(address, private)
            trouble: OSError | None = None
            deadline = time.monotonic() + self.timeout  # which its addresses share
            for after, address in zip(reversed(range(len(addresses))), addresses, strict=True):
                left = max(0.1, deadline - time.monotonic()) / (after + 1)
                try:
                    connected = create_connection((address, self.port), left, self.source_address, self.socket_options)
                    connected.settimeout(self.timeout)  # of the handshake, which has no other address to turn to
                    return connected
                except OSError as error:
                    trouble = error
            if isinstance(trouble, TimeoutError):
                raise ConnectTimeoutError(self, "no connection in time") from trouble
            raise NewConnectionError(self, str(trouble)) from trouble

        def getresponse(self) -> Any:
            awaited_on = self.sock
            with watch.over(awaited_on) as late:
                response = super().getresponse()
            response.awaited_on = awaited_on  # which a connection that will be closed gives away
            if late():  # http.client takes the end of the connection for the end of the headers
                raise TimeoutError
            return response

    return type("Pool", (pool,), {"ConnectionCls": Connection})


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):  # closed already
        sock.shutdown(socket.SHUT_RDWR)
