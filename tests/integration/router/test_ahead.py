"""A batch is decided while the one before is not written yet: to the same end as one after the other, or not at all."""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from schemas.codec import outcome_decoder, routed_decoder
from schemas.messages import AccountRef, LeadScored, PersonRef
from schemas.topics import LEAD_OUTCOMES, LEAD_ROUTED
from services.eventlog.ports import Batch
from services.router.core.claim import Asked
from services.router.core.decide import again
from services.router.handler import RouterHandler
from services.router.handler.flight import Work
from services.router.store.leads import Memory
from services.router.store.reads import Reads, record_of
from services.runtime.access import Identity
from services.runtime.db import Database
from services.runtime.errors import Conflict
from tests.support.routing import (
    NOW,
    Person,
    Process,
    Room,
    cause,
    example_policy,
    example_view,
    message_of,
    until,
    with_people,
)

ADMIN = Identity("admin", None, "t", "admin")
DOMAINS = ("fjordsoft", "kivi", "tundra", "nordwind")
TABLES = ("lead", "assignment", "decision", "timer", "cause", "account_rep", "pool_state")
Drive = Callable[[RouterHandler, Sequence[Batch]], Any]
Messages = list[LeadScored | bytes]


async def in_turn(handler: RouterHandler, batches: Sequence[Batch]) -> list[Work]:
    """One after the other."""
    works = []
    for batch in batches:
        works.append(await handler.prepare(batch))
        await handler.apply(batch, works[-1])
    return works


async def unseen(handler: RouterHandler, batches: Sequence[Batch]) -> list[Work]:
    """Every batch is prepared before anything of the one before is written."""
    works: list[Work] = []
    for batch in batches:
        works.append(await handler.prepare(batch))
        if len(works) > 1:
            await handler.apply(batches[len(works) - 2], works[-2])
    await handler.apply(batches[-1], works[-1])
    return works


async def abreast(handler: RouterHandler, batches: Sequence[Batch]) -> list[Work]:
    """As the loop does it: a batch is prepared while the one before is written."""
    works: list[Work] = []
    ahead = asyncio.create_task(handler.prepare(batches[0]))
    for number, batch in enumerate(batches, 1):
        works.append(await ahead)
        if number < len(batches):
            ahead = asyncio.create_task(handler.prepare(batches[number]))
        await handler.apply(batch, works[-1])
    return works


def crowd(seed: int, batches: int = 14, size: int = 9) -> list[Messages]:
    """Few people of few companies in many batches: nearly every batch meets the one before, in every way."""
    draw = random.Random(seed)
    people = [Person(f"p{i}@{DOMAINS[i % 4]}.example", grade=draw.choice("AABD")) for i in range(16)]
    gone: set[str] = set()
    made: list[Messages] = []
    for step in range(batches):
        batch: Messages = []
        late = step >= batches // 2  # what cannot be foreseen ends deciding ahead for a while
        for index in range(size):
            person, at = draw.choice(people), NOW + timedelta(minutes=step, milliseconds=index)
            signal = draw.choice(("page.viewed", "webinar.attended", "webinar.attended", "deal.lost", "deal.won"))
            # Some events come twice, some are taken back.
            event = cause(f"e{draw.randrange(150)}", signal, at=NOW, path="/pricing", reversed=draw.random() < 0.2)
            score, chance = draw.choice((0, 20, 60, 80)), draw.random()
            if chance < 0.06 and late:
                batch.append(person.says(0, at=at, kind="erased", known=False, person=PersonRef(), account=None))
            elif chance < 0.2:
                other = draw.choice([one for one in people if one is not person])
                if other.id not in gone and person.id not in gone:
                    gone.add(other.id)
                    bare = {"known": False, "person": PersonRef(), "account": None, "fit": None}
                    batch.append(other.says(0, at=at, kind="merged", merged_into=person.id, **bare))
                    batch.append(person.says(score, event, at=at, merged_from=[other.id]))
            elif chance < 0.23 and late:
                batch.append(b"no message")
            else:
                batch.append(person.says(score, event, at=at, kind=draw.choice(("changed", "changed", "reversed"))))
        made.append(batch or [people[0].says(0)])
    return made


def strangers(people: int, size: int) -> list[Messages]:
    """Each is of a company of their own and goes to the pool, one after the other."""
    said: Messages = []
    for index in range(people):
        at = NOW + timedelta(milliseconds=index)
        account = AccountRef(domain=f"d{index}.example", employees=120, industry="software", unlisted=True)
        event = cause(f"t{index}", "webinar.attended", at=at)
        said.append(Person(f"f{index}@d{index}.example").says(60, event, at=at, account=account))
    return [said[at : at + size] for at in range(0, people, size)]


async def stood(room: Room) -> dict[str, list[Any]]:
    """Everything that the router has written, messages included, as it reads."""
    found: dict[str, list[Any]] = {
        table: await room.fetch(f"SELECT * FROM router.{table} ORDER BY 1") for table in TABLES
    }
    found["timer"].sort(key=lambda row: (row["lead_id"], row["kind"]))
    found["cause"].sort(key=lambda row: (row["event_id"], row["reversed"]))
    for row in found["decision"]:
        row["record"] = record_of({"record": json.loads(row["record"])})
    for row in found["lead"]:
        row["snapshot"] = msgspec.json.decode(row["snapshot"] or "null", type=LeadScored | None)
        row["memory"] = msgspec.json.decode(row["memory"], type=Memory)
    told = await room.fetch("SELECT topic, part, value FROM log.record ORDER BY topic, part, off")
    decoders = {LEAD_ROUTED.name: routed_decoder, LEAD_OUTCOMES.name: outcome_decoder}
    found["told"] = [(row["topic"], row["part"], decoders[row["topic"]].decode(row["value"])) for row in told]
    found["dead"] = await room.fetch("SELECT part, off FROM log.dead_letter ORDER BY part, off")
    return found


async def begin_anew(room: Room) -> Room:
    """Nothing has happened yet."""
    for table in TABLES:
        await room.fetch(f"TRUNCATE router.{table}")
    for table in ("log.record", "log.dead_letter"):
        await room.fetch(f"DELETE FROM {table}")
    await room.fetch("UPDATE log.lease SET next_offset = 0")
    return Room(room.db, room.log, room.policies.active, room.view)


async def end_of(room: Room, batches: Sequence[Messages], drive: Drive) -> tuple[dict[str, Any], list[Work]]:
    """What the batches come to, driven so, and the works."""
    anew = await begin_anew(room)
    anew.next = dict.fromkeys(range(4), 0)
    works = await drive(anew.handler, [anew.batch(*batch) for batch in batches])
    return await stood(anew), works


@pytest.mark.parametrize("drive", [unseen, abreast])
@pytest.mark.parametrize("seed", range(4))
async def test_ahead_comes_to_the_same_as_in_turn(room: Room, drive: Drive, seed: int) -> None:
    batches = crowd(seed)
    expected, _ = await end_of(room, batches, in_turn)
    found, works = await end_of(room, batches, drive)
    assert found == expected
    assert len(expected["assignment"]) >= 3
    assert any(work.upon and work.landed and not work.void for work in works)


@pytest.mark.parametrize("drive", [unseen, abreast])
async def test_reps_with_a_limit_never_get_more_than_that(room: Room, drive: Drive) -> None:
    room.view = with_people(example_view(), chloe={"capacity_open": 3}, emil={"capacity_per_day": 2})
    batches = strangers(24, 4)
    expected, _ = await end_of(room, batches, in_turn)
    found, _ = await end_of(room, batches, drive)
    assert found == expected
    rows = await room.fetch("SELECT rep_id, count(*) AS n FROM router.assignment GROUP BY 1")
    given = {row["rep_id"]: row["n"] for row in rows}
    assert (given["chloe"], given["emil"]) == (3, 2)


async def test_turns_are_fair_at_every_prefix_and_every_decision_is_repeatable(room: Room) -> None:
    batches = strangers(21, 3)  # beyond that the handovers of a day are used up
    _, works = await end_of(room, batches, abreast)
    assert all(work.decision is not None and not work.void for work in works[1:])
    rows = await room.fetch("SELECT rep_id FROM router.assignment ORDER BY offered_at")
    pool = room.view.pool("sdr-midmarket")
    assert pool is not None
    total, had = sum(pool.weights.values()), dict.fromkeys(pool.weights, 0)
    for number, row in enumerate(rows, 1):
        had[row["rep_id"]] += 1
        assert all(abs(had[rep] - number * weight / total) <= 1 for rep, weight in pool.weights.items())
    assert len(rows) == 21
    for lead in await room.fetch("SELECT id FROM router.lead"):
        for one in await Reads(room.db).decisions(lead["id"], 10):
            record = record_of(one)
            assert again(record, example_policy()) == (record.verdict, record.pick)


async def test_nothing_is_written_that_was_decided_upon_what_was_not_written(room: Room) -> None:
    """Another process was there: the first batch is decided anew, to another end at the very same revisions."""
    one, two, three = (Person(f"m{i}@kivi.example") for i in range(3))

    def says() -> tuple[Messages, Messages, Messages]:
        for person in (one, two, three):
            person.version = 0
        w = "webinar.attended"
        return (
            [one.says(60, cause("a", w))],
            [two.says(60, cause("b", w, at=NOW + timedelta(seconds=2))), one.says(80, cause("c", path="/pricing"))],
            [three.says(60, cause("d", w, at=NOW + timedelta(seconds=1)))],
        )

    first, second, elsewhere = says()
    expected, _ = await end_of(room, [elsewhere, first, second], in_turn)
    anew = await begin_anew(room)
    anew.next = dict.fromkeys(range(4), 0)
    away, batches = anew.batch(*elsewhere), [anew.batch(*first), anew.batch(*second)]
    works = [await anew.handler.prepare(batch) for batch in batches]
    assert works[1].upon == [works[0]]
    await in_turn(Room(room.db, room.log).handler, [away])
    with pytest.raises(Conflict):
        await anew.handler.apply(batches[0], works[0])
    assert works[1].void
    anew.handler.reset()
    await in_turn(anew.handler, batches[:1])
    await anew.handler.apply(batches[1], works[1])
    assert await stood(anew) == expected


async def test_a_batch_whose_forerunner_is_decided_anew_is_decided_anew(room: Room) -> None:
    person = Person("anni@nordwind.example")
    batches = [room.batch(person.says(60, cause(f"n{i}", path="/pricing"))) for i in range(3)]
    works = [await room.handler.prepare(batch) for batch in batches[:2]]
    room.handler._flights.drop()
    await room.handler.apply(batches[0], works[0])
    writing = asyncio.create_task(room.handler.prepare(batches[2]))
    await room.handler.apply(batches[1], works[1])
    await room.handler.apply(batches[2], await writing)
    assert [row["n"] for row in await room.fetch("SELECT version AS n FROM router.lead")] == [3]
    assert len(await room.fetch("SELECT event_id FROM router.cause")) == 3


async def test_a_timer_between_is_not_forgotten(room: Room) -> None:
    person = Person("maria@fjordsoft.example")
    await room.send(person.says(60, cause("a", "webinar.attended")))
    later = NOW + timedelta(days=200)
    ahead = room.batch(person.says(0, cause("b", "email.opened", at=later), at=later))
    work = await room.handler.prepare(ahead)
    await room.tick(later)
    assert work.void
    await room.handler.apply(ahead, work)
    lead = (await room.fetch("SELECT version, stage FROM router.lead"))[0]
    assert (lead["version"], lead["stage"]) == (2, "identified")
    for one in await Reads(room.db).decisions((await room.fetch("SELECT id FROM router.lead"))[0]["id"], 10):
        record = record_of(one)
        assert again(record, example_policy()) == (record.verdict, record.pick)


async def test_an_answer_between_is_seen_at_the_next_try(room: Room) -> None:
    person = Person("maria@fjordsoft.example")
    await room.send(person.says(60, cause("a", "webinar.attended")))
    batch = room.batch(person.says(0, cause("a", "webinar.attended", reversed=True), kind="reversed"))
    work = await room.handler.prepare(batch)
    one = (await room.leads.one(ADMIN, person.id))["assignment"]
    asked = Asked(command="accept", assignment_id=one["id"], gen=one["gen"], rep=None)
    await room.answers.give(person.id, asked, lambda lead: True)
    with pytest.raises(Conflict):
        await room.handler.apply(batch, work)
    room.handler.reset()
    await in_turn(room.handler, [batch])
    shown = await room.leads.one(ADMIN, person.id)
    assert (shown["assignment"]["state"], shown["assignee"]) == ("accepted", "chloe")


async def test_who_waits_for_a_batch_that_is_given_up_is_let_go(room: Room) -> None:
    person = Person("anni@nordwind.example")
    batches = [room.batch(b"poison"), room.batch(person.says(60, cause("a", path="/pricing")))]
    first = await room.handler.prepare(batches[0])
    room.handler._flights.begin(first)
    waiting = asyncio.create_task(room.handler.prepare(batches[1]))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    room.handler.reset()
    second = await waiting
    assert second.decision is None or second.void


async def test_the_running_loop_gives_every_lead_one_home(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAD_ROUTER_BATCH_MAX_RECORDS", "7")
    process = await Process(database).start()
    people = [Person(f"p{i}@{DOMAINS[i % 4]}.example") for i in range(60)]
    for round_ in range(3):
        said = [p.says(60, cause(f"{round_}.{i}", "webinar.attended")) for i, p in enumerate(people)]
        await process.log.writer().publish([message_of(one) for one in said])

    async def heard() -> bool:
        async with database.raw() as pg:
            return await pg.fetchval("SELECT count(*) FROM router.cause") == 180

    assert await until(heard, 20)
    await process.stop()
    async with database.raw() as pg:
        rows = await pg.fetch(
            "SELECT l.domain, a.rep_id FROM router.assignment a JOIN router.lead l ON l.id = a.lead_id"
        )
        states = [row["state"] for row in await pg.fetch("SELECT state::text FROM router.pool_state")]
    assert len(rows) == 60
    assert len({(row["domain"], row["rep_id"]) for row in rows}) == len(DOMAINS)
    assert all(sum(json.loads(state).get("credits", {}).values()) == 0 for state in states)
