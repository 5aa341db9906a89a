"""The policy over HTTP."""

import httpx
import pytest

from services.policy.cache import PolicyCache
from services.runtime.access import Access
from services.runtime.clock import SystemClock
from services.runtime.db import Database
from tests.integration.policy.conftest import EXAMPLE

SECOND = EXAMPLE.replace("points: 6,", "points: 7,")
BROKEN = EXAMPLE.replace("engagement.score >= 40", "engagement.scor >= 40").replace("half_life: 21d", "half_life: soon")


async def test_from_nothing_to_a_policy_and_back(http: httpx.AsyncClient, cache: PolicyCache) -> None:
    nothing = await http.get("/v1/policy")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")
    assert (await http.get("/v1/policy/diff")).status_code == 404
    assert (await http.get("/v1/policy/versions")).json() == {"items": [], "next": None}

    put = await http.put("/v1/policy", content=EXAMPLE, headers={"content-type": "application/yaml"})
    assert put.status_code == 200
    body = put.json()
    assert (body["version"], body["active"], body["saved_by"]) == (1, True, "Maija")
    assert [w["path"] for w in body["warnings"]] == ["segments.1.handover_to"]
    assert cache.active.version == 1

    put = await http.put("/v1/policy", json={"text": SECOND, "note": "clicks are worth more"})
    assert (put.json()["version"], put.json()["note"]) == (2, "clicks are worth more")
    shown = (await http.get("/v1/policy")).json()
    assert (shown["version"], shown["text"]) == (2, SECOND)

    diff = (await http.get("/v1/policy/diff?from=1&to=2")).json()
    assert diff == (await http.get("/v1/policy/diff")).json()
    assert [c["text"] for c in diff["changes"]] == ["signal email.clicked, points: 6 → 7"]

    back = await http.post("/v1/policy/rollback")
    assert (back.status_code, back.json()["version"], back.json()["copy_of"], back.json()["text"]) == (
        200,
        3,
        1,
        EXAMPLE,
    )
    assert cache.active.version == 3
    again = await http.post("/v1/policy/rollback", json={})
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_roll_back")
    assert (await http.post("/v1/policy/rollback", json={"to": 2})).json()["version"] == 4
    assert (await http.post("/v1/policy/rollback", json={"to": 77})).status_code == 404

    listed = (await http.get("/v1/policy/versions?limit=3")).json()
    assert [v["version"] for v in listed["items"]] == [4, 3, 2]
    assert "text" not in listed["items"][0]
    rest = (await http.get("/v1/policy/versions", params={"limit": 3, "cursor": listed["next"]})).json()
    assert ([v["version"] for v in rest["items"]], rest["next"]) == ([1], None)
    assert (await http.get("/v1/policy/versions/2")).json()["text"] == SECOND
    assert (await http.get("/v1/policy/versions/99")).status_code == 404
    assert (await http.get("/v1/policy/versions/0")).status_code == 422
    assert (await http.get("/v1/policy/versions/99999999999")).status_code == 422
    only = (await http.get("/v1/policy/diff?to=1")).json()
    assert (only["from"], only["to"], only["changes"]) == (1, 1, [])


async def test_validate_always_answers(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/policy/validate", content=BROKEN)
    assert answer.status_code == 200
    body = answer.json()
    assert body["ok"] is False
    (problem,) = body["problems"]
    assert set(problem) == {"line", "column", "path", "message", "hint"}
    assert problem["path"] == "signals.calculator_used.half_life"

    good = (await http.post("/v1/policy/validate", json={"text": EXAMPLE})).json()
    assert (good["ok"], good["problems"], good["changes"]) == (True, [], [])
    assert good["warnings"]
    await http.put("/v1/policy", content=EXAMPLE)
    changes = (await http.post("/v1/policy/validate", content=SECOND)).json()["changes"]
    assert [c["text"] for c in changes] == ["signal email.clicked, points: 6 → 7"]
    assert (await http.get("/v1/policy/versions")).json()["items"][0]["version"] == 1
    for text in ("", "a: [", "\x00", "- 1", "x" * 300_000):
        answer = await http.post("/v1/policy/validate", json={"text": text})
        assert (answer.status_code, answer.json()["ok"]) == (200, False)


async def test_a_bad_policy_is_refused_with_its_problems(http: httpx.AsyncClient) -> None:
    answer = await http.put("/v1/policy", content=EXAMPLE.replace("engagement.score >= 40", "engagement.scor >= 40"))
    assert answer.status_code == 422
    body = answer.json()
    assert body["code"] == "invalid_policy"
    assert "did you mean" in body["message"]
    assert body["detail"][0]["path"] == "stages.qualified"
    assert body["detail"][0]["line"] == 1 + EXAMPLE.splitlines().index(
        '    fit.grade in ["A", "B"] && persona.role in icp.roles && engagement.score >= 40'
    )
    assert (await http.get("/v1/policy")).status_code == 404


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"\xff\xfe\x00", "application/yaml", 400, "not_utf8"),
        (b"{", "application/json", 422, "invalid_request"),
        (b'{"text": 1}', "application/json", 422, "invalid_request"),
        (b'{"text": "a", "more": 1}', "application/json", 422, "invalid_request"),
        (b'{"text": "a", "note": "\\u0000"}', "application/json", 422, "invalid_request"),
        (b'{"text": "\\ud800"}', "application/json", 422, "invalid_request"),
        (b"", "application/yaml", 422, "invalid_policy"),
    ],
)
async def test_bodies_that_cannot_be_read(
    http: httpx.AsyncClient, content: bytes, kind: str, status: int, code: str
) -> None:
    answer = await http.put("/v1/policy", content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_who_may_do_what(http: httpx.AsyncClient, database: Database) -> None:
    access = Access(database, SystemClock())
    ops = {"Authorization": f"Bearer {await access.create('ops', None, 'Otto')}"}
    rep = {"Authorization": f"Bearer {await access.create('rep', 'anna', 'Anna')}"}
    await http.put("/v1/policy", content=EXAMPLE)
    assert (await http.get("/v1/policy", headers=ops)).status_code == 200
    assert (await http.post("/v1/policy/validate", headers=ops, content=EXAMPLE)).status_code == 200
    assert (await http.put("/v1/policy", headers=ops, content=SECOND)).status_code == 403
    assert (await http.post("/v1/policy/rollback", headers=ops)).status_code == 403
    assert (await http.get("/v1/policy", headers=rep)).status_code == 403
    assert (await http.get("/v1/policy", headers={"Authorization": ""})).status_code == 401


async def test_the_schema_is_published(http: httpx.AsyncClient) -> None:
    schema = (await http.get("/v1/policy/schema")).json()
    assert "segments" in schema["required"]


async def test_an_old_text_that_is_no_policy_any_more_shows_no_changes(
    http: httpx.AsyncClient, database: Database
) -> None:
    async with database.raw() as pg:
        await pg.execute("INSERT INTO policy.version (version, body, saved_by) VALUES (1, 'old: 1', 'x')")
    await http.put("/v1/policy", content=EXAMPLE)
    assert (await http.get("/v1/policy/diff?from=1&to=2")).json()["changes"] == []
