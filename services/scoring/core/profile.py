"""One identifier's counters and evidence, unpacked for folding. Points belong to identifiers; a lead is a set of them."""

from array import array
from typing import Any

from services.scoring.core import bursts, traits
from services.scoring.core.counters import TYPE, add, index_of

PENDING_MOST = 2_000_000_000  # fits the column


class Profile:
    """A profile in memory: what is stored, plus indexes that are made when first needed.

    Attributes:
        version: Of the stored row; 0 while there is none. Guards the row against two writers.
        pending: Engagement gained since the last message about it, in thousandths of a point.
        minute, minute_n: The last minute (since 1970) in which an event came, and how many came in it, as far as we saw.
        used: Number of the batch that used it last; the cache forgets the longest unused.
        dirty: Something must be written.
    """

    __slots__ = (
        "_mails", "_mails_packed", "_traits", "_traits_packed", "dirty", "index", "key", "kind", "minute", "minute_n", "pending", "seen_day",
        "state", "used", "value", "version",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 the columns of the row, in their order
        self,
        key: bytes,
        kind: int,
        value: str,
        version: int = 0,
        seen_day: int = 0,
        pending: int = 0,
        state: bytes = b"",
        packed_traits: bytes | None = None,
        packed_mails: bytes | None = None,
    ) -> None:
        self.key = key
        self.kind = kind
        self.value = value
        self.version = version
        self.seen_day = seen_day
        self.pending = pending
        self.state: array[int] = array(TYPE, state)
        self.index = index_of(self.state)
        self._traits_packed = packed_traits
        self._traits: traits.Traits | None = None
        self._mails_packed = packed_mails
        self._mails: bursts.Mails | None = None
        self.used = 0
        self.dirty = False
        self.minute = 0
        self.minute_n = 0

    def add(self, counter: int, thousandths: int) -> tuple[int, int]:
        """Add to a counter; returns it before and after."""
        self.dirty = True
        return add(self.state, self.index, counter, thousandths)

    def gain(self, millipoints: float) -> None:
        """Engagement moved by so much since it was last told."""
        pending = self.pending + int(millipoints)
        if not -PENDING_MOST < pending < PENDING_MOST:
            pending = max(-PENDING_MOST, min(PENDING_MOST, pending))
        self.pending = pending

    def learn(self, wire: Any, *, verified: bool, at: int) -> bool:
        """Take the facts of an event; returns whether one changed."""
        if self._traits is None:
            self._traits = traits.unpack(self._traits_packed)
        before = dict(self._traits)
        changed = traits.learn(self._traits, wire.traits, wire.account, verified=verified, at=at)
        if before != self._traits:
            self._traits_packed = None
            self.dirty = True
        return changed

    @property
    def traits(self) -> traits.Traits:
        """The facts known of this identifier."""
        if self._traits is None:
            self._traits = traits.unpack(self._traits_packed)
        return self._traits

    @property
    def mails(self) -> bursts.Mails:
        """Evidence on mails; call `mails_changed` after changing it."""
        if self._mails is None:
            self._mails = bursts.unpack(self._mails_packed)
        return self._mails

    def mails_changed(self) -> None:
        """The evidence was changed in place."""
        self._mails_packed = None
        self.dirty = True

    def packed_traits(self) -> bytes | None:
        """Traits for storing."""
        if self._traits_packed is None and self._traits:
            self._traits_packed = traits.pack(self._traits)
        return self._traits_packed

    def packed_mails(self) -> bytes | None:
        """Evidence for storing."""
        if self._mails_packed is None and self._mails:
            bursts.bounded(self._mails)
            self._mails_packed = bursts.pack(self._mails)
        return self._mails_packed
