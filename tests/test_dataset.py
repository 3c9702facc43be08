"""Datasets: which photos, which are held out, what a training step draws."""

import os
from dataclasses import fields
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image

from beautynet import manifest
from beautynet.dataset import DATA, Dataset, Photos
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


def named(count: int) -> Dataset:
    return Dataset(Path(), tuple(Path(f"{i:06d}.jpg") for i in range(count)))


def test_split_does_not_move_as_a_dataset_grows() -> None:
    before, after = (set(named(count).split()[1]) for count in (200, 1000))
    assert {p for p in after if int(p.stem) < 200} == before
    assert 1000 / 24 < len(after) < 1000 / 10


@pytest.mark.parametrize("count", [1, 7, 8, 9, 30])
def test_split_of_few(count: int) -> None:
    training, held_out = named(count).split()
    assert sorted([*training, *held_out]) == list(named(count).photos)
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


def test_half_of_the_crops_are_mirrored() -> None:
    ramp = np.arange(0, 200, 2, dtype=np.uint8)[None, :, None].repeat(100, 0).repeat(3, 2)
    batch = Photos([ramp], CPU).crops([0] * 100, 8, Random(0))
    rising = (batch[:, 0, 0, -1] > batch[:, 0, 0, 0]).sum()
    assert 30 < rising < 70


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
