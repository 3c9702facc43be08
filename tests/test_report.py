"""The page of a report: whole in one file, and nothing in it is taken for HTML that is not."""

import re

import numpy as np

from beautynet.web.report import Show, page, section


def test_names_are_no_html() -> None:
    show = Show("<b>", "a & b", ("<i>",), [("</figcaption><script>", [np.zeros((2, 3, 3), np.uint8)])])
    made = page("<u>", "1 < 2", "<p>key</p>", section(show), "foot")
    for text in ("<b>", "<script>", "<u>", "<i>"):
        assert text not in made
    assert "1 &lt; 2" in made
    assert "a &amp; b" in made
    assert "<p>key</p>" in made
    assert 'width=3 height=2 alt="&lt;i&gt;"' in made


def test_each_picture_says_what_it_is() -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    made = section(Show("", "", ("shown", "painted"), [("0.3", [picture, picture])]))
    assert re.findall('alt="(.*?)"', made) == ["shown", "painted"]
    assert 'alt="a rose"' in section(Show("", "", (), [("a rose", [picture])]))
