"""The rep's pages over the real rooms, without a browser: what they show, to whom, and what their forms do."""

import re
from datetime import UTC, datetime

import httpx
from selectolax.lexbor import LexborHTMLParser as HTMLParser

from tests.integration.console.conftest import Desk


def text(page: httpx.Response) -> str:
    body = HTMLParser(page.text).body
    assert body is not None
    return re.sub(r"\s+", " ", body.text(separator=" "))


def card_of(page: httpx.Response, name: str) -> dict[str, str]:
    """The hidden fields of the open card of this person."""
    for article in HTMLParser(page.text).css("article"):
        heading = article.css_first("h3")
        if (
            heading is not None
            and heading.text(strip=True) == name
            and article.css_first("input[name=gen]") is not None
        ):
            fields = {
                i.attributes["name"]: i.attributes["value"] for i in article.css("form.answers input[type=hidden]")
            }
            return {"id": article.attributes["data-id"], **fields}  # type: ignore[dict-item]
    raise AssertionError(f"no open card of {name}")


async def test_pages_of_leads_and_accounts(played: Desk) -> None:
    vera, maria = await played.lead("Vera"), await played.lead("Maria")
    async with played.signed_in("anna") as anna:
        mine = text(await anna.get("/leads"))
        assert "Vera Virta" in mine
        assert "Maria Moe" not in mine
        assert "Vera Virta" in text(await anna.get("/leads?q=VERA.virta"))
        assert "Nobody fits" in text(await anna.get("/leads?q=nobody&stage=qualified&segment=volume&whose=all"))
        page = await anna.get(f"/leads/{vera['id']}")
        shown = text(page)
        for words in (
            "VP Operations",
            "Nordwind Industries Oyj",
            "Yours to answer",
            "Score history",
            "a scanner",
            "Mikael Ström",
        ):
            assert words in shown, words
        assert HTMLParser(page.text).css("li.moment.machine.struck")
        assert HTMLParser(page.text).css_first("svg[role=img] path.area") is not None
        account = text(await anna.get("/accounts/nordwind.example"))
        assert "Anna Aalto" in account
        assert "Olli Oja viewed /integrations" in account
        for path in (f"/leads/{maria['id']}", "/accounts/fjordsoft.example", "/leads/nonsense", f"/leads/{'0' * 32}"):
            assert (await anna.get(path)).status_code == 404, path
        assert (await anna.get("/leads?cursor=nonsense")).status_code == 400
    async with played.signed_in("marketing") as marketing:
        shown = text(await marketing.get(f"/leads/{maria['id']}"))
        assert "Missing: engagement is 0, 40 points short of 40" in shown
        assert "Chloe Carlsson is next in sdr-midmarket" in shown
        assert "Yours to answer" not in shown
        assert "Vera Virta" in text(await marketing.get("/leads"))
        stu = await played.lead("Stu")
        assert "fit" in text(await marketing.get(f"/leads/{stu['id']}"))
        assert (await marketing.post(f"/leads/{maria['id']}/answer", data={"answer": "accept"})).status_code == 403


async def test_answers_by_forms(played: Desk) -> None:
    async with played.signed_in("anna") as anna:
        inbox = await anna.get("/inbox")
        assert "Right now" in text(inbox)
        vera, olli, mikael, henna = (
            card_of(inbox, name) for name in ("Vera Virta", "Olli Oja", "Mikael Ström", "Henna Lahti")
        )

        async def give(card: dict[str, str], answer: str) -> httpx.Response:
            fields = {"answer": answer, "assignment": card["assignment"], "gen": card["gen"]}
            return await anna.post(f"/inbox/{card['id']}/answer", data=fields)

        assert "It is yours" in text(await give(vera, "accept"))
        assert "Declined" in text(await give(olli, "decline:bad_fit"))
        assert "Snoozed until" in text(await give(mikael, "snooze:tomorrow"))
        assert "Comes back" in text(await anna.get("/inbox"))
        for wrong in ("decline:nonsense", "snooze:never", "dance", ""):
            assert "not understood" in text(await give(henna, wrong)), wrong
        assert "no longer open" in text(await give({**henna, "gen": "7"}, "accept"))
        again = await anna.get("/inbox")
        assert "You have accepted it." in text(again)
        fragment = await anna.post(
            f"/inbox/{henna['id']}/answer",
            data={"answer": "accept", "assignment": henna["assignment"], "gen": henna["gen"]},
            headers={"X-Fragment": "1"},
        )
        assert 'data-code="accepted"' in fragment.text
        assert fragment.text.count("<article") == 1
        assert (await anna.post("/inbox/nothing/answer", data={"answer": "accept"})).status_code == 404
        lead = await played.lead("Henna")
        won = await anna.post(
            f"/leads/{lead['id']}/answer",
            data={"answer": "won", "assignment": henna["assignment"], "gen": henna["gen"]},
        )
        assert "Won." in text(won)
        lost = await played.lead("Vera")
        shown = await anna.post(
            f"/leads/{lost['id']}/answer",
            data={"answer": "lost:no_budget", "assignment": vera["assignment"], "gen": vera["gen"]},
        )
        assert "Lost." in text(shown)
        asleep = await played.lead("Mikael")
        later = await anna.post(
            f"/leads/{asleep['id']}/answer",
            data={"answer": "snooze:1h", "assignment": mikael["assignment"], "gen": mikael["gen"]},
        )
        assert "Snoozed until" in text(later)
    async with played.signed_in("admin") as admin:
        assert "Anna Aalto" in text(await admin.get("/inbox"))
        page = await admin.get("/inbox?rep=anna")
        assert 'action="/inbox/' in page.text
        assert "?rep=anna" in page.text
        assert (await admin.post("/inbox/seen?rep=anna")).url.params["rep"] == "anna"


async def test_whoever_was_faster_is_named(played: Desk) -> None:
    maria = await played.lead("Maria")
    rep, held = maria["assignee"], maria["assignment"]
    async with played.signed_in(rep) as http:
        card = card_of(await http.get("/inbox"), "Maria Moe")
        fields = {"answer": "decline:not_mine", "assignment": held["id"], "gen": str(held["gen"])}
        await http.post(f"/leads/{maria['id']}/answer", data=fields)
        now = (await played.lead("Maria"))["assignee"]
        assert now not in (None, rep)
        late = await http.post(
            f"/inbox/{card['id']}/answer", data={"answer": "accept", "assignment": held["id"], "gen": str(held["gen"])}
        )
        assert f"{now.capitalize()} has been asked" in text(late)


async def test_the_reps_own_words(played: Desk) -> None:
    vera = await played.lead("Vera")
    async with played.signed_in("anna") as anna:
        card = card_of(await anna.get("/inbox"), "Vera Virta")
        before = await anna.get(f"/inbox/news?after={2**40}")
        assert before.text.count("<article") == 0
        await anna.post(f"/inbox/{card['id']}/say", data={"subject": "Hei", "body": "Oma\r\nviesti\x00"})
        news = await anna.get("/inbox/news?after=0")
        assert "your words" in news.text
        assert "Oma\nviesti" in text_of_body(news)
        # What joins or is said later leaves them; the lead's page shows them first.
        assert "your words" in text(await anna.get(f"/leads/{vera['id']}"))
        same = await anna.post(f"/inbox/{card['id']}/say", data={"subject": "Hei", "body": "Oma\nviesti"})
        assert same.status_code == 200
        for how in ("copied", "mailed"):
            used = await anna.post(f"/inbox/{card['id']}/say", data={"how": how}, headers={"X-Fragment": "1"})
            assert used.status_code == 204
        assert (await anna.post(f"/inbox/{card['id']}/say", data={"how": "sung"})).status_code == 422
        for how in ("edited", "copied"):
            assert (await anna.post("/inbox/nothing/say", data={"how": how})).status_code == 404
        # What was missed is seen at one stroke; an alert by its own button.
        missed = "[data-part=missed] article"
        assert HTMLParser((await anna.get("/inbox")).text).css(missed)
        assert not HTMLParser((await anna.post("/inbox/seen")).text).css(missed)
        alert = next(a for a in HTMLParser((await anna.get("/inbox")).text).css("article.now"))
        seen = await anna.post(f"/inbox/{alert.attributes['data-id']}/answer", data={"answer": "seen"})
        assert "Marked as seen" in text(seen)
        assert not HTMLParser(seen.text).css("article.now")
    async with played.signed_in("ben") as ben:
        assert (await ben.post(f"/inbox/{card['id']}/say", data={"subject": "x", "body": "x"})).status_code == 404


def text_of_body(page: httpx.Response) -> str:
    return "".join(node.text() for node in HTMLParser(page.text).css(".whole .body"))


async def test_availability(desk: Desk) -> None:
    async with desk.signed_in("chloe") as chloe:
        page = await chloe.get("/me")
        assert "At work" in text(page)
        saved = await chloe.post(
            "/me/hours", data={"mon": "9-17", "tue": "9-17", "wed": "8–12 , 13–15", "timezone": "Europe/Stockholm"}
        )
        assert "Your hours are saved" in text(saved)
        bad = await chloe.post("/me/hours", data={"mon": "late"})
        assert bad.status_code == 422
        assert 'value="late"' in bad.text
        assert (await chloe.post("/me/hours", data={})).status_code == 422
        assert "Your absence is noted" in text(
            await chloe.post("/me/absence", data={"from": "2027-01-04", "note": "<b>"})
        )
        again = await chloe.post("/me/absence", data={"from": "never"})
        assert again.status_code == 422
        absence = HTMLParser((await chloe.get("/me")).text).css_first("input[name=absence]")
        assert absence is not None
        gone = await chloe.post("/me/absence/remove", data={"absence": absence.attributes["value"] or ""})
        assert "taken away" in text(gone)
        assert (await chloe.post("/me/absence/remove", data={"absence": "1"})).status_code == 404
        for pause in ("1h", "tomorrow", "monday"):
            assert "Paused until" in text(await chloe.post("/me/pause", data={"pause": pause}))
        assert "Alerts are on again" in text(await chloe.post("/me/pause", data={"pause": "off"}))
        assert (await chloe.post("/me/pause", data={"pause": "never"})).status_code == 422
        kept = await chloe.post(
            "/me/reach", data={"quiet_hours": "daily 20:00-07:00", "per_hour": "3", "delegate": "emil"}
        )
        assert "counts from the next notice" in text(kept)
        assert 'value="daily 20:00-07:00"' in kept.text
        assert (await chloe.post("/me/reach", data={"quiet_hours": "at night"})).status_code == 422
        assert "company" in text(await chloe.post("/me/reach", data={"reset": "1"}))
        own = {"Authorization": f"Bearer {desk.access['reps']['chloe']}"}
        shown = (await chloe.get("/v1/me/availability", headers=own)).json()
        assert shown["hours"] == "mon-tue 9-17, wed 8-12 13-15"
        assert shown["absences"] == []
        later = {"alerts_paused_until": datetime(2030, 1, 1, tzinfo=UTC).isoformat(), "hours": "always"}
        changed = (await chloe.patch("/v1/me/availability", headers=own, json=later)).json()
        assert (changed["hours"], changed["timezone"]) == ("always", "Europe/Stockholm")
        assert changed["now"]["available"]
    async with desk.signed_in("admin") as admin:
        assert "Chloe Carlsson" in text(await admin.get("/me"))
        assert "Availability Chloe Carlsson" in text(await admin.get("/me?rep=chloe"))
        assert (await admin.get("/me?rep=nobody")).status_code == 404
        assert "Paused until" in text(await admin.post("/me/pause?rep=chloe", data={"pause": "1h"}))


async def test_sessions_and_wrong_tokens(desk: Desk) -> None:
    async with desk.signed_in("anna") as one, desk.signed_in("anna") as two:
        await _ending(desk, one, two)


async def _ending(desk: Desk, one: httpx.AsyncClient, two: httpx.AsyncClient) -> None:
    page = await one.get("/sessions")
    assert text(page).count("Another browser") == 1
    other = next(
        i.attributes["value"] or ""
        for i in HTMLParser(page.text).css("li input[name=session]")
        if "This browser" not in i.parent.parent.text()  # type: ignore[union-attr]
    )
    async with desk.signed_in("ben") as ben:
        await ben.post("/sessions/end", data={"session": other})
    assert "Inbox" in text(await two.get("/inbox"))
    await one.post("/sessions/end", data={"session": other})
    assert "Your token" in text(await two.get("/inbox"))
    await one.post("/sessions/end", data={"session": "all"})
    assert "Your token" in text(await one.get("/inbox"))
    said = [(await one.post("/sign-in", data={"token": f"lr_rep_guessing-{n}"})).status_code for n in range(12)]
    assert said == [401] * 10 + [429] * 2
    refused = await one.post("/v1/session", json={"token": "lr_rep_guessing-x"})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert (await one.post("/v1/session", json={"token": desk.access["reps"]["anna"]})).status_code == 200


async def test_what_was_not_put_back_is_told_on_the_list(desk: Desk) -> None:
    async with desk.signed_in("ops") as ops:
        # Never in the words of an address that somebody else has written.
        assert "call 555" not in text(await ops.get("/ops/dead-letters?problem=call+555"))
        for field in ("after", "newest"):
            answer = await ops.post("/ops/dead-letters/replay", data={field: "many", "stage": "ingest"})
            assert answer.status_code == 422
            shown = HTMLParser(answer.text)
            assert "A number is needed here." in text(answer)
            assert shown.css_first("#stage option[selected]") is not None


async def test_what_is_not_there_is_told_as_a_page_to_browsers_alone(desk: Desk) -> None:
    async with desk.signed_in("anna") as anna:
        for path in ("/inbxo", "/inbox/nothing/x", "/a//b/ä"):
            missing = await anna.get(path)
            assert missing.status_code == 404
            assert "There is nothing at" in text(missing)
            assert HTMLParser(missing.text).css_first('nav a[href="/inbox"]') is not None
            assert "default-src 'none'" in missing.headers["content-security-policy"]
            plain = await anna.get(path, headers={"Accept": "*/*"})
            assert (plain.status_code, plain.json()["code"]) == (404, "not_found")
        # What is there, but not for a GET, is still told so; and what other rooms have is theirs.
        assert (await anna.get("/v1/track")).status_code == 405
        assert (await anna.get("/v1/leads")).headers["content-type"] == "application/json"
        assert (await anna.get("/v1/nothing")).status_code == 404
        assert (await anna.head("/inbxo")).status_code == 404


async def test_a_form_that_was_refused_leaves_the_other_forms_as_they_are(desk: Desk) -> None:
    async with desk.signed_in("chloe") as chloe:
        assert "Your hours are saved" in text(await chloe.post("/me/hours", data={"always": "1"}))
        refused = await chloe.post("/me/reach", data={"quiet_hours": "at night"})
        assert refused.status_code == 422
        page = HTMLParser(refused.text)
        assert page.css_first("input[name=always][checked]") is not None
        assert 'value="at night"' in refused.text
        away = await chloe.post("/me/absence", data={"from": "never", "note": "skiing"})
        page = HTMLParser(away.text)
        assert page.css_first("input[name=always][checked]") is not None
        assert page.css_first("input[name=note]").attributes["value"] == "skiing"  # type: ignore[union-attr]
        hours = HTMLParser((await chloe.post("/me/hours", data={"mon": "late"})).text)
        assert hours.css_first("input[name=always][checked]") is None
