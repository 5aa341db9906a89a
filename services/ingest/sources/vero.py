"""Vero's webhooks: one event a request, unsigned.

Source: https://developers.getvero.com/docs/webhooks
"""

from collections.abc import Iterable
from typing import Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.hooks import SUBSCRIBED, Item, Told, Types, hook, ident, joined, meaning
from services.ingest.sources.signatures import shared_secret

TYPES: Final[Types] = {
    "sent": None,
    "delivered": "email.delivered",
    "opened": "email.opened",
    "clicked": "email.clicked",
    "bounced": "email.bounced",
    "unsubscribed": "email.unsubscribed",
    "spammed": "email.complained",
    "complained": "email.complained",
    "resubscribed": SUBSCRIBED,
    "user_created": "person.identified",
    "user_updated": "person.identified",
    "user_deleted": "person.deleted",
    "user_unsubscribed": "email.unsubscribed",
    "user_resubscribed": SUBSCRIBED,
}


def read(item: Item) -> Iterable[Seen | Told]:
    """One event; each names its time after itself: `opened_at`."""
    kind = item.needed("type")
    signal, told = meaning(kind, TYPES)
    if kind == "bounced" and item.text("bounce_type") == "soft":
        signal, told = None, Told("bounced soft")
    if told is not None:
        yield told
        if kind in TYPES:
            return
    user = item.sub("user")
    link, time, message = item.first("url", "link"), item.first(f"{kind}_at", "timestamp"), item.text("message_id")
    who = user.first("email", "id")
    identified = signal == "person.identified"
    traits = {**item.of, **item.sub("changes").of} if identified else {}
    for name in ("type", "user", "changes"):
        traits.pop(name, None)
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=kind if signal is None else None,
        id=joined(kind, message, who, time, link) if message or time else None,
        time=time,
        emails=(user.get("email"),),
        user=ident(user.get("id")),
        traits=traits or None,
        properties={"link": link} if signal == "email.clicked" else None,
        user_agent=item.get("user_agent"),
        message_id=message,
        campaign=item.text("campaign", "name"),
    )


PLATFORM: Final = hook("vero", read, verify=shared_secret)
