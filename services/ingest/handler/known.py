"""What becomes of an event that waited, with what is known of its contact by now?"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from schemas.codec import Message, encode
from schemas.messages import Identifier
from services.eventlog.ports import DeadRecord
from services.ingest.core.identity import clean_email, partition_key
from services.ingest.core.limits import TEXT_MAX, BadItem
from services.ingest.core.traits import person_traits
from services.ingest.handler.remake import Origin
from services.ingest.handler.waiting import Held
from services.ingest.sources import cloudevents
from services.runtime.errors import BadMessage

DELETED: Final = "person.deleted"


def enriched(held: Held, known: Mapping[str, Any]) -> Message:
    """The event with what is known of its contact. An erasure is passed on as it is."""
    event, data = held.event, held.event.data
    if not known or data.signal == DELETED:
        return held.message
    try:
        email = clean_email(known["email"]) if isinstance(known.get("email"), str) else None
        if email is not None and not any(one.kind == "email" for one in data.ids):
            data.ids.insert(0, Identifier(kind="email", value=email))
        traits, account, _ = person_traits(known)
    except BadItem:
        return held.message
    if traits:
        data.traits = {**traits, **(data.traits or {})}
    if account:
        data.account = {**account, **(data.account or {})}
    return Message(topic=held.message.topic, key=partition_key(data.ids), value=encode(event))


def after_erasure(group: list[Held]) -> list[Held]:
    """The events of one contact without those before it was to be forgotten: they are dropped with the request."""
    last = max((n for n, held in enumerate(group) if held.event.data.signal == DELETED), default=None)
    if not last:
        return group
    dropped = tuple(held.seq for held in group[:last])
    return [msgspec.structs.replace(group[last], dropped=dropped), *group[last + 1 :]]


def usable(properties: Mapping[str, Any], hidden: str) -> dict[str, Any]:
    """The properties of a contact that say something and are small enough to be remembered."""
    return {
        name: value
        for name, value in properties.items()
        if isinstance(value, int | float) or (isinstance(value, str) and 0 < len(value) <= TEXT_MAX and value != hidden)
    }


def letter(held: Held, refused: BadMessage) -> DeadRecord:
    """The dead letter of an event that the log does not take."""
    origin = Origin(
        source=held.source_id, platform=cloudevents.PLATFORM.name, publishable=False, received_at=held.since
    )
    return DeadRecord(
        part=0,
        offset=held.seq,
        reason=refused.code,
        detail=refused.message,
        key=msgspec.json.encode(origin),
        value=held.message.value,
    )
