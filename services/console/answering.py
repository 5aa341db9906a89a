"""A rep's answer, given by a form: accept, decline with a reason, snooze, won, lost. The same for the inbox and the lead's page."""

from collections.abc import Mapping
from typing import Final, get_args

from services.console.filters import clock
from services.console.rooms import ConsoleRooms
from services.console.views.inbox import taken, until_of
from services.router.core.claim import Asked, Command
from services.router.store.leads import Lead
from services.runtime.access import Identity
from services.runtime.errors import BadMessage, Refused

# What a page may say after a form: a code travels in the address, never words.
SAID: Final[Mapping[str, str]] = {
    "accepted": "It is yours. Say hello while it is warm.",
    "declined": "Declined. Thank you for the reason: it makes scoring better.",
    "won": "Won. Well done.",
    "lost": "Lost. Thank you for telling: it makes scoring better.",
    "seen": "Marked as seen.",
    "kept": "Your words are kept.",
    "stale": "This offer is no longer open.",
    "invalid": "That answer was not understood; nothing was done.",
}
_DONE: Final[Mapping[str, str]] = {"accept": "accepted", "decline": "declined", "won": "won", "lost": "lost"}


class Answering:
    """Gives answers to the router and says in words what came of them."""

    def __init__(self, rooms: ConsoleRooms) -> None:
        self._rooms = rooms

    def names(self) -> dict[str, str]:
        """Rep ids to first names."""
        return {rep.id: (rep.name.split() or [rep.id])[0] for rep in self._rooms.directory.view.reps.values()}

    def zone(self, rep: str | None) -> str:
        """The time zone of a rep."""
        found = self._rooms.directory.view.rep(rep) if rep else None
        return found.timezone if found is not None else "UTC"

    async def give(self, identity: Identity, rep: str, lead_id: str, fields: Mapping[str, str]) -> tuple[str, str]:
        """Do what the form asks.

        Args:
            rep: In whose place; the same as the identity's, unless an admin answers.
            fields: `answer` (`accept`, `decline:<reason>`, `snooze:<how long>`, `won`, `lost:<reason>`), `assignment`, `gen`.

        Returns:
            A code, and words for people.
        """
        word, _, detail = fields.get("answer", "").partition(":")
        gen = fields.get("gen", "")
        if word not in get_args(Command) or not fields.get("assignment") or not gen.isdigit() or len(gen) > 9:
            return "invalid", SAID["invalid"]
        command: Command = next(one for one in get_args(Command) if one == word)
        reason = (detail[:64] or None) if command in ("decline", "lost") else None
        asked = Asked(
            command=command,
            assignment_id=fields["assignment"].lower()[:64],
            gen=int(gen),
            rep=identity.rep if identity.role == "rep" else None,
            reason=reason,
            until=until_of(detail, self._rooms.clock.now(), self.zone(rep)) if word == "snooze" else None,
        )
        return await self._given(identity, rep, lead_id, asked)

    async def _given(self, identity: Identity, rep: str, lead_id: str, asked: Asked) -> tuple[str, str]:
        leads = self._rooms.router.leads

        def may_see(lead: Lead) -> bool:
            return leads.sees(identity, lead.assignee, lead.pool)

        try:
            answered = await self._rooms.router.answers.give(lead_id, asked, may_see)
        except BadMessage:
            return "invalid", SAID["invalid"]
        except Refused as error:
            if error.code not in ("already_taken", "stale_assignment", "not_found"):
                raise
            holder = await self._rooms.router.desk.holder(lead_id)
            if holder is not None and holder.rep != rep:
                return "taken", taken(holder, holder.rep, self.names(), self._rooms.clock.now())
            return "stale", SAID["stale"]
        if asked.command == "snooze" and asked.until is not None:
            return "snoozed", f"Snoozed until {clock(answered.snoozed_until or asked.until, self.zone(rep))}."
        code = _DONE[asked.command]
        return code, SAID[code]
