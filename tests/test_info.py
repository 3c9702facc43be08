"""What a checkpoint or dataset is."""

import json
import re
import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from beautynet import checkpoint as checkpoints
from beautynet.datasets import manifest
from beautynet.errors import BeautyError
from beautynet.verbs.info import info


def test_checkpoint(checkpoint: Path) -> None:
    said = info(checkpoint)
    assert said == info(checkpoint.parent)
    assert "colours of 2 photos" in said
    assert max(map(len, said.splitlines())) < 200
    for fact in ("12 photos of flowers", "80 px", "1.0 minutes on cpu", "24 images in 3 steps", "preset S", "clusters"):
        assert fact in said


def test_a_flipped_bit_is_told(checkpoint: Path, named: Path, tmp_path: Path) -> None:
    for model in (checkpoint, named):
        whole = model.read_bytes()
        assert info(model)
        (tmp_path / model.name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(BeautyError, match="checksum is wrong"):
            info(tmp_path / model.name)


def test_health_of_a_run_that_left_a_log(checkpoint: Path, tmp_path: Path) -> None:
    assert "health" not in info(checkpoint)
    shutil.copy(checkpoint, tmp_path)
    (tmp_path / checkpoints.LOG).write_text(json.dumps({"steps": 1, "images": 4, "photos": 12}) + "\n")
    assert "health       too few photos" in info(tmp_path)


def test_a_run_that_has_saved_nothing_yet(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    with checkpoints.alone(Path("checkpoints/photos")):
        assert info("photos").startswith("dataset photos")
        with pytest.raises(BeautyError, match="has saved nothing yet"):
            info("checkpoints/photos")
        with pytest.raises(BeautyError, match="has saved nothing yet"):
            info(Path("checkpoints/photos").absolute())
    Path("data").mkdir()
    photos.rename("data/flowers")
    with checkpoints.alone(Path("checkpoints/flowers")):
        assert info("flowers").startswith("dataset data/flowers")


def test_dataset_with_and_without_manifest(photos: Path) -> None:
    held_out = re.search(r"12 photos \((\d+) to train on, (\d+) held out\)", info(photos))
    assert held_out is not None
    assert sum(map(int, held_out.groups())) == 12
    empty = dict.fromkeys(field.name for field in fields(manifest.Record))
    with manifest.Manifest(photos) as rows:
        for name in ("00.jpg", "01.jpg"):
            row = {"file": name, "status": "kept", "source": "bing", "width": 192, "height": 192, "url": name}
            rows.append(manifest.Record(**{**empty, "url": name, "status": "failed", "reason": "timeout"}))
            rows.append(manifest.Record(**{**empty, **row}))
        turned_away = {"status": "skipped", "source": "bing", "reason": "duplicate: of 00.jpg", "url": "x"}
        rows.append(manifest.Record(**{**empty, **turned_away}))
    said = info(photos)
    for fact in ("2 photos", "2 kept, 1 skipped", "2 bing", "2 none stated", "192 to 192 px", "1 duplicate"):
        assert fact in said
    assert "timeout" not in said, "superseded"


def test_many_licences_are_the_most_frequent_and_the_others(photos: Path) -> None:
    empty = dict.fromkeys(field.name for field in fields(manifest.Record))
    with manifest.Manifest(photos) as rows:
        for number in range(12):
            row = {"file": "00.jpg", "status": "kept", "licence": f"CC {max(number, 3)}"}
            rows.append(manifest.Record(**{**empty, **row}))
    assert re.search(r"licences +4 CC 3, .*, 1 others", info(photos))


def test_by_name(photos: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    Path("data").mkdir()
    photos.rename(Path("data/both"))
    Path("checkpoints").mkdir()
    Path("checkpoints/both").symlink_to(checkpoint.parent)
    assert info("both").startswith("dataset data/both")
    assert "\n\ncheckpoint checkpoints/both" in info("both")
    with pytest.raises(BeautyError, match="there is no nowhere"):
        info("nowhere")
