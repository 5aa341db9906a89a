"""How often may a platform be asked, and how long does it want to be left alone?"""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.core.pace import RETRY_MAX_S, WINDOW_S, Pace, retry_after

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.sampled_from(("a", "b")), st.floats(0, 4)), max_size=60),
)
def test_in_no_window_more_than_the_most_and_nobody_waits_for_another_source(
    most: int, asked: list[tuple[str, float]]
) -> None:
    pace, now = Pace(most), 0.0
    calls: dict[str, list[float]] = {"a": [], "b": []}
    for source, later in asked:
        now += later
        wait = pace.take(source, now)
        mine = [at for at in calls[source] if at > now - WINDOW_S]
        if wait:
            assert len(mine) == most
            assert wait == pytest.approx(mine[0] + WINDOW_S - now)
        else:
            assert len(mine) < most
            calls[source].append(now)


def test_a_source_that_is_gone_is_forgotten() -> None:
    pace = Pace(1)
    assert pace.take("a", 0) == 0
    pace.keep({"b"})
    assert pace.take("a", 1) == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2.0),
        ("2.5", 2.5),
        (" 7 ", 7.0),
        ("0", 1.0),
        ("-5", 1.0),
        ("1e9", RETRY_MAX_S),
        ("inf", RETRY_MAX_S),
        ("nan", 10.0),
        ("", 10.0),
        ("soon", 10.0),
        (format_datetime(datetime.fromtimestamp(NOW + 30, UTC), usegmt=True), 30.0),
        (format_datetime(datetime.fromtimestamp(NOW - 30, UTC), usegmt=True), 1.0),
        ("Fri, 99 Foo 2026 12:00:00 GMT", 10.0),
    ],
)
def test_what_a_retry_after_says(value: str, seconds: float) -> None:
    assert retry_after(value, NOW, 10.0) == seconds
