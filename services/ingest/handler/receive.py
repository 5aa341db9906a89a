"""What becomes of one request: whose is it → what does it hold → our events → durable → answer.

Good items are kept whatever their neighbours are; bad ones go to the dead letters with their reason and their bytes.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec

from schemas.codec import Message
from services.eventlog.ports import DeadRecord
from services.ingest.core.limits import BadItem
from services.ingest.core.mapping import Facts, known
from services.ingest.handler import metrics
from services.ingest.handler.commit import Committer
from services.ingest.handler.remake import Origin, Spelling, message_of
from services.ingest.handler.waiting import Waiting
from services.ingest.sources.base import Arrival, BadBody, Limits, Parsed, Platform, Rejected
from services.ingest.store import Source, SourceCache
from services.runtime.clock import Clock
from services.runtime.errors import BadMessage, LeadRouterError, Unavailable

STAGE: Final = "ingest"
# Dead letters of requests have no place in the log. Their offset is a number made of their bytes, so that the same bad
# item sent again is the same dead letter.
PART: Final = 0
# A publishable key is public: what strangers send with it must not fill the table.
PUBLISHABLE_DEAD_PER_MINUTE: Final = 300
# How many bad items an answer lists.
LISTED_MAX: Final = 20
# Types come from outside: beyond so many different ones they share one label.
IGNORED_TYPES_MAX: Final = 500
# Events mapped before other requests get their turn: about 5 ms.
TURN_EVENTS: Final = 500
SUCCESS: Final = b'{"success":true}'


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the client is told."""

    status: int = 200
    body: bytes = SUCCESS
    retry_after_s: int | None = None
    content_type: str = "application/json"


def problem(status: int, code: str, message: str, detail: Any = None, retry_after_s: float | None = None) -> Answer:
    """An error as an answer, counted by its code."""
    metrics.REJECTED.labels(code).inc()
    body = msgspec.json.encode({"code": code, "message": message, "detail": detail})
    wait = None if retry_after_s is None else max(1, math.ceil(retry_after_s))
    return Answer(status=status, body=body, retry_after_s=wait)


def away(error: LeadRouterError) -> Answer:
    """The answer when something we need is away: never a 5xx, senders drop events on those."""
    wait = error.retry_after_s if isinstance(error, Unavailable) else 5.0
    return problem(429, error.code, error.message, retry_after_s=wait)


class Receiver:
    """Handles requests whose source is known."""

    def __init__(
        self,
        committer: Committer,
        waiting: Waiting,
        sources: SourceCache,
        *,
        spelling: Spelling,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._waiting = waiting
        self._committer = committer
        self._sources = sources
        self._spelling = spelling
        self._limits = limits
        self._clock = clock
        self._dead_minute: Counter[str] = Counter()
        self._minute = 0
        self._ignored_types: set[tuple[str, str]] = set()

    async def receive(
        self,
        arrival: Arrival,
        source: Source,
        platform: Platform,
        *,
        peer: str | None,
        keep_all: bool = False,
        told: Callable[[Parsed], Answer] | None = None,
    ) -> Answer:
        """Take one request of an authenticated source.

        Args:
            peer: Address of the client.
            keep_all: A body that cannot be read is a dead letter and answered with 200: a vendor's hook would else
                send it again for days and hold back what comes after it.
            told: Makes the answer when all is durable, for clients that want to hear of each event.
        """
        facts = Facts(
            source=f"/sources/{source.id}",
            trust="publishable" if source.publishable else "secret",
            received_at=arrival.received_at,
            peer=peer,
            user_agent=arrival.headers.get("user-agent"),
        )
        refused: BadBody | None = None
        try:
            parsed = platform.parse(arrival, self._limits)
        except BadBody as error:
            refused = error
            whole = Rejected(index=0, code=error.code, message=error.message, raw=arrival.body)
            parsed = Parsed(seen=[], rejected=[whole])
        messages, signals = await self._map(parsed, facts)
        dead = self._dead(parsed.rejected, source, platform, arrival.received_at, peer)
        taken = len(messages)
        try:
            if source.api_token is not None and messages:
                messages = await self._waiting.hold(source.id, messages)
            await self._committer.commit(messages, dead)
        except BadMessage as error:
            return problem(413, error.code, error.message)
        except LeadRouterError as error:
            return away(error)
        self._count(source, taken, signals, parsed.rejected)
        self._count_ignored(platform, parsed)
        if refused is not None and not keep_all:
            body = {"code": refused.code, "message": refused.message, "detail": None}
            return Answer(status=refused.status, body=msgspec.json.encode(body))
        if told is not None:
            return told(parsed)
        return Answer(body=_summary(taken, parsed.rejected)) if parsed.rejected else _OK

    async def _map(self, parsed: Parsed, facts: Facts) -> tuple[list[Message], Counter[str]]:
        """Messages of the good items; those that turn out bad join the rejected ones."""
        speller = self._spelling.speller()
        messages: list[Message] = []
        signals: list[str] = []
        for begin in range(0, len(parsed.seen), TURN_EVENTS):
            if begin:
                await asyncio.sleep(0)
            for index, seen in parsed.seen[begin : begin + TURN_EVENTS]:
                try:
                    message, signal = message_of(seen, facts, speller)
                except BadItem as bad:
                    parsed.rejected.append(Rejected(index=index, code=bad.code, message=bad.message, raw=seen.raw))
                else:
                    messages.append(message)
                    signals.append(signal)
        return messages, Counter(signals)

    def _dead(
        self, rejected: Sequence[Rejected], source: Source, platform: Platform, at: datetime, peer: str | None
    ) -> list[DeadRecord]:
        if not rejected:
            return []
        if source.publishable:
            rejected = rejected[: self._room_for_dead(source.id, len(rejected))]
        origin = Origin(
            source=source.id, platform=platform.name, publishable=source.publishable, received_at=at, ip=peer
        )
        key = msgspec.json.encode(origin)
        return [
            DeadRecord(
                part=PART,
                offset=_number(source.id, bad.raw),
                reason=bad.code,
                detail=bad.message,
                key=key,
                value=bad.raw,
            )
            for bad in rejected
        ]

    def _room_for_dead(self, source_id: str, wanted: int) -> int:
        minute = int(self._clock.monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._dead_minute.clear()
        room = max(0, min(wanted, PUBLISHABLE_DEAD_PER_MINUTE - self._dead_minute[source_id]))
        self._dead_minute[source_id] += room
        if room < wanted:
            metrics.DEAD_SKIPPED.inc(wanted - room)
        return room

    def _count(self, source: Source, accepted: int, signals: Counter[str], rejected: Sequence[Rejected]) -> None:
        self._sources.count(source.id, accepted, len(rejected), signals)
        for signal, count in signals.items():
            metrics.ACCEPTED.labels(source.name, signal if known(signal) else "custom").inc(count)
        for bad in rejected:
            metrics.REJECTED.labels(bad.code).inc()

    def _count_ignored(self, platform: Platform, parsed: Parsed) -> None:
        for item in parsed.ignored:
            label = (platform.name, item.type)
            if label not in self._ignored_types:
                if len(self._ignored_types) >= IGNORED_TYPES_MAX:
                    label = (platform.name, "other")
                self._ignored_types.add(label)
            metrics.IGNORED.labels(*label).inc()


_OK: Final = Answer()


def _number(source_id: str, raw: bytes) -> int:
    """A number for a bad item, the same each time it comes, that fits into PostgreSQL's bigint."""
    hashed = blake2b(raw, digest_size=8, key=source_id.encode()[:64]).digest()
    return int.from_bytes(hashed) >> 1


def _summary(accepted: int, rejected: Sequence[Rejected]) -> bytes:
    """The answer when some items were bad: the client need not send anything again."""
    first = rejected[0]
    listed = [{"index": bad.index, "code": bad.code, "message": bad.message} for bad in rejected[:LISTED_MAX]]
    return msgspec.json.encode(
        {
            "success": True,
            "accepted": accepted,
            "rejected": len(rejected),
            "code": first.code,
            "message": first.message,
            "detail": listed,
        }
    )
