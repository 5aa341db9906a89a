"""The example company's stories on the whole product, over both logs, with a kill -9 in the middle."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.cli.stories import Seen, Teller
from tests.e2e.product import Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("e2e")]


@pytest.fixture(params=["postgres", pytest.param("kafka", marks=pytest.mark.needs_kafka)])
def env(request: pytest.FixtureRequest) -> dict[str, str]:
    """The embedded PostgreSQL alone, or Kafka and a PostgreSQL elsewhere."""
    if request.param == "postgres":
        return {}
    return {
        "LEAD_ROUTER_KAFKA": request.getfixturevalue("kafka"),
        "LEAD_ROUTER_DATABASE_URL": request.getfixturevalue("empty_database_url"),
    }


@pytest.fixture
async def product(env: dict[str, str], tmp_path: Path) -> AsyncIterator[Product]:
    """A running product."""
    made = Product(tmp_path / "data", **env)
    await made.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        await made.stop(signal.SIGKILL)


async def tell(teller: Teller, names: set[str] | None = None) -> list[tuple[str, Seen]]:
    seen = []
    for name, _, story in teller.stories():
        if names is None or name in names:
            seen += [(name, one) async for one in story()]
    return seen


async def test_stories_and_a_kill(product: Product) -> None:
    client = product.client()
    teller = Teller(client)
    seen = await tell(teller)
    assert [(name, one.promise, one.seen) for name, one in seen if not one.kept] == []
    assert len({name for name, _ in seen}) == 9

    emails = [p["email"] for p in teller.people.values()]
    before = [await teller.picture(email) for email in emails]
    notices = {rep: len(await client.notices(rep)) for rep in client.access["reps"]}
    await client.close()
    await product.stop(signal.SIGKILL)
    await product.start()

    client = product.client()
    teller.client = client
    assert [await teller.picture(email) for email in emails] == before
    again = await tell(teller, {"again"})
    assert all(one.kept for _, one in again), again
    assert {rep: len(await client.notices(rep)) for rep in client.access["reps"]} == notices
    assert await client.get("/v1/ops/dead-letters") == {"items": [], "next": None}
    await client.close()
    assert await product.stop() == 0, product.tail()
    log = product.log.read_text()
    assert "Traceback" not in log, product.tail(40)
    assert "@nordwind.example" not in log, "personal data in the log"
