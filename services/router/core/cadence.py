"""What is the next contact step of a lead that a rep has, when is it due, and what ends the chain? Pure.

A cadence runs for one assignment. It goes on from the step before, not from a date in the past: a snooze, an absence or a
day on which the service stood still moves the rest along, and never brings several steps at once.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from schemas.messages import Cause, Reason, Say
from services.policy.core.cadence import Act, Cadence, Step
from services.policy.core.template import Template
from services.router.core.model import Held

ENDING: Final[Mapping[str, str]] = {"email.replied": "they replied", "meeting.booked": "a meeting is booked"}
ACTS: Final[Mapping[Act, str]] = {
    "call": "call",
    "mail": "send a mail",
    "message": "send a message",
    "task": "see to this",
}
MINUTES: Final = 60.0
TASK_MAX: Final = 300
# A step that a snooze has kept back comes right behind the reminder, so that its words are those that stay.
BEHIND: Final = timedelta(milliseconds=1)


class Running(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the cadence of a lead's open assignment stands; a part of the lead's memory.

    Attributes:
        step: Index of the next step; `due_at` None: there is none, or the rep does not come back.
        ended_by: The event that ended it; `ended` says in words what it was.
    """

    name: str
    gen: int
    since: datetime
    step: int = 0
    due_at: datetime | None = None
    ended_by: str | None = None
    ended: str | None = None

    @property
    def over(self) -> bool:
        """Nothing more comes of it."""
        return self.ended_by is not None


class Hours(Protocol):
    """What a cadence needs of the directory: the rep's calendar."""

    def after_working_minutes(self, rep_id: str, start: datetime, minutes: float) -> datetime | None:
        """The instant after so many working minutes."""
        ...

    def start_of_working_day(self, rep_id: str, start: datetime, days: int) -> datetime | None:
        """When work begins on a later working day."""
        ...


def due_at(cadence: Cadence, index: int, rep: str, since: datetime, hours: Hours) -> datetime | None:
    """When a step is due.

    Args:
        since: When the step before was due, or the start of the cadence.

    Returns:
        None when there is no such step, or when the rep does not work again.
    """
    if index >= len(cadence.steps):
        return None
    step = cadence.steps[index]
    before = cadence.steps[index - 1] if index else Step(0, "task", 0.0, None, None)
    days = step.day - before.day
    if days <= 0:
        # The policy may have changed meanwhile: never backwards.
        wait = step.hours - before.hours if days == 0 else 0.0
        return hours.after_working_minutes(rep, since, max(0.0, wait) * MINUTES)
    morning = hours.start_of_working_day(rep, since, days)
    return None if morning is None else hours.after_working_minutes(rep, morning, step.hours * MINUTES)


def begun(cadence: Cadence, held: Held, since: datetime, hours: Hours) -> Running:
    """A cadence that begins with this assignment."""
    return Running(name=cadence.name, gen=held.gen, since=since, due_at=due_at(cadence, 0, held.rep, since, hours))


def advanced(running: Running, cadence: Cadence, held: Held, since: datetime, hours: Hours) -> Running:
    """The cadence after its step was told at `since`."""
    index = running.step + 1
    return msgspec.structs.replace(running, step=index, due_at=due_at(cadence, index, held.rep, since, hours))


def ended(running: Running, cause: Cause) -> Running | None:
    """The cadence after an event of the lead; None when the event changes nothing.

    A reply or a meeting ends it if a person did it, after the cadence began; taken back, it goes on.
    """
    if cause.reversed:
        if running.ended_by != cause.event_id:
            return None
        return msgspec.structs.replace(running, ended_by=None, ended=None)
    words = ENDING.get(cause.signal)
    machine = cause.actor == "machine" or cause.human <= 0
    if running.over or words is None or machine or cause.occurred_at < running.since:
        return None
    return msgspec.structs.replace(running, ended_by=cause.event_id, ended=words)


def coming(running: Running, cadence: Cadence) -> Step | None:
    """The step that comes next; None: nothing more comes."""
    return cadence.steps[running.step] if not running.over and running.step < len(cadence.steps) else None


def kept_back(held: Held, at: datetime) -> datetime | None:
    """Until when a snooze keeps back a step that is due at `at`; None: it does not."""
    return held.snoozed_until + BEHIND if held.snoozed_until is not None and held.snoozed_until >= at else None


def said(step: Step, ready: Template | None, values: Mapping[str, str | None]) -> Say | None:
    """What the rep may say at a step: its own words, else the ready message."""
    if step.say is None or step.do == "task":
        found = ready.fill(values) if ready is not None else None
        if found is None or step.subject is None:
            return found
        return Say(subject=_filled(step.subject, values), body=found.body)
    if step.subject is not None:
        subject = _filled(step.subject, values)
    else:
        subject = ready.fill(values).subject if ready is not None else ""
    return Say(subject=subject, body=_filled(step.say, values))


def reason(cadence: Cadence, index: int, values: Mapping[str, str | None]) -> Reason:
    """Why the rep hears of it: which day of which cadence, and what to do."""
    step = cadence.steps[index]
    return Reason(
        code="cadence_step",
        text=f"{_heading(cadence.name, step)}: {act(step, values)}",
        seen=index + 1,
        limit=len(cadence.steps),
    )


def act(step: Step, values: Mapping[str, str | None]) -> str:
    """What is to be done, in words; of a task its own."""
    if step.do != "task" or step.say is None:
        return ACTS[step.do]
    text = " ".join(_filled(step.say, values).split())
    return text if len(text) <= TASK_MAX else f"{text[: TASK_MAX - 1]}…"


def _heading(name: str, step: Step) -> str:
    return f"Day {step.day} of the cadence “{name}”"


def _filled(text: str, values: Mapping[str, str | None]) -> str:
    return Template(None, None, None, None, "-", text).fill(values).body
