"""Who gets the lead? The account's own rep first, else smooth weighted round robin over the pool.

Law (tests/unit/router/test_assign.py): while the same reps are available, nobody is ever more than one lead away from
what the weights entitle them to, at any prefix. Taking the one who is owed most does not hold that by itself (eight reps
with weights 9, 9, 1, 1 … break it): the pick looks ahead and passes over whoever would make somebody else wait too long.
An absent or full rep takes no part in a pick and keeps the credit frozen: nothing is lost by leave, and nobody is flooded
on return; with reps coming and going at random the distance stays below 1.25. A decline takes the whole pick back.

Source: smooth weighted round robin of nginx (upstream_round_robin), with credits in leads instead of weights so that
picks among different sets of reps can be added up; the look-ahead is the feasibility test of R. Tijdeman, "The chairman
assignment problem", Discrete Mathematics 32 (1980).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.messages import Reason
from services.router.core.model import Candidate, Member, Pick, Roster, Via

UNIT: Final = 720_720_000  # one lead; an integer, so that a returned credit is exact, that 1 to 16 divide
# A rep that the account already has keeps its leads over a night, a weekend or a day off, not over a holiday.
SHORT_ABSENCE: Final = timedelta(hours=96)
LOOKS_MAX: Final = 1000  # weights are 1 to 100: a look-ahead is shorter
NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
RETRY_SOONEST: Final = timedelta(minutes=1)
RETRY_DEFAULT: Final = timedelta(hours=1)


def choose(roster: Roster, to: str, now: datetime, refused: Collection[str] = ()) -> Pick:
    """Choose a rep, and say of every other one why not.

    Args:
        roster: Who could get it, with their credits and loads.
        to: `owner`, or the name of the pool.
        now: The decision's time.
        refused: Reps that had this very lead and gave it back.

    Returns:
        A pick. When nobody can take the lead its `rep` is None and `retry_at` is later than `now`.
    """
    seen: list[Candidate] = []
    own: tuple[tuple[Member | None, Via, str, str], ...] = (
        (roster.owner, "owner", "owner_of_account", "owns the account"),
        (roster.account_rep, "account", "rep_of_account", "already works this account"),
    )
    asked: set[str] = set()
    for member, via, code, words in own:
        if member is None or member.rep in asked:
            continue
        asked.add(member.rep)
        why = _own_blocked(member, now, refused)
        if why is None:
            seen.append(_taken(member, code, f"{_name(member)} {words}"))
            reason = Reason(code=code, text=f"{_name(member)} {words}", seen=member.rep)
            return Pick(rep=member.rep, via=via, pool=roster.pool, reason=reason, candidates=seen)
        seen.append(why)
    if to != "owner":
        pick = _from_pool(roster, to, now, refused, seen)
        if pick.rep is not None or roster.manager is None or not _all_refused(roster, refused):
            return pick
    return _to_manager(roster, to, now, refused, seen)


def credits_after(pick: Pick, credits_: Mapping[str, int]) -> dict[str, int]:
    """The pool's credits once the pick is made: everybody who took part is credited, the chosen one pays one lead."""
    after = dict(credits_)
    for rep, share in pick.shares.items():
        after[rep] = after.get(rep, 0) + share
    if pick.rep is not None and pick.shares:
        after[pick.rep] = after.get(pick.rep, 0) - UNIT
    return after


def credits_returned(rep: str, shares: Mapping[str, int], credits_: Mapping[str, int]) -> dict[str, int]:
    """The pool's credits once a pick is taken back: exactly as if it had never been made."""
    after = dict(credits_)
    for name, share in shares.items():
        after[name] = after.get(name, 0) - share
    if shares:
        after[rep] = after.get(rep, 0) + UNIT
    return after


def _from_pool(roster: Roster, to: str, now: datetime, refused: Collection[str], seen: list[Candidate]) -> Pick:
    looked_at = {candidate.rep for candidate in seen}
    able: list[Member] = []
    again: list[datetime] = []
    for member in roster.members:
        why = _pool_blocked(member, now, refused)
        if why is None:
            able.append(member)
            continue
        if member.rep not in looked_at:
            seen.append(why)
        if why.until is not None:
            again.append(why.until)
    if not able:
        text = f"Nobody in {to} can take it now" if roster.members else f"The pool {to} has no members"
        return _nobody(text, "nobody_available" if roster.members else "empty_pool", again, now, seen)
    able, spent, over = _within_the_day(able)
    if spent:
        tomorrow = _next_day(now)
        seen += [_had_enough(member, tomorrow) for member in spent]
    total = sum([m.weight for m in able])
    shares = {m.rep: UNIT * m.weight // total for m in able}
    best = _next(able, shares)
    # What integer division leaves over goes to the one who pays: a pick hands out exactly one lead, and ties stay ties.
    shares[best.rep] += UNIT - sum(shares.values())
    for member in able:
        owed = (member.credit + shares[member.rep]) / UNIT
        if member is best:
            text = f"{_name(member)} is next in {to}: {owed:.2f} leads owed"
            seen.append(_taken(member, "next_in_turn", text, owed))
        else:
            text = f"{_name(member)} is not next: {owed:.2f} leads owed"
            seen.append(Candidate(rep=member.rep, code="not_next", text=text, credit=owed))
    reason = Reason(code="next_in_turn", text=f"{_name(best)} is next in {to}", seen=best.rep)
    if over:
        words = f"Everybody in {to} has had the handovers of a day; {_name(best)} the fewest for their share: {best.handovers} of {best.handovers_limit}"
        reason = Reason(code="over_handovers", text=words, seen=best.handovers, limit=best.handovers_limit)
    return Pick(rep=best.rep, via="pool", pool=to, reason=reason, candidates=seen, shares=shares)


def _within_the_day(able: Sequence[Member]) -> tuple[list[Member], list[Member], bool]:
    """Who takes part, who has had enough for today, and whether everybody has.

    The limit spreads the work, it never leaves a lead lying: when all have reached it, those with the fewest for their
    weight take part.
    """
    free = [member for member in able if not member.spent]
    if len(free) == len(able):
        return free, [], False
    over = not free
    if over:
        had = [member.handovers / member.weight for member in able]
        fewest = min(had)
        free = [member for member, share in zip(able, had, strict=True) if share == fewest]
        if len(free) == len(able):
            return free, [], over
    taking_part = {member.rep for member in free}
    return free, [member for member in able if member.rep not in taking_part], over


def _had_enough(member: Member, tomorrow: datetime) -> Candidate:
    text = f"{_name(member)}: {member.handovers} of {member.handovers_limit} handovers today"
    return Candidate(rep=member.rep, code="handovers_spent", text=text, until=tomorrow)


def _next(able: Sequence[Member], shares: Mapping[str, int]) -> Member:
    """The one who is owed most, unless that would leave others more than one lead behind."""
    if len(able) == 1:
        return able[0]
    after = {m.rep: m.credit + shares[m.rep] for m in able}

    def turn(member: Member) -> tuple[int, datetime, str]:
        return -after[member.rep], member.last_at or NEVER, member.rep

    if len({member.weight for member in able}) == 1:
        return min(able, key=turn)
    order = sorted(able, key=turn)
    # What reps on leave are owed is not owed among those who are here: shift it out, by the weights.
    surplus = sum(after.values()) - UNIT
    owed = {rep: have - surplus * shares[rep] // UNIT for rep, have in after.items()}
    for member in order:
        owed[member.rep] -= UNIT
        if _keeps_up(owed, shares):
            return member
        owed[member.rep] += UNIT
    return order[0]


def _keeps_up(owed: Mapping[str, int], shares: Mapping[str, int]) -> bool:
    """Whether everybody can still get their next leads before they are owed one whole lead.

    By any later pick n, whoever is owed k whole leads by then must have got them: together that may not be more than n.
    Once nobody is ahead of their share it holds by itself.
    """
    pairs = [(owed[rep], share) for rep, share in shares.items()]
    looks = max([-(have // share) for have, share in pairs if have < 0 < share], default=0) + 1
    for n in range(1, min(looks, LOOKS_MAX) + 1):
        due = 0
        for have, share in pairs:
            then = have + n * share
            if then >= UNIT:
                due += then // UNIT
        if due > n:
            return False
    return True


def _to_manager(roster: Roster, to: str, now: datetime, refused: Collection[str], seen: list[Candidate]) -> Pick:
    manager = roster.manager
    if manager is not None and _own_blocked(manager, now, refused) is None:
        text = f"{_name(manager)} leads the team; the account has no owner who can take it"
        if to != "owner":
            text = f"{_name(manager)} leads the team; everybody in {to} gave it back"
        seen.append(_taken(manager, "manager", text))
        return Pick(rep=manager.rep, via="manager", reason=Reason(code="manager", text=text), candidates=seen)
    owner = roster.owner
    if owner is None:
        return _nobody("The account has no owner, and the team no manager", "no_owner", [], now, seen)
    again = [owner.until] if owner.until is not None else []
    return _nobody(f"{_name(owner)} owns the account; {_absent(owner)}", "owner_absent", again, now, seen)


def _nobody(text: str, code: str, again: Sequence[datetime], now: datetime, seen: list[Candidate]) -> Pick:
    at = max(min(again, default=now + RETRY_DEFAULT), now + RETRY_SOONEST)
    reason = Reason(code=code, text=f"{text}; asked again at {at:%Y-%m-%d %H:%M} UTC", limit=at.isoformat())
    return Pick(reason=reason, retry_at=at, candidates=seen)


def _own_blocked(member: Member, now: datetime, refused: Collection[str]) -> Candidate | None:
    if member.rep in refused:
        return _gave_back(member)
    if not member.ok and (member.until is None or member.until - now > SHORT_ABSENCE):
        return Candidate(rep=member.rep, code=member.code, text=_absent(member), until=member.until)
    return None


def _pool_blocked(member: Member, now: datetime, refused: Collection[str]) -> Candidate | None:
    if member.rep in refused:
        return _gave_back(member)
    if member.weight <= 0:
        return Candidate(rep=member.rep, code="weight_zero", text=f"{_name(member)} has weight 0 in the pool")
    if not member.ok:
        return Candidate(rep=member.rep, code=member.code, text=_absent(member), until=member.until)
    if member.open_limit is not None and member.open >= member.open_limit:
        text = f"{_name(member)}: {member.open} of {member.open_limit} open"
        return Candidate(rep=member.rep, code="full", text=text, until=now + RETRY_DEFAULT)
    if member.day_limit is not None and member.day >= member.day_limit:
        text = f"{_name(member)}: {member.day} of {member.day_limit} today"
        return Candidate(rep=member.rep, code="full_today", text=text, until=_next_day(now))
    return None


def _all_refused(roster: Roster, refused: Collection[str]) -> bool:
    return bool(roster.members) and all(m.rep in refused for m in roster.members)


def _gave_back(member: Member) -> Candidate:
    return Candidate(rep=member.rep, code="gave_it_back", text=f"{_name(member)} had this lead and gave it back")


def _taken(member: Member, code: str, text: str, credit: float | None = None) -> Candidate:
    return Candidate(rep=member.rep, code=code, text=text, chosen=True, credit=credit)


def _absent(member: Member) -> str:
    return member.text or f"{_name(member)} is not available"


def _name(member: Member) -> str:
    return member.name or member.rep


def _next_day(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
