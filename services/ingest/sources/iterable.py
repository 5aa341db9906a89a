"""Iterable's system webhooks: one event a request, unsigned; a header or Basic repeats the secret.

Source: https://support.iterable.com/hc/en-us/articles/208013936-System-Webhooks
"""

from collections.abc import Iterable
from typing import Final

from schemas.messages import Actor
from services.ingest.core.mapping import Seen
from services.ingest.sources.hooks import SUBSCRIBED, Item, Told, Types, hook, ident, joined, meaning
from services.ingest.sources.signatures import shared_secret

TYPES: Final[Types] = {
    "emailSend": None,
    "emailSendSkip": None,
    "emailOpen": "email.opened",
    "emailClick": "email.clicked",
    "emailBounce": "email.bounced",
    "emailComplaint": "email.complained",
    "emailUnSubscribe": "email.unsubscribed",
    "emailUnsubscribe": "email.unsubscribed",
    "hostedUnsubscribeClick": "email.unsubscribed",
    "emailSubscribe": SUBSCRIBED,
    "emailReply": "email.replied",
    "userUpdate": "person.identified",
}
# Other channels: their messages' way says nothing of the person.
_CHANNELS: Final = ("sms", "push", "webPush", "inApp", "whatsApp", "embedded")
_WAY: Final = ("Send", "Skip", "Bounce", "Delivery", "Received", "Requested", "Uninstall")


def read(item: Item) -> Iterable[Seen | Told]:
    """One event."""
    kind = item.needed("eventName")
    data = item.sub("dataFields")
    signal, told = meaning(kind, TYPES)
    if kind == "emailBounce" and (data.text("recipientState") or "").casefold() == "softbounce":
        signal, told = None, Told("emailBounce soft")
    if told is not None:
        own = kind == "customEvent"
        if not own:
            yield told
        if kind in TYPES or (kind.startswith(_CHANNELS) and any(word in kind for word in _WAY)):
            return
    name = data.text("eventName") if kind == "customEvent" else kind
    link = data.first("url", "href")
    time = data.first("createdAt", "profileUpdatedAt")
    email = item.text("email") or data.text("email")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=(name or kind) if signal is None else None,
        id=joined(kind, name, data.get("messageId"), email or item.get("userId"), time, link),
        time=time,
        emails=(email,),
        user=ident(item.get("userId")),
        traits=data.of if kind == "userUpdate" else None,
        properties={"link": link} if signal == "email.clicked" else (data.of if signal is None else None),
        ip=data.get("ip"),
        user_agent=data.get("userAgent"),
        message_id=data.text("messageId"),
        campaign=data.first("campaignName", "campaignId"),
        actor=_actor(data),
    )


def _actor(data: Item) -> Actor | None:
    if data.flag("isBot") or data.flag("isMachineOpen") or data.flag("botDetected"):
        return "machine"
    source = (data.text("proxySource") or "").casefold()
    if source:
        return "machine" if "apple" in source else "proxied"
    return None


PLATFORM: Final = hook("iterable", read, verify=shared_secret)
