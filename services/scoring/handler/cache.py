"""What does this process remember between batches? Nothing here is the truth: the database is."""

from collections import deque
from typing import Final

from services.scoring.core.link import Lead, Link
from services.scoring.core.profile import Profile

CACHE_MAX: Final = 300_000  # profiles; about 600 B each
KEPT_BATCHES: Final = 4  # batches whose events a look-up may not see yet


class Cache:
    """What this process remembers. Replaced as a whole when it may be wrong.

    Attributes:
        links, leads: Changed by batches in flight; a look-up that began before they committed does not see them.
        recent: Event ids of the last batches.
        touched: Batch to the profiles that it used, oldest first: the order of forgetting.
    """

    def __init__(self) -> None:
        self.profiles: dict[bytes, Profile] = {}
        self.links: dict[bytes, Link] = {}
        self.leads: dict[bytes, Lead] = {}
        self.recent: deque[frozenset[bytes]] = deque(maxlen=KEPT_BATCHES)
        self.touched: deque[tuple[int, list[bytes]]] = deque()

    def forget(self, seq: int) -> None:
        """Drop the longest unused profiles above the limit, never one that a batch in flight holds."""
        while len(self.profiles) > CACHE_MAX and self.touched and self.touched[0][0] < seq - KEPT_BATCHES:
            batch, keys = self.touched.popleft()
            for key in keys:
                profile = self.profiles.get(key)
                if profile is not None and profile.used == batch:
                    del self.profiles[key]
