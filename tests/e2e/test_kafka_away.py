"""Ingest alone takes events while Kafka is away from the very start, and hands them over once it is there."""

import asyncio
import base64
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.e2e.product import Product
from tests.support.kafka import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.needs_kafka, pytest.mark.timeout(240), pytest.mark.xdist_group("e2e")]


async def test_started_without_kafka(
    tmp_path: Path, empty_database_url: str, kafka_cluster: Callable[[int], Awaitable[Cluster]]
) -> None:
    cluster = await kafka_cluster(1)
    env = {"LEAD_ROUTER_DATABASE_URL": empty_database_url, "LEAD_ROUTER_KAFKA": cluster.bootstrap}
    whole = Product(tmp_path / "data", **env)
    await whole.start()  # makes the topics and loads the example company
    assert await whole.stop() == 0, whole.tail()
    cluster.kill(1)

    ingest = Product(tmp_path / "data", "ingest", **env)
    await ingest.start_without_ready()
    key = whole.client().access["source"]
    basic = base64.b64encode(f"{key}:".encode()).decode()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ingest.port}", timeout=30) as http:
        for number in range(5):
            answer = await http.post(
                "/v1/track",
                json={"userId": f"u{number}", "event": "Demo Requested", "messageId": f"m{number}"},
                headers={"Authorization": f"Basic {basic}"},
            )
            assert answer.status_code == 200, answer.text
    await ingest.stop(signal.SIGKILL)

    cluster.start(1)
    await cluster.ready()
    await whole.start()
    pg = await asyncpg.connect(empty_database_url)
    try:
        for _ in range(300):
            count = await pg.fetchval("SELECT count(*) FROM scoring.event")
            if count == 5:
                break
            await asyncio.sleep(0.1)
        assert count == 5
        await asyncio.sleep(1)
        assert await pg.fetchval("SELECT count(*) FROM scoring.event") == 5
    finally:
        await pg.close()
        await whole.stop()
