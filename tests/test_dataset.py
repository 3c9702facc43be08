"""Datasets: which photos, which are held out, what a training step draws."""

import errno
import os
from dataclasses import fields
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from beautynet import images, metrics
from beautynet.datasets import manifest
from beautynet.datasets.dataset import SPLIT, Dataset, Photos, squares
from beautynet.datasets.dedup import digests, hashes
from beautynet.datasets.manifest import DATA
from beautynet.decode import decode
from beautynet.errors import BeautyError

CPU = torch.device("cpu")


def test_a_folder_of_photos(photos: Path) -> None:
    (photos / "notes.txt").write_text("no photo")
    (photos / "deep").mkdir()
    (photos / "00.jpg").rename(photos / "deep" / "00.JPG")
    for hidden in (".rejected/a.jpg", "deep/.cache/b.jpg", ".c.jpg", "d.beauty.jpg"):
        (photos / hidden).parent.mkdir(exist_ok=True)
        (photos / hidden).write_bytes(b"")
    dataset = Dataset.open(photos)
    assert len(dataset.photos) == 12
    assert dataset.name == "photos"


def test_a_manifest_says_what_was_kept(photos: Path) -> None:
    empty = dict.fromkeys(field.name for field in fields(manifest.Record))
    with manifest.Manifest(photos) as rows:
        for name, status in (("00.jpg", "kept"), ("01.jpg", "rejected"), ("gone.jpg", "kept")):
            rows.append(manifest.Record(**{**empty, "file": name, "status": status, "url": name}))
    assert Dataset.open(photos).photos == (photos / "00.jpg",)


def test_only_the_last_row_of_a_url_counts(photos: Path) -> None:
    empty = dict.fromkeys(field.name for field in fields(manifest.Record))
    with manifest.Manifest(photos) as rows:
        for name, status in (("03.jpg", "kept"), ("02.jpg", "kept"), ("03.jpg", "rejected"), ("01.jpg", "failed")):
            rows.append(manifest.Record(**{**empty, "file": name, "status": status, "url": name}))
        rows.append(manifest.Record(**{**empty, "file": "01.jpg", "status": "kept", "url": "01.jpg"}))
    assert Dataset.open(photos).photos == (photos / "01.jpg", photos / "02.jpg")


def test_by_name_or_the_newest(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    for number in (1, 2):
        folder = DATA / f"set{number}"
        folder.mkdir(parents=True)
        (photos / f"0{number}.jpg").rename(folder / "a.jpg")
    os.utime(DATA / "set1", (1e9, 1e9))
    (DATA / "set1.pairs").mkdir()
    assert Dataset.open("set1").folder == DATA / "set1"
    assert Dataset.open().folder == DATA / "set2"


def test_nothing_there_names_the_next_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for folder in (None, "flowers", tmp_path / "empty"):
        with pytest.raises(BeautyError, match=r"`beautynet scrape .*`"):
            Dataset.open(folder)


def named(folder: Path, count: int, listed: bool = False) -> Dataset:
    """Photos that cannot be read: only names count. If `listed`, with a manifest and hashes that are far apart."""
    if listed:
        random = Random(0)
        list_photos(folder, {f"{i:06d}.jpg": f"{random.getrandbits(64):016x}" for i in range(count)})
    return Dataset(folder, tuple(folder / f"{i:06d}.jpg" for i in range(count)))


def list_photos(folder: Path, phashes: dict[str, str | None]) -> None:
    empty = dict.fromkeys(field.name for field in fields(manifest.Record))
    with manifest.Manifest(folder) as rows:
        for name, phash in phashes.items():
            if rows.by_url(name) is None:
                rows.append(manifest.Record(**{**empty, "file": name, "url": name, "phash": phash, "status": "kept"}))


def places(dataset: Dataset) -> dict[str, bool]:
    training, held_out = dataset.split()
    return {path.name: path in held_out for path in (*training, *held_out)}


@pytest.mark.parametrize("listed", [True, False])
def test_split_does_not_move_as_a_dataset_grows(listed: bool, tmp_path: Path) -> None:
    before, after = (places(named(tmp_path, count, listed)) for count in (200, 1000))
    assert before.items() <= after.items()
    assert 1000 / 24 < sum(after.values()) < 1000 / 10
    assert (tmp_path / SPLIT).exists() == listed


def test_the_only_photo_held_out_stays_so(tmp_path: Path) -> None:
    grown = {}
    for count in (*range(8, 60), 300):
        now = places(named(tmp_path, count, listed=True))
        assert grown.items() <= now.items()
        assert any(now.values())
        grown = now


def test_a_split_is_stored_once_and_a_kill_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = named(tmp_path, 100, listed=True)
    first = places(dataset)
    written = (tmp_path / SPLIT).stat().st_mtime_ns
    assert places(dataset) == first
    assert (tmp_path / SPLIT).stat().st_mtime_ns == written
    (tmp_path / SPLIT).write_text("{")
    with pytest.raises(BeautyError, match=r"split.json is damaged"):
        dataset.split()
    (tmp_path / SPLIT).unlink()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            dataset.split()
    assert not list(tmp_path.glob("*split*"))
    assert places(dataset) == first


def test_a_dataset_that_may_only_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = named(tmp_path, 100, listed=True)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EROFS, "read-only")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        first = places(dataset)
    assert "the split is not stored" in capfd.readouterr().err
    assert places(dataset) == first


def test_near_duplicates_go_together(crops: torch.Tensor, tmp_path: Path) -> None:
    """Each picture comes again, mirrored and smaller, under names that alone would part some of them."""
    pictures = [Image.fromarray(picture) for picture in images.to_uint8(crops)]
    for i in range(8):
        pictures += [p.transform(p.size, Image.Transform.AFFINE, (1, 0, 9 * i, 0, 1, 5 * i)) for p in pictures[:12:3]]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number:03}a.jpg", quality=95)
        ImageOps.mirror(picture).resize((160, 160)).save(tmp_path / f"{number:03}b.jpg")
    without = places(Dataset.open(tmp_path))
    list_photos(
        tmp_path, {path.name: None if "03" in path.name else hashes(decode(path))[0] for path in tmp_path.iterdir()}
    )
    for found in (without, places(Dataset.open(tmp_path))):
        assert 1 <= sum(found.values()) <= len(found) / 4
        assert all(found[f"{n:03}a.jpg"] == found[f"{n:03}b.jpg"] for n in range(len(pictures)))


def test_a_new_near_duplicate_joins_what_is_held_out(crops: torch.Tensor, tmp_path: Path) -> None:
    for number, picture in enumerate(images.to_uint8(crops)):
        Image.fromarray(picture).save(tmp_path / f"{number:02}.jpg")
    list_photos(tmp_path, {path.name: hashes(decode(path))[0] for path in tmp_path.iterdir()})
    before = places(Dataset.open(tmp_path))
    for name in before:
        ImageOps.mirror(decode(tmp_path / name)).save(tmp_path / f"again-{name}")
    copies = {path.name: hashes(decode(path))[0] for path in tmp_path.glob("again-*.jpg")}
    list_photos(tmp_path, copies)
    after = places(Dataset.open(tmp_path))
    assert before.items() <= after.items()
    assert all(after[f"again-{name}"] == held for name, held in before.items())


def test_what_a_run_held_out_stays_so_without_a_manifest(crops: torch.Tensor, tmp_path: Path) -> None:
    for number, picture in enumerate(images.to_uint8(crops)):
        Image.fromarray(picture).save(tmp_path / f"{number:02}.jpg")
    before = places(Dataset.open(tmp_path))
    turned = {name: name == "11.jpg" for name in before}  # another place than names would give each
    assert before["11.jpg"] is False
    run = [
        frozenset(digests([tmp_path / n for n, held in turned.items() if held == which]).values())
        for which in (False, True)
    ]
    for name in before:
        ImageOps.mirror(decode(tmp_path / name)).save(tmp_path / f"again-{name}")
    for learnt in (run[0], run[0] | run[1]):  # a run keeps its split, whatever else it has seen
        _, held_out = Dataset.open(tmp_path).split(learnt, run[1])
        assert {path.name for path in held_out} == {"11.jpg", "again-11.jpg"}
    assert not (tmp_path / SPLIT).exists()
    (tmp_path / "11.jpg").unlink()
    (tmp_path / "again-11.jpg").unlink()
    assert any(Dataset.open(tmp_path).split(*run)[1]), "others are held out where none of those is left"


def test_hashes_that_are_none_are_found_again(crops: torch.Tensor, tmp_path: Path) -> None:
    for number, picture in enumerate(images.to_uint8(crops)):
        Image.fromarray(picture).save(tmp_path / f"{number:02}.jpg")
    list_photos(tmp_path, {path.name: "somebody's own" for path in tmp_path.iterdir()})
    assert any(places(Dataset.open(tmp_path)).values())


@pytest.mark.parametrize("count", [1, 7, 8, 9, 30])
@pytest.mark.parametrize("listed", [True, False])
def test_split_of_few(count: int, listed: bool, tmp_path: Path) -> None:
    training, held_out = named(tmp_path, count, listed).split()
    assert sorted([*training, *held_out]) == list(named(tmp_path, count).photos)
    assert bool(held_out) == (count >= 8)
    assert len(held_out) <= count / 4


@pytest.mark.parametrize("shape", [(300, 100), (90, 400), (64, 64), (30, 20)])
def test_photos_are_kept_near_the_training_size(shape: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", shape[::-1], (200, 30, 90)).save(tmp_path / "a.png")
    photos = Photos.load([tmp_path / "a.png"], 64, CPU)
    assert 64 <= min(photos.pictures[0].shape[1:]) <= 128
    batch = photos.crops([0, 0], 64, Random(0))
    assert batch.shape == (2, 3, 64, 64)
    wanted = torch.tensor([200, 30, 90]) / 127.5 - 1
    assert torch.allclose(batch, wanted[:, None, None].expand_as(batch), atol=1e-5)


def test_crops_follow_the_dice(photos: Path) -> None:
    loaded = Photos.load(Dataset.open(photos).photos, 64, CPU)
    first, again, other = (loaded.crops([0, 3, 3], 64, Random(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[1], first[2]), "one photo drawn twice gives two crops"
    assert first.abs().max() <= 1


def test_photos_that_are_too_many_lie_elsewhere(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """On the device, else in the machine's memory, else on the disk: the same squares of them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("beautynet.datasets.dataset.MEMORY", 1)  # all at the training size
    paths = Dataset.open(photos).photos
    enough = 2 * 4 * len(paths) * 64**2
    device = torch.device("cpu", 0)  # another one than the machine's, as a GPU is
    found = []
    for its, the_machines, said in [
        (enough, 0, ""),
        (enough - 1, enough, "kept in the machine's"),
        (0, enough - 1, "laid out on the disk"),
    ]:
        free = {device: its, CPU: the_machines}
        monkeypatch.setattr("beautynet.datasets.dataset.free_memory", free.get)
        loaded = Photos.load(paths, 64, device)
        found.append(loaded.crops([0, 5, 0, 7], 64, Random(1)))
        assert len(loaded) == len(paths)
        told = " ".join(capfd.readouterr().err.split())
        assert said in told
        assert ("memory of cpu:0" in told) == bool(said)
        assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()], "nobody else sees the file"
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    unreadable = tmp_path / "not.jpg"
    unreadable.write_bytes(b"no")
    with pytest.raises(BeautyError, match="none of the 1 photos"):
        Photos.load([unreadable], 64, CPU)


def test_half_of_the_crops_are_mirrored() -> None:
    ramp = np.arange(0, 200, 2, dtype=np.uint8)[None, :, None].repeat(100, 0).repeat(3, 2)
    batch = Photos([ramp], CPU).crops([0] * 100, 8, Random(0))
    rising = (batch[:, 0, 0, -1] > batch[:, 0, 0, 0]).sum()
    assert 30 < rising < 70


def test_crops_are_of_half_to_all_of_the_shorter_side() -> None:
    ramp = np.arange(0, 200, 2, dtype=np.uint8)[None, :, None].repeat(100, 0).repeat(3, 2)
    rows = Photos([ramp], CPU).crops([0] * 200, 100, Random(0))[:, 0, 50]
    shares = (rows.amax(1) - rows.amin(1)) / (198 / 127.5)
    assert 0.48 < shares.min() < 0.53
    assert 0.97 < shares.max() < 1.01


def test_centres_are_the_middle_squares() -> None:
    picture = np.zeros((50, 90, 3), np.uint8)
    picture[:, 20:70] = 255
    assert next(Photos([picture], CPU).centres(32)).min() > 0.999


def test_damage_is_named_and_skipped(photos: Path, capfd: pytest.CaptureFixture[str]) -> None:
    paths = Dataset.open(photos).photos
    paths[4].write_bytes(b"")
    assert len(Photos.load(paths, 64, CPU)) == 11
    assert "04.jpg" in capfd.readouterr().err.replace("\n", "")
    with pytest.raises(BeautyError, match="none of the 1 photos"):
        Photos.load(paths[4:5], 64, CPU)


def test_squares_are_the_middles(tmp_path: Path) -> None:
    picture = np.zeros((50, 90, 3), np.uint8)
    picture[:, 20:70] = 255
    Image.fromarray(picture).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    found, pictures = squares([tmp_path / "b.png", tmp_path / "a.png"], 32)
    assert found == [tmp_path / "a.png"]
    assert pictures.shape == (1, 32, 32, 3)
    assert pictures[0, :, 2:-2].min() > 250
    with pytest.raises(BeautyError, match="none of the 1 photos"):
        squares([tmp_path / "b.png"], 32)


def test_what_is_learnt_from_is_as_sharp_as_what_it_is_measured_against(photos: Path) -> None:
    paths = Dataset.open(photos).photos
    taught = images.to_uint8(torch.cat([*Photos.load(paths, 64, CPU).centres(64)]))
    _, measured = squares(paths, 64)
    assert 0.9 < metrics.sharpness(taught) / metrics.sharpness(measured) < 1.05
