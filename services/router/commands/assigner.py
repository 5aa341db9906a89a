"""Gives leads to reps: reads accounts, pools and loads at once, picks, and says what has changed."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from schemas.messages import Reason
from services.directory.core.match import DirectoryView
from services.eventlog.ports import Connection
from services.router.commands.case import Case
from services.router.core.assign import NEVER, choose, credits_after, credits_returned
from services.router.core.decide import OWNER
from services.router.core.model import Held, Member, Pick, Roster
from services.router.store.batch import Account, Free, Write, free
from services.router.store.left import Left
from services.router.store.pools import PoolState

GONE: Final = frozenset(("inactive", "unknown"))
DAY: Final = timedelta(days=1)
NO_ACCOUNT: Final = Account()
_NO_REASON: Final = Reason(code="kept", text="The offer stands")


class Line(msgspec.Struct):
    """The members of a pool as they stand, kept from pick to pick: most of what a roster says of them does not change.

    Attributes:
        since: From then until `until` nobody comes or goes, and the day is the same.
        moved: Those whose loads or credits have changed.
    """

    members: list[Member]
    places: dict[str, int]
    manager: str | None
    since: datetime
    until: datetime
    moved: set[str] = msgspec.field(default_factory=set)


class Assigner:
    """One transaction's giving away. `prepare` reads all that is needed, at once and in order.

    Args:
        hold: Lock accounts and pools until the transaction ends; else what is chosen holds only if nobody else was there
            in between.
        left: What is decided and not written yet, oldest first.
    """

    def __init__(self, pg: Connection, view: DirectoryView, *, hold: bool, left: Sequence[Left] = ()) -> None:
        self._pg = pg
        self._view = view
        self._hold = hold
        self._left = left
        self._free = Free({}, {}, {})
        self._given: dict[str, int] = {}
        self._new_reps: dict[str, str] = {}
        self._touched: set[str] = set()
        self._kept: dict[str, tuple[datetime, datetime | None, int, Member]] = {}
        self._lines: dict[tuple[str, int | None], Line] = {}
        self._leader: str | None = None
        self._leader_known = False

    async def prepare(self, cases: Sequence[Case], returns: Collection[Held]) -> None:
        """Read what these handovers and returned credits need.

        Raises:
            NotYet: It depends on a batch that nobody has begun to write.
        """
        wanted = [case for case in cases if case.verdict is not None and case.verdict.handover]
        domains = {case.lead.domain for case in wanted if case.lead.domain}
        names = {held.pool for held in returns if held.pool}
        names |= {case.verdict.to for case in wanted if case.verdict and case.verdict.to not in (None, OWNER)}
        day = max((case.now for case in wanted), default=NEVER).replace(hour=0, minute=0, second=0, microsecond=0)
        pools = [name for name in names if name]
        limited = self._limited(wanted)
        if limited:
            # How much a rep has is counted in the database: all that was given away must be there.
            for left in self._left:
                await left.written()
        self._free = await free(self._pg, domains, pools, limited, day, hold=self._hold)
        for left in self._left:
            left.over_free(self._free)

    def give_back(self, held: Held) -> None:
        """Return the credit of an offer, exactly, and its place in the day."""
        state = self._free.pools.get(held.pool or "")
        if state is not None:
            state.credits = credits_returned(held.rep, held.shares, state.credits)
            state.count(held.rep, held.offered_at.date(), -1)
            self._touched.add(held.pool or "")
            self._lines.clear()

    def take_again(self, held: Held) -> None:
        """Undo `give_back`: the offer stands after all."""
        state = self._free.pools.get(held.pool or "")
        if state is not None:
            state.count(held.rep, held.offered_at.date(), 1)
            pick = Pick(rep=held.rep, reason=_NO_REASON, shares=held.shares)
            state.credits = credits_after(pick, state.credits)
            self._lines.clear()

    def pick(self, case: Case) -> None:
        """Choose a rep for a case whose handover is due, and remember it for the next case."""
        verdict = case.verdict
        assert verdict is not None
        to = verdict.to or OWNER
        case.roster = self._roster(case, to)
        case.pick = pick = choose(case.roster, to, case.now, case.before.refused)
        if pick.rep is None:
            return
        self._given[pick.rep] = self._given.get(pick.rep, 0) + 1
        if pick.pool is not None:
            state = self._free.pools[pick.pool]
            state.count(pick.rep, case.now.date(), 1)
            self._touched.add(pick.pool)
            if pick.shares:
                state.credits = credits_after(pick, state.credits)
                state.last[pick.rep] = case.now
        for (pool, _), line in self._lines.items():
            if pick.rep in line.places:
                line.moved.add(pick.rep)
            if pool == pick.pool:
                line.moved.update(pick.shares)
        self._remember_account(case, pick.rep)

    def put(self, write: Write) -> None:
        """Put what has changed into a write."""
        write.reps = {domain: (self._account(domain), rep) for domain, rep in self._new_reps.items()}
        write.pools = {name: self._free.pools[name] for name in self._touched}

    def _account(self, domain: str) -> Account:
        return self._free.accounts.get(domain, NO_ACCOUNT)

    def _rep_of(self, domain: str) -> str | None:
        return self._new_reps.get(domain) or self._account(domain).rep

    def _remember_account(self, case: Case, rep: str) -> None:
        """An account keeps its rep while that one is there; a stand-in for a holiday does not take it over."""
        domain = case.lead.domain
        if not domain or case.pick is None or case.pick.via == "manager":
            return
        old = self._rep_of(domain)
        away = case.roster.account_rep if case.roster is not None else None
        if old is None or old in case.before.refused or (away is not None and away.code in GONE):
            self._new_reps[domain] = rep

    def _roster(self, case: Case, to: str) -> Roster:
        owner = self.owner_of(case)
        known = self._rep_of(case.lead.domain or "")
        if to == OWNER:
            manager = self._manager(owner)
            return Roster(
                owner=self._member(owner, case.now) if owner else None,
                account_rep=self._member(known, case.now) if known and known != owner else None,
                manager=self._member(manager, case.now) if manager else None,
            )
        line = self._line(to, case.now, case.handovers_limit)
        return Roster(
            owner=self._member(owner, case.now) if owner else None,
            account_rep=self._member(known, case.now) if known and known != owner else None,
            manager=self._member(line.manager, case.now) if line.manager else None,
            pool=to,
            members=line.members.copy(),
        )

    def _line(self, to: str, now: datetime, limit: int | None) -> Line:
        """The members of a pool as they stand now."""
        pool, state, line = self._view.pool(to), self._free.pools[to], self._lines.get((to, limit))
        weights = pool.weights if pool is not None else {}
        if line is not None and line.since <= now < line.until:
            for rep in line.moved:
                line.members[line.places[rep]] = self._member(rep, now, weights[rep], state, limit)
            line.moved.clear()
            return line
        until = now.replace(hour=0, minute=0, second=0, microsecond=0) + DAY
        for rep in weights:
            until = min(until, self._view.available(rep, now).until or until)
        line = self._lines[to, limit] = Line(
            members=[self._member(rep, now, weight, state, limit) for rep, weight in weights.items()],
            places={rep: place for place, rep in enumerate(weights)},
            manager=self._manager(next(iter(weights), None)),
            since=now,
            until=until,
        )
        return line

    def owner_of(self, case: Case) -> str | None:
        """The account's owner: by the directory as it is now, else as the snapshot says."""
        account = case.snapshot.account
        if account is None:
            return None
        known = self._view.accounts.of_match(account.domain)
        return known.owner if known is not None else account.owner

    def _manager(self, rep_id: str | None) -> str | None:
        rep = self._view.rep(rep_id) if rep_id else None
        if rep is not None and rep.manager is not None:
            return rep.manager
        # An account without an owner belongs to whoever leads people, not to nobody.
        if not self._leader_known:
            reps = self._view.reps.values()
            self._leader = min((r.manager for r in reps if r.active and r.manager is not None), default=None)
            self._leader_known = True
        return self._leader

    def _member(
        self, rep_id: str, now: datetime, weight: int = 0, state: PoolState | None = None, limit: int | None = None
    ) -> Member:
        new = self._given.get(rep_id, 0)
        if state is None:  # outside a pool nothing else changes from case to case
            kept = self._kept.get(rep_id)
            if kept is not None and kept[2] == new and kept[0] <= now and (kept[1] is None or now < kept[1]):
                return kept[3]
        rep = self._view.rep(rep_id)
        free = self._view.available(rep_id, now)
        opened, day = self._free.loads.get(rep_id, (0, 0))
        member = Member(
            rep=rep_id,
            name=rep.name if rep is not None else "",
            weight=weight,
            ok=free.ok,
            code=free.code,
            text="" if free.ok else free.text,
            until=None if free.ok else free.until,
            open=opened + new,
            open_limit=rep.capacity_open if rep is not None else None,
            day=day + new,
            day_limit=rep.capacity_per_day if rep is not None else None,
            handovers=state.handovers(rep_id, now.date()) if state is not None and limit is not None else 0,
            handovers_limit=limit,
            credit=state.credits.get(rep_id, 0) if state is not None else 0,
            last_at=state.last.get(rep_id) if state is not None else None,
        )
        if state is None:
            self._kept[rep_id] = now, free.until, new, member
        return member

    def _limited(self, wanted: Sequence[Case]) -> set[str]:
        """Reps of the pools in question that have a limit: only their loads are counted."""
        names = {case.verdict.to for case in wanted if case.verdict is not None}
        pools = [self._view.pool(name) for name in names if name is not None]
        reps = [self._view.rep(member) for pool in pools if pool is not None for member in pool.weights]
        return {r.id for r in reps if r is not None and (r.capacity_open is not None or r.capacity_per_day is not None)}
