"""How are the channels doing? Each in a word, with what waits for it. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from services.console.filters import plural, span, words
from services.notify.store.endpoints import Stored

LATE_S: Final = 300.0
PURPOSES: Final[Mapping[str, str]] = {
    "tell": "a notice",
    "change": "a change of one",
    "step": "a step of the ladder",
    "digest": "a digest",
}


class ChannelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One channel. `state` is one of good, now, bad, off."""

    id: str
    name: str
    kind: str
    feed: bool
    enabled: bool
    state: str
    said: str
    due: int
    held: int
    waits: str
    last_ok: datetime | None
    error: str | None


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery."""

    id: str
    channel: str
    kind: str
    rep: str
    purpose: str
    state: str
    tone: str
    attempts: int
    why: str
    detail: str
    created_at: datetime
    next_at: datetime | None
    replayable: bool


def channel_row(one: Stored, now: datetime) -> ChannelRow:
    """One channel."""
    state, said = _state(one, now)
    oldest = one.oldest_due
    behind = max(0.0, (now - oldest).total_seconds()) if oldest is not None else 0.0
    return ChannelRow(
        id=one.id,
        name=one.name,
        kind=one.kind,
        feed=one.feed,
        enabled=one.enabled,
        state=state,
        said=said,
        due=one.due,
        held=one.held,
        waits=f"the oldest for {span(behind)}" if one.due and behind >= 1 else "",
        last_ok=one.last_ok_at,
        error=one.last_error,
    )


def delivery_row(row: Mapping[str, Any]) -> DeliveryRow:
    """One delivery."""
    state = row["state"]
    return DeliveryRow(
        id=row["id"],
        channel=row["name"] or row["endpoint"],
        kind=row["kind"] or "",
        rep=row["rep"] or "",
        purpose=PURPOSES.get(row["purpose"], row["purpose"]),
        state=words(state),
        tone={"delivered": "good", "gave_up": "bad", "due": "now", "held": "main"}.get(state, ""),
        attempts=row["attempts"],
        why=words(row["reason"] or ""),
        detail=row["detail"] or "",
        created_at=row["created_at"],
        next_at=row["due_at"] if state in ("due", "held") else None,
        replayable=state in ("gave_up", "skipped", "delivered") and row["digest_id"] is None,
    )


def _state(one: Stored, now: datetime) -> tuple[str, str]:
    if not one.enabled:
        why = words(one.disabled_reason or "by hand")
        return "bad" if one.disabled_reason not in (None, "by_hand") else "off", f"off: {why}"
    if one.failing_since is not None:
        length = span((now - one.failing_since).total_seconds())
        tries = f", {plural(one.failures, 'try', 'tries')}" if one.failures else ""
        return "bad", f"failing for {length}{tries}"
    if one.pause_until is not None and one.pause_until > now:
        return "now", f"pauses for {span((one.pause_until - now).total_seconds())}"
    if one.due and one.oldest_due is not None and (now - one.oldest_due).total_seconds() > LATE_S:
        return "now", "behind"
    return ("good", "works") if one.last_ok_at is not None else ("now", "nothing sent yet")
