import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from random import Random

import pytest

from beautynet import files
from beautynet.datasets import manifest
from beautynet.datasets.manifest import Manifest, Record, Rows
from beautynet.errors import BeautyError


def record(number: int, **changes: object) -> Record:
    fields: dict[str, object] = {
        "file": f"{number:016x}.jpg",
        "url": f"https://example.org/花/{number}?a=b&c",
        "page": None,
        "source": "bing",
        "query": "flor ção",
        "licence": None,
        "licence_url": None,
        "author": 'Some "Body"',
        "attribution": None,
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
    assert list(manifest.latest(tmp_path)) == rows
    with Manifest(tmp_path) as again:
        assert list(again.rows()) == rows
        assert again.by_url(rows[1].url or "") == rows[1]
        assert again.by_sha256(rows[2].sha256 or "") == rows[2]
        assert again.by_url("https://example.org/") is None
    first = json.loads((tmp_path / manifest.NAME).read_text().splitlines()[0])
    assert first["query"] == "flor ção"


def check(rows: Rows, expected: list[Record]) -> None:
    """All that can be asked, against a plain reading of the rows."""
    last = {row.url: row for row in expected if row.url is not None}
    holding = [row for row in expected if row.url is None or last[row.url] is row]
    assert list(rows.rows()) == expected
    assert len(rows) == len(expected)
    assert list(rows.latest()) == holding
    assert rows.counts() == Counter(row.status for row in holding)
    assert list(rows.values("url", "status")) == [(row.url, row.status) for row in holding]
    assert list(rows.kept_files()) == [(row.file, row.phash) for row in holding if row.status == "kept"]
    if isinstance(rows, Manifest):
        for url, row in last.items():
            assert rows.by_url(url) == row
        assert rows.by_url("nowhere") is None
        stored = {row.sha256: row for row in holding if row.status in ("kept", "rejected")}
        for sha256 in {row.sha256 for row in expected if row.sha256}:
            assert rows.by_sha256(sha256) == stored.get(sha256)


ALL = ("kept", "rejected", "skipped", "failed")
KEYS = {"hash": hash, "always the same": lambda _: 7, "one of three": lambda token: token[-2] % 3}


@pytest.mark.parametrize("key", KEYS)
def test_any_history_reads_as_a_plain_list_would(tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retried, taken out, taken back; many rows with the same key; read in small blocks; opened again and again."""
    monkeypatch.setattr(manifest, "_key", KEYS[key])
    monkeypatch.setattr(manifest, "_RECENT", 5)
    random = Random(key)
    expected: list[Record] = []
    for block in (1, 700, 2000, 1 << 20):
        monkeypatch.setattr(manifest, "_BLOCK", block)
        with Manifest(tmp_path) as rows:
            check(rows, expected)
            for _ in range(20):
                number, status = random.randrange(12), random.choice(ALL)
                changes = {"url": None} if number == 0 else {}
                expected.append(record(number + 100 * (status == "skipped"), status=status, **changes))
                rows.append(expected[-1])
            check(rows, expected)
            check(Rows(tmp_path), expected)


STRANGE = [
    "",
    "\\",
    'ends in \\"',
    "ends in \\",
    "\n\t\x00\x1f\x7f",
    "é花😀\u2028",
    '", "sha256": "ff", "phash": "',
    '"}\n{"file": null, "url": "u"',
    "null",
    "\\u00e9",
]


def foreign(row: Record) -> list[bytes]:
    """A row in forms that are not ours."""
    pairs = {"mood": "good", **dict(reversed(asdict(row).items())), "note": {"url": "another"}}
    return [
        json.dumps(asdict(row)).encode(),
        json.dumps(asdict(row), separators=(",", ":"), ensure_ascii=False).encode(),
        json.dumps(asdict(row), ensure_ascii=False).encode().replace(b"/", b"\\/") + b" \r",
        json.dumps(pairs).encode(),
    ]


@pytest.mark.parametrize("text", STRANGE)
def test_any_text_in_any_form_reads_as_json_reads_it(tmp_path: Path, text: str) -> None:
    ours = [record(1, url=text), record(2, author=text, reason=text), record(3, attribution=text)]
    with Manifest(tmp_path) as rows:
        for row in ours:
            rows.append(row)
        check(rows, ours)
    check(Rows(tmp_path), ours)
    path = tmp_path / manifest.NAME
    path.write_bytes(b"".join(line + b"\n\n" for row in ours for line in foreign(row)) + path.read_bytes())
    last = {row.url: row for row in ours}
    with Manifest(tmp_path) as rows:
        assert list(rows.rows()) == [row for row in ours for _ in range(4)] + ours
        assert list(rows.latest()) == ours
        assert all(rows.by_url(url) == row for url, row in last.items())
        assert rows.counts() == {"kept": 3}


def test_rows_that_are_added_while_reading_are_left_out(tmp_path: Path) -> None:
    with Manifest(tmp_path) as rows:
        rows.append(record(1))
        reader = Rows(tmp_path)
        rows.append(record(2))
        rows.append(record(1, status="rejected"))
        check(reader, [record(1)])


def test_a_photo_taken_out_is_still_known(tmp_path: Path) -> None:
    with Manifest(tmp_path) as rows:
        rows.append(record(1))
        rows.append(record(1, status="rejected", reason="by hand"))
        rows.append(record(2, status="skipped", sha256="ab", reason="too small"))
    with Manifest(tmp_path) as again:
        assert again.by_sha256(record(1).sha256 or "") == record(1, status="rejected", reason="by hand")
        assert again.by_sha256("ab") is None


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
        assert list(again.rows()) == survivors
        again.append(record(3))
    assert manifest.read(tmp_path) == [*survivors, record(3)]


def test_damage_inside_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Manifest(tmp_path) as open_manifest:
        open_manifest.append(record(1))
    path = tmp_path / manifest.NAME
    row = path.read_bytes()
    one = row.strip()
    for nonsense in (
        b"nonsense",
        b"12",
        one + one,
        one[:-1],
        one.replace(b"bing", b"\t"),
        one.replace(b"bing", b"\xff"),
    ):
        path.write_bytes(row + b"\n" + row * 3 + nonsense + b"\n" + row)
        for opening in (Manifest, Rows, manifest.read):
            monkeypatch.setattr(manifest, "_BLOCK", 1 << 20 if opening is Manifest else 2000)
            with pytest.raises(BeautyError, match="line 6 is not a manifest row"):
                opening(tmp_path)
        assert path.read_bytes().endswith(row)


def test_rows_of_other_versions_are_read(tmp_path: Path) -> None:
    (tmp_path / manifest.NAME).write_text('{"url": "u", "source": "x", "status": "failed", "mood": "good"}\n')
    (row,) = manifest.read(tmp_path)
    assert (row.url, row.status, row.licence) == ("u", "failed", None)


def test_second_run_is_refused(tmp_path: Path) -> None:
    with Manifest(tmp_path):
        with pytest.raises(BeautyError, match="another run is filling"):
            Manifest(tmp_path)
        code = "from pathlib import Path; from beautynet.datasets import manifest; "
        code += f"manifest.Manifest(Path({str(tmp_path)!r}))"
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "another run is filling" in child.stderr
    Manifest(tmp_path).close()


def test_nothing_written_leaves_nothing(tmp_path: Path) -> None:
    with Manifest(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()


def test_lines_end_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows would write more bytes than it says, unless it is asked not to."""
    asked, really = [], os.open

    def opening(path: str, flags: int, mode: int = 0o777) -> int:
        asked.append(flags)
        return really(path, flags & ~binary, mode)

    binary = 1 << 28
    monkeypatch.setattr(manifest, "_AS_IS", binary)
    monkeypatch.setattr(os, "open", opening)
    with Manifest(tmp_path / "new"):
        pass
    assert asked
    assert all(flags & binary for flags in asked)


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
            with pytest.raises(BeautyError, match="disk full"):
                open_manifest.append(record(2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        assert open_manifest.path.stat().st_size == size
        check(open_manifest, [record(1)])
        open_manifest.append(record(3))
    assert manifest.read(tmp_path) == [record(1), record(3)]


def test_a_hash_that_is_none_is_left_out(tmp_path: Path) -> None:
    with Manifest(tmp_path) as rows:
        for number, phash in enumerate(("no hash", "0" * 15, "F" * 16, "f" * 16)):
            rows.append(record(number, phash=phash))
        assert [phash for _, phash in rows.kept_files()] == [None, None, None, "f" * 16]


def test_a_manifest_that_is_taken_away_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another run does that has just ended with nothing."""
    ended, lock = [tmp_path / manifest.NAME], files.lock

    def late(descriptor: int) -> bool:
        while ended:
            ended.pop().unlink()
        return lock(descriptor)

    monkeypatch.setattr(files, "lock", late)
    with Manifest(tmp_path) as rows:
        rows.append(record(1))
    assert manifest.read(tmp_path) == [record(1)]


def test_a_manifest_that_is_taken_away_and_made_anew_while_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by another run that has ended with nothing, and a third that has begun."""
    path, lock, others = tmp_path / "new" / manifest.NAME, files.lock, [False, True]

    def late(descriptor: int) -> bool:
        if others:
            path.unlink()
            if others.pop():
                path.touch()
            else:
                path.parent.rmdir()
        return lock(descriptor)

    path.parent.mkdir()
    monkeypatch.setattr(files, "lock", late)
    with Manifest(path.parent), pytest.raises(BeautyError, match="another run is filling"):
        Manifest(path.parent)
    assert not path.parent.exists()
