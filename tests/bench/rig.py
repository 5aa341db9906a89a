"""What every bench stands on: a real broker, a real PostgreSQL with the bench's settings, stages as processes, meters."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil
from sqlalchemy.engine import make_url

from services.runtime.embedded import EmbeddedPostgres
from tests.support.kafka import Cluster, jars

ROOT = Path(__file__).resolve().parents[2]
# The same for every yardstick and for us.
POSTGRES = {"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "15min", "max_connections": "100"}
PARTITIONS = 6


@dataclass
class Cost:
    """CPU seconds of each party and bytes of WAL, between two looks."""

    cpu: Mapping[str, float]
    wal: int
    wall_s: float


@dataclass
class Rig:
    """A broker and a database."""

    kafka: Cluster
    postgres: EmbeddedPostgres
    server_url: str
    work: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def bootstrap(self) -> str:
        """Where the broker listens."""
        return self.kafka.bootstrap

    async def fresh_database(self, name: str) -> str:
        """An empty database; its URL."""
        url = make_url(self.server_url)
        pg = await asyncpg.connect(url.set(database="postgres").render_as_string(hide_password=False))
        try:
            await pg.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await pg.execute(f'CREATE DATABASE "{name}"')
        finally:
            await pg.close()
        return url.set(database=name).render_as_string(hide_password=False)

    def spawn(
        self, mode: str, port: int, url: str | None, *, kafka: bool = True, **env: str
    ) -> subprocess.Popen[bytes]:
        """A stage as its own process, on the rig's broker and database."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("LEAD_ROUTER_")}
        data = self.work / f"data-{port}"
        given = {
            "LEAD_ROUTER_PORT": str(port),
            "LEAD_ROUTER_DATA_DIR": str(data),
            "LEAD_ROUTER_LOG": "json",
            "LEAD_ROUTER_LOG_LEVEL": "warning",
            "LEAD_ROUTER_PARTITIONS": str(PARTITIONS),
        }
        if url is not None:
            given["LEAD_ROUTER_DATABASE_URL"] = url
        if kafka:
            given["LEAD_ROUTER_KAFKA"] = self.bootstrap
        with (self.work / f"{mode}-{port}.log").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.cli", mode],
                cwd=ROOT,
                env={**clean, **given, **env},
                stdout=out,
                stderr=out,
            )
        self.started.append(process)
        return process

    def log_of(self, mode: str, port: int) -> str:
        """The end of what a stage said."""
        return (self.work / f"{mode}-{port}.log").read_text(errors="replace")[-3000:]

    def cpu_of(self, *workers: int) -> dict[str, float]:
        """CPU seconds so far of the workers, PostgreSQL and the broker."""
        return {
            "worker": sum(_cpu(pid) for pid in workers),
            "PostgreSQL": _cpu(self.postgres.pid or 0, children=True),
            "Kafka": sum(_cpu(p.pid) for p in self.kafka.nodes.values()),
        }

    async def wal(self) -> int:
        """Bytes of WAL written since the server was made."""
        url = make_url(self.server_url).set(database="postgres").render_as_string(hide_password=False)
        pg = await asyncpg.connect(url)
        try:
            return int(await pg.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))
        finally:
            await pg.close()


def _cpu(pid: int, *, children: bool = False) -> float:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        used = process.cpu_times()
        total = used.user + used.system
        if children:
            # Ended backends are in the postmaster's own account of its children.
            total += used.children_user + used.children_system
            for child in process.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    times = child.cpu_times()
                    total += times.user + times.system
        return total
    return 0.0


@contextlib.asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """Start both, hand them over, end everything that was started."""
    await asyncio.to_thread(jars)
    work = Path(tempfile.mkdtemp(prefix="lead-router-bench-"))
    kafka = await asyncio.to_thread(Cluster, 1, work / "kafka")
    postgres = EmbeddedPostgres(work / "database", extra=POSTGRES)
    made: Rig | None = None
    try:
        await kafka.ready()
        made = Rig(kafka, postgres, await postgres.start(), work)
        yield made
    finally:
        for process in made.started if made else ():
            end(process)
        await postgres.stop()
        kafka.close()
        shutil.rmtree(work, ignore_errors=True)


def end(process: subprocess.Popen[bytes], sign: signal.Signals = signal.SIGTERM, wait_s: float = 20) -> None:
    """End a stage; by force when it does not listen."""
    if process.poll() is None:
        process.send_signal(sign)
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def make_topic(bootstrap: str, name: str, partitions: int = PARTITIONS) -> None:
    """A topic, unless it is there."""
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()


async def drop_topics(bootstrap: str, *names: str) -> None:
    """Delete topics and wait until they are gone."""
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([n for n in names if n in await admin.list_topics()])
        end_at = time.monotonic() + 20
        while set(names) & set(await admin.list_topics()) and time.monotonic() < end_at:
            await asyncio.sleep(0.2)
    finally:
        await admin.close()
    await asyncio.sleep(0.5)
