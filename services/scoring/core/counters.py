"""How often did they do what, on which day? The state of a profile: integer counters, nothing else.

A counter is two 32-bit numbers in an `array('I')`: (UTC day << 8 | signal code, thousandths of an event). The bytes of
the array are what is stored; addition is the only operation, so any order, split or repetition of batches that adds the
same events gives the same counters, and anything added can be taken back exactly.
"""

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

TYPE: Final = "I"
CODE_BITS: Final = 8
CODE_MASK: Final = (1 << CODE_BITS) - 1
MOST: Final = (1 << 32) - 1


def index_of(state: "array[int]") -> dict[int, int]:
    """Counter key to the place of its number."""
    return {state[at]: at + 1 for at in range(0, len(state), 2)}


def pairs(packed: bytes) -> Iterator[tuple[int, int, int]]:
    """(signal code, UTC day, thousandths) of stored state."""
    state = array(TYPE, packed)
    for at in range(0, len(state), 2):
        key = state[at]
        yield key & CODE_MASK, key >> CODE_BITS, state[at + 1]


def add(state: "array[int]", index: dict[int, int], key: int, thousandths: int) -> tuple[int, int]:
    """Add to one counter in place; negative takes back. Returns the number before and after, 0 to 2^32 - 1."""
    at = index.get(key)
    if at is None:
        after = max(0, thousandths)
        index[key] = len(state) + 1
        state.append(key)
        state.append(after)
        return 0, after
    before = state[at]
    after = state[at] = min(MOST, max(0, before + thousandths))
    return before, after


def total(states: Iterable[bytes]) -> dict[tuple[int, int], int]:
    """(signal code, UTC day) to thousandths, over all members of a lead; zeros are left out."""
    found: dict[tuple[int, int], int] = {}
    for packed in states:
        for code, day, thousandths in pairs(packed):
            if thousandths:
                found[code, day] = found.get((code, day), 0) + thousandths
    return found
