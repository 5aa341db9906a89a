"""CloudEvents 1.0 over HTTP: structured, batched and binary, for senders that speak no vendor's format.

Types of ours are `leadrouter.<signal>.v1`; any other type is looked up like an event name. `subject` is the person's
e-mail address or id; `data` holds what is known under our names or Segment's.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from schemas.messages import NO_PROPERTIES
from schemas.signals import signal_of
from services.ingest.core.limits import BadItem, too_deep
from services.ingest.core.mapping import Seen, required
from services.ingest.core.spelling import NAMED, custom_signal, fold
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

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
_VERSION = re.compile(r"\.v\d+$")
_SIGNAL = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)*")
_RAW: Final = msgspec.Raw()


class Event(msgspec.Struct):
    """The attributes that we read; extensions are of no use here."""

    specversion: Any = None
    id: Any = None
    source: Any = None
    type: Any = None
    time: Any = None
    subject: Any = None
    datacontenttype: Any = None
    data: msgspec.Raw = _RAW
    data_base64: Any = None


_event: Final = msgspec.json.Decoder(Event)
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether the attributes stand in the headers."""
    return "ce-specversion" in headers and not headers.get("content-type", "").startswith("application/cloudevents")


def parse(arrival: Arrival, limits: Limits) -> Parsed:
    """What a body in any of the three modes holds."""
    if is_binary(arrival.headers):
        # The dead letter of a binary event must carry its headers: it is kept in structured form.
        return _items([structured(arrival)], limits)
    if arrival.body.lstrip()[:1] == b"[":
        return _items([bytes(raw) for raw in decode_body(_list, arrival.body)], limits)
    decode_body(_event, arrival.body)
    return _items([arrival.body], limits)


def parse_item(raw: bytes, limits: Limits) -> Parsed:
    """One event, or a whole body, again."""
    return parse(replayed(raw, "events"), limits)


def structured(arrival: Arrival) -> bytes:
    """A binary event in structured mode. Header values are percent-encoded UTF-8."""
    event: dict[str, Any] = {}
    for name, value in arrival.headers.items():
        if name.startswith("ce-"):
            event[name[3:]] = unquote(value, errors="replace")
    content_type = arrival.headers.get("content-type", "")
    if content_type:
        event["datacontenttype"] = content_type
    if arrival.body and (not content_type or "json" in content_type):
        try:
            msgspec.json.decode(arrival.body)
            event["data"] = msgspec.Raw(arrival.body)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadBody("malformed_json", f"the body is no JSON: {words(error)}") from error
    elif arrival.body:
        event["data_base64"] = base64.b64encode(arrival.raw).decode()
    return msgspec.json.encode(event)


def _items(raws: list[bytes], limits: Limits) -> Parsed:
    if len(raws) > limits.items:
        message = f"the batch has {len(raws)} events; at most {limits.items} are taken at once"
        raise BadBody("too_many_items", message, 413)
    parsed = Parsed(seen=[], rejected=[])
    for index, raw in enumerate(raws):
        try:
            parsed.seen.append((index, _seen(raw, limits)))
        except BadItem as bad:
            parsed.rejected.append(Rejected(index=index, code=bad.code, message=bad.message, raw=raw))
    return parsed


def _seen(raw: bytes, limits: Limits) -> Seen:
    if len(raw) > limits.event_bytes:
        raise BadItem("event_too_large", f"the event has {len(raw)} bytes; at most {limits.event_bytes} are taken")
    if too_deep(raw, limits.nesting):
        raise BadItem("nested_too_deep", f"the event nests deeper than {limits.nesting} levels")
    try:
        event = _event.decode(raw)
    except msgspec.ValidationError as error:
        raise BadItem("wrong_type", f"the event has another shape than we read: {words(error)}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadItem("malformed_json", f"the event cannot be read: {words(error)}") from error
    if not isinstance(event.specversion, str) or not event.specversion.startswith("1."):
        raise BadItem("not_cloudevents", "specversion must be 1.0")
    for name, value in (("id", event.id), ("source", event.source), ("type", event.type)):
        if not isinstance(value, str) or not value.strip():
            raise BadItem("not_cloudevents", f"the attribute {name} must be a text that is not empty")
    data = _data(event)
    seen = from_data(raw, data, event.type, event.data if data and event.data else NO_PROPERTIES)
    seen.id, seen.source, seen.time = event.id, event.source[:512], event.time
    return _with_subject(seen, event.subject)


def _data(event: Event) -> dict[str, Any] | None:
    if event.data:
        kind = event.datacontenttype
        if isinstance(kind, str) and "json" not in kind:
            return None
        return decode_object(event.data, "data")
    if isinstance(event.data_base64, str) and "json" in str(event.datacontenttype or "json"):
        try:
            return decode_object(base64.b64decode(event.data_base64, validate=True), "data_base64")
        except (binascii.Error, ValueError) as error:
            raise BadItem("malformed_json", "data_base64 is no base64") from error
    return None


def _with_subject(seen: Seen, subject: object) -> Seen:
    """The subject names the person where the data does not: an address, or a user id."""
    if isinstance(subject, str) and subject.strip():
        if "@" in subject:
            seen.emails = (*seen.emails, subject)
        elif seen.user is None and seen.anonymous is None and not any(seen.emails):
            seen.user = subject
    return seen


# Names under which generic senders put what we look for, ours first.
_USER: Final = ("user_id", "userId", "user")
_ANONYMOUS: Final = ("anonymous_id", "anonymousId", "visitor_id")
_CRM: Final = ("crm_id", "crmId")
# Read into fields of their own, so not properties of the event.
_FIELDS: Final = frozenset((*_USER, *_ANONYMOUS, *_CRM, "ids", "traits", "account", "person", "contact", "properties"))


def from_data(raw: bytes, data: Mapping[str, Any] | None, type_: str, data_raw: msgspec.Raw) -> Seen:
    """What a generic payload holds: shared with the Standard Webhooks door.

    Raises:
        BadItem: `wrong_type`, `no_name`, `name_too_long`.
    """
    signal, name = _signal(type_), name_of(type_)
    plain = NAMED.get(fold(name)) if signal is None else signal
    if data is None:
        return Seen(raw=raw, signal=signal, name=name if signal is None else None)
    person = required(data.get("person", data.get("contact")), "person")
    traits = required(data.get("traits"), "traits")
    properties = required(data.get("properties"), "properties")
    known = {**(person or {}), **(traits or {})}
    ids = _listed(data.get("ids"))
    flat = {key: value for key, value in data.items() if key not in _FIELDS}
    if plain == "person.identified" and not known:
        known = flat
    return Seen(
        raw=raw,
        signal=signal,
        name=_own_name(data) if signal is not None else name,
        emails=(ids.get("email"), data.get("email"), known.get("email")),
        user=_first(data, _USER, ids.get("user")),
        anonymous=_first(data, _ANONYMOUS, ids.get("anonymous")),
        crm=_first(data, _CRM, ids.get("crm")),
        traits=known or None,
        account=required(data.get("account"), "account"),
        properties={**flat, **(properties or {})},
        properties_raw=data_raw,
        ip=data.get("ip"),
        user_agent=data.get("user_agent", data.get("userAgent")),
        campaign=data.get("campaign"),
        message_id=data.get("message_id", data.get("messageId")),
    )


def _signal(type_: str) -> str | None:
    """The signal of a type of ours; None: the type is looked up as a name, without its version."""
    ours = signal_of(type_)
    if ours is None:
        return None
    return ours if _SIGNAL.fullmatch(ours) else custom_signal(ours)


def name_of(type_: str) -> str:
    """A foreign type as an event name: `com.example.email.opened.v1` is `com.example.email.opened`."""
    return _VERSION.sub("", type_)


def _own_name(data: Mapping[str, Any]) -> str | None:
    """What the sender calls an event of ours."""
    name = data.get("event", data.get("event_name"))
    return name if isinstance(name, str) else None


def _listed(ids: object) -> dict[str, Any]:
    """`[{"kind": "email", "value": …}]`, as our own messages have it; the first of each kind."""
    made: dict[str, Any] = {}
    if isinstance(ids, list):
        for entry in ids[:16]:
            if isinstance(entry, Mapping) and isinstance(entry.get("kind"), str):
                made.setdefault(entry["kind"], entry.get("value"))
    return made


def _first(data: Mapping[str, Any], names: tuple[str, ...], otherwise: object) -> object:
    for name in names:
        value = data.get(name)
        if value is not None and value != "" and not isinstance(value, Mapping):
            return value
    return otherwise


PLATFORM: Final = Platform(name="cloudevents", parse=parse, parse_item=parse_item)
