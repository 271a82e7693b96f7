"""A real browser: the system's Chromium, which talks to nobody but the system under test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, sync_playwright

FLAGS = (
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

WITHIN_MS = 15_000


@pytest.fixture(scope="module")
def chromium(missing: Callable[[str], NoReturn]) -> Iterator[Browser]:
    """The browser of a module's tests; each opens contexts of its own."""
    path = which("chromium") or which("chromium-browser") or which("google-chrome")
    if path is None:
        missing("no Chromium on the PATH (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=Path(path), args=list(FLAGS))
        yield browser
        browser.close()
