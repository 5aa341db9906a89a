"""One batch of `lead.outcomes`: what people did with a handover is kept per lead, for learning which leads are good."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from schemas.codec import outcome_decoder
from services.eventlog.deadletter import bury
from services.eventlog.fence import fence
from services.eventlog.ports import Batch, DeadRecord
from services.runtime.db import Database
from services.scoring.store.outcomes import LEAD_ID_CHARS, OutcomeRow, save

HEX: Final = frozenset("0123456789abcdef")


class Outcomes(msgspec.Struct, frozen=True):
    """A batch ready to be written."""

    rows: list[OutcomeRow]
    dead: list[DeadRecord]


class OutcomesHandler:
    """A `BatchHandler` without memory: a message that comes twice meets its own row."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def prepare(self, batch: Batch) -> Outcomes:
        """Decode."""
        rows: list[OutcomeRow] = []
        dead: list[DeadRecord] = []
        for record in batch.records:
            try:
                event = outcome_decoder.decode(record.value or b"")
                data = event.data
                if len(data.lead_id) != LEAD_ID_CHARS or not HEX.issuperset(data.lead_id) or data.at.tzinfo is None:
                    raise msgspec.ValidationError("lead_id is 32 hex digits, at has a time zone")
                rows.append(OutcomeRow(event.id, data.lead_id, data.kind, data.reason, data.rep, data.at))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                dead.append(
                    DeadRecord(
                        part=record.part, offset=record.offset, reason="not_an_outcome", detail=str(error)[:500], key=record.key,
                        value=record.value,
                    )
                )  # fmt: skip
        return Outcomes(rows, dead)

    async def apply(self, batch: Batch, work: Outcomes) -> None:
        """Write."""
        async with self._db.transaction() as pg:
            await fence(pg, batch)
            await save(pg, work.rows)
            await bury(pg, batch.stage, batch.topic, work.dead)

    async def tick(self, epochs: Mapping[int, int]) -> None:
        """No timers."""

    def reset(self) -> None:
        """Nothing is cached."""

    def owned(self, parts: Sequence[int]) -> None:
        """Nothing is cached."""
