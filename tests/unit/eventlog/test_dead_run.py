"""The limit on dead letters in a row: exact over batches, whatever their size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.eventlog.deadletter import Run
from services.eventlog.ports import DeadRecord, StoppedLoudly


def dead(offset: int) -> DeadRecord:
    return DeadRecord(part=0, offset=offset, reason="bad", detail="", key=None, value=None)


@given(st.lists(st.booleans(), max_size=60), st.lists(st.integers(1, 9), min_size=60, max_size=60))
def test_length_is_the_number_of_dead_at_the_end(fates: list[bool], sizes: list[int]) -> None:
    run = Run(limit=1000)
    at = 0
    for size in sizes:
        batch = list(range(at, min(at + size, len(fates))))
        if not batch:
            break
        run.begin(len(batch))
        run.add("scoring", [dead(offset) for offset in batch if fates[offset]])
        run.end([(0, offset) for offset in batch])
        at = batch[-1] + 1
    expected = 0
    for fate in fates[:at]:
        expected = expected + 1 if fate else 0
    assert run.length == expected


def test_stops_before_anything_is_committed() -> None:
    run = Run(limit=10)
    run.begin(8)
    run.add("scoring", [dead(offset) for offset in range(8)])
    run.end([(0, offset) for offset in range(8)])
    run.begin(8)
    with pytest.raises(StoppedLoudly, match="16 records in a row"):
        run.add("scoring", [dead(offset) for offset in range(8, 16)])


def test_one_good_record_in_a_batch_lets_it_pass() -> None:
    run = Run(limit=10)
    for first in range(0, 80, 8):
        run.begin(8)
        run.add("scoring", [dead(offset) for offset in range(first + 1, first + 8)])
        run.end([(0, offset) for offset in range(first, first + 8)])
        assert run.length == 7
