"""HDR in a screen's colours: what the standards say of its numbers."""

import av
import numpy as np
import pytest

from beautynet.film.hdr import WHITE, ToneMapper, _to_pq, tone_mapped

PQ, HLG = 16, 18


def grey(level: float) -> np.ndarray:
    return np.full((1, 3), level)


def light(shown: np.ndarray) -> float:
    """Candelas per m² of what a screen is sent."""
    return WHITE * float(shown.mean()) ** 2.4


def test_known_levels() -> None:
    """BT.2408, table 1: HDR's reference white is at 58 % of PQ and 75 % of HLG, a grey card of 18 % at 38 %."""
    knee = light(tone_mapped(grey(0.3798), PQ, 9)), light(tone_mapped(grey(0.3776), HLG, 9))
    assert knee == pytest.approx((26, 26), rel=0.02)
    white = tone_mapped(grey(0.5807), PQ, 9), tone_mapped(grey(0.75), HLG, 9)
    assert white[0] == pytest.approx(white[1], abs=0.003)
    assert 0.88 < white[0].mean() < 0.92


@pytest.mark.parametrize("curve", [PQ, HLG])
def test_brighter_is_never_darker(curve: int) -> None:
    shown = np.array([tone_mapped(grey(level), curve, 9).mean() for level in np.linspace(0, 1, 200)])
    assert shown[0] == 0
    assert shown[-1] == pytest.approx(1, abs=1e-4)
    assert (np.diff(shown) >= -1e-9).all()


@pytest.mark.parametrize(
    ("primaries", "channel", "parts"), [(12, 0, [1.2249, -0.0421, -0.0196]), (9, 1, [-0.5876, 1.1329, -0.1006])]
)
def test_primaries(primaries: int, channel: int, parts: list[float]) -> None:
    """P3's red and BT.2020's green are no screen's: they are more than its own, and less than none of the others."""
    shown = tone_mapped(_to_pq(50 * np.eye(3)[[channel]]), PQ, primaries)[0]
    assert np.sign(shown) * np.abs(shown) ** 2.4 * WHITE / 50 == pytest.approx(parts, abs=1e-3)


def test_hlg_of_a_colour_is_as_bright_as_its_luminance_says() -> None:
    """BT.2100, table 5: of scene light (0.2, 0, 0) in BT.2020, 1000 * 0.2 * (0.2627 * 0.2) ** 0.2 are shown of red."""
    signal = np.array([[(3 * 0.08) ** 0.5, 0.0, 0.0]])
    red = 1000 * 0.08 * (0.2627 * 0.08) ** 0.2
    shown = tone_mapped(signal, HLG, 1)[0]
    assert light(shown[:1]) == pytest.approx(red, rel=0.01)


@pytest.mark.parametrize("primaries", [1, 9, 12, 99])
def test_grey_stays_grey(primaries: int) -> None:
    shown = tone_mapped(grey(0.5), PQ, primaries)
    assert np.ptp(shown) < 0.002


def test_highlights_keep_their_hue() -> None:
    """A lamp eight times as bright as another one is of the same colour."""
    lamp = np.array([[60.0, 40.0, 20.0]])
    dim, bright = (tone_mapped(_to_pq(power * lamp), PQ, 1)[0] ** 2.4 for power in (1, 8))
    assert bright.max() > 2 * dim.max()
    assert bright / bright.max() == pytest.approx([1, 2 / 3, 1 / 3], abs=1e-3)
    assert dim / dim.max() == pytest.approx([1, 2 / 3, 1 / 3], abs=1e-3)


def test_what_lies_between_the_colours_of_the_cube() -> None:
    colours = np.random.default_rng(0).random((64, 64, 3))
    frame = av.VideoFrame.from_ndarray(np.rint(65535 * colours).astype(np.uint16), format="rgb48le")
    shown = ToneMapper((64, 64), "gbrp16le", HLG, 9)(frame.reformat(format="gbrp16le"))
    error = shown.reformat(format="rgb48le").to_ndarray() / 65535 - np.maximum(tone_mapped(colours, HLG, 9), 0)
    assert np.abs(error).mean() < 0.006


@pytest.mark.parametrize("colour", [(0, 230, 0), (230, 0, 0), (60, 140, 20), (0, 200, 220), (180, 120, 90)])
def test_colours_of_a_screen_come_back(colour: tuple[int, int, int]) -> None:
    """Also saturated ones, which lie at the cube's edges; in the middle of the range, where nothing is rolled off."""
    light = 0.4 * WHITE * (np.array([[colour]]) / 255) ** 2.4
    to_bt2020 = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]  # BT.2087
    signal = _to_pq(light @ np.array(to_bt2020).T)
    frame = av.VideoFrame.from_ndarray(np.rint(65535 * signal).astype(np.uint16).repeat(8, 0), format="rgb48le")
    shown = ToneMapper((1, 8), "gbrp16le", PQ, 9)(frame.reformat(format="gbrp16le"))
    dimmed = np.array(colour) * 0.4 ** (1 / 2.4)
    assert np.abs(shown.reformat(format="rgb48le").to_ndarray()[0, 0] / 257 - dimmed).max() < 16
