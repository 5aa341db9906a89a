"""The console of a rep in a real Chromium: each page and look, live news, answers, faults. One product for the module."""

import signal
import time
from typing import Any

import asyncpg
import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from services.cli.stories import Cast, Teller
from tests.support.console import LOOKS, Console, RoundRobin, findings, watched
from tests.support.scene import EVIL

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("e2e")]

NORDWIND = "nordwind.example"


async def offered(console: Console, first: str, last: str = "Test", name: str | None = None) -> dict[str, Any]:
    """Somebody at Nordwind becomes known: an offer to Anna. Returns the lead."""
    async with console.client() as client:
        teller = Teller(client, Cast(suffix=f"{time.monotonic_ns():x}"))
        person = teller.cast.person(first, last, NORDWIND, "VP Operations")
        if name is not None:
            person["name"] = name
        await teller.send(teller.identify(person))
        lead = await teller.until(person["email"], lambda x: x.get("assignee") == "anna")
        assert lead is not None
        return lead


async def api(console: Console, who: str, method: str, path: str, **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(
        base_url=console.url, headers={"Authorization": f"Bearer {console.token(who)}"}
    ) as http:
        return await http.request(method, path, **more)


def card(page: Page, text: str) -> Any:
    return page.locator("article").filter(has_text=text)


async def lead_of(console: Console, email: str) -> dict[str, Any]:
    found = await api(console, "admin", "GET", "/v1/leads", params={"email": email})
    return dict(found.json()["items"][0])


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


async def test_ten_tabs_one_stream(console: Console, chromium: Browser) -> None:
    context = await chromium.new_context()
    first = await console.sign_in(context, "anna")
    tabs = [first]
    for _ in range(9):
        page = await context.new_page()
        await page.goto(f"{console.url}/inbox")
        tabs.append(page)
    await offered(console, "Tapio", "Tabeja")
    for tab in tabs:
        await expect(card(tab, "Tapio Tabeja")).to_be_visible()
    assert (await _streams(console)) == 1
    # The tab that reads the stream goes: the next one takes over, and answers show everywhere.
    await first.close()
    await card(tabs[1], "Tapio Tabeja").get_by_role("button", name="Accept").click()
    lead = await offered(console, "Seuraava", "Lukija")
    for tab in tabs[1:]:
        await expect(card(tab, "Seuraava Lukija")).to_be_visible()
        await expect(card(tab, "Tapio Tabeja").locator(".note")).to_have_text("You have accepted it.")
    assert lead["assignee"] == "anna"
    await context.close()


async def _streams(console: Console) -> int:
    text = (await api(console, "ops", "GET", "/metrics")).text
    line = next(one for one in text.splitlines() if one.startswith('leadrouter_streams{channel="inbox"}'))
    return int(float(line.rsplit(" ", 1)[1]))


async def test_replicas_behind_a_round_robin_and_a_restart_under_an_open_page(
    console: Console, chromium: Browser
) -> None:
    staying = await offered(console, "Jo", "Otettu")
    replica = console.replica()
    await replica.start()
    try:
        async with RoundRobin(console.product.port, replica.port) as proxy:
            context, told = await watched(chromium)
            page = await console.sign_in(context, "anna", f"http://127.0.0.1:{proxy.port}")
            await expect(page.locator("#live")).to_contain_text("live")
            for name in ("Yksi", "Kaksi"):
                await offered(console, name, "Vuoro")
                shown = card(page, f"{name} Vuoro")
                await expect(shown).to_be_visible()
                await shown.get_by_role("button", name="Accept").click()
                await expect(shown.locator(".note")).to_have_text("You have accepted it.")
            assert min(proxy.used.values()) > 0, proxy.used

            await page.evaluate("() => { document.body.dataset.mark = 'same page'; }")
            half = card(page, "Henna Lahti")
            await half.locator("summary", has_text="Edit").click()
            await half.locator("textarea").fill("Half a thought")
            both = (console.product, replica)
            for product in both:
                assert await product.stop(signal.SIGTERM) == 0, product.tail()
            await replica.start()
            # While the page has no stream: one taken elsewhere, one new.
            held = staying["assignment"] or (await _lead(replica.port, console, staying["id"]))["assignment"]
            accepted = await _post(replica.port, console, f"/v1/leads/{staying['id']}/accept", held)
            assert accepted.status_code == 200
            await console.product.start()
            await offered(console, "Kolmas", "Palannut")
            await expect(card(page, "Kolmas Palannut")).to_be_visible()
            await expect(card(page, "Jo Otettu").locator(".note")).to_have_text("You have accepted it.")
            await expect(page.locator("body")).to_have_attribute("data-mark", "same page")
            await expect(half.locator("textarea")).to_have_value("Half a thought")
            assert [one for one in told if "VIOLATION" in one] == []
            await context.close()
    finally:
        await replica.stop()


async def _lead(port: int, console: Console, lead_id: str) -> dict[str, Any]:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {console.token('admin')}"}) as http:
        return dict((await http.get(f"http://127.0.0.1:{port}/v1/leads/{lead_id}")).json())


async def _post(port: int, console: Console, path: str, held: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {console.token('anna')}"}) as http:
        return await http.post(f"http://127.0.0.1:{port}{path}", json={"assignment_id": held["id"], "gen": held["gen"]})


async def test_a_thousand_notices(console: Console, chromium: Browser) -> None:
    await _many(console, "ben", 1000)
    context = await chromium.new_context()
    page = await console.sign_in(context, "ben")
    await expect(page.locator("#count")).to_have_text("1000")
    assert await page.locator("article").count() == 50
    await page.locator("#older").click()
    await expect(page.locator("article")).to_have_count(150)
    started = time.monotonic()
    await page.goto(f"{console.url}/inbox?show=1000", timeout=90_000)
    await expect(page.locator("article")).to_have_count(1000)
    print(f"1,000 cards loaded in {(time.monotonic() - started) * 1000:.0f} ms")
    await page.locator("article").first.focus()
    for _ in range(3):
        await page.keyboard.press("j")
    assert await page.evaluate("() => [...document.querySelectorAll('article')].indexOf(document.activeElement)") == 3
    await context.close()


async def _many(console: Console, rep: str, count: int) -> None:
    """Copies of one real notice in another rep's inbox."""
    pg = await asyncpg.connect(console.database_url)
    try:
        body = await pg.fetchval("SELECT body::text FROM notify.notice WHERE kind = 'handover' AND open LIMIT 1")
        columns = "rep_id, seq, kind, state, open, created_at, updated_at, body, id"
        await pg.execute(
            f"""
            INSERT INTO notify.notice ({columns})
            SELECT $1, n, 'handover', 'new', true, now(), now(),
                   ($2::jsonb || jsonb_build_object('id', 'many' || n, 'seq', n, 'rep', $1::text, 'assignment', NULL,
                    'lead', jsonb_build_object('id', repeat('a', 32), 'name', 'Lead ' || n)))::json, 'many' || n
              FROM generate_series(1, $3::int) n""",
            rep,
            body,
            count,
        )
        await pg.execute(
            "INSERT INTO notify.inbox (rep_id, seq) VALUES ($1, $2) ON CONFLICT (rep_id) DO UPDATE SET seq = $2",
            rep,
            count,
        )
    finally:
        await pg.close()


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
