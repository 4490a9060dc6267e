"""A person with a browser: one context, one page, and a list of everything that went wrong in it.

A test fails on what the person would not see: an error on the console, a refused script, a request to another host, a
server's error, a page wider than its window. What a test provokes on purpose it names with `expect`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Response, sync_playwright

WATCH = Path(__file__).with_name("watch.js").read_text(encoding="utf-8")
DESK = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}
PATIENCE = 15_000
"""Milliseconds that a click or an expectation waits before it fails."""
ARGS = ("--disable-quic", "--disable-background-networking", "--force-prefers-reduced-motion")


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*ARGS])
        try:
            yield browser
        finally:
            browser.close()


class Person:
    """Somebody at a browser.

    Attributes:
        page: for everything that playwright offers.
        clicks: presses of the mouse so far; choosing from a list or choosing a file is two.
        faults: what a test fails for.
    """

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        session: dict[str, str] | None = None,
        size: dict[str, int] | None = None,
        dark: bool = False,
        scripts: bool = True,
        touch: bool = False,
    ) -> None:
        self.url = url.rstrip("/")
        self.host = urlsplit(url).netloc
        self.scripts = scripts
        self.clicks = 0
        self.faults: list[str] = []
        self._expected: list[re.Pattern[str]] = []
        self.context = browser.new_context(
            viewport=size or DESK,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            has_touch=touch,
            base_url=self.url,
            locale="en-GB",
        )
        self.context.set_default_timeout(PATIENCE)
        self.context.add_init_script(WATCH)
        if session:
            self.context.add_cookies([{"name": k, "value": v, "url": self.url} for k, v in session.items()])
        self.page = self.open()

    def open(self) -> Page:
        """One more tab."""
        page = self.context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._fault(f"script: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)
        page.on("crash", lambda _: self._fault("the page crashed"))
        return page

    def expect(self, *patterns: str) -> None:
        """What may go wrong from here on, as regular expressions."""
        self._expected += [re.compile(pattern) for pattern in patterns]

    def close(self) -> list[str]:
        """Leave; what went wrong."""
        for page in self.context.pages:
            if not page.is_closed() and (words := self.wide(page)):
                self._fault(words)
        self.context.close()
        return self.faults

    def wide(self, page: Page | None = None) -> str:
        """Which page is wider than its window; works without scripts too."""
        page = page or self.page
        width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        return f"{page.url} is {width[0]} px wide in a window of {width[1]}" if width[0] > width[1] + 1 else ""

    def settle(self) -> None:
        """Wait until what the page asked for by itself is there."""
        for _ in range(60):
            if not self.page.evaluate("!!document.querySelector('[aria-busy]') || document.getAnimations().length > 0"):
                return
            self.page.wait_for_timeout(50)

    # --- what a person does ------------------------------------------------------------------------------------------
    def go(self, path: str) -> Response:
        """Type an address."""
        answer = self.page.goto(path, wait_until="load")
        assert answer is not None, path
        return answer

    def click(self, target: Locator) -> None:
        self.clicks += 1
        target.click()

    def press(self, words: str, *, exact: bool = False, within: Locator | None = None) -> None:
        """Click the button, or the link, that has these words."""
        place = within or self.page.locator("body")
        target = place.get_by_role("button", name=words, exact=exact)
        self.click(target.or_(place.get_by_role("link", name=words, exact=exact)).first)

    def write(self, label: str, text: str, *, within: Locator | None = None) -> None:
        """Click into the field under a label and type."""
        self.clicks += 1
        (within or self.page).get_by_label(label).first.fill(text)

    def choose(self, label: str, words: str, *, within: Locator | None = None) -> None:
        """Choose from a list by its words."""
        self.clicks += 2
        field = (within or self.page).get_by_label(label).first
        option = field.locator("option").filter(has_text=words).first
        field.select_option(value=option.get_attribute("value"))

    def attach(self, field: Locator, *files: Any) -> None:
        """Choose files in the browser's own window."""
        self.clicks += 2
        field.set_input_files(list(files))

    def bring(self, name: str, body: bytes) -> None:
        """Choose a file on the page of data; with scripts it is on its way at once."""
        file = {"name": name, "mimeType": "application/x-ndjson", "buffer": body}
        self.attach(self.page.locator("input[type=file]").first, file)
        if not self.scripts:
            self.press("Load and check")

    def heading(self) -> str:
        return self.page.get_by_role("heading", level=1).inner_text()

    # --- what goes wrong ---------------------------------------------------------------------------------------------
    def _fault(self, words: str) -> None:
        if not any(pattern.search(words) for pattern in self._expected):
            self.faults.append(words)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._fault(f"console: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        where = urlsplit(request.url)
        if where.scheme not in ("data", "blob", "about") and where.netloc != self.host:
            self._fault(f"a request to another host: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self._fault(f"{response.request.method} {response.url}: {response.status}")
