"""The console of marketing operations and of operations in a real Chromium: each page and look, and what people do there."""

import base64
import json
import re
from typing import Any

import asyncpg
import httpx
import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.support.console import LOOKS, Console, api, findings, outgrown, watched
from tests.support.scene import EVIL

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("e2e")]

VERA = "vera.virta@nordwind.example"
PAGES = (
    "/policy",
    "/policy/versions",
    f"/try?email={VERA}",
    "/matrix",
    "/funnel",
    "/templates?segment=enterprise&language=fi",
    "/sources",
    "/channels",
    "/overview",
    "/ops/lag",
    "/ops/dead-letters",
    "/ops/deliveries?state=",
    "/ops/tokens",
)
BURY = """
INSERT INTO log.dead_letter (stage, topic, part, off, reason, detail, key, value)
SELECT 'scoring', 'tracking.events', 0, 900000000 + n, $1, 'tried out'::bytea, 'k'::bytea,
       convert_to(replace($2, 'NUMBER', n::text), 'UTF8') FROM generate_series(1, $3) n"""


async def refused(console: Console, event: dict[str, Any]) -> None:
    """An event that names nobody: a dead letter of ingest."""
    key = base64.b64encode(f"{console.token('source')}:".encode()).decode()
    async with httpx.AsyncClient(base_url=console.url, headers={"Authorization": f"Basic {key}"}) as http:
        assert (await http.post("/v1/track", json=event)).json()["rejected"] == 1


async def letters(console: Console, reason: str, count: int) -> None:
    """Dead letters of scoring that are events all the same: put back, they are counted."""
    event = {
        "specversion": "1.0",
        "id": f"{reason}-NUMBER",
        "source": "/tests",
        "type": "leadrouter.page.viewed.v1",
        "data": {"signal": "page.viewed", "ids": [{"kind": "anonymous", "value": f"{reason}-NUMBER"}]},
    }
    pg = await asyncpg.connect(console.database_url)
    try:
        await pg.execute(BURY, reason, json.dumps(event), count)
    finally:
        await pg.close()


async def in_force(console: Console) -> dict[str, Any]:
    return dict((await api(console, "admin", "GET", "/v1/policy")).json())


async def type_in(page: Page, old: str, new: str) -> None:
    """Replace a text in the editor as a hand would: select it, and type."""
    await page.evaluate(
        """(old) => { const area = document.getElementById("text"); const at = area.value.indexOf(old);
                      area.focus(); area.setSelectionRange(at, at + old.length); }""",
        old,
    )
    await page.keyboard.insert_text(new)


@pytest.mark.parametrize("look", list(LOOKS))
async def test_every_page_in_every_look_is_accessible(console: Console, chromium: Browser, look: str) -> None:
    await refused(console, {"event": EVIL, "properties": {"x": EVIL}})
    context = await chromium.new_context(bypass_csp=True, **LOOKS[look])
    page = await console.sign_in(context, "admin")
    source = (await api(console, "admin", "GET", "/v1/sources")).json()["items"][0]["id"]
    letter = (await api(console, "admin", "GET", "/v1/ops/dead-letters")).json()["items"][0]["id"]
    found: list[str] = []
    values = {"token": "xoxb-1", "users": "U012=anna"}
    asked = {"name": f"slack {look}", "kind": "slack_bot", "values": values}
    channel = (await api(console, "admin", "POST", "/v1/channels", json=asked)).json()["id"]
    for path in (*PAGES, f"/sources/{source}", f"/channels/{channel}", f"/ops/dead-letters/{letter}"):
        await page.goto(console.url + path)
        if path == "/policy":
            # Its beginning alone: axe looks at every painted word.
            await page.fill("#text", "\n".join((await page.input_value("#text")).splitlines()[:48]))
            await expect(page.locator("#problems li").first).to_be_visible()
        here = page.locator(".links a[aria-current]")
        if await here.count():
            await expect(here).to_be_in_viewport(ratio=1)
        found += [*await outgrown(page), *await findings(page)]
    assert not found, "\n".join(found)
    await context.close()


async def test_no_page_breaks_its_own_policy(console: Console, chromium: Browser) -> None:
    context, told = await watched(chromium, permissions=["clipboard-read", "clipboard-write"])
    page = await console.sign_in(context, "admin")
    for path in PAGES:
        answer = await page.goto(console.url + path)
        assert answer is not None
        assert answer.status == 200, path
    source = (await api(console, "admin", "GET", "/v1/sources")).json()["items"][0]["id"]
    await page.goto(f"{console.url}/sources/{source}")
    await page.locator("[data-copy]").first.click()
    await expect(page.locator("[data-copy]").first).to_have_text("Copied")
    await page.goto(f"{console.url}/policy")
    await page.locator("details.lines summary").click()
    await type_in(page, "remind_minutes: 15", "remind_minutes: 10")
    await expect(page.locator("#changes")).to_contain_text("remind minutes: 15 → 10")
    await expect(page.locator("#lines .d-new")).to_contain_text("remind_minutes: 10")
    assert told == []
    await context.close()


async def test_a_policy_is_mended_put_in_force_and_rolled_back(console: Console, chromium: Browser) -> None:
    before = await in_force(console)
    context, told = await watched(chromium)
    page = await console.sign_in(context, "marketing")
    await page.goto(f"{console.url}/policy")
    await type_in(page, "handover_at: qualified", "handover_at: qualifed")
    line = before["text"][: before["text"].index("handover_at: qualified")].count("\n") + 1
    problem = page.locator("#problems li")
    await expect(problem).to_contain_text(f"Line {line}, column 18")
    await expect(problem).to_contain_text("segments.1.handover_at")
    await expect(page.locator(".y-under")).to_have_text("qualifed")
    await expect(page.locator(".y-gutter .y-bad")).to_have_text(str(line))
    await expect(page.get_by_role("button", name="Put in force")).to_be_disabled()
    await page.evaluate("() => document.getElementById('text').setSelectionRange(0, 0)")
    await problem.get_by_role("button").click()
    at = await page.evaluate("() => document.getElementById('text').selectionStart")
    text = await page.input_value("#text")
    assert text[at:].startswith("qualifed")

    await type_in(page, "qualifed", "identified")
    await expect(page.locator("#state")).to_contain_text("No problems")
    await expect(page.locator("#changes")).to_contain_text("segment midmarket, handover at: qualified → identified")
    await page.fill("#note", EVIL)
    await page.get_by_role("button", name="Put in force").click()
    await expect(page.get_by_text("In force now")).to_be_visible()
    now = await in_force(console)
    assert now["version"] > before["version"]
    assert now["note"] == EVIL
    await page.goto(f"{console.url}/matrix")
    await expect(page.locator("td.m-handover").nth(1)).to_contain_text("sdr-midmarket")

    await page.goto(f"{console.url}/policy/versions")
    await expect(page.locator(".versions li").first).to_contain_text(EVIL)
    assert await page.locator(".versions img").count() == 0
    await page.get_by_role("button", name="Roll back").click()
    await expect(page.get_by_text("In force now")).to_be_visible()
    assert (await in_force(console))["text"] == before["text"]
    assert told == []
    await context.close()


async def test_somebody_else_was_faster(console: Console, chromium: Browser) -> None:
    context = await chromium.new_context()
    page = await console.sign_in(context, "marketing")
    await page.goto(f"{console.url}/policy")
    was = await in_force(console)
    theirs = was["text"].replace("remind_minutes: 15", "remind_minutes: 14")
    assert (await api(console, "admin", "PUT", "/v1/policy", json={"text": theirs})).status_code == 200
    await type_in(page, "collapse_minutes: 30", "collapse_minutes: 20")
    await expect(page.locator("#state")).to_contain_text("No problems")
    await page.get_by_role("button", name="Put in force").click()
    await expect(page.get_by_role("alert")).to_contain_text("was put in force by first start meanwhile")
    assert (await in_force(console))["text"] == theirs
    assert "collapse_minutes: 20" in await page.input_value("#text")
    await expect(page.locator("#changes")).to_contain_text("remind minutes: 14 → 15")
    await page.get_by_role("button", name="Put in force").click()
    await expect(page.get_by_text("In force now")).to_be_visible()
    assert "collapse_minutes: 20" in (await in_force(console))["text"]
    assert (await api(console, "admin", "PUT", "/v1/policy", json={"text": was["text"]})).status_code == 200
    await context.close()


async def test_without_javascript(console: Console, chromium: Browser) -> None:
    context = await chromium.new_context(java_script_enabled=False)
    page = await console.sign_in(context, "admin")
    await page.goto(f"{console.url}/policy")
    text = await page.input_value("#text")
    await page.fill("#text", text.replace("handover_to: owner", "handover_two: owner", 1))
    await page.get_by_role("button", name="Save only").click()
    await expect(page.locator("#problems li").first).to_contain_text(re.compile(r"Line \d+, column 5"))
    await expect(page.locator("#problems")).to_contain_text('did you mean "handover_to"?')
    await letters(console, "by_form", 250)
    await page.goto(f"{console.url}/ops/dead-letters?reason=by_form")
    await page.get_by_role("button", name="Put all 250 back").click()
    await expect(page.locator("#told")).to_contain_text("200 put back, 50 left")
    await page.get_by_role("button", name="Go on").click()
    await expect(page.locator("#told")).to_contain_text("250 put back.")
    await page.goto(f"{console.url}/try")
    await page.fill("#email", VERA)
    await page.get_by_role("button", name="Try it").click()
    await expect(page.locator(".t-headline")).to_contain_text("Anna Aalto")
    await context.close()


async def test_dead_letters_are_looked_at_and_put_back_with_progress(console: Console, chromium: Browser) -> None:
    await refused(console, {"event": EVIL, "properties": {"name": EVIL, "turned": "a\u202eb\x00"}})
    await letters(console, "tried_out", 320)
    context, told = await watched(chromium)
    page = await console.sign_in(context, "ops")
    await page.goto(f"{console.url}/ops/dead-letters?stage=ingest")
    await page.locator("tbody a").first.click()
    shown = page.get_by_label("Value", exact=True)
    await expect(shown).to_contain_text(EVIL.replace('"', '\\"'))
    await expect(shown).to_contain_text("a\\u202eb")
    assert await page.locator("main img, main script").count() == 0

    await page.goto(f"{console.url}/ops/dead-letters")
    await page.select_option("#reason", "tried_out")
    await page.get_by_role("button", name="Filter").click()
    await expect(page.locator(".count")).to_have_text("320")
    await page.locator("tbody a").first.click()
    await page.get_by_role("button", name="Put it back").click()
    await expect(page.locator(".head")).to_contain_text("put back by")
    await page.goto(f"{console.url}/ops/dead-letters?reason=tried_out")
    seen: list[str] = []
    await page.expose_function("saw", lambda text: seen.append(text))  # noqa: PLW0108 Playwright wants a function of Python
    await page.evaluate(
        "() => new MutationObserver(() => saw(document.getElementById('told').textContent))"
        ".observe(document.getElementById('told'), {childList: true, characterData: true, subtree: true})"
    )
    await page.get_by_role("button", name="Put all 319 back").click()
    await expect(page.locator("#told")).to_contain_text("319 put back.")
    assert "100 of 319 put back" in seen
    assert "300 of 319 put back" in seen
    assert await page.locator("#progress").evaluate("(bar) => bar.value === bar.max")
    left = (await api(console, "ops", "GET", "/v1/ops/dead-letters?reason=tried_out&replayed=false")).json()
    assert left["items"] == []
    assert told == []
    await context.close()


async def test_putting_back_goes_on_where_it_was_cut_off(console: Console, chromium: Browser) -> None:
    await letters(console, "cut_off", 150)
    context = await chromium.new_context()
    page = await console.sign_in(context, "ops")
    await page.goto(f"{console.url}/ops/dead-letters?reason=cut_off")
    asked: list[Any] = []

    async def cut(route: Route) -> None:
        asked.append(route.request.post_data_json)
        await (route.abort() if len(asked) == 2 else route.continue_())

    await page.route("**/v1/ops/dead-letters/replay", cut)
    await page.get_by_role("button", name="Put all 150 back").click()
    await expect(page.locator("#told")).to_contain_text("Stopped after 100")
    await page.get_by_role("button", name="Put the rest back").click()
    await expect(page.locator("#told")).to_contain_text("150 put back.")
    await expect(page.get_by_role("button", name="Done")).to_be_disabled()
    assert asked[2] == asked[1]
    assert asked[1]["after"] > 0
    await context.close()


async def test_figures_stand_still_while_somebody_is_in_them_and_say_so(console: Console, chromium: Browser) -> None:
    context, told = await watched(chromium)
    page = await console.sign_in(context, "ops")
    await page.clock.install()
    await page.goto(f"{console.url}/ops/lag")
    fresh = page.locator("#fresh")
    await expect(fresh).to_have_text("Fresh every 5 s")
    await page.get_by_role("region", name="Partitions of tracking.events").focus()
    await page.clock.run_for(5_000)
    await expect(fresh).to_have_text("Stands still while you are in it")
    await page.locator("h1").click()
    await page.clock.run_for(5_000)
    await expect(fresh).to_have_text("Fresh every 5 s")
    assert told == []
    await context.close()


async def test_the_matrix_keeps_its_stages_in_sight_on_a_phone(console: Console, chromium: Browser) -> None:
    context = await chromium.new_context(**LOOKS["phone"])
    page = await console.sign_in(context, "marketing")
    await page.goto(f"{console.url}/matrix")
    region = page.get_by_role("region", name="The sales matrix")
    await region.evaluate("(box) => box.scrollTo(box.scrollWidth, 0)")
    await expect(page.get_by_role("rowheader", name="Qualified")).to_be_in_viewport(ratio=0.9)
    await expect(page.get_by_role("columnheader", name="Volume")).to_be_in_viewport(ratio=0.9)
    await context.close()


async def test_a_token_is_shown_once_and_revoked(console: Console, chromium: Browser) -> None:
    context = await chromium.new_context()
    page = await console.sign_in(context, "admin")
    await page.goto(f"{console.url}/ops/tokens")
    await page.select_option("#role", "marketing")
    await page.fill("#name", EVIL)
    await page.get_by_role("button", name="Make it").click()
    token = await page.input_value("#secret")
    assert await page.locator("main img").count() == 0
    other = await chromium.new_context()
    console.access["made"] = token
    theirs = await console.sign_in(other, "made")
    await expect(theirs).to_have_url(f"{console.url}/policy")
    await page.goto(f"{console.url}/ops/tokens")
    assert token not in await page.content()
    page.on("dialog", lambda dialog: dialog.accept())
    await page.locator("tr").filter(has_text=EVIL).get_by_role("button").click()
    await expect(page.get_by_text("Revoked; its sessions ended with it.")).to_be_visible()
    await theirs.goto(f"{console.url}/policy")
    await expect(theirs.locator("#token")).to_be_visible()
    await other.close()
    await context.close()


async def test_a_source_is_made_fails_its_signature_and_is_disabled(console: Console, chromium: Browser) -> None:
    context = await chromium.new_context()
    page = await console.sign_in(context, "admin")
    await page.goto(f"{console.url}/sources")
    await page.fill("#name", EVIL[:60])
    await page.select_option("#platform", "standardwebhooks")
    await page.get_by_role("button", name="Make it").click()
    assert (await page.input_value("#key")).startswith("lrwk_")
    assert await page.locator("main img").count() == 0
    hook = await page.input_value("#hook")
    async with httpx.AsyncClient() as http:
        assert (await http.post(hook, json={"type": "form.submitted"})).status_code == 401
    await page.goto(hook.replace("/hooks/", "/sources/"))
    await page.get_by_role("button", name="Disable it").click()
    await expect(page.locator(".head")).to_contain_text("disabled")
    await page.get_by_role("button", name="Take its events again").click()
    await expect(page.get_by_role("button", name="Disable it")).to_be_visible()
    await context.close()


async def test_trying_writes_nothing(console: Console, chromium: Browser) -> None:
    lead = (await api(console, "admin", "GET", f"/v1/leads?email={VERA}")).json()["items"][0]
    decisions = (await api(console, "admin", "GET", f"/v1/leads/{lead['id']}/decisions")).json()["items"]
    text = (await in_force(console))["text"]
    event = {"type": "track", "event": "Demo Requested", "userId": "new@kivi.example", "context": {"traits": {}}}
    event["context"] = {"traits": {"email": "new@kivi.example", "name": EVIL, "title": "Head of Sales"}}
    context, told = await watched(chromium)
    page = await console.sign_in(context, "marketing")
    await page.goto(f"{console.url}/policy")
    await type_in(page, "points: 40", "points: 10")
    await expect(page.locator("#state")).to_contain_text("No problems")
    await page.get_by_role("button", name="Try it on a lead").click()
    await page.fill("#event", json.dumps(event))
    await page.get_by_role("button", name="Try it").click()
    await expect(page.locator(".t-headline")).to_contain_text("Handed over to")
    # Points fade by 2.4 % from noon to midnight.
    await expect(page.locator(".changes li").first).to_have_text(re.compile(r"engagement: 3[01]\.\d → \d\.\d"))
    await expect(page.locator("#t-who")).to_have_text(EVIL)
    assert await page.locator("main img").count() == 0
    assert (await api(console, "admin", "GET", "/v1/leads?email=new@kivi.example")).json()["items"] == []
    again = await api(console, "admin", "POST", "/v1/policy/try", json={"email": VERA, "text": text, "fresh": True})
    assert again.json()["outcome"]["assignee"] == "anna"
    assert again.json()["outcome"]["handover"] is True
    broken = await api(console, "admin", "POST", "/v1/policy/try", json={"email": VERA, "text": "segments: []"})
    assert broken.status_code == 422
    assert broken.json()["detail"][0]["line"] == 1
    nobody = await api(console, "admin", "POST", "/v1/policy/try", json={"email": "no.one@kivi.example"})
    assert nobody.status_code == 404
    after = (await api(console, "admin", "GET", f"/v1/leads/{lead['id']}/decisions")).json()["items"]
    assert after == decisions
    assert told == []
    await context.close()
