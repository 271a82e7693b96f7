"""A real browser: the system's Chromium, which talks to nobody but the system under test."""

from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, sync_playwright

from scripts.showcase.camera import FLAGS, find_chromium


@pytest.fixture(scope="module")
def chromium(missing: Callable[[str], NoReturn]) -> Iterator[Browser]:
    """The browser of a module's tests; each opens contexts of its own."""
    path = find_chromium()
    if path is None:
        missing("no Chromium on the PATH (on Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()
