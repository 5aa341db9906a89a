"""Two replicas of scoring and of router, and hands that kill, freeze and stop them while events flow.

The broker stands still for longer than any time-out, PostgreSQL crashes and recovers, the ingest that takes events over
HTTP is killed as well. Afterwards the verifier looks: nothing lost, nothing double, every decision once, all of it equal
to a plain fold of what lies in the log.

The seed is printed; `LEAD_ROUTER_CHAOS_SEED` sets it. What is done to whom follows from it, at which instant does not.
"""

import asyncio
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from schemas.topics import TRACKING_EVENTS
from services.runtime.embedded import EmbeddedPostgres
from tests.chaos import traffic
from tests.chaos.processes import Process
from tests.chaos.verify import Found
from tests.chaos.world import World, a_world, tracebacks
from tests.support.postgres import run_alone, url_of

pytestmark = pytest.mark.needs_postgres

LEASE_S = 2.0
FROZEN_S = LEASE_S + 1.5
BLOWS = ("kill", "freeze", "term")


@dataclass(frozen=True)
class Run:
    """How long and how hard.

    Attributes:
        seconds: The events are spread over so many seconds.
        frozen_broker_s: How long the broker stands still.
    """

    events: int
    seconds: float
    frozen_broker_s: float
    patience_s: float


SHORT = Run(events=3000, seconds=25, frozen_broker_s=5, patience_s=90)
SHORTER = Run(events=1500, seconds=20, frozen_broker_s=0, patience_s=90)
LONG = Run(events=30_000, seconds=240, frozen_broker_s=10, patience_s=300)


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server that a test may crash."""
    with tempfile.TemporaryDirectory(prefix="lead-router-chaos-pg-") as folder:
        # What is in the server's own memory is lost at an immediate shutdown; what it gave to the kernel is not.
        extra = {"fsync": "off", "max_connections": "200"}
        server = EmbeddedPostgres(Path(folder), extra=extra)
        run_alone(server.start(supervised=False))
        try:
            yield server
        finally:
            run_alone(server.stop())


@dataclass
class Hands:
    """Does bad things to processes, and starts again what has ended."""

    world: World
    fleet: list[Process]
    draw: random.Random
    done: asyncio.Event = field(default_factory=asyncio.Event)
    blows: list[str] = field(default_factory=list)
    struck: list[Process] = field(default_factory=list)
    own_ends: list[str] = field(default_factory=list)

    async def on(self, stages: tuple[str, ...], draw: random.Random) -> None:
        """One pair of hands: each blow to each stage at least once, then at random until `done`."""
        planned = [(stage, blow) for stage in stages for blow in BLOWS]
        draw.shuffle(planned)
        while planned or not self.done.is_set():
            stage, blow = planned.pop() if planned else (draw.choice(stages), draw.choice(BLOWS))
            await asyncio.sleep(draw.uniform(0.2, 1.2))
            victims = [process for process in self.fleet if process.mode == stage]
            await self.strike(draw.choice(victims), blow, draw)

    async def strike(self, victim: Process, blow: str, draw: random.Random) -> None:
        """One blow; afterwards the process runs again."""
        self.blows.append(f"{blow} {victim.mode}")
        if blow == "freeze":
            victim.send(signal.SIGSTOP)
            await asyncio.sleep(FROZEN_S * draw.uniform(0.8, 1.3))
            victim.send(signal.SIGCONT)
            return
        if not victim.running:
            return  # it has not been started again yet
        self.struck.append(victim)
        code = await victim.stop(signal.SIGKILL if blow == "kill" else signal.SIGTERM)
        # 1: it was about to say that PostgreSQL does not answer. -SIGTERM: it had only just begun to start.
        clean = (-signal.SIGKILL, 1) if blow == "kill" else (0, 1, -signal.SIGTERM)
        assert code in clean, f"{victim.mode}: {code}: {victim.tail()}"
        await asyncio.sleep(draw.uniform(0.0, 0.5))
        victim.start()
        self.struck.remove(victim)

    async def on_machines(self, postgres: EmbeddedPostgres, frozen_broker_s: float, seconds: float) -> None:
        """The broker stands still; PostgreSQL ends at once and recovers. In the long run: again and again."""
        end = time.monotonic() + seconds
        first = True
        while first or time.monotonic() < end:
            await asyncio.sleep(3 if first else self.draw.uniform(10, 30))
            await self._crash(postgres)
            if self.world.kafka is not None:
                await asyncio.sleep(4 if first else self.draw.uniform(10, 30))
                self.blows.append("freeze the broker")
                self.world.kafka.nodes[1].send_signal(signal.SIGSTOP)
                await asyncio.sleep(frozen_broker_s)
                self.world.kafka.nodes[1].send_signal(signal.SIGCONT)
            first = False

    async def _crash(self, postgres: EmbeddedPostgres) -> None:
        self.blows.append("crash PostgreSQL")
        assert postgres.pid is not None
        os.kill(postgres.pid, signal.SIGQUIT)
        await postgres.stop()
        await asyncio.sleep(0.5)
        await postgres.start(supervised=False)

    async def supervise(self) -> None:
        """Start again what has ended by itself: it may only because PostgreSQL was away while it started."""
        while True:
            await asyncio.sleep(0.1)
            for process in self.fleet:
                if not process.running and process not in self.struck:
                    self.own_ends.append(process.mode)
                    assert process.code == 1, f"{process.mode} ended with {process.code}: {process.tail()}"
                    assert "does not answer" in process.tail(), process.tail()
                    process.start()

    def check(self) -> None:
        """Everybody runs."""
        ended = [p for p in self.fleet if not p.running]
        assert not ended, "\n".join(f"{p.mode} ended with {p.code}: {p.tail()}" for p in ended)


class Senders:
    """Clients that send over HTTP until they are answered. What was answered must be there for ever."""

    def __init__(self, ingest: Process, key: str, seed: int) -> None:
        self._ingest, self._key, self._seed = ingest, key, seed
        self.answered: set[str] = set()
        self.refused = 0

    async def run(self, done: asyncio.Event) -> None:
        """Send small batches, one after the other."""
        number = 0
        async with httpx.AsyncClient(timeout=30) as http:
            while not done.is_set():
                number += 1
                who = {"userId": f"web-{self._seed}-{number % 40}"}
                mail = f"web.{self._seed}.{number % 40}@vesi.example"
                items = [
                    {"type": "identify", "messageId": f"w{self._seed}.{number}.0", "traits": {"email": mail}, **who},
                    {"type": "page", "messageId": f"w{self._seed}.{number}.1", "name": "Blog", **who},
                ]
                while not await self._sent(http, items):
                    self.refused += 1
                    await asyncio.sleep(0.2)
                self.answered |= {str(item["messageId"]) for item in items}
                await asyncio.sleep(0.15)

    async def _sent(self, http: httpx.AsyncClient, items: list[dict[str, object]]) -> bool:
        try:
            answer = await http.post(f"{self._ingest.url}/v1/batch", json={"batch": items}, auth=(self._key, ""))
        except httpx.HTTPError:
            return False  # it was killed, or frozen
        assert answer.status_code in (200, 429), f"{answer.status_code}: {answer.text}: {self._ingest.tail()}"
        return answer.status_code == 200


async def rage(world: World, postgres: EmbeddedPostgres, run: Run, seed: int) -> Found:
    """Let events flow, strike, wait until it is quiet, and look."""
    draw = random.Random(seed)
    fleet = [
        world.make(mode, name)
        for mode, name in (
            ("ingest", "ingest"), ("scoring", "scoring-a"), ("scoring", "scoring-b"), ("router", "router-a"),
            ("router", "router-b"), ("notify", "notify"),
        )
    ]  # fmt: skip
    for process in fleet:
        process.start()
    await asyncio.gather(*(process.ready() for process in fleet))
    hands = Hands(world, fleet, draw)
    senders = Senders(fleet[0], world.access["source"], seed)
    made = traffic.make(run.events, seed)
    async with world.eyes() as eyes:
        at_once = max(10, run.events // 150)
        pause = run.seconds * at_once / run.events
        work = [
            asyncio.create_task(hands.on(("scoring",), random.Random(draw.random()))),
            asyncio.create_task(hands.on(("router", "notify"), random.Random(draw.random()))),
            asyncio.create_task(hands.on(("ingest",), random.Random(draw.random()))),
            asyncio.create_task(hands.on_machines(postgres, run.frozen_broker_s, run.seconds)),
            asyncio.create_task(senders.run(hands.done)),
        ]
        guard = asyncio.create_task(hands.supervise())
        try:
            await world.send(eyes, made, at_once=at_once, pause_s=pause)
            await work[3]
            hands.done.set()
            await asyncio.gather(*work)
        finally:
            for task in (*work, guard):
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            with suppress(asyncio.CancelledError):
                await guard
            with suppress(ProcessLookupError):
                for process in fleet:
                    process.send(signal.SIGCONT)
        print(f"seed {seed}: {len(hands.blows)} blows: {', '.join(hands.blows)}")
        for process in fleet:
            await process.ready()
        found = await world.verify(eyes, run.patience_s, alive=fleet, one_lane=world.kafka is None)
    hands.check()
    there = {event_id(record.value) for record in found.topics[TRACKING_EVENTS.name]}
    assert senders.answered <= there, f"answered with 200 and lost: {sorted(senders.answered - there)[:5]}"
    print(f"{found.numbers}, {len(senders.answered)} over HTTP after {senders.refused} refusals")
    codes = await asyncio.gather(*(process.stop() for process in fleet))
    assert set(codes) == {0}, codes
    assert not (said := tracebacks(world)), "\n".join(said)
    return found


def event_id(value: bytes | None) -> str | None:
    """The CloudEvents id of a record that has one."""
    import json

    with suppress(ValueError):
        body = json.loads(value or b"")
        return str(body.get("id")) if isinstance(body, dict) else None
    return None


def seed_of_the_day() -> int:
    """A new one each time, unless it is given."""
    return int(os.environ.get("LEAD_ROUTER_CHAOS_SEED") or time.time_ns() % 1_000_000)


async def chaos(postgres: EmbeddedPostgres, brokers: int, run: Run) -> None:
    """One run in a world of its own."""
    seed = seed_of_the_day()
    print(f"seed {seed}")
    server = url_of(postgres.url, "postgres")
    # Small batches: whoever comes back has some behind it and looks two ahead.
    settings = {"lease_s": LEASE_S, "heartbeat_s": 0.3, "partitions": 6, "watchdog_s": 60, "batch_max_records": 60}
    world_ = a_world(server, None, brokers=brokers, **settings)
    world = await asyncio.to_thread(world_.__enter__)
    try:
        await rage(world, postgres, run, seed)
    finally:
        await asyncio.to_thread(world_.__exit__, None, None, None)


@pytest.mark.needs_kafka
@pytest.mark.timeout(400)
async def test_short_run_on_kafka(kafka_jars: None, own_postgres: EmbeddedPostgres) -> None:
    await chaos(own_postgres, 1, SHORT)


@pytest.mark.timeout(400)
async def test_short_run_on_the_log_in_postgresql(own_postgres: EmbeddedPostgres) -> None:
    await chaos(own_postgres, 0, SHORTER)


@pytest.mark.slow
@pytest.mark.needs_kafka
@pytest.mark.timeout(1800)
async def test_long_run_on_kafka(kafka_jars: None, own_postgres: EmbeddedPostgres) -> None:
    await chaos(own_postgres, 1, LONG)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_long_run_on_the_log_in_postgresql(own_postgres: EmbeddedPostgres) -> None:
    await chaos(own_postgres, 0, LONG)
