import os
from pathlib import Path

import numpy as np
import pytest
from web import Web, body, encoded, pictures

from beautynet.datasets.dedup import sha256
from beautynet.decode import decode
from beautynet.errors import BeautyError
from beautynet.gathering.door import Door, Look
from beautynet.sources import Candidate
from beautynet.sources.fetch import Fetcher, Limits


def candidate(url: str, path: Path | None = None) -> Candidate:
    return Candidate(url, "urls", "roses", path)


def look_at(door: Door, what: Candidate) -> Look:
    return door.look_at(what, door.fetch(what))


def test_a_photo_is_staged_whole_or_turned_away_with_a_reason(tmp_path: Path) -> None:
    photo, small = encoded(pictures()[0]), encoded(pictures()[1].resize((200, 150)))
    with Web() as web, Fetcher(Limits(private_addresses=True, attempts=1)) as fetcher:
        web.routes |= {"/photo": body(photo), "/small": body(small), "/page": body(b"<html>")}
        door = Door(tmp_path, fetcher, min_size=256, reject=())
        good = look_at(door, candidate(f"{web.url}/photo"))
        assert good.staged
        assert sha256(good.staged.read_bytes()) == good.sha256
        assert good.file == f"{str(good.sha256)[:16]}.jpg"
        assert good.size == pictures()[0].size
        again = look_at(door, candidate(f"{web.url}/photo"))
        assert again.staged != good.staged  # two workers never write to one file
        for path, status, reason in (
            ("/small", "skipped", "too small: 200×150"),
            ("/page", "failed", "not a picture: HTML page"),
            ("/gone", "failed", "HTTP 404"),
        ):
            look = look_at(door, candidate(web.url + path))
            assert (look.status, look.reason, look.staged) == (status, reason, None)
        assert len(os.listdir(tmp_path)) == 2


def test_other_formats_become_jpeg(tmp_path: Path) -> None:
    source = tmp_path / "x.png"
    pictures()[0].save(source)
    with Fetcher() as fetcher:
        look = look_at(Door(tmp_path, fetcher, 1, ()), candidate(source.as_uri(), source))
    assert look.staged
    assert look.staged.read_bytes().startswith(b"\xff\xd8")
    stored, picture = (np.asarray(each).astype(int) for each in (decode(look.staged), pictures()[0]))
    assert np.abs(stored - picture).mean() < 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    source, good, full = tmp_path / "x.jpg", tmp_path / "good", tmp_path / "full"
    pictures()[0].save(source)
    good.mkdir()
    full.mkdir()
    with Fetcher() as fetcher:
        staged = look_at(Door(good, fetcher, 1, ()), candidate(source.as_uri(), source)).staged
        assert staged
        (full / staged.name).symlink_to("/dev/full")
        with pytest.raises(BeautyError, match="disk full"):
            look_at(Door(full, fetcher, 1, ()), candidate(source.as_uri(), source))
    assert not os.listdir(full)
