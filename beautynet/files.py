"""Where what we make goes, and writing it so that a reader finds the whole old one or the whole new one."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from beautynet.errors import BeautyError

Paths = str | Path | Sequence[str | Path]
"""One path or several: a string taken for a sequence would be one path a letter."""


def listed(paths: Paths) -> list[Path]:
    """One path or several as a list."""
    return [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]


def words(given: str | Sequence[str]) -> list[str]:
    """One word or several as a list, likewise."""
    return [given] if isinstance(given, str) else list(given)


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a text file, but for empty ones; a BeautyError where it cannot be read, or is not `what`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BeautyError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise BeautyError(f"{path} is not {what}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


PICTURES: dict[str, dict[str, Any]] = {
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".png": {},
    ".webp": {"quality": 95},
}
"""Suffixes of pictures that users may ask for, and how they are written."""
MADE = ".beauty"
"""Before the last suffix of what we made: such pictures and films are none to begin with."""


def is_text(name: str) -> bool:
    """Whether it can be written as UTF-8, as names of files that were made in another encoding cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is nobody's own: what begins with a dot, and what Windows and macOS add."""
    return name.startswith(".") or name.lower() in ("desktop.ini", "thumbs.db", "icon\r")


def named_in(folder: Path, suffixes: Container[str] | None) -> list[Path]:
    """What is named with such a suffix (None: all files) in a folder and in those below it, sorted.

    Nothing hidden, and no dreams.
    """
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        files = (Path(place, name) for name in names if not is_hidden(name))
        wanted = (p for p in files if suffixes is None or p.suffix.lower() in suffixes)
        found += (p for p in wanted if MADE not in p.suffixes)
    return sorted(found)


def named(paths: Paths, suffixes: Container[str] | None) -> list[tuple[Path, Path]]:
    """Files that are named themselves, and those of folders, as `named_in`: (path, its folder in the one named)."""
    return [
        (found, found.parent.relative_to(path) if path.is_dir() else Path())
        for path in listed(paths)
        for found in (named_in(path, suffixes) if path.is_dir() else [path])
    ]


def dreams_of(sources: Sequence[tuple[Path, Path]], out: Path | None, suffix: Callable[[Path], str]) -> Iterator[Path]:
    """Where the dream of each source goes: into `out`, in the source's folder there (relative), or beside the source.

    No name comes twice, nor is it one of the sources'. `suffix` tells that of a source's dream.
    """

    def known(path: Path) -> str:
        # some systems hold names that differ in case for the same
        return str(path.parent.resolve() / path.name).lower()

    taken = {known(source) for source, _ in sources}
    for source, inside in sources:
        place = source.parent if out is None else out / inside
        endings = chain([""], (f"-{number}" for number in count(2)))
        names = (place / f"{source.stem}{ending}{MADE}{suffix(source)}" for ending in endings)
        target = next(name for name in names if known(name) not in taken)
        taken.add(known(target))
        yield target


def folder_name(words: str) -> str:
    """What a folder is called after words in any script; nothing where there is no letter in them."""
    name = ""
    for character in unicodedata.normalize("NFC", words).casefold():
        kind = unicodedata.category(character)[0]
        # letters and digits; and what is written around a letter, as the vowels of India are
        if kind in "LN" or character == "_" or (kind == "M" and name[-1:] not in ("", "-")):
            name += character
        elif not name.endswith("-"):
            name += "-"
    return name.strip("-_")[:60]


def with_a_name(path: Path) -> Path:
    """The path; resolved if it ends in "." or "..", which are no names. A link keeps its own."""
    return path if path.name.strip(".") else path.resolve()


_MANY = 4
"""Files from which on the whole disk is flushed instead of each: 16 at once took two thirds of the time."""
WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5) if os.name == "nt" else ()
"""Seconds between tries to rename a file."""
_OR_OPEN = ", or another program has it open" if os.name == "nt" else ""
_KEPT = 50
"""Characters of a name that a temporary name keeps: file systems take 255 bytes."""
# Linux' own, which Python does not offer. What others wrote is flushed with ours, so never for one or two files.
_syncfs = ctypes.CDLL(None, use_errno=True).syncfs if sys.platform == "linux" else None


@contextmanager
def atomic(path: Path, named: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; on success it is flushed to disk and renamed to `path`.

    The temporary name keeps the suffix (encoders choose the format by it) and starts with a dot. On any
    exception it is removed and `path` stays as it was. A full disk or a folder that cannot be written to
    becomes a BeautyError, which speaks of `named` if users know `path` only as a part of that.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:_KEPT]}.{os.getpid()}.part{path.suffix}")
    try:
        with explaining(named or path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _sync(temporary)
            replace(temporary, path)
    finally:
        with suppress(OSError):  # a read-only disk refuses this, too, and has been explained above
            temporary.unlink()
    _sync_folder(path.parent)


@contextmanager
def atomic_folder(path: Path, mark: str) -> Iterator[Path]:
    """Yield a new folder beside `path` to fill; on success it is flushed to disk and takes the place of `path`.

    What is at `path` already has to be such a folder, told by the file `mark` in it; else it is a BeautyError, as are a
    full disk and a folder that cannot be written to. On any exception `path` stays as it was.
    """
    path = Path(path)
    if path.exists() and not (path / mark).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise BeautyError(f"{path} exists and is something else: choose another name with -o")
    new, old = (path.with_name(f".{path.name[:_KEPT]}.{os.getpid()}.{what}") for what in ("part", "old"))
    try:
        with explaining(path):
            _mend_folder(path)
            new.mkdir(parents=True)
            yield new
            for written in new.rglob("*"):
                if written.is_file():
                    _sync(written)
            if path.exists():
                replace(path, old)
            replace(new, path)
    finally:
        if old.exists() and not path.exists():
            replace(old, path)
        for each in (new, old):
            shutil.rmtree(each, ignore_errors=True)
    _sync_folder(path.parent)


def _mend_folder(path: Path) -> None:
    """Put back or remove what killed runs left beside the folder `path` of making it (`atomic_folder`)."""
    name = re.compile(re.escape(f".{path.name[:_KEPT]}.") + r"(\d+)\.(part|old)")
    for left in sorted(path.parent.glob(".*")):
        found = name.fullmatch(left.name)
        if found and left.is_dir() and len(path.name) <= _KEPT and not _is_others(int(found[1])):
            if left.suffix == ".old" and not path.exists():
                replace(left, path)
            else:
                shutil.rmtree(left, ignore_errors=True)


def _is_others(process: int) -> bool:
    """Whether another process runs by that number. Ours may be a killed one's: in containers all are the first."""
    return process != os.getpid() and _is_running(process)


def cache() -> Path:
    """Where downloads are kept (https://specifications.freedesktop.org/basedir-spec/latest/)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "beautynet"


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_picture(path: Path, picture: Image.Image | np.ndarray, **options: Any) -> None:
    """Write a picture (or its pixels, uint8 (H, W, 3)) atomically, as its suffix says; `options` are Pillow's."""
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    with atomic(path) as temporary:
        try:
            picture.save(temporary, **options)
        except (ValueError, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise
            size = f"{picture.width}×{picture.height} px"  # of JPEG 65,500 a side, of WebP 16,383
            raise BeautyError(f"{size} cannot be written as {path.suffix} ({error}): choose .png") from error


def stage(path: Path, data: bytes) -> None:
    """Write `data` to `path`, a temporary name; to flush it to disk and to rename it is the caller's to do."""
    with explaining(path.parent):  # the name would say nothing to anybody
        try:
            with open(path, "wb", buffering=0) as file:
                rest = memoryview(data)
                while rest:  # a nearly full disk takes a part
                    rest = rest[file.write(rest) :]
        except OSError:
            path.unlink(missing_ok=True)
            raise


def flush(staged: Sequence[Path]) -> None:
    """Put staged files, all in one folder, on the disk for good. Raises BeautyError on a full disk."""
    if not staged:
        return
    with explaining(staged[0].parent):
        if len(staged) >= _MANY and _syncfs is not None:
            with open(staged[0], "rb") as file:
                if not _syncfs(file.fileno()):
                    return
                if ctypes.get_errno() not in (errno.ENOSYS, errno.EINVAL, errno.EPERM):  # sandboxes have none
                    raise OSError(ctypes.get_errno(), "cannot be flushed")
        for path in staged:
            _sync(path)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8; of names that are none, bytes are spelt out (as JSON reads them)."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


if sys.platform == "win32":
    import msvcrt

    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _SYNCHRONIZE, _ACCESS_DENIED = 0x00100000, 5

    def _is_running(process: int) -> bool:
        """Whether there is such a process; `os.kill` would end it."""
        handle = _kernel.OpenProcess(_SYNCHRONIZE, False, process)
        if handle:
            _kernel.CloseHandle(handle)
        return bool(handle) or ctypes.get_last_error() == _ACCESS_DENIED

    def lock(descriptor: int) -> bool:
        """Whether the open file is the caller's alone from now on, until it is closed."""
        os.lseek(descriptor, (1 << 31) - 2, os.SEEK_SET)  # what is locked nobody else can read: so what is not there
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _is_running(process: int) -> bool:
        """Whether there is such a process."""
        try:
            os.kill(process, 0)
        except (OSError, OverflowError) as error:  # it may be somebody else's
            return not isinstance(error, ProcessLookupError)
        return True

    def lock(descriptor: int) -> bool:
        """Whether the open file is the caller's alone from now on, until it is closed; always on disks without them."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:  # some network drives
            if error.errno not in (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS):
                raise
        return True


@contextmanager
def held(place: Path, refusal: str, named: Path | None = None) -> Iterator[None]:
    """Hold the file `place`, which is made with its folder, as a lock.

    BeautyError, saying `refusal`, while somebody else does, and where it cannot be made (see `atomic` of `named`).
    """
    with ExitStack() as stack:
        with explaining(named or place):
            place.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(place, "wb"))
        if not lock(file.fileno()):
            raise BeautyError(refusal)
        yield


def clear_leftovers(folder: Path) -> None:
    """Make `folder`, and remove the temporary files that killed programs left in it, but nobody's who is at work."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.rglob(".*.part.*"):
        owner = re.search(r"\.(\d+)\.part\.", leftover.name)
        if owner is None or not _is_others(int(owner[1])):
            leftover.unlink()


def clear_leftover(path: Path) -> None:
    """Remove what killed runs left beside `path`, whose only writer is the caller, of writing it (`atomic`)."""
    if len(path.stem) > _KEPT:  # another file's temporary name may begin like this
        return
    once = rf"\.{re.escape(path.stem)}\.\d+\.part"  # and again, where it is written in steps (`loops.loop`)
    name = re.compile(rf"({once}|\.{once}\.\d+\.part){re.escape(path.suffix)}")
    for leftover in path.parent.iterdir():
        if name.fullmatch(leftover.name):
            leftover.unlink()


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """A failure to write `path` becomes a BeautyError if `explained` has a sentence for it."""
    try:
        yield
    except OSError as error:
        if sentence := explained(error, path):
            raise BeautyError(sentence) from error
        raise


def explained(error: OSError, path: Path) -> str | None:
    """The failure to write `path` as a sentence, for those that users meet; None for all others."""
    sentences = {
        errno.ENOSPC: f"disk full while writing {path}: free some space and run the same command again",
        errno.EDQUOT: f"disk quota reached while writing {path}: free some space and run the same command again",
        errno.EACCES: f"no permission to write {path}{_OR_OPEN}: choose another place",
        errno.EROFS: f"{path} is on a read-only disk: choose another place",
        errno.EISDIR: f"{path} is a folder: choose another name",
        errno.ENOTDIR: f"{path.parent} is not a folder: choose another place",
        errno.EEXIST: f"{path.parent} is not a folder: choose another place",
    }
    return sentences.get(error.errno or 0)


def replace(source: Path, target: Path) -> None:
    """Rename `source` to `target`, which it takes the place of.

    On Windows that is refused while any program has either of them open, as virus scanners, previews and clouds have
    what is new: it is tried for three seconds.
    """
    for wait in WAITS:
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    os.replace(source, target)


def _sync(path: Path) -> None:
    """Put a file on the disk for good."""
    with open(path, "r+b") as file:  # Windows flushes only what may be written to
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system can sync folders (Windows cannot)."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
