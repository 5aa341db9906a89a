"""Laws of engagement: order-free, only falling, near the exact formula; windows exact."""

import math
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.messages import CurvePart
from services.policy.core.policy import SignalRule
from services.policy.core.score import (
    DAY_MS,
    curve,
    day_of,
    engagement,
    ms_of,
    next_crossing_down,
    points_at,
    window_count,
)

DAY = 20_600
NOON = datetime(1970, 1, 1, 12, tzinfo=UTC) + timedelta(days=DAY)
EVENING = NOON + timedelta(hours=9)
CLICK = SignalRule("email.clicked", "email.clicked", 3, points=6.0, half_life_s=14 * 86400.0, saturation=30.0)
PAGE = SignalRule("page.viewed", "page.viewed", 8, points=1.0, half_life_s=7 * 86400.0)
BAD = SignalRule("email.unsubscribed", "email.unsubscribed", 6, points=-10.0, half_life_s=90 * 86400.0, saturation=20.0)
FREE = SignalRule("email.opened", "email.opened", 2)

COUNTS = st.lists(
    st.tuples(st.sampled_from([CLICK, PAGE, FREE]), st.integers(DAY - 200, DAY + 1), st.integers(0, 30_000)),
    max_size=30,
)
PARTS = st.lists(
    st.builds(
        CurvePart,
        signal=st.sampled_from(["a", "b", "c"]),
        points=st.floats(0.01, 500),
        half_life_s=st.floats(3600, 1e8),
        cap=st.sampled_from([0.0, 20.0, 80.0]),
    ),
    max_size=6,
)


@given(COUNTS, st.randoms())
def test_order_does_not_matter_at_all(counts: list[tuple[SignalRule, int, int]], rnd: Random) -> None:
    shuffled = counts.copy()
    rnd.shuffle(shuffled)
    assert curve(counts, ms_of(NOON)) == curve(shuffled, ms_of(NOON))


@given(COUNTS, st.integers(1, 5))
def test_splitting_a_counter_over_identifiers_does_not_matter(
    counts: list[tuple[SignalRule, int, int]], parts: int
) -> None:
    split = [(rule, day, n // parts) for rule, day, n in counts for _ in range(parts)]
    split += [(rule, day, n - n // parts * parts) for rule, day, n in counts]
    assert curve(counts, ms_of(NOON)) == curve(split, ms_of(NOON))


@given(COUNTS, st.tuples(st.sampled_from([CLICK, PAGE]), st.integers(DAY - 200, DAY), st.integers(0, 30_000)))
def test_what_is_added_can_be_taken_back_exactly(
    counts: list[tuple[SignalRule, int, int]], extra: tuple[SignalRule, int, int]
) -> None:
    rule, day, n = extra
    assert curve([*counts, extra, (rule, day, -n)], ms_of(NOON)) == curve(counts, ms_of(NOON))


@given(PARTS, st.floats(0, 1e8), st.floats(0, 1e8))
def test_the_score_only_falls(parts: list[CurvePart], one_s: float, two_s: float) -> None:
    first, second = sorted((one_s, two_s))
    early = engagement(parts, NOON, NOON + timedelta(seconds=first)).score
    late = engagement(parts, NOON, NOON + timedelta(seconds=second)).score
    assert late <= early + 1e-9


@given(
    st.lists(st.tuples(st.integers(0, 60 * DAY_MS), st.sampled_from([300, 700, 1000])), min_size=1, max_size=40),
    st.sampled_from([30.0, 60.0, 90.0]),
)
def test_day_counters_are_near_the_forward_decay_formula(events: list[tuple[int, int]], half_life_days: float) -> None:
    """Source: SCIENCE 3.2: S(T) is the sum of w * 2 ** (-(T - t) / h); day middles move it by less than 1.2 %."""
    end_ms = ms_of(NOON + timedelta(hours=12))
    rule = SignalRule("x", "x", 64, points=1.0, half_life_s=half_life_days * 86400, daily_cap=1000)
    exact = sum(w / 1000 * 2.0 ** (-age_ms / 1000 / rule.half_life_s) for age_ms, w in events)
    counts = [(rule, (end_ms - 1 - age_ms) // DAY_MS, w) for age_ms, w in events]
    (part,) = curve(counts, end_ms)
    assert part.points == pytest.approx(exact, rel=0.012)
    later = NOON + timedelta(days=45)
    left = engagement([part], NOON + timedelta(hours=12), later).score
    decayed = exact * 2.0 ** (-(later - NOON - timedelta(hours=12)).total_seconds() / rule.half_life_s)
    assert left == pytest.approx(decayed, rel=0.012)


def test_points_caps_and_saturation_apply_at_read() -> None:
    (part,) = curve([(CLICK, DAY, 700)], ms_of(NOON))
    assert part == CurvePart(signal="email.clicked", points=pytest.approx(4.2), half_life_s=CLICK.half_life_s, cap=30.0)
    (capped,) = curve([(PAGE, DAY, 15_000), (PAGE, DAY, 90_000)], ms_of(NOON))
    assert capped.points == pytest.approx(20.0)
    found = engagement([part, capped], NOON, NOON)
    assert found.score == pytest.approx(20 + 30 * (1 - math.exp(-4.2 / 30)))
    assert [p.signal for p in found.parts] == ["page.viewed", "email.clicked"]
    assert found.score == pytest.approx(sum(p.points for p in found.parts))


def test_the_day_counts_at_its_middle_but_never_in_the_future() -> None:
    morning = NOON - timedelta(hours=4)
    assert curve([(PAGE, DAY, 1000)], ms_of(morning))[0].points == pytest.approx(1.0)
    assert curve([(PAGE, DAY + 3, 1000)], ms_of(morning))[0].points == pytest.approx(1.0)
    assert curve([(PAGE, DAY - 7, 1000)], ms_of(NOON))[0].points == pytest.approx(0.5)
    assert engagement(curve([(PAGE, DAY, 1000)], ms_of(NOON)), NOON, morning).score == pytest.approx(1.0)


def test_nothing_is_left_out_of_nothing() -> None:
    assert curve([(FREE, DAY, 5000), (PAGE, DAY, 0)], ms_of(NOON)) == []
    assert engagement([], NOON, NOON).score == 0.0
    assert engagement([CurvePart(signal="x", points=1e-12, half_life_s=1.0)], NOON, NOON).parts == []


def test_bad_signs_take_away_but_not_below_nothing() -> None:
    parts = curve([(BAD, DAY, 1000), (PAGE, DAY, 2000)], ms_of(NOON))
    found = engagement(parts, NOON, NOON)
    assert found.score == 0.0
    assert found.parts[0].points == pytest.approx(-20 * (1 - math.exp(-0.5)))


@pytest.mark.parametrize(
    ("days", "now", "count"),
    [
        (7, EVENING, 3.0),
        (1, EVENING, 1.0),
        (7, NOON + timedelta(days=1), 2.0),
        (8, NOON + timedelta(days=1), 3.0),
        (7, NOON + timedelta(days=6, hours=11, minutes=59), 1.0),
        (7, NOON + timedelta(days=6, hours=12), 0.0),
        (365, NOON, 4.0),
        (1, NOON - timedelta(days=30), 4.0),
    ],
)
def test_windows_are_whole_utc_days_today_included(days: int, now: datetime, count: float) -> None:
    pairs = [(DAY - 7, 1000), (DAY - 6, 1000), (DAY - 1, 1000), (DAY, 1000)]
    assert window_count(pairs, days, now) == count


@given(st.dictionaries(st.integers(DAY - 400, DAY), st.integers(0, 10_000)), st.integers(1, 365))
def test_a_window_is_the_sum_of_its_days(counts: dict[int, int], days: int) -> None:
    expected = sum(n for day, n in counts.items() if DAY - days < day <= DAY)
    assert window_count(sorted(counts.items()), days, NOON) == expected / 1000


def test_a_window_never_owes() -> None:
    assert window_count([(DAY, -1000)], 7, NOON) == 0.0


@given(PARTS, st.floats(0.1, 60))
def test_the_crossing_is_where_the_score_falls_below(parts: list[CurvePart], theta: float) -> None:
    found = next_crossing_down(parts, NOON, theta, NOON)
    if found is None:
        assert engagement(parts, NOON, NOON).score < theta
        return
    assert found > NOON
    assert engagement(parts, NOON, found).score < theta + 1e-9
    before = max(found - timedelta(seconds=2), NOON)
    assert engagement(parts, NOON, before).score >= theta - 1e-9


def test_one_half_life_halves() -> None:
    part = CurvePart(signal="x", points=40.0, half_life_s=86400.0)
    assert next_crossing_down([part], NOON, 20.0, NOON) == NOON + timedelta(days=1, seconds=0) or (
        next_crossing_down([part], NOON, 20.0, NOON) == NOON + timedelta(days=1, seconds=1)
    )
    later = NOON + timedelta(hours=12)
    assert abs(next_crossing_down([part], NOON, 20.0, later) - NOON - timedelta(days=1)) <= timedelta(seconds=1)
    assert next_crossing_down([part], NOON, 0.0, NOON) is None
    assert next_crossing_down([], NOON, 1.0, NOON) is None
    assert next_crossing_down([part], NOON, 41.0, NOON) is None


def test_a_crossing_is_found_though_bad_signs_fade() -> None:
    good = CurvePart(signal="a", points=60.0, half_life_s=86400.0)
    bad = CurvePart(signal="b", points=-20.0, half_life_s=3600.0)
    found = next_crossing_down([good, bad], NOON, 20.0, NOON)
    assert found is not None
    assert engagement([good, bad], NOON, found).score < 20.0
    assert engagement([good, bad], NOON, found - timedelta(seconds=120)).score >= 20.0


def test_times_as_numbers() -> None:
    assert ms_of(NOON) == DAY * DAY_MS + DAY_MS // 2
    assert day_of(EVENING) == DAY
    assert day_of(datetime(1969, 12, 31, 23, tzinfo=UTC)) == -1


@given(PARTS, st.floats(-1e5, 1e6))
def test_parts_in_their_order_add_up_to_the_score(parts: list[CurvePart], age_s: float) -> None:
    now = NOON + timedelta(seconds=age_s)
    points = points_at(parts, NOON, now)
    assert len(points) == len(parts)
    assert max(math.fsum(points), 0.0) == engagement(parts, NOON, now).score
