"""Does the demo site show it: the greeting, the shop, the form, to everybody?"""

import asyncio
import json

import pytest
from playwright.async_api import Browser, BrowserContext, expect

from tests.e2e.product import Product
from tests.e2e.site.shop import PERSON, greeted, inbox, timeline, violations

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.xdist_group("e2e-site")]


async def test_the_owner_greets_on_the_demo_site_within_the_visit(product: Product, visitor: BrowserContext) -> None:
    page = await visitor.new_page()
    await page.goto(f"{product.url}/demo-site")
    await page.get_by_role("button", name="Anni Virta").click()
    await expect(page.locator("#who")).to_contain_text("Anni Virta")
    await page.get_by_role("link", name="Pricing").first.click()
    box = await greeted(page)
    await expect(box).to_contain_text("Anna Aalto")
    await expect(box.get_by_role("status")).to_contain_text("I look after Nordwind Industries Oyj")
    link = box.get_by_role("link", name="Book a time")
    assert await link.get_attribute("href") == "https://meet.seller.example/anna"
    assert await link.get_attribute("rel") == "noopener noreferrer"
    notices = await inbox(product, "anna")
    mine = [one["kind"] for one in notices if (one["lead"] or {}).get("email") == "anni.virta@nordwind.example"]
    assert mine[:1] == ["visiting_now"]
    assert await violations(page) == []
    # By keyboard, and for good: neither this page nor the next greets again.
    await box.get_by_role("button", name="Close").focus()
    await page.keyboard.press("Escape")
    await expect(box).to_have_count(0)
    await page.get_by_role("link", name="Product").click()
    await page.wait_for_timeout(1500)
    await expect(page.get_by_role("region", name="Greeting")).to_have_count(0)
    assert await violations(page) == []


async def test_who_serves_themselves_is_shown_the_way_to_the_shop(product: Product, visitor: BrowserContext) -> None:
    page = await visitor.new_page()
    await page.goto(f"{product.url}/demo-site/pricing?lang=fi")
    await page.get_by_role("button", name="Aino Paja").click()
    box = await greeted(page, "Tervehdys")
    await expect(box.get_by_role("link", name="Kauppaan")).to_have_attribute(
        "href", "https://shop.aurora.example/start"
    )
    await expect(box.get_by_role("status")).to_contain_text("verkkokaupassamme")


async def test_the_demo_form_makes_a_lead(product: Product, visitor: BrowserContext) -> None:
    page = await visitor.new_page()
    await page.goto(f"{product.url}/demo-site/demo")
    for label, value in (
        ("Your name", "Dora Demo"),
        ("Work e-mail", "dora@fjordsoft.example"),
        ("Title", "Head of Sales"),
    ):
        await page.get_by_label(label).fill(value)
    await page.get_by_role("button", name="Ask", exact=True).click()
    await expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    async with asyncio.timeout(20):
        while "demo.requested" not in [act["signal"] for act in await timeline(product, "dora@fjordsoft.example")]:
            await asyncio.sleep(0.1)
    assert await violations(page) == []


async def test_the_demo_site_is_accessible_with_its_greeting(product: Product, chromium: Browser) -> None:
    axe = pytest.importorskip("axe_playwright_python.async_playwright").Axe()
    for scheme in ("light", "dark"):
        context = await chromium.new_context(
            user_agent=PERSON, bypass_csp=True, color_scheme=scheme, reduced_motion="reduce"
        )  # type: ignore[arg-type]
        page = await context.new_page()
        await page.goto(f"{product.url}/demo-site/pricing")
        await page.get_by_role("button", name="Anni Virta").click()
        await (await greeted(page)).get_by_role("link", name="Book a time").wait_for()
        found = await axe.run(page)
        assert [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]] == [], scheme
        await context.close()


@pytest.mark.parametrize("key", [None, "no-such-key"])
async def test_no_demo_site_without_a_publishable_key(product: Product, key: str | None) -> None:
    from services.cli.first_start import demo_site_key
    from services.runtime.settings import Settings

    conf = Settings(_env_file=None, environment="production", data_dir=product.folder, demo_site_key=key)
    assert demo_site_key(conf) == key
    local = Settings(_env_file=None, data_dir=product.folder)
    assert demo_site_key(local) == json.loads((product.folder / "access.json").read_text())["publishable"]
