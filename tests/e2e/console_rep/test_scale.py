"""Many tabs, many replicas, many notices, in a real Chromium."""

import signal
import time
from typing import Any

import asyncpg
import httpx
import pytest
from playwright.async_api import Browser, expect

from tests.e2e.console_rep.people import card, offered
from tests.support.console import Console, RoundRobin, api, watched

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("e2e")]


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
    # What the stream brings first draws the list anew: a link that is drawn anew under the mouse is not clicked.
    await expect(page.locator("#live")).to_contain_text("live")
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
