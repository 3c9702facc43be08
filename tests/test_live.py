"""The live page: real requests and WebSockets to a real server, honest and hostile; a real browser with a camera."""

import base64
import contextlib
import gc
import http.client
import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from browser import Browser, browser, camera, wait
from PIL import Image
from sklearn.datasets import load_sample_image
from web import drip, running
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from beautynet.classifying.judge import SUFFIX
from beautynet.errors import BeautyError
from beautynet.film.frames import Frame
from beautynet.film.media import Film
from beautynet.film.reels import Camera, Projector
from beautynet.film.rendering import writing
from beautynet.translator import Translator
from beautynet.verbs.live import PAGES, live, routes
from beautynet.web import viewing
from beautynet.web.server import Server
from beautynet.web.viewing import Stage, Viewer, Wish

FLOWER = load_sample_image("flower.jpg")[100:340:2, 200:520:2].copy()
CHINA = load_sample_image("china.jpg")[::4, ::4].copy()


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def as_sent(picture: np.ndarray) -> np.ndarray:
    """What JPEG makes of it: much, of the noise of a network that has learnt nothing."""
    return np.asarray(Image.open(io.BytesIO(viewing._jpeg(picture))))


def moving(path: Path, frames: int = 30) -> Path:
    with writing(path, (160, 120), rate=Fraction(15)) as writer:
        for number in range(frames):
            picture = np.roll(FLOWER, 3 * number, axis=1)
            writer.write(Frame(picture, Fraction(number, 15), Fraction(1, 15)))
    return path


@contextlib.contextmanager
def serving(stage: Stage, folder: Path) -> Iterator[Server]:
    try:
        with running(Server(routes(stage, folder))) as server:
            yield server
    finally:
        stage.close()


@pytest.fixture(scope="module")
def served(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Stage]]:
    folder = tmp_path_factory.mktemp("live")
    moving(folder / "a film.beauty.mp4")
    (folder / "secret.mp4").write_text("not a dream")
    stage = Stage(checkpoint, folder, device="cpu")
    with serving(stage, folder) as server:
        yield server, stage


@contextlib.contextmanager
def viewer(server: Server, **wish: object) -> Iterator[ClientConnection]:
    address = server.url.replace("http", "ws") + "stream"
    with connect(address, origin=f"http://127.0.0.1:{server.port}", max_size=None, open_timeout=20) as socket:  # type: ignore[arg-type]
        socket.send(json.dumps(wish))
        yield socket


def answer(socket: ClientConnection, seconds: float = 30) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """The next dream: its head and its pictures."""
    while isinstance(data := socket.recv(timeout=seconds), str):
        assert "error" not in json.loads(data), data
    length = struct.unpack("<I", data[:4])[0]
    head = json.loads(data[4 : 4 + length])
    at, pictures = 4 + length, {}
    for name, size in head["parts"]:
        pictures[name] = np.asarray(Image.open(io.BytesIO(data[at : at + size])))
        at += size
    assert at == len(data)
    return head, pictures


def complaint(socket: ClientConnection) -> str:
    for _ in range(20):
        data = socket.recv(timeout=20)
        if isinstance(data, str) and "error" in json.loads(data):
            return str(json.loads(data)["error"])
    raise AssertionError("no complaint")


def ask(server: Server, path: str, method: str = "GET", body: object = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request(method, urlsplit(server.url).path + path, body, headers)  # type: ignore[arg-type]
    response = connection.getresponse()
    return response.status, response.read()


def test_scripts_are_scripts_on_any_system(served: tuple[Server, Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    """What Windows takes .js for depends on what is installed, and browsers run nothing else."""
    monkeypatch.setattr("starlette.responses.guess_type", lambda *_: ("text/plain", None))
    connection = http.client.HTTPConnection("127.0.0.1", served[0].port, timeout=30)
    connection.request("GET", urlsplit(served[0].url).path + "live.js")
    answer = connection.getresponse()
    assert answer.status == 200
    assert str(answer.getheader("Content-Type")).startswith("text/javascript")


def test_the_dream_is_the_translators(served: tuple[Server, Stage], checkpoint: Path) -> None:
    translator = Translator.load(checkpoint, device="cpu")
    with viewer(served[0], seen=True) as socket:
        memory = None
        for number in (7, 8, 9):
            frame = np.roll(FLOWER, number, axis=1)
            socket.send(struct.pack("<I", number) + png(frame))
            head, pictures = answer(socket)
            wanted, memory = translator.dream(frame[None], memory)
            assert head["number"] == number
            assert pictures["dream"].shape == frame.shape
            assert np.abs(pictures["dream"].astype(int) - as_sent(wanted[0])).mean() < 0.5
        assert pictures["seen"].shape[0] == translator.size
        assert "original" not in pictures


def test_a_wish_changes_the_dream(served: tuple[Server, Stage], checkpoint: Path) -> None:
    with viewer(served[0]) as socket:
        for wish in ({}, {"abstraction": 1.0, "steady": 0.0, "size": 96}):
            socket.send(json.dumps(wish))
            socket.send(struct.pack("<I", 1) + png(FLOWER))
            _, pictures = answer(socket)
            wanted, _ = Translator.load(checkpoint, device="cpu").varied(**wish).dream(FLOWER[None])
            assert np.abs(pictures["dream"].astype(int) - as_sent(wanted[0])).mean() < 0.5


def test_a_network_that_goes_on_learning_is_shown_as_it_is_now(checkpoint: Path, tmp_path: Path) -> None:
    mine = tmp_path / "run" / checkpoint.name
    mine.parent.mkdir()
    shutil.copyfile(checkpoint, mine)
    stage = Stage(mine, tmp_path, device="cpu")
    before = stage.network(None)
    assert stage.network(None) is before
    shutil.copyfile(checkpoint, mine)
    assert stage.network(None) is not before
    assert len(stage._networks) == 1
    mine.unlink()
    with pytest.raises(BeautyError, match="no such checkpoint any more"):
        stage.network(None)


def test_a_network_that_is_shown_is_not_loaded_again(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        shutil.copyfile(checkpoint, tmp_path / "checkpoints" / name / checkpoint.name)
    loaded, load = [], Translator.load
    monkeypatch.setattr(Translator, "load", lambda *of, **how: loaded.append(of) or load(*of, **how))
    stage = Stage("a", tmp_path, device="cpu")
    assert viewing.MOST_NETWORKS < 3
    with serving(stage, tmp_path) as server, contextlib.ExitStack() as stack:
        viewers = {name: stack.enter_context(viewer(server, checkpoint=name)) for name in "abc"}
        for abstraction in (0.5, 0.6):
            for name, socket in viewers.items():
                socket.send(json.dumps({"checkpoint": name, "abstraction": abstraction}))
                socket.send(struct.pack("<I", 1) + png(FLOWER))
                answer(socket)
    assert len(loaded) == 3
    gc.collect()
    assert len(stage._in_use) == viewing.MOST_NETWORKS


def test_frames_are_dropped_never_queued(served: tuple[Server, Stage]) -> None:
    with viewer(served[0]) as socket:
        picture = png(FLOWER)
        for number in range(60):
            socket.send(struct.pack("<I", number) + picture)
        numbers, head = [], {}
        while not numbers or numbers[-1] != 59:
            head, _ = answer(socket)
            numbers.append(head["number"])
        assert numbers == sorted(numbers)
        assert len(numbers) + int(str(head["dropped"])) == 60
        assert len(numbers) < 60


def test_many_at_once_and_one_that_vanishes(served: tuple[Server, Stage]) -> None:
    server, _ = served
    with viewer(server) as one, viewer(server, abstraction=0.9) as other, viewer(server) as gone:
        gone.send(struct.pack("<I", 1) + png(CHINA))
        gone.socket.close()  # without a word
        for number in range(5):
            for socket in (one, other):
                socket.send(struct.pack("<I", number) + png(FLOWER))
            for socket in (one, other):
                assert answer(socket)[0]["number"] == number


def test_one_thread_paints(served: tuple[Server, Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that does takes memory of its own, and may be waited for by others."""
    painters, really = set(), Viewer._dream

    def watched(self: Viewer, *given: Any) -> bytes:
        painters.add(threading.get_ident())
        return really(self, *given)

    monkeypatch.setattr(Viewer, "_dream", watched)
    with contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(viewer(served[0])) for _ in range(4)]
        for number in range(3):
            for socket in viewers:
                socket.send(struct.pack("<I", number) + png(FLOWER))
            for socket in viewers:
                answer(socket)
    assert len(painters) == 1


def test_what_nobody_expected_is_said_and_the_next_frame_is_dreamt(
    served: tuple[Server, Stage], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"out of memory at {time.monotonic()}\nTried to allocate 2 GiB")

    monkeypatch.setattr(viewing, "PAUSE", 0.01)
    with viewer(served[0]) as socket:
        with monkeypatch.context() as patch:
            patch.setattr(Translator, "translate", broken)
            for number in (1, 2):
                socket.send(struct.pack("<I", number) + png(FLOWER))
                assert complaint(socket) == "this was not dreamt (RuntimeError): trying again …"
        socket.send(struct.pack("<I", 3) + png(FLOWER))
        assert answer(socket)[0]["number"] == 3
        with monkeypatch.context() as patch:  # nor the network loaded
            patch.setattr(Translator, "varied", broken)
            socket.send('{"abstraction": 0.3}')
            assert "RuntimeError" in complaint(socket)
        while "network" not in str(socket.recv(timeout=20)):
            pass
        socket.send(struct.pack("<I", 4) + png(FLOWER))
        assert answer(socket)[0]["number"] == 4
    assert capsys.readouterr().err.count("out of memory") == 1


def test_what_is_no_frame_is_said_and_the_next_one_is_dreamt(served: tuple[Server, Stage]) -> None:
    with viewer(served[0]) as socket:
        for nonsense in (b"<html>", png(FLOWER)[:200], png(FLOWER[:2].repeat(40, axis=1))):
            socket.send(struct.pack("<I", 1) + nonsense)
            assert complaint(socket)
        for wish in ("nonsense", '{"size": "large"}', "[]", '{"source": 3}', '{"size": 1e999}'):
            socket.send(wish)
            assert "wish" in complaint(socket)
        socket.send(json.dumps({"checkpoint": "../../etc/passwd"}))
        assert "no such checkpoint" in complaint(socket)
        for source in ("../../etc/passwd", "camera"):
            socket.send(json.dumps({"source": source}))
            assert complaint(socket)
        socket.send("{}")
        socket.send(struct.pack("<I", 2) + png(FLOWER))
        assert answer(socket)[0]["number"] == 2
        socket.send(struct.pack("<I", 3) + png(CHINA))  # of another size: a phone that is turned
        assert answer(socket)[1]["dream"].shape == CHINA.shape


def test_a_large_frame_is_dreamt_smaller(served: tuple[Server, Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "MOST_SIDE", 80)
    with viewer(served[0]) as socket:
        socket.send(struct.pack("<I", 1) + png(FLOWER))
        assert answer(socket)[1]["dream"].shape == (60, 80, 3)


def test_a_message_too_large_ends_that_viewer_only(served: tuple[Server, Stage]) -> None:
    def too_much(socket: ClientConnection) -> None:
        socket.send(bytes(9 << 20))
        complaint(socket)

    with viewer(served[0]) as socket, pytest.raises(ConnectionClosed):
        too_much(socket)
    with viewer(served[0]) as socket:
        socket.send(struct.pack("<I", 2) + png(FLOWER))
        assert answer(socket)[0]["number"] == 2


def test_other_sites_are_refused(served: tuple[Server, Stage]) -> None:
    server, _ = served
    for origin, path in (("https://evil.example", "stream"), (f"http://127.0.0.1:{server.port}", "../stream")):
        with pytest.raises(InvalidStatus), connect(server.url.replace("http", "ws") + path, origin=origin):  # type: ignore[arg-type]
            pass


def test_wishes_are_brought_to_what_can_be() -> None:
    wish = Wish.read('{"abstraction": 7, "k": 500, "steady": -1, "size": 100000, "seen": 1, "other": 3}')
    assert wish == Wish(abstraction=1.0, k=32, steady=0.0, size=512, seen=True)


# --- uploads --------------------------------------------------------------------------------------------------------


def test_a_film_is_uploaded_and_dreamt(served: tuple[Server, Stage], tmp_path: Path) -> None:
    server, _ = served
    status, told = ask(server, "uploads", "POST", moving(tmp_path / "film.mp4").read_bytes())
    assert status == 200
    with viewer(server, source=json.loads(told)["upload"]) as socket:
        numbers = [answer(socket) for _ in range(4)]
        assert numbers[-1][0]["number"] > numbers[0][0]["number"]  # type: ignore[operator]
        assert numbers[0][1]["original"].shape == numbers[0][1]["dream"].shape == (120, 160, 3)
        assert np.abs(numbers[0][1]["original"].astype(int) - numbers[-1][1]["original"]).mean() > 2


def test_a_picture_is_dreamt_again_when_the_wish_changes(served: tuple[Server, Stage]) -> None:
    server, _ = served
    upload = json.loads(ask(server, "uploads", "POST", png(CHINA))[1])["upload"]
    with viewer(server, source=upload) as socket:
        before = answer(socket)[1]["dream"]
        socket.send(json.dumps({"source": upload, "abstraction": 1.0}))
        after = answer(socket)[1]["dream"]
        assert np.abs(before.astype(int) - after).mean() > 1


def test_of_many_wishes_for_a_picture_the_last_is_dreamt(served: tuple[Server, Stage], checkpoint: Path) -> None:
    server, _ = served
    upload = json.loads(ask(server, "uploads", "POST", png(FLOWER))[1])["upload"]
    translator = Translator.load(checkpoint, device="cpu")
    wanted = {low: as_sent(translator.varied(abstraction=low).dream(FLOWER[None])[0][0]) for low in (0.0, 1.0)}
    with viewer(server, source=upload) as socket:
        for number, pause in enumerate(np.linspace(0, 0.1, 21)):  # whatever is being done when the last one comes
            last = float(number % 2)
            socket.send(json.dumps({"source": upload, "abstraction": 0.5}))
            time.sleep(pause)
            socket.send(json.dumps({"source": upload, "abstraction": last}))
            while np.abs(answer(socket)[1]["dream"].astype(int) - wanted[last]).mean() > 0.5:
                pass


def test_what_is_no_film_is_refused_and_not_kept(served: tuple[Server, Stage]) -> None:
    server, stage = served
    before = sorted(stage._uploads.iterdir())
    for nonsense in (b"", b"<html>", bytes(5000)):
        status, told = ask(server, "uploads", "POST", nonsense)
        assert status == 400
        assert "neither a film nor a picture" in json.loads(told)["error"]
    assert sorted(stage._uploads.iterdir()) == before


def test_200_megabytes_are_refused(served: tuple[Server, Stage]) -> None:
    server, stage = served
    before = sorted(stage._uploads.iterdir())
    sent = 0

    def much() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(200):
            yield bytes(1_000_000)
            sent += 1

    with contextlib.suppress(OSError):  # hung up on while it was still sending
        assert ask(server, "uploads", "POST", much())[0] == 413
    assert 90 < sent < 200
    assert sorted(stage._uploads.iterdir()) == before
    assert ask(server, "about")[0] == 200


def told(server: Server, film: bytes) -> str | None:
    """Why a film or picture is not shown; None if a dream of it comes."""
    status, body = ask(server, "uploads", "POST", film)
    if status != 200:
        assert status == 400
        return str(json.loads(body)["error"])
    with viewer(server, source=json.loads(body)["upload"], size=64) as socket:
        while isinstance(data := socket.recv(timeout=30), str):
            if "error" in json.loads(data):
                return str(json.loads(data)["error"])
    return None


def test_whatever_is_uploaded_is_dreamt_or_said_why_not(served: tuple[Server, Stage], shared: Path) -> None:
    for path in sorted((shared / "videos").iterdir()):
        assert told(served[0], path.read_bytes()) is None, path.name
    said = {path.name: told(served[0], path.read_bytes()) for path in (shared / "hostile").iterdir() if path.is_file()}
    assert all(why is None or (len(why) < 200 and "\n" not in why) for why in said.values()), said
    dreamt = {name for name, why in said.items() if why is None}
    assert dreamt >= {"animated.gif", "cmyk.jpg", "flor ção 花 #1 100%.JPG", "one_frame.mp4", "png_named.jpg"}
    assert not dreamt & {"bomb_30000x30000.png", "html_error_page.jpg", "zero_byte.mp4", "zero_frames.mp4"}
    assert ask(served[0], "about")[0] == 200


def test_what_drips_is_given_up(served: tuple[Server, Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing, "MAX_SECONDS", 0.5)

    began = time.monotonic()
    with contextlib.suppress(OSError):
        assert ask(served[0], "uploads", "POST", drip())[0] == 408
    assert time.monotonic() - began < 5


def test_only_the_newest_uploads_are_kept(served: tuple[Server, Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    server, stage = served
    monkeypatch.setattr(viewing, "MOST_BYTES", 3 * len(png(FLOWER)))
    names = [json.loads(ask(server, "uploads", "POST", png(FLOWER))[1])["upload"] for _ in range(5)]
    assert [(stage._uploads / name).exists() for name in names] == [False, False, True, True, True]
    with viewer(server, source=names[0]) as socket:
        assert "no longer here" in complaint(socket)


def test_what_is_shown_is_kept_however_much_comes_later(
    served: tuple[Server, Stage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, stage = served
    film = json.loads(ask(server, "uploads", "POST", moving(tmp_path / "film.mp4", 6).read_bytes())[1])["upload"]
    monkeypatch.setattr(viewing, "MOST_BYTES", (stage._uploads / film).stat().st_size + len(png(FLOWER)))
    with viewer(server, source=film) as socket:
        answer(socket)
        later = [json.loads(ask(server, "uploads", "POST", png(FLOWER))[1])["upload"] for _ in range(3)]
        assert [(stage._uploads / name).exists() for name in (film, *later)] == [True, False, False, True]
        for _ in range(8):  # it begins anew
            answer(socket)
        (stage._uploads / film).unlink()
        assert complaint(socket) == "this film is no longer here: choose it again"


def test_a_film_that_its_viewer_has_left_ends(served: tuple[Server, Stage], tmp_path: Path) -> None:
    server, stage = served
    upload = json.loads(ask(server, "uploads", "POST", moving(tmp_path / "film.mp4").read_bytes())[1])["upload"]
    with viewer(server, source=upload) as socket:
        answer(socket)
        (watching,) = stage.viewers
        assert watching._reel
        film = watching._reel[1]
        socket.send('{"source": null}')  # another source, or a page out of sight
        wait(lambda: film._closed.is_set() and watching.shows is None)
        socket.send(json.dumps({"source": upload}))
        answer(socket)


def test_a_film_that_is_opened_while_its_page_is_closed_ends(
    served: tuple[Server, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, films = threading.Event(), []

    class Slow(Projector):
        def __init__(self, *given: Any) -> None:
            films.append(self)
            gate.wait(20)
            super().__init__(*given)

    server, stage = served
    monkeypatch.setattr(viewing, "Projector", Slow)
    upload = json.loads(ask(server, "uploads", "POST", png(CHINA))[1])["upload"]
    with viewer(server, source=upload):
        wait(lambda: films)
    wait(lambda: not stage.viewers)
    gate.set()
    wait(lambda: hasattr(films[0], "_closed") and films[0]._closed.is_set(), seconds=10)


def test_who_looks_at_a_picture_asks_for_no_other(
    served: tuple[Server, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each would keep a thread waiting."""
    asked, really = [], Viewer._of_reel
    monkeypatch.setattr(Viewer, "_of_reel", lambda self, source: asked.append(source) or really(self, source))
    upload = json.loads(ask(served[0], "uploads", "POST", png(CHINA))[1])["upload"]
    with viewer(served[0], source=upload) as socket:
        answer(socket)
        time.sleep(0.1)
        before = len(asked)
        time.sleep(0.7)
        assert len(asked) == before > 0


def test_a_folder_that_was_tidied_away_is_made_anew(
    served: tuple[Server, Stage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served[1], "_uploads", tmp_path / "gone" / "uploads")
    assert ask(served[0], "uploads", "POST", png(FLOWER))[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        *("../live.py", "..%2f..%2fpyproject.toml", "%2e%2e/%2e%2e/pyproject.toml", "studio/films/..%2fsecret.mp4"),
        *("studio/films/secret.mp4", "studio/runs/..%2f..", "studio/datasets/..", "studio/datasets/..%2f/0.jpg"),
    ],
)
def test_names_are_never_paths(served: tuple[Server, Stage], path: str) -> None:
    status, body = ask(served[0], path)
    assert status in (403, 404)
    assert b"not a dream" not in body
    assert b"[project]" not in body


def test_a_name_in_an_upload_is_not_used(served: tuple[Server, Stage]) -> None:
    server, stage = served
    status, _ = ask(server, "uploads?name=../../x", "POST", png(FLOWER), **{"Content-Disposition": "filename=../../x"})
    assert status == 200
    assert not (stage._uploads.parent.parent / "x").exists()


# --- the machine's camera -------------------------------------------------------------------------------------------


def test_the_machines_camera(checkpoint: Path, tmp_path: Path) -> None:
    stage = Stage(checkpoint, tmp_path, device="cpu", camera=str(moving(tmp_path / "camera.mp4", 200)))
    assert isinstance(stage.camera, Camera)
    with serving(stage, tmp_path) as server:
        assert json.loads(ask(server, "about")[1])["camera"]
        with viewer(server, source="camera") as socket:
            assert answer(socket)[1]["original"].shape == (120, 160, 3)


def test_a_broken_classifier_is_left_out(
    checkpoint: Path, named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    broken, good = (tmp_path / "checkpoints" / name / named.name for name in ("broken", "good"))
    for path in (broken, good):
        path.parent.mkdir(parents=True)
    broken.write_text("nothing")
    assert Stage(checkpoint, tmp_path, device="cpu").classifier is None
    assert capsys.readouterr().err.startswith("left out: checkpoints/broken/")
    good.write_bytes(named.read_bytes())
    os.utime(good, (1, 1))  # the broken one is newer
    stage = Stage(checkpoint, tmp_path, device="cpu")
    assert stage.classifier
    assert stage.classifier.labels[0] == "a rose"
    assert "left out" in capsys.readouterr().err


def test_the_judge_of_a_dataset_is_not_the_classifier(
    checkpoint: Path, named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells wanted from unwanted only."""
    monkeypatch.chdir(tmp_path)
    judge = tmp_path / "checkpoints" / f"flowers{SUFFIX}" / named.name
    judge.parent.mkdir(parents=True)
    shutil.copyfile(named, judge)
    assert Stage(checkpoint, tmp_path, device="cpu").classifier is None


def test_without_a_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BeautyError, match="no checkpoint"):
        live(browser=False)


# --- the page -------------------------------------------------------------------------------------------------------


def y4m(path: Path) -> Path:
    """A camera's film: the flower, moving."""
    with open(path, "wb") as file:
        file.write(b"YUV4MPEG2 W160 H120 F15:1 Ip A1:1 C420jpeg\n")
        for number in range(30):
            picture = cv2.cvtColor(np.roll(FLOWER, 3 * number, axis=1), cv2.COLOR_RGB2YUV_I420)
            file.write(b"FRAME\n" + picture.tobytes())
    return path


SLIDE = """(([name, value]) => {
    const slider = document.querySelector(`[data-wish=${name}]`);
    slider.value = value;
    slider.dispatchEvent(new Event('input'));
})(arguments[0])"""


def pixels(page: Browser) -> np.ndarray:
    """What the canvas shows."""
    data = page.run("document.querySelector('#picture').toDataURL('image/png').split(',')[1]")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_the_page_at_the_camera(served: tuple[Server, Stage], tmp_path: Path, checkpoint: Path) -> None:
    from selenium.webdriver import Keys

    server, _ = served
    film = y4m(tmp_path / "camera.y4m")
    with browser(tmp_path, *camera(film)) as page:
        page.get(server.url)
        page.until("document.querySelector('#checkpoint').options.length == 1")
        page.run("document.querySelector('#mirror').click()")
        page.find_element("css selector", "#welcome [data-source=browser]").send_keys(Keys.ENTER)
        page.until("document.querySelector('#rate').textContent > 0", seconds=30)
        assert page.switch_to.active_element.get_attribute("id") == "stage"  # where it was is gone
        sliders = [each for each in page.find_elements("css selector", "#controls [type=range]") if each.is_displayed()]
        assert [each.accessible_name for each in sliders] == ["Abstraction", "Clusters", "Steadiness", "Detail"]
        stroke = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {...arguments[0], bubbles: true}))"
        layout = "document.querySelector('#layouts [aria-pressed=true]').dataset.layout"
        for key, code, wanted in (("4", "Digit4", "wipe"), ("&", "Digit1", "side")):  # the second on a French keyboard
            page.run(stroke, {"key": key, "code": code})
            assert page.run(layout) == wanted
        sliders[0].send_keys("4")  # a letter elsewhere is no command
        assert page.run(layout) == "side"
        # the dream on the page is the Translator's of what stands beside it, once the page has had its wish
        page.run(SLIDE, ["steady", 0])
        translator = Translator.load(checkpoint, device="cpu", steady=0)

        def is_the_translators() -> bool:
            original, dream = np.split(pixels(page), 2, axis=1)
            wanted, another = (
                as_sent(translator.dream(each[None])[0][0]) for each in (original, np.roll(original, 9, axis=1))
            )
            # the frame was sent as JPEG, which moves clusters' borders: it is not the same to the pixel
            unlike, far = (np.abs(dream.astype(int) - each).mean() for each in (wanted, another))
            return bool(original.std() > 20 and unlike < far / 2)

        wait(is_the_translators)
        page.run(SLIDE, ["abstraction", 1])
        assert (
            page.run(
                "document.querySelector('[data-wish=abstraction]').closest('.field').querySelector('b').textContent"
            )
            == "1.00"
        )

        def is_another() -> bool:
            original, dream = np.split(pixels(page), 2, axis=1)
            return bool(np.abs(dream.astype(int) - translator.dream(original[None])[0][0]).mean() > 5)

        wait(is_another)
        # snapshot and record
        page.find_element("id", "snapshot").click()
        page.find_element("id", "record").click()
        page.until("document.querySelector('#recording b').textContent >= '0:03'")
        page.find_element("id", "record").click()
        taken, recorded = (
            finished(tmp_path, "beautynet-*.png"),
            finished(tmp_path, "beautynet-*.webm", "beautynet-*.mp4"),
        )
        assert Image.open(taken).size == (320, 120)
        with Film(recorded) as found:
            frames = list(found)
        assert len(frames) > 5
        assert frames[0].picture.shape == (120, 320, 3)
        # layouts
        for layout, size in (("stack", [160, 240]), ("only", [160, 120]), ("wipe", [160, 120])):
            page.run(f"document.querySelector('[data-layout={layout}]').click()")
            assert (
                page.run("[document.querySelector('#picture').width, document.querySelector('#picture').height]")
                == size
            )
        wipe = page.find_element("id", "wipe")
        wipe.send_keys(Keys.ARROW_LEFT)
        assert float(wipe.get_attribute("value") or "") < 50
        assert wipe.accessible_name == "how much of the original"
        for width, height in ((1280, 900), (390, 844)):
            page.fits(width, height)
        # from the last to the first: what has the focus is not under the stage
        edges = "[arguments[0], document.querySelector('#stage')].map(each => each.getBoundingClientRect())"
        for button in reversed(page.find_elements("css selector", "#controls button:enabled:not([hidden])")):
            page.run("arguments[0].focus()", button)
            focused, stage = page.run(edges, button)
            assert focused["top"] > stage["bottom"] - 1
        assert not page.errors()
        assert page.hosts() == {f"127.0.0.1:{server.port}"}


def test_the_page_with_a_film_and_without_a_server(checkpoint: Path, tmp_path: Path) -> None:
    stage = Stage(checkpoint, tmp_path, device="cpu")
    server = Server(routes(stage, tmp_path))
    thread = threading.Thread(target=server.run)
    thread.start()
    moving(tmp_path / "film.mp4")
    (tmp_path / "no.mp4").write_text("nothing")
    try:
        with browser(tmp_path) as page:
            page.get(server.url)
            page.until("document.querySelector('#checkpoint').options.length == 1")
            choose = page.find_element("css selector", "#file")
            page.run("document.querySelector('#file').hidden = false")
            choose.send_keys(str(tmp_path / "no.mp4"))
            page.until("document.querySelector('#trouble').textContent.includes('neither a film')")
            choose.send_keys(str(tmp_path / "film.mp4"))
            page.until("document.querySelector('#rate').textContent > 0", seconds=30)
            assert page.run("document.querySelector('#trouble').hidden")
            choose.send_keys(str(tmp_path / "no.mp4"))
            page.until("document.querySelector('#trouble').textContent.includes('neither a film')")
            time.sleep(1)  # in which many frames came
            assert not page.run("document.querySelector('#trouble').hidden")
            server.stop()
            thread.join(10)
            page.until("document.querySelector('#trouble').textContent.includes('does not answer')")
    finally:
        server.stop()
        thread.join(10)


def dreams_in_the_end(stale: int, checkpoint: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a page which gives frames up after so many ms shows dreams of the browser's camera."""
    pages = shutil.copytree(PAGES, folder / "pages")
    script = (PAGES / "live.js").read_text(encoding="utf-8")
    assert "STALE = 5000" in script
    (pages / "live.js").write_text(script.replace("STALE = 5000", f"STALE = {stale}"), encoding="utf-8")
    monkeypatch.setattr("beautynet.verbs.live.PAGES", pages)
    film = y4m(folder / "camera.y4m")
    stage = Stage(checkpoint, folder, device="cpu")
    with serving(stage, folder) as server, browser(folder, *camera(film)) as page:
        page.get(server.url)
        page.until("document.querySelector('#checkpoint').options.length == 1")
        page.find_element("css selector", "#welcome [data-source=browser]").click()
        page.until("document.querySelector('#rate').textContent > 0", seconds=15)


def test_the_page_before_a_network_that_takes_long(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = Viewer._dream

    def slowly(self: Viewer, *given: Any) -> bytes:
        time.sleep(0.2)
        return really(self, *given)

    monkeypatch.setattr(Viewer, "_dream", slowly)
    dreams_in_the_end(50, checkpoint, tmp_path, monkeypatch)


def test_the_page_after_frames_that_were_not_dreamt(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, fails = Viewer._dream, [1, 2, 3]

    def broken(self: Viewer, *given: Any) -> bytes:
        if fails:
            raise RuntimeError(f"{fails.pop()}")
        return really(self, *given)

    monkeypatch.setattr(viewing, "PAUSE", 0.01)
    monkeypatch.setattr(Viewer, "_dream", broken)
    dreams_in_the_end(180_000, checkpoint, tmp_path, monkeypatch)
    assert not fails


@pytest.mark.slow
def test_a_connection_that_says_nothing_any_more_is_noticed_and_made_anew(checkpoint: Path, tmp_path: Path) -> None:
    """As after Wi-Fi is lost, or a laptop slept: no end of it ever comes."""
    moving(tmp_path / "film.mp4")
    command = [sys.executable, "-m", "beautynet", "live", "-c", str(checkpoint), "--no-browser", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr
            url = next(line for line in server.stderr if line.startswith("http"))
            with browser(tmp_path) as page:
                page.get(url.strip())
                page.until("document.querySelector('#checkpoint').options.length == 1")
                page.run("document.querySelector('#file').hidden = false")
                page.find_element("css selector", "#file").send_keys(str(tmp_path / "film.mp4"))
                page.until("document.querySelector('#rate').textContent > 0", seconds=30)
                server.send_signal(signal.SIGSTOP)
                page.until("document.querySelector('#trouble').textContent.includes('does not answer')", seconds=20)
                server.send_signal(signal.SIGCONT)
                page.until("document.querySelector('#trouble').hidden", seconds=20)
                page.run("document.querySelector('#rate').textContent = 0")
                page.until("document.querySelector('#rate').textContent > 0", seconds=20)
        finally:
            server.send_signal(signal.SIGCONT)
            server.terminate()


def finished(folder: Path, *patterns: str) -> Path:
    """A download, once it is whole: until then it has another name, or is empty."""

    def found() -> Path | None:
        return next((path for pattern in patterns for path in folder.glob(pattern) if path.stat().st_size), None)

    wait(found)
    path = found()
    assert path
    return path
