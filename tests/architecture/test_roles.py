"""Who may do what: every route of the composed application, asked by everybody, held to a table written by hand."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.routing import BaseRoute

from services.runtime.db import Database
from tests.support.whole import whole

NOBODY, REP, OPS, MARKETING, ADMIN, REVOKED = "nobody", "rep", "ops", "marketing", "admin", "revoked"
CALLERS = (NOBODY, REP, OPS, MARKETING, ADMIN, REVOKED)

# Who may: r a rep, o ops, m marketing. The role admin may everything. What is not here must not exist.
MAY = {
    "GET /v1/inbox": "r",
    "GET /v1/inbox/stream": "r",
    "POST /v1/inbox/{notice_id}/read": "r",
    "GET /v1/leads": "rom",
    "GET /v1/leads/{lead_id}": "rom",
    "GET /v1/leads/{lead_id}/decisions": "rom",
    "GET /v1/decisions/{decision_id}": "rom",
    "GET /v1/funnel": "rom",
    "POST /v1/leads/{lead_id}/accept": "r",
    "POST /v1/leads/{lead_id}/decline": "r",
    "POST /v1/leads/{lead_id}/snooze": "r",
    "POST /v1/leads/{lead_id}/won": "r",
    "POST /v1/leads/{lead_id}/lost": "r",
    "GET /v1/people": "rom",
    "GET /v1/people/{key}": "rom",
    "GET /v1/people/{key}/timeline": "rom",
    "GET /v1/people/jobs/{job_id}": "om",
    "POST /v1/people/{lead_id}/split": "om",
    "DELETE /v1/people/{email}": "om",
    "GET /v1/sources": "m",
    "POST /v1/sources": "m",
    "GET /v1/sources/{source_id}": "m",
    "DELETE /v1/sources/{source_id}": "m",
    "POST /v1/sources/{source_id}/rotate": "m",
    "POST /v1/sources/{source_id}/disable": "m",
    "POST /v1/sources/{source_id}/test": "m",
    "PUT /v1/sources/{source_id}/api-token": "m",
    "POST /v1/tokens": "",
    "GET /v1/tokens": "",
    "DELETE /v1/tokens/{token_id}": "",
    "GET /v1/session": "rom",
    "GET /v1/ops/slo": "o",
    "GET /v1/ops/deliveries": "o",
    "GET /v1/ops/deliveries/{delivery_id}": "o",
    "POST /v1/ops/deliveries/replay": "o",
    "POST /v1/ops/deliveries/{delivery_id}/replay": "o",
    "GET /v1/channels": "om",
    "GET /v1/channels/kinds": "om",
    "POST /v1/channels": "m",
    "GET /v1/channels/{name}": "om",
    "PATCH /v1/channels/{name}": "m",
    "DELETE /v1/channels/{name}": "m",
    "POST /v1/channels/{name}/rotate": "m",
    "POST /v1/channels/{name}/test": "om",
    "POST /v1/channels/{name}/disable": "om",
    "GET /v1/me/preferences": "r",
    "PUT /v1/me/preferences": "r",
    "GET /v1/reps/{rep_id}/preferences": "m",
    "PUT /v1/reps/{rep_id}/preferences": "m",
    "GET /v1/preferences": "m",
    "PUT /v1/preferences": "m",
    "GET /v1/ops/lag": "o",
    "GET /v1/ops/leases": "o",
    "GET /v1/ops/outbox": "o",
    "GET /v1/ops/dead-letters": "o",
    "GET /v1/ops/dead-letters/counts": "o",
    "GET /v1/ops/dead-letters/{letter_id}": "o",
    "POST /v1/ops/dead-letters/replay": "o",
    "POST /v1/ops/dead-letters/{letter_id}/replay": "o",
    "GET /v1/policy": "om",
    "GET /v1/policy/schema": "om",
    "GET /v1/policy/versions": "om",
    "GET /v1/policy/versions/{version}": "om",
    "GET /v1/policy/diff": "om",
    "POST /v1/policy/validate": "om",
    "POST /v1/policy/try": "om",
    "PUT /v1/policy": "m",
    "POST /v1/policy/rollback": "m",
    "POST /v1/policy/activate": "m",
    "GET /v1/policy/sweep": "om",
    "POST /v1/policy/sweep": "m",
    "GET /v1/accounts": "rom",
    "GET /v1/accounts/{domain}": "rom",
    "PUT /v1/accounts/{domain}": "m",
    "DELETE /v1/accounts/{domain}": "m",
    "POST /v1/accounts/import": "m",
    "GET /v1/reps": "rom",
    "GET /v1/reps/{rep_id}": "rom",
    "PUT /v1/reps/{rep_id}": "m",
    "PATCH /v1/reps/{rep_id}": "m",
    "GET /v1/teams": "rom",
    "GET /v1/teams/{name}": "rom",
    "PUT /v1/teams/{name}": "m",
    "POST /v1/teams/import": "m",
    "GET /v1/directory/problems": "rom",
    "GET /inbox/list": "r",
    "GET /inbox/news": "r",
    "GET /v1/me/availability": "r",
    "PATCH /v1/me/availability": "r",
    "GET /overview/now": "o",
    "GET /ops/lag/now": "o",
}
# Open to anybody: what they say is no secret, or they ask for a token or key themselves.
PUBLIC = {
    "GET /livez",
    "GET /readyz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /console/{mark}/{name}",
    "GET /{nothing:path}",
    "GET /",
    "POST /sign-in",
    "POST /sign-out",
    "GET /demo-site",
    "GET /demo-site/pricing",
    "GET /demo-site/demo",
    "POST /demo-site/thanks",
    "POST /v1/session",
    "DELETE /v1/session",
}
# Pages: nobody is sent to sign in, the wrong role is refused.
PAGES = {
    "GET /inbox": "r",
    "POST /inbox/seen": "r",
    "POST /inbox/{notice_id}/answer": "r",
    "POST /inbox/{notice_id}/say": "r",
    "GET /leads": "rom",
    "GET /leads/{lead_id}": "rom",
    "POST /leads/{lead_id}/answer": "r",
    "GET /accounts/{domain}": "rom",
    "GET /me": "r",
    "POST /me/hours": "r",
    "POST /me/absence": "r",
    "POST /me/absence/remove": "r",
    "POST /me/pause": "r",
    "POST /me/reach": "r",
    "GET /sessions": "rom",
    "POST /sessions/end": "rom",
    "GET /policy": "m",
    "POST /policy": "m",
    "POST /policy/lines": "m",
    "GET /policy/versions": "m",
    "POST /policy/versions": "m",
    "GET /try": "m",
    "POST /try": "m",
    "GET /matrix": "m",
    "GET /funnel": "m",
    "GET /templates": "m",
    "GET /sources": "om",
    "POST /sources": "m",
    "GET /sources/{source_id}": "om",
    "POST /sources/{source_id}/rotate": "",
    "POST /sources/{source_id}/disable": "",
    "GET /overview": "o",
    "GET /ops/lag": "o",
    "GET /ops/dead-letters": "o",
    "POST /ops/dead-letters/replay": "o",
    "GET /ops/dead-letters/{letter_id:int}": "o",
    "POST /ops/dead-letters/{letter_id:int}/replay": "o",
    "GET /channels": "om",
    "GET /channels/{name}": "om",
    "POST /channels/{name}": "m",
    "GET /ops/deliveries": "o",
    "POST /ops/deliveries/replay": "o",
    "POST /ops/deliveries/channel": "o",
    "GET /ops/tokens": "o",
    "POST /ops/tokens": "",
    "POST /ops/tokens/revoke": "",
    "POST /ops/tokens/sessions": "",
}
# Doors for a publishable key, or for a signature.
KEYED = {"GET /site.js", "GET /v1/site/stream", "POST /v1/slack/actions"}
ID = "f" * 32
FILL = {"version": "999", "letter_id": "999999", "email": "nobody@lyseo.example", "domain": "nowhere.example"}


@asynccontextmanager
async def running(database: Database, folder: Path) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient, dict[str, str]]]:
    """The whole application on a port, with the example company; nothing is consumed."""
    async with whole(database, folder, consume=False) as made:
        access = made.rooms.access
        tokens = {role: await access.create(role, None, role) for role in (ADMIN, OPS, MARKETING)}  # type: ignore[arg-type]
        tokens[REP] = await access.create("rep", "anna", REP)
        tokens[REVOKED] = await access.create("admin", None, REVOKED)
        gone = await access.identify(tokens[REVOKED])
        assert gone is not None
        assert await access.revoke(gone.token_id)
        tokens["source"] = await made.write_key()
        made.app.state.doors = {f"{m} {r.path}" for r in made.doors for m in methods(r)}  # type: ignore[attr-defined]
        async with httpx.AsyncClient(base_url=made.url) as http:
            yield made.app, http, tokens


def methods(route: BaseRoute) -> set[str]:
    return set(getattr(route, "methods", None) or {"ANY"}) - {"HEAD", "OPTIONS"}


def walk(routes: list[BaseRoute]) -> Iterator[str]:
    """`METHOD path` of every route, also of included routers; what cannot be read is told as it is, and so fails."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from walk(inner.routes)
        else:
            for method in methods(route):
                yield f"{method} {getattr(route, 'path', route)}"


def address(route: str) -> tuple[str, str]:
    method, path = route.split(" ", 1)
    return method, re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: FILL.get(found[1], ID), path)


async def ask(http: httpx.AsyncClient, route: str, token: str | None) -> tuple[int, Any]:
    """Status and body; of a stream the first line only."""
    method, path = address(route)
    more: dict[str, Any] = {"json": {}} if method in ("POST", "PUT", "PATCH") else {}
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with http.stream(method, path, headers=headers, **more) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return answer.status_code, None
        await answer.aread()
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.status_code, answer.json() if is_json and answer.content else None


def shape(body: Any) -> bool:
    return (
        isinstance(body, dict) and {"code", "message", "detail"} <= set(body) and bool(body["code"] and body["message"])
    )


async def test_every_route_is_in_the_table_and_asks_who_is_calling(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as (app, http, tokens):
        there = set(walk(app.routes))
        known = set(MAY) | PUBLIC | set(PAGES) | KEYED | app.state.doors
        assert not there - known, f"say in the table of this test who may use {sorted(there - known)}"
        assert not known - there, f"in the table and no longer there: {sorted(known - there)}"
        wrong: list[str] = []
        for route in sorted(there):
            for caller in CALLERS:
                status, body = await ask(http, route, tokens.get(caller))
                if problem := judged(route, caller, status, body, app.state.doors):
                    wrong.append(f"{route} by {caller}: {status} {body}: {problem}")
        assert not wrong, "\n".join(wrong)


def judged(route: str, caller: str, status: int, body: Any, doors: set[str]) -> str | None:
    """What is wrong with an answer, or None."""
    if status >= 500 and route != "GET /readyz":
        return "broken"
    if status >= 400 and not shape(body) and not route.startswith("POST /sign-in"):
        return "an error of another shape"
    if route in PUBLIC:
        return None
    nobody = caller in (NOBODY, REVOKED)
    if route in KEYED or route in doors:
        # A pixel without a key and without data may say that it has no data.
        ok = status == 401 or (nobody and status == 400 and route.startswith("GET "))
        return None if ok else "a role opened a door that is for keys"
    if route in PAGES and nobody:
        return None if status == 303 else "not sent to sign in"
    if nobody:
        return None if status == 401 else "not asked who is calling"
    may = caller == ADMIN or caller[0] in {**MAY, **PAGES}[route]
    if may:
        return "refused" if status in (401, 403) else None
    return None if status == 403 and body["code"] == "forbidden" else "not refused"


async def test_errors_have_one_shape(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as (_app, http, tokens):
        admin = {"Authorization": f"Bearer {tokens[ADMIN]}"}
        key = httpx.BasicAuth(tokens["source"], "")
        event = {"userId": "u1", "event": "Demo Requested"}
        cases: list[tuple[int, str, dict[str, Any]]] = [
            (404, "GET /nowhere", {}),
            (404, f"GET /v1/leads/{ID}", {"headers": admin}),
            (405, "DELETE /v1/leads", {"headers": admin}),
            (405, "PUT /livez", {}),
            (401, "GET /v1/leads", {}),
            (401, "GET /v1/leads", {"headers": {"Authorization": "Bearer nothing"}}),
            (401, "GET /v1/leads", {"headers": {"Authorization": "Basic bm90aGluZzo="}}),
            (401, "GET /v1/leads", {"headers": {"Authorization": ""}}),
            (401, "GET /v1/leads", {"headers": {"Cookie": "lead_router_session=nothing"}}),
            (422, "POST /v1/tokens", {"headers": admin, "json": {"role": "king"}}),
            (422, "POST /v1/tokens", {"headers": admin, "content": b"{"}),
            (422, "GET /v1/leads?limit=no", {"headers": admin}),
            (400, "GET /v1/tokens?cursor=no", {"headers": admin}),
            (413, "POST /v1/tokens", {"headers": admin, "content": b" " * 2_000_000}),
            (413, "POST /v1/batch", {"auth": key, "content": b" " * 2_000_000}),
            (400, "POST /v1/batch", {"auth": key, "content": b"{"}),
            (400, "POST /v1/track", {"auth": key, "content": b""}),
            (401, "POST /v1/track", {"json": event}),
            (401, "POST /v1/track", {"auth": httpx.BasicAuth("no-such-key", ""), "json": event}),
            (409, "POST /v1/policy/rollback", {"headers": admin, "json": {}}),
            (400, "GET /v1/leads?q=%00", {"headers": admin}),
        ]
        for status, route, more in cases:
            method, path = route.split(" ", 1)
            answer = await http.request(method, path, **more)
            assert answer.status_code == status, f"{route}: {answer.status_code} {answer.text[:300]}"
            assert set(answer.json()) == {"code", "message", "detail"}, route
            assert shape(answer.json()), route
            assert answer.headers["content-type"] == "application/json"
            if status == 401 and not path.startswith("/v1/track"):
                assert answer.headers["www-authenticate"] == "Bearer"
            if status == 405:
                assert "GET" in answer.headers["allow"]
            if status == 422:
                assert answer.json()["detail"], "which field"


async def test_a_session_is_worth_what_its_token_is(database: Database, tmp_path: Path) -> None:
    async with running(database, tmp_path) as (_app, http, tokens):
        signed = await http.post("/v1/session", json={"token": tokens[REP]})
        assert signed.status_code == 200
        assert "httponly" in signed.headers["set-cookie"].lower()
        assert (await http.get("/v1/leads")).status_code == 200
        assert (await http.get("/v1/tokens")).status_code == 403
        # The cookie alone does not let another site act.
        bad = f"/v1/leads/{ID}/accept"
        body = {"assignment_id": ID, "gen": 1}
        other = await http.post(bad, json=body, headers={"Origin": "https://evil.example"})
        assert (other.status_code, other.json()["code"]) == (403, "forbidden")
        assert (await http.post(bad, json=body)).status_code == 403
        ours = await http.post(bad, json=body, headers={"Sec-Fetch-Site": "same-origin"})
        assert ours.status_code == 404


def test_the_api_page_shows_every_route() -> None:
    """docs/api.md writes `/v1/leads/{lead_id}/{accept,decline}` for two of them."""
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    shown: set[str] = set()
    for path in re.findall(r"(/v1/[^\s`?]*)", page):
        words = re.search(r"\{(\w+(?:,\w+)+)\}", path)
        shown |= {path.replace(words[0], word) for word in words[1].split(",")} if words else {path}
    missing = (
        {route.split(" ")[1] for route in MAY} - shown - {"/inbox/list", "/inbox/news", "/overview/now", "/ops/lag/now"}
    )
    assert not missing
