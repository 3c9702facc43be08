import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from beautynet import manifest
from beautynet.errors import BeautyError
from beautynet.manifest import Manifest, Record


def record(number: int, **changes: object) -> Record:
    fields: dict[str, object] = {
        "file": f"{number:016x}.jpg",
        "url": f"https://example.org/花/{number}?a=b&c",
        "page": None,
        "source": "bing",
        "query": "flor ção",
        "licence": None,
        "author": None,
        "sha256": f"{number:064x}",
        "phash": f"{number:016x}",
        "width": 640,
        "height": 480,
        "status": "kept",
        "reason": None,
    }
    return Record(**(fields | changes))  # type: ignore[arg-type]


def test_rows_come_back(tmp_path: Path) -> None:
    rows = [record(1), record(2, status="failed", file=None, sha256=None, reason="HTTP 404"), record(3)]
    with Manifest(tmp_path) as open_manifest:
        for row in rows:
            open_manifest.append(row)
    assert manifest.read(tmp_path) == rows
    with Manifest(tmp_path) as again:
        assert list(again) == rows
        assert again.kept == [rows[0], rows[2]]
        assert again.by_url(rows[1].url or "") == rows[1]
        assert again.by_sha256(rows[2].sha256 or "") == rows[2]
        assert again.by_url("https://example.org/") is None
    first = json.loads((tmp_path / manifest.NAME).read_text().splitlines()[0])
    assert first["query"] == "flor ção"


def test_last_row_of_a_url_holds(tmp_path: Path) -> None:
    with Manifest(tmp_path) as open_manifest:
        open_manifest.append(record(1, status="failed", file=None, reason="HTTP 503"))
        open_manifest.append(record(1))
        assert open_manifest.latest == [record(1)]
        assert len(open_manifest) == 2


@pytest.mark.parametrize("cut", [1, 2, 20, 300])
def test_torn_last_row_is_mended(tmp_path: Path, cut: int) -> None:
    with Manifest(tmp_path) as open_manifest:
        open_manifest.append(record(1))
        open_manifest.append(record(2))
    path = tmp_path / manifest.NAME
    path.write_bytes(path.read_bytes()[:-cut])
    survivors = [record(1), record(2)] if cut == 1 else [record(1)]  # cut 1: only the line's end is lost
    assert manifest.read(tmp_path) == survivors
    with Manifest(tmp_path) as again:
        assert list(again) == survivors
        again.append(record(3))
    assert manifest.read(tmp_path) == [*survivors, record(3)]


def test_damage_inside_is_named(tmp_path: Path) -> None:
    with Manifest(tmp_path) as open_manifest:
        open_manifest.append(record(1))
    path = tmp_path / manifest.NAME
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(BeautyError, match="line 1 is not a manifest row"):
        Manifest(tmp_path)


def test_rows_of_other_versions_are_read(tmp_path: Path) -> None:
    (tmp_path / manifest.NAME).write_text('{"url": "u", "source": "x", "status": "failed", "mood": "good"}\n')
    (row,) = manifest.read(tmp_path)
    assert (row.url, row.status, row.licence) == ("u", "failed", None)


def test_second_run_is_refused(tmp_path: Path) -> None:
    with Manifest(tmp_path):
        with pytest.raises(BeautyError, match="another run is filling"):
            Manifest(tmp_path)
        code = f"from pathlib import Path; from beautynet.manifest import Manifest; Manifest(Path({str(tmp_path)!r}))"
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "another run is filling" in child.stderr
    Manifest(tmp_path).close()


def test_nothing_written_leaves_nothing(tmp_path: Path) -> None:
    with Manifest(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()


def test_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    with Manifest(tmp_path) as open_manifest:
        open_manifest.append(record(1))
        size = open_manifest.path.stat().st_size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, before[1]))
        try:
            with pytest.raises((BeautyError, OSError)):
                open_manifest.append(record(2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        assert open_manifest.path.stat().st_size == size
        open_manifest.append(record(3))
    assert manifest.read(tmp_path) == [record(1), record(3)]


def test_hundred_thousand_rows_open_quickly(tmp_path: Path) -> None:
    line = json.dumps(record(7).__dict__)
    (tmp_path / manifest.NAME).write_text("".join(line.replace("/7?", f"/{i}?") + "\n" for i in range(100_000)))
    start = time.process_time()
    with Manifest(tmp_path) as open_manifest:
        assert len(open_manifest.kept) == 100_000
    assert time.process_time() - start < 8
