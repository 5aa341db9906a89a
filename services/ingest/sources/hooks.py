"""What every vendor's webhook parser shares: a body cut into items, items read by safe look-ups, bad ones told.

A platform gives `split`, from a request to the bytes of its items (JSON, all that is needed to read them again), and
`read`, from one item to events. Readers use `Item` only, which never raises over a wrong type.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.messages import NO_PROPERTIES
from services.ingest.core.identity import PLACEHOLDERS
from services.ingest.core.limits import ID_MAX, TEXT_MAX, BadItem, clean_text, too_deep
from services.ingest.core.mapping import Seen
from services.ingest.core.times import parse_time
from services.ingest.sources import forms
from services.ingest.sources.base import (
    Arrival,
    BadBody,
    Ignored,
    Limits,
    Parsed,
    Platform,
    Rejected,
    clean_body,
    decode_body,
    decode_object,
    nothing_to_verify,
    replayed,
)
from services.ingest.sources.signatures import Verify

# A whole contact record of HubSpot or Mautic is larger than any client's event. Beyond `Limits.event_bytes` the
# event is read but its raw form is not carried along.
ITEM_BYTES_MAX: Final = 524_288
TYPE_MAX: Final = 96
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Item:
    """An object of a payload. Every look-up takes a path of keys and gives None for what is not there."""

    __slots__ = ("of", "raw")

    def __init__(self, of: object, raw: bytes = b"") -> None:
        self.of: Mapping[str, Any] = of if isinstance(of, Mapping) else {}
        self.raw = raw

    def get(self, *path: str) -> Any:
        """Whatever stands there."""
        at: Any = self.of
        for key in path:
            if not isinstance(at, Mapping):
                return None
            at = at.get(key)
        return at

    def text(self, *path: str) -> str | None:
        """A text (or number as text) that is not empty."""
        return clean_text(self.get(*path))

    def first(self, *names: str) -> str | None:
        """The first of several fields that holds a text."""
        return next((text for name in names if (text := clean_text(self.of.get(name))) is not None), None)

    def sub(self, *path: str) -> "Item":
        """An object inside; an empty one when there is none."""
        return Item(self.get(*path), self.raw)

    def list(self, *path: str) -> Sequence[Any]:
        """A list inside; an empty one when there is none."""
        found = self.get(*path)
        return found if isinstance(found, list) else ()

    def flag(self, *path: str) -> bool:
        """Whether a flag is set: true, 1, or their texts."""
        found = self.get(*path)
        return found is True or found == 1 or (isinstance(found, str) and found.casefold() in ("true", "1", "yes"))

    def needed(self, *path: str) -> str:
        """A text without which the item means nothing.

        Raises:
            BadItem: `field_missing`.
        """
        found = self.text(*path)
        if found is None:
            raise BadItem("field_missing", f"the field `{'.'.join(path)}` is missing or no text")
        return found


class Told(msgspec.Struct, frozen=True):
    """A type of event that means nothing to us, as a reader reports it."""

    type: str


Reader = Callable[[Item], Iterable[Seen | Told]]
Splitter = Callable[[Arrival], Sequence[bytes]]
# What a platform says when somebody takes mails again: no signal of ours, so one that a policy can name.
SUBSCRIBED: Final = "email_subscribed"
# Type of the vendor to our signal; None: known, of no use.
Types = Mapping[str, str | None]


def meaning(kind: str, types: Types) -> tuple[str | None, Told | None]:
    """The signal of a vendor's type, and what to count when it is none of ours."""
    if kind in types:
        signal = types[kind]
        return signal, None if signal is not None else Told(kind)
    return None, Told(kind)


def of_no_use(kind: str, types: Types) -> bool:
    """Whether a type is known and says nothing about a person's doing."""
    return kind in types and types[kind] is None


def ident(value: object) -> str | None:
    """An id that names somebody, or None: a vendor's placeholder must not spoil an event that has an address too."""
    text = clean_text(value, ID_MAX + 1)
    if text is None or len(text) > ID_MAX or not text.isprintable() or "\ufffd" in text:
        return None
    return None if text.casefold() in PLACEHOLDERS else text


def crm(system: str, *parts: object) -> str | None:
    """A contact's id in a vendor's own system, `system:part:part`; None when its last part is missing."""
    if not parts or ident(parts[-1]) is None:
        return None
    return ":".join((system, *(text for part in parts if (text := clean_text(part, TEXT_MAX)) is not None)))


def joined(*parts: object) -> str | None:
    """An event's id of several fields; None when none of them is there."""
    texts = [clean_text(part) or "" for part in parts]
    return "|".join(texts) if any(texts) else None


def moment(value: object) -> datetime | None:
    """A time, or None when it is none."""
    try:
        return None if value is None or value == "" else parse_time(value)
    except BadItem:
        return None


def json_items(arrival: Arrival) -> Sequence[bytes]:
    """A JSON object, or each element of a JSON array."""
    if arrival.body.lstrip()[:1] == b"[":
        return [bytes(raw) for raw in decode_body(_list, arrival.body)]
    if not arrival.body.strip():
        raise BadBody("empty_body", "the request has no body")
    decode_body(_object, arrival.body)
    return [arrival.body]


_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def list_in(*path: str) -> Splitter:
    """The elements of a list inside a JSON object; the whole object when there is no such list."""

    def split(arrival: Arrival) -> Sequence[bytes]:
        made: list[bytes] = []
        for whole in json_items(arrival):
            inner: Any = whole
            for key in path:
                inner = _members(inner).get(key)
            made += [bytes(raw) for raw in _elements(inner)] if inner is not None else [whole]
        return made

    return split


def _members(raw: Any) -> Mapping[str, Any]:
    try:
        return _object.decode(raw) if raw is not None else {}
    except (msgspec.DecodeError, RecursionError):
        return {}


def _elements(raw: Any) -> Sequence[msgspec.Raw]:
    try:
        return _list.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadBody("wrong_shape", "the body has no list where one is expected") from error


def form_item(arrival: Arrival) -> Sequence[bytes]:
    """A form as one JSON object; JSON stays as it is."""
    if arrival.body.lstrip()[:1] in (b"{", b"["):
        return json_items(arrival)
    pairs = forms.fields(arrival.body, arrival.headers.get("content-type", ""))
    return [msgspec.json.encode(forms.nested(pairs))]


def with_header(split: Splitter, header: str, field: str) -> Splitter:
    """As `split`, with a header kept inside each item, so that its replay knows it too."""

    def added(arrival: Arrival) -> Sequence[bytes]:
        value = arrival.headers.get(header)
        items = split(arrival)
        if not value:
            return items
        made = []
        for item in items:
            members = dict(_members(item))
            made.append(msgspec.json.encode({field: value[:TEXT_MAX], **members}) if members else item)
        return made

    return added


def hook(
    name: str,
    read: Reader,
    *,
    split: Splitter = json_items,
    verify: Verify = nothing_to_verify,
    challenge: Callable[[Mapping[str, str], str], str | None] | None = None,
    token: Callable[[Arrival], str | None] | None = None,
) -> Platform:
    """A platform of a splitter and a reader."""

    def parse(arrival: Arrival, limits: Limits) -> Parsed:
        return parsed(split(arrival), read, limits)

    def parse_item(raw: bytes, limits: Limits) -> Parsed:
        # A dead letter is either one item, or a body that could not be cut into items.
        body = clean_body(raw)
        try:
            decode_body(_object, body)
        except BadBody:
            return parse(replayed(raw, "hook"), limits)
        return parsed([body], read, limits)

    return Platform(name=name, verify=verify, parse=parse, parse_item=parse_item, challenge=challenge, token=token)


def parsed(items: Sequence[bytes], read: Reader, limits: Limits) -> Parsed:
    """Read every item; those that cannot be used are told with their reason."""
    if len(items) > limits.items:
        raise BadBody("too_many_items", f"{len(items)} events at once; at most {limits.items} are taken", 413)
    made = Parsed(seen=[], rejected=[], ignored=[])
    for index, raw in enumerate(items):
        try:
            for found in _read(raw, read, limits):
                if isinstance(found, Told):
                    made.ignored.append(Ignored(index=index, type=found.type[:TYPE_MAX]))
                    continue
                kept = found.properties_raw or msgspec.Raw(raw)
                found.properties_raw = kept if len(kept) <= limits.event_bytes else NO_PROPERTIES
                made.seen.append((index, found))
        except BadItem as bad:
            made.rejected.append(Rejected(index=index, code=bad.code, message=bad.message, raw=raw))
    return made


def _read(raw: bytes, read: Reader, limits: Limits) -> list[Seen | Told]:
    if len(raw) > ITEM_BYTES_MAX:
        raise BadItem("event_too_large", f"the event has {len(raw)} bytes; at most {ITEM_BYTES_MAX} are taken")
    if too_deep(raw, limits.nesting):
        raise BadItem("nested_too_deep", f"the event nests deeper than {limits.nesting} levels")
    item = decode_object(raw, "an event")
    if item is None:
        raise BadItem("wrong_type", "an event must be an object, not null")
    return list(read(Item(item, raw)))
