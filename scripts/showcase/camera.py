"""The camera: the system's Chromium, which goes through the pages and takes pictures of them."""

from collections.abc import Mapping
from pathlib import Path
from shutil import which

from playwright.sync_api import Page, sync_playwright

from jobs.errors import ServiceUnavailable

NAMES = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--no-sandbox",  # for containers, where one is root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-lcd-text",  # coloured edges of letters make pictures half as large again
)

WIDTH, HEIGHT, TALLEST = 1120, 800, 1300
LISTS = {"batches", "batches-dark", "results", "settings"}
"""Of which the beginning shows all that there is to see."""

PHONE = {"width": 390, "height": 844}


def find_chromium() -> str | None:
    """Return the path of the system's Chromium; None where there is none."""
    return next((path for name in NAMES if (path := which(name)) is not None), None)


def take(folder: Path, url: str, key: str, pages: Mapping[str, str]) -> None:
    """Write a picture of each page, light and dark and as a phone shows it.

    Raises:
        ServiceUnavailable: there is no Chromium.
    """
    path = find_chromium()
    if path is None:
        raise ServiceUnavailable("there is no Chromium (on Debian: apt-get install chromium)")
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(url)
        page.screenshot(path=folder / "login.png")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_selector("main section")
        for name, address in pages.items():
            page.emulate_media(color_scheme="light")
            page.goto(f"{url}{address}")
            _shoot(page, folder / f"{name}.png")
            if name in {"batches", "batch-slow-pool", "pools", "run"}:
                page.emulate_media(color_scheme="dark")
                _shoot(page, folder / f"{name}-dark.png")
        page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
        for name in ("batches", "batch-bad-schema", "run", "usage"):
            page.emulate_media(color_scheme="dark" if name == "batch-bad-schema" else "light")
            page.goto(f"{url}{pages[name]}")
            _shoot(page, folder / f"{name}-phone.png")
        browser.close()


def _shoot(page: Page, path: Path) -> None:
    tallest = HEIGHT if path.stem in LISTS else TALLEST
    height = min(page.evaluate("document.documentElement.scrollHeight"), tallest)
    width = page.viewport_size["width"] if page.viewport_size else WIDTH
    clip = {"x": 0, "y": 0, "width": width, "height": height}
    page.screenshot(path=path, full_page=True, clip=clip)  # type: ignore[arg-type]  # a TypedDict
