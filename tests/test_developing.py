"""Decoded frames become pictures as players show them. All by films that are written here, and read by Film."""

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type
from test_media import SHARED, likeness, needs_videos, photo, pictures

from beautynet.film.developing import Developer
from beautynet.film.frames import Frame
from beautynet.film.media import Film


def encode(
    path: Path,
    images: list[av.VideoFrame],
    codec: str = "libx264",
    tags: tuple[int, int, int] = (2, 2, 2),
    options: dict[str, str] | None = None,
    prepare: Callable[[Any], None] = lambda _stream: None,
) -> list[Frame]:
    """What Film reads of a film of these images; `tags` are its primaries, curve and matrix, by libav's numbers."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = images[0].width, images[0].height, images[0].format.name
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = tags
        prepare(stream)
        for number, image in enumerate(images):
            image.pts, image.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(image))
        file.mux(stream.encode(None))
    with Film(path) as film:
        return list(film)


def plain(luma: int, blue: int, red: int) -> av.VideoFrame:
    """One colour, in ten bits."""
    image = av.VideoFrame(64, 64, "yuv420p10le")
    for plane, value in zip(image.planes, (luma, blue, red), strict=True):
        plane.update(np.full((plane.height, plane.line_size // 2), value, np.uint16).tobytes())
    return image


def roughness(picture: np.ndarray) -> float:
    """How much lines differ from the mean of those above and below, 0..255."""
    lines = picture.astype(float)
    return float(np.abs(lines[1:-1] - (lines[:-2] + lines[2:]) / 2).mean())


@pytest.mark.parametrize(
    ("curve", "primaries", "signals"),  # 50, 203, 500 and 1000 cd/m², in ten bits, and BT.709's red of 50
    [
        (16, 9, (450, 573, 657, 723, (295, 453, 593))),
        (16, 13, (450, 573, 657, 723, (295, 453, 593))),  # a number that there is not
        (18, 9, (499, 721, 846, 940, (259, 440, 649))),
    ],
    ids=["PQ", "PQ of whatever", "HLG"],
)
def test_hdr(tmp_path: Path, curve: int, primaries: int, signals: tuple[Any, ...]) -> None:
    """Middle tones are those of a screen of 203 cd/m²; of a white wall, the sky and the sun each is brighter."""
    images = [plain(luma, 512, 512) for luma in signals[:-1]] + [plain(*signals[-1])]
    frames = encode(tmp_path / "hdr.mkv", images, "ffv1", (primaries, curve, 9))
    middle, wall, sky, sun, red = (frame.picture for frame in frames)
    assert likeness(middle, np.array([142, 142, 142])) < 2  # 255 * (50 / 203) ** (1 / 2.4)
    assert 215 < wall.min() <= wall.max() < 240 < sky.min() <= sky.max() < sun.min()
    assert likeness(red, np.array([142, 0, 0])) < 8


def test_hdr_that_changes_within_a_film() -> None:
    """The same signal is 203 cd/m² in PQ, 80 in HLG; and a frame of another size is made as large as the first."""
    developed = Developer()
    shown = []
    for curve in (16, 18, 16):
        image = plain(573, 512, 512)
        image.color_trc, image.color_primaries, image.colorspace = curve, 9, 9
        shown.append(developed(image).mean())
    assert shown[0] == shown[2]
    assert shown == pytest.approx([230, 173, 230], abs=3)
    assert developed(image.reformat(width=32, height=48)).shape == (64, 64, 3)


@pytest.mark.parametrize("layer", ["yuva420p10le", "yuva444p10le"])
def test_transparent_hdr(tmp_path: Path, layer: str) -> None:
    picture = np.zeros((64, 64, 4), np.uint8)
    picture[:, :32] = 200, 200, 200, 255
    image = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format=layer)
    (frame,) = encode(tmp_path / "hdr.mkv", [image], "ffv1", (9, 18, 9))
    assert likeness(frame.picture[:, 34:], np.array([255, 255, 255])) < 2
    assert 230 < frame.picture[:, :30].mean() < 250  # HLG's 0.78


def test_matrices_that_libav_cannot_do(tmp_path: Path) -> None:
    """A film of constant luminance is shown nearly right rather than not at all."""
    (frame,) = encode(tmp_path / "film.mkv", [plain(721, 512, 512)], "ffv1", (9, 14, 10))
    assert 180 < frame.picture.min() < 200


@pytest.mark.parametrize(("height", "matrix"), [(96, 5), (720, 1)])
def test_untagged_colours_are_those_of_the_size(tmp_path: Path, height: int, matrix: int) -> None:
    picture = np.zeros((height, 160, 3), np.uint8)
    picture[:, :] = 30, 200, 60
    image = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p", dst_colorspace=matrix)
    frames = encode(tmp_path / "film.mp4", [image, image])
    assert likeness(frames[0].picture, picture) < 3


@pytest.mark.parametrize(("name", "codec", "pixels"), [("a.mov", "qtrle", "argb"), ("a.mkv", "ffv1", "yuva420p")])
def test_transparent_films_are_shown_on_white(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    layer = np.zeros((64, 64, 4), np.uint8)
    layer[:, :32] = 200, 0, 0, 255
    image = av.VideoFrame.from_ndarray(layer, format="rgba").reformat(format=pixels)
    picture = encode(tmp_path / name, [image], codec)[0].picture
    assert likeness(picture[:, :30], np.array([200, 0, 0])) < 4
    assert likeness(picture[:, 34:], np.array([255, 255, 255])) < 2


@needs_videos
def test_transparent_webm() -> None:
    path = SHARED / "videos" / "flower_vp9_alpha_320x180.webm"
    for start in (0, 0.5):
        with Film(path, start=start) as film:
            frames = list(film)
        assert (frames[-1].picture[0, 0] == 255).all()
        assert not film.warnings


@pytest.mark.parametrize(("degrees", "across", "down"), product((0, 90, 180, 270), (False, True), (False, True)))
def test_turned_and_mirrored(tmp_path: Path, degrees: int, across: bool, down: bool) -> None:
    image = av.VideoFrame.from_ndarray(pictures(1, 96, 64)[0], format="rgb24")
    lying = encode(tmp_path / "film.mov", [image], "png")[0].picture
    upright = np.rot90(lying, degrees // 90)
    upright = upright[:: -1 if down else 1, :: -1 if across else 1]
    path = tmp_path / "turned.mov"
    frames = encode(path, [image], "png", prepare=lambda stream: stream.set_display_rotation(degrees, across, down))
    assert frames[0].picture.shape == upright.shape
    assert (frames[0].picture == upright).all()


@pytest.mark.parametrize("name", ["film.mp4", "film.mpg", "film.avi"])
def test_interlaced(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Every other line is half a frame later: what comes out is of one moment, and as many frames at the same times."""
    codec = "libx264" if name == "film.mp4" else "mpeg2video"
    options = {"x264-params": "bff=1", "crf": "5"} if codec == "libx264" else {"flags": "+ildct", "qmax": "2"}
    camera = [photo()[200:296, 4 * n : 4 * n + 160] for n in range(24)]
    images = []
    for now, later in zip(camera[::2], camera[1::2], strict=True):
        combed = now.copy()
        combed[::2] = later[::2]  # the lower field comes first
        images.append(av.VideoFrame.from_ndarray(combed, format="rgb24").reformat(format="yuv420p"))
    frames = encode(tmp_path / name, images, codec, options=options)
    with av.open(str(tmp_path / name)) as file:
        assert next(file.decode(video=0)).interlaced_frame
    assert [frame.time for frame in frames] == [Fraction(n, 25) for n in range(12)]
    assert roughness(frames[6].picture) < roughness(camera[12]) < roughness(images[6].to_ndarray(format="rgb24")) / 1.2
    assert likeness(frames[6].picture[1::2], camera[12][1::2]) < 8
    assert capfd.readouterr().err == ""


def test_side_data_has_the_matrix(tmp_path: Path) -> None:
    """Mirrors stand in it only: PyAV's `rotation` leaves them out."""
    image = av.VideoFrame.from_ndarray(pictures(1, 96, 64)[0], format="rgb24")
    encode(tmp_path / "a.mov", [image], "png", prepare=lambda stream: stream.set_display_rotation(0, False, True))
    with av.open(str(tmp_path / "a.mov")) as file:
        frame = next(file.decode(video=0))
    assert frame.rotation == 0
    assert frame.side_data.get(Type.DISPLAYMATRIX)
