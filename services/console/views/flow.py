"""How far behind is the flow? Leases, lag and rates as operations read them. Pure."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from schemas.topics import FLOW

LATE_S: Final = 30.0  # a stage that is further behind needs somebody
RATE_OVER_S: Final = 60.0
SAMPLES: Final = 120


class StageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One topic with its reader. `seconds` None: nothing was ever handled there."""

    stage: str
    topic: str
    waiting: int
    seconds: float | None
    parts: int
    owners: list[str]
    rate: float | None
    state: str
    words: str


class Rates:
    """Records a second, from the ends of the log as they were seen."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, dict[str, int]]] = deque(maxlen=SAMPLES)

    def take(self, at: float, ends: Mapping[str, Mapping[int, int]]) -> dict[str, float]:
        """Topic to rate since the oldest look of the last minute; empty at the first look.

        Args:
            at: Seconds of a steady clock.
            ends: End of each partition, by topic.
        """
        now = {topic: sum(parts.values()) for topic, parts in ends.items()}
        while self._seen and at - self._seen[0][0] > RATE_OVER_S:
            self._seen.popleft()
        old = self._seen[0] if self._seen else None
        if not self._seen or at - self._seen[-1][0] >= 1.0:
            self._seen.append((at, now))
        if old is None or at - old[0] < 1.0:
            return {}
        return {topic: max(0.0, (end - old[1][topic]) / (at - old[0])) for topic, end in now.items() if topic in old[1]}


def stages(lags: Sequence[Mapping[str, Any]], rates: Mapping[str, float]) -> list[StageRow]:
    """The flow in its order: each topic, who reads it, and how far behind.

    Args:
        lags: `lag_of` of the log.
    """
    found = []
    for topic in FLOW:
        of_it = [one for one in lags if one["topic"] == topic.name]
        waiting = sum(one["records"] or 0 for one in of_it)
        behind = [one["seconds"] for one in of_it if one["seconds"] is not None]
        owners = sorted({one["owner"] for one in of_it if one["owner"]})
        owned = sum(1 for one in of_it if one["owner"])
        seconds = max(behind, default=None)
        state, words = _state(waiting, seconds, len(of_it), owned)
        found.append(
            StageRow(
                stage=topic.reader,
                topic=topic.name,
                waiting=waiting,
                seconds=seconds,
                parts=len(of_it),
                owners=owners,
                rate=rates.get(topic.name),
                state=state,
                words=words,
            )
        )
    return found


def _state(waiting: int, seconds: float | None, parts: int, owned: int) -> tuple[str, str]:
    if parts == 0:
        return "bad", "never read"
    if owned < parts:
        return "bad", f"{parts - owned} of {parts} partitions are read by nobody"
    if seconds is not None and seconds > LATE_S:
        return "bad", "falls behind"
    return ("good", "up to date") if not waiting else ("now", "working")
