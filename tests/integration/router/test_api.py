"""Leads, decisions, answers and the funnel over HTTP."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.router.api import router_router
from services.router.core.explain import render
from services.runtime.access import Access
from services.runtime.clock import SystemClock
from services.runtime.db import Listener
from services.runtime.http import make_app
from tests.support.routing import NOW, Person, Room, cause, hex_of, with_people


class Api:
    def __init__(self, client: httpx.AsyncClient, tokens: dict[str, str]) -> None:
        self.client = client
        self.tokens = tokens

    async def get(self, path: str, who: str = "admin", status: int = 200, **params: Any) -> Any:
        answer = await self.client.get(path, params=params, headers={"Authorization": f"Bearer {self.tokens[who]}"})
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, who: str, status: int = 200) -> Any:
        answer = await self.client.post(path, json=body, headers={"Authorization": f"Bearer {self.tokens[who]}"})
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def api(room: Room) -> AsyncIterator[Api]:
    access = Access(room.db, SystemClock(), Listener(room.db))
    tokens = {role: await access.create(role, None, role) for role in ("admin", "marketing", "ops")}
    tokens |= {
        rep: await access.create("rep", rep, rep) for rep in ("anna", "chloe", "daavid", "elin", "farid", "maria")
    }
    app = make_app([], [router_router(room.leads, room.answers)], access)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield Api(client, tokens)


@pytest.fixture
async def people(room: Room) -> dict[str, Person]:
    vp, mql, gone = (
        Person("anni@nordwind.example"),
        Person("maria@fjordsoft.example"),
        Person("student@gmail.com", grade="D", role="student"),
    )
    await room.send(vp.says(0, cause("a", "person.identified")))
    await room.send(mql.says(20, cause("b", "webinar.attended")))
    await room.send(mql.says(60, cause("c", path="/pricing")))
    await room.send(gone.says(60, cause("d")))
    return {"vp": vp, "mql": mql, "student": gone}


async def test_a_lead_has_the_shape_of_the_contract(api: Api, people: dict[str, Person]) -> None:
    [lead] = (await api.get("/v1/leads", email="Maria@Fjordsoft.example"))["items"]
    contract = {
        "id", "email", "name", "title", "known", "account", "segment", "stage", "route", "track", "assignee", "fit", "engagement", "updated_at",
    }  # fmt: skip
    assert contract <= set(lead)
    assert set(lead["account"]) >= {"domain", "name", "named", "industry", "employees", "owner"}
    assert set(lead["fit"]) >= {"grade", "score", "reasons"}
    assert lead["engagement"] == {"score": 60.0, "parts": [{"signal": "webinar.attended", "points": 60.0}]}
    assert await api.get(f"/v1/leads/{lead['id'].upper()}") == lead


async def test_a_lead_is_found_by_any_spelling_of_the_address(api: Api, room: Room) -> None:
    await room.send(Person("väinö@jätti.example").says(0, cause("a", "person.identified")))
    for other in ("VÄINÖ@jätti.example", "va\u0308ino\u0308@ja\u0308tti.example", "väinö@xn--jtti-loa.example"):
        assert [one["email"] for one in (await api.get("/v1/leads", email=other))["items"]] == ["väinö@jätti.example"]


async def test_engagement_is_computed_for_now(api: Api, people: dict[str, Person], room: Room) -> None:
    room.clock.at = NOW + timedelta(days=30)
    assert (await api.get(f"/v1/leads/{people['mql'].id}"))["engagement"]["score"] == 30.0


async def test_lists_filter_and_go_page_by_page_newest_first(api: Api, people: dict[str, Person]) -> None:
    async def names(**params: Any) -> list[str]:
        return sorted(item["email"].split("@")[0] for item in (await api.get("/v1/leads", **params))["items"])

    assert await names() == ["anni", "maria", "student"]
    assert await names(segment="midmarket") == ["maria"]
    assert await names(stage="identified") == ["anni"]
    assert await names(assignee="anna") == ["anni"]
    assert await names(route="nurture") == ["student"]
    assert await names(q="NORDWIND") == ["anni"]
    assert await names(q="100%") == []
    assert await names(domain="fjordsoft.example") == ["maria"]
    first = await api.get("/v1/leads", limit=2)
    second = await api.get("/v1/leads", limit=2, cursor=first["next"])
    assert second["next"] is None
    assert len({item["id"] for item in first["items"] + second["items"]}) == 3
    assert (await api.get("/v1/leads", status=400, cursor="WyJ4Il0"))["code"] == "bad_cursor"
    assert (await api.get("/v1/leads", status=422, stage="hot"))["code"] == "invalid"


async def test_decisions_say_why_in_words(api: Api, people: dict[str, Person]) -> None:
    found = (await api.get(f"/v1/leads/{people['mql'].id}/decisions"))["items"]
    assert [d["route"] for d in found] == ["sdr", "nurture"]
    for decision in found:
        assert all(reason["text"] and reason["code"] for reason in decision["reasons"])
        assert set(decision["timing"]) == {"occurred_at", "received_at", "scored_at", "routed_at"}
        assert decision["policy_version"] == 1
    assert found[0]["causes"] == [hex_of("event", "c")]
    assert [c["rep"] for c in found[0]["candidates"] if c.get("chosen")] == ["chloe"]
    assert found[1]["counterfactual"][0]["text"].endswith("20 points short of 40")
    one = await api.get(f"/v1/decisions/{found[0]['id']}")
    assert one["inputs"]["snapshot"]["lead_id"] == people["mql"].id
    page = await api.get(f"/v1/leads/{people['mql'].id}/decisions", limit=1)
    rest = await api.get(f"/v1/leads/{people['mql'].id}/decisions", limit=1, cursor=page["next"])
    assert [d["n"] for d in page["items"] + rest["items"]] == [2, 1]


async def test_a_manager_sees_the_leads_of_their_people_and_of_theirs(
    api: Api, people: dict[str, Person], room: Room
) -> None:
    """Whoever is told that a rep does not answer can open what it is about; the offer stays the rep's."""

    async def seen_by(who: str) -> list[str]:
        return sorted(item["email"].split("@")[0] for item in (await api.get("/v1/leads", who))["items"])

    assert await seen_by("maria") == ["anni", "maria"]
    mql = people["mql"].id
    lead = await api.get(f"/v1/leads/{mql}", "maria")
    assert (await api.get(f"/v1/leads/{mql}/decisions", "maria"))["items"]
    held = lead["assignment"]
    body = {"assignment_id": held["id"], "gen": held["gen"]}
    assert (await api.post(f"/v1/leads/{mql}/accept", body, "maria", 409))["code"] == "already_taken"
    # Managers of managers, and a circle that somebody has made by mistake.
    room.view = with_people(room.view, maria={"manager": "farid"}, farid={"manager": "elin"}, elin={"manager": "maria"})
    assert await seen_by("farid") == ["anni", "maria"]
    room.view = with_people(room.view, chloe={"manager": None}, maria={"manager": None})
    assert await seen_by("farid") == []
    assert await seen_by("maria") == ["anni"]


async def test_reps_see_their_own_leads_and_those_of_their_pools(api: Api, people: dict[str, Person]) -> None:
    for who, expected in (("chloe", ["maria"]), ("daavid", ["maria"]), ("anna", ["anni"]), ("farid", [])):
        assert [item["email"].split("@")[0] for item in (await api.get("/v1/leads", who))["items"]] == expected
    mql = people["mql"].id
    await api.get(f"/v1/leads/{mql}", "daavid")
    assert (await api.get(f"/v1/leads/{mql}", "farid", 404))["code"] == "not_found"
    await api.get(f"/v1/leads/{mql}/decisions", "farid", 404)
    decision = (await api.get(f"/v1/leads/{mql}/decisions"))["items"][0]["id"]
    await api.get(f"/v1/decisions/{decision}", "farid", 404)
    await api.get(f"/v1/decisions/{hex_of('none')}", status=404)
    await api.get(f"/v1/leads/{hex_of('none')}", status=404)
    await api.get("/v1/leads/short", status=422)


async def test_answers_over_http(api: Api, people: dict[str, Person]) -> None:
    lead = await api.get(f"/v1/leads/{people['mql'].id}")
    one, path = lead["assignment"], f"/v1/leads/{lead['id']}"
    body = {"assignment_id": one["id"], "gen": one["gen"]}
    assert (await api.post(f"{path}/accept", body, "daavid", 409)) == {
        "code": "already_taken", "message": "chloe has been offered it", "detail": {"by": "chloe"},
    }  # fmt: skip
    await api.post(f"{path}/accept", body, "farid", 404)
    await api.post(f"{path}/accept", body, "marketing", 403)
    assert (await api.post(f"{path}/accept", {**body, "gen": 9}, "chloe", 409))["code"] == "stale_assignment"
    assert (await api.post(f"{path}/accept", body, "chloe"))["state"] == "accepted"
    assert (await api.post(f"{path}/accept", body, "chloe"))["effect"] is False
    assert (await api.post(f"{path}/accept", {**body, "x": 1}, "chloe", 422))["code"] == "invalid"
    assert (await api.post(f"{path}/decline", body, "chloe", 422))["code"] == "invalid"
    assert (await api.post(f"{path}/snooze", {**body, "until": "2026-03-05T10:00:00Z"}, "chloe"))[
        "snoozed_until"
    ] is not None
    assert (await api.post(f"{path}/snooze", {**body, "until": "2026-03-05T10:00:00"}, "chloe", 422))[
        "code"
    ] == "invalid"
    assert (await api.post(f"{path}/decline", {**body, "reason": "not_now"}, "admin"))["cooldown_until"] is not None


async def test_an_answer_that_ended_an_offer_may_be_given_again_by_the_rep_who_no_longer_sees_the_lead(
    api: Api, room: Room
) -> None:
    founder = Person("aino@pikkupaja.example")
    await room.send(founder.says(20, cause("d", "demo.requested"), windows={"demo_request": 1}))
    lead = await api.get(f"/v1/leads/{founder.id}")
    assert lead["assignee"] == "elin"
    body = {"assignment_id": lead["assignment"]["id"], "gen": lead["assignment"]["gen"], "reason": "not_now"}
    path = f"/v1/leads/{founder.id}"
    assert (await api.post(f"{path}/decline", body, "elin"))["effect"] is True
    await api.get(path, "elin", 404)
    assert (await api.post(f"{path}/decline", body, "elin"))["effect"] is False
    assert (await api.post(f"{path}/accept", body, "elin", 409))["code"] == "stale_assignment"
    await api.post(f"{path}/decline", body, "daavid", 404)


async def test_the_funnel_counts_stages_and_handovers(api: Api, people: dict[str, Person], room: Room) -> None:
    lead = await api.get(f"/v1/leads/{people['mql'].id}")
    room.clock.at = NOW + timedelta(minutes=6)
    one = lead["assignment"]
    await api.post(f"/v1/leads/{lead['id']}/accept", {"assignment_id": one["id"], "gen": one["gen"]}, "chloe")
    found = await api.get("/v1/funnel", "marketing")
    lines = {line["segment"]: line for line in found["segments"]}
    assert set(lines) == {"enterprise", "midmarket", "volume"}
    assert lines["midmarket"]["stages"] == {
        "unknown": 1,
        "identified": 1,
        "qualified": 1,
        "ready_to_buy": 0,
        "customer": 0,
    }
    assert (
        lines["midmarket"]["handovers"],
        lines["midmarket"]["accepted"],
        lines["midmarket"]["median_minutes_to_accept"],
    ) == (1, 1, 6.0)
    assert lines["midmarket"]["conversion"]["identified_to_qualified"] == 1.0
    assert lines["midmarket"]["goal"]["acceptance"] == 0.7
    assert (found["total"]["leads"], found["total"]["handovers"]) == (3, 2)
    only = await api.get(
        "/v1/funnel", segment="volume", **{"from": "2026-03-01T00:00:00Z", "to": "2026-03-09T00:00:00Z"}
    )
    assert [line["segment"] for line in only["segments"]] == ["volume"]
    assert only["total"]["leads"] == 1
    days = await api.get("/v1/funnel", **{"from": "2026-03-01", "to": f"{NOW:%Y-%m-%d}"})
    assert (days["from"], days["to"][:10]) == ("2026-03-01T00:00:00+00:00", f"{NOW + timedelta(days=1):%Y-%m-%d}")
    assert days["total"]["leads"] == 3
    for wrong in ("2026-02-30", "2026-03-01T00:00:00", "yesterday", "9999-12-31"):
        await api.get("/v1/funnel", **{"from": wrong}, status=422)
    assert (await api.get("/v1/funnel", **{"from": "2026-03-09T00:00:00Z", "to": "2026-03-01T00:00:00Z"}, status=422))[
        "code"
    ] == "invalid"


async def test_the_path_of_a_lead_reads_as_text(people: dict[str, Person], room: Room) -> None:
    path = await room.leads.path("maria@fjordsoft.example")
    assert path is not None
    text = render(path)
    assert "segment midmarket, stage qualified, route sdr, with chloe" in text
    assert "missing  engagement is 20, 20 points short of 40" in text
    assert "chosen   Chloe Carlsson is next" in text
    assert "(pool), offered" in text
    assert await room.leads.path("nobody@example.com") is None
