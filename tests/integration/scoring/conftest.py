"""The handler of scoring on a real PostgreSQL, fed batch by batch: no loop, no waiting."""

import json
import uuid
from array import array
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.codec import scored_decoder
from schemas.topics import FLOW, LEAD_SCORED, TRACKING_EVENTS
from services.directory.imports import import_accounts, import_team
from services.directory.store import DirectoryCache
from services.eventlog.ports import Batch, Record
from services.eventlog.postgres import PostgresLog
from services.policy.cache import PolicyCache
from services.policy.store import PolicyStore
from services.runtime.clock import SystemClock
from services.runtime.db import Listener
from services.runtime.errors import Conflict
from services.runtime.settings import Settings
from services.scoring.handler.events import ScoringHandler
from services.scoring.store.metrics import Meters

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def iso(at):
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(signal, ids, *, ago=0.0, received=0.0, id_=None, trust="secret", now=None, **data):
    """A tracking message. `ids` as kind=value; times in seconds before now."""
    now = now or datetime.now(UTC)
    at = now - timedelta(seconds=ago)
    body = {
        "specversion": "1.0",
        "id": id_ or str(uuid.uuid4()),
        "source": "/test",
        "type": f"leadrouter.{signal}.v1",
        "time": iso(at),
        "data": {
            "signal": signal,
            "ids": [{"kind": k, "value": v} for k, v in ids.items()],
            "received_at": iso(now - timedelta(seconds=received)),
            "occurred_at": iso(at),
            "trust": trust,
            **data,
        },
    }
    return json.dumps(body).encode()


class Rig:
    """Feeds batches and reads what came out."""

    def __init__(self, db, settings, policies, directory):
        self.db, self.settings, self.policies, self.directory = db, settings, policies, directory
        self.offsets, self.read_to = {}, {}
        self.handlers, self.logs = [], []
        self.handler = self.make()

    def make(self, **more):
        """Another process; `more` goes to the handler."""
        handler = ScoringHandler(
            db=self.db,
            settings=self.settings,
            policies=self.policies,
            directory=self.directory,
            clock=SystemClock(),
            meters=Meters(),
            **more,
        )
        log = PostgresLog(self.settings, self.db, Listener(self.db), f"owner-{uuid.uuid4().hex[:6]}")
        handler.outbox = log.outbox("scoring", "batch", handler.encode)
        self.handlers.append(handler)
        self.logs.append(log)
        return handler

    def batch(self, *values, part=0):
        first = self.offsets.get(part, 0)
        self.offsets[part] = first + len(values)
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        records = [Record(part, first + n, b"k", value, now_ms) for n, value in enumerate(values)]
        return Batch("scoring", TRACKING_EVENTS.name, records, {part: first}, {part: first + len(values)}, {part: 1})

    async def feed(self, *values, part=0, handler=None):
        """One batch through prepare and apply, as the consumer does it."""
        return await self.run(self.batch(*values, part=part), handler)

    async def run(self, batch, handler=None):
        handler = handler or self.handler
        for _ in range(5):
            work = await handler.prepare(batch)
            try:
                await handler.apply(batch, work)
                return work
            except Conflict:
                handler.reset()
        raise AssertionError("conflicts for ever")

    async def scored(self):
        """Messages of lead.scored since the last call, in the order of the log."""
        async with self.db.raw() as pg:
            rows = await pg.fetch(
                "SELECT part, off, key, value FROM log.record WHERE topic = $1 ORDER BY at, part, off", LEAD_SCORED.name
            )
        new = [row for row in rows if (row["part"], row["off"]) not in self.read_to]
        self.read_to.update({(row["part"], row["off"]): True for row in new})
        return [scored_decoder.decode(row["value"]).data for row in new]

    async def counters(self):
        """Profile key (hex) to {(code, day): thousandths}."""
        async with self.db.raw() as pg:
            rows = await pg.fetch("SELECT key, state FROM scoring.profile")
        found = {}
        for row in rows:
            state = array("I", row["state"])
            found[row["key"].hex] = {
                (state[n] & 255, state[n] >> 8): state[n + 1] for n in range(0, len(state), 2) if state[n + 1]
            }
        return found

    async def rows(self, sql, *args):
        async with self.db.raw() as pg:
            return await pg.fetch(sql, *args)

    async def close(self):
        for handler in self.handlers:
            await handler.close()
        for log in self.logs:
            await log.close()


@pytest.fixture
async def rig(database):
    settings = Settings(partitions=2)
    listener = Listener(database)
    await PolicyStore(database).put((EXAMPLES / "policy.yaml").read_text(), "test")
    policies = PolicyCache(database, listener, SystemClock())
    await policies.refresh()
    directory = DirectoryCache(database, listener)
    await import_team(directory.store, (EXAMPLES / "team.yaml").read_text())
    await import_accounts(directory.store, (EXAMPLES / "accounts.csv").read_bytes())
    await directory.refresh()
    log = PostgresLog(settings, database, listener, "owner")
    await log.ensure_topics()
    async with database.raw() as pg:
        for topic in FLOW:
            for part in range(2):
                await pg.execute(
                    "INSERT INTO log.lease (stage, topic, part, owner, epoch, next_offset) VALUES ('scoring', $1, $2, 'owner', 1, 0)"
                    " ON CONFLICT DO NOTHING",
                    topic.name, part,
                )  # fmt: skip
    made = Rig(database, settings, policies, directory)
    await made.handler.keep_partitions()
    yield made
    await made.close()
    await log.close()
