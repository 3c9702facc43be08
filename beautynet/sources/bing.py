"""Bing image search: icrawler's feeder and parser threads, with our own reading of the result pages."""

from __future__ import annotations

import json
import logging
import queue
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

from beautynet.errors import BeautyError
from beautynet.sources.search import Candidate, Search, web_address

MOST_RESULTS = 1000  # a query; further ones only repeat earlier ones
PAGE_STEP = 20
_INSTEAD = "try again later, or import with --from (a folder, or a list of addresses)"


def bing(
    search: Search, *, base_url: str = "https://www.bing.com", request_seconds: float = 10.0
) -> Iterator[Candidate]:
    """Candidates from Bing's result pages, in its order, each URL once, at most 1000.

    Pages are asked for as their candidates are taken. Raises BeautyError when the pages cannot be had or read.
    """
    running = _start(search.query, search.web.user_agent, base_url, request_seconds)
    try:
        while not search.web.stopped:
            try:
                yield running.found.get(timeout=0.1)
            except queue.Empty:
                if not running.crawler.parser.is_alive() and running.found.empty():
                    break
    finally:
        running.stop()
    if trouble := running.trouble():
        raise BeautyError(trouble)


class _Running:
    """The threads of one search, and what they have found."""

    def __init__(self, crawler: Any, pages: int) -> None:
        self.crawler = crawler
        self.pages = pages
        self.found: queue.Queue[Candidate] = crawler.parser.out_queue

    def stop(self) -> None:
        """End the parser's threads; what they have found and nobody has taken is lost."""
        self.crawler.signal.set(reach_max_num=True)
        for worker in self.crawler.parser.workers:
            worker.join(1)  # its retries take half a minute and hear no signal; it dies with the process
        self.crawler.session.close()

    def trouble(self) -> str | None:
        """What went wrong, if anything did."""
        parser = self.crawler.parser
        if parser.trouble:
            return str(parser.trouble)
        if not parser.read:
            return f"Bing cannot be reached: check the connection, {_INSTEAD}"
        missed = 0 if parser.at_end else self.pages - parser.read
        return f"{missed} of {self.pages} result pages of Bing did not answer: {_INSTEAD}" if missed else None


def _start(query: str, user_agent: str, base_url: str, request_seconds: float) -> _Running:
    # icrawler brings an HTML parser and an HTTP library along: 0.2 s that `--help` need not wait for
    from bs4 import BeautifulSoup
    from icrawler import Crawler, Downloader, Parser
    from icrawler.feeder import SimpleSEFeeder

    class BingParser(Parser):  # type: ignore[misc]
        """Reads the JSON that every result carries, whatever its file is called."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.logger = _quiet_logger()
            self.trouble: str | None = None
            self.read = 0  # pages
            self.at_end = False
            self._seen: set[str] = set()

        def parse(self, response: Any) -> Iterator[dict[str, Any]]:
            """The results on a page that no earlier page had; the first page without any is the last."""
            self.read += 1
            fresh = False
            if response.status_code != 200:
                self.trouble = f"Bing answered HTTP {response.status_code}: {_INSTEAD}"
            else:
                results, total = _results(BeautifulSoup(response.content, "lxml"))
                if not results and (total or self.read == 1):
                    self.trouble = _no_results(response.text, total)
                for result in results:
                    if result["murl"] not in self._seen:
                        self._seen.add(result["murl"])
                        fresh = True
                        yield result
            if not fresh:
                self.at_end = True
                self.signal.set(reach_max_num=True)

        def output(self, task: dict[str, Any], block: bool = True, timeout: float | None = None) -> None:
            """Hand a result over as a Candidate; waits while nobody takes those before."""
            candidate = Candidate(url=task["murl"], source="bing", query=query, page=task["purl"])
            self.out_queue.put(candidate, block, timeout)

    class BingCrawler(Crawler):  # type: ignore[misc]
        """icrawler's crawler, not its log on the terminal nor its browser's name."""

        def set_logger(self, log_level: int = logging.INFO) -> None:  # noqa: ARG002
            self.logger = _quiet_logger()

        def set_session(self, headers: dict[str, str] | None = None) -> None:
            super().set_session(headers or {"User-Agent": user_agent, "Accept-Language": "en"})

    crawler = BingCrawler(SimpleSEFeeder, BingParser, Downloader)
    # icrawler's own queues lose a result that has to wait: they note it as a duplicate before it is in.
    crawler.feeder.out_queue = crawler.parser.in_queue = queue.Queue()
    crawler.parser.out_queue = queue.Queue(maxsize=2 * PAGE_STEP)
    crawler.feeder.start(
        url_template=f"{base_url}/images/async?q={{}}&first={{}}",
        keyword=quote_plus(query),
        offset=0,
        max_num=MOST_RESULTS,
        page_step=PAGE_STEP,
    )
    for worker in crawler.feeder.workers:
        worker.join()
    crawler.signal.set(feeder_exited=True)
    pages = crawler.parser.in_queue.qsize()
    # Our fetcher takes the place of icrawler's downloader, which is never started.
    crawler.parser.start(queue_timeout=0.1, req_timeout=request_seconds)
    return _Running(crawler, pages)


def _results(page: Any) -> tuple[list[dict[str, Any]], int]:
    """The readable results on a page, and the number of all."""
    links = page.select("a.iusc[m]")
    results = []
    for link in links:
        try:
            result = json.loads(link["m"])
        except ValueError:
            continue  # counted by the caller: it is in the number of all
        if isinstance(result, dict) and isinstance(result.get("murl"), str):
            results.append({"murl": result["murl"], "purl": _page_of(result)})
    return results, len(links)


def _page_of(result: dict[str, Any]) -> str | None:
    """Where people see it, if that is said."""
    try:
        return web_address(result.get("purl"))
    except ValueError:
        return None


def _no_results(text: str, links: int) -> str:
    if links:
        return f"Bing's results have another form now (no `murl`): {_INSTEAD}"
    lowered = text.lower()
    if any(word in lowered for word in ("captcha", "unusual traffic", "consent")):
        return f"Bing asks for consent or for a captcha instead of showing results: {_INSTEAD}"
    return (
        f"Bing's result page holds no photos that beautynet can read "
        f"(nothing found, or its markup has changed): try other words, {_INSTEAD}"
    )


def _quiet_logger() -> logging.Logger:
    """icrawler logs each request and each failure; ours are counted and said once, in a sentence."""
    logger = logging.getLogger("icrawler")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger
