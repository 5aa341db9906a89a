"""Segment's HTTP API and webhook destination, and RudderStack's gateway, which speaks the same.

Source: https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from services.ingest.core.limits import CUT, ISOLATE_MAX_BYTES, BadItem, isolate_deep, too_deep
from services.ingest.core.mapping import Seen, required
from services.ingest.sources.base import (
    Arrival,
    BadBody,
    Limits,
    Parsed,
    Platform,
    Rejected,
    decode_body,
    decode_object,
    replayed,
    words,
)

# Which signal a type of item is by itself; None: its name decides.
TYPES: Final[dict[str, str | None]] = {
    "track": None,
    "identify": "person.identified",
    "page": "page.viewed",
    "screen": "page.viewed",
    "group": "account.updated",
    "alias": "person.identified",
    "merge": "person.identified",
    "delete": "person.deleted",
}
# Historical imports carry the time of the export as sentAt: nothing to correct a clock by.
_UNCORRECTED: Final = frozenset(("import",))
_RARE: Final = frozenset(("group", "alias", "merge"))
QUERY_DEPTH_MAX: Final = 6
_RAW: Final = msgspec.Raw()
_CRM_TYPES: Final = ("salesforce", "hubspot", "pipedrive", "crm")


class Context(msgspec.Struct, gc=False):
    """The parts of `context` that we read."""

    ip: Any = None
    userAgent: Any = None  # noqa: N815 Segment's name
    traits: Any = None
    page: Any = None
    campaign: Any = None
    externalIds: Any = None  # noqa: N815 Segment's name


class Item(msgspec.Struct, gc=False):
    """One call of a client. Anything may stand anywhere; objects that we keep stay raw."""

    type: Any = None
    userId: Any = None  # noqa: N815 Segment's names
    anonymousId: Any = None  # noqa: N815
    previousId: Any = None  # noqa: N815
    groupId: Any = None  # noqa: N815
    messageId: Any = None  # noqa: N815
    event: Any = None
    name: Any = None
    timestamp: Any = None
    originalTimestamp: Any = None  # noqa: N815
    sentAt: Any = None  # noqa: N815
    context: Context | None = None
    properties: msgspec.Raw = _RAW
    traits: msgspec.Raw = _RAW


class Envelope(msgspec.Struct):
    """A batch. Each item stays raw, so that one bad item spoils no other."""

    batch: list[msgspec.Raw] | None = None
    sentAt: Any = None  # noqa: N815
    context: msgspec.Raw = _RAW


class KeyOnly(msgspec.Struct):
    """Where clients put the write key when they send no header."""

    writeKey: Any = None  # noqa: N815


_envelope: Final = msgspec.json.Decoder(Envelope)
_context: Final = msgspec.json.Decoder(Context | None)
_item: Final = msgspec.json.Decoder(Item)
_key: Final = msgspec.json.Decoder(KeyOnly)
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])


def body_key(body: bytes) -> str | None:
    """The write key inside the body, if there is one.

    Raises:
        BadBody: The body is no JSON, so that nobody can say whose it is.
    """
    found = decode_body(_key, body).writeKey
    return found if isinstance(found, str) else None


def verify(arrival: Arrival, secrets: Sequence[str]) -> str | None:
    """Check `X-Signature` of the webhook destination: hex HMAC-SHA1 of the body.

    Of an array Segment signs the first event only, so events after it could be forged: such arrays are refused.
    """
    given = arrival.headers.get("x-signature", "")
    if not given:
        return "the header X-Signature is missing"
    if arrival.raw.lstrip()[:1] == b"[":
        try:
            signed: Sequence[bytes] = [bytes(raw) for raw in _list.decode(arrival.raw)]
        except (msgspec.DecodeError, RecursionError):
            return "the body is no JSON"
        if len(signed) != 1:
            return "Segment signs only the first event of an array; set the destination's batch size to 1"
    else:
        signed = (arrival.raw,)
    for secret in secrets:
        made = hmac.new(secret.encode(), signed[0], "sha1").hexdigest().encode()
        if hmac.compare_digest(made, given.strip().lower().encode("utf-8", "replace")):
            return None
    return "X-Signature does not match the body and the secret"


def of_query(arrival: Arrival) -> bytes:
    """The call in a pixel's address; a dot in a name goes inwards: `context.page.url`. The key is not part of it."""
    made: dict[str, Any] = {}
    for name, value in arrival.query.items():
        at, parts = made, name.split(".")[:QUERY_DEPTH_MAX]
        for part in parts[:-1]:
            inner = at.get(part)
            if not isinstance(inner, dict):
                inner = at[part] = {}
            at = inner
        at[parts[-1]] = value
    made.pop("writeKey", None)
    # Nobody repeats a pixel: two that are equal were two looks.
    return msgspec.json.encode({"timestamp": arrival.received_at, **made})


def parse(arrival: Arrival, limits: Limits) -> Parsed:
    """What a body of any Segment or RudderStack call holds."""
    body = arrival.body
    cut: list[bytes] = []
    if arrival.method == "GET" and not body:
        body = of_query(arrival)
    if arrival.kind in TYPES:
        return _single(body, arrival, limits)
    if body.lstrip()[:1] == b"[":  # the webhook destination, batched
        raws = decode_body(_list, body)
        return _items(raws, Envelope(), [], arrival.kind, limits)
    try:
        envelope = decode_body(_envelope, body)
    except BadBody as error:
        if error.code != "nested_too_deep" or len(body) > ISOLATE_MAX_BYTES:
            raise
        body, cut = isolate_deep(body, limits.nesting)
        envelope = decode_body(_envelope, body)
    if envelope.batch is None:
        if arrival.kind == "batch":
            raise BadBody("wrong_shape", "the body has no list `batch`")
        return _single(body, arrival, limits)
    return _items(envelope.batch, envelope, cut, arrival.kind, limits)


def parse_item(raw: bytes, limits: Limits) -> Parsed:
    """One item again, after it was mended; or a whole body that once could not be read."""
    if raw.lstrip()[:1] != b"[" and decode_body(_envelope, raw).batch is None:
        return _items([msgspec.Raw(raw)], Envelope(), [], "batch", limits)
    return parse(replayed(raw, "hook"), limits)


def _single(body: bytes, arrival: Arrival, limits: Limits) -> Parsed:
    kind = arrival.kind if arrival.kind in TYPES else ""
    decode_body(_key, body)  # a body that is no JSON object is refused whole, not as an item
    return _items([msgspec.Raw(body)], Envelope(), [], kind, limits)


def _items(raws: Sequence[msgspec.Raw], envelope: Envelope, cut: list[bytes], kind: str, limits: Limits) -> Parsed:
    if len(raws) > limits.items:
        message = f"the batch has {len(raws)} items; at most {limits.items} are taken at once"
        raise BadBody("too_many_items", message, 413)
    shared = _shared_context(envelope.context)
    sent_at = None if kind in _UNCORRECTED else envelope.sentAt
    forced = kind if kind in TYPES else None
    parsed = Parsed(seen=[], rejected=[])
    seen, lost = parsed.seen, iter(cut)
    for index, raw in enumerate(raws):
        item = bytes(raw)
        try:
            if cut and item == CUT:
                item = next(lost, item)
                raise BadItem("nested_too_deep", f"the item nests deeper than {limits.nesting} levels")
            seen.append((index, _seen(item, forced, shared, sent_at, limits)))
        except BadItem as bad:
            parsed.rejected.append(Rejected(index=index, code=bad.code, message=bad.message, raw=item))
    return parsed


def _shared_context(raw: msgspec.Raw) -> Context | None:
    try:
        return _context.decode(raw) if raw else None
    except (msgspec.DecodeError, RecursionError):
        return None  # a useless context of a batch spoils none of its items


def _seen(raw: bytes, forced: str | None, shared: Context | None, sent_at: object, limits: Limits) -> Seen:
    if len(raw) > limits.event_bytes:
        raise BadItem("event_too_large", f"the event has {len(raw)} bytes; at most {limits.event_bytes} are taken")
    if too_deep(raw, limits.nesting):
        raise BadItem("nested_too_deep", f"the item nests deeper than {limits.nesting} levels")
    try:
        item = _item.decode(raw)
    except msgspec.ValidationError as error:
        raise BadItem("wrong_type", f"the item has another shape than we read: {words(error)}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadItem("malformed_json", f"the item cannot be read: {words(error)}") from error
    kind = forced or item.type
    if not isinstance(kind, str) or kind not in TYPES:
        raise BadItem("unknown_type", f"type is {kind!r:.60}; known are {', '.join(TYPES)}")
    # Only what is there is given: this runs for every event, and each argument costs.
    seen = Seen(
        raw=raw,
        id=item.messageId,
        signal=TYPES[kind],
        name=item.event if kind == "track" else item.name,
        time=item.timestamp if item.timestamp is not None else item.originalTimestamp,
        sent_at=item.sentAt if item.sentAt is not None else sent_at,
        user=item.userId,
        anonymous=item.anonymousId,
    )
    context = item.context if shared is None else _merged(item.context, shared)
    traits = decode_object(item.traits, "traits") if item.traits else None
    if item.properties:
        seen.properties = decode_object(item.properties, "properties")
        if seen.properties:
            seen.properties_raw = item.properties
    known_traits = None
    if context is not None:
        known_traits = required(context.traits, "context.traits")
        seen.page, seen.ip, seen.user_agent = context.page, context.ip, context.userAgent
        seen.campaign = context.campaign
        if context.externalIds is not None:
            seen.crm = _crm_id(context.externalIds)
    if traits or known_traits or kind in _RARE:
        _whose(seen, kind, item, traits, known_traits)
    return seen


def _whose(
    seen: Seen, kind: str, item: Item, traits: Mapping[str, Any] | None, known_traits: Mapping[str, Any] | None
) -> None:
    """What the traits tell, and of whom: a group's are the company's, and its mailbox is nobody's address."""
    known_email = known_traits.get("email") if known_traits else None
    if kind == "group":
        seen.account, seen.account_id, seen.emails = traits, item.groupId, (known_email,)
        seen.traits = dict(known_traits) if known_traits else None
        return
    seen.emails = (traits.get("email") if traits else None, known_email)
    if known_traits:
        seen.traits = {**known_traits, **traits} if traits else dict(known_traits)
    else:
        seen.traits = traits
    if kind in ("alias", "merge"):
        seen.previous = item.previousId


def _merged(own: Context | None, shared: Context) -> Context:
    """The item's context over the batch's, field by field."""
    if own is None:
        return shared
    return Context(
        ip=own.ip if own.ip is not None else shared.ip,
        userAgent=own.userAgent if own.userAgent is not None else shared.userAgent,
        traits=_both(own.traits, shared.traits),
        page=_both(own.page, shared.page),
        campaign=_both(own.campaign, shared.campaign),
        externalIds=own.externalIds if own.externalIds is not None else shared.externalIds,
    )


def _both(own: Any, shared: Any) -> Any:
    if own is None:
        return shared
    if isinstance(own, Mapping) and isinstance(shared, Mapping):
        return {**shared, **own}
    return own


def _crm_id(external_ids: object) -> str | None:
    """The first CRM id of `context.externalIds`, as `salesforce_contact_id:003…`."""
    if not isinstance(external_ids, list):
        return None
    for entry in external_ids[:16]:
        if isinstance(entry, Mapping) and isinstance(entry.get("type"), str) and isinstance(entry.get("id"), str):
            kind = entry["type"].casefold()
            if entry["id"] and any(word in kind for word in _CRM_TYPES):
                return f"{kind[:64]}:{entry['id']}"
    return None


PLATFORM: Final = Platform(name="segment", verify=verify, parse=parse, parse_item=parse_item)
