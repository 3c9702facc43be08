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
    error = shown.reformat(format="rgb48le").to_ndarray() / 65535 - tone_mapped(colours, HLG, 9)
    assert np.abs(error).mean() < 0.01
