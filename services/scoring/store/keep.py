"""Keeps house: partitions of the events ahead and behind, old segments, visitors that never came back."""

from typing import Final

from services.runtime.db import Database
from services.scoring.core.read import DAY_MS

WEEK_MS: Final = 7 * DAY_MS
WEEKS_AHEAD: Final = 2
# Idle visitors are forgotten after so many days; nobody can name them and their points have faded.
IDLE_DAYS: Final = 90
CHUNK: Final = 5000
LOCK: Final = 7_209_471_106  # advisory: one process at a time makes partitions

EXISTING: Final = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'scoring.event'::regclass"""
OLD_SEGMENTS: Final = """
DELETE FROM scoring.segment WHERE id IN (SELECT id FROM scoring.segment WHERE received_day < $1 ORDER BY received_day LIMIT 200)"""
OLD_SIDE: Final = """
DELETE FROM scoring.event_side e WHERE e.id IN (
    SELECT e.id FROM scoring.event_side e LEFT JOIN scoring.segment s ON s.id = e.segment WHERE s.id IS NULL LIMIT $1)"""
IDLE: Final = """
DELETE FROM scoring.profile WHERE key IN (
    SELECT p.key FROM scoring.profile p WHERE p.kind = 3 AND p.seen_day < $1
       AND NOT EXISTS (SELECT 1 FROM scoring.link l WHERE l.key = p.key) LIMIT $2)"""


def weeks(now_ms: int, dedupe_days: int) -> range:
    """Weeks since 1970 for which there are partitions."""
    return range((now_ms - (dedupe_days + 1) * DAY_MS) // WEEK_MS, now_ms // WEEK_MS + WEEKS_AHEAD + 1)


def bounds(now_ms: int, dedupe_days: int) -> tuple[int, int]:
    """First own time, Unix ms, that has a partition, and the first that has none."""
    kept = weeks(now_ms, dedupe_days)
    return kept.start * WEEK_MS, kept.stop * WEEK_MS


async def keep_partitions(db: Database, now_ms: int, dedupe_days: int) -> None:
    """Make the partitions that are missing; drop those of weeks that are too old for anything to repeat."""
    wanted = weeks(now_ms, dedupe_days)
    async with db.transaction() as pg:
        await pg.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        there = {str(row[0]) for row in await pg.fetch(EXISTING)}
        for week in wanted:
            name = f"event_w{week}"
            if name not in there:
                await pg.execute(f"CREATE TABLE scoring.{name} (LIKE scoring.event INCLUDING ALL)")
                await pg.execute(
                    f"ALTER TABLE scoring.event ATTACH PARTITION scoring.{name} FOR VALUES FROM ('{_edge(week)}') TO ('{_edge(week + 1)}')"
                )
        for name in there:
            # One week more than is looked at: a process with an older clock may still write there.
            if int(name.removeprefix("event_w")) < wanted.start - 1:
                await pg.execute("SET LOCAL lock_timeout = '500ms'")
                await pg.execute(f"DROP TABLE scoring.{name}")


def _edge(week: int) -> str:
    return (week * WEEK_MS).to_bytes(6).hex() + "0" * 20


async def keep_house(db: Database, now_ms: int, dedupe_days: int) -> None:
    """Delete what nobody can ask for any more, a piece at a time."""
    today = now_ms // DAY_MS
    for statement, arguments in (
        (OLD_SEGMENTS, (today - dedupe_days - 8,)),
        (OLD_SIDE, (CHUNK,)),
        (IDLE, (today - max(IDLE_DAYS, dedupe_days), CHUNK)),
    ):
        deleted = "DELETE 1"
        while not deleted.endswith(" 0"):
            async with db.raw() as pg:
                deleted = await pg.execute(statement, *arguments)
