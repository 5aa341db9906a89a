"""What becomes of one request: whose is it → what does it hold → our events → durable → answer.

Good items are kept whatever their neighbours are; bad ones go to the dead letters with their reason and their bytes.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Protocol

import msgspec

from schemas.codec import Message, encode
from schemas.topics import TRACKING_EVENTS
from services.eventlog.ports import DeadRecord
from services.ingest.core.identity import partition_key
from services.ingest.core.limits import BadItem
from services.ingest.core.mapping import Facts, known, to_event
from services.ingest.core.spelling import Speller
from services.ingest.handler import metrics
from services.ingest.handler.commit import Committer
from services.ingest.sources.base import Arrival, BadBody, Limits, Parsed, Platform, Rejected
from services.ingest.sources.registry import PLATFORMS
from services.ingest.store import Source, SourceCache
from services.runtime.clock import Clock
from services.runtime.errors import BadMessage, LeadRouterError, Unavailable

STAGE: Final = "ingest"
# Dead letters have no place in the log: a partition that none has, and a number made of their bytes, so that the same
# bad item sent again is the same dead letter.
NO_PART: Final = -1
# A publishable key is public: what strangers send with it must not fill the table.
PUBLISHABLE_DEAD_PER_MINUTE: Final = 300
# How many bad items an answer lists.
LISTED_MAX: Final = 20
# Events mapped before other requests get their turn: about 5 ms.
TURN_EVENTS: Final = 500
SUCCESS: Final = b'{"success":true}'


class _Policy(Protocol):
    @property
    def version(self) -> int: ...
    @property
    def spellings(self) -> Mapping[str, str]: ...


class Policies(Protocol):
    """What ingest needs of the policy: the company's own names of events."""

    @property
    def active(self) -> _Policy:
        """The rules that hold now."""
        ...


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the client is told."""

    status: int = 200
    body: bytes = SUCCESS
    retry_after_s: int | None = None


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The key of a dead letter: all that is needed to read its bytes again."""

    source: str
    platform: str
    publishable: bool
    received_at: datetime
    ip: str | None = None


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
        self, committer: Committer, sources: SourceCache, policies: Policies | None, limits: Limits, clock: Clock
    ) -> None:
        self._committer = committer
        self._sources = sources
        self._policies = policies
        self._limits = limits
        self._clock = clock
        self._spelled: tuple[int, Speller] = (-1, Speller())
        self._dead_minute: Counter[str] = Counter()
        self._minute = 0

    async def receive(
        self, arrival: Arrival, source: Source, platform: Platform, *, peer: str | None, keep_all: bool = False
    ) -> Answer:
        """Take one request of an authenticated source.

        Args:
            peer: Address of the client.
            keep_all: A body that cannot be read is a dead letter and answered with 200: a vendor's hook would else
                send it again for days and hold back what comes after it.
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
        try:
            await self._committer.commit(messages, dead)
        except BadMessage as error:
            return problem(413, error.code, error.message)
        except LeadRouterError as error:
            return away(error)
        self._count(source, len(messages), signals, parsed.rejected)
        if refused is not None and not keep_all:
            body = {"code": refused.code, "message": refused.message, "detail": None}
            return Answer(status=refused.status, body=msgspec.json.encode(body))
        return Answer(body=_summary(len(messages), parsed.rejected)) if parsed.rejected else _OK

    async def replay(self, key: bytes | None, value: bytes | None) -> int:
        """Take the bytes of a dead letter again; how many events came of it.

        Raises:
            BadMessage: They still cannot be used; its code says why.
            Unavailable: Try again later.
        """
        origin = origin_of(key)
        platform = PLATFORMS.get(origin.platform)
        if platform is None:
            msg = f"the platform {origin.platform} of this dead letter is not known to this version"
            raise BadMessage(msg, code="unknown_platform")
        facts = Facts(
            source=f"/sources/{origin.source}",
            trust="publishable" if origin.publishable else "secret",
            received_at=origin.received_at,
            peer=origin.ip,
        )
        try:
            parsed = platform.parse_item(value or b"", self._limits)
        except BadBody as error:
            raise BadMessage(error.message, code=error.code) from error
        messages, _ = await self._map(parsed, facts)
        if parsed.rejected:
            first = parsed.rejected[0]
            raise BadMessage(first.message, code=first.code)
        await self._committer.commit(messages)
        return len(messages)

    async def _map(self, parsed: Parsed, facts: Facts) -> tuple[list[Message], Counter[str]]:
        """Messages of the good items; those that turn out bad join the rejected ones."""
        speller = self._speller()
        topic = TRACKING_EVENTS.name
        messages: list[Message] = []
        signals: Counter[str] = Counter()
        for turn, (index, seen) in enumerate(parsed.seen, 1):
            try:
                event = to_event(seen, facts, speller)
            except BadItem as bad:
                parsed.rejected.append(Rejected(index=index, code=bad.code, message=bad.message, raw=seen.raw))
            else:
                messages.append(Message(topic=topic, key=partition_key(event.data.ids), value=encode(event)))
                signals[event.data.signal] += 1
            if turn % TURN_EVENTS == 0:
                await asyncio.sleep(0)
        return messages, signals

    def _speller(self) -> Speller:
        if self._policies is None:
            return self._spelled[1]
        policy = self._policies.active
        if policy.version != self._spelled[0]:
            self._spelled = (policy.version, Speller(policy.spellings))
        return self._spelled[1]

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
                part=NO_PART,
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
        self._sources.count(source.id, accepted, len(rejected))
        for signal, count in signals.items():
            metrics.ACCEPTED.labels(source.name, signal if known(signal) else "custom").inc(count)
        for bad in rejected:
            metrics.REJECTED.labels(bad.code).inc()


_OK: Final = Answer()


def origin_of(key: bytes | None) -> Origin:
    """Where a dead letter came from.

    Raises:
        BadMessage: The key is not one of ours.
    """
    try:
        return msgspec.json.decode(key or b"", type=Origin)
    except msgspec.DecodeError as error:
        msg = "this dead letter does not say which source it came from"
        raise BadMessage(msg, code="no_origin") from error


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
