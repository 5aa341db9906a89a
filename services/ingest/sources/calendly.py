"""Calendly's webhooks: a booked meeting is the strongest signal there is.

A move to another time comes as `invitee.canceled` with `rescheduled: true` and a new `invitee.created`, in any order:
the first is no cancellation.

Source: https://developer.calendly.com/api-docs/ZG9jOjM2MzE2MDM4-webhook-signatures
"""

from collections.abc import Iterable, Sequence
from typing import Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.answers import facts
from services.ingest.sources.base import Arrival
from services.ingest.sources.hooks import Item, Told, Types, hook, joined, meaning
from services.ingest.sources.signatures import MISMATCH, any_fits, within

TOLERANCE_S: Final = 180
HEADER: Final = "calendly-webhook-signature"
TYPES: Final[Types] = {
    "invitee.created": "meeting.booked",
    "invitee.canceled": "meeting.canceled",
    "invitee_no_show.created": "meeting_missed",
    "invitee_no_show.deleted": None,
    "routing_form_submission.created": "form.submitted",
}


def verify(arrival: Arrival, secrets: Sequence[str]) -> str | None:
    """Check `t=…,v1=…`: hex HMAC-SHA256 over `t.body`."""
    parts = [part.strip().partition("=") for part in arrival.headers.get(HEADER, "").split(",")[:8]]
    stamp = next((value for name, _, value in parts if name == "t"), "")
    given = [value for name, _, value in parts if name == "v1"]
    if not stamp or not given:
        return "the header Calendly-Webhook-Signature with t and v1 is needed"
    if not within(stamp, arrival.received_at.timestamp(), TOLERANCE_S):
        return f"the signature's time is more than {TOLERANCE_S} s away from now"
    content = stamp.encode() + b"." + arrival.raw
    return None if any(any_fits(one, secrets, content, "sha256", "hex") for one in given) else MISMATCH


def read(item: Item) -> Iterable[Seen | Told]:
    """One event."""
    kind = item.needed("event")
    signal, told = meaning(kind, TYPES)
    payload = item.sub("payload")
    moved = payload.flag("rescheduled") or bool(payload.text("new_invitee"))
    if kind == "invitee.canceled" and moved:
        signal, told = None, Told("invitee.canceled rescheduled")
    if told is not None:
        yield told
        if kind in TYPES:
            return
    invitee = payload.sub("invitee") if kind.startswith("invitee_no_show") else payload
    asked = [Item(one) for one in (*payload.list("questions_and_answers"),)]
    traits = facts((one.get("question"), one.get("answer")) for one in asked)
    for name in ("first_name", "last_name", "name"):
        if payload.text(name):
            traits[name] = payload.text(name)
    host = host_of(item)
    if host is not None:
        traits["meeting_host"] = host
    canceled = payload.get("cancellation", "created_at") if kind == "invitee.canceled" else None
    meeting = payload.text("scheduled_event", "name")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=meeting or (kind if signal is None else None),
        id=joined(payload.text("uri") or invitee.text("uri"), kind),
        time=canceled or item.get("created_at") or payload.get("created_at"),
        emails=(payload.get("email"), invitee.get("email"), traits.get("email")),
        traits=traits,
        campaign=payload.text("tracking", "utm_campaign"),
    )


def host_of(item: Item) -> str | None:
    """The address of the colleague with whom the meeting is."""
    hosts = item.list("payload", "scheduled_event", "event_memberships")
    return Item(next(iter(hosts), None)).text("user_email")


PLATFORM: Final = hook("calendly", read, verify=verify)
