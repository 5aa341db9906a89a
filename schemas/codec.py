"""How a message becomes bytes and back: CloudEvents 1.0 JSON, structured mode."""

from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from schemas.messages import LeadOutcome, LeadRouted, LeadScored, Tracking

T = TypeVar("T")

SPEC_VERSION = "1.0"


class CloudEvent(msgspec.Struct, Generic[T], kw_only=True, omit_defaults=True):
    """The envelope. `id` with `source` is unique; a reader that has seen the pair may skip the message."""

    id: str
    source: str
    type: str
    data: T
    time: datetime | None = None
    subject: str | None = None
    partitionkey: str | None = None
    specversion: str = SPEC_VERSION
    datacontenttype: str = "application/json"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One record to be written: the key decides the partition, `value` is an encoded CloudEvent.

    What we write always has both; None is there so that any record can be written again as it was.
    """

    topic: str
    key: bytes | None
    value: bytes | None


_encoder = msgspec.json.Encoder()
scored_decoder: msgspec.json.Decoder[CloudEvent[LeadScored]] = msgspec.json.Decoder(CloudEvent[LeadScored])
routed_decoder: msgspec.json.Decoder[CloudEvent[LeadRouted]] = msgspec.json.Decoder(CloudEvent[LeadRouted])
outcome_decoder: msgspec.json.Decoder[CloudEvent[LeadOutcome]] = msgspec.json.Decoder(CloudEvent[LeadOutcome])
tracking_decoder: msgspec.json.Decoder[CloudEvent[Tracking]] = msgspec.json.Decoder(CloudEvent[Tracking])


def encode(event: CloudEvent[T]) -> bytes:
    """The event as UTF-8 JSON. `specversion` and `datacontenttype` are always written, as the spec demands."""
    body = _encoder.encode(event)
    # omit_defaults would leave out the two required constants: they are put back in front.
    return b'{"specversion":"1.0","datacontenttype":"application/json",' + body[1:]
