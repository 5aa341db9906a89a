"""What does this record say? Any bytes of `tracking.events` become an event, or a reason why never."""

from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from schemas.messages import Actor, Trust
from schemas.signals import SIGNAL_MAX, signal_of
from services.scoring.core.identity import Ident, Names, strongest_first

DAY_MS: Final = 86_400_000
# Before this no marketing tool existed: 1970 means "no clock".
OLDEST_MS: Final = 946_684_800_000
NEWEST_MS: Final = 1 << 42  # the year 2109
MOST_IDS: Final = 10
SCORED_ID_BYTES: Final = 16
SOURCES_MAX: Final = 1000  # sources remembered


class Name(msgspec.Struct, gc=False):
    """One identifier on the wire; what it is worth is decided later."""

    kind: str
    value: str | int


class Wire(msgspec.Struct, gc=False):
    """`data` of a tracking event, read leniently: other producers than ours write here too."""

    signal: str | None = None
    ids: list[Name] | None = None
    received_at: datetime | None = None
    occurred_at: datetime | None = None
    untimed: bool = False
    trust: Trust = "secret"
    actor: Actor | None = None
    traits: dict[str, Any] | None = None
    account: dict[str, Any] | None = None
    url: str | None = None
    path: str | None = None
    link: str | None = None
    message_id: str | None = None
    campaign: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    name: str | None = None
    email: str | None = None
    user_id: str | int | None = None
    userId: str | int | None = None  # noqa: N815 the name on the wire
    anonymous_id: str | int | None = None
    anonymousId: str | int | None = None  # noqa: N815 the name on the wire


class Envelope(msgspec.Struct, gc=False, kw_only=True):
    """A CloudEvent around a tracking event; its fields as most write them, which is how they are found fastest."""

    specversion: str = ""
    id: str
    source: str
    type: str
    time: datetime | None = None
    subject: str | None = None
    data: Wire


class Event(msgspec.Struct, gc=False):
    """One event, ready to be folded.

    Attributes:
        id: 48 bits of its own time in ms, then a hash of source and id: unique for ever, ordered by time.
        own_ms: Its own time, uncorrected; without one, the start of the UTC day of receipt. `at_ms`: when it happened, never after `received_ms`.
        idents: Strongest first.
        body: The record's bytes as they came.
    """

    id: bytes
    own_ms: int
    at_ms: int
    received_ms: int
    signal: str
    idents: tuple[Ident, ...]
    wire: Wire
    body: bytes
    envelope_id: str
    source: str


class Dead(msgspec.Struct, frozen=True, gc=False):
    """Why a record never can be used: a stable code, and words."""

    reason: str
    detail: str


_decoder: Final = msgspec.json.Decoder(Envelope)


def millis(at: datetime) -> int:
    """Unix milliseconds of an aware time, rounded."""
    return int(at.timestamp() * 1000.0 + 0.5)


def moment(ms: int) -> datetime:
    """The aware UTC time of Unix milliseconds."""
    return datetime.fromtimestamp(ms / 1000.0, UTC)


def event_id(source: str, id_: str, own_ms: int) -> bytes:
    """Scoring's id of an event. One without a time of its own is given the start of its UTC day of receipt."""
    hashed = _hashed(source).copy()
    hashed.update(id_.encode())
    digest: bytes = hashed.digest()
    return own_ms.to_bytes(6) + digest


@lru_cache(SOURCES_MAX)
def _hashed(source: str) -> Any:
    """The hash of a source and a zero byte, to be copied and gone on with: events of one source share it."""
    return blake2b(f"{source}\0".encode(), digest_size=10)


def read(value: bytes | None, at_ms: int, names: Names, max_bytes: int) -> Event | Dead:
    """The event in a record, or why there is none.

    Args:
        value: The record's bytes.
        at_ms: The log's time of the record, Unix ms; stands in for a missing `received_at`.
        max_bytes: Longer records are refused.
    """
    if value is None:
        return Dead("no_value", "the record has no value")
    if len(value) > max_bytes:
        return Dead("too_large", f"{len(value)} bytes; at most {max_bytes} are taken")
    try:
        envelope = _decoder.decode(value)
    except msgspec.ValidationError as error:
        return Dead("not_a_tracking_event", str(error)[:500])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Dead("bad_json", str(error)[:500])
    except RecursionError:
        return Dead("bad_json", "nested too deep")
    wire = envelope.data
    if envelope.specversion != "1.0" or not envelope.id or not envelope.source:
        return Dead("not_a_tracking_event", "id, source and specversion 1.0 of CloudEvents are needed")
    signal = wire.signal or signal_of(envelope.type) or envelope.type
    if not signal or len(signal) > SIGNAL_MAX:
        return Dead("no_signal", f"neither data.signal nor type names a signal of 1 to {SIGNAL_MAX} characters")
    given = wire.ids
    # Written for speed: every event passes here, and most name one person, or a person and a browser, seen before.
    known: tuple[Ident, ...] | None = None
    if given is not None and 0 < len(given) <= 2:
        one, two = given[0], given[-1]
        known = names.groups.get((one.kind, one.value, two.kind, two.value))
    idents = known or _idents(envelope, names)
    if type(idents) is Dead:
        return idents
    return _timed(envelope, signal, idents, value, at_ms)


def _timed(envelope: Envelope, signal: str, idents: Any, value: bytes, at_ms: int) -> Event | Dead:
    wire = envelope.data
    own, received, occurred = envelope.time, wire.received_at, wire.occurred_at
    if (
        (own is not None and own.tzinfo is None)
        or (received is not None and received.tzinfo is None)
        or (occurred is not None and occurred.tzinfo is None)
    ):
        return Dead("bad_time", "time, received_at and occurred_at need a time zone, such as Z")
    received_ms = at_ms if received is None else int(received.timestamp() * 1000.0 + 0.5)
    untimed = wire.untimed
    if own is not None:
        own_ms = int(own.timestamp() * 1000.0 + 0.5)
    elif occurred is not None:
        own_ms = millis(occurred)
    else:
        own_ms, untimed = received_ms, True
    happened_ms = own_ms if occurred is None or occurred == own else millis(occurred)
    if not (OLDEST_MS <= own_ms < NEWEST_MS and happened_ms >= OLDEST_MS and OLDEST_MS <= received_ms < NEWEST_MS):
        return Dead("bad_time", f"no event happened at {own_ms} ms")
    if untimed:
        own_ms = received_ms // DAY_MS * DAY_MS
    id_ = event_id(envelope.source, envelope.id, own_ms)
    at = happened_ms if happened_ms < received_ms else received_ms
    return Event(id_, own_ms, at, received_ms, signal, idents, wire, value, envelope.id, envelope.source)


def _idents(envelope: Envelope, names: Names) -> tuple[Ident, ...] | Dead:
    wire = envelope.data
    given = wire.ids
    if given:
        pairs = [(one.kind, one.value) for one in given[:MOST_IDS]]
    else:
        pairs = [
            (kind, value)
            for kind, value in (
                ("email", wire.email),
                ("user", wire.user_id if wire.user_id is not None else wire.userId),
                ("anonymous", wire.anonymous_id if wire.anonymous_id is not None else wire.anonymousId),
            )
            if value is not None
        ]
        if not pairs and envelope.subject and "@" in envelope.subject:
            pairs = [("email", envelope.subject)]
    usable: list[Ident] = []
    problem = "no_identifier"
    for kind, value in pairs:
        ident = names.ident(kind, str(value)) if kind in _KINDS else "bad_identifier"
        if isinstance(ident, Ident):
            usable.append(ident)
        else:
            problem = ident
    if not usable:
        return _nobody(problem)
    found = strongest_first(usable)
    if given is not None and 0 < len(given) <= 2:
        names.remember((given[0].kind, given[0].value, given[-1].kind, given[-1].value), found)
    return found


_KINDS: Final = frozenset(("email", "crm", "user", "anonymous"))
_WORDS: Final = {
    "no_identifier": "the event names nobody: data.ids, data.email, data.user_id, data.anonymous_id or an address as subject is needed",
    "placeholder_id": "the only identifier is a placeholder such as null or undefined",
    "bad_identifier": "no identifier has a known kind and a usable value",
}


def _nobody(reason: str) -> Dead:
    return Dead(reason, _WORDS[reason])
