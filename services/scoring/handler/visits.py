"""What did the visitors behind these browsers do, before somebody could name them?"""

from collections.abc import Mapping, Sequence
from typing import Final

from services.scoring.core import material
from services.scoring.core.emit import CauseIn
from services.scoring.core.identity import ANONYMOUS, Names, generation_key
from services.scoring.core.link import Link
from services.scoring.core.read import Event
from services.scoring.handler.cache import Cache
from services.scoring.store import probe
from services.scoring.store.connection import Line

JUST_NOW_MS: Final = 120_000  # a visitor's acts that a new lead is told with


async def just_now(
    line: Line, cache: Cache, events: Sequence[Event], links: Mapping[bytes, Link], names: Names
) -> dict[bytes, Sequence[CauseIn]]:
    """What visitors that are about to become known did in the last two minutes, batches in flight included."""
    keys: set[bytes] = set()
    since = 0
    for event in events:
        last = event.idents[-1]
        if len(event.idents) > 1 and last.kind == ANONYMOUS and last.key not in links:
            keys.add(last.key)
            since = max(since, event.received_ms - JUST_NOW_MS)
    if not keys:
        return {}
    found: Mapping[bytes, Sequence[CauseIn]] = await probe.recent(line, keys, since, names)
    rows = [row for batch in cache.unnamed for row in batch if row.event.received_ms >= since]
    return material.with_visits(found, rows, keys)


def generations(events: Sequence[Event], links: Mapping[bytes, Link]) -> set[bytes]:
    """Keys of the persons that these browsers were passed on to."""
    keys: set[bytes] = set()
    for event in events:
        last = event.idents[-1]
        if last.kind == ANONYMOUS:
            link = links.get(last.key)
            if link is not None and link.turns:
                keys.update(generation_key(last.value, number) for number in range(1, len(link.turns) + 1))
    return keys
