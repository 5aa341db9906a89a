"""The whole application in this process, consuming, with the console's scene played in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.cli.client import Client
from services.runtime.db import Database
from tests.support.scene import Scene, open_scene
from tests.support.whole import whole


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
    async with whole(database, tmp_path, consume=True) as app:
        tokens = app.rooms.access
        access: dict[str, Any] = {
            "url": app.url,
            "source": await app.write_key(),
            "reps": {rep: await tokens.create("rep", rep) for rep in app.rooms.directory.view.reps},
        }
        for role in ("admin", "marketing", "ops"):
            access[role] = await tokens.create(role)
        client = Client(access)
        try:
            yield Desk(app.url, access, client)
        finally:
            await client.close()


@pytest.fixture
async def played(desk: Desk) -> Desk:
    """With the scene."""
    desk.scene = await open_scene(desk.client)
    return desk
