"""The greeting on a site of another origin: one stream a browser, and names of markup are text."""

import asyncio
import contextlib
import json

import httpx
import pytest
from playwright.async_api import BrowserContext, expect

from tests.e2e.product import Product
from tests.e2e.site.shop import ANNI, Shop, Wire, greeted, of, violations

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.xdist_group("e2e-site")]


async def test_one_stream_a_browser_greets_in_every_tab_and_moves_on_when_its_tab_closes(
    shop: Shop, visitor: BrowserContext
) -> None:
    wire = Wire(visitor, shop)
    url = shop.add("tabs", script='data-chat="https://chat.seller.example/"', lang="sv-FI")
    tabs = [await visitor.new_page() for _ in range(3)]
    for tab in tabs:
        await tab.goto(url)
        await wire.until(of("page"))
    await tabs[0].wait_for_timeout(800)
    assert wire.paths.count("/v1/site/stream") == 1
    await tabs[2].evaluate("who => leadRouter.identify(who)", {**ANNI, "email": "tabs@nordwind.example"})
    await tabs[2].evaluate("history.pushState({}, '', '/tabs?pricing'), leadRouter.page()")
    for tab in tabs:
        box = await greeted(tab, "Hälsning")
        await expect(box.get_by_role("link", name="Boka en tid")).to_be_visible()
        await expect(box.get_by_role("link", name="Chatta")).to_have_attribute("href", "https://chat.seller.example/")
        assert await violations(tab) == []
    assert wire.paths.count("/v1/site/stream") == 1
    await tabs[0].close()
    async with asyncio.timeout(10):
        while wire.paths.count("/v1/site/stream") < 2:
            await asyncio.sleep(0.05)
    await (await greeted(tabs[1], "Hälsning")).get_by_role("button", name="Stäng").click()
    await expect(tabs[2].get_by_role("region", name="Hälsning")).to_have_count(0)


async def test_names_made_of_markup_are_text(product: Product, shop: Shop, visitor: BrowserContext) -> None:
    evil = "<img src=x onerror=window.hacked=1><b>Bold</b>"
    access = json.loads((product.folder / "access.json").read_text())
    headers = {"authorization": f"Bearer {access['admin']}"}
    async with httpx.AsyncClient(base_url=product.url, headers=headers) as http:
        rep = (await http.get("/v1/reps/ben")).json()
        body = {name: rep[name] for name in ("timezone", "hours", "languages", "manager", "meeting_link")}
        answer = await http.put("/v1/reps/ben", json={**body, "name": evil, "title": evil})
        assert answer.status_code == 200, answer.text
        try:
            page = await visitor.new_page()
            await page.goto(shop.add("evil"))
            await page.wait_for_function("() => window.leadRouter && window.leadRouter.loaded")
            await page.evaluate(
                "who => { leadRouter.identify(who); history.pushState({}, '', '/pricing'); }",
                {"email": "evil@stella.example", "name": evil, "title": "Logistics Director"},
            )
            box = await greeted(page)
            await expect(box.get_by_text(evil, exact=True).first).to_be_visible()
            assert await box.locator("img").count() == 0
            assert await page.evaluate("window.hacked === undefined")
            assert await violations(page) == []
        finally:
            with contextlib.suppress(httpx.HTTPError):
                await http.put("/v1/reps/ben", json={**body, "name": rep["name"], "title": rep["title"]})
