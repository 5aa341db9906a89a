"""A version put in force for leads that are there already: over HTTP, and by the command line's function."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.policy.cache import PolicyCache
from services.policy.store import PolicyStore
from services.policy.sweeping import sweep_router
from services.runtime.access import Access
from services.runtime.clock import SystemClock
from services.runtime.db import Database
from services.runtime.http import Server, make_app
from services.scoring.store.sweep import SweepStore
from tests.integration.policy.conftest import EXAMPLE

SECOND = EXAMPLE.replace("points: 6,", "points: 7,")


@pytest.fixture
async def client(database: Database, cache: PolicyCache, store: PolicyStore) -> AsyncIterator[httpx.AsyncClient]:
    access = Access(database, SystemClock())
    server = Server(make_app([], [sweep_router(cache, store, SweepStore(database))], access), "127.0.0.1", 0)
    await server.start()
    headers = {"Authorization": f"Bearer {await access.create('marketing', None, 'Maija')}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=10, headers=headers) as http:
        yield http
    await server.stop(1)


async def leads(database: Database, *, known: int, visitors: int) -> None:
    async with database.raw() as pg:
        await pg.execute(
            "INSERT INTO scoring.lead (id, version, shape, since, size, emails, kinds, known)"
            " SELECT gen_random_uuid(), 1, 1, 0, 1, 1, 2, n <= $1 FROM generate_series(1, $2::int) n",
            known,
            known + visitors,
        )


async def test_a_version_comes_in_force_and_goes_to_every_lead(
    client: httpx.AsyncClient, cache: PolicyCache, store: PolicyStore, database: Database
) -> None:
    assert (await client.post("/v1/policy/sweep")).status_code == 404
    await store.put(EXAMPLE, "test")
    await store.save(SECOND, "test")
    await leads(database, known=3, visitors=2)
    before = (await client.get("/v1/policy/sweep")).json()
    assert (before["leads"], before["state"], before["version"]) == (3, "idle", None)

    plain = (await client.post("/v1/policy/activate", json={"version": 2})).json()
    assert plain == {"version": 2, "copy_of": None, "sweep": None}
    assert cache.active.version == 2
    assert (await client.get("/v1/policy/sweep")).json()["state"] == "idle"

    back = (await client.post("/v1/policy/activate", json={"version": 1, "sweep": True, "over": 2})).json()
    assert (back["version"], back["copy_of"]) == (3, 1)
    assert (back["sweep"]["leads"], back["sweep"]["state"], back["sweep"]["version"]) == (3, "running", 3)
    again = await client.post("/v1/policy/sweep")
    assert (again.status_code, again.json()["told"]) == (202, 0)


async def test_what_cannot_be_put_in_force_begins_no_sweep(client: httpx.AsyncClient, store: PolicyStore) -> None:
    await store.put(EXAMPLE, "test")
    assert (await client.post("/v1/policy/activate", json={"version": 9, "sweep": True})).status_code == 404
    assert (await client.post("/v1/policy/activate", json={"version": 1, "over": 7})).status_code == 409
    assert (await client.post("/v1/policy/activate", json={"version": 0})).status_code == 422
    assert (await client.get("/v1/policy/sweep")).json()["state"] == "idle"


def command(url: str, *words: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LEAD_ROUTER_")}
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "policy", "activate", *words],
        cwd=Path(__file__).parents[3],
        env={**clean, "LEAD_ROUTER_DATABASE_URL": url},
        input=answer,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_the_command_asks_before_it_goes_to_every_lead(
    database: Database, database_url: str, store: PolicyStore
) -> None:
    await store.put(EXAMPLE, "test")
    await store.save(SECOND, "test")
    await leads(database, known=3, visitors=2)
    refused = command(database_url, "2", "--sweep", answer="n\n")
    assert (refused.returncode, "Decide 3 leads anew by version 2?" in refused.stdout) == (1, True)
    stored = await store.active()
    assert stored is not None
    assert stored.version == 1
    done = command(database_url, "2", "--sweep", "--yes")
    assert (done.returncode, "Version 2 is in force." in done.stdout) == (0, True), done
    assert (await SweepStore(database).progress("policy")).wanted == 2
