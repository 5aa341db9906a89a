"""The log over HTTP, for operators: how far behind is whom, who owns what, what died, and putting it back."""

import base64
import contextlib
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from schemas.topics import StageName
from services.eventlog import deadletter
from services.eventlog.deadletter import DeadLetter
from services.eventlog.ports import Log, LogReader
from services.runtime.access import Identity, require
from services.runtime.db import Database
from services.runtime.errors import BadMessage
from services.runtime.http import ApiError
from services.runtime.paging import Cursor, Limit, decode_cursor, encode_cursor, page

Ops = Annotated[Identity, Depends(require("ops"))]
LetterId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Reason = Annotated[str | None, Query(max_length=100, pattern=r"^[a-z0-9_.-]+$", description="A reason code")]
Topic = Annotated[str | None, Query(max_length=250, pattern=r"^[a-zA-Z0-9_.-]+$", description="Where it came from")]

LEASES: Final = """
SELECT stage, topic, part, owner, epoch, next_offset, seen_ms, expires_at, expires_at > clock_timestamp() AS live,
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms
  FROM log.lease ORDER BY stage, topic, part"""
OUTBOX: Final = """
SELECT stage, lane, count(*) AS n, extract(epoch FROM clock_timestamp() - min(staged_at))::float8 AS oldest_s
  FROM log.outbox GROUP BY stage, lane ORDER BY stage, lane"""
# A page that is opened again and again must not ask Kafka each time.
ENDS_CACHED_S: Final = 1.0
BOUNDS_GROUP: Final = "lead-router-ops"


class ReplayFilter(BaseModel):
    """Which dead letters go back: all that were not replayed yet, of a stage, of a reason, of a topic.

    With `at_most` one step is done; `after` and `newest` of its answer ask for the next, while some are `left`.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    stage: StageName | None = None
    reason: str | None = Field(default=None, max_length=100, pattern=r"^[a-z0-9_.-]+$")
    topic: str | None = Field(default=None, max_length=250, pattern=r"^[a-zA-Z0-9_.-]+$")
    at_most: int | None = Field(default=None, ge=1, le=deadletter.REPLAY_AT_ONCE)
    after: int = Field(default=0, ge=0, le=2**63 - 1)
    newest: int | None = Field(default=None, ge=0, le=2**63 - 1)


async def lag_of(db: Database, log: Log, ends: Mapping[str, Mapping[int, int]] | None = None) -> list[dict[str, Any]]:
    """Each lease with its position, the log's end, the records between and the seconds since the newest handled one.

    Args:
        ends: Ends of partitions by topic, if they are known; else the log is asked.

    Raises:
        Unavailable: The log or the database is away.
    """
    async with db.raw() as pg:
        rows = await pg.fetch(LEASES)
    if ends is None:
        readers: dict[str, LogReader] = {}
        try:
            ends = await ends_of(log, sorted({row["topic"] for row in rows}), readers)
        finally:
            for reader in readers.values():
                await reader.close()
    lags = []
    for row in rows:
        end = ends.get(row["topic"], {}).get(row["part"])
        position = row["next_offset"] if row["next_offset"] >= 0 else None
        records = max(0, end - (position or 0)) if end is not None else None
        seconds = 0.0 if not records else max(0.0, (row["now_ms"] - row["seen_ms"]) / 1000) if row["seen_ms"] else None
        lags.append(
            {
                "stage": row["stage"],
                "topic": row["topic"],
                "part": row["part"],
                "position": position,
                "end": end,
                "records": records,
                "seconds": seconds,
                "owner": row["owner"] if row["live"] else None,
            }
        )
    return lags


async def ends_of(log: Log, topics: list[str], readers: dict[str, LogReader]) -> dict[str, Mapping[int, int]]:
    """The end of each partition of each topic that this log knows. Readers are kept in `readers` for the next time."""
    ends: dict[str, Mapping[int, int]] = {}
    for topic in topics:
        with contextlib.suppress(BadMessage):  # the lease of a topic that there is no more
            parts = range(log.partitions(topic))
            if topic not in readers:
                readers[topic] = log.reader(topic, BOUNDS_GROUP)
            ends[topic] = {part: end for part, (_, end) in (await readers[topic].bounds(parts)).items()}
    return ends


def shown(letter: DeadLetter, *, bytes_too: bool = False) -> dict[str, Any]:
    """A dead letter as JSON. Bytes that are UTF-8 are shown as text, and always as base64, so that nothing is lost."""
    plain = {name: getattr(letter, name) for name in letter.__struct_fields__ if name not in ("key", "value")}
    plain["size"] = len(letter.value or b"")
    if bytes_too:
        for name, body in (("key", letter.key), ("value", letter.value)):
            plain[name] = None if body is None else base64.b64encode(body).decode()
            plain[f"{name}_text"] = _text(body)
    return {name: msgspec.to_builtins(value) for name, value in plain.items()}


def _text(body: bytes | None) -> str | None:
    try:
        return None if body is None else body.decode()
    except UnicodeDecodeError:
        return None


def log_router(db: Database, log: Log) -> APIRouter:
    """`/v1/ops/lag`, `/v1/ops/leases`, `/v1/ops/outbox`, `/v1/ops/dead-letters`."""
    router = APIRouter(prefix="/v1/ops", tags=["ops"])
    cached: list[tuple[float, dict[str, Mapping[int, int]]]] = []
    readers: dict[str, LogReader] = {}  # closed with the log

    @router.get("/lag")
    async def lag(_who: Ops) -> dict[str, Any]:
        """How far each stage is behind, by partition. `seconds` is null when nothing was handled yet."""
        if not cached or time.monotonic() - cached[0][0] > ENDS_CACHED_S:
            async with db.raw() as pg:
                topics = [row["topic"] for row in await pg.fetch("SELECT DISTINCT topic FROM log.lease ORDER BY 1")]
            cached[:] = [(time.monotonic(), await ends_of(log, topics, readers))]
        return page(await lag_of(db, log, cached[0][1]))

    @router.get("/leases")
    async def leases(_who: Ops) -> dict[str, Any]:
        """Who owns which partition, under which epoch, until when."""
        async with db.raw() as pg:
            rows = await pg.fetch(LEASES)
        names = ("stage", "topic", "part", "owner", "epoch", "next_offset", "live")
        return page([{**{name: row[name] for name in names}, "expires_at": _until(row)} for row in rows])

    @router.get("/outbox")
    async def outbox(_who: Ops) -> dict[str, Any]:
        """Messages that wait to be published to Kafka: rows by lane, and the age of the oldest in seconds."""
        async with db.raw() as pg:
            rows = await pg.fetch(OUTBOX)
        return page([{"stage": r["stage"], "lane": r["lane"], "rows": r["n"], "oldest_s": r["oldest_s"]} for r in rows])

    @router.get("/dead-letters")
    async def letters(  # noqa: PLR0917 the filters of the list
        _who: Ops,
        stage: StageName | None = None,
        reason: Reason = None,
        topic: Topic = None,
        replayed: bool | None = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> dict[str, Any]:
        """Records that could not be handled, newest first; `replayed=false` are those that wait for somebody."""
        before = decode_cursor(cursor, int)
        found = await deadletter.list_letters(
            db,
            stage=stage,
            reason=reason,
            topic=topic,
            replayed=replayed,
            before=before[0] if before else None,
            limit=limit + 1,
        )
        following = encode_cursor(found[limit - 1].id) if len(found) > limit else None
        return page([shown(letter) for letter in found[:limit]], following)

    @router.get("/dead-letters/counts")
    async def counts(_who: Ops) -> dict[str, Any]:
        """How many wait for somebody, by stage and reason."""
        return page(await deadletter.counts(db))

    @router.post("/dead-letters/replay")
    async def replay_many(which: ReplayFilter, who: Ops) -> dict[str, Any]:
        """Put back every one of a filter that was not replayed yet, or a step of them; safe to repeat."""
        what = which.model_dump(exclude={"at_most"})
        if which.at_most is None:
            return {"replayed": await deadletter.replay_many(db, log.writer(), who.name, **what)}
        step = await deadletter.replay_some(db, log.writer(), who.name, **what, at_most=which.at_most)
        told: dict[str, Any] = msgspec.to_builtins(step)
        return told

    @router.get("/dead-letters/{letter_id}")
    async def letter(letter_id: LetterId, _who: Ops) -> dict[str, Any]:
        """One dead letter with its bytes: base64, and as text where they are text."""
        return shown(_found(await deadletter.show_letter(db, letter_id), letter_id), bytes_too=True)

    @router.post("/dead-letters/{letter_id}/replay")
    async def replay(letter_id: LetterId, who: Ops, again: bool = False) -> dict[str, Any]:
        """Put one back at the end of its partition. A second call does nothing, unless `again=true`."""
        return shown(_found(await deadletter.replay(db, log.writer(), letter_id, who.name, again=again), letter_id))

    return router


def _found(letter: DeadLetter | None, letter_id: int) -> DeadLetter:
    if letter is None:
        raise ApiError(404, "not_found", f"there is no dead letter {letter_id}")
    return letter


def _until(row: Any) -> str | None:
    # A released lease ran out at -infinity, which asyncpg gives as the earliest datetime.
    return row["expires_at"].isoformat() if row["owner"] is not None else None
