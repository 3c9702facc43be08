"""A browser without a window for the tests: Debian's chromium, driven by selenium; nothing of it reaches the web."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def camera(film: Path) -> tuple[str, ...]:
    """Flags for a browser whose camera shows a film (y4m), over and over."""
    return (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    )


def missing(what: str) -> NoReturn:
    """Skip a test for want of something; in CI, which would be green for nothing, fail it."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(what)


WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
"""Flags for a browser with WebGPU, in software."""


@contextmanager
def browser(folder: Path, *flags: str) -> Iterator[Browser]:
    """A fresh browser whose files, downloads too, are in `folder`. Skips the test where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: pip install '.[dev]'")
    if not program or not driver:
        missing("needs a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, *flags, f"--user-data-dir={folder / 'browser'}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        opened = Browser(chrome)
        opened.screen(1280, 900)
        yield opened
    finally:
        chrome.quit()


def wait(holds: Callable[[], object], seconds: float = 30) -> None:
    """Wait until something holds that the page cannot be asked: a file, a picture that changes."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"not after {seconds:g} s"
        time.sleep(0.05)


class Browser:
    """A selenium driver as `driver`, and what tests ask of it."""

    def __init__(self, driver: object) -> None:
        self.driver = driver

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        return getattr(self.driver, name)

    def screen(self, width: int, height: int) -> None:
        """Set the size in px; a window cannot be narrower than 500 px, a screen can."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)  # type: ignore[attr-defined]

    def fits(self, width: int, height: int) -> None:
        """On a screen of this size nothing sticks out sideways, once the page has taken its place there."""
        self.screen(width, height)
        self.until(f"innerWidth === {width} && document.documentElement.scrollWidth <= innerWidth")

    def run(self, script: str, *arguments: object):  # type: ignore[no-untyped-def]
        """The value of a JavaScript expression."""
        return self.driver.execute_script(f"return {script}", *arguments)

    def until(self, script: str, *arguments: object, seconds: float = 30):  # type: ignore[no-untyped-def]
        """Wait until a JavaScript expression holds; its value."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, 0.05).until(lambda _: self.run(script, *arguments), script)

    def errors(self) -> list[str]:
        """What the console has complained of since the last call."""
        return [row["message"] for row in self.driver.get_log("browser") if row["level"] in ("SEVERE", "WARNING")]

    def hosts(self) -> set[str]:
        """Where requests went since the last call; the browser's own pages, a new tab's, are nowhere."""
        messages = [json.loads(row["message"])["message"] for row in self.driver.get_log("performance")]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        asked += [m["params"]["url"] for m in messages if m["method"] == "Network.webSocketCreated"]
        nowhere = ("data:", "chrome:", "chrome-untrusted:", "file:", "blob:")
        return {urlsplit(url).netloc for url in asked if not url.startswith(nowhere)}
