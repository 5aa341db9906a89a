"""When did it happen?"""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.core.limits import BadItem
from services.ingest.core.times import AHEAD_MAX, OLDEST, event_time, parse_time

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given_", "meant"),
    [
        ("2015-2-02T00:30:08.276Z", datetime(2015, 2, 2, 0, 30, 8, 276000, UTC)),
        ("2026-11-20T10:11:12.345Z", datetime(2026, 11, 20, 10, 11, 12, 345000, UTC)),
        ("2026-11-20T10:11:12", datetime(2026, 11, 20, 10, 11, 12, tzinfo=UTC)),
        ("2026-11-20 10:11:12+02:00", datetime(2026, 11, 20, 8, 11, 12, tzinfo=UTC)),
        ("2026-11-20T10:11:12.1234567Z", datetime(2026, 11, 20, 10, 11, 12, 123456, UTC)),
        ("2026-1-2T3:4:60-0530", datetime(2026, 1, 2, 8, 34, 59, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        ("Fri, 20 Nov 2026 10:11:12 GMT", datetime(2026, 11, 20, 10, 11, 12, tzinfo=UTC)),
        (1_700_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1_700_000_000_500, datetime(2023, 11, 14, 22, 13, 20, 500000, UTC)),
        (1_700_000_000.25, datetime(2023, 11, 14, 22, 13, 20, 250000, UTC)),
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("1700000000500", datetime(2023, 11, 14, 22, 13, 20, 500000, UTC)),
        (1_700_000_000_500_000, datetime(2023, 11, 14, 22, 13, 20, 500000, UTC)),
    ],
)
def test_reads_what_clients_write(given_: object, meant: datetime) -> None:
    assert parse_time(given_) == meant
    assert parse_time(given_).tzinfo is UTC


@pytest.mark.parametrize(
    "given_", ["", "yesterday", "2026-13-01", "2026-02-30T00:00:00Z", True, [], {}, "x" * 10_000, 1e300, "9" * 60]
)
def test_refuses_what_is_no_time(given_: object) -> None:
    with pytest.raises(BadItem) as bad:
        parse_time(given_)
    assert bad.value.code == "bad_time"


def test_the_clients_clock_is_corrected() -> None:
    at = event_time("2026-11-20T09:00:00Z", "2026-11-20T09:00:10Z", NOW)
    assert at.own == datetime(2026, 11, 20, 9, tzinfo=UTC)
    assert at.occurred_at == NOW - timedelta(seconds=10)
    assert not at.untimed


def test_a_bad_sent_at_costs_the_correction_only() -> None:
    at = event_time("2026-11-20T09:00:00Z", "whenever", NOW)
    assert at.occurred_at == at.own


def test_never_after_the_receipt() -> None:
    at = event_time("2026-11-20T14:00:00Z", None, NOW)
    assert at.own == NOW + timedelta(hours=2)
    assert at.occurred_at == NOW


@pytest.mark.parametrize("absurd", ["1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z", 0, "1900-01-00T00:00:00Z"])
def test_absurd_times_are_refused(absurd: object) -> None:
    with pytest.raises(BadItem) as bad:
        event_time(absurd, None, NOW)
    assert bad.value.code in ("absurd_time", "bad_time")


def test_a_clock_that_is_wholly_wrong_is_made_sense_of() -> None:
    at = event_time("1970-01-01T00:05:00Z", "1970-01-01T00:06:00Z", NOW)
    assert at.untimed
    assert at.own == NOW
    assert at.occurred_at == NOW - timedelta(minutes=1)


@pytest.mark.parametrize("absent", [None, ""])
def test_no_time_is_now(absent: object) -> None:
    at = event_time(absent, "2026-11-20T09:00:00Z", NOW)
    assert (at.own, at.occurred_at, at.untimed) == (NOW, NOW, True)


@given(
    st.one_of(st.text(max_size=70), st.integers(), st.floats(), st.datetimes().map(str), st.none()),
    st.one_of(st.none(), st.text(max_size=40), st.integers()),
)
def test_either_a_bounded_time_or_a_reason(value: object, sent: object) -> None:
    try:
        at = event_time(value, sent, NOW)
    except BadItem as bad:
        assert bad.code in ("bad_time", "absurd_time")  # noqa: PT017 either way is right
        return
    assert OLDEST <= at.own <= NOW + AHEAD_MAX
    assert OLDEST <= at.occurred_at <= NOW
