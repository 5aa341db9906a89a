"""How often may a platform be asked, and how long does it want to be left alone?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.core.pace import RETRY_MAX_S, WINDOW_S, Pace, rest


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
    ("asked", "seconds"), [(2.5, 2.5), (0.0, 1.0), (1e9, RETRY_MAX_S), (float("inf"), RETRY_MAX_S), (None, 10.0)]
)
def test_how_long_a_platform_is_left_alone(asked: float | None, seconds: float) -> None:
    assert rest(asked, 10.0) == seconds
