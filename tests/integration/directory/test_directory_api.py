"""The directory over HTTP: who may do what, and what is told when something does not fit."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.directory.api import BODY_LIMITS, directory_router
from services.directory.imports import import_accounts, import_team
from services.directory.store import DirectoryCache
from services.runtime.access import Access
from services.runtime.clock import SystemClock
from services.runtime.db import Database, Listener
from services.runtime.http import make_app

pytestmark = pytest.mark.needs_postgres

EXAMPLES = Path(__file__).parents[3] / "examples"


@dataclass
class Api:
    client: httpx.AsyncClient
    tokens: dict[str, str]

    async def call(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.client.request(
            method, path, headers={"Authorization": f"Bearer {self.tokens[who]}", **more.pop("headers", {})}, **more
        )


@pytest.fixture
async def api(database: Database) -> AsyncIterator[Api]:
    cache = DirectoryCache(database, Listener(database))
    await import_team(cache.store, (EXAMPLES / "team.yaml").read_text())
    await import_accounts(cache.store, (EXAMPLES / "accounts.csv").read_bytes())
    await cache.refresh()
    access = Access(database, SystemClock())
    tokens = {role: await access.create(role) for role in ("admin", "marketing", "ops")}
    tokens |= {rep: await access.create("rep", rep) for rep in ("anna", "ben")}
    app = make_app([], [directory_router(cache, cache.store)], access, body_limits=BODY_LIMITS)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield Api(client, tokens)


async def test_accounts_list_get_search_page(api: Api) -> None:
    assert (await api.client.get("/v1/accounts")).status_code == 401
    found = (await api.call("ops", "GET", "/v1/accounts?q=NORD")).json()
    assert [one["domain"] for one in found["items"]] == ["nordwind.example"]
    assert found["next"] is None
    assert (await api.call("ops", "GET", "/v1/accounts?q=%25")).json()["items"] == []
    assert [
        one["domain"] for one in (await api.call("ops", "GET", "/v1/accounts?owner=ben&named=false")).json()["items"]
    ] == ["stella.example"]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = (await api.call("anna", "GET", f"/v1/accounts?limit=3{f'&cursor={cursor}' if cursor else ''}")).json()
        seen += [one["domain"] for one in answer["items"]]
        cursor = answer["next"]
    assert len(seen) == len(set(seen)) == 8
    assert (await api.call("ops", "GET", "/v1/accounts?cursor=WyJ4IiwieSJd")).json()["code"] == "bad_cursor"
    assert (await api.call("ops", "GET", "/v1/accounts/NORDWIND.example")).json()["name"] == "Nordwind Industries Oyj"
    missing = await api.call("ops", "GET", "/v1/accounts/nobody.example")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_accounts_put_and_delete(api: Api) -> None:
    body = {
        "name": "Uusi Oy",
        "industry": "Software",
        "employees": 12,
        "country": "fi",
        "named": True,
        "owner": "anna",
        "networks": ["203.0.113.7"],
    }
    assert (await api.call("ops", "PUT", "/v1/accounts/uusi.example", json=body)).status_code == 403
    assert (await api.call("anna", "PUT", "/v1/accounts/uusi.example", json=body)).status_code == 403
    answer = await api.call("marketing", "PUT", "/v1/accounts/www.uusi.example", json=body)
    assert answer.status_code == 200
    assert {key: answer.json()[key] for key in ("domain", "industry", "country", "networks")} == {
        "domain": "uusi.example", "industry": "software", "country": "FI", "networks": ["203.0.113.7/32"],
    }  # fmt: skip
    taken = await api.call("admin", "PUT", "/v1/accounts/other.example", json={"networks": ["198.51.100.0/24"]})
    assert (taken.status_code, taken.json()["code"], taken.json()["detail"]) == (
        409,
        "network_taken",
        {"domain": "nordwind.example"},
    )
    for bad in (
        {"owner": "nobody"},
        {"country": "Atlantis"},
        {"networks": ["10.0.0.0/8"]},
        {"employees": "12"},
        {"employees": -1},
        {"nam": "x"},
        {"name": "a\nb"},
    ):
        refused = await api.call("marketing", "PUT", "/v1/accounts/uusi.example", json=bad)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid"), bad
    freemail = await api.call("marketing", "PUT", "/v1/accounts/gmail.com", json={})
    assert "mail provider" in freemail.json()["message"]
    assert (await api.call("marketing", "DELETE", "/v1/accounts/uusi.example")).status_code == 204
    assert (await api.call("marketing", "DELETE", "/v1/accounts/uusi.example")).status_code == 404


async def test_import_raw_and_multipart(api: Api) -> None:
    body = b"domain;employees\nkone.example;2 400\nbad domain;1\n"
    answer = await api.call(
        "marketing", "POST", "/v1/accounts/import", content=body, headers={"Content-Type": "text/csv"}
    )
    assert answer.status_code == 200
    told = answer.json()
    assert (told["added"], told["updated"], told["unchanged"], told["bad_total"]) == (1, 0, 0, 1)
    assert {key: told["bad"][0][key] for key in ("line", "column", "value")} == {
        "line": 3,
        "column": "domain",
        "value": "bad domain",
    }
    again = await api.call("admin", "POST", "/v1/accounts/import", files={"file": ("a.csv", body, "text/csv")})
    assert (again.json()["added"], again.json()["unchanged"]) == (0, 1)
    assert (await api.call("ops", "POST", "/v1/accounts/import", content=body)).status_code == 403
    for nothing in (b"", b"name\nx\n", b"\x00\x01"):
        refused = await api.call("marketing", "POST", "/v1/accounts/import", content=nothing)
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_file")
    empty = await api.call("marketing", "POST", "/v1/accounts/import", data={"x": "1"}, files={"y": ("", b"")})
    assert empty.json()["code"] == "bad_file"


async def test_reps_list_put_and_what_still_points_at_one_who_left(api: Api) -> None:
    reps = (await api.call("ops", "GET", "/v1/reps")).json()["items"]
    assert len(reps) == 8
    anna = (await api.call("ben", "GET", "/v1/reps/anna")).json()
    assert (anna["timezone"], anna["still_pointing"], anna["absences"]) == ("Europe/Helsinki", [], [])
    body = {
        "name": "Chloe Carlsson",
        "timezone": "Europe/Stockholm",
        "hours": "mon-fri 09:00-17:00",
        "manager": "maria",
        "languages": ["sv"],
    }
    assert (await api.call("anna", "PUT", "/v1/reps/chloe", json=body)).status_code == 403
    assert (await api.call("marketing", "PUT", "/v1/reps/chloe", json=body)).json()["hours"] == "mon-fri 09:00-17:00"
    gone = (await api.call("marketing", "PUT", "/v1/reps/chloe", json=body | {"active": False})).json()
    assert gone["still_pointing"] == ["sits in pool sdr-midmarket"]
    gone = (await api.call("marketing", "PUT", "/v1/reps/anna", json={"active": False})).json()
    assert gone["still_pointing"] == ["owns 1 account(s): nordwind.example"]
    gone = (await api.call("marketing", "PUT", "/v1/reps/maria", json={"active": False})).json()
    assert "is manager of ben" in gone["still_pointing"]
    assert len((await api.call("ops", "GET", "/v1/reps?active=true")).json()["items"]) == 5
    problems = (await api.call("ops", "GET", "/v1/directory/problems")).json()["items"]
    assert {one["code"] for one in problems} == {"owner_inactive", "member_inactive", "manager_inactive"}
    for bad in (
        {"timezone": "Mars/Base"},
        {"hours": "whenever"},
        {"country": "XX"},
        {"email": "x"},
        {"meeting_link": "javascript:x"},
        {"manager": "ben"},
        {"languages": ["finnish"]},
        {"active": "yes"},
    ):
        refused = await api.call("marketing", "PUT", "/v1/reps/ben", json=bad)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid"), bad
    assert (await api.call("ops", "GET", "/v1/reps/nobody")).status_code == 404


async def test_a_rep_edits_only_their_own_absences(api: Api) -> None:
    add = {
        "add_absences": [{"from": "2026-12-21", "until": "2026-12-23", "note": "skiing"}],
        "alerts_paused_until": "2026-12-24T00:00:00+02:00",
    }
    assert (await api.call("ben", "PATCH", "/v1/reps/anna", json=add)).status_code == 403
    assert (await api.call("ops", "PATCH", "/v1/reps/anna", json=add)).status_code == 403
    anna = (await api.call("anna", "PATCH", "/v1/reps/anna", json=add)).json()
    assert [(one["from"], one["until"], one["note"]) for one in anna["absences"]] == [
        ("2026-12-20T22:00:00Z", "2026-12-23T22:00:00Z", "skiing")
    ]
    assert anna["alerts_paused_until"] == "2026-12-23T22:00:00Z"
    again = (await api.call("anna", "PATCH", "/v1/reps/anna", json={"add_absences": add["add_absences"]})).json()
    assert len(again["absences"]) == 1
    assert again["alerts_paused_until"] is not None, "what the body does not name stays"
    absence = again["absences"][0]["id"]
    assert (await api.call("ben", "PATCH", "/v1/reps/ben", json={"remove_absences": [absence]})).status_code == 404
    # A PUT by marketing does not take a rep's own absences away.
    put = (
        await api.call("marketing", "PUT", "/v1/reps/anna", json={"name": "Anna", "timezone": "Europe/Helsinki"})
    ).json()
    assert len(put["absences"]) == 1
    last = (
        await api.call(
            "anna", "PATCH", "/v1/reps/anna", json={"remove_absences": [absence], "alerts_paused_until": None}
        )
    ).json()
    assert (last["absences"], last["alerts_paused_until"]) == ([], None)
    bad = await api.call(
        "anna", "PATCH", "/v1/reps/anna", json={"add_absences": [{"from": "2026-12-23", "until": "2026-12-21"}]}
    )
    assert bad.status_code == 422
    assert (await api.call("marketing", "PATCH", "/v1/reps/nobody", json={})).status_code == 404


async def test_teams(api: Api) -> None:
    teams = (await api.call("anna", "GET", "/v1/teams")).json()["items"]
    assert {one["name"] for one in teams} == {"sdr-midmarket", "closers"}
    body = {"members": [{"rep": "chloe", "weight": 3}, {"rep": "daavid"}]}
    assert (await api.call("anna", "PUT", "/v1/teams/closers", json=body)).status_code == 403
    put = await api.call("marketing", "PUT", "/v1/teams/closers", json=body)
    assert put.json() == {"name": "closers", "members": [{"rep": "chloe", "weight": 3}, {"rep": "daavid", "weight": 1}]}
    assert (await api.call("ops", "GET", "/v1/teams/closers")).json() == put.json()
    assert (await api.call("ops", "GET", "/v1/teams/nobody")).status_code == 404
    await api.call("marketing", "PUT", "/v1/reps/emil", json={"active": False})
    for bad in (
        [],
        [{"rep": "nobody"}],
        [{"rep": "emil"}],
        [{"rep": ""}],
        [{"rep": "chloe", "weight": 0}],
        [{"rep": "chloe"}, {"rep": "chloe"}],
    ):
        assert (await api.call("marketing", "PUT", "/v1/teams/closers", json={"members": bad})).status_code == 422, bad


async def test_team_file_over_http(api: Api) -> None:
    done = await api.call(
        "marketing",
        "POST",
        "/v1/teams/import",
        content=b"reps: [{id: gina}]\npools: [{name: west, members: {gina: 1}}]",
    )
    assert done.json() == {
        "reps": {"added": 1, "updated": 0, "unchanged": 0},
        "pools": {"added": 1, "updated": 0, "unchanged": 0},
    }
    bad = await api.call("marketing", "POST", "/v1/teams/import", content=b"reps:\n  - {id: gina, hours: sometimes}\n")
    assert (bad.status_code, bad.json()["code"]) == (422, "bad_file")
    assert (bad.json()["detail"][0]["line"], bad.json()["detail"][0]["path"]) == (2, "reps[0].hours")
