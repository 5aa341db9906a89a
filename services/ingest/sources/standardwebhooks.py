"""Standard Webhooks: signed JSON of any sender, `{"type": …, "timestamp": …, "data": {…}}`.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from schemas.messages import NO_PROPERTIES
from services.ingest.core.limits import BadItem, too_deep
from services.ingest.core.mapping import Seen
from services.ingest.sources import cloudevents
from services.ingest.sources.base import (
    Arrival,
    Limits,
    Parsed,
    Platform,
    Rejected,
    decode_body,
    decode_object,
    replayed,
)

TOLERANCE_S: Final = 300  # both ways, as the specification recommends
SIGNATURES_MAX: Final = 16
_PREFIX: Final = "whsec_"
_RAW: Final = msgspec.Raw()


class Hook(msgspec.Struct):
    """The envelope that the specification recommends. `id` stands in it only when we kept it for a replay."""

    type: Any = None
    timestamp: Any = None
    data: msgspec.Raw = _RAW
    id: Any = None


_hook: Final = msgspec.json.Decoder(Hook)


def secret_bytes(secret: str) -> bytes:
    """The key in a secret: base64 after `whsec_`, or, where a sender does not follow that, the text itself."""
    text = secret.removeprefix(_PREFIX)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return secret.encode()


def signed(headers: Mapping[str, str]) -> bool:
    """Whether a request carries such a signature."""
    return "webhook-id" in headers and "webhook-signature" in headers


def check(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_s: float) -> str | None:
    """None when one of the signatures was made with one of the secrets just now, else why not.

    Args:
        headers: Names in lower case.
        body: The raw bytes as received.
        now_s: The time, Unix seconds.
    """
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not message_id or not given:
        return "the headers webhook-id, webhook-timestamp and webhook-signature are needed"
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        return "webhook-timestamp must be Unix seconds"
    if abs(now_s - int(stamp)) > TOLERANCE_S:
        return f"webhook-timestamp is more than {TOLERANCE_S} s away from now"
    content = f"{message_id}.{stamp}.".encode("utf-8", "surrogateescape") + body
    expected = [hmac.digest(secret_bytes(secret), content, "sha256") for secret in secrets]
    matches = False
    for entry in given.split()[:SIGNATURES_MAX]:
        version, _, signature = entry.partition(",")
        if version != "v1":
            continue
        try:
            made = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            continue
        for one in expected:
            # The text is compared too: base64 lets unused bits of the last character vary.
            same = hmac.compare_digest(made, one) and hmac.compare_digest(base64.b64encode(one), signature.encode())
            matches = matches or same
    return None if matches else "no signature fits the body and the secret"


def verify(arrival: Arrival, secrets: Sequence[str]) -> str | None:
    """Check the signature of a request."""
    return check(arrival.headers, arrival.raw, secrets, arrival.received_at.timestamp())


def parse(arrival: Arrival, limits: Limits) -> Parsed:
    """What a body holds: one event. The id is the header's, the same for every try."""
    hook = decode_body(_hook, arrival.body)
    raw, given = arrival.body, arrival.headers.get("webhook-id")
    if given and hook.id is None:
        hook.id = given
    try:
        return Parsed(seen=[(0, _seen(raw, hook, limits))], rejected=[])
    except BadItem as bad:
        kept = msgspec.json.encode(hook) if len(raw) <= limits.event_bytes and hook.data else raw
        return Parsed(seen=[], rejected=[Rejected(index=0, code=bad.code, message=bad.message, raw=kept)])


def parse_item(raw: bytes, limits: Limits) -> Parsed:
    """The event again; its id was kept inside."""
    return parse(replayed(raw, "hook"), limits)


def _seen(raw: bytes, hook: Hook, limits: Limits) -> Seen:
    if len(raw) > limits.event_bytes:
        raise BadItem("event_too_large", f"the event has {len(raw)} bytes; at most {limits.event_bytes} are taken")
    if too_deep(raw, limits.nesting):
        raise BadItem("nested_too_deep", f"the event nests deeper than {limits.nesting} levels")
    if not isinstance(hook.type, str) or not hook.type.strip():
        raise BadItem("no_name", "the field `type` must name the event")
    data = decode_object(hook.data, "data")
    seen = cloudevents.from_data(raw, data, hook.type, hook.data if data else NO_PROPERTIES)
    seen.id, seen.time = hook.id, hook.timestamp
    return seen


PLATFORM: Final = Platform(name="standardwebhooks", verify=verify, parse=parse, parse_item=parse_item, signed=True)
