"""What goes into `lead.scored`, as packed into the outbox: inputs, of which the message is made after the commit."""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

CAUSES_MAX: Final = 50

Kind = Literal["changed", "reversed", "merged", "split", "erased"]


class CauseIn(msgspec.Struct, array_like=True, gc=False):
    """One event behind the change. `verdict` as stored; `visitor` is the browser's own id."""

    id: bytes
    signal: str
    at_ms: int
    received_ms: int
    weight: int
    verdict: int
    url: str | None
    path: str | None
    link: str | None
    name: str | None
    reversed: bool
    visitor: str | None


class Member(msgspec.Struct, array_like=True, gc=False):
    """One identifier of a lead with its stored state; an identifier without events has none."""

    kind: int
    value: str
    verified: bool
    since: int
    state: bytes = b""
    traits: bytes | None = None


class EmitIn(msgspec.Struct, array_like=True, gc=False):
    """One message to be.

    Attributes:
        only: The one member of the lead; None when it has several: they were read under the lead's lock.
        as_of_ms: Receipt of the newest event of the lead in the batch.
    """

    kind: Kind
    lead: bytes
    as_of_ms: int
    known: bool
    account: str | None
    network: str | None
    causes: list[CauseIn]
    only: Member | None = None
    merged_into: bytes | None = None
    merged_from: list[bytes] = []


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[EmitIn])
LENGTH: Final = 4


def pack(emits: list[EmitIn]) -> bytes:
    """The inputs as bytes."""
    return _encoder.encode(emits)


def framed(*parts: bytes) -> bytes:
    """Several byte strings as one: each behind its length, as `scoring.apply` does it."""
    return b"".join(len(part).to_bytes(LENGTH) + part for part in parts)


def unframed(payload: bytes) -> list[bytes]:
    """The parts of `framed`."""
    parts: list[bytes] = []
    at = 0
    while at < len(payload):
        size = int.from_bytes(payload[at : at + LENGTH])
        parts.append(payload[at + LENGTH : at + LENGTH + size])
        at += LENGTH + size
    return parts


class Told(msgspec.Struct):
    """A payload read again: inputs, the version of each lead, and the members of leads with several."""

    emits: list[EmitIn]
    versions: dict[bytes, int]
    members: dict[bytes, list[Member]]


def unpack(payload: bytes) -> Told:
    """Inputs, versions and members, of a row of the outbox."""
    inputs, heads, members = unframed(payload)
    versions = {heads[at : at + 16]: int.from_bytes(heads[at + 16 : at + 24]) for at in range(0, len(heads), 24)}
    found: dict[bytes, list[Member]] = {}
    for row in _rows(members):
        lead, kind, verified, since, value, state, traits = row
        found.setdefault(lead, []).append(
            Member(kind[-1], value.decode(), verified == b"\1", int.from_bytes(since), state, traits or None)
        )
    return Told(_decoder.decode(inputs), versions, found)


def _rows(members: bytes) -> Iterable[tuple[bytes, bytes, bytes, bytes, bytes, bytes, bytes]]:
    parts = unframed(members)
    for at in range(0, len(parts), 7):
        lead, kind, verified, since, value, state, traits = parts[at : at + 7]
        yield lead, kind, verified, since, value, state, traits


def chosen(causes: list[tuple[bool, CauseIn]]) -> list[CauseIn]:
    """At most 50 causes: those that may alert, reversals among them, then the newest; oldest first."""
    if len(causes) > CAUSES_MAX:
        causes = sorted(causes, key=lambda one: (one[0], one[1].at_ms, one[1].id))[-CAUSES_MAX:]
    found = [cause for _, cause in causes]
    if len(found) > 1:
        found.sort(key=lambda cause: (cause.at_ms, cause.id))
    return found
