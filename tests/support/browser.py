"""A real browser for tests: Debian's Chromium (or Chrome) by Playwright, a fresh one for each test.

`LEAD_ROUTER_CHROMIUM` names the program; else `chromium`, `chromium-browser` or `google-chrome` on PATH. Launching costs
half a second, and a browser that crashed, or kept a cookie, spoils no other test.

    async def test_it(page: Page) -> None:
        await page.goto(url)

A test that needs two people takes `chromium` and makes two contexts of it.
"""

import os
import shutil
from collections.abc import AsyncIterator
from typing import Final

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.support.missing import part_missing

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
# Nothing calls home: tests talk to this machine only.
FLAGS: Final = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # containers often have 64 MB there
)
LAUNCH_MS: Final = 60_000.0
# Playwright's own waits; a machine that runs two test workers is slow at times.
WAIT_MS: Final = 20_000.0


def chromium_path() -> str | None:
    """The browser's program, or None when there is none on this machine."""
    given = os.environ.get("LEAD_ROUTER_CHROMIUM")
    if given:
        return shutil.which(given)
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def flags() -> list[str]:
    """How it is started; as root it has no sandbox."""
    return [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else list(FLAGS)


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A headless browser of this test alone. Missing: skipped aloud, and failed in CI."""
    path = chromium_path()
    if path is None:
        part_missing("no Chromium (apt install chromium, or LEAD_ROUTER_CHROMIUM=/path/to/chrome)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=flags(), timeout=LAUNCH_MS, handle_sigint=False, handle_sigterm=False
        )
        yield browser
        await browser.close()


@pytest.fixture
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """A page in a context of its own (cookies, storage), with waits that fit a busy machine."""
    context = await chromium.new_context()
    context.set_default_timeout(WAIT_MS)
    yield await context.new_page()
    await context.close()
