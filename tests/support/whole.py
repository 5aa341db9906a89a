"""The whole application in this process, on a port, with the example company: what `lead-router up` puts together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from starlette.routing import BaseRoute

from schemas.topics import STAGES
from services.cli.compose import Rooms, Service, application, rooms, stages
from services.cli.first_start import seed
from services.ingest.commands import create_source, open_store
from services.runtime.db import Database
from services.runtime.http import Server
from services.runtime.settings import Settings
from tests.e2e.product import free_port


@dataclass(frozen=True)
class Whole:
    """A running application."""

    app: FastAPI
    rooms: Rooms
    services: list[Service]
    settings: Settings

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.settings.port}"

    @property
    def doors(self) -> list[BaseRoute]:
        """The plain routes of the stage that was put together last: ingest's doors."""
        return list(self.services[-1].routes())

    async def write_key(self) -> str:
        """The key of a new source."""
        store = open_store(self.rooms.db, self.settings)
        return (await create_source(store, "tests", "segment", publishable=False)).write_key


@asynccontextmanager
async def whole(database: Database, folder: Path, *, consume: bool) -> AsyncIterator[Whole]:
    """All stages in one process; without `consume` only the doors work, as in `lead-router api`."""
    settings = Settings(data_dir=folder, port=free_port())
    async with AsyncExitStack() as stack:
        have = await stack.enter_async_context(rooms(settings, database, "up" if consume else "api"))
        built = stages(have, STAGES, lambda error: None)
        app = application(have, built)
        await seed(database, have.policy_store, have.directory_store)
        await have.policies.refresh()
        await have.directory.refresh()
        await have.listener.start()
        stack.push_async_callback(have.listener.stop)
        for service in built:
            await service.start(consume=consume)
            stack.push_async_callback(service.stop, 5.0)
        server = Server(app, settings.host, settings.port)
        await server.start()
        stack.push_async_callback(server.stop, 1.0)
        yield Whole(app, have, built, settings)
