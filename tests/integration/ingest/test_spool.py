"""Kafka away: events are taken all the same, kept in PostgreSQL, and relayed when it is back."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from services.runtime.db import Database
from services.runtime.settings import Settings
from tests.integration.ingest.conftest import Ingest
from tests.support.kafka import Cluster
from tests.support.logs import until

pytestmark = pytest.mark.needs_kafka


def page(n: int) -> dict[str, object]:
    return {"batch": [{"type": "page", "anonymousId": "a1", "messageId": f"m{n}"}]}


async def test_an_outage_of_kafka(
    kafka_cluster: Callable[[int], Awaitable[Cluster]], database: Database, tmp_path: Path
) -> None:
    cluster = await kafka_cluster(1)
    settings = Settings(_env_file=None, kafka=cluster.bootstrap, kafka_timeout_s=2, partitions=2)
    ingest = Ingest(settings, database, tmp_path)
    await ingest.start()
    try:
        assert (await ingest.post("/v1/batch", page(0))).json() == {"success": True}
        cluster.kill(1)
        for n in range(1, 6):
            assert (await ingest.post("/v1/batch", page(n))).json() == {"success": True}
        async with database.raw() as pg:
            assert await pg.fetchval("SELECT count(*) FROM log.outbox WHERE stage = 'ingest'") == 5
        assert await ingest.service.ready() is None, "the spool takes events: ready all the same"
        cluster.start(1)
        await cluster.ready()

        async def relayed() -> bool:
            async with database.raw() as pg:
                return not await pg.fetchval("SELECT count(*) FROM log.outbox WHERE stage = 'ingest'")

        await until(relayed, 40)
        assert (await ingest.post("/v1/batch", page(6))).json() == {"success": True}
        await until(lambda: not ingest.service._committer.log_away, 20)
        events = await ingest.events()
        assert {event.id for event in events} == {f"m{n}" for n in range(7)}, "nothing lost; repeats are harmless"
        order = list(dict.fromkeys(event.id for event in events if event.id not in ("m0", "m6")))
        assert order == [f"m{n}" for n in range(1, 6)], "relayed in order"
    finally:
        await ingest.stop()
