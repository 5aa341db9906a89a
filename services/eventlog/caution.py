"""May a stage read without locks? As long as nobody else writes what it reads: who meets others locks for a while.

To read, decide and write only if all still stands as it was read costs nothing while that comes true. Two replicas that
give leads to the same reps, or write to the same inboxes, would undo each other's batches over and over: each conflict
costs the batch and what was decided ahead of it. They wait for each other instead, and now and then try again without.
"""

from typing import Final

# A conflict makes the stretch so many times longer; the longest is a minute or so of full batches.
GROWTH: Final = 16
STRETCH_MAX: Final = 256


class Caution:
    """How many of the coming batches are decided under locks."""

    def __init__(self) -> None:
        self._left = 0
        self._stretch = 1

    @property
    def wary(self) -> bool:
        """Lock before looking: then a write cannot fail because of others."""
        return self._left > 0

    def doubt(self) -> None:
        """A batch has failed, or somebody else may have written: the next one locks."""
        self._left = max(1, self._left)

    def conflict(self) -> None:
        """Somebody else did write what a batch had read: the next ones lock, more of them each time it happens again."""
        self._stretch = min(STRETCH_MAX, self._stretch * GROWTH)
        self._left = max(self._stretch, self._left)

    def done(self) -> None:
        """A batch is written."""
        if self._left:
            self._left -= 1
        else:
            self._stretch = max(1, self._stretch // 2)
