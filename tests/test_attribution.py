from pathlib import Path

from test_manifest import record

from beautynet.datasets import attribution
from beautynet.datasets.manifest import ATTRIBUTION


def page(folder: Path, *records: object) -> list[str]:
    attribution.write(folder, records)  # type: ignore[arg-type]
    return [line for line in (folder / ATTRIBUTION).read_text().splitlines() if line.startswith("| `")]


def test_each_kept_photo_has_a_line(tmp_path: Path) -> None:
    words = {"licence": "CC BY 2.0", "licence_url": "https://creativecommons.org/licenses/by/2.0/"}
    credit = {"author": "Zoë", "attribution": "“Rose” by Zoë, CC BY 2.0", "page": "https://example.org/(rose)"}
    lines = page(tmp_path, record(1, **words, **credit), record(2), record(3, status="rejected", reason="clicked out"))
    assert len(lines) == 2
    assert "[CC BY 2.0](https://creativecommons.org/licenses/by/2.0/)" in lines[0]
    assert "[“Rose” by Zoë, CC BY 2.0](https://example.org/%28rose%29)" in lines[0]
    assert "none stated" in lines[1]


def test_words_from_the_web_stay_words(tmp_path: Path) -> None:
    evil = "x | y\n# head <script>alert(1)</script> [a](javascript:b) `c` &amp;"
    (line,) = page(tmp_path, record(1, author=evil, attribution=evil, page="javascript:alert(1)", url="data:x"))
    assert line.replace("\\|", "").count("|") == 6
    assert "<" not in line
    assert "](javascript" not in line.replace("\\]", "")
    assert "`c`" not in line
    assert "&amp;amp;" in line


def test_a_folder_of_ones_own_is_not_told(tmp_path: Path) -> None:
    (line,) = page(tmp_path, record(1, source="folder", url="file:///home/zoe/secret/rose.jpg"))
    assert "secret" not in line
    assert line.endswith("| a photo of your own |")


def test_addresses_end_where_they_end(tmp_path: Path) -> None:
    (line,) = page(tmp_path, record(1, attribution="x", page="https://example.org/a\\)b\tc"))
    assert "[x](https://example.org/a%5C%29b%09c)" in line


def test_what_a_row_does_not_say_is_left_out(tmp_path: Path) -> None:
    assert len(page(tmp_path, record(1, source=None, page=None), record(2, file=None))) == 1
