"""How the pages of a rep look and keep their own policy, in each look of a real Chromium."""

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.console_rep.people import NORDWIND, card, lead_of
from tests.support.console import LOOKS, Console, findings, watched

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("e2e")]


@pytest.mark.parametrize("look", list(LOOKS))
async def test_every_page_in_every_look_is_accessible(console: Console, chromium: Browser, look: str) -> None:
    vera = await lead_of(console, f"vera.virta@{NORDWIND}")
    context = await chromium.new_context(bypass_csp=True, **LOOKS[look])
    page = await context.new_page()
    await page.goto(console.url)
    found = await findings(page)
    await page.close()
    page = await console.sign_in(context, "anna")
    for path in (
        "/inbox",
        "/leads",
        f"/leads/{vera['id']}",
        f"/accounts/{NORDWIND}",
        "/me",
        "/sessions",
        "/leads/none",
    ):
        await page.goto(console.url + path)
        if path == "/inbox":
            await expect(page.locator("#live")).to_contain_text("live")
            await card(page, "Mikael Ström").locator("summary", has_text="Decline").click()
            await page.locator(".say summary", has_text="Edit").first.click()
        if look == "phone":
            # Nothing is wider than the screen, and a chart's text is as large as it was drawn.
            assert await page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), path
        found += await findings(page)
    assert not found, "\n".join(found)
    if look == "phone":
        await page.goto(f"{console.url}/leads/{vera['id']}")
        assert (await page.locator(".chart-phone svg text").first.bounding_box() or {})["height"] >= 11
    await context.close()


async def test_no_page_breaks_its_own_policy(console: Console, chromium: Browser) -> None:
    vera = await lead_of(console, f"vera.virta@{NORDWIND}")
    context, told = await watched(chromium, permissions=["clipboard-read", "clipboard-write"])
    page = await console.sign_in(context, "anna")
    await expect(page.locator("#live")).to_contain_text("live")
    await page.keyboard.press("?")
    await expect(page.locator("#help")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.locator("[data-copy]").first.click()
    await expect(page.locator("[data-copy]").first).to_contain_text("Copied")
    await page.click("#theme")
    for path in ("/leads", f"/leads/{vera['id']}", f"/accounts/{NORDWIND}", "/me", "/sessions", "/nothing"):
        await page.goto(console.url + path)
    assert told == []
    await context.close()


async def test_a_phone_is_not_offered_what_it_cannot_do(console: Console, chromium: Browser) -> None:
    """Browsers of phones have `Notification`, but a page cannot make one."""
    phone = "Notification = class { static permission = 'default'; constructor() { throw new TypeError('Illegal'); } };"
    for look, offered in (("light", True), ("phone", False)):
        context, told = await watched(chromium, **LOOKS[look])
        if look == "phone":
            await context.add_init_script(phone)
        page = await console.sign_in(context, "anna")
        await expect(page.locator("#live")).to_contain_text("live")
        await expect(page.locator("#ring")).to_be_visible(visible=offered)
        assert told == []
        await context.close()
