"""How does what a desk has come to get into the database? One call, with the messages for the log in it."""

from collections.abc import Sequence
from typing import Final

from schemas.codec import Message
from schemas.topics import LEAD_SCORED
from services.eventlog.core.packing import pack
from services.eventlog.fence import FenceArguments
from services.eventlog.ports import Connection, Outbox, Staged
from services.router.store.batch import NOTHING_OUT, Write, write

STAGE: Final = "router"
# In a transaction that holds its leases already, or needs none.
NO_FENCE: Final[FenceArguments] = (STAGE, LEAD_SCORED.name, [], [], [], [])


async def commit(
    pg: Connection, outbox: Outbox, one: Write, messages: Sequence[Message], fence: FenceArguments = NO_FENCE
) -> Staged | None:
    """Write `one` and stage its messages. Hand what it returns to `outbox.committed` after the commit."""
    if not messages:
        await write(pg, fence, NOTHING_OUT, one)
        return None
    if outbox.direct:
        await write(pg, fence, (None, None, None, [], *outbox.append_arguments(messages)), one)
        return None
    row = outbox.next_row(pack(messages))
    try:
        await write(pg, fence, (row.lane, row.seq, row.payload, row.published, [], [], [], []), one)
    except BaseException:
        outbox.rolled_back(row)
        raise
    return row
