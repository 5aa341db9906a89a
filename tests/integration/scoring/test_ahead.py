"""Two batches ahead: small batches of people who come again and again, each looked up before those before it are written."""

import asyncio
import random
from datetime import UTC, datetime

import pytest

from schemas.codec import Message
from schemas.topics import TRACKING_EVENTS
from services.runtime.errors import Conflict
from services.scoring.core.identity import generation_key, profile_key
from tests.chaos import traffic
from tests.chaos.verify import verify_scoring
from tests.integration.scoring.conftest import event
from tests.integration.scoring.test_service import Running

BATCH = 12
POSITIONS = """
SELECT coalesce(sum(greatest(next_offset, 0)), 0) FROM log.lease WHERE stage = 'scoring' AND topic = 'tracking.events'"""


@pytest.fixture
async def far_behind(rig):
    """A running stage with 1,500 records of 40 people before it, none of them read."""
    async with rig.db.raw() as pg:
        await pg.execute("DELETE FROM log.lease")
    made = Running(rig.db, batch_max_records=BATCH)
    made.traffic = traffic.make(1500, 11, people=40)
    yield made
    await made.stop()
    assert made.failed == []


class Watched:
    """Counts the batches that are on their way; lets some conflict.

    Attributes:
        looked_up: The most batches that were on their way, not written, when one was looked up.
    """

    def __init__(self, handler, conflicts):
        self.handler = handler
        self.draw = random.Random(5)
        self.conflicts = conflicts
        self.looked_up = 0
        self._read, self._apply, self._fold = handler._read, handler.apply, handler._fold
        handler._read, handler.apply, handler._fold = self.read, self.apply, self.fold

    async def read(self, batch):
        asked = await self._read(batch)
        self.looked_up = max(self.looked_up, asked.seq - self.handler._done_seq)
        return asked

    async def fold(self, *arguments):
        done = await self._fold(*arguments)
        self.maybe("what was folded is stale")
        return done

    async def apply(self, batch, work):
        self.maybe("what is to be written is stale")
        await self._apply(batch, work)

    def maybe(self, what):
        if self.draw.random() < self.conflicts:
            raise Conflict(what)


@pytest.mark.parametrize("conflicts", [0.0, 0.08])
async def test_all_counts_once_and_in_order(far_behind, conflicts):
    running = far_behind
    await running.open()
    await running.log.writer().publish(running.traffic.messages)
    watched = Watched(running.service.handler, conflicts)
    await running.start()
    await all_scored(running, len(running.traffic.messages))
    assert watched.looked_up >= 3, "no batch was looked up while two before it were on their way"
    await verify_scoring(running.db, running.log, running.policies.active, running.traffic.poison)


async def test_a_browser_that_changes_hands_keeps_its_visits_apart(far_behind):
    """Who has it now is learnt in one batch; visits follow a few batches later, and nothing about the person between."""
    running = far_behind
    draw = random.Random(7)
    now = datetime.now(UTC)
    of_browser = []
    for number in range(60):
        browser = f"kiosk-{number}"
        first, second = (
            {"user": f"first-{number}", "anonymous": browser},
            {"user": f"second-{number}", "anonymous": browser},
        )
        acts = [("page.viewed", first), ("page.viewed", second), *[("page.viewed", {"anonymous": browser})] * 3]
        of_browser.append(
            [
                Message(
                    topic=TRACKING_EVENTS.name,
                    key=f"anonymous:{browser}".encode(),
                    value=event(signal, ids, now=now, ago=600 - 100 * step, received=600 - 100 * step),
                )
                for step, (signal, ids) in enumerate(acts)
            ]
        )
    messages = []
    while of_browser:
        acts = draw.choice(of_browser)
        messages.append(acts.pop(0))
        of_browser = [acts for acts in of_browser if acts]
    await running.open()
    await running.log.writer().publish(messages)
    watched = Watched(running.service.handler, 0)
    await running.start()
    await all_scored(running, len(messages))
    assert watched.looked_up >= 3
    async with running.db.raw() as pg:
        rows = await pg.fetch("SELECT key, count(*) AS visits FROM scoring.event GROUP BY key")
    visits = {row["key"].bytes: row["visits"] for row in rows}
    for number in range(60):
        assert profile_key("anonymous", f"kiosk-{number}") not in visits, (
            "a visit counts for who had the browser before"
        )
        assert visits[generation_key(f"kiosk-{number}", 1)] == 3


async def all_scored(running, records):
    async with asyncio.timeout(90), running.db.raw() as pg:
        while await pg.fetchval(POSITIONS) < records:
            await asyncio.sleep(0.05)
