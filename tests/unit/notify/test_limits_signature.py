"""Rates, pauses of endpoints, retries by schedule, and signatures held to the vendors' own libraries."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.signature import SignatureVerifier
from standardwebhooks import Webhook

from services.notify.core.attempt import CAP_S, GaveUp, Result, RetryAt, backoff_s, settle
from services.notify.core.limits import Health, after, disabled, room, taken
from services.notify.core.signature import (
    from_slack,
    secret_bytes,
    slack_signature,
    webhook_secret,
    webhook_signature,
)
from tests.unit.notify.messages import NOW


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60), st.floats(0.5, 50), st.integers(1, 4))
def test_law_no_more_than_rate_and_burst(pauses, per_s, burst):
    now, tat, starts = NOW, None, []
    for pause in pauses:
        now += timedelta(seconds=pause)
        free = room(now, tat, per_s=per_s, burst=burst)
        assert 0 <= free <= burst
        if free:
            tat = taken(now, tat, free, per_s=per_s)
            starts += [now] * free
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            passed_s = (starts[last] - starts[first]).total_seconds()
            assert last - first + 1 <= burst + passed_s * per_s + 0.01


def test_an_endpoint_pauses_longer_the_longer_it_fails():
    health, now = Health(), NOW
    for n in range(12):
        health = after(health, Result(outcome="failed"), now, 0.999)
        assert health.pause_until is not None
        now = health.pause_until
        assert health.failures == n + 1
    assert health.failing_since == NOW
    assert (health.pause_until - now).total_seconds() <= CAP_S
    wished = after(Health(), Result(outcome="overloaded", retry_after_s=120), NOW, 0.0)
    assert wished.pause_until == NOW + timedelta(seconds=120)
    clamped = after(Health(), Result(outcome="overloaded", retry_after_s=10**9), NOW, 0.0)
    assert clamped.pause_until == NOW + timedelta(hours=1)
    # A second answer of a longer pause does not shorten it.
    assert after(clamped, Result(outcome="failed"), NOW, 0.0).pause_until == clamped.pause_until
    assert after(health, Result(outcome="ok"), NOW, 0.0) == Health()


def test_refused_messages_do_not_pause_but_count_towards_the_end():
    refused = after(Health(), Result(outcome="refused"), NOW, 0.0)
    assert (refused.failures, refused.pause_until, refused.failing_since) == (0, None, NOW)
    assert disabled(refused, Result(outcome="refused"), NOW, 60) is None
    assert disabled(refused, Result(outcome="refused"), NOW + timedelta(seconds=61), 60) == "failing_long"
    assert disabled(Health(), Result(outcome="gone"), NOW, 60) == "endpoint_gone"


def test_a_schedule_stands_for_doubling():
    schedule = (5.0, 300.0)
    assert backoff_s(1, 0.5, schedule) == pytest.approx(5.0)
    assert backoff_s(9, 0.0, schedule) == pytest.approx(240.0)
    told = settle(2, Result(outcome="failed"), worth_until=None, now=NOW, draw=0.5, schedule=schedule)
    assert told == RetryAt(NOW + timedelta(seconds=300), "failed")
    ended = settle(3, Result(outcome="failed"), worth_until=None, now=NOW, draw=0.5, schedule=schedule)
    assert ended == GaveUp("attempts_exhausted")
    assert settle(1, Result(outcome="gone"), worth_until=None, now=NOW, draw=0.5) == GaveUp("endpoint_gone")


@given(st.binary(min_size=24, max_size=64), st.text(), st.integers(0, 2**31))
def test_law_the_standards_own_library_agrees(key, body, at):
    secret = webhook_secret(key)
    assert secret_bytes(secret) == key
    signature = webhook_signature([secret], "msg_1", at, body.encode())
    assert signature == Webhook(secret).sign("msg_1", datetime.fromtimestamp(at, UTC), body)


def test_secrets_that_are_none_sign_nothing():
    good = webhook_secret(b"k" * 32)
    for bad in ("", "whsec_", "whsec_!!!", "whsec_" + base64.b64encode(b"short").decode(), "whsec_é"):
        assert secret_bytes(bad) is None
    assert webhook_signature(["whsec_", good], "m", 1, b"x") == webhook_signature([good], "m", 1, b"x")


@given(
    st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    st.integers(0, 2**31),
    st.text(alphabet=st.characters(codec="utf-8")),
)
def test_law_slacks_own_library_agrees_both_ways(secret, at, body):
    class At:
        def now(self):
            return float(at)

    theirs = SignatureVerifier(secret, At()).generate_signature(timestamp=str(at), body=body) or ""
    assert slack_signature(secret, str(at), body.encode()) == theirs
    assert from_slack(["another", secret], str(at), theirs, body.encode(), float(at))
    assert SignatureVerifier(secret, At()).is_valid(body, str(at), slack_signature(secret, str(at), body.encode()))
    assert not from_slack([secret], str(at), theirs, body.encode() + b"x", float(at))
    assert not from_slack([secret], str(at), theirs, body.encode(), at + 301.0)
    assert not from_slack([secret], str(at), theirs, body.encode(), at - 301.0)
    assert not from_slack([], str(at), theirs, body.encode(), float(at))


@pytest.mark.parametrize("timestamp", ["", "now", "１２", "1" * 13, "-5"])
def test_a_timestamp_that_is_none(timestamp):
    assert not from_slack(["s"], timestamp, "v0=x", b"", 5.0)
