"""How do many messages travel to the log in PostgreSQL? As one block: all keys joined, all values joined, and where each begins.

The driver packs an array by asking of each element what it is, and PostgreSQL takes it apart again: a block costs both half.
Numbers travel as the text of an array (`$1::text::int[]`), which costs both sides less than anything else.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final

import msgspec

from schemas.codec import Message

_encode: Final = msgspec.json.Encoder().encode


class Block(msgspec.Struct, frozen=True):
    """Messages of one topic, by partition.

    Attributes:
        messages: Partition to its messages, partitions in order.
        arguments: For `log.put_block`, in its order: topic, partitions, how many go where, for each message which of the
            partitions it goes to, where each key begins and where each value, all keys, all values.
    """

    topic: str
    messages: dict[int, list[Message]]
    arguments: tuple[str, str, str, str, str, str, bytes, bytes]


def block_of(items: Sequence[tuple[Message, int]]) -> Block | None:
    """Messages and their partitions as a block; their order is kept within a partition.

    None when no block can hold them: they are of several topics, one has no key or no value, or there are none.
    """
    by_part: dict[int, list[Message]] = {}
    for message, part in items:
        there = by_part.get(part)
        if there is None:
            by_part[part] = [message]
        else:
            there.append(message)
    parts = sorted(by_part)
    by_part = {part: by_part[part] for part in parts}
    rows = [message for some in by_part.values() for message in some]
    topics = {message.topic for message in rows}
    keys = [message.key for message in rows if message.key is not None]
    values = [message.value for message in rows if message.value is not None]
    if len(topics) != 1 or len(keys) != len(rows) or len(values) != len(rows):
        return None
    topic = topics.pop()
    return Block(
        topic,
        by_part,
        (
            topic,
            _numbers(parts),
            _numbers(map(len, by_part.values())),
            _numbers([group for group, some in enumerate(by_part.values(), 1) for _ in some]),
            _numbers(accumulate(map(len, keys), initial=1)),
            _numbers(accumulate(map(len, values), initial=1)),
            b"".join(keys),
            b"".join(values),
        ),
    )


def _numbers(values: Iterable[int]) -> str:
    return f"{{{_encode(list(values))[1:-1].decode()}}}"
