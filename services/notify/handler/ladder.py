"""Steps of the ladder to other people: a delegate or manager gets a notice of their own, in one transaction.

Their planner then takes it from there: their channels, quiet hours and budget.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from services.directory.core.people import Rep
from services.eventlog.fence import FenceArguments
from services.eventlog.ports import Connection
from services.notify.core.delivery import INBOX, delivery_id
from services.notify.core.desk import Desk, change
from services.notify.core.judge import Facts, Send, Skip, judge
from services.notify.core.message import Needs
from services.notify.core.notice import Notice
from services.notify.core.preference import Preferences, layered
from services.notify.store import batch, preferences
from services.notify.store import deliveries as store
from services.notify.store.deliveries import Settlement, Taken
from services.notify.store.preferences import EVERYBODY
from services.runtime.clock import Clock
from services.runtime.db import Database

SOME: Final = 20
# No position of the log moves with it.
NO_FENCE: Final[FenceArguments] = ("", "", [], [], [], [])


def copy_id(notice_id: str, target: str) -> str:
    """The id of the notice by which `target` hears of another's."""
    return delivery_id("copy", notice_id, target)


def copy_of(source: Notice, target: str, who: str, now: datetime) -> Notice:
    """What the delegate or manager gets: the same lead, no offer of their own, and why they hear of it."""
    role = "You stand in for them" if who == "delegate" else "You are their manager"
    minutes = int((now - source.created_at).total_seconds() // 60)
    return msgspec.structs.replace(
        source,
        id=copy_id(source.id, target),
        rep=target,
        seq=0,
        kind="due",
        state="new",
        assignment=None,
        why=f"{source.rep} has not reacted for {minutes} minutes. {role}. {source.why}".strip(),
        quiet=False,
        collapse=None,
        fresh_until=None,
        created_at=now,
        updated_at=now,
    )


class Ladder:
    """Does the due steps to people.

    Args:
        reps: The directory's reps, as they are now.
    """

    def __init__(self, db: Database, clock: Clock, reps: Callable[[], Mapping[str, Rep]]) -> None:
        self._db = db
        self._clock = clock
        self._reps = reps

    async def turn(self) -> int:
        """Do what is due; returns how many steps were looked at."""
        done = 0
        while True:
            async with self._db.transaction() as pg:
                some = await self._some(pg)
            done += some
            if some < SOME:
                return done

    async def _some(self, pg: Connection) -> int:
        now = self._clock.now()
        token = secrets.token_hex(8)
        taken = await store.take(pg, INBOX, now, limit=SOME, flying_max=SOME, token=token)
        if not taken:
            return 0
        said = await preferences.load(pg, sorted({one.rep for one in taken}))
        targets = {one.id: self._target(one, said) for one in taken}
        people = {one.rep for one in taken} | {t for t in targets.values() if t}
        leads = frozenset(one.notice.lead.id for one in taken if one.notice is not None and one.purpose == "change")
        # The inboxes are locked before the notices are judged: a claim that comes now waits for us, or we see it.
        needs = Needs(reps=frozenset(people), keys=frozenset(), leads=leads, erased=frozenset())
        seen = await batch.look(pg, [], needs, now, 0.0, hold=True)
        ended = [self._do(one, targets[one.id], seen.desks) for one in await store.again(pg, taken)]
        await batch.write(pg, NO_FENCE, batch.write_of(seen, [], [], [], now))
        await store.settle(pg, ended, token, now)
        return len(taken)

    def _target(self, one: Taken, said: Mapping[str, Preferences]) -> str | None:
        rep = self._reps().get(one.rep)
        if one.who == "manager":
            found = rep.manager if rep is not None else None
        else:
            found = layered(said.get(EVERYBODY, Preferences()), said.get(one.rep, Preferences())).delegate
        there = self._reps().get(found) if found else None
        return found if there is not None and there.active and found != one.rep else None

    def _do(self, one: Taken, target: str | None, desks: Mapping[str, Desk]) -> Settlement:
        now = self._clock.now()
        skipped = Settlement(id=one.id, rep=one.rep, state="skipped", due_at=one.due_at)
        notice = one.notice
        if notice is None:
            return msgspec.structs.replace(skipped, reason="notice_gone")
        if one.purpose == "change":
            self._close(notice, desks)
            return msgspec.structs.replace(skipped, state="delivered", seq=notice.seq)
        if target is None:
            return msgspec.structs.replace(skipped, reason="nobody")
        facts = Facts(purpose="step", who=one.who, created_at=one.created_at, read=one.read, delivered=one.delivered)
        verdict = judge(notice, facts, now)
        if not isinstance(verdict, Send):
            return msgspec.structs.replace(skipped, reason=verdict.reason if isinstance(verdict, Skip) else "quiet")
        desks[target].put(copy_of(notice, target, one.who, now))
        return msgspec.structs.replace(skipped, state="delivered", seq=notice.seq)

    def _close(self, source: Notice, desks: Mapping[str, Desk]) -> None:
        """The offer is over: whoever heard of it need not act any more."""
        for desk in desks.values():
            copy = desk.notices.get(copy_id(source.id, desk.rep))
            if copy is not None and copy.open and not source.open:
                note = source.note or "It is over."
                change(desk, copy, self._clock.now(), state=source.state, assignment=None, note=note, by=source.by)
