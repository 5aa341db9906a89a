"""`make bench`: prints the tables. `python -m tests.bench --help` says which parts there are."""

import argparse
import asyncio

from tests.bench import console, decisions, deliveries, ingest, latency, restart, scoring, sources, steps

PARTS = {
    "scoring": lambda full: scoring.main(full=full),
    "steps": lambda _: steps.main(),
    "restart": lambda _: restart.main(),
    "latency": lambda _: latency.main(),
    "ingest": lambda _: ingest.main(),
    "sources": lambda _: sources.main(),
    "decisions": lambda _: decisions.main(),
    "deliveries": lambda _: deliveries.main(),
    "console": lambda _: console.main(),
}

parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
parser.add_argument("part", nargs="*", choices=[*PARTS, []], help="which; all of them when none is named")
parser.add_argument(
    "--full", action="store_true", help="scoring: also 1.2 million records, 90 days, cold keys, two workers"
)
chosen = parser.parse_args()
for part in chosen.part or PARTS:
    asyncio.run(PARTS[part](chosen.full))
