"""Mandrill's webhooks: a form field with a JSON array, signed over the exact address and the decoded fields.

At set-up Mandrill sends an unsigned HEAD, and an empty array signed with a key of its own: both are answered.

Source: https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from services.ingest.core.mapping import Seen
from services.ingest.sources import forms
from services.ingest.sources.base import Arrival, BadBody, decode_body
from services.ingest.sources.hooks import Item, Told, Types, hook, joined, meaning
from services.ingest.sources.signatures import MISMATCH, any_fits

FIELD: Final = "mandrill_events"
TYPES: Final[Types] = {
    "send": None,
    "deferral": None,
    "soft_bounce": None,
    "reject": None,
    "blacklist": None,
    "whitelist": None,
    "delivered": "email.delivered",
    "open": "email.opened",
    "click": "email.clicked",
    "hard_bounce": "email.bounced",
    "spam": "email.complained",
    "unsub": "email.unsubscribed",
    "inbound": "email.replied",
}
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])


def _fields(arrival: Arrival) -> list[tuple[str, str]]:
    return forms.fields(arrival.body, arrival.headers.get("content-type", ""))


def verify(arrival: Arrival, secrets: Sequence[str]) -> str | None:
    """Check `X-Mandrill-Signature`: HMAC-SHA1 over the address and each field's name and value, sorted by name."""
    try:
        fields = _fields(arrival)
    except BadBody:
        return "the body is no form"
    if [(name, value.strip()) for name, value in fields] == [(FIELD, "[]")]:
        return None  # the set-up's probe holds nothing, so nothing can be forged
    given = arrival.headers.get("x-mandrill-signature", "")
    if not given:
        return "the header X-Mandrill-Signature is missing"
    content = arrival.url + "".join(name + value for name, value in sorted(fields))
    return None if any_fits(given, secrets, content.encode("utf-8", "replace"), "sha1", "base64") else MISMATCH


def split(arrival: Arrival) -> Sequence[bytes]:
    """Each element of the array in the form."""
    if arrival.body.lstrip()[:1] == b"[":
        text: str | None = arrival.body.decode("utf-8", "replace")
    else:
        text = forms.first(_fields(arrival), FIELD)
    if text is None:
        raise BadBody("wrong_shape", f"the form has no field {FIELD}")
    return [bytes(raw) for raw in decode_body(_list, text.encode("utf-8", "replace"))]


def read(item: Item) -> Iterable[Seen | Told]:
    """One event. `sync` messages carry `type` instead of `event`."""
    kind = item.text("event") or item.needed("type")
    signal, told = meaning(kind, TYPES)
    if told is not None:
        yield told
        if kind in TYPES:
            return
    who = item.text("msg", "from_email") if kind == "inbound" else item.text("msg", "email")
    link = item.text("url")
    yield Seen(
        raw=item.raw,
        signal=signal,
        name=kind if signal is None else None,
        id=joined(item.text("_id") or item.text("msg", "_id"), kind, item.get("ts"), link, who),
        time=item.get("ts"),
        emails=(who,),
        properties={"link": link} if signal == "email.clicked" else None,
        ip=item.get("ip"),
        user_agent=item.get("user_agent"),
        message_id=item.text("_id") or item.text("msg", "_id"),
        campaign=item.text("msg", "template") or next(iter(item.list("msg", "tags")), None),
    )


PLATFORM: Final = hook("mandrill", read, split=split, verify=verify)
