"""What does the database know of a batch? Asked before the batches ahead of it are folded, completed when they are."""

from collections.abc import Sequence
from typing import NamedTuple

from services.eventlog.ports import DeadRecord
from services.scoring.core.link import Lead, Link
from services.scoring.core.read import Event
from services.scoring.handler.cache import Cache
from services.scoring.handler.visits import generations
from services.scoring.store import probe
from services.scoring.store.connection import Line


class Named(NamedTuple):
    """What the events of a batch name, as raw ids and keys.

    Attributes:
        ids, side: Event ids by the table that they are in.
        keys, idents: Profiles and links; `new_keys`, `new_idents`: those that are not held and must be looked up.
    """

    ids: list[bytes]
    side: list[bytes]
    keys: set[bytes]
    new_keys: set[bytes]
    idents: set[bytes]
    new_idents: set[bytes]

    @classmethod
    def of(cls, events: Sequence[Event], cache: Cache, bounds: tuple[int, int]) -> "Named":
        """What `events` name. `bounds`: own times, Unix ms, whose events have a partition, from and before."""
        first_ms, last_ms = bounds
        ids: list[bytes] = []
        side: list[bytes] = []
        keys: set[bytes] = set()
        idents: set[bytes] = set()
        for event in events:
            (ids if first_ms <= event.own_ms < last_ms else side).append(event.id)
            keys.add(event.idents[0].key)
            for ident in event.idents:
                idents.add(ident.key)
        return cls(ids, side, keys, keys - cache.profiles.keys(), idents, cache.missing(idents))

    async def look_up(self, line: Line) -> probe.Found:
        """Ask for all that is not held."""
        return await probe.probe(line, self.ids, self.side, self.new_keys, self.new_idents)


class Asked(NamedTuple):
    """A batch that is decoded and looked up.

    Attributes:
        visible: The last batch that the look-up can have seen; what those after it changed is in the cache.
        erasures: How many erasures we knew of when we asked.
    """

    cache: Cache
    seq: int
    visible: int
    erasures: int
    events: list[Event]
    dead: list[DeadRecord]
    named: Named
    found: probe.Found

    async def completed(self, line: Line) -> probe.Found:
        """What was looked up, what is held, and what the batches before, folded by now, show to be needed as well."""
        cache, named, found = self.cache, self.named, self.found
        self._settle()
        cache.settle(found.links, found.leads)
        held, held_leads = cache.held(named.idents - named.new_idents)
        # Since we asked, the longest unused may have been dropped, and a browser may have been passed on.
        keys = named.keys - named.new_keys - cache.profiles.keys()
        idents = named.idents - named.new_idents - held.keys()
        more = generations(self.events, {**found.links, **cache.links})
        keys |= more - cache.profiles.keys()
        idents |= more
        if keys or idents:
            await probe.probe_more(line, found, keys, idents)
            cache.settle(found.links, found.leads)
        found.links.update(held)
        found.leads = {**held_leads, **found.leads}
        return found

    def identities(self) -> tuple[dict[bytes, Link], dict[bytes, Lead]]:
        """Links and leads as looked up, with what batches that the look-up cannot have seen have changed."""
        cache, found = self.cache, self.found
        leads = {**found.leads, **cache.leads}
        # A link whose lead we do not see has been moved by somebody else: what the database says is newer.
        links = {key: link for key, link in cache.links.items() if link.lead in leads}
        return {**found.links, **links}, leads

    def _settle(self) -> None:
        """What the look-up has seen is in flight no more."""
        cache, visible = self.cache, self.visible
        cache.settle(
            {key: link for key, link in cache.links.items() if link.seq <= visible},
            {key: lead for key, lead in cache.leads.items() if lead.seq <= visible},
        )
        cache.links = {key: link for key, link in cache.links.items() if link.seq > visible}
        cache.leads = {key: lead for key, lead in cache.leads.items() if lead.seq > visible}
