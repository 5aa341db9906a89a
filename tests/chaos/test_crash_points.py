"""kill -9 at every named step of the batch transaction and the relay, on both logs: afterwards everything is there, once.

A product runs all the time (`up`). Each case starts one more process, armed to end at one step, beside it; it takes its
share of the partitions, gets traffic, and dies. The product takes over what it leaves behind, as a process started again
would, and the verifier looks at everything that has ever happened in this database.
"""

import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import httpx
import pytest

import services.cli.run  # noqa: F401 registers every step
from services.runtime import crash
from tests.chaos import traffic
from tests.chaos.processes import Process
from tests.chaos.world import Eyes, World, a_world, until

pytestmark = [pytest.mark.timeout(240), pytest.mark.needs_postgres]

KILLED: Final = 137
EVENTS: Final = 48
# Steps that several stages pass, and those that belong to the batch of one.
SHARED: Final = ("lease.taken", "consume.polled", "consume.applied")
# The stages pass the fence inside their one call; behind the call of its own stand tests/integration/eventlog/test_crashes.py.
ONE_CALL: Final = frozenset(("fence.passed",))
RELAY: Final = ("outbox.committed", "outbox.published", "outbox.adopted")
OWN: Final = {
    "scoring": ("scoring.applied", "scoring.staged", "scoring.committed"),
    "router": (
        "router.looked", "router.decided", "router.assigned", "router.committed",
    ),
    "notify": ("notify.looked", "notify.written"),
}  # fmt: skip
# Steps that a request leads to.
ASKED: Final = {
    "router.answered": "router",
    "deadletter.replayed": "notify",
    "ingest.published": "ingest",
    "ingest.buried": "ingest",
    "ingest.spooled": "ingest",
}
# Needs a HubSpot: tests/integration/ingest/test_look_up_faults.py tries it.
ELSEWHERE: Final = frozenset(
    (
        "ingest.looked_up",
        # Need a channel: tests/integration/notify/test_deliveries.py tries them.
        "notify.planned",
        "notify.taken",
        "notify.sent",
    )
)
KAFKA_ONLY: Final = frozenset((*RELAY, "ingest.spooled"))


def cases(log: str) -> Iterator[tuple[str, str]]:
    """(mode, step) of everything that is tried on one log."""
    for stage, own in OWN.items():
        steps = [*SHARED, *own]
        if stage != "notify":
            steps += RELAY
        yield from ((stage, step) for step in steps if log == "kafka" or step not in KAFKA_ONLY)
    yield from ((stage, step) for step, stage in ASKED.items() if log == "kafka" or step not in KAFKA_ONLY)


def parameters() -> list[object]:
    """Cases of both logs, each log on a worker of its own."""
    marks = {
        "postgres": [pytest.mark.xdist_group("chaos-postgres")],
        "kafka": [pytest.mark.xdist_group("chaos-kafka"), pytest.mark.needs_kafka],
    }
    return [
        pytest.param(log, mode, step, marks=of, id=f"{log}-{mode}-{step}")
        for log, of in marks.items()
        for mode, step in cases(log)
    ]


def test_every_step_is_tried() -> None:
    for log in ("postgres", "kafka"):
        tried = {step for _, step in cases(log)}
        assert tried == set(crash.STEPS) - ELSEWHERE - ONE_CALL - (KAFKA_ONLY if log == "postgres" else set())


@pytest.fixture(scope="module")
def worlds(
    postgres_server: str, template_database: str, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], World]]:
    """The world of each log, made when first asked for: a product that runs."""
    made: dict[str, World] = {}
    with contextlib.ExitStack() as stack:

        def world(log: str) -> World:
            if log not in made:
                if log == "kafka":
                    request.getfixturevalue("kafka_jars")
                brokers = 1 if log == "kafka" else 0
                made[log] = stack.enter_context(
                    a_world(postgres_server, template_database, brokers=brokers, partitions=2)
                )
            return made[log]

        yield world


@pytest.fixture
def world(worlds: Callable[[str], World], log: str) -> World:
    return worlds(log)


_seeds = iter(range(1, 1_000_000))


async def feed(world: World, eyes: Eyes) -> None:
    await world.send(eyes, traffic.make(EVENTS, next(_seeds)))


async def product(world: World) -> Process:
    """The one that runs all the time."""
    there = next((p for p in world.processes if p.mode == "up" and p.running), None)
    return there or await world.make("up", "product").start().ready()


async def owns(eyes: Eyes, process: Process) -> bool:
    """Whether the process has taken partitions of its stage, or has ended already."""
    like = f"%:{process.pid}:%"
    sql = "SELECT 1 FROM log.lease WHERE stage = $1 AND topic <> 'lead.outcomes' AND owner LIKE $2"
    return not process.running or bool(await eyes.rows(sql, process.mode, like))


async def dies(world: World, eyes: Eyes, process: Process, act: Callable[[], Awaitable[None]] | None = None) -> None:
    """Feed the armed process until it has reached its step."""
    for _ in range(40):
        await (act or (lambda: feed(world, eyes)))()
        with contextlib.suppress(AssertionError):
            assert await process.ended(1.5) == KILLED, process.tail()
            return
        assert process.code in (None, KILLED), f"ended with {process.code}: {process.tail()}"
    raise AssertionError(f"the step was not reached: {process.tail()}")


@pytest.mark.parametrize(("log", "mode", "step"), parameters())
async def test_killed_at(world: World, log: str, mode: str, step: str) -> None:
    up = await product(world)
    async with world.eyes() as eyes:
        if step in ASKED:
            await ASKS[step](world, eyes, up)
        elif step == "outbox.adopted":
            # Rows of a dead process must lie there, and nobody else may take them first.
            await feed(world, eyes)
            await up.stop()
            before = [] if mode == "scoring" else [world.make("scoring", "before").start()]
            first = world.make(mode, "victim", crash_at="outbox.committed").start()
            await dies(world, eyes, first)
            await dies(world, eyes, world.make(mode, "victim", crash_at=step).start())
            for process in before:
                await process.stop()
            up = await product(world)
        else:
            victim = world.make(mode, "victim", crash_at=step).start()
            if step != "lease.taken":
                await until(lambda: owns(eyes, victim), 60, "the process has its share")
            await dies(world, eyes, victim)
        await world.verify(eyes, alive=[up], one_lane=log == "postgres")


# -- steps that a request leads to


async def _answered(world: World, eyes: Eyes, up: Process) -> None:
    async def offered() -> list[object]:
        return await eyes.rows("SELECT id, lead_id, gen, rep_id FROM router.assignment WHERE state = 'offered' LIMIT 1")

    await feed(world, eyes)
    (offer,) = await until(offered, 60, "somebody is offered a lead")
    victim = await world.make("router", "victim", crash_at="router.answered").start().ready()
    token = world.access["reps"][offer["rep_id"]]
    path = f"/v1/leads/{offer['lead_id'].hex}/accept"
    body = {"assignment_id": offer["id"].hex, "gen": offer["gen"]}
    with contextlib.suppress(httpx.HTTPError):
        await _post(victim, path, token, body)
    assert await victim.ended() == KILLED, victim.tail()
    again = [await _post(up, path, token, body) for _ in range(2)]
    assert [answer.status_code for answer in again] == [200, 200], again[0].text
    (state,) = await eyes.rows("SELECT state FROM router.assignment WHERE id = $1", offer["id"])
    assert state["state"] == "accepted"

    async def told() -> list[object]:
        sql = "SELECT id FROM scoring.outcome WHERE lead_id = $1 AND kind = 'accepted'"
        return await eyes.rows(sql, offer["lead_id"])

    assert len(await until(told, 30, "scoring hears of it")) == 1


async def _replayed(world: World, eyes: Eyes, up: Process) -> None:
    async def dead() -> list[object]:
        return await eyes.rows("SELECT 1 FROM log.dead_letter WHERE stage = 'scoring' AND replayed_at IS NULL")

    await feed(world, eyes)
    await until(dead, 60, "something is buried")
    victim = await world.make("notify", "victim", crash_at="deadletter.replayed").start().ready()
    body = {"stage": "scoring"}
    with contextlib.suppress(httpx.HTTPError):
        await _post(victim, "/v1/ops/dead-letters/replay", world.access["ops"], body)
    assert await victim.ended() == KILLED, victim.tail()
    answer = await _post(up, "/v1/ops/dead-letters/replay", world.access["ops"], body)
    assert answer.status_code == 200
    assert answer.json()["replayed"] > 0


async def _taken(world: World, up: Process, step: str, *, frozen: bool = False) -> None:
    number = next(_seeds)
    items = [
        {"type": "identify", "messageId": f"i{number}", "userId": f"web-{number}", "traits": {"email": f"web{number}@kivi.example"}},
        {"type": "page", "messageId": f"p{number}", "userId": f"web-{number}", "name": "Pricing"},
        {"type": "track", "messageId": f"t{number}", "event": "Nobody named"},
    ]  # fmt: skip
    victim = await world.make("ingest", "victim", crash_at=step).start().ready()
    if frozen:
        assert world.kafka is not None
        world.kafka.nodes[1].send_signal(signal.SIGSTOP)
    try:
        with contextlib.suppress(httpx.HTTPError):
            await _post(victim, "/v1/batch", world.access["source"], {"batch": items}, basic=True)
        assert await victim.ended() == KILLED, victim.tail()
    finally:
        if frozen:
            assert world.kafka is not None
            world.kafka.nodes[1].send_signal(signal.SIGCONT)
    # Nobody was answered, so the client sends it again.
    answer = await _post(up, "/v1/batch", world.access["source"], {"batch": items}, basic=True)
    assert answer.status_code == 200, answer.text


async def _published(world: World, eyes: Eyes, up: Process) -> None:
    await _taken(world, up, "ingest.published")


async def _buried(world: World, eyes: Eyes, up: Process) -> None:
    await _taken(world, up, "ingest.buried")


async def _spooled(world: World, eyes: Eyes, up: Process) -> None:
    await _taken(world, up, "ingest.spooled", frozen=True)

    async def relayed() -> bool:
        return not await eyes.rows("SELECT 1 FROM log.outbox WHERE stage = 'ingest'")

    await until(relayed, 60, "the spool of the dead process is relayed")


ASKS: Final[dict[str, Callable[[World, Eyes, Process], Awaitable[None]]]] = {
    "router.answered": _answered,
    "deadletter.replayed": _replayed,
    "ingest.published": _published,
    "ingest.buried": _buried,
    "ingest.spooled": _spooled,
}


async def _post(process: Process, path: str, token: str, body: object, *, basic: bool = False) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as http:
        headers = {} if basic else {"Authorization": f"Bearer {token}"}
        return await http.post(process.url + path, json=body, headers=headers, auth=(token, "") if basic else None)
