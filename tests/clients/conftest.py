"""One whole product for all clients: started once, and asked what came out at scoring."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.proxy import Between
from tests.e2e.product import Product
from tests.support.postgres import execute, run_alone, url_of

WAIT_S = 40.0


def somebody() -> str:
    """A person that nobody else is."""
    return f"{secrets.token_hex(6)}@client.example"


class Live:
    """The product, as tests of clients use it."""

    def __init__(self, product: Product) -> None:
        self.access: dict[str, Any] = product.client().access
        self.url = str(self.access["url"])

    async def source(self, platform: str = "segment", *, publishable: bool = False, **more: Any) -> dict[str, Any]:
        """A new source; its answer holds `write_key`, `secret` and `hook_url`."""
        body = {"name": f"{platform} {secrets.token_hex(6)}", "platform": platform, "publishable": publishable, **more}
        answer = await self.ask("POST", "/v1/sources", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.access['admin']}"}
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as http:
            return await http.request(method, path, headers=headers, **more)

    async def timeline(self, email: str) -> list[dict[str, Any]]:
        """What scoring keeps of a person, newest first."""
        people = (await self.ask("GET", "/v1/people", params={"email": email})).json()["items"]
        if not people:
            return []
        path = f"/v1/people/{people[0]['key']}/timeline"
        items: list[dict[str, Any]] = (await self.ask("GET", path, params={"limit": 100})).json()["items"]
        return items

    async def scored(self, email: str, expected: int) -> list[str]:
        """The signals of a person's scored events, sorted, once there are as many as expected."""
        end = time.monotonic() + WAIT_S
        while True:
            items = await self.timeline(email)
            if len(items) >= expected or time.monotonic() > end:
                assert all(item["state"] == "scored" for item in items), items
                return sorted(item["signal"] for item in items)
            await asyncio.sleep(0.1)


@pytest.fixture(scope="session")
def live(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The whole product on a port of its own."""
    name = f"test_clients_{secrets.token_hex(6)}"
    run_alone(execute(postgres_server, f'CREATE DATABASE "{name}"'))
    folder: Path = tmp_path_factory.mktemp("clients") / "data"
    product = Product(folder, LEAD_ROUTER_DATABASE_URL=url_of(postgres_server, name))
    try:
        run_alone(product.start())
        yield Live(product)
    finally:
        if product.process is not None:
            run_alone(product.stop())
        run_alone(execute(postgres_server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture
async def between(live: Live) -> AsyncIterator[Between]:
    """A proxy before the product."""
    async with Between(live.url) as proxy:
        yield proxy
