"""Tokens, roles, sessions and their revocation, over HTTP on a real port and a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter, Depends

from services.runtime.access import COOKIE_HTTP, COOKIE_HTTPS, Access, Identity, require
from services.runtime.access_api import access_router
from services.runtime.clock import FixedClock, SystemClock
from services.runtime.db import Database, Listener
from services.runtime.errors import BadMessage
from services.runtime.http import Server, encode_cursor, make_app


def things_router() -> APIRouter:
    router = APIRouter()

    @router.get("/for-reps")
    async def for_reps(caller: Annotated[Identity, Depends(require("rep"))]) -> dict[str, str | None]:
        return {"rep": caller.rep}

    @router.post("/for-reps")
    async def do(caller: Annotated[Identity, Depends(require("rep", "ops"))]) -> dict[str, str | None]:
        return {"rep": caller.rep}

    return router


@pytest.fixture
async def access(database: Database) -> Access:
    return Access(database, SystemClock())


@pytest.fixture
async def http(access: Access) -> AsyncIterator[httpx.AsyncClient]:
    server = Server(make_app([], [access_router(access), things_router()], access), "127.0.0.1", 0)
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=10) as client:
        yield client
    await server.stop(1)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_token_says_who_and_only_its_hash_is_kept(access: Access, database: Database) -> None:
    token = await access.create("rep", "anna", "Anna's phone")
    found = await access.identify(token)
    assert found is not None
    assert (found.role, found.rep, found.name) == ("rep", "anna", "Anna's phone")
    assert await access.identify(token + "x") is None
    assert await access.identify("") is None
    assert await access.identify("\x00") is None
    assert await access.identify("x" * 100_000) is None
    async with database.raw() as pg:
        rows = [dict(row) for row in await pg.fetch("SELECT * FROM access.token")]
    assert token not in str(rows)


@pytest.mark.parametrize(("role", "rep"), [("rep", None), ("rep", ""), ("admin", "anna"), ("boss", None)])
async def test_a_rep_has_a_name_and_nobody_else(access: Access, role: str, rep: str | None) -> None:
    with pytest.raises(BadMessage, match="role"):
        await access.create(role, rep)  # type: ignore[arg-type]  # what the API must refuse


async def test_roles_open_doors(access: Access, http: httpx.AsyncClient) -> None:
    anna = bearer(await access.create("rep", "anna"))
    ops = bearer(await access.create("ops"))
    marketing = bearer(await access.create("marketing"))
    admin = bearer(await access.create("admin"))
    assert (await http.get("/for-reps", headers=anna)).json() == {"rep": "anna"}
    assert (await http.get("/for-reps", headers=admin)).json() == {"rep": None}
    assert (await http.post("/for-reps", headers=ops)).status_code == 200
    for headers in (ops, marketing):
        refused = await http.get("/for-reps", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    for headers in ({}, bearer("lr_admin_" + "a" * 43), {"Authorization": "Basic YTpi"}):
        refused = await http.get("/for-reps", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
        assert refused.headers["www-authenticate"] == "Bearer"


async def test_tokens_are_made_listed_and_revoked_by_admins(access: Access, http: httpx.AsyncClient) -> None:
    admin = bearer(await access.create("admin", name="first"))
    made = await http.post("/v1/tokens", headers=admin, json={"role": "rep", "rep": "ben", "name": "Ben"})
    assert made.status_code == 201
    token = made.json()["token"]
    assert (await http.get("/for-reps", headers=bearer(token))).json() == {"rep": "ben"}
    first = (await http.get("/v1/tokens?limit=1", headers=admin)).json()
    assert [(item["name"], item["rep"], item["revoked_at"]) for item in first["items"]] == [("Ben", "ben", None)]
    assert first["items"][0]["id"] == made.json()["id"]
    second = (await http.get(f"/v1/tokens?limit=1&cursor={first['next']}", headers=admin)).json()
    assert [item["name"] for item in second["items"]] == ["first"]
    assert second["next"] is None
    assert token not in str(first)
    assert (await http.delete(f"/v1/tokens/{made.json()['id']}", headers=admin)).status_code == 204
    assert (await http.get("/for-reps", headers=bearer(token))).status_code == 401
    assert (await http.delete(f"/v1/tokens/{made.json()['id']}", headers=admin)).status_code == 404
    assert (await http.delete("/v1/tokens/none", headers=admin)).status_code == 404
    ops = bearer(await access.create("ops"))
    for call in (http.get("/v1/tokens", headers=ops), http.post("/v1/tokens", headers=ops, json={"role": "admin"})):
        assert (await call).status_code == 403
    for body in ({"role": "rep"}, {"role": "admin", "rep": "a"}):
        assert (await http.post("/v1/tokens", headers=admin, json=body)).status_code == 400
    for body in ({"role": "boss"}, {}, {"role": "rep", "rep": "a\x00"}, {"role": "ops", "more": 1}):
        assert (await http.post("/v1/tokens", headers=admin, json=body)).status_code == 422
    for cursor in (
        "xx",
        *(encode_cursor(*parts) for parts in ((10**17, str(uuid4())), (-(10**18), str(uuid4())), (1, "x"))),
    ):
        said = await http.get(f"/v1/tokens?cursor={cursor}", headers=admin)
        assert (said.status_code, said.json()["code"]) == (400, "bad_cursor"), cursor


async def test_a_browser_session(access: Access, http: httpx.AsyncClient) -> None:
    token = await access.create("rep", "anna", "Anna")
    origin = {"Origin": str(http.base_url).rstrip("/")}
    signed = await http.post("/v1/session", json={"token": token}, headers=origin)
    assert signed.json() == {"role": "rep", "rep": "anna", "name": "Anna"}
    cookie = signed.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE_HTTP}=lrs_")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert token not in cookie
    assert (await http.get("/for-reps")).json() == {"rep": "anna"}
    assert (await http.get("/v1/session")).json()["rep"] == "anna"
    # Writing needs a word that our own page sent it.
    assert (await http.post("/for-reps", headers={"Sec-Fetch-Site": "same-origin"})).status_code == 200
    assert (await http.post("/for-reps", headers={"Sec-Fetch-Site": "none"})).status_code == 200
    assert (await http.post("/for-reps", headers=origin)).status_code == 200
    for headers in (
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", **origin},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        refused = await http.post("/for-reps", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), headers
        assert (await http.delete("/v1/session", headers=headers)).status_code == 403
    # A token in a header is nobody's ambient authority.
    assert (await http.post("/for-reps", headers=bearer(token))).status_code == 200
    assert (await http.delete("/v1/session", headers=origin)).status_code == 204
    assert COOKIE_HTTP not in http.cookies
    http.cookies.set(COOKIE_HTTP, cookie.split("=", 1)[1].split(";")[0], domain="127.0.0.1")
    assert (await http.get("/for-reps")).status_code == 401


async def test_signing_in_needs_our_own_page_and_a_live_token(access: Access, http: httpx.AsyncClient) -> None:
    token = await access.create("ops")
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await http.post("/v1/session", json={"token": token}, headers=headers)).status_code == 403
    assert (await http.post("/v1/session", json={"token": "nonsense"})).status_code == 401
    assert (await http.post("/v1/session", json={"token": ""})).status_code == 422
    assert (await http.post("/v1/session", json={"token": token})).status_code == 200
    assert (await http.delete("/v1/session", headers={"Sec-Fetch-Site": "same-origin"})).status_code == 204


async def test_over_https_the_cookie_is_bound_to_the_host(access: Access) -> None:
    app = make_app([], [access_router(access), things_router()], access, public_url="https://leads.example")
    token = await access.create("rep", "anna")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://inner") as http:
        signed = await http.post("/v1/session", json={"token": token}, headers={"Origin": "https://leads.example"})
        cookie = signed.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE_HTTPS}=")
        assert "Secure" in cookie
        assert "Path=/" in cookie
        value = cookie.split("=", 1)[1].split(";")[0]
        http.cookies.clear()
        assert (await http.get("/for-reps", headers={"Cookie": f"{COOKIE_HTTPS}={value}"})).status_code == 200
        # The name without the prefix could have been set by a page of a neighbouring host.
        assert (await http.get("/for-reps", headers={"Cookie": f"{COOKIE_HTTP}={value}"})).status_code == 401


async def test_sessions_end(database: Database) -> None:
    clock = FixedClock(SystemClock().now())
    access = Access(database, clock)
    token = await access.create("rep", "anna")
    identity = await access.identify(token)
    assert identity is not None
    session, ends = await access.open_session(identity)
    assert await access.identify_session(session) == identity
    assert await access.identify(session) is None
    assert await access.identify_session(token) is None
    clock.at = ends
    clock.steady += 60
    assert await access.identify_session(session) is None
    clock.at = ends + timedelta(days=1)
    await access.open_session(identity)
    async with database.raw() as pg:
        assert await pg.fetchval("SELECT count(*) FROM access.session") == 1  # the old one is swept away
    other, _ = await access.open_session(identity)
    assert await access.revoke(identity.token_id)
    assert await access.identify_session(other) is None


async def test_a_revocation_elsewhere_is_seen_at_once(database: Database) -> None:
    clock = FixedClock(SystemClock().now())  # never moves: nothing leaves the cache by age
    listener = Listener(database)
    here = Access(database, clock, listener)
    there = Access(database, clock)
    await listener.start()
    try:
        token = await there.create("rep", "anna")
        await asyncio.sleep(0.3)  # listening
        identity = await here.identify(token)
        assert identity is not None
        assert await there.revoke(identity.token_id)
        async with asyncio.timeout(3):
            while await here.identify(token) is not None:
                await asyncio.sleep(0.01)
    finally:
        await listener.stop()


async def test_without_a_notification_the_cache_ends_by_itself(database: Database) -> None:
    clock = FixedClock(SystemClock().now())
    here, there = Access(database, clock), Access(database, clock)
    token = await there.create("ops")
    identity = await here.identify(token)
    assert identity is not None
    await there.revoke(identity.token_id)
    assert await here.identify(token) == identity
    clock.steady += 5.1
    assert await here.identify(token) is None
