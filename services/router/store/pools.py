"""The assigner's memory of a pool: what each rep is owed, and when each last got a lead."""

from datetime import datetime
from typing import Final

import msgspec


class PoolState(msgspec.Struct, omit_defaults=True):
    """One pool: what each rep is owed, in `assign.UNIT`s, and when each last got a lead. `rev` counts its writes."""

    credits: dict[str, int] = msgspec.field(default_factory=dict)
    last: dict[str, datetime] = msgspec.field(default_factory=dict)
    rev: int = 0


_states: Final = msgspec.json.Decoder(PoolState)
_encode: Final = msgspec.json.Encoder().encode


def decode_state(text: str, rev: int) -> PoolState:
    """A stored state."""
    state = _states.decode(text)
    state.rev = rev
    return state


def encode_state(state: PoolState) -> str:
    """As it is stored: `rev` has its own column."""
    return _encode(msgspec.structs.replace(state, rev=0)).decode()
