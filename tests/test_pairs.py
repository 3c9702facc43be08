"""Pairs on disk: what `aligned` trainers read, and a sheet to look at."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from beautynet import images
from beautynet.conditions import CONDITIONS, Condition
from beautynet.datasets.dataset import Dataset, Photos
from beautynet.errors import BeautyError
from beautynet.verbs.pairs import pairs


@pytest.mark.parametrize("condition", CONDITIONS)
def test_condition_on_the_left_photo_on_the_right(condition: str, photos: Path) -> None:
    dataset = Dataset.open(photos)
    summary = pairs(photos, condition=condition, abstraction=0.3, size=64, device="cpu")
    written = sorted(summary.folder.glob("*.png"))
    assert summary.folder == photos.with_name("photos.pairs") / condition
    assert [path.stem for path in written] == [path.stem for path in dataset.photos]
    assert (summary.written, summary.skipped) == (12, 0)
    loaded = Photos([np.asarray(Image.open(path)) for path in dataset.photos], torch.device("cpu"))
    recipe = Condition(condition, abstraction=0.3, size=64)
    for path, photo in zip(written, loaded.centres(64), strict=True):
        pair = np.asarray(Image.open(path))
        assert pair.shape == (64, 128, 3)
        assert (pair[:, 64:] == images.to_uint8(photo)[0]).all()
        assert (pair[:, :64] == images.to_uint8(recipe(photo)[0])[0]).all()
    assert Image.open(summary.sheet).size == (4 * (128 + 4) + 4, 3 * (64 + 4) + 4)


def test_max_damage_and_names(photos: Path, tmp_path: Path) -> None:
    (photos / "00.jpg").write_bytes(b"damaged")
    Image.open(photos / "01.jpg").save(photos / "01.png")
    (photos / "02").mkdir()
    (photos / "02.jpg").rename(photos / "02" / "a.jpg")
    summary = pairs(photos, size=32, max=4, out=str(tmp_path / "out"), device="cpu")
    assert summary.folder == tmp_path / "out"
    assert (summary.written, summary.skipped) == (3, 1)
    assert sorted(path.name for path in summary.folder.glob("*.png")) == ["01.png", "01_.png", "02-a.png"]


def test_none_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"damaged")
    with pytest.raises(BeautyError, match="none of the 1 photos"):
        pairs(tmp_path, size=32, device="cpu")


def test_a_dataset_where_one_is(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    summary = pairs(".", size=32, max=1, device="cpu")
    assert summary.folder.samefile(photos.with_name("photos.pairs") / "clusters")
    (photos.parent / "link").symlink_to(photos)
    assert pairs("../link", size=32, max=1, device="cpu").folder == Path("../link.pairs/clusters")


def test_no_pair_is_written_over_where_case_does_not_count(photos: Path) -> None:
    for path in sorted(photos.iterdir())[2:]:
        path.unlink()
    (photos / "00.jpg").rename(photos / "A.jpg")
    Image.open(photos / "01.jpg").save(photos / "a.png")
    (photos / "01.jpg").unlink()
    summary = pairs(photos, size=32, device="cpu")
    assert len({path.name.lower() for path in summary.folder.glob("*.png")}) == summary.written == 2
