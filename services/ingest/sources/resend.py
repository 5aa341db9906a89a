"""Resend's webhooks, signed by Svix: the Standard Webhooks scheme under the headers `svix-…`.

Source: https://resend.com/docs/dashboard/webhooks/introduction
"""

from collections.abc import Iterable, Sequence
from email.utils import parseaddr
from typing import Final

from services.ingest.core.mapping import Seen
from services.ingest.sources import standardwebhooks
from services.ingest.sources.base import Arrival
from services.ingest.sources.hooks import SUBSCRIBED, Item, Told, Types, hook, joined, json_items, meaning, with_header

TYPES: Final[Types] = {
    "email.sent": None,
    "email.scheduled": None,
    "email.delivery_delayed": None,
    "email.failed": None,
    "email.suppressed": None,
    "email.delivered": "email.delivered",
    "email.opened": "email.opened",
    "email.clicked": "email.clicked",
    "email.bounced": "email.bounced",
    "email.complained": "email.complained",
    "email.received": "email.replied",
    "contact.created": "person.identified",
    "contact.updated": "person.identified",
    "contact.deleted": "person.deleted",
    "domain.created": None,
    "domain.updated": None,
    "domain.deleted": None,
}


def verify(arrival: Arrival, secrets: Sequence[str]) -> str | None:
    """Check the signature, under either name of the headers."""
    headers = {**arrival.headers}
    for name in ("id", "timestamp", "signature"):
        if f"svix-{name}" in headers:
            headers[f"webhook-{name}"] = headers[f"svix-{name}"]
    return standardwebhooks.check(headers, arrival.raw, secrets, arrival.received_at.timestamp())


def read(item: Item) -> Iterable[Seen | Told]:
    """One event, for each of its recipients."""
    kind = item.needed("type")
    signal, told = meaning(kind, TYPES)
    data = item.sub("data")
    if kind == "email.bounced" and (data.text("bounce", "type") or "").casefold() in ("transient", "temporary"):
        signal, told = None, Told("email.bounced transient")
    elif kind == "contact.updated" and data.get("unsubscribed") is True:
        signal = "email.unsubscribed"
    elif kind == "contact.updated" and data.get("unsubscribed") is False and not data.first("first_name", "last_name"):
        signal = SUBSCRIBED
    if told is not None:
        yield told
        if kind in TYPES:
            return
    deed = data.sub("click") if signal == "email.clicked" else data.sub("open")
    people = [data.get("from")] if signal == "email.replied" else list(data.list("to")) or [data.get("email")]
    for who in people:
        address = parseaddr(who)[1] if isinstance(who, str) else who
        several = len(people) > 1
        delivery = item.text("svix_id") or joined(kind, data.text("email_id"), item.get("created_at"), deed.get("link"))
        yield Seen(
            raw=item.raw,
            signal=signal,
            name=kind if signal is None else None,
            id=joined(delivery, address) if several and delivery else delivery,
            time=item.get("created_at"),
            emails=(address,),
            traits={"first_name": data.get("first_name"), "last_name": data.get("last_name")},
            properties={"link": deed.get("link")} if signal == "email.clicked" else None,
            ip=deed.get("ipAddress"),
            user_agent=deed.get("userAgent"),
            message_id=data.text("email_id"),
            campaign=data.text("broadcast_id"),
            # With several recipients nobody knows which of them it was.
            actor="unknown" if several and signal in ("email.opened", "email.clicked") else None,
        )


PLATFORM: Final = hook("resend", read, split=with_header(json_items, "svix-id", "svix_id"), verify=verify)
