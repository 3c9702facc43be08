"""Pictures through the image verb: names, layouts, reasons. A negative stands in for the network."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image

from beautynet.decode import decode
from beautynet.errors import BeautyError, UsageError
from beautynet.verbs.image import image

HOSTILE = Path(__file__).parents[2] / "shared" / "data" / "hostile"


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(load_sample_image("flower.jpg")[:96, :160]).save(path)
    return path


def outs(folder: Path, *paths: Path, out: Path | None = None, layout: str = "only") -> list[str]:
    results = image(paths, out, layout, translator=ImageOps.invert)
    return [result.out.relative_to(folder).as_posix() for result in results if result.out]


def test_names(tmp_path: Path) -> None:
    for given, made in {
        "a.jpg": "a.beauty.jpg",
        "b.JPEG": "b.beauty.JPEG",
        "c.png": "c.beauty.png",
        "d.webp": "d.beauty.png",
        "flor ção 花 #1 100%.jpg": "flor ção 花 #1 100%.beauty.jpg",
    }.items():
        assert outs(tmp_path, save(tmp_path / given)) == [made]
        with Image.open(tmp_path / made) as picture:
            assert picture.format == ("PNG" if made.endswith("png") else "JPEG")
            assert picture.size == (160, 96)


@pytest.mark.parametrize(("layout", "size"), [("side", (320, 96)), ("stack", (160, 192)), ("only", (160, 96))])
def test_layouts(layout: str, size: tuple[int, int], tmp_path: Path) -> None:
    source, out = save(tmp_path / "a.png"), tmp_path / "dream.png"
    assert outs(tmp_path, source, out=out, layout=layout) == ["dream.png"]
    original, page = np.asarray(decode(source)), np.asarray(decode(out))
    assert page.shape[1::-1] == size
    assert (page[-96:, -160:] == 255 - original).all()
    assert layout == "only" or (page[:96, :160] == original).all()


def test_folders(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name in ("b.jpg", "a.png", "deep/er/b.jpg", ".hidden/c.jpg", "deep/.d.jpg", "e.beauty.jpg"):
        save(photos / name)
    first = ["a.beauty.png", "b.beauty.jpg", "deep/er/b.beauty.jpg"]
    assert outs(photos, photos) == first
    assert outs(photos, photos) == first, "its own dreams were dreamt of again"
    assert outs(tmp_path / "out", photos, out=tmp_path / "out") == first


def test_one_path_is_no_list_of_letters(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jpg")
    for path in (source, str(source)):
        assert [result.source for result in image(path, translator=ImageOps.invert)] == [source]


def test_results_never_overwrite_one_another_nor_an_original(tmp_path: Path) -> None:
    paths = [
        save(tmp_path / name) for name in ("one/a.jpg", "two/a.jpg", "two/A.JPG", "one/a-2.jpg", "one/a.beauty.jpg")
    ]
    names = outs(tmp_path / "out", *paths, out=tmp_path / "out")
    assert len({name.lower() for name in names}) == len(paths)
    before = paths[-1].read_bytes()
    assert outs(tmp_path, paths[0], paths[-1]) == ["one/a-2.beauty.jpg", "one/a.beauty.beauty.jpg"]
    assert paths[-1].read_bytes() == before


def test_out_for_one_picture(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jpg")
    assert outs(tmp_path, source, out=tmp_path / "new" / "x.webp") == ["new/x.webp"]
    assert outs(tmp_path, source, out=tmp_path / "new") == ["new/a.beauty.jpg"]
    for out, says in (("x.psd", r"\.png"), ("a.jpg", "is the picture itself")):
        with pytest.raises(BeautyError, match=says):
            outs(tmp_path, source, out=tmp_path / out)
    with pytest.raises(UsageError, match=r"cannot write a picture named x\.psd"):
        outs(tmp_path, source, out=tmp_path / "x.psd")
    with pytest.raises(BeautyError, match="need a folder"):
        outs(tmp_path, source, source, out=source)


def test_out_for_several_is_no_picture(tmp_path: Path) -> None:
    paths = save(tmp_path / "a.jpg"), save(tmp_path / "b.jpg")
    with pytest.raises(BeautyError, match="need a folder"):
        outs(tmp_path, *paths, out=tmp_path / "out.jpg")
    assert not (tmp_path / "out.jpg").exists()


def test_what_cannot_be_read_gets_a_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "nowhere.jpg").symlink_to(tmp_path / "missing.jpg")
    (tmp_path / "text.jpg").write_text("not a photo")
    os.mkfifo(tmp_path / "pipe.jpg")
    save(tmp_path / "z.jpg")
    results = image([tmp_path, tmp_path / "gone.jpg"], translator=ImageOps.invert)
    reasons = {result.source.name: result.reason for result in results}
    assert reasons.pop("z.jpg") is None
    assert set(reasons) == {"empty.jpg", "nowhere.jpg", "pipe.jpg", "text.jpg", "gone.jpg"}
    assert all(reasons.values())
    assert not list(tmp_path.glob(".*"))


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(BeautyError, match="no pictures in"):
        outs(tmp_path, tmp_path)
    with pytest.raises(BeautyError, match=r"gone.jpg.*no such file"):
        outs(tmp_path, tmp_path / "gone.jpg")
    with pytest.raises(BeautyError, match="side, stack, only"):
        outs(tmp_path, save(tmp_path / "a.jpg"), layout="pile")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.skipif(not HOSTILE.exists(), reason="no ../shared/data/hostile")
def test_every_hostile_file_has_a_result(tmp_path: Path) -> None:
    files = {path.name for path in HOSTILE.iterdir() if path.is_file()}
    results = image([HOSTILE], tmp_path, translator=ImageOps.invert)
    assert {result.source.name for result in results} == files
    made = [result for result in results if result.out]
    assert len(made) > 20
    for result in made:
        with Image.open(result.out) as dream:
            assert dream.size == decode(result.source).size
    assert all(result.reason for result in results if not result.out)


def test_real_network(checkpoint: Path, tmp_path: Path) -> None:
    [result] = image([save(tmp_path / "a.jpg")], checkpoint=checkpoint, device="cpu", size=64, layout="side")
    assert decode(result.out).size == (320, 96)
