"""A frame as libav decodes it becomes a picture as players show it: upright, in a screen's colours, on white."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from beautynet.decode import on_white
from beautynet.film.hdr import ToneMapper, is_hdr

_MATRICES = (0, 1, 4, 5, 6, 7, 9)  # libav's numbers of those from YUV to RGB; at others it gives up
_LEAST = 4  # px, of a side of what can be deinterlaced
_LARGEST_SD = 1279, 576  # px; what is wider or higher and does not say has HD's colours, as in mpv


class Developer:
    """Makes an upright picture, uint8 RGB (H, W, 3), of each decoded frame of a film, all as large as the first."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._size: tuple[int, int] | None = None
        self._mapper: ToneMapper | None = None

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        """The picture of the next frame."""
        self._size = self._size or (frame.width, frame.height)
        clear = any(component.is_alpha for component in frame.format.components)
        if frame.colorspace not in _MATRICES:
            is_hd = frame.width > _LARGEST_SD[0] or frame.height > _LARGEST_SD[1]
            frame.colorspace = Colorspace.BT2020 if is_hdr(frame) else Colorspace.ITU709 if is_hd else Colorspace.ITU601
        shown = self._tone_mapped(frame, "gbrap16le" if clear else "gbrp16le") if is_hdr(frame) else frame
        image = self._reformatter.reformat(shown, *self._size, "rgba" if clear else "rgb24").to_ndarray()
        picture = np.asarray(on_white(Image.fromarray(image))) if clear else image
        lying, down, right = _orientation(frame)
        if lying:
            picture = picture.swapaxes(0, 1)
        return np.ascontiguousarray(picture[::down, ::right])

    def _tone_mapped(self, frame: Any, pixels: str) -> Any:
        size, curve, primaries = (frame.width, frame.height), frame.color_trc, frame.color_primaries
        if self._mapper is None or self._mapper.key != (size, pixels, curve, primaries):
            self._mapper = ToneMapper(size, pixels, curve, primaries)
        return self._mapper(self._reformatter.reformat(frame, format=pixels))


def lies_on_its_side(frame: Any) -> bool:
    """Whether a decoded frame's rows are the columns of its upright picture."""
    return _orientation(frame)[0]


def _orientation(frame: Any) -> tuple[bool, int, int]:
    """Whether rows become columns, and then the step, 1 or -1, through rows and through columns of the upright picture.

    Of the display matrix (a, b, u, c, d, v, x, y, w), ISO 14496-12: a pixel at (p, q) is shown at (ap + cq, bp + dq).
    """
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV 18 does not know all kinds of side data
        matrix = None
    if matrix is None:
        return False, 1, 1
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    lying = abs(b) > abs(a)
    across, along = (b, c) if lying else (d, a)
    return lying, -1 if across < 0 else 1, -1 if along < 0 else 1


def progressive(frames: Iterable[Any]) -> Iterator[Any]:
    """As many decoded frames, at their times; where lines of two moments alternate, those of the first only (bwdif)."""
    for _, alike in groupby(frames, lambda frame: (frame.width, frame.height, frame.format.name)):
        graph = None
        for frame in alike:
            if graph is None and frame.interlaced_frame and min(frame.width, frame.height) >= _LEAST:
                graph = av.filter.Graph()
                source = graph.add_buffer(template=frame)
                mender = graph.add("bwdif", mode="send_frame", deint="interlaced")
                graph.link_nodes(source, mender, graph.add("buffersink")).configure()
            yield from [frame] if graph is None else filtered(graph, frame)
        if graph is not None:
            yield from filtered(graph, None)


def filtered(graph: Any, frame: Any | None) -> Iterator[Any]:
    """What a graph lets go of when it is given a frame, or None for the end."""
    graph.push(frame)
    with suppress(av.BlockingIOError, av.EOFError):  # nothing more, for now or for good
        while True:
            yield graph.pull()
