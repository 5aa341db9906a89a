"""Any JSON: a source whose hook address says where each field stands, as JSON pointers (RFC 6901) or expressions (CEL).

`/hooks/<id>?event=/type&email=/contact/email&time=/at` reads those places of each payload. A value that begins with `=` is
an expression over the payload, `event==kind == "o" ? "email.opened" : kind`; any other value is the value itself:
`event=form.submitted`. `items=/records` reads an event from each element of a list, `when==amount > 0` those for which the
expression is true. Without a map the names that generic senders use are looked for, as at the CloudEvents door.

Source: https://www.rfc-editor.org/rfc/rfc6901, https://github.com/google/cel-spec
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from schemas.messages import NO_PROPERTIES, Actor
from services.ingest.core.expression import value_of
from services.ingest.core.limits import TEXT_MAX
from services.ingest.core.mapping import Seen
from services.ingest.sources import cloudevents
from services.ingest.sources.base import Arrival, BadBody
from services.ingest.sources.hooks import Item, Told, form_item, hook
from services.ingest.sources.signatures import shared_secret

# What a map may name; `traits.<name>` and `account.<name>` beside them.
FIELDS: Final = (
    "event", "id", "time", "sent_at", "email", "user", "anonymous", "crm", "previous", "url", "path", "title", "link",
    "ip", "user_agent", "message", "campaign", "actor", "when",
)  # fmt: skip
_GROUPS: Final = ("traits.", "account.")
_MAP: Final = "_map"
_ITEM: Final = "_item"
_ACTORS: Final[Mapping[str, Actor]] = {
    "human": "human",
    "proxied": "proxied",
    "machine": "machine",
    "unknown": "unknown",
}
_any: Final = msgspec.json.Decoder()


def field_map(query: Mapping[str, str]) -> dict[str, str]:
    """The map that an address holds."""
    return {
        name: value[:TEXT_MAX]
        for name, value in query.items()
        if value and (name in FIELDS or name.startswith(_GROUPS))
    }


def pointed(value: Any, pointer: str) -> Any:
    """What a JSON pointer points at, or None; a text that is no pointer is the value itself."""
    if not pointer.startswith("/"):
        return pointer
    for step in pointer[1:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isascii() and key.isdigit() and len(key) < 6:
            value = value[int(key)] if int(key) < len(value) else None
        else:
            return None
    return value


def mapped(value: Any, place: str) -> Any:
    """What a map's entry says of a payload: by a pointer, by an expression, or the entry itself.

    Raises:
        BadItem: `bad_map`, when the entry is no expression.
    """
    return value_of(place[1:], value) if place.startswith("=") else pointed(value, place)


def split(arrival: Arrival) -> Sequence[bytes]:
    """Each event together with its map, so that a replay reads it the same way."""
    mapping, where = field_map(arrival.query), arrival.query.get("items", "")
    made: list[bytes] = []
    for raw in form_item(arrival):
        elements: Any = [msgspec.Raw(raw)]
        if where.startswith("/"):
            try:
                elements = pointed(_any.decode(raw), where)
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                raise BadBody("malformed_json", f"the body cannot be read: {error}") from error
            if not isinstance(elements, list):
                raise BadBody("wrong_shape", f"there is no list at items={where}")
        for element in elements:
            if mapping:
                made.append(msgspec.json.encode({_MAP: mapping, _ITEM: element}))
            else:
                made.append(bytes(element) if isinstance(element, msgspec.Raw) else msgspec.json.encode(element))
    return made


def read(item: Item) -> Iterable[Seen | Told]:
    """One event, by its map or by its names."""
    mapping = item.sub(_MAP).of
    if not mapping:
        yield _plain(item)
        return
    value = item.get(_ITEM)
    found = Item({name: mapped(value, place) for name, place in mapping.items() if isinstance(place, str)})
    if "when" in mapping and not found.flag("when"):
        yield Told("not meant")
        return
    groups: dict[str, dict[str, Any]] = {"traits.": {}, "account.": {}}
    for name, one in found.of.items():
        for group in _GROUPS:
            if name.startswith(group) and one is not None:
                groups[group][name.removeprefix(group)] = one
    yield Seen(
        raw=item.raw,
        name=found.needed("event"),
        id=found.text("id"),
        time=found.get("time"),
        sent_at=found.get("sent_at"),
        emails=(found.get("email"),),
        user=found.text("user"),
        anonymous=found.text("anonymous"),
        crm=found.text("crm"),
        previous=found.text("previous"),
        traits=groups["traits."] or None,
        account=groups["account."] or None,
        properties={"url": found.get("url"), "link": found.get("link"), "path": found.get("path")},
        page={"title": found.get("title")},
        ip=found.get("ip"),
        user_agent=found.get("user_agent"),
        message_id=found.text("message"),
        campaign=found.text("campaign"),
        actor=_ACTORS.get(found.text("actor") or ""),
    )


def _plain(item: Item) -> Seen:
    name = item.first("event", "event_name", "eventName", "type", "name") or item.needed("event")
    seen = cloudevents.from_data(item.raw, item.of, name, NO_PROPERTIES)
    seen.id = item.first("id", "event_id", "eventId", "message_id")
    seen.time = item.first("timestamp", "time", "occurred_at", "occurredAt", "created_at", "createdAt")
    return seen


PLATFORM: Final = hook("json", read, split=split, verify=shared_secret)
