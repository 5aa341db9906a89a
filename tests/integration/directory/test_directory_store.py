"""The directory on a real PostgreSQL: imports are idempotent, the cache follows, what stays unsaid stays as it is."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.directory.core.people import Account, Member
from services.directory.core.team_yaml import TeamError
from services.directory.imports import import_accounts, import_team
from services.directory.store import DirectoryCache, DirectoryStore
from services.runtime.db import Database, Listener

pytestmark = pytest.mark.needs_postgres

EXAMPLES = Path(__file__).parents[3] / "examples"
NOW = datetime(2026, 11, 28, 2, 0, tzinfo=UTC)


async def _example(store: DirectoryStore) -> None:
    await import_team(store, (EXAMPLES / "team.yaml").read_text())
    await import_accounts(store, (EXAMPLES / "accounts.csv").read_bytes())


async def test_example_company_loads_and_a_second_time_changes_nothing(database: Database) -> None:
    store = DirectoryStore(database)
    assert await store.empty()
    team = await import_team(store, (EXAMPLES / "team.yaml").read_text())
    assert team == {
        "reps": {"added": 8, "updated": 0, "unchanged": 0},
        "pools": {"added": 2, "updated": 0, "unchanged": 0},
    }
    result = await import_accounts(store, (EXAMPLES / "accounts.csv").read_bytes())
    assert (result.added, result.updated, result.unchanged, result.bad) == (8, 0, 0, [])
    assert not await store.empty()

    team = await import_team(store, (EXAMPLES / "team.yaml").read_text())
    assert team["reps"]["unchanged"] == 8
    assert team["pools"]["unchanged"] == 2
    again = await import_accounts(store, (EXAMPLES / "accounts.csv").read_bytes())
    assert (again.added, again.updated, again.unchanged) == (0, 0, 8)


async def test_example_company_is_the_one_of_the_contract(database: Database) -> None:
    cache = DirectoryCache(database, Listener(database))
    await _example(cache.store)
    view = await cache.refresh()
    nordwind = view.account("mail.nordwind.example")
    assert nordwind == Account(
        domain="nordwind.example", name="Nordwind Industries Oyj", industry="manufacturing", employees=2400, country="FI",
        named=True, owner="anna", networks=("198.51.100.0/24",),
    )  # fmt: skip
    stella = view.account("stella.example")
    assert stella is not None
    assert (stella.owner, stella.employees, stella.named) == ("ben", 1500, False)
    assert view.pools["sdr-midmarket"].weights == {"chloe": 2, "daavid": 1, "emil": 1}
    assert view.pools["closers"].weights == {"elin": 1, "farid": 1}
    assert {rep.id: rep.timezone for rep in view.reps.values() if rep.id in ("anna", "ben")} == {
        "anna": "Europe/Helsinki", "ben": "Europe/Stockholm",
    }  # fmt: skip
    assert all(rep.manager == "maria" for rep in view.reps.values() if rep.id != "maria")
    # Saturday night, and yet: the example works at any hour.
    assert all(view.available(rep, NOW).ok for rep in view.reps)
    assert view.problems() == []
    match = view.match(ip="198.51.100.7")
    assert match is not None
    assert (match.account.owner, match.how) == ("anna", "network")


async def test_columns_that_a_file_has_not_stay_and_empty_cells_clear(database: Database) -> None:
    store = DirectoryStore(database)
    await _example(store)
    result = await import_accounts(store, b"Website;Owner\nhttps://www.nordwind.example/en;\nnew.example;Ben Berg\n")
    assert (result.added, result.updated, result.unchanged) == (1, 1, 0)
    row = await store.account("nordwind.example")
    assert row is not None
    assert (row["owner"], row["employees"], row["networks"]) == (None, 2400, ["198.51.100.0/24"])
    new = await store.account("new.example")
    assert new is not None
    assert new["owner"] == "ben"


async def test_a_network_of_another_account_is_a_bad_row(database: Database) -> None:
    store = DirectoryStore(database)
    await _example(store)
    result = await import_accounts(
        store, b"domain,networks\nother.example,198.51.100.0/24\nstella.example,203.0.113.0/25\n"
    )
    assert result.updated == 1
    assert [(row.line, row.column, row.value) for row in result.bad] == [(2, "networks", "198.51.100.0/24")]
    assert "nordwind.example" in result.bad[0].message


async def test_team_file_is_all_or_nothing(database: Database) -> None:
    store = DirectoryStore(database)
    with pytest.raises(TeamError) as caught:
        await import_team(store, "reps:\n  - id: anna\npools:\n  - name: p\n    members: {anna: 1, gone: 1}\n")
    assert [(one.line, one.path) for one in caught.value.problems] == [(5, "pools[0].members")]
    assert await store.empty()


async def test_absences_of_a_file_are_added_once_and_those_of_a_rep_stay(database: Database) -> None:
    store = DirectoryStore(database)
    text = "reps:\n  - {id: anna, timezone: Europe/Helsinki, absences: [{from: 2026-12-21, until: 2026-12-22}]}\n"
    await import_team(store, text)
    assert (await import_team(store, text))["reps"] == {"added": 0, "updated": 0, "unchanged": 1}
    await import_team(store, "reps:\n  - {id: anna, title: Boss}\n")
    async with store.reading() as pg:
        anna = (await store.reps(pg))["anna"]
    assert anna.title == "Boss"
    assert [(one.start, one.end) for one in anna.absences] == [
        (datetime(2026, 12, 20, 22, tzinfo=UTC), datetime(2026, 12, 22, 22, tzinfo=UTC))
    ]


async def test_the_cache_follows_the_writes_of_others(database: Database) -> None:
    listener = Listener(database)
    cache = DirectoryCache(database, listener)
    assert await cache.ready() == "the directory is not loaded yet"
    await cache.start()
    await listener.start()
    try:
        assert await cache.ready() is None
        first = cache.view
        await _example(DirectoryStore(database))
        for _ in range(200):
            if cache.view.account("nordwind.example") is not None:
                break
            await asyncio.sleep(0.02)
        assert cache.view.account("nordwind.example") is not None
        assert cache.view.version > first.version
        assert first.account("nordwind.example") is None, "a view never changes under its reader"
        # Only people changed: the index of accounts is kept.
        before = cache.view
        await import_team(cache.store, "reps:\n  - {id: anna, title: Boss}\n")
        after = await cache.refresh()
        assert after.accounts is before.accounts
        assert after.reps["anna"].title == "Boss"
        assert after.pools["closers"].members == (Member(rep="elin", weight=1), Member(rep="farid", weight=1))
    finally:
        await listener.stop()
        await cache.stop()
    assert await cache.ready() == "the directory no longer follows its database"


async def test_the_cache_polls_when_notifications_are_lost(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.directory.store.POLL_S", 0.05)
    cache = DirectoryCache(database, Listener(database))  # a listener that never listens
    await cache.start()
    try:
        await cache.store.save_accounts([Account(domain="a.example")])
        await asyncio.sleep(0.3)
        assert cache.view.account("a.example") is not None
    finally:
        await cache.stop()


async def test_two_writers_at_once_both_count(database: Database) -> None:
    store = DirectoryStore(database)
    await asyncio.gather(*(store.save_accounts([Account(domain=f"a{index}.example")]) for index in range(5)))
    loaded = await store.load()
    assert loaded.version == 5
    assert len(loaded.view.accounts) == 5


async def test_large_saves_go_in_chunks(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.directory.rows.CHUNK", 10)
    store = DirectoryStore(database)
    accounts = [
        Account(domain=f"a{index}.example", name="x" * (index % 3), networks=("192.0.2.0/24",) if index else ())
        for index in range(25)
    ]
    counts = await store.save_accounts(accounts)
    assert (counts.added, counts.updated) == (25, 0)
    counts = await store.save_accounts(accounts)
    assert (counts.added, counts.updated, counts.unchanged) == (0, 0, 25)


async def test_tables_and_migration_agree(database: Database) -> None:
    from services.directory import tables

    async with database.raw() as pg:
        for table in tables.metadata.tables.values():
            rows = await pg.fetch(
                "SELECT column_name, is_nullable FROM information_schema.columns WHERE table_schema = 'directory' AND table_name = $1",
                table.name,
            )
            assert {row["column_name"]: row["is_nullable"] == "YES" for row in rows} == {
                column.name: bool(column.nullable) for column in table.columns
            }, table.name
