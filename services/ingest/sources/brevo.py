"""Brevo's webhooks, transactional and marketing: one object, or an array where batching is on. Unsigned.

Brevo drops an event on any 5xx. The first open of a mail comes as `opened` and as `unique_opened`: both get one id.

Source: https://developers.brevo.com/docs/transactional-webhooks
"""

from collections.abc import Iterable
from typing import Final

from services.ingest.core.mapping import Seen
from services.ingest.core.spelling import fold
from services.ingest.sources.hooks import Item, Told, Types, hook, joined, meaning
from services.ingest.sources.signatures import shared_secret

# Folded: the marketing and the transactional half spell some of them differently.
TYPES: Final[Types] = {
    "request": None,
    "sent": None,
    "deferred": None,
    "blocked": None,
    "error": None,
    "softbounce": None,
    "delivered": "email.delivered",
    "opened": "email.opened",
    "uniqueopened": "email.opened",
    "proxyopen": "email.opened",
    "uniqueproxyopen": "email.opened",
    "click": "email.clicked",
    "clicked": "email.clicked",
    "hardbounce": "email.bounced",
    "invalidemail": "email.bounced",
    "invalid": "email.bounced",
    "spam": "email.complained",
    "complaint": "email.complained",
    "unsubscribe": "email.unsubscribed",
    "unsubscribed": "email.unsubscribed",
    "reply": "email.replied",
    "listaddition": "person.identified",
    "contactupdated": "person.identified",
    "contactdeleted": "person.deleted",
}


def read(item: Item) -> Iterable[Seen | Told]:
    """One event; one of several persons where `email` is a list."""
    kind = item.needed("event")
    folded = fold(kind)
    signal, told = meaning(folded, TYPES)
    if told is not None:
        yield Told(kind)
        if folded in TYPES:
            return
    given = item.list("email") or (item.get("email"),)
    # `date` is local time of Paris; these are UTC.
    time = item.first("ts_event", "ts", "ts_epoch") or item.text("date")
    message = item.first("message-id", "messageId", "camp_id")
    link = item.first("link", "URL", "url")
    proxied = folded in ("proxyopen", "uniqueproxyopen")
    what = f"{signal}:proxy" if proxied else signal or folded
    content = Item(next(iter(item.list("content")), None))
    traits = content.of or item.sub("attributes").of
    for who in given:
        yield Seen(
            raw=item.raw,
            signal=signal,
            name=kind if signal is None else None,
            id=joined(message, what, time, who, link if signal == "email.clicked" else None),
            time=time,
            emails=(who, item.get("email_id")),
            traits=traits or None,
            properties={"link": link} if signal == "email.clicked" else None,
            ip=item.get("ip"),
            user_agent=item.get("user_agent"),
            message_id=message,
            campaign=item.first("campaign name", "campaign_name", "camp_name") or _tag(item),
            actor="proxied" if proxied else None,
        )


def _tag(item: Item) -> object:
    tag = next(iter(item.list("tags")), None)
    return tag if isinstance(tag, str) else None


PLATFORM: Final = hook("brevo", read, verify=shared_secret)
