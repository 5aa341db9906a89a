"""Is the lease still ours? The first statement of every transaction that depends on owning partitions.

The lease is a hint for caching; this is correctness. It moves the position and takes the row's lock in one statement,
so that a new owner waits for a transaction under way and then sees its position.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from services.eventlog.ports import Batch, Connection
from services.runtime import crash
from services.runtime.db import AWAY, is_away
from services.runtime.errors import Conflict, Fenced, Unavailable

# For stages that write a batch by one plpgsql function: `PERFORM log.fence($1,$2,$3,$4,$5,$6)` first in it, with
# `fence_arguments(batch)`, and `translate` around the call.
FENCE_SQL: Final = "SELECT log.fence($1::text, $2::text, $3::int[], $4::bigint[], $5::bigint[], $6::bigint[])"
HOLD_SQL: Final = "SELECT log.hold($1::text, $2::text, $3::int[], $4::bigint[])"

FENCED: Final = "LR001"
CONFLICT: Final = "LR002"  # free for stages: RAISE … USING ERRCODE = 'LR002' when what was read ahead is stale
AGAIN: Final = frozenset((CONFLICT, "40P01", "40001"))
# Lock and statement time-outs, no resources (disk, memory, connections), shutting down, read-only after a failover.
LATER: Final = frozenset(("55P03", "57014", "25P03", "25006", "57P01", "57P02", "57P03", "57P05"))
LATER_CLASSES: Final = ("53", "08")

FENCE_PASSED: Final = crash.step("fence.passed", "the fence has passed, nothing else is written")

FenceArguments = tuple[str, str, list[int], list[int], list[int], list[int]]


def fence_arguments(batch: Batch) -> FenceArguments:
    """The six arguments of `log.fence`, sorted by partition."""
    parts = sorted(batch.next)
    return (
        batch.stage,
        batch.topic,
        parts,
        [batch.first[part] for part in parts],
        [batch.next[part] for part in parts],
        [batch.epochs[part] for part in parts],
    )


def translate(error: Exception) -> Exception:
    """The error of our tree that a database error means, or `error` itself when it means none (a bug)."""
    if isinstance(error, asyncpg.PostgresError):
        state = str(error.sqlstate or "")
        if state == FENCED:
            lost = str(error.detail or "")
            return Fenced(str(error), parts=tuple(int(part) for part in lost.split(",") if part))
        if state in AGAIN:
            return Conflict(f"{type(error).__name__}: {error}")
        if state in LATER or state.startswith(LATER_CLASSES):
            return Unavailable(f"PostgreSQL cannot now: {error}", code="database_away")
    # Of asyncpg's InterfaceErrors only a closed connection means "away"; wrong arguments and crossed calls are bugs.
    bug = isinstance(error, asyncpg.InterfaceError) and "clos" not in str(error)
    bug = bug or (isinstance(error, asyncpg.InternalClientError) and not is_away(error))
    if isinstance(error, AWAY) and not bug:
        return Unavailable(f"PostgreSQL does not answer: {error or type(error).__name__}", code="database_away")
    return error


async def fence(pg: Connection, batch: Batch) -> None:
    """Move the positions of `batch`, if every lease is still ours.

    Raises:
        Fenced: It is not; `parts` says which. Roll back.
        Unavailable: The database is away.
    """
    try:
        await pg.execute(FENCE_SQL, *fence_arguments(batch))
    except (asyncpg.PostgresError, *AWAY) as error:
        raise translate(error) from error
    crash.reach(FENCE_PASSED)


async def fence_epochs(pg: Connection, stage: str, topic: str, epochs: Mapping[int, int]) -> None:
    """Hold the leases until the end of the transaction, without moving a position: for timers.

    Args:
        epochs: Partition to the epoch it is owned under, as `tick` was given.

    Raises:
        Fenced: A lease has moved on. Roll back.
        Unavailable: The database is away.
    """
    parts: Sequence[int] = sorted(epochs)
    try:
        await pg.execute(HOLD_SQL, stage, topic, parts, [epochs[part] for part in parts])
    except (asyncpg.PostgresError, *AWAY) as error:
        raise translate(error) from error
