"""Has this signature been used for something else? For platforms that sign a token and not the event (Mailgun).

The same token with the same body is a retry and harmless: the event has its id. With another body it is forged. What was
used stands in PostgreSQL, so that every process, also after a restart, knows it.
"""

import asyncio
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.errors import LeadRouterError

# How long a token is remembered. Far longer than any platform tries again, or than an event of then would still count.
KEEP: Final = timedelta(days=400)
SWEEP_EVERY: Final = timedelta(hours=1)
SWEEP_ROWS: Final = 10_000
# Returns what stands there in the end, also when another process was first by a moment.
CLAIM: Final = """
INSERT INTO ingest.used_token AS t (id, body, at) SELECT id, body, $3 FROM unnest($1::bytea[], $2::bytea[]) AS g (id, body)
ON CONFLICT (id) DO UPDATE SET at = t.at RETURNING t.id, t.body"""
SWEEP: Final = """
DELETE FROM ingest.used_token WHERE id IN (SELECT id FROM ingest.used_token WHERE at < $1 ORDER BY at LIMIT $2)"""


class UsedTokens:
    """Tokens of signed requests, each with a hash of the one body it came with.

    Requests that come while PostgreSQL is asked wait for the next question and share it.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._asked: list[tuple[bytes, bytes, asyncio.Future[bytes]]] = []
        self._asking: asyncio.Task[None] | None = None
        self._swept: datetime | None = None

    async def claim(self, source_id: str, token: str, body: bytes) -> bool:
        """Use a token for this body. False when it came before with another one.

        Raises:
            Unavailable: PostgreSQL is away, so nobody can tell.
        """
        made = _hash(body)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked.append((_hash(source_id.encode(), token.encode("utf-8", "replace")), made, answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="ingest tokens")
        return await answer == made

    async def _ask(self) -> None:
        """Ask for all that wait, until nobody does."""
        while self._asked:
            asked, self._asked = self._asked, []
            first: dict[bytes, bytes] = {}
            for id_, body, _ in asked:
                first.setdefault(id_, body)
            ordered = sorted(first)  # everybody locks rows in this order
            try:
                async with self._db.raw() as pg:
                    rows = await pg.fetch(CLAIM, ordered, [first[id_] for id_ in ordered], self._clock.now())
                    known = {row["id"]: row["body"] for row in rows}
                    for id_, _, answer in asked:
                        if not answer.done():
                            answer.set_result(known[id_])
                    await self._sweep(pg)  # nobody waits for that
            except LeadRouterError as error:
                for _, _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            except BaseException:
                for _, _, answer in asked:
                    answer.cancel()  # whatever ends us, nobody may wait for ever
                raise

    async def _sweep(self, pg: Any) -> None:
        now = self._clock.now()
        if self._swept is None or now - self._swept >= SWEEP_EVERY:
            self._swept = now
            if await pg.execute(SWEEP, now - KEEP, SWEEP_ROWS) == f"DELETE {SWEEP_ROWS}":
                self._swept = None  # more are due than one go takes: on with it next time


def _hash(*parts: bytes) -> bytes:
    made = blake2b(digest_size=16)
    for part in parts:
        made.update(len(part).to_bytes(8) + part)
    return made.digest()
