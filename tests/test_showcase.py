"""The demo from end to end, with a handful of training steps: its page, its films, and the folder that it works in."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import browser
from PIL import Image

from beautynet import showcase
from beautynet.errors import BeautyError
from beautynet.film.media import Film


class Links(HTMLParser):
    """What a page loads (`src`, stylesheets and icons), and what it only links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: set[str] = set()
        self.linked: set[str] = set()
        self.without_words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loaded |= {link for key in ("src", "poster", "srcset") if (link := given.get(key))}
        if link := given.get("href"):
            (self.linked if tag == "a" else self.loaded).add(link)
        if tag in ("img", "video", "input") and not (given.get("alt") or given.get("aria-label")):
            self.without_words.append(str(given))


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showcase, "TRAINING", {**showcase.TRAINING, "steps": 4})
    monkeypatch.setattr(showcase, "PICTURE_SIZE", 64)
    monkeypatch.setattr(showcase, "FILM_SIZE", 64)
    monkeypatch.setattr(showcase, "PAN_SECONDS", 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "demo"


@pytest.fixture
def page(folder: Path) -> Path:
    """The demo, made by the first test that asks for it."""
    return folder / "index.html" if (folder / "index.html").exists() else showcase.demo(1, folder, "cpu")


def test_page_has_all_it_shows_and_asks_for_nothing_from_outside(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = Links(text)
    assert not links.without_words
    files = links.loaded - {"data:,"}
    assert {"china.jpg", "china.shown.png", "china.beauty.jpg", "training.mp4", "pan.beauty.mp4"} < files
    assert sum(name.startswith("pairs/") for name in files) == showcase.PAIRS_SHOWN
    assert [name for name in files if ":" in name or not (page.parent / name).is_file()] == []
    assert not re.search(r"url\(|@import|fetch\(|//cdn", text)
    assert "{{" not in text  # nothing left to fill in


def test_films_stand_still_for_those_who_ask_for_it(page: Path, tmp_path: Path) -> None:
    with browser(tmp_path, "--force-prefers-reduced-motion") as opened:
        opened.get(page.as_uri())
        assert (
            opened.run("[...document.querySelectorAll('video')].map(film => film.paused && !film.autoplay)")
            == [True] * 2
        )


def test_credits_name_the_photographers_and_the_licence(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for photo, owner in (("china.jpg", "danielbuechele"), ("flower.jpg", "vultilion")):
        link = rf'<a href="https://\S+{owner}/\S*">'
        assert re.search(rf"<li>{link}{photo}</a> by {link}{owner}</a>, .*CC BY 2.0", text)
    assert "Released under a creative commons license." in text


def test_pictures_and_films_can_be_opened(page: Path) -> None:
    for name in ("china", "flower"):
        sizes = {Image.open(page.parent / f"{name}{end}").size for end in (".jpg", ".shown.png", ".beauty.jpg")}
        assert sizes == {(640, 427)}
    with Film(page.parent / "pan.beauty.mp4") as film:
        assert film.size == (2 * showcase.PAN_SIZE[0], showcase.PAN_SIZE[1])
        assert len(list(film)) == showcase.PAN_RATE
        assert not film.warnings
    with Film(page.parent / "training.mp4") as film:
        assert len(list(film)) >= 2
    montage = page.parent / "demo.jpg"
    assert Image.open(montage).width == 1200
    assert montage.stat().st_size < 300_000


def test_camera_stays_in_the_picture() -> None:
    windows = list(showcase._windows((640, 427), 50))
    assert all(left >= 0 and top >= 0 and right <= 640 and bottom <= 427 for left, top, right, bottom in windows)
    assert max(right for _, _, right, _ in windows) > 639


def test_finished_demo_starts_afresh_and_other_files_stay(page: Path) -> None:
    ours = page.parent / "notes.txt"
    ours.write_text("mine")
    model = page.parent / "checkpoint" / "model.safetensors"
    before = model.stat().st_mtime_ns
    assert showcase.demo(1, page.parent, "cpu") == page
    assert model.stat().st_mtime_ns > before
    rows = (model.parent / "log.jsonl").read_text().splitlines()
    assert sum(json.loads(row)["steps"] == 1 for row in rows) == 1
    assert ours.read_text() == "mine"


def test_stopped_demo_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    with monkeypatch.context() as patch:
        train = showcase.train
        patch.setattr(showcase, "train", lambda *a, **k: replace(train(*a, **{**k, "steps": 2}), finished=False))
        with pytest.raises(KeyboardInterrupt, match="goes on"):
            showcase.demo(1, out, "cpu")
    showcase.demo(1, out, "cpu")
    assert "resuming" in capsys.readouterr().err


def test_demo_stopped_after_its_training_does_not_train_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(showcase, "image", stopped)
    saved = []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            showcase.demo(1, tmp_path / "demo", "cpu")
        saved.append((tmp_path / "demo" / "checkpoint" / "model.safetensors").stat().st_mtime_ns)
    assert saved[0] == saved[1]


def test_page_without_training_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beautynet.verbs.train.Run._film", lambda _: None)
    text = showcase.demo(1, tmp_path / "demo", "cpu").read_text(encoding="utf-8")
    assert "training.mp4" not in text
    assert "None" not in text


def test_folder_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(BeautyError, match="holds other things"):
        showcase.demo(1, tmp_path, "cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
