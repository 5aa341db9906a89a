"""`make screenshots`: pictures of the console into docs/images, from the product with the scene of the tests played in it.

Add a page as a line of SHOTS.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Page, async_playwright

from tests.e2e.product import Product
from tests.support.browser import chromium_path, flags
from tests.support.console import LOOKS
from tests.support.scene import open_scene

FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"
# File, who looks, address (`{vera}`: the id of a lead), look.
SHOTS: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("inbox", "anna", "/inbox", "light"),
    ("inbox-dark", "anna", "/inbox", "dark"),
    ("inbox-phone", "anna", "/inbox", "phone"),
    ("lead", "anna", "/leads/{vera}", "light"),
    ("lead-phone", "anna", "/leads/{vera}", "phone"),
    ("leads", "anna", "/leads", "light"),
    ("account", "anna", "/accounts/nordwind.example", "light"),
    ("availability", "anna", "/me", "light"),
    ("policy", "marketing", "/policy", "light"),
    ("matrix", "marketing", "/matrix", "light"),
    ("funnel", "marketing", "/funnel", "light"),
    ("sources", "marketing", "/sources", "light"),
    ("try", "marketing", "/try?email=vera.virta@nordwind.example", "light"),
    ("templates", "marketing", "/templates?segment=enterprise&language=fi", "light"),
    ("dead-letters", "ops", "/ops/dead-letters", "light"),
    ("overview", "ops", "/overview", "light"),
    ("overview-dark", "ops", "/overview", "dark"),
)


async def shoot(browser: Browser, url: str, token: str, path: str, look: str) -> bytes:
    """One picture of one page."""
    options: dict[str, Any] = {**LOOKS[look], "device_scale_factor": 1}
    context = await browser.new_context(**options)
    page: Page = await context.new_page()
    await page.goto(url)
    await page.fill("#token", token)
    await page.click("main button")
    await page.goto(url + path)
    await page.wait_for_timeout(1200)
    picture = await page.screenshot(animations="disabled")
    await context.close()
    return picture


async def main() -> None:
    """Start the product, play the scene, take all pictures, stop."""
    program = chromium_path()
    if program is None:
        raise SystemExit("no Chromium (apt install chromium, or LEAD_ROUTER_CHROMIUM=/path/to/chrome)")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lead-router-pictures-") as folder:
        product = Product(Path(folder) / "data")
        await product.start()
        client = product.client()
        try:
            scene = await open_scene(client)
            vera = await client.lead(scene.people["Vera"]["email"])
            assert vera is not None
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(executable_path=program, args=flags())
                for name, who, path, look in SHOTS:
                    token = client.access["reps"].get(who) or client.access[who]
                    picture = await shoot(
                        browser, f"http://127.0.0.1:{product.port}", token, path.format(vera=vera["id"]), look
                    )
                    await asyncio.to_thread((FOLDER / f"{name}.png").write_bytes, picture)
                    print(f"docs/images/{name}.png {len(picture) // 1024} kB")
                await browser.close()
        finally:
            await client.close()
            await product.stop()


if __name__ == "__main__":
    asyncio.run(main())
