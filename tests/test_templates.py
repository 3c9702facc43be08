"""Pages filled in: values as they are, parts from files, and nothing looked into twice."""

import pytest

from beautynet.web.templates import filled


def test_values_are_not_looked_into() -> None:
    page = filled("report", title="{{lead}}", lead="{{stage}} & <b>", key="", body="", foot="")
    assert "{{lead}}" in page
    assert "{{stage}} & <b>" in page


@pytest.mark.parametrize("name", ["live", "web"])
def test_parts_come_from_files(name: str) -> None:
    page = filled(name)
    assert "{{" not in page
    assert page.count('id="stage"') == page.count('id="snapshot"') == 1


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        filled("report", title="")
