"""May an answer be given?"""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from services.router.core.claim import Allowed, Asked, Denied, answer
from services.router.core.model import Held

NOW = datetime(2026, 3, 4, tzinfo=UTC)
HELD = Held(id="a1", rep="chloe", gen=2, state="offered", offered_at=NOW)


def held(**changes: Any) -> Held:
    return msgspec.structs.replace(HELD, **changes)


def ask(command: Any = "accept", **more: Any) -> Asked:
    return Asked(**({"command": command, "assignment_id": "a1", "gen": 2, "rep": "chloe"} | more))


@pytest.mark.parametrize(
    ("command", "state", "new", "effect"),
    [
        ("accept", "offered", "accepted", True),
        ("accept", "accepted", "accepted", False),
        ("decline", "offered", "declined", True),
        ("decline", "accepted", "declined", True),
        ("decline", "declined", "declined", False),
        ("won", "accepted", "won", True),
        ("won", "won", "won", False),
        ("lost", "offered", "lost", True),
        ("lost", "lost", "lost", False),
    ],
)
def test_the_life_of_an_assignment(command: str, state: Any, new: str, effect: bool) -> None:
    now = held(state=state)
    assert answer(ask(command), now, now) == Allowed(state=new, effect=effect)


@pytest.mark.parametrize("command", ["accept", "decline", "snooze", "won", "lost"])
@pytest.mark.parametrize("state", ["recalled", "closed", "declined", "won", "lost"])
def test_what_is_over_stays_over(command: str, state: Any) -> None:
    got = answer(ask(command), held(state=state), None)
    if {"decline": "declined", "won": "won", "lost": "lost"}.get(command) == state:
        assert got == Allowed(state=state, effect=False)
    else:
        assert isinstance(got, Denied)
        assert got.code == "stale_assignment"


def test_a_snooze_to_the_same_time_is_no_news() -> None:
    now = held(snoozed_until=NOW)
    assert answer(ask("snooze", until=NOW), now, now) == Allowed(state="offered", effect=False)
    assert answer(ask("snooze", until=NOW), HELD, HELD) == Allowed(state="offered")


def test_somebody_else_is_told_who_has_it() -> None:
    for state, words in (("offered", "chloe has been offered it"), ("accepted", "chloe has accepted it")):
        now = held(state=state)
        assert answer(ask(rep="daavid"), now, now) == Denied(code="already_taken", text=words, by="chloe")
    later = held(id="a2", rep="daavid", gen=3)
    assert answer(ask(), held(state="recalled"), later) == Denied(
        code="already_taken", text="daavid has been offered it", by="daavid"
    )


def test_an_old_generation_an_unknown_assignment_and_an_admin() -> None:
    assert isinstance(answer(ask(gen=1), HELD, HELD), Denied)
    assert isinstance(answer(ask(), None, None), Denied)
    assert isinstance(answer(ask(), None, HELD), Denied)
    assert answer(ask(rep=None), HELD, HELD) == Allowed(state="accepted")
