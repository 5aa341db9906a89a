"""What does this process remember between batches? Nothing here is the truth: the database is."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from services.scoring.core.fold import Row
from services.scoring.core.identity import ANONYMOUS
from services.scoring.core.link import Lead, Link
from services.scoring.core.profile import Profile

CACHE_MAX: Final = 300_000  # profiles; about 600 B each
KEPT_BATCHES: Final = 4  # batches whose events a look-up may not see yet


class Cache:
    """What this process remembers. Replaced as a whole when it may be wrong.

    Attributes:
        links, leads: Changed by batches in flight; a look-up that began before they committed does not see them.
        settled, settled_leads: Links of strong identifiers, and leads, as the database had them when we last looked. Like
            profiles they may be out of date when another process writes: whatever is told or changed of a lead is
            written only if its shape is still the same. Browsers are looked up each time: their turns move no shape.
        recent: Event ids of the last batches, their own and those that they met again. `unnamed`: those that were nobody's.
        touched: Batch to the profiles that it used, oldest first: the order of forgetting.
    """

    def __init__(self) -> None:
        self.profiles: dict[bytes, Profile] = {}
        self.links: dict[bytes, Link] = {}
        self.leads: dict[bytes, Lead] = {}
        self.settled: dict[bytes, Link] = {}
        self.settled_leads: dict[bytes, Lead] = {}
        self.erasures = -1
        self.recent: set[bytes] = set()
        self._of_batches: deque[set[bytes]] = deque()
        self.unnamed: deque[list[Row]] = deque(maxlen=KEPT_BATCHES)
        self.touched: deque[tuple[int, list[bytes]]] = deque()

    def settle(self, links: Mapping[bytes, Link], leads: Mapping[bytes, Lead]) -> None:
        """Keep what the database shows."""
        if len(self.settled) > CACHE_MAX or len(self.settled_leads) > CACHE_MAX:
            self.unsettle()
        self.settled_leads.update(leads)
        self.settled.update((key, link) for key, link in links.items() if link.kind != ANONYMOUS)

    def unsettle(self) -> None:
        """Look up all links and leads anew."""
        self.settled.clear()
        self.settled_leads.clear()

    def missing(self, keys: Iterable[bytes]) -> set[bytes]:
        """Those of which `held` will know nothing, unless it is told."""
        settled, leads = self.settled, self.settled_leads
        return {key for key in keys if (link := settled.get(key)) is None or link.lead not in leads}

    def held(self, keys: Iterable[bytes]) -> tuple[dict[bytes, Link], dict[bytes, Lead]]:
        """What need not be looked up."""
        links: dict[bytes, Link] = {}
        leads: dict[bytes, Lead] = {}
        settled, settled_leads = self.settled, self.settled_leads
        for key in keys:
            link = settled.get(key)
            if link is None:
                continue
            lead = settled_leads.get(link.lead)
            if lead is None:
                continue
            if lead.merged_into is not None:
                chain = self._chain(link)
                if chain is None:
                    continue
                leads.update((one.id, one) for one in chain)
            links[key] = link
            leads[lead.id] = lead
        return links, leads

    def _chain(self, link: Link) -> list[Lead] | None:
        """The link's lead and those that it was merged into, if all are here."""
        chain: list[Lead] = []
        at: bytes | None = link.lead
        while at is not None:
            lead = self.settled_leads.get(at)
            if lead is None:
                return None
            chain.append(lead)
            at = lead.merged_into
        return chain

    def note(self, ids: set[bytes]) -> None:
        """The event ids of a batch, in place of those of the oldest: look-ups see the latter by now."""
        self.recent |= ids
        self._of_batches.append(ids)
        if len(self._of_batches) > KEPT_BATCHES:
            self.recent -= self._of_batches.popleft()

    def forget(self, seq: int) -> None:
        """Drop the longest unused profiles above the limit, never one that a batch in flight holds."""
        while len(self.profiles) > CACHE_MAX and self.touched and self.touched[0][0] < seq - KEPT_BATCHES:
            batch, keys = self.touched.popleft()
            for key in keys:
                profile = self.profiles.get(key)
                if profile is not None and profile.used == batch:
                    del self.profiles[key]
