"""Raw frames in, raw frames out: for OBS, TouchDesigner, ffmpeg and whatever else has a pipe."""

from __future__ import annotations

import errno
from typing import BinaryIO

import numpy as np

from beautynet.console import console
from beautynet.errors import BeautyError, UsageError
from beautynet.film.frames import Cuts
from beautynet.film.layout import compose, composed_size
from beautynet.translator import Memory, Translator


def stream(
    source: BinaryIO, sink: BinaryIO, size: tuple[int, int], translator: Translator, layout: str = "only"
) -> int:
    """Dream frames of `size` (width, height), 3 bytes a pixel (RGB), until `source` ends; how many there were.

    Each dream is flushed before the next frame is read, so that nothing waits in between. Ends as well when nobody
    reads what comes out any more. A torn last frame is left out, and said.
    """
    width, height = size
    if min(size) < 1:
        raise UsageError(f"frames of {width}×{height} px will not do")
    across, down = composed_size(size, layout)
    console.print(f"raw RGB frames: {width}×{height} in, {across}×{down} out", style="dim")
    is_cut = Cuts()
    memory: Memory | None = None
    count = 0
    while len(data := source.read(width * height * 3)) == width * height * 3:
        frame = np.frombuffer(data, np.uint8).reshape(height, width, 3)
        dreams, memory = translator.dream(frame[None], None if is_cut(frame) else memory)
        try:
            sink.write(compose(frame, dreams[0], layout).tobytes())
            sink.flush()
        except OSError as error:
            if isinstance(error, BrokenPipeError) or error.errno == errno.EINVAL:  # as Windows says it
                return count
            raise
        count += 1
    if data:
        console.print(f"the last frame was torn ({len(data)} bytes) and left out", style="yellow")
    if not count:
        raise BeautyError(
            f"no frame came in: pipe raw RGB of {width}×{height} px, such as ffmpeg -f rawvideo -pix_fmt rgb24"
        )
    return count
