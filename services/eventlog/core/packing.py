"""How do the messages of one batch lie in an outbox row? msgpack, and lz4 when that is smaller by far."""

from collections.abc import Sequence
from typing import Final

import cramjam
import msgspec

from schemas.codec import Message

PLAIN: Final = b"\x01"
LZ4: Final = b"\x02"
# Below this, compression costs more than it saves.
COMPRESS_FROM_BYTES: Final = 512

_Row = tuple[str, bytes | None, bytes | None]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[_Row])


def pack(messages: Sequence[Message]) -> bytes:
    """The messages as bytes, in order."""
    body = _encoder.encode([(message.topic, message.key, message.value) for message in messages])
    if len(body) < COMPRESS_FROM_BYTES:
        return PLAIN + body
    return LZ4 + bytes(cramjam.lz4.compress_block(body))


def unpack(payload: bytes) -> list[Message]:
    """The messages that `pack` was given.

    Raises:
        ValueError: The bytes are not from `pack`.
    """
    form, body = payload[:1], payload[1:]
    if form == LZ4:
        body = bytes(cramjam.lz4.decompress_block(body))
    elif form != PLAIN:
        raise ValueError(f"an outbox payload begins with {form!r}, which is no form of ours")
    return [Message(topic=topic, key=key, value=value) for topic, key, value in _decoder.decode(body)]
