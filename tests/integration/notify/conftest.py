"""The stage notify as it runs: real PostgreSQL, the log in it, a real HTTP port."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field

import httpx
import pytest

from schemas.codec import CloudEvent, Message, encode
from schemas.topics import LEAD_ROUTED
from services.eventlog.open import open_log
from services.notify.service import NotifyService
from services.runtime.access import Access
from services.runtime.access_api import access_router
from services.runtime.clock import FixedClock, SystemClock
from services.runtime.db import Database, Listener
from services.runtime.health import Loops
from services.runtime.http import Server, make_app
from services.runtime.settings import Settings
from tests.integration.notify.far import NOW, Rig


@dataclass
class Event:
    """One server-sent event."""

    event: str
    id: str
    data: dict


class Stream:
    """An open stream, read by a task."""

    def __init__(self, client, path, headers):
        self.events = asyncio.Queue()
        self.comments = 0
        self.retry = None
        self.status = None
        self.headers = {}
        self.ended = asyncio.Event()
        self._started = asyncio.Event()
        self._task = asyncio.create_task(self._read(client, path, headers))

    async def _read(self, client, path, headers):
        try:
            async with client.stream("GET", path, headers=headers, timeout=httpx.Timeout(5, read=60)) as response:
                self.status, self.headers = response.status_code, response.headers
                event, id_, data = "message", "", []
                async for line in response.aiter_lines():
                    self._started.set()
                    if not line:
                        if data:
                            self.events.put_nowait(Event(event, id_, json.loads("\n".join(data))))
                        event, data = "message", []
                    elif line.startswith(":"):
                        self.comments += 1
                    elif line.startswith("event: "):
                        event = line[7:]
                    elif line.startswith("id: "):
                        id_ = line[4:]
                    elif line.startswith("data: "):
                        data.append(line[6:])
                    elif line.startswith("retry: "):
                        self.retry = int(line[7:])
        except httpx.HTTPError:
            pass
        finally:
            self._started.set()
            self.ended.set()

    async def started(self):
        await asyncio.wait_for(self._started.wait(), 10)
        return self

    async def get(self, timeout_s=5.0):
        return await asyncio.wait_for(self.events.get(), timeout_s)

    async def none(self, seconds=0.4):
        with contextlib.suppress(TimeoutError):
            got = await asyncio.wait_for(self.events.get(), seconds)
            raise AssertionError(f"unexpected event {got}")

    async def close(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@dataclass
class Replica:
    """One process of notify, as far as a test can have several in one."""

    db: Database
    beat_s: float = 10.0
    settings: Settings = field(
        default_factory=lambda: Settings(partitions=3, poll_wait_s=0.05, heartbeat_s=0.2, lease_s=3)
    )
    streams: list = field(default_factory=list)

    async def start(self):
        clock = SystemClock()
        self.listener = Listener(self.db)
        self.access = Access(self.db, clock, self.listener)
        self.log = open_log(self.settings, self.db, self.listener)
        await self.log.ensure_topics()
        self.service = NotifyService(
            settings=self.settings,
            db=self.db,
            listener=self.listener,
            log=self.log,
            clock=clock,
            loops=Loops(clock),
            publishable_key=lambda key: key == "pk_site",
            beat_s=self.beat_s,
        )
        self.app = make_app(self.service.routes(), [*self.service.routers(), access_router(self.access)], self.access)
        self.server = Server(self.app, "127.0.0.1", 0)
        await self.listener.start()
        await self.service.start()
        await self.server.start()
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.server.port}", limits=httpx.Limits(max_connections=None)
        )
        for _ in range(200):
            if await self.service.ready() is None:
                return self
            await asyncio.sleep(0.05)
        raise AssertionError(await self.service.ready())

    async def publish(self, *messages):
        """(id, LeadRouted) pairs, as the router writes them."""
        await self.log.writer().publish(
            [
                Message(
                    topic=LEAD_ROUTED.name,
                    key=data.lead.id.encode(),
                    value=encode(
                        CloudEvent(
                            id=id_, source="/router", type="leadrouter.lead.routed.v1", subject=data.lead.id, data=data
                        )
                    ),
                )
                for id_, data in messages
            ]
        )

    async def token(self, role="rep", rep=None):
        return await self.access.create(role, rep, rep or role)

    async def stream(self, token, path="/v1/inbox/stream", last_id=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if last_id is not None:
            headers["Last-Event-ID"] = str(last_id)
        made = Stream(self.client, path, headers)
        self.streams.append(made)
        return await made.started()

    async def get(self, path, token, status=200):
        answer = await self.client.get(path, headers={"Authorization": f"Bearer {token}"} if token else {})
        assert answer.status_code == status, answer.text
        return answer.json()

    async def caught_up(self, token, count, open_only=""):
        """The inbox once it holds `count` notices."""
        for _ in range(100):
            items = (await self.get(f"/v1/inbox?limit=200{open_only}", token))["items"]
            if len(items) >= count:
                return items
            await asyncio.sleep(0.03)
        raise AssertionError(f"{len(items)} notices instead of {count}")

    async def stop(self):
        for stream in self.streams:
            await stream.close()
        await self.client.aclose()
        await self.server.stop(2)
        await self.service.stop(3)
        await self.listener.stop()
        await self.log.close()


@pytest.fixture
async def replica(database):
    one = await Replica(database).start()
    yield one
    await one.stop()


@pytest.fixture
async def replicas(database, database_url):
    second_db = Database(database_url, pool_size=6)
    both = [await Replica(database, beat_s=0.3).start(), await Replica(second_db, beat_s=0.3).start()]
    yield both
    for one in both:
        await one.stop()
    await second_db.close()


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands."""
    return FixedClock(NOW)


@pytest.fixture
async def rig(database: Database, clock: FixedClock):
    """Channels by hand, on a clock that stands."""
    one = Rig(database, clock)
    yield one
    await one.stop()
