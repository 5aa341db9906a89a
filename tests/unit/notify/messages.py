"""Routed messages as the router writes them, for tests."""

from datetime import UTC, datetime, timedelta

from schemas.messages import AccountRef, AssignmentRef, LeadRef, LeadRouted, Say, Timing, What

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
NORDWIND = AccountRef(domain="nordwind.example", name="Nordwind Industries Oyj", named=True, owner="anna")
VERA = LeadRef(id="a" * 32, email="vera@nordwind.example", name="Vera Virta", title="VP Operations")
OLLI = LeadRef(id="b" * 32, email="olli@nordwind.example", name="Olli Oja", title="Plant Manager")
SOMEBODY = LeadRef(id="c" * 32)


def viewed(event_id="e1", at=NOW, url="https://aurora.example/pricing"):
    return What(signal="page.viewed", at=at, url=url, event_id=event_id)


def alert(
    lead=VERA, *, account=NORDWIND, recipients=("anna",), kind="visiting_now", what=None, at=NOW, fresh_s=120, **more
):
    return LeadRouted(
        kind="alert",
        lead=lead,
        account=account,
        recipients=list(recipients),
        alert=kind,
        fresh_until=at + timedelta(seconds=fresh_s),
        what=what if what is not None else [viewed(at=at)],
        timing=Timing(occurred_at=at, received_at=at, routed_at=at),
        **more,
    )


def offer(rep="anna", gen=1, state="offered", offer_id="o1"):
    return AssignmentRef(id=offer_id, gen=gen, state=state, rep=rep)


def handover(lead=VERA, *, rep="anna", gen=1, offer_id="o1", account=NORDWIND, **more):
    return LeadRouted(
        kind="decided",
        lead=lead,
        account=account,
        route="owner",
        segment="enterprise",
        assignee=rep,
        assignment=offer(rep, gen, offer_id=offer_id),
        why="Named account, identified.",
        say=Say(subject="Hello", body="Hi Vera, …"),
        timing=Timing(occurred_at=NOW, received_at=NOW, routed_at=NOW),
        **more,
    )


def told(kind, lead=VERA, **more):
    return LeadRouted(kind=kind, lead=lead, account=NORDWIND, **more)
