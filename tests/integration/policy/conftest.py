"""The room with a real PostgreSQL and a real port."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.policy.api import policy_router
from services.policy.cache import PolicyCache
from services.policy.core.lint import Known
from services.policy.store import PolicyStore
from services.runtime.access import Access
from services.runtime.clock import SystemClock
from services.runtime.db import Database, Listener
from services.runtime.http import Server, make_app

EXAMPLE = (Path(__file__).parents[3] / "examples" / "policy.yaml").read_text(encoding="utf-8")


@pytest.fixture
def store(database: Database) -> PolicyStore:
    return PolicyStore(database)


@pytest.fixture
async def cache(database: Database) -> AsyncIterator[PolicyCache]:
    listener = Listener(database)
    cache = PolicyCache(database, listener, SystemClock())
    await listener.start()
    await cache.start()
    yield cache
    await cache.stop()
    await listener.stop()


@pytest.fixture
async def http(database: Database, cache: PolicyCache, store: PolicyStore) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a marketing token."""
    access = Access(database, SystemClock())
    router = policy_router(cache, store, lambda: Known(pools=frozenset({"closers"})))
    server = Server(make_app([], [router], access), "127.0.0.1", 0)
    await server.start()
    headers = {"Authorization": f"Bearer {await access.create('marketing', None, 'Maija')}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=10, headers=headers) as client:
        yield client
    await server.stop(1)
