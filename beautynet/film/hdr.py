"""HDR (PQ, HLG; ITU-R BT.2100) in a screen's colours, its highlights rolled off instead of cut off.

A cube of colours is mapped once; libav looks up in it what lies between, in 16 bits.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc
from numpy.typing import NDArray

Array = NDArray[np.float64]

PEAK = 1000.0
"""Candelas per m² of the brightest that is told apart: HLG's own (BT.2100), and what most PQ is made for."""
WHITE = 203.0
"""Those of a screen's white: what a sheet of paper has in HDR (BT.2408)."""
GAMMA = 2.4
"""Of a screen (BT.1886)."""
_SIDE = 49
"""Colours a side of the cube. With 33, as is usual, a saturated colour's weakest part is up to 22 of 255 off, so 17."""
_TO_BT709: dict[int, tuple[tuple[float, float, float], ...]] = {
    ColorPrimaries.BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    ColorPrimaries.SMPTE432: ((1.2249, -0.2249, 0.0), (-0.0421, 1.0421, 0.0), (-0.0196, -0.0786, 1.0983)),
    ColorPrimaries.BT709: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}
"""Matrices of linear light (BT.2087 for BT.2020; for P3 from its primaries). What has others is taken for BT.2020."""


def is_hdr(frame: Any) -> bool:
    """Whether a decoded frame is in HDR."""
    return frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


class ToneMapper:
    """Frames of HDR in a screen's colours. One for all frames of a size, pixel format, curve and primaries."""

    def __init__(self, size: tuple[int, int], pixels: str, curve: int, primaries: int) -> None:
        """`pixels` is libav's name of RGB in planes of 16 bits, which it is quickest at."""
        self.key = size, pixels, curve, primaries
        blue, green, red = np.meshgrid(*[np.linspace(0, 1, _SIDE)] * 3, indexing="ij")  # red changes first
        colours = np.stack([red, green, blue], axis=-1).reshape(-1, 3)
        self._graph = av.filter.Graph()
        with TemporaryDirectory() as folder:  # haldclut would take it from memory, but mixes planes up
            cube = Path(folder, "hdr.cube")
            np.savetxt(cube, tone_mapped(colours, curve, primaries), "%.6f", header=f"LUT_3D_SIZE {_SIDE}", comments="")
            frames = self._graph.add_buffer(width=size[0], height=size[1], format=pixels, time_base=Fraction(1))
            lookup = self._graph.add("lut3d", file=str(cube))
            self._graph.link_nodes(frames, lookup, self._graph.add("buffersink")).configure()
        self._count = 0

    def __call__(self, frame: Any) -> Any:
        """The next frame, of the size and pixels that were said, as it is shown."""
        frame.pts, frame.time_base = self._count, Fraction(1)  # of its own, as a film's may go backwards
        self._count += 1
        self._graph.push(frame)
        return self._graph.pull()


def tone_mapped(signal: Array, curve: int, primaries: int) -> Array:
    """What a screen is sent (0..1, of BT.709) for RGB of HDR (..., 3), 0..1, in PQ or HLG.

    Under 0 where a screen has no such colour, so that what lies between it and its neighbours is right.
    """
    light = _from_pq(signal) if curve == ColorTrc.SMPTE2084 else _from_hlg(signal)
    light = light @ np.array(_TO_BT709.get(primaries, _TO_BT709[ColorPrimaries.BT2020])).T
    strongest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    shown = light * (_rolled_off(strongest) / strongest) / WHITE  # all three alike, which keeps the hue
    return np.asarray(np.sign(shown) * np.minimum(np.abs(shown), 1) ** (1 / GAMMA))


def _rolled_off(light: Array) -> Array:
    """Candelas per m² that a screen of `WHITE` shows for those of a film: the same, but for highlights.

    The curve (EETF) of ITU-R BT.2390, section 5.4.1, for black that is black: PQ's signal, from a knee on bent towards
    white.
    """
    top = _to_pq(PEAK)
    given = np.minimum(_to_pq(light) / top, 1)
    most = _to_pq(WHITE) / top
    knee = 1.5 * most - 0.5
    t = np.maximum(given - knee, 0) / (1 - knee)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return _from_pq(np.where(given < knee, given, bent) * top)


_M1, _M2 = 2610 / 16384, 2523 / 32
_C1, _C2, _C3 = 3424 / 4096, 2413 / 128, 2392 / 128


def _from_pq(signal: Any) -> Array:
    """Candelas per m² of PQ's signal, 0..1: its EOTF (BT.2100, table 4)."""
    root = np.asarray(signal, float) ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1))


def _to_pq(light: Any) -> Array:
    """PQ's signal, 0..1, of candelas per m²."""
    power = (np.asarray(light, float) / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def _from_hlg(signal: Array) -> Array:
    """Candelas per m² of HLG's signal (..., 3), 0..1, on a screen of `PEAK`: its EOTF (BT.2100, table 5)."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593])
    return np.asarray(PEAK * scene * np.maximum(luminance, 1e-9)[..., None] ** 0.2)
