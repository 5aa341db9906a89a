"""The inbox of a rep in a real Chromium: live news, answers by hand, by keyboard and without JavaScript."""

import contextlib
import time

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from services.notify.channels.inbox import STREAMS_PER_REP
from tests.e2e.console_rep.people import NORDWIND, card, lead_of, offered
from tests.support.console import Console, api, watched
from tests.support.scene import EVIL

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("e2e")]


async def test_a_notice_arrives_by_itself_and_is_answered(console: Console, chromium: Browser) -> None:
    context, told = await watched(chromium)
    page = await console.sign_in(context, "anna")
    await expect(page.locator("#live")).to_contain_text("live")
    before = int(await page.locator("#count").inner_text())
    started = time.monotonic()
    await offered(console, "Nea", "Uusi")
    arrived = card(page, "Nea Uusi")
    await expect(arrived).to_be_visible()
    print(f"POST to DOM, decision and wait for the lead included: {(time.monotonic() - started) * 1000:.0f} ms")
    await expect(page.locator("#say-aloud")).to_contain_text("Nea Uusi")
    assert int(await page.locator("#count").inner_text()) == before + 1

    # By keyboard alone: to the card, its menus, and on to the next when it has gone.
    await arrived.focus()
    await page.keyboard.press("s")
    await expect(page.locator(":focus")).to_have_text("30 min")
    await page.keyboard.press("ArrowRight")
    await expect(page.locator(":focus")).to_have_text("1 hour")
    await page.keyboard.press("Escape")
    await expect(page.locator(":focus")).to_have_text("Snooze")
    await arrived.focus()
    await page.keyboard.press("a")
    await expect(arrived.locator(".note")).to_have_text("You have accepted it.")
    await expect(page.locator("article:focus")).to_contain_text("Nea Uusi")

    await offered(console, "Pia", "Pois")
    going = card(page, "Pia Pois")
    await going.focus()
    await page.keyboard.press("d")
    await expect(page.locator(":focus")).to_have_text("Wrong fit")
    await page.keyboard.press("Enter")
    await expect(going).to_have_attribute("data-section", "past")
    await expect(page.locator("article:focus")).not_to_contain_text("Pia Pois")
    lead = await api(console, "admin", "GET", "/v1/leads", params={"q": "Pia Pois"})
    assert lead.json()["items"][0]["cooldown_reason"] == "bad_fit"

    await offered(console, "Uni", "Uninen")
    await card(page, "Uni Uninen").locator("summary", has_text="Snooze").click()
    await card(page, "Uni Uninen").get_by_role("button", name="Tomorrow 9:00").click()
    await expect(page.locator("[data-part=snoozed] article")).to_contain_text("Comes back")
    assert told == []
    await context.close()


async def test_a_tab_out_of_sight_tells_only_when_no_other_is_in_sight(console: Console, chromium: Browser) -> None:
    context = await chromium.new_context()
    await context.add_init_script("""
        Object.defineProperty(document, "hidden", { get: () => Boolean(globalThis.away) });
        globalThis.told = [];
        globalThis.Notification = class {
            static permission = "granted";
            constructor(who) { if (who) told.push(who); }
            close() {}
        };""")
    # The first tab reads the stream for both.
    reader = await console.sign_in(context, "anna")
    await expect(reader.locator("#live")).to_contain_text("live")
    other = await context.new_page()
    await other.goto(f"{console.url}/inbox")
    await expect(other.locator("#live")).to_contain_text("live")

    async def turn(page: Page, away: bool) -> None:
        await page.evaluate(f"away = {str(away).lower()}; document.dispatchEvent(new Event('visibilitychange'))")

    async def told(name: str) -> list[str]:
        """What was told of once both tabs have the card of a new lead; the reader has had its chance."""
        await offered(console, *name.split())
        for page in (reader, other):
            await expect(card(page, name)).to_be_visible()
        await reader.evaluate("navigator.locks.query().then(() => new Promise((done) => setTimeout(done, 50)))")
        return [*await reader.evaluate("told"), *await other.evaluate("told")]

    await turn(reader, True)
    assert await told("Eka Edessä") == []
    await turn(other, True)
    assert await told("Toka Takana") == ["Toka Takana"]
    await turn(other, False)
    assert await told("Kolmas Edessä") == ["Toka Takana"]
    # A tab that closes is not in sight any more.
    await other.close()
    await offered(console, "Neljäs", "Nyt")
    await reader.wait_for_function("told.length === 2")
    assert await reader.evaluate("told[1]") == "Neljäs Nyt"
    await context.close()


async def test_a_page_that_is_refused_its_stream_waits_and_is_live_when_there_is_room(
    console: Console, chromium: Browser
) -> None:
    context = await chromium.new_context()
    async with httpx.AsyncClient(
        base_url=console.url, headers={"Authorization": f"Bearer {console.token('elin')}"}, timeout=60
    ) as http:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(STREAMS_PER_REP):
                opened = await stack.enter_async_context(http.stream("GET", "/v1/inbox/stream"))
                assert opened.status_code == 200
            page = await console.sign_in(context, "elin")
            async with page.expect_response(
                lambda one: "/v1/inbox/stream" in one.url and one.status == 429
            ):  # the second try: the first may have come before we listened
                await expect(page.locator("#live")).to_contain_text("connecting")
        await expect(page.locator("#live")).to_contain_text("live", timeout=20_000)
    await context.close()


async def test_the_reps_own_words_are_kept_on_every_screen(console: Console, chromium: Browser) -> None:
    await offered(console, "Sanni", "Sana")
    context = await chromium.new_context()
    page, other = await console.sign_in(context, "anna"), await context.new_page()
    await other.goto(f"{console.url}/inbox")
    mine = card(page, "Sanni Sana")
    await mine.locator("summary", has_text="Edit").click()
    await mine.locator("textarea").fill("Hei Sanni,\nsoitanko huomenna?")
    await mine.get_by_role("button", name="Keep my words").click()
    await expect(mine.locator(".own")).to_be_visible()
    await expect(card(other, "Sanni Sana").locator(".preview")).to_contain_text("soitanko huomenna?")
    await page.reload()
    href = await card(page, "Sanni Sana").locator("[data-mail]").get_attribute("href")
    assert href is not None
    assert "soitanko%20huomenna" in href
    metrics = await api(console, "ops", "GET", "/metrics")
    assert 'leadrouter_say_total{how="edited"}' in metrics.text
    await context.close()


async def test_a_name_made_of_markup_is_a_name(console: Console, chromium: Browser) -> None:
    context, told = await watched(chromium)
    page = await console.sign_in(context, "anna")
    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    await expect(page.locator("#live")).to_contain_text("live")
    lead = await offered(console, "Evil", "Markup", name=EVIL)
    shown = page.locator("article h3").filter(has_text="<img src=x onerror=")
    await expect(shown).to_be_visible()
    for path in ("/inbox", "/leads", f"/leads/{lead['id']}", f"/accounts/{NORDWIND}"):
        await page.goto(console.url + path)
        await expect(page.locator("main")).to_contain_text("<img src=x")
        assert await page.locator("main img, main script").count() == 0
    assert (told, asked) == ([], [])
    await context.close()


async def test_without_javascript_everything_can_be_answered(console: Console, chromium: Browser) -> None:
    await offered(console, "Ilman", "Skriptiä")
    await offered(console, "Toinen", "Torjuttu")
    context = await chromium.new_context(java_script_enabled=False)
    page = await console.sign_in(context, "anna")
    await card(page, "Ilman Skriptiä").get_by_role("button", name="Accept").click()
    await expect(page.locator("p.done")).to_contain_text("It is yours")
    await expect(page.locator("[data-part=past] article").filter(has_text="Ilman Skriptiä")).to_contain_text(
        "You have accepted it."
    )
    await card(page, "Toinen Torjuttu").locator("summary", has_text="Decline").click()
    await card(page, "Toinen Torjuttu").get_by_role("button", name="Not now").click()
    await expect(page.locator("p.done")).to_contain_text("Declined")
    await page.goto(f"{console.url}/me")
    await page.fill("#from", "2027-07-01")
    await page.fill("#until", "2027-07-14")
    await page.fill("#note", "Summer")
    await page.get_by_role("button", name="Add absence").click()
    await expect(page.locator("main")).to_contain_text("1 Jul 2027 – 14 Jul 2027")
    await context.close()


async def test_whoever_was_faster_is_named(console: Console, chromium: Browser) -> None:
    """A page that does not know yet: the offer has moved on to a colleague meanwhile."""
    maria = await lead_of(console, "maria.moe@fjordsoft.example")
    rep = maria["assignee"]
    context = await chromium.new_context(java_script_enabled=False)
    page = await console.sign_in(context, rep)
    held = maria["assignment"]
    body = {"assignment_id": held["id"], "gen": held["gen"], "reason": "not_mine"}
    assert (await api(console, rep, "POST", f"/v1/leads/{maria['id']}/decline", json=body)).status_code == 200
    colleague = (await lead_of(console, maria["email"]))["assignee"]
    assert colleague != rep
    await card(page, "Maria Moe").get_by_role("button", name="Accept").click()
    await expect(page.locator("p.problem")).to_contain_text(f"{colleague.capitalize()} has been asked")
    await context.close()
