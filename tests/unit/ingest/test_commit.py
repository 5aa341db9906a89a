"""Durable, then answered: groups, back-pressure, a log that is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from schemas.codec import Message
from services.eventlog.ports import DeadRecord
from services.ingest.handler import commit
from services.ingest.handler.commit import Committer
from services.runtime.clock import SystemClock
from services.runtime.errors import BadMessage, Unavailable


class Writer:
    """A log that does as it is told."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish(self, messages: Sequence[Message], part: int | None = None) -> None:
        await self.gate.wait()
        if any(message.value == b"too large" for message in messages):
            raise BadMessage("one is too large", code="message_too_large")
        if self.error is not None:
            raise self.error
        self.groups.append([message.value or b"" for message in messages])

    async def close(self) -> None: ...


class Spool:
    """An outbox that remembers."""

    def __init__(self) -> None:
        self.rows: list[list[bytes]] = []
        self.committed_rows = 0

    async def stage(self, _pg: Any, messages: Sequence[Message]) -> None:
        self.rows.append([message.value or b"" for message in messages])

    async def committed(self, _staged: Any = None) -> None:
        self.committed_rows += 1


class Db:
    """A database that is there, or away."""

    def __init__(self) -> None:
        self.away = False

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        if self.away:
            raise Unavailable("PostgreSQL does not answer", code="database_away")
        yield


class Parts:
    """A committer and everything around it."""

    def __init__(self, *, spool: bool = True, queue_max: int = 1000, wait_s: float = 0.001) -> None:
        self.writer, self.spool, self.db = Writer(), Spool(), Db()
        self.buried: list[DeadRecord] = []
        self.health: str | None = None

        async def bury(dead: Sequence[DeadRecord]) -> None:
            async with self.db.transaction():
                self.buried += dead

        async def healthy() -> str | None:
            return self.health

        self.committer = Committer(
            self.writer,
            self.spool if spool else None,  # type: ignore[arg-type]  # the two methods in use are there
            bury,
            healthy,
            db=self.db,  # type: ignore[arg-type]  # as above
            clock=SystemClock(),
            wait_s=wait_s,
            queue_max=queue_max,
        )

    async def __aenter__(self) -> "Parts":
        await self.committer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.committer.stop(1)


def some(*values: bytes) -> list[Message]:
    return [Message(topic="t", key=b"k", value=value) for value in values]


DEAD = DeadRecord(part=-1, offset=1, reason="no_id", detail="names nobody", key=b"{}", value=b"{}")


async def test_those_who_meet_are_committed_together() -> None:
    async with Parts(wait_s=0.02) as parts:
        await asyncio.gather(*(parts.committer.commit(some(bytes([i]))) for i in range(50)))
        assert len(parts.writer.groups) == 1
        assert sorted(parts.writer.groups[0]) == [bytes([i]) for i in range(50)]


async def test_one_at_a_time_in_the_order_of_arrival() -> None:
    async with Parts() as parts:
        parts.writer.gate.clear()
        first = asyncio.create_task(parts.committer.commit(some(b"1")))
        await asyncio.sleep(0.02)
        rest = [asyncio.create_task(parts.committer.commit(some(value))) for value in (b"2", b"3")]
        await asyncio.sleep(0.01)
        parts.writer.gate.set()
        await asyncio.gather(first, *rest)
        assert parts.writer.groups == [[b"1"], [b"2", b"3"]]


async def test_too_much_waits() -> None:
    async with Parts(queue_max=10) as parts:
        parts.writer.gate.clear()
        held = asyncio.create_task(parts.committer.commit(some(b"0")))
        await asyncio.sleep(0.02)
        waiting = asyncio.create_task(parts.committer.commit(some(*[b"x"] * 8)))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as refused:
            await parts.committer.commit(some(b"a", b"b", b"c"))
        assert refused.value.code == "too_busy"
        parts.writer.gate.set()
        await asyncio.gather(held, waiting)


async def test_one_that_the_log_refuses_spoils_no_other() -> None:
    async with Parts(wait_s=0.02) as parts:
        done = await asyncio.gather(
            parts.committer.commit(some(b"a")),
            parts.committer.commit(some(b"too large")),
            parts.committer.commit(some(b"b")),
            return_exceptions=True,
        )
        assert [type(one) for one in done] == [type(None), BadMessage, type(None)]
        assert parts.writer.groups == [[b"a"], [b"b"]]


async def test_the_log_is_away_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "PROBE_S", 0.01)
    async with Parts() as parts:
        parts.writer.error, parts.health = Unavailable("no broker"), "no broker"
        await parts.committer.commit(some(b"1"))
        await parts.committer.commit(some(b"2"))
        assert parts.spool.rows == [[b"1"], [b"2"]]
        assert parts.spool.committed_rows == 2
        assert parts.committer.log_away
        parts.writer.error, parts.health = None, None
        await asyncio.sleep(0.1)
        await parts.committer.commit(some(b"3"))
        assert parts.writer.groups == [[b"3"]]
        assert not parts.committer.log_away


async def test_log_and_database_are_away() -> None:
    async with Parts() as parts:
        parts.writer.error, parts.db.away = Unavailable("no broker", code="log_away"), True
        with pytest.raises(Unavailable):
            await parts.committer.commit(some(b"1"))
        assert not parts.committer.ended


async def test_without_a_spool_a_log_that_is_away_is_back_pressure() -> None:
    async with Parts(spool=False) as parts:
        parts.writer.error = Unavailable("no database", code="database_away")
        with pytest.raises(Unavailable) as refused:
            await parts.committer.commit(some(b"1"))
        assert refused.value.code == "database_away"
        parts.writer.error = None
        await parts.committer.commit(some(b"2"))


async def test_bad_items_are_buried_before_anybody_is_answered() -> None:
    async with Parts() as parts:
        await parts.committer.commit(some(b"1"), [DEAD])
        assert parts.buried == [DEAD]
        parts.db.away = True
        with pytest.raises(Unavailable):
            await parts.committer.commit(some(b"2"), [DEAD])
        assert parts.writer.groups == [[b"1"]], "nothing of a request that was refused: it comes again"


async def test_a_bug_leaves_nobody_waiting() -> None:
    parts = Parts()
    await parts.committer.start()
    parts.writer.error = RuntimeError("a bug")
    with pytest.raises(Unavailable):
        await parts.committer.commit(some(b"1"))
    await asyncio.sleep(0.01)
    assert parts.committer.ended
    with pytest.raises(Unavailable):
        await parts.committer.commit(some(b"2"))
    with contextlib.suppress(RuntimeError):
        await parts.committer.stop(1)


async def test_stopping_commits_what_waits() -> None:
    parts = Parts(wait_s=0.05)
    await parts.committer.start()
    waiting = asyncio.create_task(parts.committer.commit(some(b"1")))
    await asyncio.sleep(0)
    await parts.committer.stop(1)
    await waiting
    assert parts.writer.groups == [[b"1"]]
    with pytest.raises(Unavailable) as refused:
        await parts.committer.commit(some(b"2"))
    assert refused.value.code == "stopping"
