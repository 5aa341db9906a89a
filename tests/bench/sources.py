"""What a vendor's event costs in ingest: read, and mapped to our message, in µs an event; beside it a Segment track call.

One core, no I/O. The payloads are the own examples of the tests, so batches are as small as a webhook's usually are.
"""

import time

from schemas.codec import encode
from services.ingest.core.mapping import Facts, to_event
from services.ingest.core.spelling import Speller
from services.ingest.sources.base import Limits
from services.ingest.sources.registry import PLATFORMS
from tests.unit.ingest.sources.examples import EXAMPLES, Example
from tests.unit.ingest.sources.reading import NOW, arrival

SECONDS = 0.15
LIMITS = Limits()
FACTS = Facts(source="/sources/bench", trust="secret", received_at=NOW)


def cost_us(example: Example, speller: Speller) -> float:
    """µs for one event of the example: parse, map, encode."""
    platform, request = PLATFORMS[example.platform], arrival(example.body, example.headers)
    events = 0
    started = time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        for _, seen in platform.parse(request, LIMITS).seen:
            encode(to_event(seen, FACTS, speller))
            events += 1
    return (time.perf_counter() - started) / events * 1e6


async def main() -> None:
    """Print the table: the dearest example of each platform."""
    speller = Speller()
    worst: dict[str, float] = {}
    for example in EXAMPLES:
        if example.signals:
            worst[example.platform] = max(worst.get(example.platform, 0.0), cost_us(example, speller))
    base = worst["segment"]
    print("\n## Sources: read and map one event\n\n| platform | µs an event | against a Segment call |\n|---|---|---|")
    for platform, cost in sorted(worst.items(), key=lambda pair: pair[1]):
        print(f"| {platform} | {cost:.0f} | {cost / base:.1f} |")
