"""Fetching over HTTP, as politely as hosts ask, and again where that may help. For all sources."""

from __future__ import annotations

import email.utils
import functools
import io
import json
import re
import socket
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from beautynet import __version__, files
from beautynet.errors import BeautyError
from beautynet.sources.connections import FetchError, Watch, check_address, pool_manager

_CHUNK = 1 << 16
_MOMENTARY = re.compile(r"HTTP (408|429|5\d\d)|too slow|cannot connect|cut short")
_TRANSIENT = re.compile(rf"{_MOMENTARY.pattern}|no trusted TLS certificate")  # as of a wrong clock, or a hotel's Wi-Fi
_REDIRECTS = (301, 302, 303, 307, 308)
APART = 3.0
"""Seconds from one sign of a network to the next that is asked for: as the shyest host of `MANNERS` wants requests."""


@dataclass(frozen=True)
class Manners:
    """What a host asks of its visitors: requests at once, and seconds from one request to the next."""

    at_once: int
    interval: float = 0.0


MANNERS = {
    # https://www.mediawiki.org/wiki/API:Etiquette (in series); https://wikitech.wikimedia.org/wiki/Robot_policy
    "commons.wikimedia.org": Manners(1),
    "upload.wikimedia.org": Manners(3),
    "thumb.wikimedia.org": Manners(3),
    "api.inaturalist.org": Manners(1, 1.0),  # 60 a minute: https://api.inaturalist.org/v1/docs/
    "api.openverse.org": Manners(1, 3.0),  # 20 a minute without an account
    "api.flickr.com": Manners(1, 1.0),  # 3,600 an hour: https://www.flickr.com/services/developer/api/
}
"""Host -> its documented manners; all others get `Limits.per_host` requests at once."""


@dataclass(frozen=True)
class Limits:
    """How long, how much, how often and where.

    `total_seconds` is for the body of one answer, `read_seconds` for a gap in it and for all of its headers.

    A host that asks to be left alone (429 or 503 with Retry-After) for longer than `max_wait_seconds` gets its way:
    its files fail until the next run. A network that is gone is waited for, up to `away_seconds`; but not with
    `private_addresses`, which allows this machine and the networks it is in: those answer without any other.
    `ignore_opt_out` also takes photos whose host says that they are not for training.
    """

    connections: int = 16
    per_host: int = 8
    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    total_seconds: float = 60.0
    max_bytes: int = 30_000_000
    max_redirects: int = 5
    attempts: int = 3
    backoff_seconds: float = 1.0
    max_wait_seconds: float = 60.0
    away_seconds: float = 300.0
    private_addresses: bool = False
    ignore_opt_out: bool = False


def is_transient(reason: str) -> bool:
    """Whether a failure with this reason may be gone in the next run."""
    return _TRANSIENT.match(reason) is not None


def user_agent(contact: str | None = None) -> str:
    """How we introduce ourselves; `contact` is an address of whoever runs us, for hosts that want to know."""
    whom = f"; contact: {contact}" if contact else ""
    return f"beautynet/{__version__} (gathers photos to train a small network{whom})"


@dataclass(frozen=True)
class _Sink:
    """Where a body goes, and how much of it may come in how long."""

    file: IO[bytes]
    max_bytes: int
    seconds: float
    note: Callable[[int, int | None], None] | None = None


class _Network:
    """Whether there is one: a laptop that wakes has none for seconds, in which all that it asks for would fail."""

    def __init__(self, limits: Limits, stopping: threading.Event) -> None:
        self._limits = limits
        self._stopping = stopping
        self._alone = threading.Lock()
        self._last: tuple[tuple[str, int], float] | None = None  # who was reached last, and when

    def reached(self, sock: socket.socket) -> None:
        """Somebody has answered."""
        with suppress(OSError):  # and is gone again
            self._last = sock.getpeername()[:2], time.monotonic()

    def wait(self, began: float) -> None:
        """Wait until somebody has answered since `began`, or who did last can be connected to; but not for ever.

        At once where nobody has answered yet: a run that begins without a network is told so. Who answered last may
        have nothing to do with what fails, and is asked seldom, however much of it there is.
        """
        with self._alone:  # one tries for all
            deadline = time.monotonic() + self._limits.away_seconds
            while self._last and self._last[1] < began and not self._stopping.wait(0.05):
                address, seen = self._last
                if time.monotonic() < seen + APART:
                    continue
                try:
                    socket.create_connection(address, self._limits.connect_seconds).close()
                    self._last = address, time.monotonic()
                except OSError:
                    if time.monotonic() > deadline:
                        self._last = None
                    self._stopping.wait(self._limits.backoff_seconds)


class Fetcher:
    """Fetches from several threads at once; `stop()` ends what is in flight."""

    def __init__(
        self, limits: Limits | None = None, contact: str | None = None, manners: Mapping[str, Manners] = MANNERS
    ) -> None:
        """With these limits; `manners` are by host, or host:port."""
        if contact and not contact.isprintable():
            raise BeautyError("--contact is an e-mail address or a URL, on one line")
        self.limits = limits or Limits()
        self.user_agent = user_agent(contact)
        self._manners = manners
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._watch = Watch(self.limits.read_seconds)
        self._network = _Network(self.limits, self._stopping)
        self._managers: dict[str | None, Any] = {}  # proxy's URL -> urllib3's pool manager
        self._inside: Counter[str] = Counter()  # host -> requests that have a place there
        self._left = threading.Condition(self._lock)  # one of these places
        self._next_start: dict[str, float] = {}  # host -> time.monotonic() of its next request

    def fetch(self, url: str) -> bytes:
        """The whole body at `url`, after a few attempts if need be. Raises FetchError."""
        body = io.BytesIO()
        self._insist(url, _Sink(body, self.limits.max_bytes, self.limits.total_seconds))
        return body.getvalue()

    def download(
        self, url: str, path: Path, max_bytes: int, note: Callable[[int, int | None], None] | None = None
    ) -> None:
        """The whole body at `url`, of at most `max_bytes`, into the file `path`, atomically. Raises FetchError.

        It has to come at 50 kB/s on average; `note` is told the bytes that are there, and those promised if any are.
        """
        with files.atomic(path) as temporary, open(temporary, "wb") as file:
            self._insist(url, _Sink(file, max_bytes, self.limits.total_seconds + max_bytes / 50_000, note))

    def json(self, url: str) -> Any:
        """The JSON at `url`. Raises FetchError, also where it is something else."""
        body = self.fetch(url)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            what = "an HTML page" if body.lstrip()[:1] == b"<" else "something else"
            raise FetchError(f"sent {what} instead of JSON: its service has changed, or is down") from None

    def at_once(self, url: str) -> int:
        """How many requests at once the host of `url` takes."""
        manners = self._manners.get(host_of(url))
        return min(self.limits.per_host, manners.at_once) if manners else self.limits.per_host

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Let no fetch begin, wait or read on; those in flight fail, within `connect_seconds` at the latest."""
        self._stopping.set()
        self._watch.stop()

    def __enter__(self) -> Fetcher:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and close the connections."""
        self.stop()
        with self._lock:
            for manager in self._managers.values():
                manager.clear()

    def _insist(self, url: str, sink: _Sink) -> None:
        """Attempt, and again where that may help."""
        for attempt in range(self.limits.attempts - 1):
            began = time.monotonic()
            try:
                return self._attempt(url, sink)
            except FetchError as error:
                if not _MOMENTARY.match(str(error)) or self._stopping.is_set():
                    raise
                # who was reached last may be of this machine's own network, and says nothing of the others then
                if not str(error).startswith("HTTP") and not self.limits.private_addresses:
                    self._network.wait(began)
            self._stopping.wait(self.limits.backoff_seconds * 2**attempt)
        return self._attempt(url, sink)

    def _attempt(self, url: str, sink: _Sink) -> None:
        """Fetch `url`, and where it redirects to."""
        import urllib3

        for _ in range(self.limits.max_redirects + 1):
            check_address(url, self.limits.private_addresses)
            try:
                manager = self._manager(url)  # first: it may take a while, and the distance of requests is exact
                with self._turn(url):
                    location = self._request(manager, url, sink)
            except urllib3.exceptions.SSLError as error:
                raise FetchError("no trusted TLS certificate") from error
            except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.NameResolutionError) as error:
                raise FetchError("cannot connect") from error
            except urllib3.exceptions.TimeoutError as error:
                raise FetchError(f"too slow: no answer within {self.limits.read_seconds:g} s") from error
            except urllib3.exceptions.ProtocolError as error:  # IncompleteRead is one
                raise FetchError("cut short: the connection closed before the end") from error
            except urllib3.exceptions.ProxyError as error:
                raise FetchError("cannot connect: the proxy refuses") from error
            except (urllib3.exceptions.HTTPError, ValueError) as error:
                raise FetchError(f"not fetched: {type(error).__name__}") from error
            if location is None:
                return
            try:
                url = urljoin(url, location)
            except ValueError:
                raise FetchError("not a web address: where it redirects to") from None
        raise FetchError(f"more than {self.limits.max_redirects} redirects")

    def _request(self, manager: Any, url: str, sink: _Sink) -> str | None:
        """Fill `sink` anew with what is at `url`; or return where it redirects to."""
        import urllib3

        deadline = time.monotonic() + sink.seconds
        response = manager.urlopen(
            "GET",
            url.partition("#")[0],  # urllib3 encodes it: a path in per cent, a host in Punycode
            redirect=False,  # each has to be checked first, and its body is not wanted
            retries=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=self.limits.connect_seconds, read=self.limits.read_seconds),
        )
        try:
            self._network.reached(response.awaited_on)
            if response.status in _REDIRECTS:
                return _as_written(response.headers.get("Location", ""))
            self._check(response, url)
            self._receive(response, sink, deadline)
            return None
        finally:
            response.close()  # hangs up where the body was not read to its end

    def _receive(self, response: Any, sink: _Sink, deadline: float) -> None:
        """Fill `sink` anew with the body of a response."""
        import urllib3

        too_big = FetchError(f"over {sink.max_bytes / 1e6:g} MB")
        header = response.headers.get("Content-Length", "")
        promised = int(header) if header.isdecimal() and "Content-Encoding" not in response.headers else None
        if (promised or 0) > sink.max_bytes:
            raise too_big
        sink.file.seek(0)
        sink.file.truncate()
        size = 0
        too_slow = FetchError(f"too slow: not whole after {sink.seconds:g} s")
        with self._watch.over(response.awaited_on, deadline) as late:
            try:
                # read1 returns what has come; read would wait for a whole chunk, for hours where bytes drip.
                while chunk := response.read1(_CHUNK, decode_content=True):
                    size += sink.file.write(chunk)
                    if size > sink.max_bytes:
                        raise too_big
                    if sink.note:
                        sink.note(size, promised)
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                if late():  # whatever came of being hung up on
                    raise too_slow from error
                raise
            if late():
                raise too_slow
        if self._stopping.is_set():
            raise FetchError("cut short: stopped")
        if size < (promised or 0):
            raise FetchError(f"cut short: {size} of {promised} bytes")

    def _check(self, response: Any, url: str) -> None:
        """Whether a final response brings what was asked for, and for such as us."""
        if response.status in (429, 503) and (wait := _seconds(response.headers.get("Retry-After", ""))):
            with self._lock:
                host, until = host_of(url), time.monotonic() + wait
                self._next_start[host] = max(self._next_start.get(host, 0.0), until)
        if response.status != 200:
            raise FetchError(f"HTTP {response.status}")
        if not self.limits.ignore_opt_out and (how := _opt_out(response.headers)):
            raise FetchError(f"opted out: {how}")

    @contextmanager
    def _turn(self, url: str) -> Iterator[None]:
        """Wait until the host of `url` wants a request, and hold its place meanwhile."""
        host = host_of(url)
        manners, most = self._manners.get(host), self.at_once(url)
        with self._left:
            while self._inside[host] >= most:
                self._left.wait(0.2)
                if self._stopping.is_set():
                    raise FetchError("cut short: stopped")
            self._inside[host] += 1
        try:
            with self._lock:
                now = time.monotonic()
                start = max(now, self._next_start.get(host, 0.0))
                if start - now > self.limits.max_wait_seconds:
                    raise FetchError(f"HTTP 429: the host wants no requests for {start - now:.0f} s")
                if manners:
                    self._next_start[host] = start + manners.interval
                elif start <= now:
                    self._next_start.pop(host, None)  # in days there may be millions of hosts
            if self._stopping.wait(start - now) or self._stopping.is_set():
                raise FetchError("cut short: stopped")
            yield
        finally:
            with self._left:
                self._inside[host] -= 1
                if not self._inside[host]:
                    del self._inside[host]  # likewise
                self._left.notify_all()

    def _manager(self, url: str) -> Any:
        """The connections that lead to `url`: straight, or by the proxy that the system names."""
        parts = urlsplit(url)
        proxy = _proxies().get(parts.scheme)
        if proxy and urllib.request.proxy_bypass(parts.netloc):
            proxy = None
        with self._lock:
            if proxy not in self._managers:
                most, private = self.limits.connections, self.limits.private_addresses
                self._managers[proxy] = pool_manager(self.user_agent, self._watch, proxy, most, private=private)
            return self._managers[proxy]


@functools.lru_cache(1024)
def host_of(url: str) -> str:
    """The host of a web address, with its port where it names one; empty where there is none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


_WITH_VALUES = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")
"""What X-Robots-Tag says with a colon and is no robot's name."""
_ROBOT = re.compile(r"[a-z_*][\w.*-]*")


def _opt_out(headers: Any) -> str | None:
    """The header by which a host says that its files are not for training; None where it does not.

    `X-Robots-Tag: noai, noimageai`, as DeviantArt introduced it, may name the robots it is for before a colon;
    `TDM-Reservation: 1` is the W3C community group's text-and-data-mining reservation.
    """
    for value in headers.getlist("X-Robots-Tag"):
        robot = None
        for directive in value.lower().split(","):
            name, colon, rest = directive.strip().partition(":")
            if colon and _ROBOT.fullmatch(name) and name not in _WITH_VALUES:  # to the end of the line
                robot, name = name.strip(), rest.strip()
            if name in ("noai", "noimageai") and robot in (None, "*", "beautynet"):
                return f"X-Robots-Tag {name}"
    if headers.get("TDM-Reservation", "").strip() == "1":
        return "TDM-Reservation"
    return None


@functools.cache
def _proxies() -> dict[str, str]:
    return urllib.request.getproxies()


def _as_written(header: str) -> str:
    """A header in UTF-8, as most servers write what is not ASCII; http.client reads each byte as a character."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _seconds(retry_after: str) -> float:
    """The header's seconds, or its date as seconds from now; 0 where it says nothing readable."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):  # a year of twenty digits
        return 0.0
