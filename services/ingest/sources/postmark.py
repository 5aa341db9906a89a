"""Postmark's webhooks: one event a request. Unsigned: a password of yours goes into the address (Basic).

Source: https://postmarkapp.com/developer/webhooks/webhooks-overview
"""

from collections.abc import Iterable
from typing import Final

from services.ingest.core.mapping import Seen
from services.ingest.sources.hooks import SUBSCRIBED, Item, Told, Types, hook, joined, meaning
from services.ingest.sources.signatures import shared_secret

TYPES: Final[Types] = {
    "Delivery": "email.delivered",
    "Open": "email.opened",
    "Click": "email.clicked",
    "Bounce": "email.bounced",
    "SpamComplaint": "email.complained",
    "SubscriptionChange": "email.unsubscribed",
    "Inbound": "email.replied",
    "SMTPApiError": None,
}
# Kinds of `Bounce` that say something of the person, not of the day.
_HARD: Final = ("HardBounce", "BadEmailAddress", "ManuallyDeactivated", "Blocked")
_BOUNCES: Final = {
    "SpamNotification": "email.complained",
    "SpamComplaint": "email.complained",
    "Unsubscribe": "email.unsubscribed",
    "Subscribe": SUBSCRIBED,
}
_REASONS: Final = {"HardBounce": "email.bounced", "SpamComplaint": "email.complained"}


def read(item: Item) -> Iterable[Seen | Told]:
    """One event."""
    kind = item.text("RecordType") or ("Inbound" if "FromFull" in item.of else item.needed("RecordType"))
    signal, told = meaning(kind, TYPES)
    bounce = item.text("Type")
    if kind == "Bounce" and bounce is not None:
        signal = "email.bounced" if bounce in _HARD or item.flag("Inactive") else _BOUNCES.get(bounce)
        told = None if signal else Told(f"Bounce {bounce}")
    elif kind == "SubscriptionChange":
        off = item.flag("SuppressSending")
        signal = _REASONS.get(item.text("SuppressionReason") or "", "email.unsubscribed") if off else SUBSCRIBED
    if told is not None:
        yield told
        if kind in TYPES:
            return
    who = item.first("Recipient", "Email") if kind != "Inbound" else item.text("FromFull", "Email")
    time = item.first("ReceivedAt", "DeliveredAt", "BouncedAt", "ChangedAt", "Date")
    link = item.text("OriginalLink")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=kind if signal is None else None,
        id=joined(item.text("MessageID"), kind, time, who, link),
        time=time,
        emails=(who,),
        properties={"link": link} if link else None,
        ip=item.get("Geo", "IP"),
        user_agent=item.get("UserAgent"),
        message_id=item.text("MessageID"),
        campaign=item.text("Tag"),
    )


PLATFORM: Final = hook("postmark", read, verify=shared_secret)
