"""The whole application in this process, consuming, with the console's scene played in it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.topics import STAGES
from services.cli.client import Client
from services.cli.compose import application, rooms, stages
from services.cli.first_start import seed
from services.ingest.commands import create_source, open_store
from services.runtime.db import Database
from services.runtime.http import Server
from services.runtime.settings import Settings
from tests.e2e.product import free_port
from tests.support.scene import Scene, open_scene


@dataclass
class Desk:
    """A running console and who may use it."""

    url: str
    access: dict[str, Any]
    client: Client
    scene: Scene | None = None

    @asynccontextmanager
    async def signed_in(self, who: str) -> AsyncIterator[httpx.AsyncClient]:
        """A browser without JavaScript in which `who` has signed in through the form."""
        headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, follow_redirects=True) as http:
            token = self.access["reps"].get(who) or self.access[who]
            answer = await http.post("/sign-in", data={"token": token})
            assert answer.status_code == 200, answer.text
            yield http

    async def lead(self, first: str) -> dict[str, Any]:
        """A lead of the scene."""
        assert self.scene is not None
        found = await self.client.lead(self.scene.people[first]["email"])
        assert found is not None
        return found


@pytest.fixture
async def desk(database: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    """The console over a database of its own; no scene yet."""
    settings = Settings(data_dir=tmp_path, port=free_port())
    async with AsyncExitStack() as stack:
        have = await stack.enter_async_context(rooms(settings, database, "up"))
        built = stages(have, STAGES, lambda error: None)
        app = application(have, built)
        await seed(database, have.policy_store, have.directory_store)
        await have.policies.refresh()
        await have.directory.refresh()
        await have.listener.start()
        stack.push_async_callback(have.listener.stop)
        for service in built:
            await service.start()
            stack.push_async_callback(service.stop, 5.0)
        server = Server(app, settings.host, settings.port)
        await server.start()
        stack.push_async_callback(server.stop, 1.0)
        key = await create_source(open_store(database, settings), "scene", "segment", publishable=False)
        access: dict[str, Any] = {
            "url": f"http://127.0.0.1:{settings.port}",
            "source": key.write_key,
            "reps": {rep: await have.access.create("rep", rep) for rep in have.directory.view.reps},
        }
        for role in ("admin", "marketing", "ops"):
            access[role] = await have.access.create(role)
        client = Client(access)
        stack.push_async_callback(client.close)
        yield Desk(access["url"], access, client)


@pytest.fixture
async def played(desk: Desk) -> Desk:
    """With the scene."""
    desk.scene = await open_scene(desk.client)
    return desk
