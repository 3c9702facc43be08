"""Labelled pictures: what is read, what is left out and why, and a split that keeps to its rules."""

import time
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from beautynet.classifying import labelled
from beautynet.classifying.labelled import Example, Labelled
from beautynet.datasets.dedup import NEAR, hashes
from beautynet.decode import Unreadable
from beautynet.errors import BeautyError


def write(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed)).save(path)
    return path


def noise(seed: int) -> np.ndarray:
    """Pictures that are no near-duplicates."""
    rough = np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(rough).resize((48, 48), Image.Resampling.BICUBIC))


def of(data: Labelled) -> dict[str, tuple[str, ...]]:
    return {example.name: example.labels for example in data.examples}


def test_a_folder_for_each_label(tmp_path: Path) -> None:
    for name in ("rose/1.jpg", "rose/deep/2.png", "été à Paris/3.jpg", "x & y/4.jpg"):
        write(tmp_path / name)
    (tmp_path / "nothing").mkdir()
    write(tmp_path / "loose.jpg")
    write(tmp_path / ".hidden" / "5.jpg")
    data = Labelled.read(tmp_path)
    assert data.labels == ["rose", "x & y", "été à Paris"]
    assert of(data)["rose/deep/2.png"] == ("rose",)
    assert len(data.examples) == 4
    assert dict(data.skipped) == {
        "loose.jpg": "in no label's folder",
        "nothing": "a label's folder without pictures",
    }


def test_a_label_may_be_a_link_to_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "1.jpg")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a").symlink_to(tmp_path / "elsewhere")
    assert of(Labelled.read(tmp_path / "set")) == {"a/1.jpg": ("a",)}


def test_folders_may_say_the_split(tmp_path: Path) -> None:
    for name in ("train/a/1.jpg", "train/b/2.jpg", "Test/a/3.jpg", "val/b/4.jpg"):
        write(tmp_path / name)
    data = Labelled.read(tmp_path)
    assert data.labels == ["a", "b"]
    assert [each.split for each in data.examples] == ["test", "training", "training", "validation"]


@pytest.mark.parametrize("around", ["", "all of it/"])
def test_a_zip_is_as_its_folder(around: str, tmp_path: Path) -> None:
    names = ("monet/1.jpg", "monet/2.jpg", "renoir/3.jpg")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for number, name in enumerate(names):
            archive.write(write(tmp_path / "set" / name, number), around + name)
        archive.writestr("__MACOSX/._1.jpg", b"")
        archive.writestr(around + "monet/readme.txt", "")
    data = Labelled.read(tmp_path / "set.zip")
    assert [each.labels for each in data.examples] == [("monet",), ("monet",), ("renoir",)]
    folder = Labelled.read(tmp_path / "set")
    bodies = [source for _, source in data.sources()]
    assert bodies == [source.read_bytes() for _, source in folder.sources() if isinstance(source, Path)]


def test_names_in_any_script_and_form(tmp_path: Path) -> None:
    picture = write(tmp_path / "a.jpg").read_bytes()
    names = ("Rosé", "花", "قلعة")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in names:
            archive.writestr(f"{name}/1.jpg", picture)
    raw = (tmp_path / "set.zip").read_bytes()
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # as written by those that do not say it is UTF-8
        head, *members = raw.split(sign)
        raw = head + b"".join(sign + member[: at - 4] + b"\0\0" + member[at - 2 :] for member in members)
    (tmp_path / "unsaid.zip").write_bytes(raw)
    for archive_name in ("set.zip", "unsaid.zip"):
        data = Labelled.read(tmp_path / archive_name)
        assert {each.labels[0] for each in data.examples} == set(names)
        assert all(source == picture for _, source in data.sources())
    (tmp_path / "old.zip").write_bytes(raw.replace("花".encode(), b"\x82\x9c\xff"))  # no UTF-8 at all: as ever
    old = Labelled.read(tmp_path / "old.zip")
    assert "é£" in {each.labels[0] for each in old.examples}
    assert all(source == picture for _, source in old.sources())
    write(tmp_path / "cafe\u0301.jpg")
    (tmp_path / "l.csv").write_text("path,label\ncafé.jpg,place\n", encoding="utf-8")
    assert not Labelled.read(tmp_path / "l.csv").skipped


def test_a_hostile_zip_writes_nothing_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelled, "MAX_BYTES", 100_000)
    picture = write(tmp_path / "good.jpg").read_bytes()
    before = set(tmp_path.rglob("*"))
    with zipfile.ZipFile(tmp_path / "bad.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.jpg", picture)
        archive.writestr("../../etc/passwd.jpg", picture)
        archive.writestr("/root/2.jpg", picture)
        archive.writestr("b/bomb.jpg", bytes(100_001))
    raw = bytearray((tmp_path / "bad.zip").read_bytes())
    data = Labelled.read(tmp_path / "bad.zip")
    assert {reason for _, reason in data.skipped} == {"a path that leads out of the archive"}
    found = {example.name: source for example, source in data.sources()}
    assert found["a/1.jpg"] == picture
    assert isinstance(found["b/bomb.jpg"], Unreadable)
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "bad.zip"}

    at = raw.index(picture[:50]) if picture[:50] in raw else 40
    raw[at + 5] ^= 255
    (tmp_path / "flipped.zip").write_bytes(raw)
    damaged = {e.name: source for e, source in Labelled.read(tmp_path / "flipped.zip").sources()}
    assert isinstance(damaged["a/1.jpg"], Unreadable)


def test_a_zip_of_nothing_but_paths_that_lead_out_is_refused_at_once() -> None:
    began = time.perf_counter()
    examples, skipped = labelled._of_names((PurePosixPath(f"../{number}.jpg") for number in range(20_000)), None)
    assert not examples
    assert len(skipped) == 20_000
    assert time.perf_counter() - began < 10


def test_zips_of_other_programs(tmp_path: Path) -> None:
    pictures = [write(tmp_path / "set" / f"{number}.jpg", number).read_bytes() for number in range(2)]
    for separator, before in (("/", "./"), ("\\", ""), ("\\", ".\\all of it\\")):
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for label, picture in zip(("monet", "renoir"), pictures, strict=True):
                archive.writestr(f"{before}{label}{separator}1.jpg", picture)
            archive.writestr("..\\..\\etc\\passwd.jpg", pictures[0])
            archive.writestr("\\root\\2.jpg", pictures[0])
        data = Labelled.read(tmp_path / "set.zip")
        assert [(example.labels, source) for example, source in data.sources()] == [
            (("monet",), pictures[0]),
            (("renoir",), pictures[1]),
        ]
        assert {reason for _, reason in data.skipped} == {"a path that leads out of the archive"}


def test_a_table(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.jpg")
    (tmp_path / "labels.csv").write_text(
        "\ufeffPath, label ,label2,split\n0.jpg,cat,dog,train\n1.jpg, cat/big ,,TEST\n2.jpg,,,\nmissing.jpg,cat\n"
        "0.jpg,dog\n3.jpg,dog,,banana\n\n,cat\n"
    )
    data = Labelled.read(tmp_path / "labels.csv")
    assert of(data) == {"0.jpg": ("cat", "dog"), "1.jpg": ("cat/big",)}
    assert [each.split for each in data.examples] == ["training", "test"]
    assert data.several
    assert dict(data.skipped) == {
        "2.jpg": "no label",
        "missing.jpg": "no such file",
        "0.jpg": "a second time, in line 6",
        "3.jpg": "its split 'banana' is none of training, validation, test",
        "": "no such file",
    }


def test_of_columns_of_one_name_the_first_counts(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        write(tmp_path / name)
    (tmp_path / "labels.csv").write_text("path,label,path,split,split\na.jpg,sea,b.jpg,test,\nb.jpg,sky\n")
    data = Labelled.read(tmp_path / "labels.csv")
    assert of(data) == {"a.jpg": ("sea",), "b.jpg": ("sky",)}
    assert [each.split for each in data.examples] == ["test", None]


def test_a_cell_may_have_lines(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg")
    (tmp_path / "l.csv").write_text('path,label\na.jpg,"Monet\nClaude"\ngone\u2028.jpg,x\nb.jpg,\n', encoding="utf-8")
    data = Labelled.read(tmp_path / "l.csv")
    assert of(data) == {"a.jpg": ("Monet Claude",)}
    assert dict(data.skipped) == {"gone\u2028.jpg": "no such file", "b.jpg": "no label"}


def test_a_table_beside_its_folder_and_with_open_rows(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "a.jpg")
    (tmp_path / "l.csv").write_text("path;label\na.jpg;sea;sky;sea\n")
    assert of(Labelled.read(tmp_path / "photos", tmp_path / "l.csv")) == {"a.jpg": ("sea", "sky")}


def test_a_table_from_windows(tmp_path: Path) -> None:
    write(tmp_path / "été" / "1.jpg")
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "été\\1.jpg")
        (tmp_path / "l.csv").write_text(f"path,label\n{name},sea\n", encoding="utf-8")
        data = Labelled.read(tmp_path / "l.csv")
        assert of(data) == {name: ("sea",)}
        assert [source for _, source in data.sources()] == [tmp_path / "été" / "1.jpg"]


def test_a_picture_that_is_spelt_in_two_ways_is_one(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1.jpg")
    (tmp_path / "l.csv").write_text("path,label\na/1.jpg,sea\na\\1.jpg,sky\n")
    data = Labelled.read(tmp_path / "l.csv")
    assert of(data) == {"a/1.jpg": ("sea",)}
    assert data.skipped == [("a\\1.jpg", "a second time, in line 3")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"file,label\n", "needs a first line such as"),
        (b"path,kind\n", "needs a first line such as"),
        (b"", "needs a first line such as"),
        (b"path,label\nnone.jpg,x\n", "no labelled pictures"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"path,label\na\0b,c\n", "not a CSV"),
        (b'path,label\n"' + b"a" * 140_000, "not a CSV that can be read"),
    ],
)
def test_a_bad_table_is_one_line(text: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(text)
    with pytest.raises(BeautyError, match=says) as error:
        Labelled.read(tmp_path / "l.csv")
    assert "\n" not in str(error.value)


def test_what_is_no_data_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    for place, says in (("missing", "there is no"), ("text.zip", "is no zip"), (".", "no labelled pictures")):
        with pytest.raises(BeautyError, match=says) as error:
            Labelled.read(tmp_path / place)
        assert "\n" not in str(error.value)


def test_mirrored_pictures_are_one_group() -> None:
    pictures = [Image.fromarray(noise(i)) for i in range(5)]
    pictures += [pictures[3].transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    found = labelled.groups([hashes(each) for each in pictures])
    assert found[5] == found[3]
    assert len(set(found)) == 5


def test_what_is_near_to_one_of_a_group_is_of_it() -> None:
    """However far it is from the others, and in whatever order they come."""
    chain = {number: f"{(1 << NEAR * steps) - 1:016x}" for steps, number in enumerate((1, 2, 4, 3, 0))}
    assert labelled.groups([(chain[number], "f" * 16) for number in range(5)]) == [0] * 5


def examples(**counts: int) -> list[Example]:
    return [Example(f"{label}/{i}.jpg", (label,)) for label, count in counts.items() for i in range(count)]


def test_the_split_is_a_tenth_of_each_label() -> None:
    given = examples(a=100, b=30, c=3, d=1)
    places = labelled.split(given, range(len(given)))
    counts = Counter((example.labels[0], place) for example, place in zip(given, places, strict=True))
    assert counts["a", "test"] == counts["a", "validation"] == 10
    assert counts["b", "test"] == counts["b", "validation"] == 3
    assert (counts["c", "test"], counts["c", "training"], counts["d", "training"]) == (1, 2, 1)
    assert labelled.split(given, range(len(given))) == places
    assert labelled.split(given, range(len(given)), seed=1) != places


def test_near_duplicates_are_never_on_both_sides() -> None:
    given = examples(a=60, b=60)
    groups = [number // 4 for number in range(120)]
    places = labelled.split(given, groups)
    for group in set(groups):
        assert len({place for place, other in zip(places, groups, strict=True) if other == group}) == 1
    assert {"training", "validation", "test"} == set(places)


def test_a_given_split_holds() -> None:
    given = [Example("1", ("a",), "test"), Example("2", ("a",)), Example("3", ("b",), "training"), Example("4", ("b",))]
    assert labelled.split(given, [0, 1, 2, 2]) == ["test", "training", "training", "training"]
