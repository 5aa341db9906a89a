"""The look-up of contacts when things go wrong: two processes, kill -9, limits, people who ask to be forgotten, poison."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.codec import CloudEvent, Message, encode
from schemas.messages import Identifier, Tracking
from schemas.signals import event_type
from services.eventlog.ports import DeadRecord
from services.ingest.handler import enrich
from services.ingest.handler.enrich import Enricher
from services.ingest.handler.waiting import NEXT, TURN_EVENTS, Waiting, forget
from services.ingest.store import Source
from services.runtime import crash
from services.runtime.clock import FixedClock
from services.runtime.db import Database
from services.runtime.errors import BadMessage
from services.runtime.outgoing import Outgoing
from services.runtime.settings import Settings
from tests.integration.ingest.conftest import Ingest
from tests.integration.ingest.far_hubspot import ANNE, TOKEN, HubSpot, hooked, opened, until

pytestmark = pytest.mark.needs_postgres


def conf(hubspot: tuple[HubSpot, str], **more: Any) -> Settings:
    return Settings(_env_file=None, hubspot_url=hubspot[1], **more)


@pytest.fixture
async def two(database: Database, tmp_path: Path, hubspot: tuple[HubSpot, str]) -> AsyncIterator[tuple[Ingest, Ingest]]:
    """Two processes on one database."""
    first, second = (Ingest(conf(hubspot), database, tmp_path) for _ in range(2))
    await first.start()
    await second.log.ensure_topics()
    await second.listener.start()
    await second.service.start()
    await second.server.start()
    second.http.base_url = second.url
    yield first, second
    await second.stop()
    await first.stop()


def contacts(hubspot: HubSpot, count: int) -> None:
    hubspot.contacts = {str(n): {"email": f"p{n}@nordwind.example", "jobtitle": "CFO"} for n in range(count)}


def crm(event: Any) -> str:
    return next(one.value for one in event.data.ids if one.kind == "crm")


async def test_two_processes_never_ask_at_once_nor_twice_and_keep_the_order_of_each_contact(
    two: tuple[Ingest, Ingest], hubspot: tuple[HubSpot, str]
) -> None:
    source = await hooked(two[0])
    contacts(hubspot[0], 7)
    hubspot[0].delay_s = 0.02
    for n in range(24):
        answer = await two[n % 2].post(f"/hooks/{source}", [opened(n, number=1 + n % 6)], key=None)
        assert answer.status_code == 200, answer.text
    found = await until(two[0], 24)
    assert hubspot[0].most_at_once == 1
    assert hubspot[0].calls == {str(n): 1 for n in range(1, 7)}
    for n in range(1, 7):
        mine = [event for event in found if crm(event).endswith(f":{n}")]
        assert [event.data.ids[0].value for event in mine] == [f"p{n}@nordwind.example"] * 4
        assert [event.data.occurred_at for event in mine] == sorted(event.data.occurred_at for event in mine)


async def test_who_was_held_up_until_another_took_over_puts_nothing_into_the_log(
    two: tuple[Ingest, Ingest], hubspot: tuple[HubSpot, str]
) -> None:
    source = await hooked(two[0])
    hubspot[0].held = asyncio.Event()
    await two[0].post(f"/hooks/{source}", [opened(1)], key=None)
    async with asyncio.timeout(10):
        while not hubspot[0].calls:
            await asyncio.sleep(0.02)
    held, hubspot[0].held = hubspot[0].held, None
    async with two[0].db.raw() as pg:  # as if 30 s had passed
        before = await pg.fetchval("UPDATE ingest.enricher SET expires_at = now() - interval '1 s' RETURNING owner")
    [event] = await until(two[0], 1)
    async with two[0].db.raw() as pg:
        assert await pg.fetchval("SELECT owner FROM ingest.enricher") != before
    held.set()
    await two[0].post(f"/hooks/{source}", [opened(2)], key=None)
    found = await until(two[0], 2)
    assert [one.id for one in found].count(event.id) == 1
    assert hubspot[0].calls["7"] == 2


CHILD = """
import asyncio, sys
from pathlib import Path
from services.runtime import crash
from services.runtime.db import Database
from services.runtime.settings import Settings
from tests.integration.ingest.conftest import Ingest

async def main():
    crash.arm("ingest.looked_up")
    one = Ingest(Settings(_env_file=None, hubspot_url=sys.argv[2]), Database(sys.argv[1], pool_size=4), Path(sys.argv[3]))
    await one.log.ensure_topics()
    await one.service.start()
    await asyncio.sleep(30)

asyncio.run(main())
"""


async def test_killed_between_the_log_and_the_row(
    database: Database, database_url: str, tmp_path: Path, hubspot: tuple[HubSpot, str]
) -> None:
    assert enrich.LOOKED_UP in crash.STEPS
    one = Ingest(conf(hubspot), database, tmp_path)
    await one.start()
    source = await hooked(one)
    await one.service._enricher.stop()  # only the child looks up
    for n in range(3):
        await one.post(f"/hooks/{source}", [opened(n)], key=None)
    command = [sys.executable, "-c", CHILD, database_url, hubspot[1], str(tmp_path)]
    child = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
    assert child.returncode == 137, child.stderr[-2000:]
    async with database.raw() as pg:
        assert await pg.fetchval("SELECT count(*) FROM ingest.waiting") == 3
        await pg.execute("UPDATE ingest.enricher SET expires_at = now()")  # nobody released it: it runs out
    published = [event.id for event in await one.events()]
    assert len(published) == 3
    after = Ingest(conf(hubspot), database, tmp_path)
    await after.log.ensure_topics()
    await after.service.start()
    async with asyncio.timeout(15):
        while True:
            async with database.raw() as pg:
                if await pg.fetchval("SELECT count(*) FROM ingest.waiting") == 0:
                    break
            await asyncio.sleep(0.05)
    found = await one.events()
    # In the log twice, each the same event under its own id: readers skip the second.
    assert [event.id for event in found] == published * 2
    assert all([one.kind for one in event.data.ids] == ["email", "crm"] for event in found)
    await after.service.stop(2)
    await one.stop()


class Far:
    """A look-up by hand, on a clock of the test's own."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.clock = FixedClock(datetime(2026, 11, 24, 12, tzinfo=UTC))
        self.sources = [source("s1"), source("s2")]
        self.waiting = Waiting(database, self.clock)
        self.published: list[Message] = []
        self.dead: list[DeadRecord] = []
        self.too_large: set[str] = set()
        self.enricher = Enricher(
            self.waiting, self, Outgoing(settings, settings.hubspot_url), self.publish,
            owner="test", settings=settings, clock=self.clock,
        )  # fmt: skip

    def looked_up(self) -> list[Source]:
        return self.sources

    async def publish(self, messages: Sequence[Message], dead: Sequence[DeadRecord] = ()) -> None:
        for message in messages:
            if any(word.encode() in (message.value or b"") for word in self.too_large):
                raise BadMessage("too large for the log", code="too_large")
        self.published += messages
        self.dead += dead

    async def hold(self, source_id: str, ingest: Ingest, *events: dict[str, Any]) -> None:
        """Events of a hook, as they come to wait."""
        await ingest.service._enricher.stop()
        made = await ingest.create(f"hs {source_id}", "hubspot")
        await ingest.api("PUT", f"/v1/sources/{made.id}/api-token", json={"api_token": TOKEN})
        assert (await ingest.post(f"/hooks/{made.id}", list(events), key=None)).status_code == 200
        async with ingest.db.raw() as pg:
            await pg.execute(
                "UPDATE ingest.waiting SET source_id = $2, since = $3, retry_at = $3 WHERE source_id = $1",
                made.id, source_id, self.clock.now(),
            )  # fmt: skip

    def pass_by(self, seconds: float) -> None:
        self.clock.steady += seconds
        self.clock.at = datetime.fromtimestamp(self.clock.at.timestamp() + seconds, UTC)

    def tracked(self) -> list[Tracking]:
        from schemas.codec import tracking_decoder

        return [tracking_decoder.decode(message.value or b"").data for message in self.published]


def source(id_: str) -> Source:
    return Source(id=id_, name=id_, platform="hubspot", publishable=False, disabled=False, secrets=(), api_token=TOKEN)


async def test_each_source_has_its_own_pace_and_a_retry_after_is_kept(
    ingest: Ingest, database: Database, hubspot: tuple[HubSpot, str]
) -> None:
    far = Far(database, conf(hubspot, hubspot_calls_per_10s=3))
    contacts(hubspot[0], 20)
    await far.hold("s1", ingest, *[opened(n, number=n) for n in range(1, 9)])
    await far.hold("s2", ingest, *[opened(n, number=10 + n) for n in range(2)])

    def asked() -> tuple[int, int]:
        numbers = Counter(int(number) >= 10 for number in hubspot[0].calls.elements())
        return numbers[False], numbers[True]

    await far.enricher.turn()
    assert asked() == (3, 2)  # one source at its limit does not hold back another
    far.pass_by(9.9)
    await far.enricher.turn()
    assert asked() == (3, 2)
    far.pass_by(0.2)
    hubspot[0].first = [(429, {"retry-after": "12"})]
    await far.enricher.turn()
    assert asked() == (4, 2)
    far.pass_by(11.9)
    await far.enricher.turn()
    assert asked() == (4, 2)
    far.pass_by(0.2)
    await far.enricher.turn()
    assert asked() == (7, 2)  # the call that was refused is due again
    far.pass_by(10.1)
    await far.enricher.turn()
    assert asked() == (9, 2)
    assert len(far.published) == 10
    await far.enricher.stop()


async def test_what_waits_of_a_paused_source_is_not_read_each_time(database: Database) -> None:
    clock = FixedClock(datetime(2026, 11, 24, 12, tzinfo=UTC))
    seen = Tracking(
        signal="email.opened",
        ids=[Identifier(kind="crm", value="hubspot:1:1")],
        received_at=clock.now(),
        occurred_at=clock.now(),
    )
    event = encode(CloudEvent(id="e", source="s", type=event_type("email.opened"), time=clock.now(), data=seen))
    async with database.raw() as pg:
        for source_id, n in (("paused", 5000), ("live", 3)):
            await pg.execute(
                """INSERT INTO ingest.waiting (source_id, object_id, key, value, since, retry_at)
                   SELECT $1, 'o' || i, 'k', $2, $3, $3 FROM generate_series(1, $4::int) i""",
                source_id, event, clock.now(), n,
            )  # fmt: skip
        await pg.execute("ANALYZE ingest.waiting")
        told = await pg.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {NEXT}",
            clock.now(), clock.now() - timedelta(hours=1), ["paused"], TURN_EVENTS,
        )  # fmt: skip
        [plan] = json.loads(told)
        assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 60
    waiting = Waiting(database, clock)

    async def taken(paused: list[str], too_old_s: float = 3600) -> Counter[str]:
        found = await waiting.next("t", clock.now() - timedelta(seconds=too_old_s), paused)
        assert [held.seq for held in found] == sorted(held.seq for held in found)
        return Counter(held.source_id for held in found)

    assert await taken(["paused"]) == {"live": 3}
    assert await taken(["paused", "live"]) == {}
    assert await taken([]) == {"paused": TURN_EVENTS}
    assert await taken(["paused", "live"], too_old_s=-1) == {"paused": TURN_EVENTS}
    await waiting.put_off("live", "o2", 60)
    assert await taken(["paused"]) == {"live": 2}


async def test_an_event_that_the_log_does_not_take_does_not_hold_up_the_others(
    ingest: Ingest, database: Database, hubspot: tuple[HubSpot, str]
) -> None:
    far = Far(database, conf(hubspot))
    hubspot[0].contacts = {
        "1": {"email": "one@nordwind.example"},
        "2": {"email": "two@nordwind.example", "jobtitle": "x" * 900, "firstname": "y" * 5000},
        "3": {"email": "three@nordwind.example"},
        "4": {"email": "four@nordwind.example"},
    }
    await far.hold("s1", ingest, *[opened(n, number=n) for n in range(1, 5)])
    far.too_large = {"x" * 900, "hubspot:62515:3"}
    await far.enricher.turn()
    assert [[one.value for one in data.ids] for data in far.tracked()] == [
        ["one@nordwind.example", "hubspot:62515:1"],
        ["hubspot:62515:2"],  # as it came: with what HubSpot says of it the log would not take it
        ["four@nordwind.example", "hubspot:62515:4"],
    ]
    [dead] = far.dead
    assert dead.reason == "too_large"
    assert b"hubspot:62515:3" in (dead.value or b"")
    assert await database_rows(database) == 0
    assert "firstname" not in far.enricher._cache["s1", "hubspot:62515:2"][1]  # too long to be remembered
    await far.enricher.stop()


async def database_rows(database: Database) -> int:
    async with database.raw() as pg:
        return int(await pg.fetchval("SELECT count(*) FROM ingest.waiting"))


def erased(number: int, at: int) -> dict[str, Any]:
    return {
        **opened(at, number),
        "subscriptionType": "contact.privacyDeletion",
        "propertyName": None,
        "propertyValue": None,
    }


async def test_of_a_contact_that_hubspot_says_is_to_be_forgotten_only_that_goes_on(
    ingest: Ingest, database: Database, hubspot: tuple[HubSpot, str]
) -> None:
    far = Far(database, conf(hubspot))
    await far.hold("s1", ingest, opened(1), opened(2), erased(7, 3), opened(4, number=8))
    await far.enricher.turn()
    assert [(data.signal, data.ids[-1].value) for data in far.tracked()] == [
        ("person.deleted", "hubspot:62515:7"), ("email.opened", "hubspot:62515:8"),
    ]  # fmt: skip
    assert hubspot[0].calls == {"8": 1}
    assert await database_rows(database) == 0
    await far.enricher.stop()


async def test_a_persons_waiting_events_go_when_the_person_asks(
    ingest: Ingest, database: Database, hubspot: tuple[HubSpot, str]
) -> None:
    far = Far(database, conf(hubspot))
    named = {**opened(3, number=9, name="email"), "propertyValue": ANNE}
    await far.hold("s1", ingest, opened(1, number=7), opened(2, number=8), named, erased(7, 4))
    async with database.raw() as pg, pg.transaction():
        await forget(pg, [("email", ANNE), ("crm", "hubspot:62515:7"), ("user", "8")])
    async with database.raw() as pg:
        left = await pg.fetch("SELECT object_id, value FROM ingest.waiting ORDER BY seq")
    assert [row["object_id"] for row in left] == ["hubspot:62515:8", "hubspot:62515:7"]
    assert b"person.deleted" in left[1]["value"]  # the request itself waits its turn
    assert ANNE.encode() not in b"".join(row["value"] for row in left)


async def test_who_looks_up_remembers_nobody_after_somebody_was_forgotten(
    database: Database, tmp_path: Path, hubspot: tuple[HubSpot, str]
) -> None:
    live = Ingest(conf(hubspot), database, tmp_path)
    await live.start()
    source_id = await hooked(live)
    await live.post(f"/hooks/{source_id}", [opened(1)], key=None)
    await until(live, 1)
    cache = live.service._enricher._cache
    assert cache
    async with database.raw() as pg, pg.transaction():
        await live.service.forget(pg, [("email", ANNE)])
    async with asyncio.timeout(10):
        while cache:
            await asyncio.sleep(0.02)
    await live.stop()
