"""How the pages of a rep look and keep their own policy, in each look of a real Chromium."""

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.console_rep.people import NORDWIND, card, lead_of, offered
from tests.support.console import LOOKS, Console, findings, outgrown, watched

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
        found += [*await outgrown(page), *await findings(page)]
    assert not found, "\n".join(found)
    if look == "phone":
        # A chart's text is as large as it was drawn.
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
    for look, there in (("light", True), ("phone", False)):
        context, told = await watched(chromium, **LOOKS[look])
        if look == "phone":
            await context.add_init_script(phone)
        page = await console.sign_in(context, "anna")
        await expect(page.locator("#live")).to_contain_text("live")
        await expect(page.locator("#ring")).to_be_visible(visible=there)
        assert told == []
        await context.close()


@pytest.mark.parametrize("look", ["light", "phone"])
async def test_long_names_stay_in_their_cards(console: Console, chromium: Browser, look: str) -> None:
    lead = await offered(
        console,
        "Maximiliane",
        f"Long{look}",
        name=f"Maximiliane-Friederike Prinzessin von und zu Hohenlohe-Langenburg-Schillingsfürst-{look}",
        title="Donaudampfschifffahrtsgesellschaftskapitänsstellvertreterinnenausbildungsleiterin Operations",
    )
    context = await chromium.new_context(**LOOKS[look])
    page = await console.sign_in(context, "anna")
    await expect(card(page, f"Schillingsfürst-{look}").first).to_be_visible()
    found: list[str] = []
    for path in ("/inbox", "/leads", f"/leads/{lead['id']}", f"/accounts/{NORDWIND}"):
        await page.goto(console.url + path)
        await expect(page.locator("main")).to_contain_text("Maximiliane")
        found += await outgrown(page)
    assert not found, "\n".join(found)
    await context.close()


async def test_buttons_stay_where_they_are_when_they_unfold(console: Console, chromium: Browser) -> None:
    context = await chromium.new_context(**LOOKS["light"])
    page = await console.sign_in(context, "anna")
    offer = card(page, "Mikael Ström")
    decline = offer.locator("summary", has_text="Decline")
    await decline.evaluate("(button) => button.scrollIntoView({block: 'center'})")
    before = await decline.bounding_box()
    await decline.click()
    reasons = await offer.get_by_role("group", name="Why not").bounding_box()
    assert await decline.bounding_box() == before
    assert before is not None
    assert reasons is not None
    assert reasons["y"] >= before["y"] + before["height"]
    await context.close()
