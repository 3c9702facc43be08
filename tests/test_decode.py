import io
import os
import socket
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile
from sklearn.datasets import load_sample_images
from web import SHARED, bomb, encoded

from beautynet.datasets.dedup import hashes
from beautynet.decode import Unreadable, decode, decode_for, decode_with_jpeg
from beautynet.errors import BeautyError

HOSTILE = SHARED / "hostile"
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
hostile = pytest.mark.skipif(not HOSTILE.is_dir(), reason=f"{HOSTILE} is not here")

PHOTO = Image.fromarray(load_sample_images().images[1])  # the flower, 640 x 427


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(float)


def is_close(one: Image.Image, other: Image.Image, mean: float = 3.0) -> bool:
    return one.size == other.size and bool(np.abs(pixels(one) - pixels(other)).mean() < mean)


def plain_jpeg(data: bytes) -> bytes | None:
    return decode_with_jpeg(data).jpeg


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_every_format_gives_the_same_photo(kind: str) -> None:
    picture = decode(encoded(PHOTO, kind))
    assert picture.mode == "RGB"
    assert is_close(picture, PHOTO, 12 if kind == "GIF" else 4)


@pytest.mark.parametrize("orientation", range(10))
def test_orientation_is_applied_and_forgotten(orientation: int) -> None:
    stored_as = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # EXIF 6 is stored a quarter turn to the left, and so on
    turn = stored_as.get(orientation)
    stored = PHOTO if turn is None else PHOTO.transpose(Image.Transpose(turn))
    data = encoded(stored, exif=exif(orientation), quality=95)
    picture = decode(data)
    assert is_close(picture, PHOTO)
    assert not picture.info
    assert not picture.getexif()
    assert (plain_jpeg(data) is None) == (turn is not None)


def test_transparency_lies_on_white() -> None:
    alpha = Image.linear_gradient("L").resize(PHOTO.size)
    layer = PHOTO.copy()
    layer.putalpha(alpha)
    weight = pixels(alpha)[..., None] / 255
    expected = pixels(PHOTO) * weight + 255 * (1 - weight)
    assert np.abs(pixels(decode(encoded(layer, "PNG"))) - expected).max() <= 1

    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([255, 0, 255, 10, 200, 30])
    palette.paste(0, (0, 0, 4, 8))
    picture = decode(encoded(palette, "PNG", transparency=0))
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    assert picture.getpixel((7, 7)) == (10, 200, 30)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)[None].repeat(8, 0)
    picture = decode(encoded(Image.fromarray(ramp), "PNG"))
    assert np.array_equal(np.asarray(picture)[0, :, 0], np.arange(256))


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_floating_point_has_the_white_of_its_kind(white: int) -> None:
    ramp = np.linspace(0, white, 256, dtype=np.float32)[None].repeat(8, 0)
    ramp[:, -1] = 1.9 * white  # a highlight, which makes nothing else darker
    picture = decode(encoded(Image.fromarray(ramp), "TIFF"))
    assert np.array_equal(np.asarray(picture)[0, :, 0], np.arange(256))


def test_cmyk_is_not_inverted() -> None:
    assert is_close(decode(encoded(PHOTO.convert("CMYK"), quality=95)), PHOTO)


def test_colour_profiles_become_srgb() -> None:
    # A profile whose red and blue are swapped: what follows it must come out swapped back.
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"tXYZ").replace(b"bXYZ", b"rXYZ").replace(b"tXYZ", b"bXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "qqqq".encode("utf-16-be"))
    red, green, blue = PHOTO.split()
    data = encoded(Image.merge("RGB", (blue, green, red)), icc_profile=swapped, quality=95)
    assert is_close(decode(data), PHOTO)
    assert plain_jpeg(data) is None
    assert is_close(decode(encoded(PHOTO, icc_profile=b"broken", quality=95)), PHOTO)
    assert plain_jpeg(encoded(PHOTO, icc_profile=srgb)) is not None


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "restart_marker_rows": 1}])
def test_plain_jpeg_keeps_pixels_and_loses_the_rest(options: dict[str, object]) -> None:
    data = encoded(PHOTO, exif=exif(1), comment=b"secret place", **options) + b"\0trailing film" + encoded(PHOTO)
    plain = plain_jpeg(data)
    assert plain is not None
    assert b"Exif" not in plain
    assert b"secret" not in plain
    assert len(plain) < len(encoded(PHOTO, **options)) + 10
    assert np.array_equal(np.asarray(decode(plain)), np.asarray(decode(data)))
    assert plain_jpeg(plain) == plain


@pytest.mark.parametrize("options", [{}, {"exif": exif(6)}, {"progressive": True}])
def test_what_is_only_to_be_hashed_has_its_true_size_and_nearly_its_hash(options: dict[str, object]) -> None:
    data = encoded(PHOTO, quality=90, **options)
    small, whole = decode_with_jpeg(data, hashable=True), decode_with_jpeg(data)
    assert small.size == whole.size == whole.picture.size
    assert small.jpeg == whole.jpeg
    assert (min(small.picture.size) < 300) == (small.jpeg is not None)
    assert (int(hashes(small.picture)[0], 16) ^ int(hashes(whole.picture)[0], 16)).bit_count() <= 2
    with pytest.raises(Unreadable, match="truncated"):
        decode_with_jpeg(data[: len(data) * 2 // 3], hashable=True)


@pytest.mark.parametrize("kind", ["L", "CMYK"])
def test_plain_jpeg_refuses_what_needs_converting(kind: str) -> None:
    assert plain_jpeg(encoded(PHOTO.convert(kind))) is None
    assert plain_jpeg(encoded(PHOTO, "PNG")) is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF"])
@pytest.mark.parametrize("share", [0.002, 0.1, 0.6, 0.95])
def test_cut_files_are_refused(kind: str, share: float) -> None:
    whole = encoded(PHOTO, kind)
    with pytest.raises(Unreadable):
        decode(whole[: int(len(whole) * share)])


def test_damaged_files_are_read_or_refused() -> None:
    random = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"):
        whole = encoded(PHOTO.resize((64, 48)), kind)
        for _ in range(30):
            data = bytearray(whole)
            for place in random.integers(0, len(data), 5):
                data[place] = random.integers(256)
            try:
                assert decode(bytes(data)).mode == "RGB"
            except Unreadable:
                continue


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_100, 20_000])
def test_bombs_are_refused_undecoded(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(Unreadable, match=rf"^{side**2 / 1e6:.0f} megapixels, over the limit of 100$"):
        decode(bomb(side))
    monkeypatch.setattr("beautynet.decode.MAX_PIXELS", 640 * 427 - 1)
    with pytest.raises(Unreadable, match="over the limit"):
        decode(encoded(PHOTO))


def test_a_jpeg_that_cannot_be_copied_is_decoded_whole() -> None:
    """Pillow steps over zeros between two segments; who copies segment by segment does not."""
    data = encoded(PHOTO)
    odd = data[:20] + b"\0\0" + data[20:]
    assert decode_with_jpeg(data, hashable=True).picture.mode == "L"
    decoded = decode_with_jpeg(odd, hashable=True)
    assert (decoded.jpeg, decoded.size) == (None, PHOTO.size)
    assert is_close(decoded.picture, decode(data))


def test_heif_is_read_after_other_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin that says it reads HEIF, and reads the PNG that follows 12 bytes."""

    def opened(file: io.BytesIO, _: str) -> Image.Image:
        file.seek(12)
        return Image.open(io.BytesIO(file.read()), formats=["PNG"])

    def register() -> None:
        Image.register_open("HEIF", opened, lambda head: head[4:12] == b"ftypheic")

    for registry in ("OPEN", "ID"):
        monkeypatch.setattr(Image, registry, getattr(Image, registry).copy())
    monkeypatch.setitem(sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=register))
    decode(encoded(PHOTO))
    assert is_close(decode(b"\0\0\0\x18ftypheic" + encoded(PHOTO, "PNG")), PHOTO)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_is_not_the_files_fault_goes_through(error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", raises)
    with pytest.raises(error):
        decode(encoded(PHOTO))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "not a picture: HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer: run `git lfs pull`"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG drawing, not a photo"),
        (b"hello", "not a picture: text"),
        (b"%PDF-1.4\n\0", "not a picture: PDF document"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "a film, not a photo"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture: text"),
        (bytes(100), "damaged: its header cannot be read"),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        decode(data)
    assert str(caught.value) == reason


def test_what_is_no_file_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the paths of sockets must be short
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "nowhere.jpg").symlink_to("gone.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        reasons = {}
        for name in ("fifo.jpg", "loop.jpg", "nowhere.jpg", "folder.jpg", "socket.jpg", "absent.jpg"):
            with pytest.raises(Unreadable) as caught:
                decode(tmp_path / name)
            reasons[name] = str(caught.value)
    assert reasons["folder.jpg"] == "is a folder"
    assert reasons["fifo.jpg"] == "not a regular file"
    assert reasons["nowhere.jpg"] == "a link to nowhere"
    assert reasons["absent.jpg"] == "no such file"


def test_torn_exif_is_ignored() -> None:
    entry = struct.pack("<HHII", 0x0112, 3, 1, 6)
    torn = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 65535) + entry
    assert decode(encoded(PHOTO, exif=torn)).size == PHOTO.size


def test_first_frame_of_an_animation() -> None:
    frames = [PHOTO, PHOTO.rotate(180)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert is_close(decode(data), PHOTO, 12)


@hostile
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_hostile_files_convert_or_are_refused() -> None:
    sizes, reasons = {}, {}
    for path in sorted(HOSTILE.iterdir()):
        try:
            picture = decode(path)
        except Unreadable as error:
            reasons[path.name] = str(error)
        else:
            assert picture.mode == "RGB"
            assert decode(path.read_bytes()) == picture
            sizes[path.name] = picture.size
    refused = (
        "bomb corrupt_crc git_lfs html_ tiff_miss truncated vector zero_ text audio one_frame badly corrupted READ"
    )
    assert set(reasons) - {"directory_named.jpg", "heif_sample.heic"} == {
        path.name for path in HOSTILE.iterdir() if path.name.startswith(tuple(refused.split()))
    }
    assert reasons["bomb_30000x30000.png"] == "900 megapixels, over the limit of 100"
    assert reasons["truncated_60pct.jpg"] == reasons["truncated_header.jpg"] == "truncated"
    assert sizes["exif_rotated_6.jpg"] == sizes["exif_mirrored_5.jpg"] == (640, 360)
    assert sizes["exif_broken.jpg"] == (320, 180)
    assert sizes["exif_orientation_0.jpg"] == (480, 270)


@hostile
@pytest.mark.parametrize(
    "name", ["cmyk.jpg", "exif_rotated_6.jpg", "exif_mirrored_5.jpg", "photo.avif", "photo.webp", "progressive.jpg"]
)
def test_hostile_variants_show_the_same_photo(name: str) -> None:
    assert is_close(decode(HOSTILE / name), decode(HOSTILE / "no_extension"), 6)


@hostile
def test_hostile_grey_keeps_its_brightness() -> None:
    grey = pixels(decode(HOSTILE / "grayscale.jpg").resize((320, 180))).mean()
    assert abs(pixels(decode(HOSTILE / "gray16.png")).mean() - grey) < 3
    soft = pixels(decode(HOSTILE / "rgba_soft_alpha.png"))
    assert soft[:2].mean() > 150  # on white


def test_same_picture_from_bytes_and_file(tmp_path: Path) -> None:
    path = tmp_path / "no extension"
    path.write_bytes(encoded(PHOTO, "WEBP"))
    assert decode(path) == decode(io.BytesIO(path.read_bytes()).getvalue())


def test_what_somebody_named_is_named_again_where_it_cannot_be_read(tmp_path: Path) -> None:
    PHOTO.save(tmp_path / "rose.png")
    assert decode_for(tmp_path / "rose.png", "to watch").size == PHOTO.size
    with pytest.raises(BeautyError, match=r"cannot read .*gone\.png \(no such file\): choose another picture to watch"):
        decode_for(tmp_path / "gone.png", "to watch")
