"""What is worth telling? The messages that a folded batch makes: at most one a lead, and none about small changes."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from services.scoring.core.emit import CAUSES_MAX, CauseIn, EmitIn, Member, chosen
from services.scoring.core.fold import Folded, Reversal, Row, cause
from services.scoring.core.link import Lead, Ties

CLICKED = "email.clicked"


def told(done: Folded, ties: Ties, step: float, recent: Mapping[bytes, Sequence[CauseIn]]) -> list[EmitIn]:
    """The messages to be, by lead id.

    A lead is told of when it is known or has an account, and one of: its identity changed (a new lead's did), a fact
    about it changed, an alertable act, a reversal, something always told, or engagement moved by a step on one profile.

    Args:
        step: In thousandths of a point.
        recent: Cookie that was just linked to what its visitor did shortly before.
    """
    rows: dict[bytes, list[Row]] = {}
    due: set[bytes] = set()

    def roots(lead: bytes) -> Lead:
        return ties.root(ties.leads[lead])

    for row in done.alerts:
        if row.alert and row.weight and row.lead is not None:
            due.add(ties.root(row.lead).id)
    for ids in (ties.changes.changed, done.traits_changed, done.told):
        due.update(roots(id_).id for id_ in ids)
    reversed_: dict[bytes, list[Reversal]] = {}
    for reversal in done.reversals.values():
        found = ties.lead_of(reversal.key)
        if found is not None:
            reversed_.setdefault(found.id, []).append(reversal)
    due.update(reversed_)
    for profile in done.profiles.values():
        if abs(profile.pending) >= step:
            found = ties.lead_of(profile.key)
            if found is None:
                done.visitors.add(profile.key)
            else:
                due.add(found.id)
    if ties.changes.joined:
        recent = with_visits(recent, done.unnamed, {key for key, _ in ties.changes.joined})
    for some in (done.rows, done.side) if due else ():
        for row in some.values():
            lead = row.lead
            if lead is not None:
                if lead.merged_into is not None:
                    lead = ties.root(lead)
                if lead.id in due:
                    of_lead = rows.get(lead.id)
                    if of_lead is None:
                        rows[lead.id] = [row]
                    else:
                        of_lead.append(row)
    done.visitors = {key for key in done.visitors if ties.lead_of(key) is None}
    emits: list[EmitIn] = []
    lost: dict[bytes, list[bytes]] = {}
    for loser, winner in ties.changes.merged:
        if loser.id not in ties.changes.created:
            root = ties.root(winner)
            lost.setdefault(root.id, []).append(loser.id)
            if loser.known or loser.account:
                emits.append(
                    EmitIn("merged", loser.id, done.newest_ms, loser.known, None, None, [], merged_into=root.id)
                )
    for id_ in due:
        lead = ties.leads[id_]
        if lead.known or lead.account:
            emits.append(_emit(lead, done, ties, rows.get(id_, []), reversed_.get(id_, []), lost.get(id_, []), recent))
    emits.sort(key=lambda emit: emit.lead)
    return emits


def with_visits(
    recent: Mapping[bytes, Sequence[CauseIn]], rows: Iterable[Row], keys: Collection[bytes]
) -> dict[bytes, Sequence[CauseIn]]:
    """`recent`, and what the browsers `keys` did among these rows, all of them of when nobody could name them."""
    found = {key: {one.id: one for one in causes} for key, causes in recent.items()}
    for row in rows:
        if row.key in keys and row.weight:
            found.setdefault(row.key, {}).setdefault(row.event.id, cause(row))
    return {key: list(causes.values()) for key, causes in found.items()}


def _emit(  # noqa: PLR0917 all that is known of the lead
    lead: Lead,
    done: Folded,
    ties: Ties,
    rows: list[Row],
    reversals: list[Reversal],
    lost: list[bytes],
    recent: Mapping[bytes, Sequence[CauseIn]],
) -> EmitIn:
    as_of = max([row.event.received_ms for row in rows], default=done.newest_ms)
    causes = [(row.alert and row.weight > 0, cause(row)) for row in _newest(rows)]
    causes += [(True, _taken_back(one)) for one in reversals]
    for key, _ in ties.changes.joined:
        if key in recent and (owner := ties.lead_of(key)) is not None and owner.id == lead.id:
            causes.extend((True, one) for one in recent[key])
    return EmitIn(
        "reversed" if reversals else "changed",
        lead.id,
        max(as_of, done.newest_ms if reversals else 0),
        lead.known,
        lead.account,
        lead.network,
        chosen(causes),
        merged_from=sorted(lost),
    )


def _newest(rows: list[Row]) -> list[Row]:
    """Those of which `chosen` may take some, before causes are made of them: busy leads have many events in a batch."""
    if len(rows) <= CAUSES_MAX:
        return rows
    return sorted(rows, key=lambda row: (row.alert and row.weight > 0, row.event.at_ms, row.event.id))[-CAUSES_MAX:]


def _taken_back(one: Reversal) -> CauseIn:
    return CauseIn(one.id, CLICKED, one.at_ms, one.at_ms, one.weight, one.verdict, None, None, None, None, True, None)


def settle(emits: list[EmitIn], done: Folded, ties: Ties) -> None:
    """What is told is no longer pending; a lead of one identifier carries that one along.

    Call when the batch is folded to its end: the member's state is frozen here.
    """
    leads = {emit.lead: emit for emit in emits if emit.kind != "merged"}
    for key, profile in done.profiles.items():
        lead = ties.lead_of(key)
        emit = leads.get(lead.id) if lead is not None else None
        if lead is None or emit is None:
            continue
        if profile.pending:
            profile.pending = 0
            profile.dirty = True
        if lead.size == 1:
            link = ties.links[key]
            emit.only = Member(
                link.kind, link.value, link.verified, link.since, profile.state.tobytes(), profile.packed_traits()
            )
