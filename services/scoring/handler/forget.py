"""Who asked to be forgotten, and who was parted by hand? Later events are dropped, or join nobody."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Final

from schemas.messages import ID_KINDS
from services.scoring.core.emit import EmitIn
from services.scoring.core.fold import DELETED
from services.scoring.core.identity import ANONYMOUS, Ident
from services.scoring.core.read import Event
from services.scoring.store import erase, probe, split
from services.scoring.store.connection import Line

HASH_BYTES: Final = 16
REMEMBERED_MAX: Final = 300_000

# In the transaction of the first argument, forgets whoever has these (kind, value).
Elsewhere = Callable[[Any, Sequence[tuple[str, str]]], Awaitable[None]]


class Forgotten:
    """The list of those who asked to be forgotten; they are known only by a keyed hash. And of leads to be kept apart.

    Args:
        elsewhere: Forgets the same person where other rooms keep something of theirs.

    Attributes:
        erasures: How many changes of these lists we have seen; a batch folded under older ones is refused by the database.
        apart: Pairs of leads that somebody parted by hand.
        count: Identifiers on the list.
    """

    def __init__(self, elsewhere: Elsewhere | None = None) -> None:
        self._elsewhere = elsewhere
        self.erasures = 0
        self.apart: frozenset[frozenset[bytes]] = frozenset()
        self._known = False
        self._secret = b""
        self._hashes: set[bytes] = set()
        self._hash_of: dict[bytes, bytes] = {}

    def changed(self) -> None:
        """Read the list again before the next batch."""
        self._known = False

    async def refresh(self, line: Line) -> None:
        """Read the list if it may have changed."""
        if not self._known:
            self._known = True
            self._secret, self.erasures, hashes = await probe.suppressed(line)
            self.apart = frozenset(map(frozenset, await split.apart(line)))
            self._hashes = set(hashes)

    def expect(self, events: Iterable[Event]) -> None:
        """What is about to be forgotten counts as forgotten for the whole batch, and those after it."""
        for event in events:
            if event.signal == DELETED:
                self._hashes.update(self._hash(ident) for ident in event.idents if ident.strong)

    @property
    def count(self) -> int:
        """How many identifiers are on the list."""
        return len(self._hashes)

    def holds(self, ident: Ident) -> bool:
        """Whether events that name this identifier are dropped. Browsers are not on the list: they have no name."""
        return ident.strong and self._hash(ident) in self._hashes

    async def erase(self, pg: Any, event: Event) -> list[tuple[EmitIn, bytes]]:
        """Forget the person that a `person.deleted` names, in the caller's transaction.

        Returns:
            What to tell the router of each lead, and the packed lead and version.
        """
        gone = await erase.erase(pg, [ident.key for ident in event.idents])
        names = {(ident.kind, ident.value) for ident in event.idents} | set(gone.members)
        hashes = [self._made(kind, value) for kind, value in names if kind != ANONYMOUS]
        if self._elsewhere is not None:
            await self._elsewhere(pg, [(ID_KINDS[kind], value) for kind, value in sorted(names)])
        await erase.finish(pg, event.envelope_id, hashes, gone)
        return [
            (EmitIn("erased", lead, event.received_ms, False, None, None, []), lead + version.to_bytes(8))
            for lead, version in gone.leads
        ]

    def _hash(self, ident: Ident) -> bytes:
        found = self._hash_of.get(ident.key)
        if found is None:
            if len(self._hash_of) > REMEMBERED_MAX:
                self._hash_of.clear()
            found = self._hash_of[ident.key] = self._made(ident.kind, ident.value)
        return found

    def _made(self, kind: int, value: str) -> bytes:
        return blake2b(f"{ID_KINDS[kind]}|{value}".encode(), digest_size=HASH_BYTES, key=self._secret).digest()
