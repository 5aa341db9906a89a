"""Which batches are decided and not written yet? While one is written the next is decided upon what it will leave."""

import asyncio

import msgspec

from services.eventlog.ports import DeadRecord
from services.router.commands.commit import Parcel
from services.router.commands.desk import Desk
from services.router.handler.intake import Scored
from services.router.store.left import Left


class Decision(msgspec.Struct, frozen=True):
    """What was decided of a batch. `left` None: what comes of it cannot be foreseen, so nothing is decided upon it."""

    desk: Desk
    parcel: Parcel
    left: Left | None


class Work:
    """A batch on its way, decoded.

    Attributes:
        decision: Made ahead; None: it is decided when it is applied.
        upon: The batches that were not written yet when this one was decided, oldest first.
        begun, landed: It is being applied; it is committed. `over`: applying has ended, well or not.
        void: What was decided ahead does not hold any more.
    """

    def __init__(self, scored: list[Scored], dead: list[DeadRecord]) -> None:
        self.scored = scored
        self.dead = dead
        self.decision: Decision | None = None
        self.upon: list[Work] = []
        self.begun = self.landed = self.void = False
        self.over = asyncio.Event()

    @property
    def left(self) -> Left | None:
        """What the batch will leave, if that is known."""
        return self.decision.left if self.decision is not None and not self.void else None

    @property
    def holds(self) -> Decision | None:
        """What was decided ahead, if everything that it was decided upon has come true."""
        return self.decision if not self.void and all(work.landed for work in self.upon) else None


class Flights:
    """The batches between `prepare` and the end of `apply`, oldest first.

    Attributes:
        generation: Rises when something has changed that no batch in flight knows of.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._works: list[Work] = []

    async def ahead(self) -> list[Work] | None:
        """The batches that the next one is to be decided upon; None when it has to wait until it is applied.

        A batch of which nobody knows what it will leave is waited for, if it is being written.
        """
        while True:
            unclear = next((work for work in self._works if work.left is None), None)
            if unclear is None:
                return list(self._works)
            if not unclear.begun:
                return None
            await unclear.over.wait()

    def take_off(self, work: Work, generation: int) -> None:
        """A batch is prepared; `generation` is of the time when that began."""
        work.void = generation != self.generation
        self._works.append(work)

    def begin(self, work: Work) -> None:
        """A batch is being applied."""
        work.begun = True
        if work.left is not None:
            work.left.begun = True

    def land(self, work: Work) -> None:
        """A batch is committed. What it has left is what was foreseen, or else nothing may stand upon it."""
        work.landed = True
        self._end(work)

    def drop(self) -> None:
        """Whatever was decided ahead does not hold any more."""
        self.generation += 1
        for work in self._works:
            work.void = True

    def crash(self, work: Work) -> None:
        """A batch was not written."""
        self.drop()
        self._end(work)

    def clear(self) -> None:
        """Nothing that is in flight is coming."""
        self.drop()
        for work in list(self._works):
            self._end(work)

    def _end(self, work: Work) -> None:
        if work in self._works:
            self._works.remove(work)
        work.over.set()
        if work.decision is not None and work.decision.left is not None:
            work.decision.left.over.set()
