"""A classifier over HTTP: real requests to a real server, honest and hostile, and a real browser on its page."""

import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from browser import browser
from PIL import Image
from selenium.webdriver.common.by import By
from sklearn.datasets import load_sample_image
from web import drip, running

from beautynet import backbones
from beautynet.classifying import classifier
from beautynet.classifying.classifier import Classifier
from beautynet.errors import BeautyError
from beautynet.web import naming
from beautynet.web.naming import routes
from beautynet.web.server import MOST_ARRIVING, Server

PICTURE = io.BytesIO()
Image.fromarray(load_sample_image("flower.jpg")).save(PICTURE, "JPEG")
HOSTILE = "</script><script>document.title='owned'</script>"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def network() -> Classifier:
    lite = backbones.load()
    width = 2 * sum(classifier.widths(lite))
    weight = np.random.default_rng(0).normal(0, 0.01, (3, width)).astype(np.float32)
    bias = np.array([9, 0, 0], np.float32)  # not the one that browsers have first, whatever its place
    return Classifier(lite, ["1980", HOSTILE, "1960"], weight, bias, {"several": False})


@pytest.fixture(scope="module")
def port(network: Classifier) -> Iterator[int]:
    with running(Server(routes(network), found := free_port(), token="")):
        yield found


def ask(port: int, body: object, path: str = "/classify", **headers: str) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, body, headers)  # type: ignore[arg-type]
    response = connection.getresponse()
    text = response.read()
    return response.status, json.loads(text) if text.startswith(b"{") else {"error": text.decode()}


def test_it_answers_as_from_python(port: int, network: Classifier) -> None:
    status, answer = ask(port, PICTURE.getvalue())
    assert status == 200
    assert answer["labels"] == pytest.approx(network(Image.open(PICTURE)), abs=1e-6)
    assert "heat" not in answer
    _, answer = ask(port, PICTURE.getvalue(), "/classify?heat=1")
    assert str(answer["heat"]).startswith("data:image/jpeg;base64,")


def test_what_is_no_picture_is_said(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(port, b"")[0] == 400
    status, answer = ask(port, b"<html>")
    assert status == 400
    assert "not a picture" in str(answer["error"])
    status, answer = ask(port, b"--x\r\n\r\n", **{"Content-Type": "multipart/form-data; boundary=x"})
    assert status == 400
    assert "--data-binary" in str(answer["error"])
    monkeypatch.setattr(naming, "MAX_BYTES", 1000)
    status, answer = ask(port, bytes(200_000))
    assert status == 413


def test_what_drips_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "MAX_SECONDS", 0.5)

    began = time.monotonic()
    try:
        status, _ = ask(port, drip())
        assert status == 408
    except OSError:
        pass  # hung up on while it was still sending
    assert time.monotonic() - began < 5
    assert ask(port, PICTURE.getvalue())[0] == 200


def test_one_that_vanishes_harms_nobody(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as gone:
        gone.sendall(f"POST /classify HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 999999\r\n\r\nabc".encode())
    assert ask(port, PICTURE.getvalue())[0] == 200


def test_only_so_many_pictures_wait_in_memory(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, really = threading.Event(), Classifier.__call__

    def slowly(self: Classifier, picture: Image.Image) -> dict[str, float]:
        gate.wait(20)
        return really(self, picture)

    monkeypatch.setattr(Classifier, "__call__", slowly)
    with ThreadPoolExecutor(MOST_ARRIVING) as pool, socket.create_connection(("127.0.0.1", port), 0.5) as last:
        try:
            asked = [pool.submit(ask, port, PICTURE.getvalue()) for _ in range(MOST_ARRIVING)]
            time.sleep(0.3)
            last.sendall(
                f"POST /classify HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 20000000\r\n\r\n".encode()
            )
            with pytest.raises(TimeoutError):  # nobody takes it
                last.sendall(bytes(20_000_000))
        finally:
            gate.set()
        assert {each.result()[0] for each in asked} == {200}


def test_other_sites_are_refused(port: int) -> None:
    assert ask(port, PICTURE.getvalue(), Origin="https://evil.example")[0] == 403
    assert ask(port, PICTURE.getvalue(), Origin="null")[0] == 403
    assert ask(port, PICTURE.getvalue(), Host="evil.example")[0] == 403
    assert ask(port, PICTURE.getvalue(), Host=f"localhost:{port}")[0] == 200
    assert ask(port, PICTURE.getvalue(), Origin=f"http://127.0.0.1:{port}")[0] == 200


def test_a_port_that_is_taken_is_one_line(port: int) -> None:
    with pytest.raises(BeautyError, match=f"port {port} cannot be listened on"):
        Server([], port)


def test_the_page_in_a_browser(port: int, tmp_path: Path, network: Classifier) -> None:
    (tmp_path / "flower.jpg").write_bytes(PICTURE.getvalue())
    (tmp_path / "no.jpg").write_text("nothing")
    with browser(tmp_path) as page:
        page.get(f"http://127.0.0.1:{port}/")
        assert page.title.startswith("1980")
        choose = page.find_element(By.CSS_SELECTOR, "input[type=file]")
        choose.send_keys(str(tmp_path / "flower.jpg"))
        page.until("/[0-9] s$/.test(document.querySelector('#state').textContent)")
        first = page.find_element(By.CSS_SELECTOR, "li bdi").text
        assert first == next(iter(network(Image.open(PICTURE))))
        assert page.find_element(By.ID, "state").text.startswith(f"{first}, in ")
        assert page.run("document.querySelector('#drop img').src.startsWith('data:image/jpeg')")
        assert page.find_element(By.CSS_SELECTOR, "#drop img").accessible_name == f"where it looked for {first}"
        page.find_element(By.ID, "heat").click()
        assert page.find_element(By.CSS_SELECTOR, "#drop img").accessible_name == "your picture"
        assert page.run("document.querySelector('#drop img').src.startsWith('blob:')")
        assert not page.errors()
        choose.send_keys(str(tmp_path / "no.jpg"))
        page.until("document.querySelector('#state').textContent.includes('not a picture')")
        for width, height in ((1280, 900), (390, 844), (320, 640)):
            page.fits(width, height)
        assert page.run("document.title") != "owned"
        assert page.hosts() == {f"127.0.0.1:{port}"}
