"""HubSpot names a contact by an id alone: looked up at a HubSpot of ours over real HTTP, while events wait in order."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.runtime.db import Database
from services.runtime.errors import Refused, Unavailable
from services.runtime.outgoing import Outgoing
from services.runtime.settings import Settings
from tests.integration.ingest.conftest import Ingest
from tests.integration.ingest.far_hubspot import ANNE, TOKEN, HubSpot, hooked, opened, until


@pytest.fixture
async def live(database: Database, tmp_path: Path, hubspot: tuple[HubSpot, str]) -> AsyncIterator[Ingest]:
    made = Ingest(Settings(_env_file=None, hubspot_url=hubspot[1]), database, tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_events_get_their_address_in_order_with_one_call(live: Ingest, hubspot: tuple[HubSpot, str]) -> None:
    source = await hooked(live)
    for n in range(3):
        assert (await live.post(f"/hooks/{source}", [opened(n)], key=None)).json()["success"] is True
    found = await until(live, 3)
    for event in found:
        assert [(one.kind, one.value) for one in event.data.ids] == [("email", ANNE), ("crm", "hubspot:62515:7")]
        assert event.data.traits["title"] == "CFO"
    assert [event.data.occurred_at for event in found] == sorted(event.data.occurred_at for event in found)
    assert hubspot[0].calls == {"7": 1}
    async with live.db.raw() as pg:
        assert await pg.fetchval("SELECT count(*) FROM ingest.waiting") == 0
        sealed = await pg.fetchval("SELECT api_token FROM ingest.source WHERE id = $1", source)
    assert TOKEN.encode() not in bytes(sealed)


async def test_who_is_not_known_goes_by_the_crm_id(live: Ingest) -> None:
    source = await hooked(live)
    await live.post(f"/hooks/{source}", [opened(1, 404)], key=None)
    [event] = await until(live, 1)
    assert [one.kind for one in event.data.ids] == ["crm"]


async def test_retry_after_is_kept_and_order_with_it(live: Ingest, hubspot: tuple[HubSpot, str]) -> None:
    source = await hooked(live)
    hubspot[0].first = [(429, {"retry-after": "2"})]
    began = asyncio.get_running_loop().time()
    await live.post(f"/hooks/{source}", [opened(1)], key=None)
    while not hubspot[0].calls:
        await asyncio.sleep(0.05)
    await live.post(f"/hooks/{source}", [opened(2)], key=None)
    shown = (await live.api("GET", f"/v1/sources/{source}")).json()
    assert (shown["looks_up"], shown["waiting"]) == (True, 2)
    found = await until(live, 2)
    assert asyncio.get_running_loop().time() - began >= 2
    assert hubspot[0].calls == {"7": 2}
    assert found[0].data.occurred_at < found[1].data.occurred_at


@pytest.mark.parametrize("status", [401, 500])
async def test_what_waits_too_long_goes_without(live: Ingest, hubspot: tuple[HubSpot, str], status: int) -> None:
    source = await hooked(live)
    hubspot[0].first = [(status, {})] * 5
    await live.post(f"/hooks/{source}", [opened(1)], key=None)
    while not hubspot[0].calls:
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.5)
    assert await live.events() == []
    async with live.db.raw() as pg:
        await pg.execute("UPDATE ingest.waiting SET since = since - $1::interval", timedelta(hours=2))
    [event] = await until(live, 1)
    assert [one.kind for one in event.data.ids] == ["crm"]


async def test_no_token_no_waiting(live: Ingest, hubspot: tuple[HubSpot, str]) -> None:
    source = await hooked(live)
    await live.api("PUT", f"/v1/sources/{source}/api-token", json={"api_token": None})
    await live.post(f"/hooks/{source}", [opened(1)], key=None)
    assert len(await live.events()) == 1
    assert not hubspot[0].calls
    other = await live.create("sg", "sendgrid")
    answer = await live.api("PUT", f"/v1/sources/{other.id}/api-token", json={"api_token": TOKEN})
    assert (answer.status_code, answer.json()["code"]) == (400, "no_look_up")


async def test_calls_stay_in_their_bounds(
    live: Ingest, hubspot: tuple[HubSpot, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = hubspot
    conf = Settings(_env_file=None)

    async def inside(*_args: Any, **_more: Any) -> list[Any]:
        return [(2, 1, 6, "", ("93.184.216.34", 443)), (2, 1, 6, "", ("10.0.0.5", 443))]

    with monkeypatch.context() as patch:
        patch.setattr(asyncio.get_running_loop(), "getaddrinfo", inside)
        with pytest.raises(Refused, match=r"crm\.example is 10\.0\.0\.5"):
            await Outgoing(conf, "https://crm.example").get("/", {})
    production = conf.model_copy(update={"environment": "production"})
    for base in (url, url.replace("http:", "https:")):
        with pytest.raises(Refused):
            await Outgoing(production, base).get("/", {})
    for private in ("https://10.0.0.1", "https://169.254.169.254", "https://[::ffff:127.0.0.1]", "https://[fd00::1]"):
        with pytest.raises(Refused):
            await Outgoing(conf, private).get("/", {})
    with pytest.raises(Unavailable):
        await Outgoing(conf, "http://127.0.0.1:9", call_s=1).get("/", {})
