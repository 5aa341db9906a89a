"""Mailgun's webhooks: one event a request, as JSON, or as the older form.

The signature covers a time stamp and a token, not the event: a token that comes again with another body is refused.

Source: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from schemas.messages import Actor
from services.ingest.core.mapping import Seen
from services.ingest.sources import forms
from services.ingest.sources.base import Arrival, BadBody
from services.ingest.sources.hooks import Item, Told, Types, form_item, hook, joined, meaning
from services.ingest.sources.signatures import MISMATCH, any_fits

TYPES: Final[Types] = {
    "accepted": None,
    "rejected": None,
    "stored": None,
    "temporary_fail": None,
    "delivered": "email.delivered",
    "opened": "email.opened",
    "clicked": "email.clicked",
    "unsubscribed": "email.unsubscribed",
    "complained": "email.complained",
    "permanent_fail": "email.bounced",
    "bounced": "email.bounced",  # these two: the older form
    "dropped": "email.bounced",
}
# `client-info.bot`: Apple's is a machine, Gmail's proxy stands before a person.
_BOTS: Final[Mapping[str, Actor]] = {"apple": "machine", "generic": "machine", "gmail": "proxied"}
_any: Final = msgspec.json.Decoder()


def _signed(arrival: Arrival) -> Item:
    """The three fields of the signature, wherever they are."""
    try:
        if arrival.body.lstrip()[:1] == b"{":
            return Item(_any.decode(arrival.body)).sub("signature")
        return Item(dict(forms.fields(arrival.body, arrival.headers.get("content-type", ""))))
    except (msgspec.DecodeError, ValueError, RecursionError, BadBody):
        return Item({})


def verify(arrival: Arrival, secrets: Sequence[str]) -> str | None:
    """Check the signature inside the body."""
    block = _signed(arrival)
    stamp, token, given = block.get("timestamp"), block.get("token"), block.get("signature")
    stamp = str(stamp) if isinstance(stamp, int) else stamp
    if not (isinstance(stamp, str) and isinstance(token, str) and isinstance(given, str) and token):
        return "the body has no signature with timestamp, token and signature"
    content = f"{stamp}{token}".encode("utf-8", "replace")
    return None if any_fits(given, secrets, content, "sha256", "hex") else MISMATCH


def token(arrival: Arrival) -> str | None:
    """What must not come again with another event."""
    found = _signed(arrival).get("token")
    return found if isinstance(found, str) else None


def split(arrival: Arrival) -> Sequence[bytes]:
    """The event without its signature, but with the token, which names an older event."""
    made = []
    for raw in form_item(arrival):
        whole = _object(raw)
        event = whole.pop("event-data", None)
        if isinstance(event, dict):
            made.append(msgspec.json.encode(event))
            continue
        whole.pop("signature", None)
        made.append(msgspec.json.encode(whole))
    return made


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = _any.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadBody("malformed_json", f"the body cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise BadBody("wrong_shape", "the body must be an object")
    return value


def read(item: Item) -> Iterable[Seen | Told]:
    """One event, of either form."""
    kind = item.needed("event")
    if kind == "failed":
        kind = "temporary_fail" if item.text("severity") == "temporary" else "permanent_fail"
    signal, told = meaning(kind, TYPES)
    if told is not None:
        yield told
        if kind in TYPES:
            return
    client = item.sub("client-info")
    message = item.text("message", "headers", "message-id") or item.first("Message-Id", "message-id")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=kind if signal is None else None,
        id=item.text("id") or item.text("token"),
        time=item.get("timestamp"),
        emails=(item.get("recipient"),),
        properties={"link": item.get("url")} if signal == "email.clicked" else None,
        ip=item.get("ip"),
        user_agent=client.get("user-agent") or item.get("user-agent"),
        message_id=message.strip("<>") if message else None,
        campaign=_campaign(item),
        actor=_BOTS.get(client.text("bot") or ""),
    )


def _campaign(item: Item) -> str | None:
    campaign = next(iter(item.list("campaigns")), None)
    tag = next(iter(item.list("tags")), None)
    return Item(campaign).first("name", "id") or (tag if isinstance(tag, str) else None) or joined(item.get("tag"))


PLATFORM: Final = hook("mailgun", read, split=split, verify=verify, token=token)
