"""SendGrid's event webhook: an array of mail events, signed with ECDSA over time stamp and raw body.

The secret of a source is the verification key that SendGrid shows (base64). No tolerance is defined for the stamp, and
a retry may carry the old one, so repeats are told by `sg_event_id` alone.

Source: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from services.ingest.core.mapping import Seen
from services.ingest.sources.base import Arrival
from services.ingest.sources.hooks import SUBSCRIBED, Item, Told, Types, hook, joined, meaning
from services.ingest.sources.signatures import MISMATCH

TYPES: Final[Types] = {
    "processed": None,
    "deferred": None,
    "delivered": "email.delivered",
    "open": "email.opened",
    "click": "email.clicked",
    "bounce": "email.bounced",
    "dropped": None,
    "blocked": None,
    "spamreport": "email.complained",
    "unsubscribe": "email.unsubscribed",
    "group_unsubscribe": "email.unsubscribed",
    "group_resubscribe": SUBSCRIBED,
}
# Why SendGrid did not even try: what it knew from before.
_DROPPED: Final = {
    "bounced address": "email.bounced",
    "invalid": "email.bounced",
    "spam reporting address": "email.complained",
    "unsubscribed address": "email.unsubscribed",
}


@lru_cache(maxsize=64)
def _key(secret: str) -> ec.EllipticCurvePublicKey | None:
    try:
        if secret.startswith("-----"):
            loaded = load_pem_public_key(secret.encode())
        else:
            loaded = load_der_public_key(base64.b64decode(secret, validate=True))
    except (ValueError, binascii.Error):
        return None
    return loaded if isinstance(loaded, ec.EllipticCurvePublicKey) else None


def verify(arrival: Arrival, secrets: Sequence[str]) -> str | None:
    """Check `X-Twilio-Email-Event-Webhook-Signature`."""
    given = arrival.headers.get("x-twilio-email-event-webhook-signature", "")
    stamp = arrival.headers.get("x-twilio-email-event-webhook-timestamp", "")
    if not given or not stamp:
        return "the headers X-Twilio-Email-Event-Webhook-Signature and -Timestamp are needed"
    try:
        signature = base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return "the signature is no base64"
    keys = [key for key in map(_key, secrets) if key is not None]
    if not keys:
        return "the secret of this source is no verification key of SendGrid"
    for key in keys:
        try:
            key.verify(signature, stamp.encode("utf-8", "replace") + arrival.raw, ec.ECDSA(SHA256()))
        except InvalidSignature:
            continue
        return None
    return MISMATCH


def read(item: Item) -> Iterable[Seen | Told]:
    """One mail event."""
    kind = item.needed("event")
    signal, told = meaning(kind, TYPES)
    if kind == "bounce" and item.text("type") == "blocked":
        signal, told = None, Told("blocked")  # refused this time; the address may be good
    elif kind == "dropped":
        signal = _DROPPED.get((item.text("reason") or "").casefold())
        told = None if signal else told
    if told is not None:
        yield told
        if kind in TYPES:
            return
    send = item.text("sg_message_id")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=kind if signal is None else None,
        id=item.text("sg_event_id") or joined(send, kind, item.get("timestamp"), item.get("email")),
        time=item.get("timestamp"),
        emails=(item.get("email"),),
        properties={"link": item.get("url")} if signal == "email.clicked" else None,
        ip=item.get("ip"),
        user_agent=item.get("useragent"),
        message_id=send.partition(".filter")[0] if send else item.get("smtp-id"),
        campaign=item.first("marketing_campaign_name", "singlesend_name", "category") or _first(item, "category"),
        actor="machine" if item.flag("sg_machine_open") else None,
    )


def _first(item: Item, name: str) -> object:
    values = item.list(name)
    return values[0] if values else None


PLATFORM: Final = hook("sendgrid", read, verify=verify)
