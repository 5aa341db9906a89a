"""Which acts are told at once? Human ones that the policy names, to the one person in charge of the account."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from schemas.messages import AccountRef, Cause, NoticeKind
from services.policy.core.policy import Policy, Segment
from services.router.core.model import Held

HUMAN_FROM: Final = 0.5  # below this an act is more likely a machine's


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One act that somebody should hear of now. It is news until `fresh_until`."""

    cause: Cause
    kind: NoticeKind
    fresh_until: datetime


def alerts_of(
    causes: Iterable[Cause], account: AccountRef | None, segment: Segment | None, policy: Policy
) -> list[Alert]:
    """The alerts that these acts are worth, oldest first.

    A segment that is off or in shadow tells nobody. An open alone never comes here: the policy names no opens.
    """
    if segment is not None and segment.mode != "live":
        return []
    named = account is not None and account.named
    found: list[Alert] = []
    for cause in causes:
        if not is_human(cause):
            continue
        rules = policy.counted(cause.signal, cause.path, cause.name, cause.url or cause.link)
        kind = policy.alerts.kind(rules, named=named)
        if kind is not None:
            fresh = timedelta(seconds=policy.alerts.fresh_s)
            found.append(Alert(cause=cause, kind=kind, fresh_until=cause.occurred_at + fresh))
    if len(found) > 1:
        found.sort(key=lambda a: (a.cause.occurred_at, a.cause.event_id))
    return found


def is_human(cause: Cause) -> bool:
    """A person did it, as far as we know."""
    return not cause.reversed and cause.actor != "machine" and cause.human >= HUMAN_FROM


def recipient(held: Held | None, account: AccountRef | None) -> str | None:
    """Who hears of it: the rep who has the lead, else the account's owner, else nobody."""
    if held is not None:
        return held.rep
    return account.owner if account is not None else None
