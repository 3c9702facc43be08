"""A reader finds the whole old file or the whole new one."""

import ctypes
import errno
import io
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from beautynet import files
from beautynet.errors import BeautyError
from beautynet.files import (
    atomic,
    atomic_folder,
    clear_leftover,
    clear_leftovers,
    flush,
    stage,
    write_bytes,
    write_picture,
    write_text,
)


def test_a_word_is_no_list_of_letters() -> None:
    assert files.words("roses") == ["roses"]
    assert files.words(("roses", "tulips")) == ["roses", "tulips"]


def test_what_has_no_name_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "big" / "flowers").mkdir(parents=True)
    (tmp_path / "roses").symlink_to(tmp_path / "big" / "flowers")
    monkeypatch.chdir(tmp_path / "big" / "flowers")
    for own in ("../../roses", "new", "a.b"):
        assert files.with_a_name(Path(own)) == Path(own)
    here = tmp_path.resolve() / "big"
    for none, name in ((".", here / "flowers"), ("..", here), ("a/..", here / "flowers")):
        assert files.with_a_name(Path(none)) == name


def test_success_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ü.txt"
    write_text(path, "before")
    write_text(path, "after é")
    assert path.read_text("utf-8") == "after é"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_keeps_the_old_file(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write_bytes(path, b"old")

    def interrupted() -> None:
        with atomic(path) as temporary:
            assert temporary.suffix == path.suffix
            assert temporary.parent == path.parent
            temporary.write_bytes(b"half of the ne")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with atomic(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    def full() -> None:
        with atomic(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(BeautyError, match="disk full"):
        full()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [0, 1, 3, 4, 20])
def test_staged_files_are_flushed(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f".{number}.part.jpg" for number in range(count)]
    for path in paths:
        stage(path, b"photo")
    flush(paths)
    assert all(path.read_bytes() == b"photo" for path in paths)

    def full(_: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def full_says_c(_: int) -> int:
        ctypes.set_errno(errno.ENOSPC)
        return -1

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr("beautynet.files._syncfs", full_says_c)
    if count:
        with pytest.raises(BeautyError, match="disk full"):
            flush(paths)


def test_what_cannot_be_flushed_as_a_disk_is_flushed_file_by_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: int) -> int:
        ctypes.set_errno(errno.ENOSYS)
        return -1

    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    monkeypatch.setattr(files, "_syncfs", unknown)
    paths = [tmp_path / f".{number}.part.jpg" for number in range(5)]
    for path in paths:
        stage(path, b"photo")
    flush(paths)
    assert len(flushed) == 5


def test_a_disk_that_takes_a_part_gets_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reluctant(io.FileIO):
        def write(self, data: Any, /) -> int:
            return super().write(data[: (len(data) + 1) // 2])

    monkeypatch.setattr(files, "open", lambda path, mode, **_: Reluctant(path, mode), raising=False)
    stage(tmp_path / "a", bytes(range(256)))
    assert (tmp_path / "a").read_bytes() == bytes(range(256))


def test_what_is_flushed_may_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses anything else."""
    fcntl = pytest.importorskip("fcntl")
    modes = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            modes.append(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE)
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(files, "_syncfs", None)
    write_text(tmp_path / "a", "x")
    with atomic_folder(tmp_path / "b", "mark") as folder:
        (folder / "mark").touch()
    staged = [tmp_path / f".{number}.part" for number in range(5)]
    for path in staged:
        stage(path, b"photo")
    flush(staged)
    assert len(modes) == 7
    assert os.O_RDONLY not in modes


@pytest.mark.parametrize("refused", [2, 9])
def test_who_has_a_file_open_is_waited_for(refused: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows a virus scanner may look into a new file before it is renamed."""
    really, tries = os.replace, []

    def busy(source: Path, target: Path) -> None:
        tries.append(source)
        if len(tries) <= refused:
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        really(source, target)

    monkeypatch.setattr(os, "replace", busy)
    monkeypatch.setattr(files, "WAITS", (0.001,) * 3)
    (tmp_path / "a").write_text("before")
    if refused < 4:
        write_text(tmp_path / "a", "now")
        assert len(tries) == refused + 1
    else:
        with pytest.raises(BeautyError, match="no permission"):
            write_text(tmp_path / "a", "now")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["now" if refused < 4 else "before"]


def test_two_cannot_lock_a_file(tmp_path: Path) -> None:
    with open(tmp_path / "lock", "wb") as one, open(tmp_path / "lock", "wb") as other:
        assert files.lock(one.fileno())
        assert not files.lock(other.fileno())
        one.close()
        assert files.lock(other.fileno())


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_disks_without_locks(reason: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network drives have none; a broken one is still an error."""

    def refuse(_descriptor: int, _how: int) -> None:
        raise OSError(reason, "refused")

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", refuse)
    with open(tmp_path / "lock", "wb") as file:
        if reason == errno.EIO:
            with pytest.raises(OSError, match="refused"):
                files.lock(file.fileno())
        else:
            assert files.lock(file.fileno())


def test_what_systems_put_into_folders_is_nobodys(tmp_path: Path) -> None:
    for name in ("desktop.ini", "Thumbs.db", ".DS_Store", "Icon\r", "a.jpg", "icon.png"):
        (tmp_path / name).touch()
    assert [path.name for path in files.named_in(tmp_path, None)] == ["a.jpg", "icon.png"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path, says in (("file/a", "is not a folder"), ("folder", "is a folder")):
        with pytest.raises(BeautyError, match=says):
            write_text(tmp_path / path, "")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_other_errors_stay_themselves(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="odd"), atomic(tmp_path / "a"):
        raise OSError(errno.EIO, "odd")


def test_a_folder_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page"
    for text in ("one", "two"):
        with atomic_folder(path, "mark") as folder:
            (folder / "mark").write_text(text)
            assert not path.exists() or (path / "mark").read_text() == "one"

    def interrupted() -> None:
        with atomic_folder(path, "mark") as folder:
            (folder / "mark").write_text("three")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert [each.relative_to(tmp_path).as_posix() for each in tmp_path.rglob("*")] == [
        "new",
        "new/page",
        "new/page/mark",
    ]
    assert (path / "mark").read_text() == "two"


@pytest.mark.parametrize("there", [True, False])
def test_what_a_kill_left_of_a_folder_is_mended(there: bool, tmp_path: Path) -> None:
    path = tmp_path / "page"
    gone = [subprocess.Popen([sys.executable, "-c", ""]) for _ in range(2)]
    part, old = f".page.{gone[0].pid}.part", f".page.{gone[1].pid}.old"
    assert not any(each.wait() for each in gone)
    alive = f".page.{os.getppid()}.part"
    for name in (part, old, alive, *(["page"] if there else [])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mark").write_text(name)
    with atomic_folder(path, "mark") as folder:
        (folder / "mark").write_text("new")
        assert (path / "mark").read_text() == ("page" if there else old)
        assert {each.name for each in tmp_path.iterdir()} == {"page", folder.name, alive}
    assert {each.name for each in tmp_path.iterdir()} == {"page", alive}


def test_leftovers_are_told_from_others(tmp_path: Path) -> None:
    ours = (".a.12.part.mp4", "..a.12.part.13.part.mp4")
    others = ("..a.12.part.mp4", ".ab.12.part.mp4", ".a.12.part.gif", "a.12.part.mp4")
    for name in (*ours, *others):
        (tmp_path / name).touch()
    clear_leftover(tmp_path / "a.mp4")
    assert {each.name for each in tmp_path.iterdir()} == set(others)


def test_what_another_process_is_writing_is_left_to_it(tmp_path: Path) -> None:
    at_work, killed = f".a.{os.getppid()}.part.onnx", (f".a.{os.getpid()}.part.onnx", ".b.4194305.part.png")
    (tmp_path / "samples").mkdir()
    for name in (at_work, *killed, "samples/.0000.4194305.part.png", "a.onnx"):
        (tmp_path / name).touch()
    clear_leftovers(tmp_path)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {at_work, "a.onnx"}


def test_a_picture_too_large_for_its_format_is_one_line(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.webp"):
        with pytest.raises(BeautyError, match=r"70000×1 px cannot be written as \..*choose .png"):
            write_picture(tmp_path / name, Image.new("RGB", (70_000, 1)))
    assert not [*tmp_path.iterdir()]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    for path in (tmp_path, tmp_path / "precious"):
        with pytest.raises(BeautyError, match="is something else"), atomic_folder(path, "mark"):
            pass
    assert [each.name for each in tmp_path.iterdir()] == ["precious"]
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty", "mark") as folder:
        (folder / "mark").touch()
    assert (tmp_path / "empty" / "mark").exists()
