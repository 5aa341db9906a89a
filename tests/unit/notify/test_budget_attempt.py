"""Interrupt budget and retries."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.core.attempt import (
    ATTEMPTS_MAX,
    BASE_S,
    CAP_S,
    OVERLOAD_S,
    RETRY_AFTER_MAX_S,
    Delivered,
    GaveUp,
    Result,
    RetryAt,
    backoff_s,
    settle,
)
from services.notify.core.budget import BURST, Budget, spend
from tests.unit.notify.messages import NOW


def test_a_budget_is_spent_and_comes_back():
    budget = Budget(2.0, NOW)
    budget, first = spend(budget, NOW)
    budget, second = spend(budget, NOW)
    budget, third = spend(budget, NOW)
    assert (first, second, third) == (True, True, False)
    budget, fourth = spend(budget, NOW + timedelta(minutes=5))
    assert fourth
    budget, _ = spend(budget, NOW + timedelta(days=3))
    assert budget.left == BURST - 1


def test_a_clock_that_goes_back_gives_nothing():
    budget, had = spend(Budget(0.5, NOW), NOW - timedelta(hours=9))
    assert not had
    assert budget == Budget(0.5, NOW)


@given(st.integers(1, 100), st.floats(0, 0.999999))
def test_law_backoff_stays_in_its_bounds(attempts, draw):
    assert BASE_S / 2 <= backoff_s(attempts, draw) <= CAP_S


def test_settle():
    def of(attempts=1, worth_until=None, draw=0.5, **result):
        return settle(attempts, Result(**result), worth_until=worth_until, now=NOW, draw=draw)

    assert of(outcome="ok") == Delivered()
    assert of(outcome="refused") == GaveUp("refused")
    assert of(ATTEMPTS_MAX, outcome="failed") == GaveUp("attempts_exhausted")
    assert of(outcome="failed") == RetryAt(NOW + timedelta(seconds=1), "failed")
    assert of(outcome="overloaded") == RetryAt(NOW + timedelta(seconds=OVERLOAD_S), "overloaded")
    assert of(outcome="failed", retry_after_s=30) == RetryAt(NOW + timedelta(seconds=30), "failed")
    assert of(outcome="failed", retry_after_s=1e9) == RetryAt(NOW + timedelta(seconds=RETRY_AFTER_MAX_S), "failed")
    assert of(outcome="failed", retry_after_s=0) == RetryAt(NOW + timedelta(seconds=1), "failed")
    assert of(outcome="failed", worth_until=NOW) == GaveUp("stale")
    assert isinstance(of(outcome="failed", worth_until=NOW + timedelta(hours=1)), RetryAt)


@pytest.mark.parametrize("draw", [0.0, 0.99])
def test_jitter_is_the_callers_draw(draw):
    assert backoff_s(8, draw) == max(1.0, draw * 256)
