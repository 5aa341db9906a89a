"""Channels and deliveries in words: pure views."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.console.views.deliveries import channel_row, delivery_row
from services.notify.store.endpoints import Stored

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def channel(**more: Any) -> Stored:
    plain: dict[str, Any] = {
        "id": "c1", "name": "crm", "kind": "webhook", "feed": True, "options": {}, "kinds": [], "reps": [], "segments": [], "concurrency": 1,
        "per_s": 1.0, "version": 1, "enabled": True, "disabled_reason": None, "disabled_at": None, "created_at": NOW, "rotated_at": None,
        "failures": 0, "failing_since": None, "pause_until": None, "last_ok_at": NOW, "last_error": None, "last_error_at": None,
    }  # fmt: skip
    return Stored(**{**plain, **more})


@pytest.mark.parametrize(
    ("more", "state", "said"),
    [
        ({}, "good", "works"),
        ({"last_ok_at": None}, "now", "nothing sent yet"),
        ({"enabled": False, "disabled_reason": "by_hand"}, "off", "off: by hand"),
        ({"enabled": False, "disabled_reason": "gone"}, "bad", "off: gone"),
        ({"failing_since": NOW - timedelta(minutes=11), "failures": 3}, "bad", "failing for 11 min, 3 tries"),
        # What is refused for good is not tried again.
        ({"failing_since": NOW - timedelta(minutes=11)}, "bad", "failing for 11 min"),
        ({"pause_until": NOW + timedelta(minutes=2)}, "now", "pauses for 2 min"),
        ({"due": 1, "oldest_due": NOW - timedelta(minutes=6)}, "now", "behind"),
    ],
)
def test_how_a_channel_is_doing(more: dict[str, Any], state: str, said: str) -> None:
    found = channel_row(channel(**more), NOW)
    assert (found.state, found.said) == (state, said)


def test_a_delivery_in_words() -> None:
    row = {
        "id": "d1", "name": None, "endpoint": "c1", "kind": "webhook", "rep": None, "purpose": "step", "state": "gave_up", "attempts": 2,
        "reason": "not_accepted", "detail": "HTTP 400", "created_at": NOW, "due_at": NOW, "digest_id": None,
    }  # fmt: skip
    found = delivery_row(row)
    assert (found.channel, found.purpose, found.state, found.tone) == ("c1", "a step of the ladder", "gave up", "bad")
    assert (found.why, found.next_at, found.replayable) == ("not accepted", None, True)
    held = delivery_row({**row, "state": "held"})
    assert (held.next_at, held.replayable) == (NOW, False)
