"""An account that changes, and a policy that is put to every lead, reach leads that nothing happens to."""

import uuid

import pytest

from services.directory.core.people import Account
from services.eventlog.postgres import PostgresLog
from services.runtime.clock import SystemClock
from services.runtime.db import Listener
from services.runtime.errors import Fenced
from services.scoring.handler.sweep import Sweeper
from services.scoring.store.sweep import SweepStore
from tests.integration.scoring.conftest import event


class Owner:
    """Sweeps when told to."""

    def __init__(self, rig, per_s=100):
        self.log = PostgresLog(rig.settings, rig.db, Listener(rig.db), f"owner-{uuid.uuid4().hex[:6]}")
        self.sweeper = Sweeper(
            rig.db, "scoring", "tracking.events", self, self.log.outbox("scoring", "api"), rig.policies, rig.directory,
            SystemClock(), per_s,
        )  # fmt: skip

    @property
    def held(self):
        return {}

    async def all(self):
        """Steps until there is no more."""
        for _ in range(50):
            before = await self.state()
            await self.sweeper.step(1)
            if before == await self.state():
                return
        raise AssertionError("sweeps for ever")

    async def state(self):
        store = SweepStore(self.sweeper._db)
        return [await store.progress("directory"), await store.progress("policy")]


@pytest.fixture
async def owner(rig):
    made = Owner(rig)
    await made.all()  # what the example company's import has left
    await rig.scored()
    yield made
    await made.log.close()


async def test_an_account_that_changes_reaches_its_leads_and_no_others(rig, owner):
    await rig.feed(
        event("person.identified", {"email": "liisa@uusi.example"}),
        event("person.identified", {"email": "matti@muu.example"}),
        event(
            "person.identified",
            {"email": "own@gmail.com"},
            traits={"company": "Uusi Oy", "website": "https://uusi.example"},
        ),
    )
    before = {m.person.email: m for m in await rig.scored()}
    assert before["liisa@uusi.example"].account.unlisted
    await rig.directory.store.save_accounts(
        [Account(domain="uusi.example", name="Uusi Oy", named=True, employees=2000)]
    )
    await owner.all()
    told = {m.person.email: m for m in await rig.scored()}
    assert told.keys() == {"liisa@uusi.example", "own@gmail.com"}
    now = told["liisa@uusi.example"]
    assert (now.kind, now.causes, now.account.named, now.account.employees) == ("changed", [], True, 2000)
    assert now.version == before["liisa@uusi.example"].version + 1
    assert now.members == before["liisa@uusi.example"].members
    await owner.all()
    assert await rig.scored() == []  # once
    # Events go on as if nothing had been: nobody's batch conflicts for it.
    await rig.feed(event("demo.requested", {"email": "liisa@uusi.example"}))
    assert [(m.version, m.account.named) for m in await rig.scored()] == [(now.version + 1, True)]
    await rig.directory.store.delete_account("uusi.example")
    await owner.all()
    assert {m.account.unlisted for m in await rig.scored()} == {True}


async def test_a_change_that_concerns_nobody_tells_nobody(rig, owner):
    await rig.feed(event("person.identified", {"email": "liisa@uusi.example"}))
    await rig.scored()
    await rig.directory.store.save_accounts([Account(domain="nobody.example", named=True)])
    await owner.all()
    assert await rig.scored() == []
    done = (await owner.state())[0]
    assert done.wanted is None
    assert (done.looked, done.told) == (1, 0)


async def test_a_policy_is_put_to_every_lead_a_few_a_second_and_another_owner_goes_on(rig, owner):
    await rig.feed(*(event("person.identified", {"email": f"p{n}@uusi.example"}) for n in range(7)))
    await rig.feed(event("page.viewed", {"anonymous": "nobody"}))
    await rig.scored()
    store = SweepStore(rig.db)
    assert await store.preview() == 7
    await store.begin(rig.policies.active.version)
    slow = Owner(rig, per_s=3)
    assert await slow.sweeper.step(1) == pytest.approx(1)
    first = await rig.scored()
    assert len(first) == 3
    assert ((await store.progress("policy")).told, (await store.progress("policy")).wanted) == (3, 1)
    await slow.log.close()
    # A step that tells fewer is no reason to go on at once: four are their share of a second.
    other = Owner(rig, per_s=5)
    assert await other.sweeper.step(1) == pytest.approx(4 / 5)
    await other.log.close()
    await owner.all()
    rest = await rig.scored()
    assert len(rest) == 4
    assert len({m.lead_id for m in [*first, *rest]}) == 7
    assert all(m.causes == [] and m.policy_version == 1 for m in rest)
    done = await store.progress("policy")
    assert (done.told, done.looked, done.wanted, done.done) == (7, 7, None, 1)
    assert done.finished_at is not None


async def test_begun_anew_it_goes_to_everybody_again(rig, owner):
    await rig.feed(*(event("person.identified", {"email": f"p{n}@uusi.example"}) for n in range(4)))
    await rig.scored()
    store = SweepStore(rig.db)
    slow = Owner(rig, per_s=3)
    await store.begin(1)
    await slow.sweeper.step(1)
    await store.begin(1)
    await owner.all()
    assert len(await rig.scored()) == 7
    await slow.log.close()


async def test_who_does_not_own_the_partition_tells_nothing(rig, owner):
    await rig.feed(event("person.identified", {"email": "liisa@uusi.example"}))
    await rig.scored()
    await SweepStore(rig.db).begin(1)
    with pytest.raises(Fenced):
        await owner.sweeper.step(2)
    assert await rig.scored() == []
    assert (await SweepStore(rig.db).progress("policy")).told == 0
