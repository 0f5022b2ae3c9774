"""A real Chromium for the explorer's pages; what it complains of is kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def require_chromium() -> None:
    """Skips the module where Chromium or Playwright is missing; with CI=true that is a failure.

    Raises:
        RuntimeError, ImportError: with CI=true.
    """
    try:
        import axe_playwright_python  # noqa: F401, PLC0415
        import playwright  # noqa: F401, PLC0415
    except ImportError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"not installed: {error.name}, see the group `dev` of pyproject.toml", allow_module_level=True)
    if CHROMIUM is None:
        why = "no chromium on PATH: apt-get install chromium fonts-noto-cjk"
        if os.environ.get("CI") == "true":
            raise RuntimeError(why)
        pytest.skip(why, allow_module_level=True)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Tabs:
    """Opens pages of one server and keeps what they complain of: errors, broken CSP, requests to other hosts."""

    def __init__(self, browser: Any, url: str) -> None:
        self._browser, self._url = browser, url
        self._contexts: list[Any] = []
        self.complaints: list[str] = []

    def open(
        self,
        path: str,
        *,
        lang: str = "en",
        dark: bool = False,
        width: int = 1280,
        calm: bool = True,
        loaded: str = "main h1",
    ) -> Any:
        """A page of its own profile, when `loaded` can be seen."""
        context = self._browser.new_context(
            viewport={"width": width, "height": 900},
            locale="zh-CN" if lang == "zh" else "en-GB",
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce" if calm else "no-preference",
        )
        self._contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("console", lambda message: self._complain(message.text))
        page.on("pageerror", lambda error: self._complain(str(error)))
        page.on("request", lambda request: self._asks(request.url))
        page.goto(self._url + path)
        page.wait_for_selector(loaded)
        return page

    def close(self) -> None:
        """All of them."""
        for context in self._contexts:
            context.close()

    def _complain(self, text: str) -> None:
        if not text.startswith("Failed to load resource"):  # the answers that a test wants refused
            self.complaints.append(text)

    def _asks(self, url: str) -> None:
        if urlsplit(url).scheme != "data" and not url.startswith(self._url):
            self.complaints.append(f"asked {url}")
