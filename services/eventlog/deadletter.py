"""What happens to a record that can never be handled? It is buried with its bytes, shown to people, and replayed.

Burying is part of the batch's own transaction: the position moves past the record only together with its row.
Too many in a row stop the stage instead: then it is not the records that are wrong. Owns `log.dead_letter`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.codec import Message
from services.eventlog import metrics
from services.eventlog.ports import Connection, DeadRecord, LogWriter, StoppedLoudly
from services.runtime import crash
from services.runtime.db import Database
from services.runtime.errors import BadMessage

DETAIL_MAX_BYTES: Final = 2000
REPLAY_AT_ONCE: Final = 500

BURY: Final = """
INSERT INTO log.dead_letter (stage, topic, part, off, reason, detail, key, value)
SELECT $1, $2, u.part, u.off, u.reason, u.detail, u.key, u.value
  FROM unnest($3::int[], $4::bigint[], $5::text[], $6::bytea[], $7::bytea[], $8::bytea[])
       AS u(part, off, reason, detail, key, value)
 ORDER BY u.part, u.off
ON CONFLICT (stage, topic, part, off, reason) DO UPDATE SET attempts = log.dead_letter.attempts + 1"""
# How many records right before each position are dead: after a restart the run goes on where it was.
TRAILING: Final = """
SELECT u.part, d.off FROM unnest($3::int[], $4::bigint[]) AS u(part, next)
  CROSS JOIN LATERAL (
    SELECT DISTINCT x.off FROM log.dead_letter x
     WHERE x.stage = $1 AND x.topic = $2 AND x.part = u.part AND x.off < u.next AND x.off >= u.next - $5::bigint) d
 ORDER BY u.part, d.off DESC"""
COLUMNS: Final = "id, stage, topic, part, off, reason, detail, key, value, attempts, died_at, replayed_at, replayed_by"
LIST: Final = f"""
SELECT {COLUMNS} FROM log.dead_letter
 WHERE ($1::text IS NULL OR stage = $1) AND ($2::text IS NULL OR reason = $2)
   AND ($3::boolean IS NULL OR (replayed_at IS NOT NULL) = $3) AND ($4::bigint IS NULL OR id < $4)
   AND ($6::text IS NULL OR topic = $6)
 ORDER BY id DESC LIMIT $5"""
SHOW: Final = f"SELECT {COLUMNS} FROM log.dead_letter WHERE id = $1"
# Locked until the end of the transaction: two replays of one row publish it once.
CLAIM_ONE: Final = f"SELECT {COLUMNS} FROM log.dead_letter WHERE id = $1 FOR UPDATE"
CLAIM_MANY: Final = f"""
SELECT {COLUMNS} FROM log.dead_letter
 WHERE replayed_at IS NULL AND part >= 0 AND ($1::text IS NULL OR stage = $1) AND ($2::text IS NULL OR reason = $2)
   AND id > $3 AND id <= $4 AND ($6::text IS NULL OR topic = $6)
 ORDER BY id LIMIT $5 FOR UPDATE SKIP LOCKED"""
MARK: Final = (
    "UPDATE log.dead_letter SET replayed_at = clock_timestamp(), replayed_by = $2 WHERE id = ANY ($1::bigint[])"
)
NEWEST: Final = "SELECT coalesce(max(id), 0) FROM log.dead_letter"
DEPTH: Final = "SELECT stage, reason, count(*) AS n FROM log.dead_letter WHERE replayed_at IS NULL GROUP BY 1, 2"
TOPICS: Final = "SELECT DISTINCT topic FROM log.dead_letter ORDER BY 1"
LEFT: Final = """
SELECT count(*) FROM log.dead_letter
 WHERE replayed_at IS NULL AND part >= 0 AND ($1::text IS NULL OR stage = $1) AND ($2::text IS NULL OR reason = $2)
   AND id > $3 AND id <= $4 AND ($5::text IS NULL OR topic = $5)"""

# What makes messages of the key and bytes of letters that never were in the log, by their topic.
Remake = Callable[[bytes | None, bytes | None], Sequence[Message]]
REMADE: Final[dict[str, Remake]] = {}

REPLAYED: Final = crash.step("deadletter.replayed", "dead letters are published again, not yet marked")


class Run:
    """How many records in a row have died, kept by the consumer over its batches.

    Args:
        limit: `dead_letter_max_run`.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.length = 0
        self._records = 0
        self._dead: set[tuple[int, int]] = set()

    def begin(self, records: int) -> None:
        """A batch of so many records begins, or begins again."""
        self._records = records
        self._dead.clear()

    def add(self, stage: str, dead: Sequence[DeadRecord]) -> None:
        """These die in the current batch. Raises `StoppedLoudly`, before anything is committed, when it is too much."""
        self._dead.update((record.part, record.offset) for record in dead)
        if len(self._dead) >= self._records and self.length + len(self._dead) > self.limit:
            reasons = ", ".join(sorted({record.reason for record in dead}))
            raise StoppedLoudly(
                f"{stage} stops: {self.length + len(self._dead)} records in a row could not be handled ({reasons}), the "
                f"limit is {self.limit}. Nothing was skipped. Mend the cause and start again; if these records really "
                "are all bad, raise LEAD_ROUTER_DEAD_LETTER_MAX_RUN",
                code="too_many_dead_letters",
            )

    def end(self, places: Sequence[tuple[int, int]]) -> None:
        """The batch is committed. `places` are (part, offset) of its records in order."""
        trailing = 0
        for place in reversed(places) if self._dead else ():
            if place not in self._dead:
                break
            trailing += 1
        self.length = self.length + trailing if trailing and trailing == len(places) else trailing


RUN: ContextVar[Run | None] = ContextVar("dead_letter_run", default=None)


async def bury(pg: Connection, stage: str, topic: str, dead: Sequence[DeadRecord]) -> None:
    """Write dead letters in the caller's transaction, after the fence.

    Raises:
        StoppedLoudly: Too many in a row: let it pass, it ends the stage.

    Metrics: leadrouter_log_dead_letters_total
    """
    if not dead:
        return
    run = RUN.get()
    if run is not None:
        run.add(stage, dead)
    await pg.execute(
        BURY,
        stage,
        topic,
        [record.part for record in dead],
        [record.offset for record in dead],
        [record.reason for record in dead],
        [record.detail.encode("utf-8", "replace")[:DETAIL_MAX_BYTES] for record in dead],
        [record.key for record in dead],
        [record.value for record in dead],
    )
    for record in dead:
        metrics.DEAD.labels(stage, record.reason).inc()


async def trailing(db: Database, stage: str, topic: str, positions: Mapping[int, int], limit: int) -> int:
    """How many records right before `positions` are dead letters, all partitions together, at most `limit` each."""
    async with db.raw() as pg:
        rows = await pg.fetch(TRAILING, stage, topic, list(positions), list(positions.values()), limit)
    expected = {part: offset - 1 for part, offset in positions.items()}
    count = 0
    for row in rows:
        if row["off"] == expected[row["part"]]:
            expected[row["part"]] -= 1
            count += 1
    return count


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A buried record as people see it. `part` is -1 for a message of an outbox that could not be published."""

    id: int
    stage: str
    topic: str
    part: int
    offset: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    attempts: int
    died_at: datetime
    replayed_at: datetime | None
    replayed_by: str | None


def _letter(row: Any) -> DeadLetter:
    return DeadLetter(
        id=row["id"],
        stage=row["stage"],
        topic=row["topic"],
        part=row["part"],
        offset=row["off"],
        reason=row["reason"],
        detail=row["detail"].decode("utf-8", "replace"),
        key=row["key"],
        value=row["value"],
        attempts=row["attempts"],
        died_at=row["died_at"],
        replayed_at=row["replayed_at"],
        replayed_by=row["replayed_by"],
    )


async def list_letters(
    db: Database,
    *,
    stage: str | None = None,
    reason: str | None = None,
    topic: str | None = None,
    replayed: bool | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[DeadLetter]:
    """Dead letters, newest first; `before` is the id after which the last page ended."""
    async with db.raw() as pg:
        return [_letter(row) for row in await pg.fetch(LIST, stage, reason, replayed, before, limit, topic)]


async def show_letter(db: Database, letter_id: int) -> DeadLetter | None:
    """One dead letter, None when there is none of this id."""
    async with db.raw() as pg:
        row = await pg.fetchrow(SHOW, letter_id)
    return None if row is None else _letter(row)


async def counts(db: Database) -> list[dict[str, Any]]:
    """Dead letters that wait for somebody, by stage and reason."""
    async with db.raw() as pg:
        return [{"stage": row["stage"], "reason": row["reason"], "count": row["n"]} for row in await pg.fetch(DEPTH)]


async def waiting(
    db: Database, *, stage: str | None = None, reason: str | None = None, topic: str | None = None
) -> int:
    """How many of a filter can be put back."""
    async with db.raw() as pg:
        found: int = await pg.fetchval(LEFT, stage, reason, 0, 2**63 - 1, topic)
    return found


async def topics(db: Database) -> list[str]:
    """The topics that dead letters came from."""
    async with db.raw() as pg:
        return [row["topic"] for row in await pg.fetch(TOPICS)]


async def replay(db: Database, writer: LogWriter, letter_id: int, by: str, *, again: bool = False) -> DeadLetter | None:
    """Put one record back at the end of its partition, bytes and key as they were, and mark it.

    A record that was replayed before is not put back again, unless `again`. A crash in between may put it back twice:
    readers skip what they have already applied.

    Returns:
        The letter as it is now; None when there is none of this id.

    Raises:
        BadMessage: It is not from the log, or the log does not take it; it stays as it is.
        Unavailable: The log is away; it stays as it is.
    """
    async with db.transaction() as pg:
        row = await pg.fetchrow(CLAIM_ONE, letter_id)
        if row is None:
            return None
        if row["replayed_at"] is None or again:
            if not await _put_back(writer, [row]):
                raise BadMessage(
                    f"dead letter {letter_id} did not come from a topic of the log ({row['topic']}, partition "
                    f"{row['part']}): there is nothing to put it back to",
                    code="not_replayable",
                )
            await pg.execute(MARK, [letter_id], by)
    return await show_letter(db, letter_id)


async def replay_many(
    db: Database,
    writer: LogWriter,
    by: str,
    *,
    stage: str | None = None,
    reason: str | None = None,
    topic: str | None = None,
    after: int = 0,
    newest: int | None = None,
) -> int:
    """Put back every record of the filter that has not been replayed; those that die again meanwhile wait.

    Returns:
        How many were put back.
    """
    done, step = 0, Step(replayed=0, after=after, newest=newest, left=1)
    while step.left:
        step = await replay_some(
            db, writer, by, stage=stage, reason=reason, topic=topic, after=step.after, newest=step.newest
        )
        done += step.replayed
    return done


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a replay of many. The next one is asked for with `after` and `newest`, as long as some are `left`."""

    replayed: int
    after: int
    newest: int | None
    left: int


async def replay_some(
    db: Database,
    writer: LogWriter,
    by: str,
    *,
    stage: str | None = None,
    reason: str | None = None,
    topic: str | None = None,
    after: int = 0,
    newest: int | None = None,
    at_most: int = REPLAY_AT_ONCE,
) -> Step:
    """Put back the next records of the filter: whoever replays many sees how far it is, from whichever process.

    Args:
        after, newest: As the step before gave them: those that die again meanwhile have higher ids, and wait.
        at_most: Records in this step, 1 to `REPLAY_AT_ONCE`.
    """
    async with db.raw() as pg:
        last = newest if newest is not None else await pg.fetchval(NEWEST)
    async with db.transaction() as pg:
        rows = await pg.fetch(CLAIM_MANY, stage, reason, after, last, at_most, topic)
        back = await _put_back(writer, rows) if rows else []
        await pg.execute(MARK, back, by)
        reached = rows[-1]["id"] if rows else last
        left = await pg.fetchval(LEFT, stage, reason, reached, last, topic) if rows else 0
    return Step(replayed=len(back), after=reached, newest=last, left=left)


def remade_by(topic: str, remake: Remake) -> None:
    """Replay letters of `topic`, which is none of the log, through `remake`; it raises `BadMessage` for hopeless ones."""
    REMADE[topic] = remake


async def _put_back(writer: LogWriter, rows: Sequence[Any]) -> list[int]:
    """Publish the rows where they came from; returns the ids of those that came from the log at all."""
    places: dict[tuple[str, int], list[Any]] = {}
    for row in rows:
        places.setdefault((row["topic"], row["part"]), []).append(row)
    back: list[int] = []
    # Into the partition it came from: a producer of somebody else may place keys in its own way.
    for (topic, part), group in places.items():
        if topic in REMADE:
            back += await _put_remade(writer, REMADE[topic], group, alone=len(rows) == 1)
            continue
        messages = [Message(topic=topic, key=row["key"], value=row["value"]) for row in group]
        try:
            await writer.publish(messages, part=part)
        except BadMessage as error:
            if error.code not in ("unknown_topic", "unknown_partition"):
                raise
        else:
            back += [row["id"] for row in group]
    crash.reach(REPLAYED)
    return back


async def _put_remade(writer: LogWriter, remake: Remake, rows: Sequence[Any], *, alone: bool) -> list[int]:
    """Publish what the letters say today. Of many, those that still say nothing usable stay; one alone says why."""
    messages: list[Message] = []
    back: list[int] = []
    for row in rows:
        try:
            messages += remake(row["key"], row["value"])
        except BadMessage:
            if alone:
                raise
        else:
            back.append(row["id"])
    await writer.publish(messages)
    return back
