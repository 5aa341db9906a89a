"""May we call again now? At most so many calls in any ten seconds, for each source by itself."""

from collections import deque
from typing import Final

WINDOW_S: Final = 10.0
RETRY_MAX_S: Final = 600.0


class Pace:
    """The calls of the last window, by source. A bucket that fills up again would let twice as many through in a window.

    Args:
        most: Calls of one source in any `WINDOW_S` seconds.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls: dict[str, deque[float]] = {}

    def take(self, source: str, now: float) -> float:
        """Seconds until the source may call; 0: it may, and this call is counted."""
        calls = self._calls.setdefault(source, deque(maxlen=self._most))
        if len(calls) == self._most and (wait := calls[0] + WINDOW_S - now) > 0:
            return wait
        calls.append(now)
        return 0.0

    def keep(self, sources: set[str]) -> None:
        """Forget the others."""
        self._calls = {source: calls for source, calls in self._calls.items() if source in sources}


def rest(asked_s: float | None, otherwise_s: float) -> float:
    """Seconds to leave a platform alone: what it asked for, from 1 s to 10 minutes; `otherwise_s` when it asked for nothing."""
    return min(max(otherwise_s if asked_s is None else asked_s, 1.0), RETRY_MAX_S)
