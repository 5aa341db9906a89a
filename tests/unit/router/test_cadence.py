"""Which step is next, when it is due, what it says, and what ends the chain."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.policy.core.cadence import Cadence, Step
from services.policy.core.template import Template
from services.router.core import cadence, notice
from services.router.core.cadence import Running
from services.router.core.explain import render
from services.router.core.model import Held
from tests.support.routing import NOW, cause, example_policy, example_view, with_people

[EXAMPLE] = example_policy().cadences
OFFICE = with_people(example_view(), chloe={"hours": "mon-fri 09:00-17:00", "timezone": "Europe/Helsinki"})
HELD = Held(id="a1", rep="chloe", gen=3, state="accepted", offered_at=NOW)
READY = Template(None, None, None, None, "About {{ account.name }}", "Hello {{ lead.first_name }}")
VALUES: dict[str, str | None] = {"account.name": "Nordwind", "lead.first_name": "Anni"}
WEDNESDAY = datetime(2026, 3, 4, 16, 30)  # in Helsinki


def helsinki(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) - timedelta(hours=2)


def made(*steps: tuple[int, float]) -> Cadence:
    return Cadence("c", frozenset(), "accepted", tuple(Step(day, "call", hours, None, None) for day, hours in steps))


def times(one: Cadence, since: datetime) -> list[datetime]:
    running = cadence.begun(one, HELD, since, OFFICE)
    found = []
    while running.due_at is not None:
        found.append(running.due_at)
        running = cadence.advanced(running, one, HELD, running.due_at, OFFICE)
    assert running.step == len(one.steps)
    return found


def test_due_times_are_the_reps() -> None:
    found = times(made((0, 1), (0, 4), (1, 0), (3, 2)), helsinki(WEDNESDAY))
    assert found == [
        helsinki(datetime(2026, 3, 5, 9, 30)),  # half an hour on Wednesday, half on Thursday
        helsinki(datetime(2026, 3, 5, 12, 30)),
        helsinki(datetime(2026, 3, 6, 9)),
        helsinki(datetime(2026, 3, 10, 11)),  # two working days after Friday
    ]
    assert times(made((0, 0)), helsinki(WEDNESDAY)) == [helsinki(WEDNESDAY)]
    assert times(made((2, 0)), helsinki(WEDNESDAY)) == [helsinki(datetime(2026, 3, 6, 9))]


def test_a_rep_who_never_works_again_has_nothing_due() -> None:
    assert cadence.due_at(EXAMPLE, 0, "chloe", NOW, Never()) is None
    assert cadence.due_at(EXAMPLE, 1, "chloe", NOW, Never()) is None
    assert cadence.due_at(EXAMPLE, 4, "chloe", NOW, OFFICE) is None


class Never:
    """Nobody works any more."""

    def after_working_minutes(self, rep_id: str, start: datetime, minutes: float) -> datetime | None:
        return None

    def start_of_working_day(self, rep_id: str, start: datetime, days: int) -> datetime | None:
        return None


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 24)), min_size=1, max_size=6),
    st.integers(0, 40_000),
)
def test_steps_never_go_backwards(steps: list[tuple[int, float]], minutes: int) -> None:
    """Not even when a changed policy has put them out of order."""
    since = NOW + timedelta(minutes=minutes)
    found = times(made(*steps), since)
    assert found == sorted(found)
    assert len(found) == len(steps)
    assert found[0] >= since


RUNNING = Running(name="first-two-weeks", gen=3, since=NOW, due_at=NOW + timedelta(hours=2))


@pytest.mark.parametrize(
    ("signal", "more", "words"),
    [
        ("email.replied", {}, "they replied"),
        ("meeting.booked", {"actor": "unknown"}, "a meeting is booked"),
        ("email.clicked", {}, None),
        ("email.replied", {"actor": "machine"}, None),
        ("email.replied", {"human": 0.0}, None),
        ("email.replied", {"at": NOW - timedelta(seconds=1)}, None),
        ("email.replied", {"reversed": True}, None),
    ],
)
def test_what_ends_it(signal: str, more: dict[str, Any], words: str | None) -> None:
    after = cadence.ended(RUNNING, cause("e", signal, **more))
    assert (after.ended if after else None) == words
    assert after is None or (after.over and cadence.coming(after, EXAMPLE) is None)


def test_the_first_end_stays_and_is_undone_by_its_own_event_only() -> None:
    reply = cause("r", "email.replied")
    over = cadence.ended(RUNNING, reply)
    assert over is not None
    assert cadence.ended(over, cause("m", "meeting.booked")) is None
    assert cadence.ended(over, cause("m", "meeting.booked", reversed=True)) is None
    assert cadence.ended(over, cause("r", "email.replied", reversed=True)) == RUNNING


def test_what_is_coming() -> None:
    assert cadence.coming(RUNNING, EXAMPLE) == EXAMPLE.steps[0]
    assert cadence.coming(msgspec.structs.replace(RUNNING, step=4), EXAMPLE) is None


def test_a_snooze_keeps_back_what_is_due_before_its_end() -> None:
    until = NOW + timedelta(hours=1)
    snoozed = msgspec.structs.replace(HELD, snoozed_until=until)
    assert cadence.kept_back(HELD, NOW) is None
    assert cadence.kept_back(snoozed, NOW) == cadence.kept_back(snoozed, until) == until + cadence.BEHIND
    assert cadence.kept_back(snoozed, until + cadence.BEHIND) is None


@pytest.mark.parametrize(
    ("do", "subject", "say", "ready", "found"),
    [
        ("call", None, None, READY, ("About Nordwind", "Hello Anni")),
        ("call", None, None, None, None),
        ("mail", "Hi {{ lead.first_name }}", None, READY, ("Hi Anni", "Hello Anni")),
        ("mail", "Hi {{ lead.first_name }}", None, None, None),
        ("mail", "Hi", "{{ account.name | upper }}?", READY, ("Hi", "NORDWIND?")),
        ("mail", None, "x", READY, ("About Nordwind", "x")),
        ("message", None, "x", None, ("", "x")),
        ("task", None, "x", READY, ("About Nordwind", "Hello Anni")),
    ],
)
def test_what_to_say(
    do: Any, subject: str | None, say: str | None, ready: Template | None, found: tuple[str, str] | None
) -> None:
    told = cadence.said(Step(2, do, 0.0, subject, say), ready, VALUES)
    assert (None if told is None else (told.subject, told.body)) == found


def test_a_remembered_act_fills_the_names_of_a_message() -> None:
    visit = cause("v", path="/pricing")
    assert notice.remember([], []) == []
    [what] = notice.remember([], [visit, cause("m", actor="machine")])
    assert notice.act(notice.cause_of(what)) == "viewed /pricing"
    assert notice.cause_of(what).event_id == visit.event_id
    assert notice.cause_of(msgspec.structs.replace(what, event_id=None)).event_id == ""


def test_why_the_rep_hears_of_it() -> None:
    why = cadence.reason(EXAMPLE, 1, VALUES)
    assert (why.code, why.text) == ("cadence_step", "Day 2 of the cadence “first-two-weeks”: send a mail")
    assert (why.seen, why.limit) == (2, 4)
    task = Step(1, "task", 0.0, None, "Look\n  {{ account.name }} up")
    assert cadence.act(task, VALUES) == "Look Nordwind up"
    assert cadence.act(Step(1, "task", 0.0, None, "x" * 400), VALUES) == "x" * 299 + "…"
    assert cadence.act(Step(1, "task", 0.0, None, None), VALUES) == "see to this"


@pytest.mark.parametrize(
    ("one", "words"),
    [
        ({"next": {"day": 2, "do": "mail", "at": "t"}, "ended": None}, "1 of 4 steps told; next mail (day 2), t"),
        ({"next": {"day": 2, "do": "mail", "at": None}, "ended": None}, "next mail (day 2), when the rep is back"),
        ({"next": None, "ended": None}, "1 of 4 steps told; nothing more"),
        ({"next": None, "ended": "they replied"}, "cadence c, 1 of 4 steps told; ended: they replied"),
    ],
)
def test_the_explanation_tells_where_it_stands(one: dict[str, Any], words: str) -> None:
    standing = {"name": "c", "step": 1, "steps": 4, **one}
    lead = {"id": "l1", "stage": "qualified", "route": "owner", "assignee": "anna", "cadence": standing}
    assert words in render({"lead": lead, "decisions": [], "assignments": []})
