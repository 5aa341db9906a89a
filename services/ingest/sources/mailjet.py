"""Mailjet's event API: an array where events are grouped, else one object. Unsigned: Basic in the address.

Source: https://dev.mailjet.com/email/guides/webhooks/
"""

from collections.abc import Iterable
from typing import Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.hooks import Item, Told, Types, hook, joined, meaning
from services.ingest.sources.signatures import shared_secret

TYPES: Final[Types] = {
    "sent": "email.delivered",  # Mailjet's word for "taken by the other side"
    "open": "email.opened",
    "click": "email.clicked",
    "bounce": "email.bounced",
    "blocked": None,
    "spam": "email.complained",
    "unsub": "email.unsubscribed",
}


def read(item: Item) -> Iterable[Seen | Told]:
    """One mail event."""
    kind = item.needed("event")
    signal, told = meaning(kind, TYPES)
    if kind == "bounce" and item.get("hard_bounce") in (False, 0, "false", "0"):
        signal, told = None, Told("bounce soft")
    if told is not None:
        yield told
        if kind in TYPES:
            return
    message = item.first("Message_GUID", "MessageID")
    link = item.text("url")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=kind if signal is None else None,
        id=joined(message, kind, item.get("time"), link, item.get("email")),
        time=item.get("time"),
        emails=(item.get("email"),),
        properties={"link": link} if signal == "email.clicked" else None,
        ip=item.get("ip"),
        user_agent=item.get("agent"),
        message_id=message,
        campaign=item.first("customcampaign", "mj_campaign_id"),
    )


PLATFORM: Final = hook("mailjet", read, verify=shared_secret)
