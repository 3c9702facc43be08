import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import replay
from PIL import Image
from web import SHARED, Web, bing_page, body, bomb, encoded, first, pictures, slowly, status

from beautynet.datasets import curation, manifest
from beautynet.datasets.dedup import sha256
from beautynet.datasets.manifest import Manifest, Record
from beautynet.decode import decode
from beautynet.errors import BeautyError
from beautynet.sources import SOURCES, Source, fetch
from beautynet.sources.bing import bing
from beautynet.sources.fetch import Limits
from beautynet.verbs import scrape as verb
from beautynet.verbs.scrape import scrape

LIMITS = Limits(
    connections=8,
    connect_seconds=2,
    read_seconds=2,
    total_seconds=1.5,
    max_bytes=3_000_000,
    attempts=2,
    backoff_seconds=0.05,
    max_wait_seconds=2,
    private_addresses=True,
)


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def search_at(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "bing", Source(partial(bing, base_url=web.url)))


def agree(folder: Path) -> list[Record]:
    """The dataset's rows, after checking that folder and manifest tell the same."""
    rows = manifest.read(folder)
    kept = [row for row in rows if row.status == "kept"]
    assert sorted(row.file or "" for row in kept) == sorted(path.name for path in folder.glob("*.jpg"))
    ours = {manifest.NAME, manifest.ATTRIBUTION}
    assert {path.name for path in folder.iterdir()} - {manifest.REJECTED} == {row.file for row in kept} | ours
    page = (folder / manifest.ATTRIBUTION).read_text()
    assert all(f"`{row.file}`" in page for row in kept)
    for row in rows:
        assert (row.file is None) == (row.status != "kept")
        assert (row.reason is None) == (row.status == "kept")
    for row in kept:
        data = (folder / (row.file or "")).read_bytes()
        assert row.sha256 == sha256(data)
        assert row.file == f"{sha256(data)[:16]}.jpg"
        picture = decode(data)
        assert picture.size == (row.width, row.height)
        assert b"Exif" not in data
    return rows


def outcomes(rows: list[Record], strip: str) -> dict[str, str]:
    return {(row.url or "").removeprefix(strip): row.reason or "kept" for row in rows}


def write_photos(folder: Path, count: int = 16) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures()[:count]):
        picture.save(folder / f"{index:02}.jpg")


# From the web


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_web_full_of_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [encoded(picture, quality=90) for picture in pictures()]
    with Web() as web:
        search_at(web, monkeypatch)
        located = Image.Exif()
        located[0x0112] = 6
        web.routes = {
            "/plain.jpg": body(photos[0]),
            "/same.jpg?size=l": body(photos[0]),
            "/%E8%8A%B1%20%C3%A7.jpg": body(photos[1]),
            "/query.php?id=1&w=2": body(photos[2], "text/html; charset=utf-8"),
            "/webp_named.jpg": body(encoded(pictures()[3], "WEBP", quality=90)),
            "/png_named.jpg": body(encoded(pictures()[4], "PNG")),
            "/turned.jpg": body(encoded(pictures()[13], exif=located.tobytes())),
            "/moved.jpg": status(302, Location="/arrived"),
            "/arrived": body(photos[6]),
            "/busy.jpg": first(status(503), body(photos[7])),
            "/later.jpg": first(status(429, Retry_After="1"), body(photos[8])),
            "/near.jpg": body(encoded(pictures()[0].resize((500, 334)), quality=70)),
            "/loop.jpg": status(302, Location="/loop.jpg"),
            "/html.jpg": body(b"<!doctype html><html>Not here</html>"),
            "/cut.jpg": body(photos[9], promised=len(photos[9]) + 1000),
            "/half.jpg": body(photos[10][: len(photos[10]) // 2]),
            "/drip.jpg": slowly(photos[11], pause=0.1, piece=10),
            "/small.jpg": body(encoded(pictures()[12].resize((200, 300)))),
            "/long.jpg": body(encoded(pictures()[12].resize((1000, 300)))),
            "/bomb.png": body(bomb(), "image/png"),
            "/empty.jpg": body(b""),
            "/big.jpg": body(bytes(LIMITS.max_bytes + 1)),
        }
        paths = [path for path in web.routes if path != "/arrived"] + ["/gone.jpg"]
        web.serve_bing([web.url + path for path in [*paths, "/plain.jpg"]] + ["ftp://example.org/x.jpg"])
        summary = scrape("Flor ção 花!", source="bing", max=100, limits=LIMITS)
        fetched = list(web.log)
        rows = agree(Path("data/flor-ção-花"))
        found = outcomes(rows, web.url)
        kept = {path for path, reason in found.items() if reason == "kept"}
        twins = {"/plain.jpg", "/same.jpg?size=l", "/near.jpg"}  # whichever comes first stays
        assert kept - twins == {
            "/%E8%8A%B1%20%C3%A7.jpg",
            "/query.php?id=1&w=2",
            "/webp_named.jpg",
            "/png_named.jpg",
            "/turned.jpg",
            "/moved.jpg",
            "/busy.jpg",
            "/later.jpg",
        }
        assert len(kept & twins) == 1
        reasons = {path: reason for path, reason in found.items() if path not in kept | twins}
        assert {path: reason.split(":")[0] for path, reason in reasons.items()} == {
            "/loop.jpg": "more than 5 redirects",
            "/html.jpg": "not a picture",
            "/cut.jpg": "cut short",
            "/half.jpg": "truncated",
            "/drip.jpg": "too slow",
            "/small.jpg": "too small",
            "/long.jpg": "too long",
            "/bomb.png": "144 megapixels, over the limit of 100",
            "/empty.jpg": "empty file",
            "/big.jpg": "over 3 MB",
            "/gone.jpg": "HTTP 404",
            "ftp://example.org/x.jpg": "not a web address",
        }
        assert (summary.kept, summary.new, summary.already, summary.delivered) == (9, 9, 0, False)
        assert sum(summary.reasons.values()) == len(rows) - 9
        for words in ("9 photos in data/flor-ção-花", "91 fewer than asked for", "HTTP 404 (1)", "other words"):
            assert words in summary.sentence()
        assert rows[0].query == "Flor ção 花!"
        assert rows[0].page == "https://example.org/garden"

        # The same command again asks only for what may have got better.
        before = (Path("data/flor-ção-花") / manifest.NAME).read_bytes()
        again = scrape("Flor ção 花!", source="bing", max=100, limits=LIMITS)
        refetched = [path for path in web.log[len(fetched) :] if not path.startswith("/images/async")]
        assert set(refetched) == {"/cut.jpg", "/drip.jpg"}
        assert (again.kept, again.new, again.already, again.reasons) == (9, 0, 9, summary.reasons)
        assert (Path("data/flor-ção-花") / manifest.NAME).read_bytes() == before

        web.routes |= {"/cut.jpg": body(photos[9]), "/drip.jpg": status(404)}
        healed = scrape("Flor ção 花!", source="bing", max=100, limits=LIMITS)
        assert (healed.kept, healed.new) == (10, 1)
        agree(Path("data/flor-ção-花"))


def test_no_more_is_fetched_than_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    with Web() as web:
        search_at(web, monkeypatch)
        web.serve_bing(web.serve_photos())
        summary = scrape("roses", source="bing", max=3, limits=LIMITS)
        assert (summary.kept, summary.delivered) == (3, True)
        assert len([path for path in web.log if path.startswith("/photo")]) == 3
        web.log.clear()
        assert scrape("roses", source="bing", max=3, limits=LIMITS).delivered
        assert not web.log
        more = scrape("roses", source="bing", max=5, limits=LIMITS)
        assert (more.kept, more.new, more.already) == (5, 2, 3)
        assert len([path for path in web.log if path.startswith("/photo")]) == 2
        agree(Path("data/roses"))


def test_many_photos_all_arrive_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with Web() as web:
        search_at(web, monkeypatch)
        web.serve_bing(web.serve_photos())
        assert scrape("roses", source="bing", limits=LIMITS).kept == 16
        assert sorted(path for path in web.log if path.startswith("/photo")) == sorted(
            f"/photo{index}.jpg" for index in range(16)
        )
        agree(Path("data/roses"))


def test_trouble_of_the_search_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with Web() as web:
        search_at(web, monkeypatch)
        web.routes["/images/async"] = body(b"<html>consent</html>", "text/html")
        with pytest.raises(BeautyError, match="Bing asks for consent"):
            scrape("roses", source="bing", limits=LIMITS)
        assert not Path("data/roses").exists()
        page = bing_page(web.serve_photos(4))
        web.routes["/images/async"] = first(body(page, "text/html"), status(429))
        summary = scrape("roses", source="bing", limits=LIMITS)
        assert summary.kept == 4
        assert not summary.delivered
        assert "HTTP 429" in summary.sentence()


# From several sources at once


def all_at(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("commons", "inaturalist", "openverse", "bing"):
        monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], find=partial(SOURCES[name].find, base_url=web.url)))


def who_gave(rows: list[Record]) -> dict[str, int]:
    return dict(Counter(row.source for row in rows if row.status == "kept"))


def test_sources_fill_up_what_others_lack_and_say_who_gave_what(monkeypatch: pytest.MonkeyPatch) -> None:
    with Web() as web:
        all_at(web, monkeypatch)
        photos = web.serve_photos()
        replay.serve_openverse(web, photos[:4])
        replay.serve_commons(web, photos[3:6])  # one of them openverse has, too
        replay.serve_inaturalist(web, photos[6:9])
        web.serve_bing(photos)
        summary = scrape("dahlia", max=12, limits=LIMITS)
        rows = agree(summary.folder)
        assert summary.delivered
        assert who_gave(rows) == {each: count for each, count in summary.gave.items() if count}
        # All that state licences are used up before the one that does not fills the rest.
        assert sum(summary.gave.values()) - summary.gave["bing"] == 9
        assert f"bing {summary.gave['bing']}" in summary.sentence()
        by_source = {row.source: row for row in rows}
        for source, licence in (("openverse", "CC BY 2.0"), ("commons", "CC BY-SA 4.0"), ("inaturalist", "CC BY 4.0")):
            row = by_source[source]
            assert (row.licence, row.author is not None) == (licence, True)
            assert row.attribution
            assert row.page
            assert (row.licence_url or "").startswith("https://creativecommons.org/licenses/")
        assert by_source["bing"].licence is None
        page = (summary.folder / manifest.ATTRIBUTION).read_text()
        assert replay.AUTHOR in page
        assert "none stated" in page


def test_a_thousand_are_a_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Openverse shows 240 of its 300, Commons and iNaturalist have 250 and 150, Bing fills the rest."""
    with Web() as web:
        all_at(web, monkeypatch)
        photos = [f"{web.url}/unlike/{number}.jpg" for number in range(1100)]
        web.routes |= {f"/unlike/{number}.jpg": partial(_unlike, number) for number in range(1100)}
        replay.serve_openverse(web, photos[:300])
        replay.serve_commons(web, photos[300:550])
        replay.serve_inaturalist(web, photos[550:700])
        web.serve_bing(photos[700:])
        summary = scrape("dahlia", max=1000, min_size=64, limits=LIMITS)
        assert summary.delivered
        # A few of so many random pictures are near-duplicates; Bing makes up for them.
        assert summary.kept == 1000
        assert 230 <= summary.gave["openverse"] <= 240
        assert 240 <= summary.gave["commons"] <= 250
        assert 140 <= summary.gave["inaturalist"] <= 150
        assert len(agree(summary.folder)) >= 1000


def _unlike(number: int, request: BaseHTTPRequestHandler) -> None:
    """A small photo unlike any other number's."""
    rough = np.random.default_rng(number).integers(0, 256, (9, 9, 3)).astype(np.uint8)
    body(encoded(Image.fromarray(rough).resize((64, 64), Image.Resampling.BICUBIC)))(request)


def test_a_licence_asked_for_is_asked_of_the_source_and_checked_on_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with Web() as web:
        all_at(web, monkeypatch)
        photos = web.serve_photos()
        web.serve_bing(photos)
        replay.serve_commons(web, photos[:6], ["CC BY-NC 2.0", "CC0 1.0", "CC BY 4.0"])
        summary = scrape("dahlia", source="commons", license="free", limits=LIMITS)
        assert summary.reasons == {"licence": 2}
        assert {row.licence for row in agree(summary.folder) if row.status == "kept"} == {"CC0 1.0", "CC BY 4.0"}
        assert len([path for path in web.log if path.startswith("/photo")]) == 4  # the others were not even fetched
        # Other wishes, other answers: what only the licence kept out is looked at again.
        assert scrape("dahlia", source="commons", limits=LIMITS).kept == 6
        agree(summary.folder)
        assert "/images/async" not in " ".join(web.log)


def test_one_source_in_trouble_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with Web() as web:
        all_at(web, monkeypatch)
        photos = web.serve_photos()
        web.routes["/v1/images/"] = status(500)
        replay.serve_commons(web, photos[:4])
        web.routes["/v1/taxa"] = body(b"<html>We have moved</html>", "text/html")
        web.routes["/images/async"] = body(b"<html>captcha</html>", "text/html")
        summary = scrape("dahlia", limits=LIMITS)
        assert (summary.kept, summary.delivered, summary.gave["commons"]) == (4, False, 4)
        assert set(summary.troubles) == {"openverse", "inaturalist", "bing"}
        lines = summary.sentence().splitlines()
        assert [line.partition(":")[0] for line in lines[1:]] == ["openverse", "inaturalist", "bing"]
        assert "HTTP 500" in summary.troubles["openverse"]
        agree(summary.folder)


def test_other_words_are_asked_when_the_first_run_dry(monkeypatch: pytest.MonkeyPatch) -> None:
    with Web() as web:
        all_at(web, monkeypatch)
        photos = web.serve_photos()

        def search(request: object) -> None:
            words = parse_qs(urlsplit(request.path).query)["gsrsearch"][0]  # type: ignore[attr-defined]
            replay.serve_commons(web, photos[5:9] if "tulip" in words else photos[:5])
            answer, web.routes["/w/api.php"] = web.routes["/w/api.php"], search
            answer(request)  # type: ignore[arg-type]

        web.routes["/w/api.php"] = search
        summary = scrape("dahlia", source="commons", also=["tulip"], max=5, limits=LIMITS)
        assert summary.kept == 5
        assert not [path for path in web.log if "tulip" in path]
        summary = scrape("dahlia", source="commons", also=["tulip"], limits=LIMITS)
        assert summary.kept == 9
        assert {row.query for row in agree(summary.folder)} == {"dahlia", "tulip"}


def test_a_busy_host_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos of a host that takes one request at a time do not occupy the threads that others could use."""
    with Web() as slow, Web() as quick:
        slow_photos, quick_photos = slow.serve_photos(4), quick.serve_photos(16)[4:]
        for index in range(4):
            slow.routes[f"/photo{index}.jpg"] = slowly(encoded(pictures()[index]), pause=0.4, piece=20_000)
        monkeypatch.setitem(fetch.MANNERS, slow.url.removeprefix("http://"), fetch.Manners(1))
        Path("list.txt").write_text("\n".join(slow_photos + quick_photos))
        assert scrape(origin="list.txt", limits=LIMITS).kept == 16
        assert slow.peak == 1
        assert max(quick.times) < max(slow.times)


def test_faults_are_turned_away_when_asked_and_counted() -> None:
    write_photos(Path("photos"), 3)
    pictures()[3].resize((60, 41)).resize((900, 615)).save("photos/vague.jpg")
    summary = scrape(origin="photos", reject=["blurred", "drawing"])
    assert (summary.kept, summary.reasons) == (3, {"blurred": 1})
    assert scrape(origin="photos", reject=["drawing"]).kept == 4  # the fault is none any more
    agree(summary.folder)


def test_mirrored_copies_are_copies() -> None:
    write_photos(Path("photos"), 2)
    pictures()[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((400, 273)).save("photos/x.jpg", quality=80)
    assert scrape(origin="photos").reasons == {"near-duplicate": 1}


def test_what_was_clicked_out_never_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with Web() as web:
        all_at(web, monkeypatch)
        replay.serve_commons(web, web.serve_photos(5))
        folder = scrape("dahlia", source="commons", limits=LIMITS).folder
        with Manifest(folder) as rows:
            victim = next(row for row in rows.latest() if (row.url or "").endswith("/photo2.jpg"))
            curation.reject(rows, [victim])
        web.routes["/again.jpg"] = body(encoded(pictures()[2], quality=60))
        replay.serve_commons(web, [*web.serve_photos(5), f"{web.url}/again.jpg"])
        summary = scrape("dahlia", source="commons", limits=LIMITS)
        assert (summary.kept, summary.new) == (4, 0)
        assert summary.reasons == {"clicked out": 1, "near-duplicate": 1}
        assert not (folder / str(victim.file)).exists()
        assert victim.file not in (folder / manifest.ATTRIBUTION).read_text()


def test_photos_from_before_under_other_licences_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with Web() as web:
        all_at(web, monkeypatch)
        replay.serve_commons(web, web.serve_photos(6), ["CC BY-NC 2.0", "CC0 1.0", "CC BY 4.0"])
        ask = partial(scrape, "dahlia", source="commons", max=6, limits=LIMITS)
        assert ask().delivered
        summary = ask(license="free")
        assert (summary.kept, summary.other_licence, summary.delivered) == (6, 2, False)
        assert "2 from before have other licences" in summary.sentence()
        assert scrape("dahlia", source="commons", max=4, license="free", out="free", limits=LIMITS).delivered


def test_heif_is_fetched_again_once_there_is_something_to_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with Web() as web:
        web.routes["/x.heic"] = body(b"\0\0\0\x18ftypheic" + bytes(100))
        Path("list.txt").write_text("\n".join([*web.serve_photos(1), f"{web.url}/x.heic"]))
        for _ in range(2):
            assert scrape(origin="list.txt", limits=LIMITS).reasons == {"HEIF needs pillow-heif": 1}
        assert web.log.count("/x.heic") == 1
        monkeypatch.setattr(verb, "find_spec", lambda _: True)
        scrape(origin="list.txt", limits=LIMITS)
        assert web.log.count("/x.heic") == 2


def test_what_other_limits_allow_is_fetched_again() -> None:
    with Web() as web:
        web.routes["/out.jpg"] = body(encoded(pictures()[1]), X_Robots_Tag="noai")
        Path("list.txt").write_text("\n".join([*web.serve_photos(1), f"{web.url}/out.jpg"]))
        for _ in range(2):
            with pytest.raises(BeautyError, match=r"a private address \(2\)"):
                scrape(origin="list.txt", limits=replace(LIMITS, private_addresses=False))
        assert not web.log
        for _ in range(2):
            assert scrape(origin="list.txt", limits=LIMITS).reasons == {"opted out": 1}
        assert web.log.count("/out.jpg") == 1
        assert scrape(origin="list.txt", limits=replace(LIMITS, ignore_opt_out=True)).kept == 2


def test_a_manifest_from_elsewhere_may_hold_anything() -> None:
    write_photos(Path("photos"), 3)
    folder = scrape(origin="photos", max=2).folder
    strange: list[dict[str, object]] = [
        {"status": "kept"},
        {"status": "kept", "file": 5, "url": {}, "phash": 7},
        {"status": "kept", "file": "0123456789abcdef.jpg", "url": "u", "phash": "no hash", "page": 5, "source": 7},
        {"status": "rejected", "file": "0123456789abcdef.jpg", "url": "v", "width": "wide", "author": [], "licence": 1},
        {"status": "skipped", "url": "w", "reason": 5},
    ]
    with (folder / manifest.NAME).open("a") as rows:
        rows.writelines(json.dumps(row) + "\n" for row in strange)
    summary = scrape(origin="photos")
    assert (summary.kept, summary.new) == (3, 1)
    assert len((folder / manifest.ATTRIBUTION).read_text().splitlines()) == 7 + 3 + 1


def test_dry_run_stores_nothing_and_shows_what_it_would() -> None:
    write_photos(Path("photos"), 5)
    Path("photos/readme.txt").write_text("hello")
    summary = scrape(origin="photos", dry_run=True, max=3)
    assert (summary.kept, summary.new, summary.page) == (3, 3, Path("data/photos.dry-run.html"))
    assert os.listdir("data") == ["photos.dry-run.html"]
    page = Path("data/photos.dry-run.html").read_text()
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert data
    assert sum("thumbnail" in photo for photo in json.loads(data[1])["photos"]) == 3
    folder = scrape(origin="photos", max=2).folder
    before = sorted(os.listdir(folder)), (folder / manifest.NAME).read_bytes()
    more = scrape(origin="photos", dry_run=True)
    assert (more.kept, more.new, more.already) == (5, 3, 2)
    assert (sorted(os.listdir(folder)), (folder / manifest.NAME).read_bytes()) == before
    assert more.sentence() == "5 photos would be in data/photos (3 new, 2 from before); not kept: not a picture (1)."


def test_a_dry_run_for_a_dataset_inside_its_source() -> None:
    write_photos(Path("photos"), 4)
    scrape(origin="photos", out="photos/set", max=2)
    for dry_run, kept in ((True, 2), (False, 2), (True, 0)):
        summary = scrape(origin="photos", out="photos/set", dry_run=dry_run)
        assert (summary.kept, summary.new, summary.reasons) == (4, kept, {})


def test_a_dry_run_where_one_is_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(Path("photos"), 1)
    Path("roses").mkdir()
    monkeypatch.chdir("roses")
    summary = scrape(origin="../photos", out=".", dry_run=True)
    assert summary.page
    assert summary.page.samefile("../roses.dry-run.html")
    assert "roses: what would be kept" in summary.page.read_text()
    assert not os.listdir()


def test_a_dry_run_for_a_link_has_its_name() -> None:
    write_photos(Path("photos"), 1)
    Path("big/flowers").mkdir(parents=True)
    Path("roses").symlink_to("big/flowers")
    assert scrape(origin="photos", out="roses", dry_run=True).page == Path("roses.dry-run.html")


def test_a_list_of_addresses() -> None:
    with Web() as web:
        Path("my roses.txt").write_text("# roses\n\n" + "\n".join(web.serve_photos(3)) + f"\n{web.url}/gone\n")
        summary = scrape(origin="my roses.txt", limits=LIMITS)
        assert (summary.kept, summary.folder, summary.delivered) == (3, Path("data/my-roses"), False)
        assert {row.source for row in agree(summary.folder)} == {"urls"}


# From a folder


def test_folder_import_and_again() -> None:
    write_photos(Path("photos/deep"), 6)
    Path("photos/readme.txt").write_text("hello")
    located = Image.Exif()
    located[0x8825] = {2: (48.0, 51.0, 30.0)}  # GPS
    pictures()[7].save("photos/located.jpg", exif=located.tobytes())
    summary = scrape("mine", origin="photos", out=Path("here"))
    rows = agree(Path("here"))
    assert (summary.kept, summary.delivered) == (7, False)
    assert summary.sentence() == "7 photos in here (7 new, 0 from before); not kept: not a picture (1)."
    order = [Path(row.url or "").name for row in rows]
    assert order == ["located.jpg", "readme.txt", *(f"{index:02}.jpg" for index in range(6))]
    again = scrape("mine", origin="photos", out=Path("here"))
    assert (again.kept, again.new, again.already) == (7, 0, 7)
    assert agree(Path("here")) == rows
    assert scrape("mine", origin="photos", out=Path("here2")).kept == 7
    assert [row.file for row in agree(Path("here2"))] == [row.file for row in rows]


def test_an_import_takes_all_there_are_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "WANTED", 3)  # photos, of the web
    write_photos(Path("photos"), 5)
    some = scrape(origin="photos", max=4)
    assert (some.kept, some.complete, some.delivered) == (4, False, True)
    everything = scrape(origin="photos")
    assert (everything.kept, everything.complete, everything.delivered) == (5, True, True)
    more = scrape(origin="photos", max=9)
    assert (more.kept, more.complete, more.delivered) == (5, True, True)


def test_what_failed_is_forgiven_once_it_is_gone() -> None:
    write_photos(Path("photos"), 2)
    Path("photos/torn.jpg").write_bytes(b"torn")
    assert [scrape(origin="photos").delivered for _ in range(2)] == [False, False]
    Path("photos/torn.jpg").unlink()
    assert scrape(origin="photos").delivered
    with Web() as web:
        good = web.serve_photos(1)
        for urls, whole in (([*good, f"{web.url}/gone"], False), ([f"{web.url}/gone", *good], False), (good, True)):
            Path("list.txt").write_text("\n".join(urls))
            assert scrape(origin="list.txt", limits=LIMITS).delivered == whole


@pytest.mark.parametrize("connections", [1, 2])
def test_an_import_of_what_is_there_already_ends(connections: int) -> None:
    write_photos(Path("photos"), 3)
    limits = replace(LIMITS, connections=connections)
    done: list[int] = []
    for number in range(1, 6):
        run = threading.Thread(target=lambda: done.append(scrape(origin="photos", limits=limits).kept), daemon=True)
        run.start()
        run.join(20)
        assert done == [3] * number


def test_plain_jpeg_is_stored_bit_for_bit_and_others_close() -> None:
    write_photos(Path("photos"), 1)
    pictures()[1].save("photos/x.png")
    scrape(origin="photos")
    jpeg, png = agree(Path("data/photos"))
    assert decode(Path("data/photos", jpeg.file or "")) == decode(Path("photos/00.jpg"))
    close = [np.asarray(each).astype(int) for each in (decode(Path("data/photos", png.file or "")), pictures()[1])]
    assert np.abs(close[0] - close[1]).mean() < 4


def test_smaller_minimum_looks_again() -> None:
    Path("photos").mkdir()
    pictures()[0].resize((300, 200)).save("photos/a.png")
    pictures()[1].resize((100, 150)).save("photos/b.png")
    with pytest.raises(BeautyError, match=r"too small \(2\)"):
        scrape(origin="photos")
    assert scrape(origin="photos", min_size=150).kept == 1
    assert outcomes(agree(Path("data/photos")), "")[Path("photos/b.png").resolve().as_uri()] == "too small: 100×150"


def test_dataset_inside_its_source_does_not_eat_itself() -> None:
    write_photos(Path("photos"), 4)
    for _ in range(2):
        summary = scrape(origin="photos", out=Path("photos/dataset"))
        assert (summary.kept, summary.reasons) == (4, {})
    with pytest.raises(BeautyError, match="into itself"):
        scrape(origin="photos", out=Path("photos"))


def test_links_and_odd_files_are_refused_at_once() -> None:
    write_photos(Path("photos"), 1)
    pictures()[1].save("outside.jpg")
    Path("photos/link.jpg").symlink_to(Path("outside.jpg").resolve())
    Path("photos/dangling.jpg").symlink_to("nowhere")
    Path("photos/circle").symlink_to(".")
    os.mkfifo("photos/fifo.jpg")
    summary = scrape(origin="photos")
    assert summary.kept == 1
    assert summary.reasons == {"a link": 2, "not a regular file": 1}


def test_photo_deleted_by_hand_stays_away() -> None:
    write_photos(Path("photos"), 3)
    scrape(origin="photos")
    next(Path("data/photos").glob("*.jpg")).unlink()
    pictures()[0].save("photos/copy.png")
    pictures()[1].save("photos/copy1.png")
    pictures()[2].save("photos/copy2.png")
    assert scrape(origin="photos").kept == 2


def test_mistakes_are_explained() -> None:
    Path("list.txt").write_text("x")
    for arguments, sentence in (
        ({}, "say what to gather in words"),
        ({"query": "!?"}, "say what to gather in words"),
        ({"query": "ros\udce9s"}, "in UTF-8"),
        ({"query": "roses", "also": ["\udce9"]}, "in UTF-8"),
        ({"query": "roses", "source": "gogle"}, "choose from bing, commons"),
        ({"query": "roses", "source": ["bing", "commons"], "license": "free"}, "bing states no licences"),
        ({"query": "roses", "license": "freeish"}, "choose from any, free"),
        ({"query": "roses", "reject": ["ugly"]}, "blurred"),
        ({"origin": "list.txt", "license": "free"}, "states no licences"),
        ({"query": "roses", "origin": "absent"}, "absent does not exist"),
        ({"query": "roses", "origin": "list.txt", "source": "bing"}, "--from"),
        ({"query": "roses", "source": "folder"}, "--from"),
        ({"query": "roses", "max": 0}, "at least 1"),
        ({"origin": "list.txt"}, "not a web address"),
    ):
        with pytest.raises(BeautyError, match=sentence):
            scrape(**arguments)  # type: ignore[arg-type]
    Path("empty").mkdir()
    with pytest.raises(BeautyError, match="nothing"):
        scrape(origin="empty")
    assert not Path("data/empty").exists()


# Interrupted


def test_interrupt_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    with Web() as web:
        search_at(web, monkeypatch)
        web.serve_bing(web.serve_photos())
        for index in range(5, 16):
            web.routes[f"/photo{index}.jpg"] = slowly(bytes(10_000), pause=0.05, piece=10)
        replace, stored = os.replace, []

        def interrupted(staged: Path, path: Path) -> None:
            if path.suffix == ".jpg":
                if len(stored) == 4:
                    raise KeyboardInterrupt
                stored.append(path)
            replace(staged, path)

        monkeypatch.setattr(os, "replace", interrupted)
        before = set(threading.enumerate())
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            scrape("roses", source="bing", limits=LIMITS)
        assert time.monotonic() - start < 5
        while time.monotonic() - start < 5 and set(threading.enumerate()) - before:  # the web's own hear of it later
            time.sleep(0.02)
        assert not set(threading.enumerate()) - before
        assert len([row for row in agree(Path("data/roses")) if row.status == "kept"]) == 4


def test_full_disk_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(Path("photos"), 5)
    scrape(origin="photos", max=2)
    rows = agree(Path("data/photos"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        patched.setattr(manifest.Manifest, "close", lambda self: os.close(self._descriptor))
        with pytest.raises(BeautyError, match="disk full"):
            scrape(origin="photos")
    assert agree(Path("data/photos")) == rows
    assert scrape(origin="photos").kept == 5


CHILD = """
import sys
from functools import partial
from beautynet.datasets import manifest
from beautynet.sources import SOURCES, Source
from beautynet.sources.bing import bing
from beautynet.sources.fetch import Limits
from beautynet.verbs.scrape import scrape
SOURCES["bing"] = Source(partial(bing, base_url=sys.argv[1]))
if sys.argv[2] == "between":  # the photo and its row
    import os, signal
    append, rows = manifest.Manifest.append, []
    def killed(self, record):
        if len(rows) == 3: os.kill(os.getpid(), signal.SIGKILL)
        rows.append(record)
        append(self, record)
    manifest.Manifest.append = killed
scrape("roses", source="bing", limits=Limits(private_addresses=True))
"""


@pytest.mark.parametrize("moment", ["between", "any"])
def test_killed_run_continues(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Web() as web:
        search_at(web, monkeypatch)
        web.serve_bing(web.serve_photos())
        for index in range(6, 16):  # those after the sixth take their time
            data = encoded(pictures()[index], quality=90)
            web.routes[f"/photo{index}.jpg"] = slowly(data, pause=0.1, piece=len(data) // 5)
        child = subprocess.Popen([sys.executable, "-c", CHILD, web.url, moment])
        folder = Path("data/roses")
        if moment == "any":
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and len(manifest.read(folder)) < 3:
                time.sleep(0.02)
            child.send_signal(signal.SIGKILL)
        assert child.wait(30) == -signal.SIGKILL
        done = {row.url for row in manifest.read(folder)}
        assert 3 <= len(done) < 16
        if moment == "between":
            assert len(list(folder.glob("[!.]*.jpg"))) == 4
        (folder / ".0123456789abcdef.1.2.part.jpg").write_bytes(b"half")
        with open(folder / manifest.NAME, "ab") as file:
            file.write(json.dumps({"url": web.url})[:-3].encode())
        web.log.clear()
        summary = scrape("roses", source="bing", limits=LIMITS)
        assert (summary.kept, summary.already) == (16, len(done))
        assert not {web.url + path for path in web.log} & done
        agree(folder)


# Real photos


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not here")
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_real_folders() -> None:
    assert scrape("mosaics", origin=SHARED / "street_art" / "invader", min_size=240).kept == 48
    agree(Path("data/mosaics"))
    summary = scrape("hostile", origin=SHARED / "hostile", min_size=100)
    rows = agree(Path("data/hostile"))
    assert summary.kept >= 3
    assert not summary.delivered
    assert len(rows) == sum(path.is_file() for path in (SHARED / "hostile").rglob("[!.]*"))
    assert scrape("hostile", origin=SHARED / "hostile", min_size=100).reasons == summary.reasons
    assert agree(Path("data/hostile")) == rows
