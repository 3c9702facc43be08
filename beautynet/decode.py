"""Bytes or a file in, an upright 8-bit RGB picture out, or a reason why not. Decided by content, never by name."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from beautynet.errors import BeautyError, UsageError
from beautynet.files import named_in

MAX_PIXELS = 100_000_000
HASHABLE = 128
"""Shorter side in px that a picture has at least when it is decoded to be hashed: of 32×32 (see `dedup.hashes`)."""
PAPER = (255, 255, 255)
NO_HEIF = "HEIF needs pillow-heif"
"""Begins the reason why HEIF cannot be read, up to its colon."""
LFS_POINTER = "Git LFS pointer: run `git lfs pull`"
"""What a file is that stands for a large one which Git has not fetched."""
_ORIENTATION = 0x0112  # EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Photos come in these. Pillow knows more, of which some run other programs (EPS starts Ghostscript).
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "TIFF", "BMP", "JPEG2000", "MPO", "PPM")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".gif", ".heic"}
"""Names of pictures end in these, where names are all there is to go by."""

# Broken EXIF is common on the web and ignored here on purpose; the limit of pixels is ours, see MAX_PIXELS. Last of
# the filters: who has one for these, keeps it.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin", append=True)
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning, append=True)


_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class Unreadable(BeautyError):  # noqa: N818
    """Why something is not a picture that we can use, in a few words; the name of the file is the caller's to add."""


def as_jpeg(picture: Image.Image, quality: int = 88) -> bytes:
    """A picture back as bytes, without metadata."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def pictures_in(folder: Path) -> list[Path]:
    """What is named like a picture in a folder and in those below it, sorted; nothing hidden, and no dreams."""
    return named_in(folder, SUFFIXES)


def decode(source: bytes | Path) -> Image.Image:
    """The picture in `source` as mode RGB, upright (EXIF), in sRGB, on white where transparent, without metadata.

    Of an animation or a document with pages it is the first. The number of pixels is read from the header, so
    that nothing over MAX_PIXELS is ever decoded. Raises Unreadable.
    """
    with _open(source) as file:
        return _decode(file).picture


def decode_for(path: Path, purpose: str) -> Image.Image:
    """As `decode`, of a file that somebody named for a purpose ("to watch"): BeautyError says which cannot be read."""
    try:
        return decode(path)
    except Unreadable as reason:
        raise BeautyError(f"cannot read {path} ({reason}): choose another picture {purpose}") from reason


@dataclass(frozen=True)
class Decoded:
    """A picture, its (width, height) in px when upright, and the same as JPEG without metadata, or None.

    There is a JPEG where the source was one whose pixels `decode` leaves as they are: they stay bit for bit. EXIF (with
    the place it was taken), XMP, thumbnails, comments and whatever follows the picture are left out.
    """

    picture: Image.Image
    size: tuple[int, int]
    jpeg: bytes | None


def decode_with_jpeg(source: bytes | Path, *, hashable: bool = False) -> Decoded:
    """As `decode`, with the JPEG. If `hashable` is enough, the picture beside it is a grey fraction of its size.

    That takes half the time; all of the file is read nevertheless, so that damage is found.
    """
    with _open(source) as file:
        decoded = _decode(file, keep=True, hashable=hashable)
        if decoded.jpeg is None and decoded.picture.mode != "RGB":  # its own bytes cannot be kept, its pixels are
            file.seek(0)
            return _decode(file)
        return decoded


def _open(source: bytes | Path) -> IO[bytes]:
    """Open bytes or a regular file; never blocks, whatever the path is (opening a FIFO waits for a writer)."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        if stat.S_ISDIR(os.stat(source).st_mode):
            raise Unreadable("is a folder")
        file = open(source, "rb", opener=_open_at_once)  # noqa: SIM115  (the caller closes it)
    except FileNotFoundError:
        raise Unreadable("a link to nowhere" if source.is_symlink() else "no such file") from None
    except PermissionError:
        raise Unreadable("no permission to read it") from None
    except OSError as error:  # a socket, a loop of links, a name that is too long
        raise Unreadable(f"cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Unreadable("not a regular file")
    return file


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _decode(file: IO[bytes], *, keep: bool = False, hashable: bool = False) -> Decoded:
    head = file.read(4096)
    _refuse_or_prepare(head)
    file.seek(0)
    try:
        with Image.open(file, formats=_formats()) as image:
            size = image.size
            if size[0] * size[1] > MAX_PIXELS:
                raise Unreadable(_too_large(size[0] * size[1], MAX_PIXELS))
            is_plain = image.format == "JPEG" and image.mode == "RGB" and _orientation(image) == 1
            untouched = is_plain and _foreign_profile(image) is None
            if untouched and hashable:
                image.draft("L", (HASHABLE, HASHABLE))
            image.load()
            orientation = 1 if is_plain else _orientation(image)
            picture: Image.Image
            if not untouched:
                picture = to_rgb(image)
            elif hashable:
                picture = image
            else:
                picture = image.copy()  # which forgets the file's metadata
    except (Unreadable, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise Unreadable(_unidentified(head)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Over twice its own limit Pillow stops before the size can be asked for; the message has it.
        found = re.search(r"\((\d+) pixels", str(error))
        limit = min(MAX_PIXELS, 2 * (Image.MAX_IMAGE_PIXELS or MAX_PIXELS))
        raise Unreadable(_too_large(int(found[1]) if found else 0, limit)) from error
    except Exception as error:  # decoders of broken files raise nearly everything: SyntaxError, TypeError, struct.error
        cut = "truncated" in str(error).lower() or isinstance(error, EOFError)
        raise Unreadable("truncated" if cut else f"damaged: {error or type(error).__name__}") from error
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    picture.info = {}
    if not untouched:
        return Decoded(picture, picture.size, None)
    file.seek(0)
    return Decoded(picture, size, _without_metadata(file.read()) if keep else None)


def _formats() -> list[str]:
    """Those of our formats that this Pillow reads."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _too_large(pixels: int, most: int) -> str:
    return f"{pixels / 1e6:.0f} megapixels, over the limit of {most / 1e6:.0f}"


def _refuse_or_prepare(head: bytes) -> None:
    """Refuse what Pillow has no words for, by its first bytes; register the HEIF decoder when there is a use for it."""
    if not head:
        raise Unreadable("empty file")
    if head[4:8] == b"ftyp" and b"avif" not in head[8:48] and b"avis" not in head[8:48]:
        if head[8:12] not in _HEIF_BRANDS:
            raise Unreadable("a film, not a photo")
        try:
            from pillow_heif import register_heif_opener  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            raise Unreadable(f"{NO_HEIF}: pip install pillow-heif") from None
        register_heif_opener()


def is_lfs_pointer(head: bytes) -> bool:
    """Whether a file that begins so is LFS_POINTER, whatever it is named."""
    return _as_text(head).startswith(b"version https://git-lfs")


def _as_text(head: bytes) -> bytes:
    """A file's beginning in small letters, without what may stand before the first of them."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()


def _unidentified(head: bytes) -> str:
    """What it is instead of a picture, for something that no decoder claims."""
    text = _as_text(head)
    if is_lfs_pointer(head):
        return LFS_POINTER
    if text.startswith(b"<"):
        if b"<svg" in text:
            return "SVG drawing, not a photo"
        return "not a picture: HTML page" if b"<html" in text or b"<!doctype html" in text else "not a picture: XML"
    if head.startswith(b"\x1aE\xdf\xa3") or (head.startswith(b"RIFF") and head[8:12] == b"AVI "):
        return "a film, not a photo"
    if head.startswith(b"%PDF"):
        return "not a picture: PDF document"
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"\0\0\0")):
        return "damaged: its header cannot be read"
    if not re.search(rb"[\x00-\x08\x0e-\x1f]", head):
        return "not a picture: text"
    return "not a picture: unknown format"


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it is broken. Ask after load(): TIFF turns itself."""
    try:
        if _is_torn(image.info.get("exif", b"")):
            return 1
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a broken EXIF block raises nearly everything, and costs us nothing but the hint
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _is_torn(exif: bytes) -> bool:
    """Whether an EXIF block promises more entries than it holds; Pillow would still believe those that it finds."""
    exif = exif.removeprefix(b"Exif\0\0")
    if not exif:
        return False
    order = "<" if exif.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", exif, 4)
    (entries,) = struct.unpack_from(order + "H", exif, start)
    return bool(start + 2 + 12 * entries > len(exif))


def on_white(layer: Image.Image) -> Image.Image:
    """What is seen of an RGBA picture on white paper."""
    picture = Image.new("RGB", layer.size, PAPER)
    picture.paste(layer, mask=layer.getchannel("A"))
    return picture


def as_shown(picture: Image.Image) -> Image.Image:
    """A picture that somebody has opened, as `decode` gives its file: RGB on white, in sRGB, upright.

    What else was done to it since stays: turned it is only as it comes from its file. Raises UsageError.
    """
    if not isinstance(picture, Image.Image):
        raise UsageError(f"a picture has to be a PIL image, as Image.open gives it, not {type(picture).__name__}")
    if 0 in picture.size:
        raise UsageError("a picture has to have pixels: this one has none")
    orientation = _orientation(picture) if isinstance(picture, ImageFile.ImageFile) else 1
    shown = to_rgb(picture)
    return shown.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else shown


def to_rgb(image: Image.Image) -> Image.Image:
    """A picture of any mode -> a new one: RGB, 8 bits, sRGB, on white where transparent."""
    profile = _foreign_profile(image)
    picture: Image.Image = image
    if image.mode.startswith(("I", "F")):
        picture = _to_grey8(image)
    elif image.has_transparency_data:
        picture = on_white(image.convert("RGBA"))
    elif image.mode not in ("L", "RGB", "CMYK"):
        picture = image.convert("RGB")
    if profile is not None:
        picture = _to_srgb(picture, profile)
    return picture.convert("RGB")


def _to_grey8(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit or floating-point grey -> L, scaled by the white of its kind (Pillow would clip)."""
    grey = np.nan_to_num(np.asarray(image).astype(np.float64))
    whites = (1.0, 255.0, 65535.0) if image.mode.startswith("F") else (65535.0,)
    # a highlight may be over the white of its kind, at most twice as bright
    white = next((white for white in whites if grey.max() <= 2 * white), float(grey.max()))
    return Image.fromarray((grey * (255 / white)).clip(0, 255).round().astype(np.uint8))


def _foreign_profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The embedded colour profile; None where there is none, it is broken, or it is sRGB itself."""
    data = image.info.get("icc_profile")
    if not data:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        return None if "srgb" in ImageCms.getProfileDescription(profile).lower() else profile
    except Exception:  # littlecms on a broken profile; browsers too show such a photo as sRGB
        return None


def _to_srgb(picture: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    try:
        converted = ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError:  # a profile of another colour space than the pixels, such as RGB on a grey photo
        return picture
    return converted or picture


def _without_metadata(data: bytes) -> bytes | None:
    """A JPEG's segments up to its end marker but for APP1-13, APP15 and comments; None where they cannot be walked.

    APP0 (JFIF) and APP14 (Adobe) tell a decoder how colours are stored, so they stay. ITU-T T.81, annex B.
    """
    kept = [data[:2]]
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0xD9:  # end of image
            return b"".join((*kept, b"\xff\xd9"))
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4])
        if marker == 0xDA:  # start of scan: entropy-coded bytes follow, in which FF stands before 00 or a restart only
            following = _NEXT_MARKER.search(data, end)
            if following is None:
                return None
            end = following.start()
        if not (0xE1 <= marker <= 0xED or marker in (0xEF, 0xFE)):
            kept.append(data[position:end])
        position = end
    return b"".join((*kept, b"\xff\xd9")) if data[position : position + 2] == b"\xff\xd9" else None
