"""Labelled pictures: a folder for each label, a zip of that, or a CSV; and which of them are kept to be tested on."""

from __future__ import annotations

import csv
import hashlib
import io
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from beautynet.datasets.dedup import NEAR
from beautynet.decode import SUFFIXES, Unreadable, pictures_in
from beautynet.errors import BeautyError

SPLITS = ("training", "validation", "test")
SHARE = 0.1
"""Of each label's pictures, so many are tested on, and so many validated with; the rest is trained on."""
FEWEST = {"test": 3, "validation": 6}
"""Pictures of a label from which on it has one for that."""
_SPLIT_NAMES = {
    "train": "training",
    "val": "validation",
    "valid": "validation",
    **dict(zip(SPLITS, SPLITS, strict=True)),
}
MAX_BYTES = 100_000_000
"""Of one picture in a zip, unpacked."""


@dataclass(frozen=True)
class Example:
    """A picture and what is in it. `name` is its path below the data, `split` one of SPLITS where the data say so."""

    name: str
    labels: tuple[str, ...]
    split: str | None = None
    path: Path | None = None
    """The file; None in a zip."""


@dataclass
class Labelled:
    """Examples, in the order of their names, and what was left out: (name, reason)."""

    place: Path
    examples: list[Example]
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, data: str | Path, labels: str | Path | None = None) -> Labelled:
        """The examples in `data`: a folder or a zip with a folder for each label, or a CSV; or a folder and a CSV.

        A CSV has a header: `path`, then one or more columns whose names begin with `label`, and if wanted `split`.
        Paths are relative to the folder `data`, or else to where the CSV is. Folders `train`, `val` and `test` above
        those of the labels are the split. Nothing is decoded yet. Raises BeautyError.
        """
        place = Path(data)
        if not place.exists():
            raise BeautyError(
                f"there is no {place}: name a folder with a folder for each label, a zip of that, or a CSV"
            )
        if labels is not None or place.suffix.lower() in (".csv", ".tsv", ".txt"):
            table = Path(labels) if labels is not None else place
            found = cls(place, *_of_table(table, place if place.is_dir() else table.parent))
        elif place.is_dir():
            found = cls(place, *_of_names(_files(place), place))
        else:
            found = cls(place, *_of_names(_members(place), None))
        found.examples.sort(key=lambda example: example.name)
        if not found.examples:
            why = f": {found.skipped[0][0]}: {found.skipped[0][1]}" if found.skipped else ""
            raise BeautyError(f"no labelled pictures in {place}{why}; put them into one folder for each label")
        return found

    @property
    def labels(self) -> list[str]:
        """All labels, sorted."""
        return sorted({label for example in self.examples for label in example.labels})

    @property
    def several(self) -> bool:
        """Whether a picture may have several labels."""
        return any(len(example.labels) > 1 for example in self.examples)

    def sources(self) -> Iterator[tuple[Example, bytes | Path | Unreadable]]:
        """Each example with where its picture is: a file, or what was unpacked into memory (never onto the disk)."""
        if all(example.path for example in self.examples):
            yield from ((example, example.path or Unreadable("no file")) for example in self.examples)
            return
        with _archive(self.place) as archive:
            members = {str(_path(member)): member for member in archive.infolist()}
            for example in self.examples:
                yield example, _unpacked(archive, members.get(example.name, example.name))


def _files(place: Path) -> Iterator[PurePosixPath]:
    """The pictures below a folder, and the folders in it; those may be links, what is in them may not."""
    folders = [each for each in sorted(place.iterdir()) if each.is_dir() and not each.name.startswith(".")]
    loose = [path for path in pictures_in(place) if path.parent == place]
    for path in (*loose, *(path for folder in folders for path in pictures_in(folder)), *folders):
        yield PurePosixPath(path.relative_to(place).as_posix())


def _members(place: Path) -> Iterator[PurePosixPath]:
    """The pictures in a zip; a folder around all of them is taken for a part of each label's path, as in a folder."""
    with _archive(place) as archive:
        for member in archive.infolist():
            name = _path(member)
            hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in name.parts)
            if not hidden and not member.is_dir() and name.suffix.lower() in SUFFIXES:
                yield name


def _path(member: ZipInfo) -> PurePosixPath:
    """Where it would lie; some programs of Windows' write `\\` for `/`."""
    name = member.filename
    return PurePosixPath(name if "/" in name else name.replace("\\", "/"))


def _archive(place: Path) -> ZipFile:
    try:
        with suppress(UnicodeDecodeError):  # many write UTF-8 without saying so
            return ZipFile(place, metadata_encoding="utf-8")
        return ZipFile(place)
    except (BadZipFile, OSError) as error:
        raise BeautyError(
            f"{place} is no zip that can be read ({error}): name a folder with a folder for each label, a zip of that, "
            "or a CSV"
        ) from error


def _unpacked(archive: ZipFile, member: ZipInfo | str) -> bytes | Unreadable:
    try:
        with archive.open(member) as file:
            data = file.read(MAX_BYTES + 1)  # what the header claims is not believed
    except Exception as error:  # encrypted, damaged, of an unknown method: a dozen kinds
        return Unreadable(f"cannot be unpacked ({error})")
    return data if len(data) <= MAX_BYTES else Unreadable(f"over {MAX_BYTES / 1e6:g} MB unpacked")


def _of_names(names: Iterator[PurePosixPath], folder: Path | None) -> tuple[list[Example], list[tuple[str, str]]]:
    """Examples from paths such as `label/any/name.jpg`; `folder` is None for those in a zip."""
    examples, skipped, empty = [], [], dict[str, str]()
    paths = []
    for path in names:
        if path.is_absolute() or ".." in path.parts:
            skipped.append((str(path), "a path that leads out of the archive"))
        else:
            paths.append(path)
    depth = 0
    while (
        folder is None
        and len({path.parts[depth : depth + 1] for path in paths}) == 1
        and min(len(path.parts) for path in paths) > depth + 2
    ):
        depth += 1  # a folder around everything
    tops = {path.parts[depth].lower() for path in paths if len(path.parts) > depth + 1}
    splits = bool(tops) and tops <= set(_SPLIT_NAMES) and "training" in {_SPLIT_NAMES[top] for top in tops}
    for path in paths:
        parts = path.parts[depth:]
        if folder is not None and (folder / path).is_dir():
            empty[path.parts[0]] = str(path)
            continue
        if len(parts) < 2 + splits:
            skipped.append((str(path), "in no label's folder"))
            continue
        label = _clean(parts[splits])
        split = _SPLIT_NAMES[parts[0].lower()] if splits else None
        examples.append(Example(str(path), (label,), split, folder / path if folder else None))
        empty.pop(path.parts[0], None)
    skipped += [(path, "a label's folder without pictures") for top, path in empty.items() if top.lower() not in tops]
    return examples, skipped


def _of_table(table: Path, folder: Path) -> tuple[list[Example], list[tuple[str, str]]]:
    """Examples from a CSV."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BeautyError(f"{table} cannot be read: {reason}") from error
    if "\0" in text:
        raise BeautyError(f"{table} is not a CSV: it holds bytes that no text has")
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise BeautyError(f"{table} is not a CSV that can be read ({error}, line {reader.line_num})") from error
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    columns = [number for number, name in enumerate(header) if name.startswith("label")]
    if "path" not in header or not columns:
        raise BeautyError(
            f"{table} needs a first line such as `path,label` or `path,label,label,split`, not `{first.strip()[:80]}`"
        )
    examples, skipped, seen = [], [], set[Path]()
    for number, row in rows[1:]:
        if not any(cell.strip() for cell in row):
            continue
        named = dict(zip(reversed(header[: len(row)]), reversed(row[: len(header)]), strict=True))  # the first counts
        if "path" not in named:
            skipped.append((f"line {number}", "no path"))
            continue
        name = named["path"].strip()
        # é is one character or two, and what / is elsewhere Windows writes as a backslash
        written = (name, name.replace("\\", "/"))
        forms = (*written, *(unicodedata.normalize(form, each) for each in written for form in ("NFC", "NFD")))
        path = next((found for form in forms if (found := folder / form).is_file()), folder / name)
        cells = [row[column] for column in columns if column < len(row)]
        if columns[-1] == len(header) - 1:
            cells += row[len(header) :]  # `path,label` above rows with several
        labels = tuple(dict.fromkeys(label for cell in cells if (label := _clean(cell))))
        split = named.get("split", "").strip().lower()
        if not labels:
            skipped.append((name, "no label"))
        elif split and split not in _SPLIT_NAMES:
            skipped.append((name, f"its split {split!r} is none of {', '.join(SPLITS)}"))
        elif path in seen:  # however it is spelt
            skipped.append((name, f"a second time, in line {number}"))
        elif not path.is_file():
            skipped.append((name, "no such file"))
        else:
            seen.add(path)
            examples.append(Example(name, labels, _SPLIT_NAMES.get(split), path))
    return examples, skipped


def _clean(label: str) -> str:
    """As it is to be compared and shown: é is one character, and no line breaks."""
    return " ".join(unicodedata.normalize("NFC", label).split())


def groups(hashes: Sequence[tuple[str, str]]) -> list[int]:
    """A number for each picture, the same for near-duplicates, mirrored ones too. `hashes` as of `dedup.hashes`."""
    straight, mirrored = (np.array([int(both[i], 16) for both in hashes], np.uint64) for i in (0, 1))
    found = np.arange(len(hashes))
    for i in range(len(hashes)):
        bits = np.minimum(np.bitwise_count(straight ^ straight[i]), np.bitwise_count(straight ^ mirrored[i]))
        near = np.flatnonzero(bits <= NEAR)
        if len(near) > 1:
            joined = np.isin(found, found[near])
            found[joined] = found[joined].min()
    return [int(each) for each in found]


def split(examples: Sequence[Example], group: Sequence[int], seed: int = 0) -> list[str]:
    """The place of each example in SPLITS: as the data say, or 80/10/10 of each label, a group always together.

    Of each label one picture at least is left to train on, and one is tested on where there are three. The same
    examples and seed give the same split.
    """
    by_group: Mapping[int, list[int]] = defaultdict(list)
    for i, number in enumerate(group):
        by_group[number].append(i)
    places: dict[int, str] = {}
    for number, members in by_group.items():
        if given := [place for i in members if (place := examples[i].split)]:
            places[number] = given[0]
    left = sorted((n for n in by_group if n not in places), key=lambda n: _rank(examples[by_group[n][0]].name, seed))
    places_given = bool(places)
    totals = Counter(label for example in examples for label in example.labels)
    have = {name: Counter[str]() for name in SPLITS}
    for number, place in places.items():
        have[place].update(label for i in by_group[number] for label in examples[i].labels)
    # Rare labels first, so that a picture with several goes where the rarest is wanted (Sechidis et al. 2011).
    left.sort(key=lambda n: min(totals[label] for i in by_group[n] for label in examples[i].labels))
    for number in left:
        counts = Counter(label for i in by_group[number] for label in examples[i].labels)
        rare = min(counts, key=lambda label: (totals[label], label))
        places[number] = "training"
        for name, fewest in () if places_given else FEWEST.items():
            wanted = max(1, round(SHARE * totals[rare])) if totals[rare] >= fewest else 0
            if have[name][rare] + counts[rare] <= wanted:
                places[number] = name
                break
        have[places[number]].update(counts)
    return [places[number] for number in group]


def _rank(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {name}".encode(errors="surrogateescape")).hexdigest()
