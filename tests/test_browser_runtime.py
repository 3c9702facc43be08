"""onnxruntime-web's files: from the cache, npm or a web server, and never any others."""

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from beautynet.errors import BeautyError
from beautynet.sources.fetch import Fetcher, Limits
from beautynet.web import browser_runtime
from beautynet.web.browser_runtime import runtime

SOME = {"a.mjs": b"export const a = 1;", "b.wasm": b"\0asm" * 1000}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def cdn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A server with two files, which are the known ones."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        browser_runtime, "FILES", {name: hashlib.sha256(data).hexdigest() for name, data in SOME.items()}
    )
    folder = tmp_path / "served"
    folder.mkdir()
    for name, data in SOME.items():
        (folder / name).write_bytes(data)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()


def fetcher() -> Fetcher:
    return Fetcher(Limits(private_addresses=True), manners={})


def test_from_a_web_server_and_then_from_the_cache(cdn: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_runtime.shutil, "which", lambda _: None)
    address, folder = cdn
    paths = runtime(address, fetcher())
    assert {path.name: path.read_bytes() for path in paths} == SOME
    for name in SOME:
        (folder / name).unlink()
    assert runtime(address, fetcher()) == paths
    paths[0].write_bytes(b"damaged")
    (folder / "a.mjs").write_bytes(SOME["a.mjs"])
    assert runtime(address, fetcher())[0].read_bytes() == SOME["a.mjs"]


def test_other_files_are_refused_and_not_kept(cdn: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_runtime.shutil, "which", lambda _: None)
    address, folder = cdn
    (folder / "b.wasm").write_bytes(b"something else")
    with pytest.raises(BeautyError, match=r"b\.wasm .* is not the file that is known"):
        runtime(address, fetcher())
    assert [path.name for path in browser_runtime.files.cache().rglob("*") if path.is_file()] == ["a.mjs"]


def npm(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An npm that does this."""
    folder.mkdir()
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo it is down >&2; exit 1", "it is down"),
        ("exit 0", "no reason given"),
        ('for last; do :; done; echo rubbish > "$last/x.tgz"', "came broken"),
    ],
)
@pytest.mark.usefixtures("cdn")
def test_what_npm_gets_wrong_is_one_line(
    script: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm(tmp_path / "bin", script, monkeypatch)
    with pytest.raises(BeautyError, match=said):
        runtime()


def test_by_the_real_npm(ort_web: None) -> None:  # noqa: ARG001
    paths = runtime()
    assert [path.name for path in paths] == list(browser_runtime.FILES)
    assert sum(path.stat().st_size for path in paths) > 40_000_000
