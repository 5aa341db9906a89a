"""What is sent and stored without a yes, or against a no? Nothing."""

import pytest
from playwright.async_api import BrowserContext

from tests.e2e.site.shop import Shop, Wire, of, stored

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.xdist_group("e2e-site")]


async def test_nothing_is_sent_or_stored_before_consent_nor_after_it_is_taken_back(
    shop: Shop, visitor: BrowserContext
) -> None:
    wire = Wire(visitor, shop)
    page = await visitor.new_page()
    await page.goto(shop.add("consent", script='data-consent="required"'))
    await page.wait_for_function("() => window.leadRouter && window.leadRouter.loaded")
    await page.evaluate(
        "leadRouter.track('Before'); leadRouter.identify('u-9', {email: 'u9@kivi.example'}); history.pushState({}, '', '/consent?2')"
    )
    await page.wait_for_timeout(600)
    assert wire.paths == ["/site.js"]
    assert await stored(page) == [[], [], ""]
    assert await page.evaluate("leadRouter.id()") is None
    await page.evaluate("leadRouter.consent(true)")
    await wire.until(lambda event: event.get("event") == "Before")
    assert [event["type"] for event in wire.events] == ["page", "track", "identify", "page"]
    assert len({event["anonymousId"] for event in wire.events}) == 1
    assert (await stored(page))[0] == ["lr_anon", "lr_consent"]
    wire.events.clear()
    await page.reload()
    await wire.until(of("page"))  # remembered
    await page.evaluate("leadRouter.consent(false)")
    assert await stored(page) == [[], [], ""]
    wire.events.clear()
    wire.paths.clear()
    await page.evaluate("leadRouter.track('After')")
    await page.reload()
    await page.wait_for_function("() => window.leadRouter && window.leadRouter.loaded")
    await page.wait_for_timeout(600)
    assert (wire.events, set(wire.paths) - {"/site.js"}) == ([], set())
    assert await stored(page) == [[], [], ""]


@pytest.mark.parametrize("signal", ["globalPrivacyControl: {get: () => true}", "doNotTrack: {get: () => '1'}"])
async def test_a_browser_that_asks_not_to_be_followed_is_not(shop: Shop, visitor: BrowserContext, signal: str) -> None:
    await visitor.add_init_script(f"Object.defineProperties(navigator, {{{signal}}})")
    wire = Wire(visitor, shop)
    page = await visitor.new_page()
    await page.goto(shop.add("signals", script="data-respect-signals"))
    await page.wait_for_function("() => window.leadRouter && window.leadRouter.loaded")
    await page.evaluate("leadRouter.track('Anything'); leadRouter.consent(true); leadRouter.page()")
    await page.wait_for_timeout(600)
    assert wire.paths == ["/site.js"]
    assert await stored(page) == [[], [], ""]
    await page.goto(shop.add("plain"))  # a site that does not heed them
    await wire.until(of("page"))
