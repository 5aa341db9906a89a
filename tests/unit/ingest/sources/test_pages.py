"""Every platform has a page for the person who sets it up, and a line in the overview."""

from pathlib import Path

import pytest

from services.ingest.sources.registry import PLATFORMS

PAGES = Path(__file__).parents[4] / "docs" / "sources"


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_a_platform_has_a_page(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text()
    for part in ("Set up", "Secret", "What becomes of it", "What it cannot send", "Repeats"):
        assert f"\n## {part}\n" in page, part
    assert f"({name}.md)" in (PAGES / "README.md").read_text()


def test_no_page_without_a_platform() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} - {"README"} == set(PLATFORMS)
