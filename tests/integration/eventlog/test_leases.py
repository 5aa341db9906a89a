"""Leases: who owns what, by the database's clock, and what an owner that stood still may no longer do."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.eventlog.fence import fence, fence_arguments, fence_epochs, translate
from services.eventlog.lease import Leases
from services.eventlog.ports import Batch
from services.runtime.clock import SystemClock
from services.runtime.db import Database
from services.runtime.errors import Conflict, Fenced, Unavailable
from tests.support.logs import quick, until

pytestmark = pytest.mark.needs_postgres
TOPIC = "t"


def leases(db: Database, owner: str, parts: int = 4, **changes: object) -> Leases:
    return Leases(db, "scoring", TOPIC, parts, owner, SystemClock(), quick(**changes))


@pytest.fixture
async def one(database: Database) -> AsyncIterator[Leases]:
    made = leases(database, "one")
    yield made
    await made.stop()


@pytest.fixture
async def two(database: Database) -> AsyncIterator[Leases]:
    made = leases(database, "two")
    yield made
    await made.stop()


def batch(held: dict[int, int], first: int, following: int) -> Batch:
    """A batch of all partitions in `held` (partition to epoch)."""
    return Batch("scoring", TOPIC, [], dict.fromkeys(held, first), dict.fromkeys(held, following), held)


def epochs(of: Leases) -> dict[int, int]:
    return {part: held.epoch for part, held in of.held.items()}


async def test_a_fresh_topic_begins_at_no_position(one: Leases) -> None:
    held = await one.refresh()
    assert {part: (lease.epoch, lease.next_offset, lease.was) for part, lease in held.items()} == dict.fromkeys(
        range(4), (1, -1, None)
    )
    await one.begin(2, 1, 17)
    await one.begin(2, 1, 18)  # only the first counts
    assert (await one.refresh())[2].next_offset == 17


async def test_shares_politely_and_releases_at_once(one: Leases, two: Leases) -> None:
    await one.start()
    await until(lambda: len(one.held) == 4)
    await two.start()
    await until(lambda: one.giving)
    assert one.giving == {2, 3}
    assert not two.held
    assert two.ready() is None, "others own everything: that is ready too"
    await one.release(one.giving)
    await until(lambda: len(two.held) == 2, 1.0)
    assert epochs(two) == {2: 2, 3: 2}
    assert all(lease.was is None for lease in two.held.values()), "released cleanly: nothing to drain"
    await two.stop()
    await until(lambda: len(one.held) == 4, 1.0)


async def test_an_owner_that_is_gone_is_followed_after_its_lease(database: Database, two: Leases) -> None:
    gone = leases(database, "gone")
    await gone.refresh()
    await two.start()
    await asyncio.sleep(0.5)
    assert not two.held, "not before the lease has run out"
    assert "does not answer" in (two.ready() or "does not answer")
    await until(lambda: len(two.held) == 4, 3.0)
    assert {lease.was for lease in two.held.values()} == {"gone"}
    with pytest.raises(Fenced) as refused:
        async with database.transaction() as pg:
            await fence(pg, batch(dict.fromkeys(range(4), 1), 0, 5))
    assert refused.value.parts == (0, 1, 2, 3)
    held = await gone.refresh()  # it wakes: it owns nothing of that any more
    assert all(lease.epoch > 2 for lease in held.values())
    await gone.stop()


async def test_a_takeover_waits_for_a_transaction_under_way(database: Database, two: Leases) -> None:
    gone = leases(database, "gone", parts=1)
    (lease,) = (await gone.refresh()).values()
    two = leases(database, "two", parts=1)
    async with database.transaction() as pg:
        await fence(pg, batch({0: lease.epoch}, 0, 10))
        await asyncio.sleep(1.6)
        assert not await two.refresh(), "the row is locked by the batch: it is not free yet"
    held = await two.refresh()
    assert (held[0].epoch, held[0].next_offset, held[0].was) == (2, 10, "gone")
    await two.stop()
    await gone.stop()


async def test_the_fence_is_all_or_nothing(database: Database, one: Leases) -> None:
    await one.refresh()
    good = epochs(one)
    for stale in (good | {2: 7}, good | {9: 1}):
        with pytest.raises(Fenced) as refused:
            async with database.transaction() as pg:
                await fence(pg, batch(stale, 0, 10))
        assert refused.value.parts == ((2,) if stale.get(2) == 7 else (9,))
    assert {lease.next_offset for lease in (await one.refresh()).values()} == {-1}
    async with database.transaction() as pg:
        await fence(pg, batch(good, 0, 10))
        await fence_epochs(pg, "scoring", TOPIC, good)
    with pytest.raises(Fenced):
        async with database.transaction() as pg:
            await fence(pg, batch(good, 9, 20))  # record 9 was handled already
    with pytest.raises(Fenced):
        async with database.transaction() as pg:
            await fence_epochs(pg, "scoring", TOPIC, good | {1: 5})


async def test_a_stage_may_call_the_fence_inside_its_own_function(database: Database, one: Leases) -> None:
    await one.refresh()
    async with database.raw() as pg:
        await pg.execute("""
            CREATE FUNCTION apply_(stage text, topic text, parts int[], firsts bigint[], nexts bigint[], epochs bigint[])
            RETURNS int LANGUAGE plpgsql AS $$
            BEGIN PERFORM log.fence(stage, topic, parts, firsts, nexts, epochs); RETURN 7; END $$""")
        call = "SELECT apply_($1, $2, $3, $4, $5, $6)"
        assert await pg.fetchval(call, *fence_arguments(batch(epochs(one), 0, 3))) == 7
        with pytest.raises(asyncpg.PostgresError) as refused:
            await pg.fetchval(call, *fence_arguments(batch(epochs(one), 0, 3)))
    meant = translate(refused.value)
    assert isinstance(meant, Fenced)
    assert meant.parts == (0, 1, 2, 3)


async def test_which_database_errors_mean_what(database: Database) -> None:
    async def raised(sql: str) -> Exception:
        async with database.raw() as pg:
            with pytest.raises(asyncpg.PostgresError) as error:
                await pg.execute(sql)
        return translate(error.value)

    def raising(state: str) -> str:
        return f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{state}'; END $$"

    for state in ("LR002", "40P01", "40001"):
        assert isinstance(await raised(raising(state)), Conflict), state
    for state in ("55P03", "57014", "53100", "53200", "25006"):
        assert isinstance(await raised(raising(state)), Unavailable), state
    for state in ("23505", "22000", "P0001"):
        assert isinstance(await raised(raising(state)), asyncpg.PostgresError), state


async def test_the_heartbeat_goes_on_when_the_database_comes_back(database: Database, one: Leases) -> None:
    await one.start()
    await until(lambda: len(one.held) == 4)
    before = epochs(one)
    async with database.raw() as pg:
        await pg.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await asyncio.sleep(1.0)
    assert one.ready() is None
    assert epochs(one) == before, "nobody else was there: the leases are still ours"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["read", "apply", "steal", "release", "beat", "sleep over the lease"]), st.integers(0, 1)
        ),
        max_size=25,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_owners_do_each_record_has_its_effect_once(
    database: Database, steps: list[tuple[str, int]]
) -> None:
    """The law of lease and fence: two owners that read, stand still, steal and apply late, in any order."""
    await _law(database, steps)


async def _law(database: Database, steps: list[tuple[str, int]]) -> None:
    async with database.raw() as pg:
        await pg.execute("DROP TABLE IF EXISTS effect; CREATE TABLE effect (off bigint)")
        await pg.execute("DELETE FROM log.lease; DELETE FROM log.member")
    owners = [leases(database, "a", parts=1), leases(database, "b", parts=1)]
    # What each believes: epoch, next offset to read, batches read but not applied.
    belief: list[tuple[int, int] | None] = [None, None]
    flights: list[list[Batch]] = [[], []]
    for what, who in steps:
        if what == "beat":
            held = await owners[who].refresh()
            if 0 in held and (belief[who] is None or belief[who][0] != held[0].epoch):  # type: ignore[index]
                belief[who] = (held[0].epoch, max(0, held[0].next_offset))
                flights[who].clear()
        elif what == "read" and belief[who] is not None:
            epoch, at = belief[who]  # type: ignore[misc]
            flights[who].append(batch({0: epoch}, at, at + 3))
            belief[who] = (epoch, at + 3)
        elif what == "apply" and flights[who]:
            flight = flights[who].pop(0)
            try:
                async with database.transaction() as pg:
                    await fence(pg, flight)
                    await pg.executemany(
                        "INSERT INTO effect VALUES ($1)", [(o,) for o in range(flight.first[0], flight.next[0])]
                    )
            except Fenced:
                belief[who] = None
                flights[who].clear()
                owners[who].lost([0])
        elif what == "release":
            await owners[who].release([0])
            belief[who] = None  # but what it has read ahead may still be applied, late: the fence must refuse it
        elif what in ("steal", "sleep over the lease"):
            async with database.raw() as pg:
                await pg.execute("UPDATE log.lease SET expires_at = clock_timestamp() - interval '1 s'")
                await pg.execute("UPDATE log.member SET expires_at = clock_timestamp() - interval '1 s'")
    for owner in owners:
        await owner.stop()
    async with database.raw() as pg:
        effects = [row["off"] for row in await pg.fetch("SELECT off FROM effect ORDER BY off")]
        position = await pg.fetchval("SELECT next_offset FROM log.lease WHERE stage = 'scoring'")
    assert effects == list(range(max(0, position or 0))), "once each, up to the stored position, without a gap"
