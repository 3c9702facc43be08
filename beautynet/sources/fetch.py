"""Fetching files over HTTP from hosts that may be slow, broken or hostile. For all sources."""

from __future__ import annotations

import email.utils
import re
import socket
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from importlib import metadata
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

from beautynet.errors import BeautyError

try:
    _VERSION = metadata.version("beautynet")
except metadata.PackageNotFoundError:  # run from a checkout that is not installed
    _VERSION = "0"

USER_AGENT = f"beautynet/{_VERSION} (gathers photos to train a small network)"
_CHUNK = 1 << 16
_TRANSIENT = re.compile(r"HTTP (408|429|5\d\d)|too slow|cannot connect|cut short")


@dataclass(frozen=True)
class Limits:
    """How long, how much and how often.

    `total_seconds` is for the body of one answer, `read_seconds` for a gap in it and for all of its headers.

    A host that asks to be left alone (429 or 503 with Retry-After) for longer than `max_wait_seconds` gets its way:
    its files fail until the next run.
    """

    connections: int = 16
    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    total_seconds: float = 60.0
    max_bytes: int = 30_000_000
    max_redirects: int = 5
    attempts: int = 3
    backoff_seconds: float = 1.0
    max_wait_seconds: float = 60.0


class FetchError(BeautyError):
    """Why there is no file, as a manifest's reason."""


def is_transient(reason: str) -> bool:
    """Whether a failure with this reason may be gone in the next run."""
    return _TRANSIENT.match(reason) is not None


class Fetcher:
    """Fetches files, from several threads at once; `stop()` ends what is in flight."""

    def __init__(self, limits: Limits | None = None) -> None:
        """With these limits."""
        self.limits = limits or Limits()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._session = _session(self.limits, self._note_socket)
        self._wait_until: dict[str, float] = {}  # host -> time.monotonic() before which it wants no request

    def fetch(self, url: str) -> bytes:
        """The whole body at `url`, after a few attempts if need be. Raises FetchError."""
        for attempt in range(self.limits.attempts - 1):
            try:
                return self._attempt(url)
            except FetchError as error:
                if not is_transient(str(error)) or self._stopping.is_set():
                    raise
            self._stopping.wait(self.limits.backoff_seconds * 2**attempt)
        return self._attempt(url)

    def stop(self) -> None:
        """Let no fetch begin, wait or read on; those in flight fail, within `connect_seconds` at the latest."""
        self._stopping.set()
        with self._lock:
            for sock in self._sockets:
                _hang_up(sock)

    def __enter__(self) -> Fetcher:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and close the connections."""
        self.stop()
        self._session.close()

    def _attempt(self, url: str) -> bytes:
        import requests
        import urllib3

        limits = self.limits
        try:
            for _ in range(limits.max_redirects + 1):
                check_address(url)
                self._await_host(url)
                deadline = time.monotonic() + limits.total_seconds
                timeout = (limits.connect_seconds, limits.read_seconds)
                with self._session.get(url, stream=True, timeout=timeout) as response:
                    if response.status_code not in (301, 302, 303, 307, 308):
                        return self._body(response, deadline)
                    url = urljoin(url, response.headers.get("Location", ""))
            raise FetchError(f"more than {limits.max_redirects} redirects")
        except (requests.exceptions.SSLError, urllib3.exceptions.SSLError) as error:
            raise FetchError("no trusted TLS certificate") from error
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise FetchError(f"too slow: no answer within {limits.read_seconds:g} s") from error
        except urllib3.exceptions.ProtocolError as error:  # IncompleteRead is one
            raise FetchError("cut short: the connection closed before the end") from error
        except requests.exceptions.ConnectionError as error:
            raise FetchError("cannot connect") from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise FetchError(f"not fetched: {type(error).__name__}") from error

    def _body(self, response: Any, deadline: float) -> bytes:
        """The body of a final response, if it is whole and within the limits."""
        if response.status_code != 200:
            if response.status_code in (429, 503):
                wait = _seconds(response.headers.get("Retry-After", ""))
                self._wait_until[urlsplit(response.url).netloc] = time.monotonic() + wait
            raise FetchError(f"HTTP {response.status_code}")
        too_big = FetchError(f"over {self.limits.max_bytes / 1e6:g} MB")
        promised = response.headers.get("Content-Length", "")
        if promised.isdecimal() and int(promised) > self.limits.max_bytes:
            raise too_big
        body = bytearray()
        # read1 returns what has come; read would wait for a whole chunk, for hours where bytes drip.
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > self.limits.max_bytes:
                raise too_big
            if time.monotonic() > deadline:
                raise FetchError(f"too slow: not whole after {self.limits.total_seconds:g} s")
        if self._stopping.is_set():
            raise FetchError("cut short: stopped")
        if promised.isdecimal() and "Content-Encoding" not in response.headers and len(body) < int(promised):
            raise FetchError(f"cut short: {len(body)} of {promised} bytes")
        return bytes(body)

    def _note_socket(self, sock: socket.socket) -> None:
        """A request has gone out on this socket; called before its answer is awaited."""
        with self._lock:
            self._sockets.add(sock)
            if self._stopping.is_set():
                _hang_up(sock)

    def _await_host(self, url: str) -> None:
        """Wait until the host wants requests again, where it has said when."""
        seconds = self._wait_until.get(urlsplit(url).netloc, 0.0) - time.monotonic()
        if seconds > self.limits.max_wait_seconds:
            raise FetchError(f"HTTP 429: the host wants no requests for {seconds:.0f} s")
        if self._stopping.wait(max(seconds, 0.0)):
            raise FetchError("cut short: stopped")


def check_address(url: str) -> None:
    """Refuse what must not be asked for; called for every URL and every redirect. Raises FetchError.

    Refusing private and loopback addresses belongs here.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise FetchError("not a web address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError("not a web address: only http:// and https:// are fetched")


def _session(limits: Limits, note_socket: Callable[[socket.socket], None]) -> Any:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

    class Session(requests.Session):  # type: ignore[misc]
        """Follows no redirect by itself: it would read the body of each without a limit."""

        def get_redirect_target(self, resp: Any) -> None:  # noqa: ARG002
            return None

    session = Session()
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_connections=4 * limits.connections, pool_maxsize=limits.connections)
    adapter.poolmanager.pool_classes_by_scheme = {
        "http": _impatient(HTTPConnectionPool, limits.read_seconds, note_socket),
        "https": _impatient(HTTPSConnectionPool, limits.read_seconds, note_socket),
    }
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _impatient(pool: Any, seconds: float, note_socket: Callable[[socket.socket], None]) -> Any:
    """A kind of connection pool that hangs up on headers that drip; a timeout between two bytes does not notice."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def getresponse(self) -> Any:
            sock, late = self.sock, threading.Event()

            def give_up() -> None:
                late.set()
                _hang_up(sock)

            note_socket(sock)
            timer = threading.Timer(seconds, give_up)
            timer.daemon = True
            timer.start()
            try:
                response = super().getresponse()
            finally:
                timer.cancel()
            if late.is_set():  # http.client takes the end of the connection for the end of the headers
                raise TimeoutError
            return response

    return type("Pool", (pool,), {"ConnectionCls": Connection})


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):  # closed already
        sock.shutdown(socket.SHUT_RDWR)


def _seconds(retry_after: str) -> float:
    """The header's seconds, or its date as seconds from now; 0 where it says nothing readable."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return 0.0
