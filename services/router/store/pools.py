"""The assigner's memory of a pool: what each rep is owed, and when each last got a lead."""

from datetime import date, datetime
from typing import Final

import msgspec


class PoolState(msgspec.Struct, omit_defaults=True):
    """One pool: what each rep is owed, in `assign.UNIT`s, and when each last got a lead. `rev` counts its writes.

    Attributes:
        given: How many leads each rep was given on `day` (UTC), without those that came back untouched or declined.
    """

    credits: dict[str, int] = msgspec.field(default_factory=dict)
    last: dict[str, datetime] = msgspec.field(default_factory=dict)
    day: date | None = None
    given: dict[str, int] = msgspec.field(default_factory=dict)
    rev: int = 0

    def handovers(self, rep: str, day: date) -> int:
        """How many leads the rep was given on this day."""
        return self.given.get(rep, 0) if self.day == day else 0

    def count(self, rep: str, day: date, by: int) -> None:
        """One lead more or less for the rep. What belongs to an earlier day does not matter any more."""
        if self.day is None or self.day < day:
            self.day, self.given = day, {}
        if self.day == day:
            self.given[rep] = max(0, self.given.get(rep, 0) + by)


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
