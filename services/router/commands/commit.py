"""How does what a desk has come to get into the database? One call, with the messages for the log in it."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from schemas.codec import Message
from schemas.topics import LEAD_SCORED
from services.eventlog.core.packing import pack
from services.eventlog.fence import FenceArguments
from services.eventlog.ports import Connection, Outbox, Staged
from services.router.store.batch import NOTHING_OUT, Write, arguments, write

STAGE: Final = "router"
# In a transaction that holds its leases already, or needs none.
NO_FENCE: Final[FenceArguments] = (STAGE, LEAD_SCORED.name, [], [], [], [])


class Parcel(msgspec.Struct, frozen=True):
    """A write and the messages that leave with it, ready to go: `packed` where they leave by rows of the outbox."""

    columns: list[Any]
    messages: Sequence[Message]
    packed: bytes | None


async def parcel(outbox: Outbox, one: Write, messages: Sequence[Message]) -> Parcel:
    """Make a parcel of `one`: once, since its leads are then taken for written."""
    columns = await arguments(one)
    return Parcel(columns, messages, pack(messages) if messages and not outbox.direct else None)


async def commit(pg: Connection, outbox: Outbox, one: Parcel, fence: FenceArguments = NO_FENCE) -> Staged | None:
    """Write it. Hand what it returns to `outbox.committed` after the commit."""
    if not one.messages:
        await write(pg, fence, NOTHING_OUT, one.columns)
        return None
    if one.packed is None:
        appending = outbox.append_arguments(one.messages)
        return outbox.appended(appending, await write(pg, fence, (None, None, None, [], *appending), one.columns))
    row = outbox.next_row(one.packed)
    try:
        await write(pg, fence, (row.lane, row.seq, row.payload, row.published, [], [], [], []), one.columns)
    except BaseException:
        outbox.rolled_back(row)
        raise
    return row
