"""What will a batch leave that is decided but not written yet? The next one is decided upon that.

What is laid over goes by revisions, as everything else does: if the batch is not written after all, what was decided upon
it does not fit the database either. Its owner (`handler/flight.py`) sees to it that nobody tries.
"""

import asyncio
from collections.abc import Collection, Mapping

import msgspec

from services.router.store.batch import Account, Free, Seen, Write
from services.router.store.leads import Lead
from services.router.store.pools import PoolState


class NotYet(Exception):
    """It cannot be decided before what is decided already is written."""


class Left:
    """What a write leaves: made when its arguments are, since that moves the revisions.

    Attributes:
        begun: It is being written; `over` is set when that has ended, well or not.
    """

    def __init__(self, write: Write) -> None:
        self.begun = False
        self.over = asyncio.Event()
        self._leads: Mapping[str, Lead] = {lead.id: lead for lead in write.leads}
        self._seen: set[Seen] = {(event_id, reversed_) for event_id, reversed_, _ in write.causes}
        self._accounts = {domain: Account(rep, there=True) for domain, (_, rep) in write.reps.items()}
        self._pools = {name: msgspec.structs.replace(state, rev=state.rev + 1) for name, state in write.pools.items()}

    async def written(self) -> None:
        """Wait until writing it has ended.

        Raises:
            NotYet: Nobody has begun.
        """
        if not self.begun:
            raise NotYet
        await self.over.wait()

    def over_leads(self, found: dict[str, Lead], ids: Collection[str]) -> None:
        """Lay its leads over those that a look-up has found."""
        for lead_id in self._leads.keys() & ids:
            lead, there = self._leads[lead_id], found.get(lead_id)
            if there is None or there.rev < lead.rev:
                found[lead_id] = _lead(lead)

    def seen(self, events: Collection[Seen]) -> set[Seen]:
        """Those of the events that it has looked at."""
        return self._seen.intersection(events)

    def over_free(self, found: Free) -> None:
        """Lay its accounts and pools over those that a look-up has found. Loads are not its business."""
        for domain in self._accounts.keys() & found.accounts.keys():
            found.accounts[domain] = self._accounts[domain]
        for name in self._pools.keys() & found.pools.keys():
            if found.pools[name].rev < self._pools[name].rev:
                found.pools[name] = _pool(self._pools[name])


def _lead(lead: Lead) -> Lead:
    """A lead of its own: deciding changes it and its memory, whose parts are only ever replaced."""
    return msgspec.structs.replace(lead, memory=msgspec.structs.replace(lead.memory))


def _pool(state: PoolState) -> PoolState:
    return PoolState(dict(state.credits), dict(state.last), state.day, dict(state.given), state.rev)
