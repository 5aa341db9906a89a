"""Whose turn is it, when several stages share one process? While little waits, the batch that has come furthest.

Stages that all work at once, each on a batch of one or two, share one thread of Python: every one of them takes as long as
all together, and a message waits for all of them at each stage. One after the other a batch reaches the end in the time
that its own work takes, and what comes meanwhile makes one batch instead of many. So a reader holds a small batch back
until what it gave last is done and the stages behind it have nothing to do. Never for long: whoever is slow, or stands
still, slows nobody down who has much to do.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

# Longer than a small batch takes from the first stage to the last, even on a busy machine; shorter than anybody notices.
HOLD_S: Final = 0.05
# So many records are worth a batch of their own.
SMALL: Final = 64


class Paced(Protocol):
    """A reader, as the others see it."""

    @property
    def topic(self) -> str:
        """What it reads."""
        ...

    def done(self) -> bool:
        """All that it gave is committed."""
        ...

    def idle(self) -> bool:
        """So it is, and nothing else waits, as far as it knows."""
        ...

    def pressed(self) -> bool:
        """More waits than a small batch."""
        ...


class Pace:
    """The readers of one process.

    Args:
        flow: Topics in the order of the stages that read them.
    """

    def __init__(self, flow: Sequence[str]) -> None:
        self._place = {topic: place for place, topic in enumerate(flow)}
        self._readers: list[Paced] = []
        self._holding: set[asyncio.Future[None]] = set()

    def join(self, reader: Paced) -> None:
        """One more reads."""
        self._readers.append(reader)

    def leave(self, reader: Paced) -> None:
        """One reads no more."""
        self._readers = [one for one in self._readers if one is not reader]
        self.moved()

    def moved(self) -> None:
        """Something is done, or presses: whoever holds back looks again."""
        for one in self._holding:
            if not one.done():
                one.set_result(None)

    async def turn(self, reader: Paced) -> None:
        """Returns when it is the reader's turn."""
        if self._clear(reader):
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + HOLD_S
        while not self._clear(reader) and (left := end - loop.time()) > 0:
            moved: asyncio.Future[None] = loop.create_future()
            self._holding.add(moved)
            try:
                await asyncio.wait((moved,), timeout=left)
            finally:
                self._holding.discard(moved)

    def _clear(self, reader: Paced) -> bool:
        if reader.pressed():
            return True
        place = self._place[reader.topic]
        behind = (one for one in self._readers if self._place[one.topic] > place)
        return reader.done() and all(one.idle() for one in behind)
