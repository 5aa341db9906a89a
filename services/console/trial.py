"""Tries one lead, or one pasted event, against a policy: what would happen? Reads the stored state; writes nothing."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from schemas.codec import CloudEvent, encode
from schemas.messages import Tracking
from services.console.rooms import ConsoleRooms
from services.ingest.commands import preview
from services.ingest.sources.registry import PLATFORMS
from services.policy.core.compile import compile_policy
from services.policy.core.policy import Policy
from services.policy.core.score import ms_of
from services.router.api.trial import Outcome, Trial
from services.router.core.model import Before
from services.runtime.errors import BadMessage, Refused
from services.scoring.core.identity import Ident, Names
from services.scoring.core.read import Event, read
from services.scoring.core.whatif import NOBODY, Person, told, with_event
from services.scoring.store.whatif import person

EVENTS_MAX: Final = 20
EVENT_BYTES: Final = 256 * 1024


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What to try.

    Attributes:
        email: The lead; may be left out when the event names somebody.
        event: JSON of Segment (one, or a batch) or a CloudEvent; empty: only the lead as it stands.
        text: The draft of a policy; None: the version in force.
        fresh: As if nobody had had the lead: no rep, no cool-down, no stage held.
    """

    email: str = ""
    event: str = ""
    text: str | None = None
    fresh: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen, beside what the policy in force would do."""

    who: dict[str, Any]
    outcome: Outcome
    active: Outcome | None
    changes: list[str]
    notes: list[str]
    events: list[dict[str, Any]]
    version: int | None


class Trials:
    """The trials of one process."""

    def __init__(self, rooms: ConsoleRooms) -> None:
        self._rooms = rooms
        self._router = Trial(rooms.db, lambda: rooms.directory.view)
        self._names = Names(1000)

    async def run(self, asked: Asked) -> Answer:
        """Try it.

        Raises:
            PolicyError: The draft is no policy.
            BadMessage: Neither lead nor event, or nothing that can be read.
            Refused: `not_found`: nobody has this address, and no event was given.
        """
        active = self._rooms.policies.active
        draft = await self._draft(asked.text, active)
        now = self._rooms.clock.now()
        events, shown, notes = self._events(asked.event, now)
        found = await self._found(asked.email.strip().lower(), events, notes)
        before = Before() if asked.fresh or found.lead == NOBODY else await self._router.before(found.lead.hex())
        view = self._rooms.directory.view
        policies = [active] if draft is active else [draft, active]
        tries = []
        for policy in policies:
            one, causes = found, []
            for event in events:
                one, cause = with_event(one, event, policy)
                causes.append(cause)
            tries.append((told(one, causes, policy, view, ms_of(now)), policy))
        if not tries[0][0].known:
            notes.append("Nobody can name this visitor: only leads are handed over.")
        outcomes = await self._router.outcomes(tries, before, now)
        snapshot = tries[0][0]
        account = snapshot.account
        return Answer(
            who={
                "lead_id": found.lead.hex() if found.lead != NOBODY else None,
                "email": snapshot.person.email,
                "name": snapshot.person.name,
                "title": snapshot.person.title,
                "account": (account.name or account.domain) if account is not None else None,
            },
            outcome=outcomes[0],
            active=outcomes[1] if len(outcomes) > 1 else None,
            changes=changes(outcomes[1], outcomes[0]) if len(outcomes) > 1 else [],
            notes=notes,
            events=shown,
            version=None if draft is not active else active.version,
        )

    async def _draft(self, text: str | None, active: Policy) -> Policy:
        if text is None:
            return active
        codes = await self._rooms.policy_store.codes()
        return await asyncio.to_thread(compile_policy, text, 0, codes)

    def _events(self, text: str, now: datetime) -> tuple[list[Event], list[dict[str, Any]], list[str]]:
        if not text.strip():
            return [], [], []
        body = text.encode("utf-8", "replace")
        if len(body) > EVENT_BYTES:
            msg = f"the event is larger than {EVENT_BYTES // 1024} KB"
            raise BadMessage(msg, code="too_large")
        spellings = self._rooms.policies.active.spellings
        found = preview(PLATFORMS[_platform(text)], body, now=now, spellings=spellings)
        notes = [f"Refused: {one['message']}" for one in found["rejected"]]
        notes += [f"Ignored: {one['type']} means nothing to us." for one in found["ignored"]]
        events: list[Event] = []
        shown = found["events"][:EVENTS_MAX]
        for one in shown:
            event = self._scored(one, now)
            if isinstance(event, Event):
                events.append(event)
            else:
                notes.append(f"Refused: {event}")
        if len(found["events"]) > EVENTS_MAX:
            notes.append(f"Only the first {EVENTS_MAX} events were tried.")
        if not events:
            raise BadMessage(" ".join(notes) or "there is no event in it", code="invalid")
        return events, [{name: one.get(name) for name in ("signal", "name", "path", "link")} for one in shown], notes

    def _scored(self, shown: dict[str, Any], now: datetime) -> Event | str:
        """The event as scoring reads it from the log."""
        data = {name: value for name, value in shown.items() if name not in ("index", "id", "time", "properties")}
        tracking = msgspec.convert(data, Tracking)
        envelope = CloudEvent(
            id=shown["id"], source="/trial", type=f"leadrouter.{tracking.signal}.v1", time=shown["time"], data=tracking
        )
        event = read(encode(envelope), ms_of(now), self._names, 2 * EVENT_BYTES)
        return event if isinstance(event, Event) else event.detail

    async def _found(self, email: str, events: Sequence[Event], notes: list[str]) -> Person:
        idents: dict[bytes, Ident] = {}
        if email:
            ident = self._names.ident("email", email)
            if isinstance(ident, str):
                msg = "this is no e-mail address"
                raise BadMessage(msg, code="invalid")
            idents[ident.key] = ident
        elif not events:
            msg = "give the e-mail address of a lead, or an event"
            raise BadMessage(msg, code="invalid")
        for event in events:
            idents.update((ident.key, ident) for ident in event.idents)
        found = await person(self._rooms.db, list(idents.values()))
        if found is None:
            if not events:
                msg = f"nobody is known by {email}"
                raise Refused(msg, code="not_found")
            notes.append("This person is new to us.")
        return found or Person()


def changes(before: Outcome, after: Outcome) -> list[str]:
    """What the draft would do otherwise, in words; empty: the same."""
    found = []
    for name, words in (
        ("segment", "segment"),
        ("stage", "stage"),
        ("route", "route"),
        ("track", "track"),
        ("pool", "pool"),
        ("assignee", "goes to"),
        ("grade", "grade"),
    ):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            found.append(f"{words}: {_said(old)} → {_said(new)}")
    for name, words in (("engagement", "engagement"), ("fit", "fit")):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            found.append(f"{words}: {_number(old)} → {_number(new)}")
    if before.alerts != after.alerts:
        found.append(f"told at once: {', '.join(before.alerts) or 'nothing'} → {', '.join(after.alerts) or 'nothing'}")
    if before.say != after.say:
        found.append("another message is ready for the rep")
    return found


def _said(value: str | None) -> str:
    return value.replace("_", " ") if value else "none"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def _platform(text: str) -> str:
    """Whose event it is, by its looks."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"this is not JSON: {error}"
        raise BadMessage(msg, code="invalid") from error
    first = data[0] if isinstance(data, list) and data else data
    return "cloudevents" if isinstance(first, dict) and "specversion" in first else "segment"
