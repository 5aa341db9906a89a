"""Has every stage read everything? And what lies in the log, to its end?"""

import asyncio
from collections.abc import Mapping
from typing import Any

from schemas.topics import FLOW
from services.eventlog.ports import Log, Record
from services.runtime.db import Database
from services.runtime.errors import Unavailable

STAGES_OF = {topic.name: topic.reader for topic in FLOW}


async def quiet(db: Database, log: Log, seconds: float, alive: Any = None) -> None:
    """Wait until every stage has read everything and the outbox is empty.

    Args:
        alive: Called at every look; raises when waiting is pointless.
    """
    end = asyncio.get_running_loop().time() + seconds
    readers = {topic.name: log.reader(topic.name, "chaos-ends") for topic in FLOW}
    still = 0
    try:
        while True:
            if alive is not None:
                alive()
            try:
                waiting = await _waiting(db, log, readers)
            except (Unavailable, OSError) as error:
                waiting = str(error)
            # Twice in a row: what a stage writes last is counted by the next look at the stage after it.
            still = 0 if waiting else still + 1
            if still == 2:
                return
            assert asyncio.get_running_loop().time() < end, f"not quiet after {seconds:g} s: {waiting}"
            await asyncio.sleep(0.1)
    finally:
        for reader in readers.values():
            await reader.close()


async def _waiting(db: Database, log: Log, readers: Mapping[str, Any]) -> str:
    async with db.raw() as pg:
        rows = await pg.fetch("SELECT stage, topic, part, next_offset FROM log.lease")
        outbox = await pg.fetch("SELECT stage, lane, count(*) AS n FROM log.outbox GROUP BY 1, 2")
    at = {(r["stage"], r["topic"], r["part"]): r["next_offset"] for r in rows}
    said = [f"{r['n']} rows in the outbox of {r['stage']} {r['lane']}" for r in outbox]
    for topic, reader in readers.items():
        for part, (_, end) in (await reader.bounds(range(log.partitions(topic)))).items():
            position = at.get((STAGES_OF[topic], topic, part), -1)
            if position != end and not (end == 0 and position == -1):
                said.append(f"{STAGES_OF[topic]} stands at {position} of {end} in {topic}/{part}")
    return "; ".join(said)


async def read_topic(log: Log, topic: str) -> list[Record]:
    """All records, in offset order within each partition."""
    reader = log.reader(topic, "chaos-reads")
    try:
        bounds = await reader.bounds(range(log.partitions(topic)))
        at = {part: first for part, (first, _) in bounds.items()}
        ends = {part: end for part, (_, end) in bounds.items()}
        await reader.assign(at)
        records: list[Record] = []
        while any(at[part] < end for part, end in ends.items()):
            for record in await reader.poll(5000, 1.0):
                records.append(record)
                at[record.part] = record.offset + 1
        return records
    finally:
        await reader.close()
