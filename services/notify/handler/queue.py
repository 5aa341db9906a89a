"""One endpoint's queue in this process: take → judge → prepare → send → settle. Slow or broken, it delays no other."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import asyncpg
import msgspec
import structlog
from prometheus_client import Counter, Histogram

from services.directory.core.people import Rep
from services.eventlog.ports import Connection
from services.notify.channels.far import FarChannel, Kind, Order, sent
from services.notify.core import limits
from services.notify.core.attempt import Delivered, GaveUp, Result, RetryAt, settle
from services.notify.core.delivery import Delivery, delivery_id
from services.notify.core.judge import Facts, Hold, Send, Skip, Verdict, judge
from services.notify.core.limits import Health
from services.notify.core.notice import Notice
from services.notify.core.preference import Preferences, layered, quiet_until
from services.notify.store import deliveries as store
from services.notify.store import plans, preferences
from services.notify.store.deliveries import ItemEnd, Settlement, Taken
from services.notify.store.endpoints import Stored
from services.notify.store.preferences import EVERYBODY
from services.runtime import crash
from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.errors import Unavailable
from services.runtime.telemetry import REGISTRY
from services.runtime.watched import watched

log = structlog.get_logger(__name__)

RETRY_S: Final = 0.5
TAKEN: Final = crash.step("notify.taken", "a delivery is taken, the send is next")
SENT: Final = crash.step("notify.sent", "the far side has the message, settling is next")

DELIVERIES = Counter(
    "leadrouter_deliveries_total",
    "Tries of deliveries to far sides",
    ["endpoint", "kind", "outcome"],
    registry=REGISTRY,
)
SECONDS = Histogram(
    "leadrouter_delivery_send_seconds",
    "How long a far side takes for one delivery",
    ["kind"],
    buckets=(0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
    registry=REGISTRY,
)


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What all queues of a process share. `draw`: random numbers in [0, 1)."""

    db: Database
    clock: Clock
    reps: Callable[[], Mapping[str, Rep]]
    draw: Callable[[], float]
    on_fatal: Callable[[Exception], None] | None = None


class EndpointQueue:
    """Sends what is due at one endpoint, within its limits.

    Args:
        channel: Open; closed by `stop`.
    """

    def __init__(self, stored: Stored, kind: Kind, channel: FarChannel, around: Around) -> None:
        self.stored = stored
        self.kind = kind
        self.channel = channel
        self._around = around
        self._clock = around.clock
        self._token = secrets.token_hex(8)
        self._wake = asyncio.Event()
        self._flying: set[asyncio.Task[None]] = set()
        self._ended: list[Settlement] = []
        self._task: asyncio.Task[None] | None = None

    def poke(self) -> None:
        """Something may be due."""
        self._wake.set()

    def start(self) -> None:
        """Begin to send."""
        self._task = watched(self._run(), f"deliveries {self.stored.id}", self._around.on_fatal)

    async def stop(self, deadline_s: float) -> None:
        """Take no more, let what is under way end, settle it. What does not end in time is sent again later."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._flying:
            await asyncio.wait(self._flying, timeout=deadline_s)
        left = list(self._flying)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        with contextlib.suppress(Unavailable, asyncpg.PostgresError):
            await self._exchange(take=False)
        await self.channel.close()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._exchange(take=True)
            except (Unavailable, asyncpg.PostgresError) as error:
                log.warning("deliveries wait for the database", endpoint=self.stored.name, error=str(error))
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def _exchange(self, *, take: bool) -> None:
        """Settle what has ended and take what may start, in one short transaction."""
        ended, self._ended = self._ended, []
        now = self._clock.now()
        taken: list[Taken] = []
        quiet: dict[str, Preferences] = {}
        try:
            async with self._around.db.transaction() as pg:
                queue = await store.lock(pg, self.stored.id)
                if queue is None:
                    return
                await store.settle(pg, ended, self._token, now)
                await plans.save(pg, [self._digest_of(s) for s in ended if s.state == "held"], now)
                after, why = self._health(queue, ended)
                if take and queue.enabled and why is None:
                    taken, after = await self._take(pg, after)
                    quiet = await self._preferences(pg, taken)
                last = next((s for s in reversed(ended) if s.outcome not in (None, "ok")), None)
                if after != queue or ended:
                    ok = any(s.outcome == "ok" for s in ended)
                    await store.health(pg, self.stored.id, after, now, ok=ok, error=last.detail if last else None)
                if why is not None and queue.enabled:
                    await store.disable(pg, self.stored.id, why, now)
                    log.warning("endpoint disabled", endpoint=self.stored.name, reason=why)
        except BaseException:
            self._ended = ended + self._ended
            raise
        started = self._clock.monotonic()
        for one in taken:
            task = asyncio.create_task(self._deliver(one, quiet.get(one.rep, Preferences()), started))
            self._flying.add(task)
            task.add_done_callback(self._flying.discard)

    def _health(self, queue: store.Limits, ended: list[Settlement]) -> tuple[store.Limits, str | None]:
        health = Health(failures=queue.failures, failing_since=queue.failing_since, pause_until=queue.pause_until)
        why: str | None = None
        now = self._clock.now()
        for one in ended:
            if one.outcome is not None:
                result = Result(outcome=one.outcome, retry_after_s=one.retry_after_s)
                health = limits.after(health, result, now, self._around.draw())
                why = why or limits.disabled(health, result, now, self.kind.disable_after_s)
        after = msgspec.structs.replace(
            queue, failures=health.failures, failing_since=health.failing_since, pause_until=health.pause_until
        )
        return after, why

    async def _take(self, pg: Connection, queue: store.Limits) -> tuple[list[Taken], store.Limits]:
        now = self._clock.now()
        if queue.pause_until is not None and queue.pause_until > now:
            return [], queue
        at_once = 1 if queue.failures else queue.concurrency
        free = min(at_once - len(self._flying), limits.room(now, queue.tat, per_s=queue.per_s, burst=queue.concurrency))
        if free <= 0:
            if len(self._flying) < at_once:
                asyncio.get_running_loop().call_later(1 / queue.per_s, self.poke)
            return [], queue
        taken = await store.take(pg, self.stored.id, now, limit=free, flying_max=at_once, token=self._token)
        if not taken:
            return [], queue
        crash.reach(TAKEN)
        tat = limits.taken(now, queue.tat, len(taken), per_s=queue.per_s)
        return taken, msgspec.structs.replace(queue, tat=tat)

    async def _preferences(self, pg: Connection, taken: list[Taken]) -> dict[str, Preferences]:
        reps = sorted({one.rep for one in taken if one.who == "rep"})
        if not reps:
            return {}
        said = await preferences.load(pg, reps)
        everybody = said.get(EVERYBODY, Preferences())
        return {rep: layered(everybody, said.get(rep, Preferences())) for rep in reps}

    async def _deliver(self, one: Taken, prefs: Preferences, started: float) -> None:
        """One delivery from judgement to settlement."""
        try:
            ended = await self._deliver_now(one, prefs, started)
        except asyncio.CancelledError:
            # Stopping: whoever takes it next knows that it may have arrived.
            self._ended.append(self._again(one, uncertain=True))
            raise
        except Exception:
            # A bug in a channel ends no other delivery; this one is tried again, and operations see it.
            log.exception("a channel failed", endpoint=self.stored.name, kind=self.kind.name, delivery=one.id)
            ended = self._settled(one, (), Result(outcome="failed", detail="a bug; see the log", uncertain=True), None)
        self._ended.append(ended)
        self._wake.set()

    async def _deliver_now(self, one: Taken, prefs: Preferences, started: float) -> Settlement:
        now = self._clock.now()
        if one.unsettled >= 2 and not self.kind.idempotent:
            return self._skipped(one, "outcome_unknown", state="gave_up")
        quiet = quiet_until(prefs, self._around.reps().get(one.rep), now) if one.who == "rep" else None
        judged = [(item, self._judged(one, item.notice, item.read, item.delivered, quiet)) for item in one.items]
        verdict: Verdict
        if one.purpose == "digest":
            verdict = next((v for _, v in judged if isinstance(v, Hold)), Skip("empty"))
            shown = [v for _, v in judged if isinstance(v, Send)]
            if shown and not isinstance(verdict, Hold):
                verdict = Send(shown[-1].notice, shown[-1].late)
        else:
            verdict = Skip("notice_gone")
            if one.notice is not None:
                verdict = self._judged(one, one.notice, one.read, one.delivered, quiet)
        if isinstance(verdict, Hold):
            held = one.purpose == "tell"
            return Settlement(
                id=one.id,
                rep=one.rep,
                state="held" if held else "due",
                due_at=verdict.until,
                reason=verdict.reason,
                back=1,
            )
        items = tuple(self._item_end(item.id, v) for item, v in judged)
        if isinstance(verdict, Skip):
            return msgspec.structs.replace(self._skipped(one, verdict.reason), items=items)
        request = self.channel.prepare(self._order(one, verdict, judged), now)
        if request is None:
            return msgspec.structs.replace(self._skipped(one, "nothing_to_send"), items=items)
        if self._clock.monotonic() - started > store.TAKEN_FOR.total_seconds() / 2:
            # We were frozen: another may have it soon, and whoever sends now sends it twice.
            return self._again(one, uncertain=one.uncertain)
        result = await self._send(request)
        crash.reach(SENT)
        return self._settled(one, items, result, verdict.notice)

    async def _send(self, request: Any) -> Result:
        started = self._clock.monotonic()
        result = await sent(self.channel, request)
        SECONDS.labels(self.kind.name).observe(self._clock.monotonic() - started)
        DELIVERIES.labels(self.stored.name, self.kind.name, result.outcome).inc()
        return result

    def _judged(self, one: Taken, notice: Notice, read: bool, delivered: bool, quiet: Any) -> Verdict:
        facts = Facts(
            purpose="tell" if one.purpose == "digest" else one.purpose,
            who=one.who,
            created_at=one.created_at,
            read=read,
            delivered=delivered,
            shown_seq=one.shown_seq,
            quiet_until=quiet,
            late=self.kind.late,
            changes=self.kind.changes,
            forced=one.forced,
        )
        return judge(notice, facts, self._clock.now())

    def _order(self, one: Taken, verdict: Send, judged: list[tuple[store.Item, Verdict]]) -> Order:
        items = tuple(v.notice for _, v in judged if isinstance(v, Send))
        rep = self._around.reps().get(one.rep) or Rep(id=one.rep)
        note = ""
        if one.purpose == "step":
            minutes = int((self._clock.now() - verdict.notice.created_at).total_seconds() // 60)
            note = f"Nobody has reacted for {minutes} minutes."
        return Order(
            id=one.id,
            purpose=one.purpose,
            who=one.who,
            rep=rep,
            notice=verdict.notice,
            # A digest of one is that message.
            items=items if len(items) > 1 else (),
            late=verdict.late,
            note=note,
            attempts=one.attempts,
            maybe_sent=one.uncertain,
            receipt=one.receipt,
        )

    def _settled(self, one: Taken, items: tuple[ItemEnd, ...], result: Result, notice: Notice | None) -> Settlement:
        now = self._clock.now()
        settled = settle(
            one.attempts,
            result,
            worth_until=None,
            now=now,
            draw=self._around.draw(),
            schedule=self.kind.schedule,
        )
        if isinstance(settled, RetryAt) and result.uncertain and one.uncertain and not self.kind.idempotent:
            # It may have arrived twice by now; a third time helps nobody.
            settled = GaveUp("outcome_unknown")
        told = Settlement(
            id=one.id,
            rep=one.rep,
            state="delivered",
            due_at=one.due_at,
            detail=result.detail,
            outcome=result.outcome,
            retry_after_s=result.retry_after_s,
            receipt=result.receipt,
        )
        match settled:
            case Delivered():
                return msgspec.structs.replace(told, seq=notice.seq if notice is not None else 0, items=items)
            case RetryAt(due_at=due_at, reason=reason):
                if one.forced:
                    reason = store.REPLAYED  # so that it is also at the next try
                return msgspec.structs.replace(
                    told,
                    state="due",
                    due_at=due_at,
                    reason=reason,
                    uncertain=one.uncertain or result.uncertain,
                )
            case GaveUp(reason=reason):
                lost = tuple(
                    msgspec.structs.replace(i, state="gave_up", reason=reason, seq=0) if i.state == "delivered" else i
                    for i in items
                )
                return msgspec.structs.replace(told, state="gave_up", reason=reason, items=lost)

    def _again(self, one: Taken, *, uncertain: bool) -> Settlement:
        return Settlement(id=one.id, rep=one.rep, state="due", due_at=self._clock.now(), uncertain=uncertain, back=1)

    def _skipped(self, one: Taken, reason: str, *, state: Any = "skipped") -> Settlement:
        return Settlement(id=one.id, rep=one.rep, state=state, due_at=one.due_at, reason=reason)

    @staticmethod
    def _item_end(item_id: str, verdict: Verdict) -> ItemEnd:
        if isinstance(verdict, Send):
            return ItemEnd(id=item_id, state="delivered", seq=verdict.notice.seq)
        return ItemEnd(id=item_id, state="skipped", reason=verdict.reason if isinstance(verdict, Skip) else "")

    def _digest_of(self, held: Settlement) -> Delivery:
        """The digest in which a message goes out that met quiet hours on its way."""
        return Delivery(
            id=delivery_id("digest", self.stored.id, held.id, held.due_at),
            endpoint=self.stored.id,
            rep=held.rep,
            who="rep",
            purpose="digest",
            notice_id=None,
            seq=0,
            due_at=held.due_at + timedelta(milliseconds=1),
        )
