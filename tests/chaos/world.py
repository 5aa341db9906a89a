"""One database, one log, and processes of the product around them: where chaos happens and is looked at afterwards."""

import contextlib
import json
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.codec import Message
from services.cli.first_start import first_start
from services.directory.store import DirectoryCache
from services.eventlog.open import open_log
from services.eventlog.ports import Log
from services.migrations.run import migrate
from services.policy.cache import PolicyCache
from services.policy.core.policy import Policy
from services.policy.store import PolicyStore
from services.runtime.access import Access
from services.runtime.clock import SystemClock
from services.runtime.db import Database, Listener
from services.runtime.settings import Settings
from tests.chaos import traffic, verify
from tests.chaos.processes import Nursery, Process
from tests.chaos.waiting import quiet
from tests.e2e.product import free_port
from tests.support.kafka import Cluster
from tests.support.postgres import execute, run_alone, url_of


@dataclass
class Eyes:
    """What a test looks at the world with: its own connections, in its own loop."""

    db: Database
    log: Log
    policy: Policy

    async def rows(self, sql: str, *arguments: Any) -> list[Any]:
        """Rows of the database."""
        async with self.db.raw() as pg:
            return list(await pg.fetch(sql, *arguments))


class World:
    """A database and a log, and what was sent there.

    Args:
        url: A migrated, empty database.
        kafka: Brokers of our own, or None for the log in PostgreSQL.
        settings: `LEAD_ROUTER_…` without the prefix, for every process.
    """

    def __init__(self, url: str, kafka: Cluster | None, folder: Path, **settings: object) -> None:
        self.url, self.kafka, self.folder = url, kafka, folder
        values: dict[str, object] = {
            "database_url": url,
            "data_dir": folder / "data",
            "pool_size": 6,
            "lease_s": 1,
            "heartbeat_s": 0.2,
            "poll_wait_s": 0.05,
            "kafka_timeout_s": 1.5,
            "watchdog_s": 30,
            "shutdown_s": 5,
            "log": "json",
            **settings,
        }
        if kafka is not None:
            values["kafka"] = kafka.bootstrap
        self.settings = Settings(**values)  # type: ignore[arg-type]  # checked by the model
        self._env = {f"LEAD_ROUTER_{name.upper()}": str(value) for name, value in values.items()}
        self.nursery = Nursery()
        self.processes: list[Process] = []
        self.poison: set[bytes | None] = set()
        self.sent: set[bytes | None] = set()
        self._ports: dict[str, int] = {}

    def make(self, mode: str, name: str | None = None, **settings: object) -> Process:
        """A process of the product, not started. The same `name` has the same port and log file."""
        name = name or mode
        port = self._ports.setdefault(name, free_port())
        more = {f"LEAD_ROUTER_{key.upper()}": str(value) for key, value in settings.items()}
        env = {**self._env, "LEAD_ROUTER_PORT": str(port), **more}
        process = self.nursery.make(mode, env, self.folder / f"{name}.log")
        self.processes.append(process)
        return process

    @property
    def access(self) -> dict[str, Any]:
        """The tokens and keys that the first start has made."""
        return json.loads((self.folder / "data" / "access.json").read_text())  # type: ignore[no-any-return]

    @contextlib.asynccontextmanager
    async def eyes(self) -> AsyncIterator[Eyes]:
        """Connections for looking and writing."""
        db = Database(self.url, pool_size=4)
        listener = Listener(db)
        log = open_log(self.settings, db, listener)
        policies = PolicyCache(db, listener, SystemClock())
        try:
            await policies.refresh()
            yield Eyes(db, log, policies.active)
        finally:
            await log.close()
            await db.close()

    async def send(self, eyes: Eyes, made: traffic.Traffic, **more: Any) -> None:
        """Write traffic into `tracking.events`, and remember it for `verify`."""
        self.poison |= made.poison
        await self._write(eyes, made.messages, **more)
        self.sent |= {message.value for message in made.messages}

    @staticmethod
    async def _write(eyes: Eyes, messages: Sequence[Message], **more: Any) -> None:
        await traffic.write(eyes.log.writer(), messages, **more)

    async def verify(
        self, eyes: Eyes, seconds: float = 60, *, alive: Sequence[Process] = (), **more: Any
    ) -> verify.Found:
        """Wait until all is quiet, then check everything that ever happened here.

        Args:
            alive: Processes that must not end meanwhile.
        """

        def check() -> None:
            for process in alive:
                assert process.running, f"{process.mode} ended with {process.code}: {process.tail()}"

        await quiet(eyes.db, eyes.log, seconds, check)
        return await verify.verify(eyes.db, eyes.log, eyes.policy, self.poison, sent=self.sent, **more)

    def close(self) -> None:
        """End every process."""
        self.nursery.close()


@contextlib.contextmanager
def a_world(server: str, template: str | None, *, brokers: int, **settings: object) -> Iterator[World]:
    """A world with a database of its own on `server`, and as many brokers of its own (0: the log in PostgreSQL).

    Args:
        template: A migrated, empty database to copy; None: migrate here.
    """
    name = f"test_chaos_{secrets.token_hex(6)}"
    folder = Path(tempfile.mkdtemp(prefix="lead-router-chaos-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        copied = f' TEMPLATE "{template}" STRATEGY FILE_COPY' if template else ""
        run_alone(execute(server, f'CREATE DATABASE "{name}"{copied}'))
        stack.callback(lambda: run_alone(execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')))
        cluster = None
        if brokers:
            cluster = Cluster(brokers, folder / "kafka")
            stack.callback(cluster.close)
            run_alone(cluster.ready())
        world = World(url_of(server, name), cluster, folder, **settings)
        stack.callback(world.close)
        run_alone(_settle(world))
        yield world


async def _settle(world: World) -> None:
    """The example company, tokens, and a source to send from."""
    db = Database(world.url, pool_size=2)
    listener = Listener(db)
    try:
        await migrate(db)
        await first_start(
            world.settings,
            db=db,
            access=Access(db, SystemClock(), listener),
            policies=PolicyStore(db),
            directory=DirectoryCache(db, listener),
            url="http://127.0.0.1",
        )
    finally:
        await db.close()


def tracebacks(world: World) -> list[str]:
    """What processes said that nobody should: lines with a traceback."""
    said = []
    for log in sorted({process.log for process in world.processes}):
        for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
            # aiokafka leaves its commit of offsets, which only lag tools read, behind when its client is closed.
            left_behind = "never retrieved" in line and "aiokafka/consumer/group_coordinator" in line
            if "Traceback" in line and not left_behind:
                said.append(f"{log.name}: {line[:3000]}")
    return said


async def until(look: Callable[[], Awaitable[Any]], seconds: float, what: str) -> Any:
    """What `look` finds, as soon as it is true."""
    import asyncio

    end = asyncio.get_running_loop().time() + seconds
    while not (found := await look()):
        assert asyncio.get_running_loop().time() < end, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.05)
    return found
