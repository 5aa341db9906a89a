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
from tests.bench.rig import PARTITIONS, Rig, end, make_topic
from tests.bench.yardsticks import preload
from tests.e2e.product import free_port

LEADS = 100_000
POSITIONS = (
    "SELECT coalesce(sum(greatest(next_offset, 0)), 0) FROM log.lease WHERE stage = 'router' AND topic = 'lead.scored'"
)

# Routers that have written something under their own lease.
OWNERS = """SELECT count(DISTINCT owner) FROM log.lease
 WHERE stage = 'router' AND topic = 'lead.scored' AND next_offset > 0 AND expires_at > clock_timestamp()"""


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


async def one(r: Rig, title: str, routers: int) -> None:
    """So many routers on the same leads, in a database of their own."""
    url = await r.fresh_database(f"decisions_{routers}")
    db = Database(url)
    await migrate(db)
    await seed(db, PolicyStore(db), DirectoryStore(db))
    await db.close()
    ports = [free_port() for _ in range(routers)]
    workers = [r.spawn("router", port, url) for port in ports]
    pids = [worker.pid for worker in workers]
    pg = await asyncpg.connect(url)
    began, begun, before = 0.0, 0, {}
    while True:
        done, now = int(await pg.fetchval(POSITIONS)), time.perf_counter()
        # Counted from when every router has got going: how long it takes to start is not the question.
        if not began and done and await pg.fetchval(OWNERS) == routers:
            began, begun, before = now, done, r.cpu_of(*pids)
        if done >= LEADS:
            break
        if any(worker.poll() is not None for worker in workers):
            raise RuntimeError("".join(r.log_of("router", port) for port in ports))
        await asyncio.sleep(0.01)
    after = r.cpu_of(*pids)
    counted = LEADS - begun
    cpu = ", ".join(f"{k} {(after[k] - before[k]) / counted * 1e6:.0f}" for k in after)
    assigned = await pg.fetchval("SELECT count(*) FROM router.assignment")
    shares = await pg.fetch("SELECT rep_id, count(*) AS n FROM router.assignment GROUP BY 1 ORDER BY 1")
    print(
        f"  {title:12s} {counted / (now - began):>6,.0f} decisions/s, {assigned:,} assigned: "
        + ", ".join(f"{s['rep_id']} {s['n']:,}" for s in shares)
        + f"; CPU µs a decision: {cpu}",
        flush=True,
    )
    await pg.close()
    for worker in workers:
        end(worker)


async def main() -> None:
    """One router and two, on Kafka."""
    print(f"\nDecisions with assignment, {LEADS:,} qualified leads of as many companies, Kafka")
    async with rigs.rig() as r:
        await make_topic(r.bootstrap, "lead.scored")
        await preload(r.bootstrap, "lead.scored", PARTITIONS, scored(LEADS))
        await one(r, "one router", 1)
        await one(r, "two routers", 2)
