"""A block holds what it was made of, partition by partition."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Message
from services.eventlog.core.block import Block, block_of

items = st.lists(
    st.tuples(
        st.builds(Message, topic=st.just("tracking.events"), key=st.binary(max_size=40), value=st.binary(max_size=300)),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=30,
)


def numbers(text: str) -> list[int]:
    return msgspec.json.decode(f"[{text[1:-1]}]", type=list[int])


def read(block: Block) -> list[tuple[bytes, bytes, int]]:
    """What `log.put_block` makes of it."""
    topic, *texts, keys, values = block.arguments
    assert topic == block.topic
    parts, counts, groups, key_at, value_at = map(numbers, texts)
    assert counts == [groups.count(group) for group in range(1, len(parts) + 1)]
    assert {part: len(some) for part, some in block.messages.items()} == dict(zip(parts, counts, strict=True))
    return [
        (keys[key_at[n] - 1 : key_at[n + 1] - 1], values[value_at[n] - 1 : value_at[n + 1] - 1], parts[group - 1])
        for n, group in enumerate(groups)
    ]


@given(items)
def test_every_partition_keeps_its_messages_in_order(sent: list[tuple[Message, int]]) -> None:
    block = block_of(sent)
    assert block is not None
    assert block.topic == "tracking.events"
    in_order = sorted(sent, key=lambda item: item[1])
    assert read(block) == [(message.key, message.value, part) for message, part in in_order]
    assert [message for some in block.messages.values() for message in some] == [message for message, _ in in_order]


def test_what_no_block_can_hold() -> None:
    good = (Message(topic="a", key=b"k", value=b"v"), 0)
    assert block_of([]) is None
    assert block_of([good, (Message(topic="b", key=b"k", value=b"v"), 0)]) is None
    assert block_of([good, (Message(topic="a", key=None, value=b"v"), 0)]) is None
    assert block_of([good, (Message(topic="a", key=b"k", value=None), 0)]) is None
