"""What does the snippet send, and does it get through?"""

import asyncio
import json
from typing import Any

import pytest
from playwright.async_api import BrowserContext

from tests.e2e.site.shop import Shop, Wire, of, stored, violations

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.xdist_group("e2e-site")]

FORM = """
<form id="buy" action="/thanks" data-lead-router="Demo Requested">
  <input name="work" type="email" value="fia@kivi.example"><input name="who" autocomplete="given-name" value="Fia">
  <input name="title" value="Head of Sales"><textarea name="note">hello</textarea>
  <select name="size"><option>1-10</option><option selected>11-50</option></select>
  <input type="checkbox" name="news" checked><input type="checkbox" name="not_checked">
  <input name="n1" type="password" value="SECRET-1"><input name="n2" type="hidden" value="SECRET-2">
  <input name="n3" autocomplete="cc-number" value="SECRET-3"><input name="card_no" value="SECRET-4">
  <input name="n5" value="4111 1111 1111 1111"><input name="n6" data-lead-router-skip value="SECRET-6">
  <input name="n7" autocomplete="section-a current-password" value="SECRET-7"><input name="n8" type="file">
  <input name="henkilotunnus" value="SECRET-9"><input name="n10" autocomplete="one-time-code" value="SECRET-10">
  <input name="__proto__" value="x"><input name="constructor" value="y"><button>Send</button>
</form>
<form id="quiet" action="/thanks"><input name="n11" value="SECRET-11"><button>Other</button></form>
"""


async def test_a_form_sends_only_what_it_may_and_only_when_it_asks_for_it(shop: Shop, visitor: BrowserContext) -> None:
    shop.add("thanks")
    wire = Wire(visitor, shop)
    page = await visitor.new_page()
    for button in ("Send", "Other"):
        await page.goto(shop.add("form", FORM))
        await page.wait_for_function("() => window.leadRouter && window.leadRouter.loaded")
        await page.get_by_role("button", name=button).click()
        await page.wait_for_url("**/thanks**")
    sent = await wire.until(of("track"))
    await wire.until(lambda event: event["type"] == "page" and "/thanks" in event["context"]["page"]["url"])
    assert (sent["event"], sent["properties"]) == (
        "Demo Requested",
        {
            "form": "buy", "work": "fia@kivi.example", "who": "Fia", "title": "Head of Sales", "note": "hello",
            "size": "11-50", "news": "on", "constructor": "y",
        },
    )  # fmt: skip
    named = await wire.until(of("identify"))
    assert named["traits"] == {"email": "fia@kivi.example", "firstName": "Fia", "title": "Head of Sales"}
    assert [event["type"] for event in wire.events].count("track") == 1
    forms = [{**event, "context": None} for event in wire.events if event["type"] != "page"]
    assert "SECRET" not in json.dumps(forms)
    assert "4111" not in json.dumps(forms)
    assert await violations(page) == []


async def test_what_does_not_get_through_is_sent_again_also_by_the_next_page(
    shop: Shop, visitor: BrowserContext
) -> None:
    wire = Wire(visitor, shop)
    page = await visitor.new_page()
    down = True

    async def refuse(route: Any) -> None:
        if down:
            await route.abort("connectionrefused")
        else:
            await route.continue_()

    await visitor.route("**/v1/batch*", refuse)
    await page.add_init_script("if (location.search === '?1') navigator.sendBeacon = () => false")
    await page.goto(shop.add("first") + "?1")
    first = await wire.until(of("page"))
    async with asyncio.timeout(20):  # it tries again by itself
        while [event["messageId"] for event in wire.events].count(first["messageId"]) < 2:
            await asyncio.sleep(0.05)
    await page.evaluate("leadRouter.track('Last Word')")
    down = False
    wire.events.clear()
    await page.goto(shop.add("second"))
    last = await wire.until(lambda event: event.get("event") == "Last Word")
    again = await wire.until(lambda event: event["messageId"] == first["messageId"])
    assert again["timestamp"] == first["timestamp"]  # the same event: it counts once
    assert again["anonymousId"] == last["anonymousId"]
    assert "lr_queue" not in (await stored(page))[0]


async def test_pages_that_never_load_again_are_seen_and_an_sdks_visitor_is_ours(
    shop: Shop, visitor: BrowserContext
) -> None:
    wire = Wire(visitor, shop)
    page = await visitor.new_page()
    await page.goto(shop.add("spa", script="data-sdk"))
    await wire.until(of("page"))
    await page.evaluate("history.pushState({}, '', '/spa?step=2'); history.replaceState({}, '', '/spa?step=2')")
    await wire.until(lambda event: event["properties"]["url"].endswith("step=2"))
    assert [event["type"] for event in wire.events] == ["page", "page"]
    assert {event["anonymousId"] for event in wire.events} == {"their-id-1"}
    async with asyncio.timeout(10):
        while not any(url.endswith("visitor=their-id-1") for url in wire.urls):
            await asyncio.sleep(0.05)
