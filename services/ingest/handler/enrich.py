"""Whose is an event that names its contact by HubSpot's id alone? Looked up at HubSpot, off the path of requests.

One process at a time looks up. An event goes into the log once its contact is known, after all earlier ones of that
contact; when HubSpot does not know it, or does not say in time, it goes under the CRM id alone. A crash between the log
and the deletion of the row puts an event into the log twice, which readers skip. Of a contact that HubSpot says is to
be forgotten only that word goes on.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final, Protocol

import asyncpg
import msgspec
import structlog

from schemas.codec import Message
from schemas.topics import TRACKING_EVENTS
from services.eventlog.ports import DeadRecord
from services.ingest.core.pace import Pace, rest
from services.ingest.handler import metrics
from services.ingest.handler.known import DELETED, after_erasure, enriched, letter, usable
from services.ingest.handler.waiting import Held, Waiting
from services.ingest.sources import hubspot
from services.ingest.store import Source
from services.runtime import crash
from services.runtime.clock import Clock
from services.runtime.db import AWAY
from services.runtime.errors import BadMessage, LeadRouterError, Refused, Unavailable
from services.runtime.outgoing import Outgoing, Reply
from services.runtime.settings import Settings

log = structlog.get_logger(__name__)

LOOKED_UP: Final = crash.step("ingest.looked_up", "events that waited are in the log, and wait still")

TURN_S: Final = 1.0
# With no source that looks up, only what an earlier one left behind is looked for.
IDLE_S: Final = 30.0
AWAY_S: Final = 10.0
PUT_OFF_S: Final = 30.0
DENIED_S: Final = 60.0
CACHE_MAX: Final = 50_000
# What is known goes into the log so often, while other contacts of the same turn are still asked for.
PUBLISH_S: Final = 0.5
OK, NOT_FOUND, TOO_MANY = 200, 404, 429
DENIED: Final = (401, 403)


class Publish(Protocol):
    """Makes events and dead letters durable."""

    async def __call__(self, messages: Sequence[Message], dead: Sequence[DeadRecord] = ()) -> None:
        """Returns when they are."""
        ...


class _Contact(msgspec.Struct):
    properties: dict[str, Any] = {}


class Sources(Protocol):
    """Where the sources and their tokens are."""

    def looked_up(self) -> list[Source]:
        """Those with a token."""
        ...


class _Later(Exception):
    """The contact cannot be told now. `whole`: nor can any other of its source."""

    def __init__(self, seconds: float, *, whole: bool) -> None:
        super().__init__(seconds)
        self.seconds = seconds
        self.whole = whole


class Enricher:
    """The loop that looks contacts up.

    Args:
        publish: Makes events durable in the log.
        owner: The name of this process.
    """

    def __init__(
        self,
        waiting: Waiting,
        sources: Sources,
        outgoing: Outgoing,
        publish: Publish,
        *,
        owner: str,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._waiting = waiting
        self._sources = sources
        self._outgoing = outgoing
        self._publish = publish
        self._owner = owner
        self._settings = settings
        self._clock = clock
        self._cache: OrderedDict[tuple[str, str], tuple[float, dict[str, Any]]] = OrderedDict()
        self._paused: dict[str, float] = {}
        self._pace = Pace(settings.hubspot_calls_per_10s)
        self._idle_until = -math.inf
        self._task: asyncio.Task[None] | None = None

    def forget(self, _payload: str = "") -> None:
        """Somebody asked to be forgotten: remember no contact."""
        self._cache.clear()

    @property
    def ended(self) -> bool:
        """Whether the loop was started and is over."""
        return self._task is not None and self._task.done()

    async def start(self) -> None:
        """Begin to look up."""
        self._task = asyncio.create_task(self._run(), name="ingest look-up")

    async def stop(self) -> None:
        """End; what waits goes on waiting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            try:
                await self._waiting.release(self._owner)
            except LeadRouterError as error:
                log.info("the look-up's lease runs out by itself", reason=error.code)
        await self._outgoing.close()

    async def _run(self) -> None:
        while True:
            more = False
            try:
                more = await self.turn()
            except LeadRouterError as error:
                log.warning("events go on waiting for their contact", reason=error.code)
            except (asyncpg.PostgresError, *AWAY) as error:
                log.warning("events go on waiting for their contact", reason=type(error).__name__)
            except Exception:
                log.exception("contacts are looked up no more")  # a bug: the process says that it is not ready
                raise
            await asyncio.sleep(0 if more else TURN_S)

    async def turn(self) -> bool:
        """Look at what waits. Whether something was done."""
        tokens = {source.id: source.api_token for source in self._sources.looked_up()}
        if not tokens and self._clock.monotonic() < self._idle_until:
            return False
        self._idle_until = self._clock.monotonic() + IDLE_S
        if not await self._waiting.lease(self._owner):
            return False
        now = self._clock.monotonic()
        self._paused = {source: until for source, until in self._paused.items() if until > now}
        too_old = self._clock.now() - timedelta(seconds=self._settings.look_up_wait_s)
        rows = await self._waiting.next(TRACKING_EVENTS.name, too_old, tuple(self._paused))
        rows.sort(key=lambda held: (held.source_id, held.object_id, held.seq))
        self._pace.keep(set(tokens))
        ready: list[tuple[Held, Message]] = []
        more, published_at = False, now
        for (source_id, object_id), found in groupby(rows, key=lambda held: (held.source_id, held.object_id)):
            group = after_erasure(list(found))
            ready += await self._ready(source_id, object_id, group, tokens.get(source_id), too_old)
            if ready and self._clock.monotonic() - published_at >= PUBLISH_S:
                more |= await self._pass_on(ready)
                ready, published_at = [], self._clock.monotonic()
        return await self._pass_on(ready) or more

    async def _ready(
        self, source_id: str, object_id: str, group: list[Held], token: str | None, too_old: datetime
    ) -> list[tuple[Held, Message]]:
        """The events of one contact that can go on, in order, with what is known of it."""
        late = [held for held in group if held.since < too_old]
        known: dict[str, Any] = {}
        if token is not None:
            try:
                known = await self._known(source_id, object_id, group, token)
            except _Later as later:
                if later.whole:
                    self._paused[source_id] = self._clock.monotonic() + later.seconds
                else:
                    await self._waiting.put_off(source_id, object_id, later.seconds)
                group = late
        if late and not known:
            metrics.LOOK_UPS.labels("too_late").inc(len(late))
        return [(held, enriched(held, known)) for held in group]

    async def _pass_on(self, ready: Sequence[tuple[Held, Message]]) -> bool:
        """Put events into the log, and let them wait no more. Whether it was done."""
        if not ready or not await self._waiting.lease(self._owner):
            return False  # another process has them by now
        try:
            await self._publish([message for _, message in ready])
        except BadMessage:
            for held, message in ready:  # one of them is to blame; the others must not wait for ever
                await self._alone(held, message)
        crash.reach(LOOKED_UP)
        await self._waiting.done([seq for held, _ in ready for seq in held.all_seqs])
        return True

    async def _alone(self, held: Held, message: Message) -> None:
        """One event; as it came if it has grown too large; as a dead letter when the log takes neither."""
        try:
            await self._publish([message])
        except BadMessage as grown:
            if message is held.message:
                await self._publish([], [letter(held, grown)])
            else:
                await self._alone(held, held.message)

    async def _known(self, source_id: str, object_id: str, group: Sequence[Held], token: str) -> dict[str, Any]:
        """What is known of a contact: from its own events, remembered, or asked."""
        key = (source_id, object_id)
        if any(held.event.data.signal == DELETED for held in group):
            self._cache.pop(key, None)
            return {}
        for held in group:
            email = next((one.value for one in held.event.data.ids if one.kind == "email"), None)
            if email is not None:
                self._remember(key, {"email": email})
        at, known = self._cache.get(key, (-math.inf, {}))
        if self._clock.monotonic() - at < self._settings.look_up_cache_s:
            return known
        known = await self._asked(source_id, object_id, token)
        self._remember(key, known)
        return known

    def _remember(self, key: tuple[str, str], known: dict[str, Any]) -> None:
        self._cache[key] = (self._clock.monotonic(), known)
        self._cache.move_to_end(key)
        while len(self._cache) > CACHE_MAX:
            self._cache.popitem(last=False)

    async def _asked(self, source_id: str, object_id: str, token: str) -> dict[str, Any]:
        now = self._clock.monotonic()
        if self._paused.get(source_id, now) > now:
            raise _Later(self._paused[source_id] - now, whole=True)
        if not await self._waiting.lease(self._owner):
            raise _Later(TURN_S, whole=True)
        wait = self._pace.take(source_id, now)
        if wait > 0:
            raise _Later(wait, whole=True)
        path = hubspot.api_path(object_id) or ""
        try:
            reply = await self._outgoing.get(path, {"authorization": f"Bearer {token}", "accept": "application/json"})
        except Unavailable as error:
            metrics.LOOK_UPS.labels("away").inc()
            raise _Later(AWAY_S, whole=True) from error
        except Refused as error:
            log.warning("the look-up is refused", reason=error.code, words=error.message)
            metrics.LOOK_UPS.labels("refused").inc()
            raise _Later(DENIED_S, whole=True) from error
        return _read(reply, source_id)


def _read(reply: Reply, source_id: str) -> dict[str, Any]:
    """What HubSpot says of a contact; empty when it knows none."""
    metrics.LOOK_UPS.labels(str(reply.status)).inc()
    if reply.status == NOT_FOUND:
        return {}
    if reply.status == TOO_MANY:
        raise _Later(rest(reply.retry_after_s, AWAY_S), whole=True)
    if reply.status in DENIED:
        log.warning("HubSpot does not take the API token: lead-router source look-up", source=source_id)
        raise _Later(DENIED_S, whole=True)
    if reply.status != OK:
        raise _Later(PUT_OFF_S, whole=False)
    try:
        found = msgspec.json.decode(reply.body, type=_Contact).properties
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _Later(PUT_OFF_S, whole=False) from error
    return usable(found, hubspot.HIDDEN)
