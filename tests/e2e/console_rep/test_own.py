"""What is a rep's own, in a real Chromium: leads, availability, sessions."""

import re

import httpx
import pytest
from playwright.async_api import Browser, expect

from tests.e2e.console_rep.people import lead_of, offered
from tests.support.console import Console, api

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("e2e")]


async def test_a_rep_sees_no_lead_of_another(console: Console, chromium: Browser) -> None:
    kaisa = await lead_of(console, "kaisa.kivi@kivi.example")
    context = await chromium.new_context()
    page = await console.sign_in(context, "ben")
    for path in (f"/leads/{kaisa['id']}", "/accounts/kivi.example", f"/leads/{'f' * 32}"):
        answer = await page.goto(console.url + path)
        assert answer is not None
        assert answer.status == 404
        assert "Kaisa" not in await page.content()
    for path in (f"/leads?q={kaisa['email']}&whose=all", "/leads"):
        await page.goto(console.url + path)
        await expect(page.locator("main")).not_to_contain_text("Kaisa")
    answer = await page.goto(f"{console.url}/inbox?rep=anna")
    await expect(page.locator("article").filter(has_text="Nordwind")).to_have_count(0)
    await context.close()
    marketing = await api(console, "marketing", "GET", f"/leads/{kaisa['id']}")
    assert marketing.status_code == 200


async def test_availability_is_the_reps_own(console: Console, chromium: Browser) -> None:
    context = await chromium.new_context()
    page = await console.sign_in(context, "emil")
    await page.goto(f"{console.url}/me")
    await page.get_by_label("Always").uncheck()
    for day in ("mon", "tue", "wed", "thu"):
        await page.fill(f"#{day}", "9-17")
    await page.fill("#fri", "nonsense")
    await page.get_by_role("button", name="Save hours").click()
    await expect(page.locator("p.problem")).to_contain_text("not understood")
    assert await page.input_value("#mon") == "9-17"
    await page.fill("#fri", "09:00-12:00 13:00-15:00")
    await page.select_option("#timezone", "Europe/Stockholm")
    await page.get_by_role("button", name="Save hours").click()
    await expect(page.locator("p.done")).to_contain_text("saved")
    await page.get_by_role("button", name="Until Monday 9:00").click()
    await expect(page.locator("main")).to_contain_text("Paused until")
    own = (await api(console, "emil", "GET", "/v1/me/availability")).json()
    assert (own["hours"], own["timezone"]) == ("mon-thu 9-17, fri 09:00-12:00 13:00-15:00", "Europe/Stockholm")
    assert own["alerts_paused_until"] is not None
    told = await api(console, "emil", "PATCH", "/v1/me/availability", json={"alerts_paused_until": None})
    assert told.json()["alerts_paused_until"] is None
    assert told.json()["hours"] == own["hours"]
    bad = await api(console, "emil", "PATCH", "/v1/me/availability", json={"timezone": "Mars/Crater"})
    assert bad.status_code == 422
    assert (await api(console, "marketing", "PATCH", "/v1/me/availability", json={})).status_code == 403
    await context.close()


async def test_sessions_end_everywhere_and_wrong_tokens_wait(console: Console, chromium: Browser) -> None:
    here, there = await chromium.new_context(), await chromium.new_context()
    page, other = await console.sign_in(here, "anna"), await console.sign_in(there, "anna")
    await expect(other.locator("#live")).to_contain_text("live")
    await page.goto(f"{console.url}/sessions")
    await page.get_by_role("button", name="Sign out everywhere").click()
    await expect(page.locator("#token")).to_be_visible()
    # The open page learns of it with the next thing that happens, or the next beat of its stream.
    await offered(console, "Viimeinen", "Viesti")
    await expect(other.locator("#token")).to_be_visible()
    await expect(other).to_have_url(re.compile(r"next=%2Finbox"))
    await here.close()
    await there.close()
    async with httpx.AsyncClient(base_url=console.url, headers={"Sec-Fetch-Site": "same-origin"}) as http:
        said = [(await http.post("/sign-in", data={"token": f"lr_rep_guessing-{n}"})).status_code for n in range(12)]
        assert said[:10] == [401] * 10
        assert said[10:] == [429] * 2
        late = await http.post("/v1/session", json={"token": "lr_rep_guessing-again"})
        assert (late.status_code, late.json()["code"]) == (429, "too_many_requests")
        assert int(late.headers["retry-after"]) > 0
        assert (await http.post("/v1/session", json={"token": console.token("anna")})).status_code == 200
