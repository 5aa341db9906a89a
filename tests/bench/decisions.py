"""Decisions a second with assignment: every lead is qualified and needs a rep of the pool."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import asyncpg

from schemas.codec import CloudEvent, encode
from schemas.messages import AccountRef, Cause, CurvePart, Fit, LeadScored, PersonRef
from services.cli.first_start import seed
from services.directory.rows import DirectoryStore
from services.migrations.run import migrate
from services.policy.store import PolicyStore
from services.runtime.db import Database
from tests.bench import rig as rigs
from tests.bench.rig import PARTITIONS, end, make_topic
from tests.bench.yardsticks import preload
from tests.e2e.product import free_port

LEADS = 40_000
POSITIONS = (
    "SELECT coalesce(sum(greatest(next_offset, 0)), 0) FROM log.lease WHERE stage = 'router' AND topic = 'lead.scored'"
)


def scored(leads: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of one `lead.scored` message a lead, each of a company of its own."""
    at = datetime.now(UTC)
    for number in range(leads):
        lead_id = hashlib.blake2b(f"lead {number}".encode(), digest_size=16).hexdigest()
        mail = f"head.{number}@company{number}.example"
        data = LeadScored(
            kind="changed",
            lead_id=lead_id,
            version=1,
            as_of=at,
            policy_version=1,
            known=True,
            person=PersonRef(
                email=mail,
                name=f"Head {number}",
                title="Head of Marketing",
                function="marketing",
                level="head",
                role="decision_maker",
            ),
            account=AccountRef(
                domain=f"company{number}.example",
                name=f"Company {number}",
                industry="software",
                employees=120,
                country="FI",
                unlisted=True,
            ),
            fit=Fit(grade="A", score=90.0),
            curve=[CurvePart(signal="webinar.attended", points=60.0, half_life_s=30 * 86400.0)],
            causes=[
                Cause(
                    event_id=hashlib.blake2b(f"event {number}".encode(), digest_size=16).hexdigest(),
                    signal="webinar.attended",
                    occurred_at=at,
                    received_at=at,
                    actor="human",
                )
            ],
        )
        event = CloudEvent(id=f"{lead_id}.1", source="/scoring", type="leadrouter.lead.scored.v1", time=at, data=data)
        yield lead_id.encode(), encode(event)


async def main() -> None:
    """One router on Kafka."""
    print(f"\nDecisions with assignment, {LEADS:,} qualified leads of as many companies, one router, Kafka")
    async with rigs.rig() as r:
        await make_topic(r.bootstrap, "lead.scored")
        await preload(r.bootstrap, "lead.scored", PARTITIONS, scored(LEADS))
        url = await r.fresh_database("decisions")
        db = Database(url)
        await migrate(db)
        await seed(db, PolicyStore(db), DirectoryStore(db))
        await db.close()
        port = free_port()
        process = r.spawn("router", port, url)
        pg = await asyncpg.connect(url)
        began, begun, before = 0.0, 0, {}
        while True:
            done, now = int(await pg.fetchval(POSITIONS)), time.perf_counter()
            if done and not began:
                began, begun, before = now, done, r.cpu_of(process.pid)
            if done >= LEADS:
                break
            if process.poll() is not None:
                raise RuntimeError(r.log_of("router", port))
            await asyncio.sleep(0.01)
        after = r.cpu_of(process.pid)
        counted = LEADS - begun
        cpu = ", ".join(f"{k} {(after[k] - before[k]) / counted * 1e6:.0f}" for k in after)
        assigned = await pg.fetchval("SELECT count(*) FROM router.assignment")
        shares = await pg.fetch("SELECT rep_id, count(*) AS n FROM router.assignment GROUP BY 1 ORDER BY 1")
        print(
            f"  {counted / (now - began):,.0f} decisions/s, {assigned:,} assigned: "
            + ", ".join(f"{s['rep_id']} {s['n']:,}" for s in shares)
        )
        print(f"  CPU µs a decision: {cpu}", flush=True)
        await pg.close()
        end(process)
