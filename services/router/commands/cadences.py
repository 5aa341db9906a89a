"""Runs the cadence of a lead's open assignment: begins it, tells its steps, ends it, takes it along in a merge."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

import msgspec

from schemas.messages import Cause
from services.directory.core.match import DirectoryView
from services.policy.core.cadence import Cadence, Start, cadence_for
from services.policy.core.policy import Policy
from services.router.commands.case import Effect
from services.router.commands.effects import Writer
from services.router.core import cadence, notice
from services.router.core.cadence import Running
from services.router.core.model import Held
from services.router.core.sla import Timer, TimerKind
from services.router.store.leads import Lead


class Sheet(Protocol):
    """The part of the desk on which a cadence writes."""

    wall: datetime
    writer: Writer

    def touch(self, lead: Lead) -> None:
        """Write this lead back."""
        ...

    def say(self, effect: Effect) -> None:
        """A message that leaves."""
        ...

    def remind(self, timer: Timer) -> None:
        """Set a timer."""
        ...

    def cancel(self, lead_id: str, kinds: Iterable[TimerKind]) -> None:
        """Take timers away."""
        ...


class Cadences:
    """Cadences in one transaction."""

    def __init__(self, sheet: Sheet, policy: Policy, view: DirectoryView) -> None:
        self._sheet = sheet
        self._policy = policy
        self._view = view
        self._found: dict[str | None, Cadence | None] = {}  # by segment

    def begin(self, lead: Lead, held: Held, start: Start, since: datetime) -> None:
        """Begin the cadence of the lead's segment, if it is one that begins with `start`."""
        if lead.segment not in self._found:
            self._found[lead.segment] = cadence_for(self._policy.cadences, lead.segment)
        found = self._found[lead.segment]
        if found is not None and found.start == start and _running(lead, held) is None:
            self._go_on(lead, cadence.begun(found, held, since, self._view))

    def step(self, timer: Timer, lead: Lead, held: Held) -> None:
        """A step has come due: tell the rep, and set the next one."""
        running = _running(lead, held)
        if running is None or running.over:
            return
        later = cadence.kept_back(held, timer.due_at)
        if later is not None:
            self._go_on(lead, msgspec.structs.replace(running, due_at=later))
            return
        found = self._policy.cadence(running.name)
        if found is None or cadence.coming(running, found) is None:
            # The policy has been changed: there is nothing left to do.
            lead.memory.cadence = None
            self._sheet.touch(lead)
            return
        self._tell(lead, held, found, running.step)
        # A late step is not the rep's fault: the next one keeps its distance.
        since = max(timer.due_at, self._sheet.wall)
        self._go_on(lead, cadence.advanced(running, found, held, since, self._view))

    def hear(self, lead: Lead, cause: Cause) -> None:
        """An event of the lead: a reply or a meeting ends its cadence, and it goes on when that is taken back."""
        held = lead.held
        running = _running(lead, held) if held is not None else None
        after = cadence.ended(running, cause) if running is not None else None
        if after is None:
            return
        if after.over:
            lead.memory.cadence = after
            self._sheet.cancel(lead.id, ("cadence",))
            self._sheet.touch(lead)
        else:
            self._go_on(lead, after)

    def move(self, loser: Lead, winner: Lead, held: Held) -> None:
        """The assignment goes on under another lead, and its cadence with it."""
        running = _running(loser, held)
        loser.memory.cadence = winner.memory.cadence = None
        if running is not None:
            self._go_on(winner, running)

    def _go_on(self, lead: Lead, running: Running) -> None:
        lead.memory.cadence = running
        self._sheet.touch(lead)
        if running.due_at is not None and not running.over:
            self._sheet.remind(Timer(lead_id=lead.id, kind="cadence", due_at=running.due_at, gen=running.gen))

    def _tell(self, lead: Lead, held: Held, found: Cadence, index: int) -> None:
        step = found.steps[index]
        snapshot = lead.scored()
        say, values = None, {}
        if snapshot is not None:
            who = notice.speaker(held.rep, self._view.rep(held.rep))
            recent = [notice.cause_of(what) for what in lead.memory.recent[:1]]
            values = notice.values_of(snapshot, lead.segment, lead.stage, who, self._policy, why="", causes=recent)
            ready = notice.template_of(snapshot, lead.segment, lead.stage, who, self._policy)
            say = cadence.said(step, ready, values)
        reason = cadence.reason(found, index, values)
        effect = self._sheet.writer.due(lead, held, [held.rep], reason, f"cadence.{index}", say=say)
        self._sheet.say(effect)


def _running(lead: Lead, held: Held) -> Running | None:
    """The cadence of this very assignment."""
    running = lead.memory.cadence
    return running if running is not None and running.gen == held.gen else None
