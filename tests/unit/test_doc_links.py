"""The pages that people read link to each other, and to files of the tree: each link leads somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def prose_of(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def links() -> Iterator[tuple[str, str, str]]:
    """Yield each page, and the path and the heading that a link on it names."""
    for page in PAGES:
        for path, heading in LINK.findall(prose_of(page)):
            yield str(page.relative_to(ROOT)), path, heading


def anchors(page: Path) -> set[str]:
    """Return the names that a page's headings have in links: as GitHub makes them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(prose_of(page))
    }


@pytest.mark.parametrize(("page", "path", "heading"), [*links()])
def test_a_link_leads_to_a_file_and_a_heading_that_are_there(
    page: str, path: str, heading: str
) -> None:
    target = (ROOT / page).parent / path if path else ROOT / page
    assert target.exists()
    if heading:
        assert heading in anchors(target)


def test_the_readme_leads_to_every_page() -> None:
    led_to = {path for page, path, _ in links() if page == "README.md"}
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages <= led_to
