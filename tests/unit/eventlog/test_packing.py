"""What goes into an outbox row comes out of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import Message
from services.eventlog.core.packing import pack, unpack

messages = st.lists(
    st.builds(
        Message,
        topic=st.sampled_from(["lead.scored", "lead.routed"]),
        key=st.none() | st.binary(max_size=40),
        value=st.none() | st.binary(max_size=600),
    ),
    max_size=20,
)


@given(messages)
def test_there_and_back(sent: list[Message]) -> None:
    assert unpack(pack(sent)) == sent


def test_repetition_is_compressed() -> None:
    sent = [Message(topic="lead.scored", key=b"k", value=b'{"specversion":"1.0"}' * 20)] * 50
    assert len(pack(sent)) < 2000
    assert unpack(pack(sent)) == sent


def test_foreign_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="no form of ours"):
        unpack(b"\x07abc")
