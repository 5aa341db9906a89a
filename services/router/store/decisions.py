"""Decisions with all their inputs, and the events that have been looked at already."""

from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.messages import Timing
from services.eventlog.ports import Connection
from services.router.core.model import DecisionRecord

# For `router.apply`; causes are one text with blanks, since arrays of arrays must be of one length.
TYPES: Final = "uuid[],uuid[],int[],timestamptz[],text[],text[],text[],text[],text[],timestamptz[],timestamptz[],timestamptz[],json[]"
WIDTH: Final = 13
# Event ids begin with their time, so old ones are a range of the key.
PRUNE: Final = """
DELETE FROM router.cause WHERE (event_id, reversed) IN (
  SELECT event_id, reversed FROM router.cause WHERE event_id < $1::uuid ORDER BY event_id LIMIT $2)
"""
_encode: Final = msgspec.json.Encoder().encode


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A decision to write, with what led to it and when each step happened."""

    record: DecisionRecord
    causes: list[str]
    timing: Timing


def row_of(decided: Decided, snapshot: str | None = None) -> tuple[Any, ...]:
    """For `TYPES`.

    Args:
        snapshot: The record's snapshot, if it has been encoded already.
    """
    record, timing = decided.record, decided.timing
    verdict = record.verdict
    text = _encode(record if snapshot is None else _with_raw(record, snapshot)).decode()
    return (
        record.id, record.lead_id, record.n, record.now, verdict.segment, verdict.stage, verdict.route, verdict.assignee,
        " ".join(decided.causes), timing.occurred_at, timing.received_at, timing.scored_at, text,
    )  # fmt: skip


def _with_raw(record: DecisionRecord, snapshot: str) -> Any:
    return msgspec.structs.replace(record, snapshot=msgspec.Raw(snapshot))  # for the encoder only


async def prune_causes(pg: Connection, before: datetime, limit: int) -> int:
    """Forget events that happened before `before`, at most `limit`; returns how many."""
    lowest = f"{int(before.timestamp() * 1000):012x}" + "0" * 20
    return int((await pg.execute(PRUNE, lowest, limit)).rsplit(" ", 1)[1])
