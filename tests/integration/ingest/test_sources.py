"""Sources: made, shown once, rotated, disabled, forgotten; and what happens when PostgreSQL is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.ingest.commands import create_source, open_store
from services.runtime.db import Database
from services.runtime.errors import BadMessage, Refused, Unavailable
from tests.integration.ingest.conftest import Ingest

PAGE = {"batch": [{"type": "page", "anonymousId": "a1", "messageId": "m1"}]}


async def test_the_life_of_a_source(ingest: Ingest) -> None:
    made = (
        await ingest.api("POST", "/v1/sources", json={"name": "site", "platform": "rudderstack", "publishable": True})
    ).json()
    assert made["platform"] == "segment"
    assert made["hook_url"].endswith(f"/hooks/{made['id']}")
    assert made["write_key"].startswith("lrpk_")
    assert (await ingest.post("/v1/batch", PAGE, key=made["write_key"])).status_code == 200
    shown = (await ingest.api("GET", f"/v1/sources/{made['id']}")).json()
    assert "write_key" not in shown
    assert "secret" not in shown

    rotated = (await ingest.api("POST", f"/v1/sources/{made['id']}/rotate")).json()
    for key in (made["write_key"], rotated["write_key"]):
        assert (await ingest.post("/v1/batch", PAGE, key=key)).status_code == 200
    last = (await ingest.api("POST", f"/v1/sources/{made['id']}/rotate")).json()
    for key, status in ((made["write_key"], 401), (rotated["write_key"], 200), (last["write_key"], 200)):
        assert (await ingest.post("/v1/batch", PAGE, key=key)).status_code == status

    assert (await ingest.api("POST", f"/v1/sources/{made['id']}/disable")).json()["disabled"] is True
    refused = await ingest.post("/v1/batch", PAGE, key=last["write_key"])
    assert (refused.status_code, refused.json()["code"]) == (401, "source_disabled")
    assert not await ingest.service.publishable_key(last["write_key"])
    body = {"disabled": False}
    assert (await ingest.api("POST", f"/v1/sources/{made['id']}/disable", json=body)).json()["disabled"] is False
    assert await ingest.service.publishable_key(last["write_key"])
    assert not await ingest.service.publishable_key("the-write-key")

    assert (await ingest.api("DELETE", f"/v1/sources/{made['id']}")).status_code == 204
    assert (await ingest.post("/v1/batch", PAGE, key=last["write_key"])).status_code == 401
    for method in ("GET", "DELETE"):
        assert (await ingest.api(method, f"/v1/sources/{made['id']}")).status_code == 404
    assert (await ingest.api("POST", f"/v1/sources/{made['id']}/rotate")).status_code == 404


async def test_what_to_do_what_came_and_what_was_refused(ingest: Ingest) -> None:
    bad = {"batch": [*PAGE["batch"], {"type": "page"}]}
    await ingest.post("/v1/batch", bad)
    await ingest.service._sources._flush()
    path = f"/v1/sources/{ingest.source.id}"
    shown = (await ingest.api("GET", path)).json()
    assert shown["hook_url"] in shown["steps"][1]
    assert [one["signal"] for one in shown["recent"]] == ["page.viewed"]
    [refused] = shown["last_rejects"]
    assert (refused["reason"], refused["times"]) == ("no_id", 1)
    for n in range(12):
        body = {"batch": [{"type": "track", "event": f"own {n}", "userId": "u1"}]}
        await ingest.post("/v1/batch", body)
    await ingest.service._sources._flush()
    shown = (await ingest.api("GET", path)).json()
    assert [one["signal"] for one in shown["recent"]] == [f"own_{n}" for n in range(11, 1, -1)]
    assert (await ingest.api("GET", "/v1/sources/web shop")).status_code == 404


async def test_a_payload_is_tried_out_and_not_kept(ingest: Ingest) -> None:
    made = await ingest.create("any", "json")
    path = f"/v1/sources/{made.id}/test?event=/what&email=/who"
    shown = (await ingest.api("POST", path, json={"what": "Demo Requested", "who": "a@nordwind.example"})).json()
    assert [(one["signal"], one["ids"][0]["value"]) for one in shown["events"]] == [
        ("demo.requested", "a@nordwind.example")
    ]
    mapped = {"event": '=kind == "o" ? "email.opened" : kind', "email": "=who.mail"}
    shown = (
        await ingest.api("POST", path, params=mapped, json={"kind": "o", "who": {"mail": "a@nordwind.example"}})
    ).json()
    assert [one["signal"] for one in shown["events"]] == ["email.opened"]
    shown = (await ingest.api("POST", path, params={"event": "=kind =="}, json={"kind": "o"})).json()
    assert [one["code"] for one in shown["rejected"]] == ["bad_map"]
    assert (await ingest.api("POST", path, content=b"{")).json()["rejected"][0]["code"] == "malformed_json"
    assert (await ingest.api("POST", "/v1/sources/none/test", json={})).status_code == 404
    assert await ingest.events() == []
    assert await ingest.dead() == []


async def test_lists_go_on_where_they_ended(ingest: Ingest) -> None:
    for n in range(4):
        await ingest.create(f"source {n}", "segment")
    names, cursor = [], ""
    while True:
        answer = (await ingest.api("GET", f"/v1/sources?limit=2{cursor}")).json()
        names += [item["name"] for item in answer["items"]]
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    assert names == ["source 3", "source 2", "source 1", "source 0", "web shop"]


async def test_who_may(ingest: Ingest) -> None:
    rep = await ingest.access.create("rep", "anna", "anna")
    marketing = await ingest.access.create("marketing", None, "mia")
    for token, status in ((rep, 403), (marketing, 200), ("nobody", 401)):
        answer = await ingest.http.get("/v1/sources", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == status


async def test_what_cannot_be_made(ingest: Ingest) -> None:
    for body, status, code in (
        ({"name": "x", "platform": "telex"}, 400, "unknown_platform"),
        ({"name": "web shop"}, 409, "name_taken"),
        ({"name": "y", "write_key": "the-write-key"}, 409, "key_taken"),
        ({"name": "y", "write_key": "short"}, 400, "bad_key"),
        ({"name": "  "}, 400, "bad_name"),
        ({"name": "y", "secret": ""}, 400, "bad_secret"),
        ({"name": "y", "publishable": "yes"}, 422, "invalid"),
        ({}, 422, "invalid"),
    ):
        answer = await ingest.api("POST", "/v1/sources", json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_source_made_beside_us_is_known_at_once(ingest: Ingest, database: Database) -> None:
    beside = open_store(database, ingest.settings.model_copy(update={"data_dir": ingest.folder}))
    made = await create_source(beside, "beside", "segment")
    await asyncio.sleep(0.2)
    assert (await ingest.post("/v1/batch", PAGE, key=made.write_key)).status_code == 200
    await beside.disable(made.id)
    await asyncio.sleep(0.5)
    assert (await ingest.post("/v1/batch", PAGE, key=made.write_key)).status_code == 401
    with pytest.raises(Refused):
        await create_source(beside, "beside", "segment")
    with pytest.raises(BadMessage):
        await create_source(beside, "other", "telex")


async def test_counters_are_written_in_the_end(ingest: Ingest) -> None:
    for _ in range(3):
        await ingest.post("/v1/batch", {"batch": [*PAGE["batch"], {"type": "page"}]})
    await ingest.service._sources._flush()
    shown = (await ingest.api("GET", f"/v1/sources/{ingest.source.id}")).json()
    assert (shown["accepted"], shown["rejected"]) == (3, 3)
    assert shown["seen_at"] is not None


async def test_with_the_database_away_clients_are_asked_to_wait(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.asynccontextmanager
    async def away() -> AsyncIterator[None]:
        raise Unavailable("PostgreSQL does not answer", code="database_away")
        yield

    async def no_pool() -> None:
        raise Unavailable("PostgreSQL does not answer", code="database_away")

    with monkeypatch.context() as patch:
        for name in ("raw", "transaction"):
            patch.setattr(ingest.db, name, away)
        patch.setattr(ingest.db, "pool", no_pool)
        for body in (PAGE, {"batch": [{"type": "page"}]}):
            answer = await ingest.post("/v1/batch", body)
            assert (answer.status_code, answer.json()["code"]) == (429, "database_away")
            assert int(answer.headers["retry-after"]) >= 1
        assert (await ingest.post("/v1/batch", PAGE, key="unknown")).status_code == 401
    assert (await ingest.post("/v1/batch", PAGE)).status_code == 200
    assert [event.id for event in await ingest.events()] == ["m1"]
