"""Versions in PostgreSQL: numbers only rise, numbers of signals are never reused, every process hears of a change."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.policy.cache import PolicyCache
from services.policy.core.compile import PolicyError
from services.policy.store import PolicyStore, Stored
from services.policy.tables import METADATA
from services.runtime.clock import FixedClock, SystemClock
from services.runtime.db import Database, Listener
from services.runtime.errors import Misconfigured, Refused, Unavailable
from tests.integration.policy.conftest import EXAMPLE

SECOND = EXAMPLE.replace("points: 6,", "points: 7,")
THIRD = EXAMPLE.replace("points: 6,", "points: 8,")


async def until(cache: PolicyCache, version: int) -> None:
    async with asyncio.timeout(5):
        while cache.ready is not None or cache.active.version != version:
            await asyncio.sleep(0.01)


async def test_put_activates_and_is_idempotent(store: PolicyStore) -> None:
    assert await store.active() is None
    first = await store.put(EXAMPLE, "maija", "the first")
    assert (first.version, first.active, first.saved_by, first.note, first.activated_by) == (
        1,
        True,
        "maija",
        "the first",
        "maija",
    )
    assert await store.put(EXAMPLE, "somebody") == first
    second = await store.put(SECOND, "maija")
    assert second.version == 2
    assert await store.active() == second
    assert [(v.version, v.active) for v in await store.history()] == [(2, True), (1, False)]
    assert [v.version for v in await store.history(1, before=2)] == [1]


async def test_a_bad_policy_is_not_kept(store: PolicyStore) -> None:
    with pytest.raises(PolicyError):
        await store.put("segments: []", "maija")
    assert await store.history() == []


async def test_rollback_goes_back_step_by_step_under_new_numbers(store: PolicyStore) -> None:
    for text in (EXAMPLE, SECOND, THIRD):
        await store.put(text, "maija")
    back = await store.rollback("otto")
    assert (back.version, back.copy_of, back.text, back.note) == (4, 2, SECOND, "back to version 2")
    again = await store.rollback("otto")
    assert (again.version, again.copy_of, again.text) == (5, 1, EXAMPLE)
    with pytest.raises(Refused) as caught:
        await store.rollback("otto")
    assert caught.value.code == "nothing_to_roll_back"
    third = await store.rollback("otto", to=3)
    assert (third.version, third.copy_of, third.text) == (6, 3, THIRD)
    with pytest.raises(Refused):
        await store.rollback("otto", to=6)
    with pytest.raises(Refused) as caught:
        await store.rollback("otto", to=99)
    assert caught.value.code == "not_found"


async def test_saved_versions_wait_and_old_ones_come_back_under_a_new_number(store: PolicyStore) -> None:
    await store.put(EXAMPLE, "maija")
    saved = await store.save(SECOND, "maija", "for later")
    assert (saved.version, saved.active, saved.activated_at) == (2, False, None)
    assert (await store.activate(2, "otto")).activated_by == "otto"
    assert (await store.activate(2, "otto")).version == 2
    brought: Stored = await store.activate(1, "otto")
    assert (brought.version, brought.copy_of, brought.active) == (3, 1, True)
    with pytest.raises(Refused):
        await store.activate(99, "otto")
    with pytest.raises(Refused):
        await store.get(99)


async def test_numbers_of_signals_are_never_reused(store: PolicyStore) -> None:
    await store.put(EXAMPLE, "maija")
    first = await store.codes()
    assert first == {"calculator_used": 64, "demo_request": 65, "pricing_visits": 66}
    renamed = EXAMPLE.replace("  calculator_used:", "  another_tool:")
    await store.put(renamed, "maija")
    assert await store.codes() == {**first, "another_tool": 67}
    policy = await store.compiled(2)
    assert policy.version == 2
    assert policy.signals["another_tool"].code == 67
    assert policy.signals["pricing_visits"].code == 66
    assert "calculator_used" not in policy.signals
    assert (await store.compiled(1)).signals["calculator_used"].code == 64


async def test_numbers_of_signals_can_run_out(store: PolicyStore, database: Database) -> None:
    async with database.raw() as pg:
        await pg.execute("INSERT INTO policy.signal_code SELECT 'old' || n, n FROM generate_series(64, 252) n")
    with pytest.raises(PolicyError, match="2 are left, 3 are needed"):
        await store.put(EXAMPLE, "maija")
    assert await store.history() == []


async def test_two_at_once_get_two_numbers(store: PolicyStore) -> None:
    await asyncio.gather(*(store.put(EXAMPLE.replace("points: 6,", f"points: {n},"), "x") for n in range(10, 16)))
    history = await store.history()
    assert [v.version for v in history] == [6, 5, 4, 3, 2, 1]
    assert [v.active for v in history] == [True, False, False, False, False, False]


async def test_every_process_hears_of_a_change(store: PolicyStore, cache: PolicyCache) -> None:
    with pytest.raises(Unavailable) as caught:
        _ = cache.active
    assert caught.value.code == "no_policy"
    assert cache.ready is not None
    await store.put(EXAMPLE, "maija")
    await until(cache, 1)
    assert cache.ready is None
    await store.put(SECOND, "maija")
    await until(cache, 2)
    assert cache.active.signals["email.clicked"].points == 7.0
    await store.rollback("maija")
    await until(cache, 3)
    assert cache.active.signals["email.clicked"].points == 6.0


async def test_a_message_of_a_newer_policy_makes_us_read_first(store: PolicyStore, database: Database) -> None:
    from datetime import UTC, datetime

    clock = FixedClock(datetime(2026, 11, 20, tzinfo=UTC))
    cache = PolicyCache(database, Listener(database), clock)  # hears nothing: never started
    await store.put(EXAMPLE, "maija")
    await cache.refresh()
    await store.put(SECOND, "maija")
    assert (await cache.at_least(1)).version == 1
    assert (await cache.at_least(2)).version == 2
    clock.steady = 5.0
    assert (await cache.at_least(9)).version == 2  # restored from a backup: the newest there is
    await store.put(THIRD, "maija")
    assert (await cache.at_least(9)).version == 2  # not asked again at once
    clock.steady = 10.0
    assert (await cache.at_least(9)).version == 3
    await cache.stop()


async def test_a_stored_policy_that_this_release_refuses(
    store: PolicyStore, database: Database, cache: PolicyCache
) -> None:
    await store.put(EXAMPLE, "maija")
    await until(cache, 1)
    async with database.transaction() as pg:
        await pg.execute("INSERT INTO policy.version (version, body, saved_by) VALUES (2, 'future: 1', 'x')")
        await pg.execute("UPDATE policy.active SET version = 2")
        await pg.execute("SELECT pg_notify('policy_changed', '2')")
    fresh = PolicyCache(database, Listener(database), SystemClock())
    with pytest.raises(Misconfigured, match="version 2 is not accepted"):
        await fresh.start()
    await asyncio.sleep(0.2)
    assert cache.active.version == 1
    await store.put(SECOND, "maija")
    await until(cache, 3)


async def test_the_cache_lives_through_a_database_that_is_away(
    store: PolicyStore, database: Database, cache: PolicyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put(EXAMPLE, "maija")
    await until(cache, 1)
    real, calls = cache.refresh, 0

    async def away_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            message = "away"
            raise Unavailable(message)
        await real()

    monkeypatch.setattr(cache, "refresh", away_once)
    await store.put(SECOND, "maija")
    await until(cache, 2)
    assert calls >= 2


async def test_tables_are_what_the_migration_made(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def differences(connection: object) -> list[object]:
        options = {
            "include_schemas": True,
            "include_name": lambda name, kind, _parents: kind != "schema" or name == "policy",
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))  # type: ignore[arg-type]

    async with database.begin() as connection:
        assert isinstance(connection, AsyncConnection)
        assert await connection.run_sync(differences) == []
