import pytest

from beautynet.errors import BeautyError
from beautynet.sources.licences import FILTERS, FLICKR, allows, attribution, check, licence, one_line, openness

CC = "https://creativecommons.org"


@pytest.mark.parametrize(
    ("said", "name", "url"),
    [
        # as Commons writes them
        ("CC BY-SA 4.0", "CC BY-SA 4.0", f"{CC}/licenses/by-sa/4.0/"),
        ("CC BY 2.0 de", "CC BY 2.0 DE", f"{CC}/licenses/by/2.0/de/"),
        ("CC BY-SA 3.0 igo", "CC BY-SA 3.0 IGO", f"{CC}/licenses/by-sa/3.0/igo/"),
        ("CC BY-SA 4.0-3.0-2.5-2.0-1.0", "CC BY-SA 4.0", f"{CC}/licenses/by-sa/4.0/"),
        ("CC SA 1.0", "CC SA 1.0", f"{CC}/licenses/sa/1.0/"),
        ("CC0", "CC0 1.0", f"{CC}/publicdomain/zero/1.0/"),
        ("Public domain", "public domain", None),
        ("CC-PD-Mark", "Public Domain Mark 1.0", f"{CC}/publicdomain/mark/1.0/"),
        ("No restrictions", "No known copyright restrictions", "https://www.flickr.com/commons/usage/"),
        ("Attribution", "Attribution", "https://commons.wikimedia.org/wiki/Template:Attribution"),
        ("GFDL 1.2", "GFDL", "https://www.gnu.org/licenses/fdl-1.3.html"),
        ("FAL", "Free Art License", "https://artlibre.org/licence/lal/en/"),
        # as iNaturalist, Openverse and others do
        ("cc-by-nc-nd", "CC BY-NC-ND", None),
        ("by-sa", "CC BY-SA", None),
        ("cc0", "CC0 1.0", f"{CC}/publicdomain/zero/1.0/"),
        ("pdm", "Public Domain Mark 1.0", f"{CC}/publicdomain/mark/1.0/"),
        ("CC-BY-4.0", "CC BY 4.0", f"{CC}/licenses/by/4.0/"),
        ("cc_by_sa_3.0", "CC BY-SA 3.0", f"{CC}/licenses/by-sa/3.0/"),
        # URLs
        ("https://creativecommons.org/licenses/by-sa/4.0/deed.en", "CC BY-SA 4.0", f"{CC}/licenses/by-sa/4.0/"),
        ("http://creativecommons.org/licenses/by-nc/2.5/", "CC BY-NC 2.5", f"{CC}/licenses/by-nc/2.5/"),
        ("https://creativecommons.org/licenses/by/3.0/de/deed.de", "CC BY 3.0 DE", f"{CC}/licenses/by/3.0/de/"),
        ("http://creativecommons.org/publicdomain/zero/1.0/deed.fr", "CC0 1.0", f"{CC}/publicdomain/zero/1.0/"),
        ("https://www.gnu.org/copyleft/fdl.html", "GFDL", "https://www.gnu.org/licenses/fdl-1.3.html"),
        # nothing that we know: the words stay
        ("My own  terms\n2.0", "My own terms 2.0", None),
        ("sampling+", "sampling+", None),
        ("CC 4.0", "CC 4.0", None),
        ("https://example.org/terms", None, "https://example.org/terms"),
        ("https://www.gnu.org/licenses/gpl-3.0.html", None, "https://www.gnu.org/licenses/gpl-3.0.html"),
        ("javascript:alert(1)//://", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_one_name_for_each(said: str | None, name: str | None, url: str | None) -> None:
    assert licence(said) == (name, url)
    assert licence(name).name == name


def test_clues_in_turn() -> None:
    assert licence("by-nd", f"{CC}/licenses/by-nd/2.0/", version="2.0").name == "CC BY-ND 2.0"
    assert licence("own words", f"{CC}/licenses/by/2.0/").name == "CC BY 2.0"
    assert licence("public domain", f"{CC}/publicdomain/mark/1.0/").url == f"{CC}/publicdomain/mark/1.0/"
    assert licence("own words", "https://example.org/terms") == ("own words", "https://example.org/terms")


@pytest.mark.parametrize(
    "name",
    [
        "CC BY plus NonCommercial",
        "CC BY 4.0 without derivatives",
        "by permission of the museum",
        "CC BY 4.0 sa nc",
        "CC BY 4.0 nc",
        "CC",
        "zero",
        "sampling+",
        "All Rights Reserved",
        "(c) Jane",
        "https://creativecommons.org/licenses/sampling+/1.0/",
        "https://creativecommons.org/licenses/by-nc-sampling/1.0/",
        None,
    ],
)
def test_what_is_not_known_passes_any_only(name: str | None) -> None:
    assert {each for each in FILTERS if allows(name, each)} == {"any"}


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("CC0 1.0", "any free commercial public-domain"),
        ("Public Domain Mark 1.0", "any free commercial public-domain"),
        ("public domain", "any free commercial public-domain"),
        ("CC BY 2.0 DE", "any free commercial"),
        ("CC BY-SA", "any free commercial"),
        ("GFDL", "any free commercial"),
        ("Free Art License", "any free commercial"),
        ("Attribution", "any free commercial"),
        ("No known copyright restrictions", "any free commercial"),
        ("CC BY-ND 4.0", "any commercial"),
        ("CC BY-NC 4.0", "any"),
        ("CC BY-NC-SA 4.0", "any"),
        ("CC BY-NC-ND 2.0", "any"),
        ("All Rights Reserved", "any"),
    ],
)
def test_filters(name: str, passes: str) -> None:
    assert {each for each in FILTERS if allows(name, each)} == set(passes.split())


def test_flickrs_numbers() -> None:
    assert {number: each.name for number, each in FLICKR.items() if openness(each.name) == 0} == {
        "0": "All Rights Reserved",
        "1": "CC BY-NC-SA 2.0",
        "2": "CC BY-NC 2.0",
        "3": "CC BY-NC-ND 2.0",
        "14": "CC BY-NC 4.0",
        "15": "CC BY-NC-SA 4.0",
        "16": "CC BY-NC-ND 4.0",
    }
    assert sorted(map(int, FLICKR)) == list(range(17))
    assert FLICKR["4"] == ("CC BY 2.0", f"{CC}/licenses/by/2.0/")
    assert FLICKR["12"] == ("CC BY-SA 4.0", f"{CC}/licenses/by-sa/4.0/")


def test_no_such_filter() -> None:
    check("free")
    with pytest.raises(BeautyError, match="no licence filter 'gratis': choose from any, free"):
        check("gratis")


def test_the_sentence_to_print() -> None:
    page = "https://example.org/1"
    assert attribution("A dahlia", "Zoë", "CC BY 2.0", page) == f"“A dahlia” by Zoë, CC BY 2.0, {page}"
    assert attribution(None, None, None, None) == "Photo"
    assert attribution(" \n", "Zoë\nĐặng", None, page) == f"Photo by Zoë Đặng, {page}"


def test_words_from_the_web() -> None:
    assert one_line("a\r\n\tb\x1b[31m\ud800 \u202f花") == "a b[31m 花"
    assert one_line("a\u202egnp.exe\u2069 \u200fنص\u200d") == "agnp.exe \u200fنص\u200d"
    assert one_line("x" * 1000, 10) == "xxxxxxxxx…"
    assert one_line("x" * 10, 10) == "x" * 10
    assert [one_line(each) for each in (None, 5, "", " \x00 ", ["a"])] == [None] * 5
