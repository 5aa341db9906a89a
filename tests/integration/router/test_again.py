"""Decisions can be made again from what they hold; partitions side by side agree; kill -9 leaves nothing half done."""

import asyncio
import random
import subprocess
import sys
from datetime import timedelta

import pytest

import services.router.service  # noqa: F401 registers the steps
from schemas.codec import routed_decoder
from schemas.messages import AccountRef
from services.eventlog.open import open_log
from services.router.core.decide import again
from services.router.store.reads import Reads, record_of
from services.runtime import crash
from services.runtime.access import Identity
from services.runtime.db import Database, Listener
from services.runtime.errors import Conflict, Fenced
from services.runtime.settings import Settings
from tests.support.routing import NOW, Person, Process, Room, cause, example_policy, hex_of, message_of, until

ADMIN = Identity("admin", None, "t", "admin")
DOMAINS = ("fjordsoft", "kivi", "tundra", "vesi", "nordwind", "stella", "pikkupaja", "lyseo")


def crowd(people: int, messages: int, seed: int = 1) -> list[list]:
    draw = random.Random(seed)
    who = [Person(f"p{i}@{draw.choice(DOMAINS)}.example", grade=draw.choice("ABCD")) for i in range(people)]
    batches = []
    for step in range(messages):
        batch = []
        for index, person in enumerate(who):
            at = NOW + timedelta(minutes=step, milliseconds=index)
            score = draw.choice((0, 20, 38, 42, 60))
            kind = draw.choice(("changed", "changed", "changed", "reversed"))
            windows = {"pricing_visits": float(draw.randint(0, 4)), "demo_request": float(draw.random() < 0.2)}
            batch.append(
                person.says(score, cause(f"{index}.{step}", at=at, path="/pricing"), at=at, windows=windows, kind=kind)
            )
        batches.append(batch)
    return batches


async def test_every_stored_decision_is_decided_again_to_the_same_answer(room: Room) -> None:
    for batch in crowd(24, 6):
        await room.send(*batch)
    await room.tick(NOW + timedelta(hours=2))
    await room.tick(NOW + timedelta(days=60))
    leads = await room.fetch("SELECT id FROM router.lead")
    rows = [row for lead in leads for row in await Reads(room.db).decisions(lead["id"], 100)]
    assert len(rows) > 50
    for row in rows:
        record = record_of(row)
        verdict, pick = again(record, example_policy())
        assert verdict == record.verdict
        assert pick == record.pick


async def test_any_split_into_batches_leaves_every_lead_with_exactly_one_home(room: Room) -> None:
    for batch in crowd(24, 4):
        await room.send(*batch)
    rows = await room.fetch(
        "SELECT l.assignee, l.track, l.waiting_until, a.rep_id FROM router.lead l "
        "LEFT JOIN router.assignment a ON a.lead_id = l.id AND a.state IN ('offered', 'accepted')"
    )
    for row in rows:
        assert row["assignee"] == row["rep_id"]
        assert sum(x is not None for x in (row["assignee"], row["track"], row["waiting_until"])) == 1


async def test_partitions_side_by_side_agree_on_one_rep_for_an_account(room: Room) -> None:
    people = [Person(f"p{i}@{DOMAINS[i % 4]}.example") for i in range(40)]
    by_part: dict[int, list] = {}
    for i, person in enumerate(people):
        by_part.setdefault(room.part_of(person.id), []).append(person.says(60, cause(f"w{i}", "webinar.attended")))
    assert len(by_part) == 4

    async def send(messages: list) -> None:
        for start in range(0, len(messages), 2):
            batch = room.batch(*messages[start : start + 2])
            for _ in range(20):
                try:
                    await room.handler.apply(batch, await room.handler.prepare(batch))
                    break
                except Conflict:
                    await asyncio.sleep(0)

    await asyncio.gather(*(send(messages) for messages in by_part.values()))
    rows = await room.fetch(
        "SELECT l.domain, count(DISTINCT a.rep_id) AS reps, count(*) AS leads FROM router.assignment a "
        "JOIN router.lead l ON l.id = a.lead_id GROUP BY l.domain"
    )
    assert {row["domain"]: (row["reps"], row["leads"]) for row in rows} == {
        f"{d}.example": (1, 10) for d in DOMAINS[:4]
    }
    shares = await room.fetch(
        "SELECT rep_id, count(*) AS n FROM router.account_rep GROUP BY rep_id ORDER BY n DESC, rep_id"
    )
    assert [(r["rep_id"], r["n"]) for r in shares] == [("chloe", 2), ("daavid", 1), ("emil", 1)]


async def test_two_routers_that_give_to_the_same_reps_wait_for_each_other(room: Room) -> None:
    """Each conflict costs a batch and what was decided ahead of it: they are few, however many batches there are."""
    people = [Person(f"p{i}@company{i}.example") for i in range(160)]
    for i, person in enumerate(people):
        person.account = AccountRef(domain=f"company{i}.example", employees=120, industry="software", unlisted=True)
    handlers = (room.handler, Room(room.db, room.log).handler)
    conflicts = 0

    async def send(number: int) -> None:
        nonlocal conflicts
        mine = [p for p in people if room.part_of(p.id) % 2 == number]
        batches = [room.batch(person.says(60, cause(person.email, "webinar.attended"))) for person in mine]
        for batch in batches:
            while True:
                try:
                    await handlers[number].apply(batch, await handlers[number].prepare(batch))
                    break
                except Conflict:
                    conflicts += 1
                    handlers[number].reset()  # as the loop does

    await asyncio.gather(send(0), send(1))
    rows = await room.fetch("SELECT rep_id, count(*) AS n FROM router.assignment GROUP BY 1 ORDER BY 1")
    assert [(row["rep_id"], row["n"]) for row in rows] == [("chloe", 80), ("daavid", 40), ("emil", 40)]
    assert conflicts <= 30


async def test_a_batch_under_a_lost_lease_writes_nothing(room: Room) -> None:
    batch = room.batch(Person("anni@nordwind.example").says(0, cause("a")))
    await room.fetch("UPDATE log.lease SET epoch = 2")
    with pytest.raises(Fenced):
        await room.handler.apply(batch, await room.handler.prepare(batch))
    await room.fetch(
        "INSERT INTO router.timer (lead_id, kind, part, due_at, gen) VALUES ($1, 'retry', 0, $2, 0)",
        hex_of("x"),
        NOW - timedelta(1),
    )
    with pytest.raises(Fenced):
        await room.tick(NOW)
    assert await room.fetch("SELECT id FROM router.lead") == []


CHILD = """
import asyncio, sys
from services.runtime import crash
from services.runtime.db import Database
from tests.support.routing import Process

async def main():
    crash.arm(sys.argv[2])
    await Process(Database(sys.argv[1], pool_size=4)).start()
    await asyncio.sleep(30)

asyncio.run(main())
"""
STEPS = sorted(name for name in crash.STEPS if name.startswith("router.") and name != "router.answered")


@pytest.mark.parametrize("at_once", [1, 2000])  # one: the next is decided while the first is written
@pytest.mark.parametrize("step", STEPS)
async def test_killed_at(
    step: str, at_once: int, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAD_ROUTER_BATCH_MAX_RECORDS", str(at_once))
    log = open_log(Settings(partitions=4), database, Listener(database))
    await log.ensure_topics()
    vp, mql = Person("anni@nordwind.example"), Person("maria@fjordsoft.example")
    messages = [
        vp.says(0, cause("a", "person.identified")),
        vp.says(13, cause("b", path="/pricing")),
        mql.says(60, cause("c", "webinar.attended")),
    ]
    await log.writer().publish([message_of(m) for m in messages])
    await log.close()
    child = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", CHILD, database_url, step], capture_output=True, timeout=60, check=False
    )
    assert child.returncode == 137, child.stderr[-2000:]
    process = await Process(database).start()
    await process.settled(2)
    await asyncio.sleep(0.2)
    async with database.raw() as pg:
        rows = await pg.fetch("SELECT value FROM log.record WHERE topic = 'lead.routed'")
        assert await pg.fetchval("SELECT count(*) FROM router.assignment") == 2
        # What was scored is old: its interest may have run out by now, and a timer may have said so already.
        scored = await pg.fetch("SELECT id FROM router.decision WHERE record->>'trigger' = 'scored'")
    events = [routed_decoder.decode(row["value"]) for row in rows]
    assert len({event.id for event in events}) == len(events)
    ids = {row["id"].hex for row in scored}
    sent = [e for e in events if e.data.kind == "alert" or (e.data.kind == "decided" and e.data.decision_id in ids)]
    assert sorted(event.data.kind for event in sent) == ["alert", "decided", "decided"]
    assert len({event.id for event in sent}) == 3

    async def ready() -> bool:
        return await process.service.ready() is None

    assert await until(ready)  # leases that the dead one held come later, and reading begins anew with each
    await process.stop()


async def test_the_sweep_mends_orphans_through_the_running_loop(database: Database) -> None:
    process = await Process(database).start()
    person = Person("maria@fjordsoft.example")
    await process.log.writer().publish([message_of(person.says(60, cause("c", "webinar.attended")))])
    await process.settled(1)
    async with database.raw() as pg:
        await pg.execute("UPDATE router.assignment SET state = 'closed'")
        await pg.execute("UPDATE router.lead SET assignee = NULL")
    assert await process.service.sweep() == 1

    async def mended() -> bool:
        async with database.raw() as pg:
            return await pg.fetchval("SELECT coalesce(assignee, track) FROM router.lead") is not None

    assert await until(mended)
    assert await process.service.sweep() == 0
    await process.stop()


async def test_an_api_process_answers_without_consuming(database: Database) -> None:
    process = await Process(database).start(consume=False)
    assert await process.service.ready() is None
    assert process.service.lag() == []
    assert process.service.routes() == []
    await process.stop()
