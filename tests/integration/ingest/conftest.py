"""A live ingest on a real port, over the log in a real PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from schemas.codec import CloudEvent, tracking_decoder
from schemas.messages import Tracking
from schemas.topics import TRACKING_EVENTS
from services.eventlog import deadletter
from services.eventlog.api import log_router
from services.eventlog.deadletter import DeadLetter
from services.eventlog.open import open_log
from services.eventlog.ports import Log
from services.ingest.service import IngestService
from services.ingest.store import NewSource
from services.runtime.access import Access
from services.runtime.clock import SystemClock
from services.runtime.db import Database, Listener
from services.runtime.health import Loops
from services.runtime.http import Server, make_app
from services.runtime.secretbox import open_secret_box
from services.runtime.settings import Settings


class Ingest:
    """What a test holds of the live stage."""

    def __init__(self, settings: Settings, db: Database, folder: Path, log: Log | None = None) -> None:
        self.folder = folder
        self.settings = settings
        self.db = db
        self.clock = SystemClock()
        self.listener = Listener(db)
        self.log = log or open_log(settings, db, self.listener)
        self.loops = Loops(self.clock)
        self.access = Access(db, self.clock, self.listener)
        self.box = open_secret_box(settings.model_copy(update={"data_dir": folder}))
        self.service = IngestService(
            settings=settings,
            db=db,
            listener=self.listener,
            log=self.log,
            policies=None,
            access=self.access,
            clock=self.clock,
            loops=self.loops,
            box=self.box,
        )
        app = make_app(self.service.routes(), [*self.service.routers(), log_router(db, self.log)], self.access)
        self.server = Server(app, "127.0.0.1", 0)
        self.http = httpx.AsyncClient(timeout=30)

    async def start(self) -> None:
        await self.log.ensure_topics()
        await self.listener.start()
        await self.service.start()
        await self.server.start()
        self.http.base_url = self.url
        self.source = await self.service.create_source("web shop", "segment", "the-write-key")
        self.admin = await self.access.create("admin", None, "test")

    async def stop(self) -> None:
        await self.http.aclose()
        await self.server.stop(2)
        await self.service.stop(2)
        await self.listener.stop()
        await self.log.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def post(self, path: str, body: Any, key: str | None = "the-write-key", **more: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        auth = (key, "") if key else None
        return await self.http.post(path, content=content, auth=auth, **more)

    async def events(self) -> list[CloudEvent[Tracking]]:
        """Everything in the topic."""
        reader = self.log.reader(TRACKING_EVENTS.name, "test")
        parts = range(self.log.partitions(TRACKING_EVENTS.name))
        await reader.assign(dict.fromkeys(parts, 0))
        waiting = sum(end - first for first, end in (await reader.bounds(list(parts))).values())
        found: list[CloudEvent[Tracking]] = []
        async with asyncio.timeout(30):
            while len(found) < waiting:
                records = await reader.poll(2000, 0.5)
                found += [tracking_decoder.decode(record.value or b"") for record in records]
        await reader.close()
        return found

    async def dead(self) -> list[DeadLetter]:
        return await deadletter.list_letters(self.db, stage="ingest", limit=200)

    async def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.http.request(method, path, headers={"authorization": f"Bearer {self.admin}"}, **more)

    async def create(self, name: str, platform: str, **more: Any) -> NewSource:
        return await self.service.create_source(name, platform, **more)


@pytest.fixture
async def ingest(database: Database, tmp_path: Path) -> AsyncIterator[Ingest]:
    """A live ingest with one source whose key is `the-write-key`."""
    made = Ingest(Settings(_env_file=None), database, tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def hubspot() -> AsyncIterator[tuple[Any, str]]:
    """A HubSpot of ours, and where it is."""
    from tests.integration.ingest.far_hubspot import HubSpot

    made = HubSpot()
    route = Route("/crm/v3/objects/contacts/{number}", made.contact)
    server = Server(make_app([route], [], None, "hubspot"), "127.0.0.1", 0)  # type: ignore[arg-type]
    await server.start()
    yield made, f"http://127.0.0.1:{server.port}"
    await server.stop(2)
