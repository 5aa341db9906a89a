"""Undo a merge: points go back with their identifiers, exactly."""

import uuid

import pytest

from services.eventlog.postgres import PostgresLog
from services.runtime.clock import SystemClock
from services.runtime.db import Listener
from services.runtime.errors import Refused
from services.scoring.store.split import Splitter
from tests.integration.scoring.conftest import event
from tests.support.offline import key_of


@pytest.fixture
async def splitter(rig):
    log = PostgresLog(rig.settings, rig.db, Listener(rig.db), "api")
    yield Splitter(
        rig.db, log.outbox("scoring", "api"), SystemClock(), rig.handler.encode, lambda email: email.partition("@")[2]
    )
    await log.close()


def lead(kind, value):
    return uuid.UUID(key_of(kind, value))


async def test_an_undone_merge_gives_back_both_leads_exactly(rig, splitter):
    one, two = {"email": "a@kivi.example"}, {"user": "b"}
    await rig.feed(event("webinar.attended", one, ago=60), event("page.viewed", two, path="/pricing", ago=50))
    before = {m.lead_id: m for m in await rig.scored()}
    counters = await rig.counters()
    await rig.feed(event("person.identified", {**one, **two}))
    await rig.scored()
    old, new = await splitter.split(lead("email", "a@kivi.example"), None, merged=lead("user", "b"))
    assert (old, new) == (lead("email", "a@kivi.example"), lead("user", "b"))
    told = {m.lead_id: m for m in await rig.scored()}
    assert (told[old.hex].kind, told[new.hex].kind) == ("split", "changed")
    for id_ in (old.hex, new.hex):
        assert told[id_].members == before[id_].members
        assert told[id_].version > before[id_].version + 1 or id_ == new.hex
        assert {p.signal for p in told[id_].curve} == {p.signal for p in before[id_].curve}
    after = await rig.counters()
    assert {k: v for k, v in after.items() if k != old.hex} == {k: v for k, v in counters.items() if k != old.hex}
    # The next events go to each on their own, also in a process that had the old lead in mind.
    await rig.feed(event("page.viewed", two, path="/pricing"))
    assert [(m.lead_id, len(m.members)) for m in await rig.scored()] == [(new.hex, 1)]


async def test_named_keys_go_and_the_id_stays_with_the_oldest_strong_identifier(rig, splitter):
    await rig.feed(event("person.identified", {"email": "a@kivi.example"}, ago=100))
    await rig.feed(event("person.identified", {"email": "a@kivi.example", "user": "u", "anonymous": "c"}))
    old, new = await splitter.split(lead("email", "a@kivi.example"), [lead("email", "a@kivi.example")])
    assert (old, new) == (lead("email", "a@kivi.example"), lead("user", "u"))
    rows = await rig.rows("SELECT value, lead_id FROM scoring.link ORDER BY value")
    assert [(row["value"], row["lead_id"]) for row in rows] == [("a@kivi.example", old), ("c", new), ("u", new)]


async def test_what_cannot_be_parted_is_refused(rig, splitter):
    await rig.feed(event("person.identified", {"email": "a@kivi.example", "anonymous": "c"}))
    for lead_id, keys, code in (
        (lead("user", "nobody"), [], "not_found"),
        (lead("email", "a@kivi.example"), [lead("anonymous", "c")], "nobody_left"),
        (lead("email", "a@kivi.example"), [lead("user", "x")], "not_a_member"),
    ):
        with pytest.raises(Refused) as refused:
            await splitter.split(lead_id, keys)
        assert refused.value.code == code


async def test_what_somebody_parted_by_hand_is_not_joined_again(rig, splitter):
    one, two = {"email": "a@kivi.example"}, {"user": "b", "anonymous": "c"}
    await rig.feed(event("person.identified", one, ago=60), event("person.identified", two, ago=50))
    both = event("person.identified", {"email": "a@kivi.example", "user": "b"})
    await rig.feed(both)
    other = rig.make()
    await rig.feed(event("page.viewed", two), part=1, handler=other)  # it has the joined lead in mind
    await rig.scored()
    old, new = await splitter.split(lead("email", "a@kivi.example"), None, merged=lead("user", "b"))
    await rig.scored()
    again = ({"email": "a@kivi.example", "user": "b"}, {"email": "a@kivi.example", "anonymous": "c"})
    for ids in again:
        await rig.feed(event("page.viewed", ids, path="/pricing"))
        await rig.feed(event("page.viewed", ids, path="/pricing"), part=1, handler=other)
    rows = await rig.rows("SELECT value, lead_id FROM scoring.link WHERE value <> 'c' ORDER BY value")
    assert [(row["value"], row["lead_id"]) for row in rows] == [("a@kivi.example", old), ("b", new)]
    # Merged into a third it is still kept from the other.
    await rig.feed(event("person.identified", {"crm": "hubspot:1:9"}, ago=500))
    await rig.feed(event("person.identified", {"crm": "hubspot:1:9", "user": "b"}))
    third = (await rig.rows("SELECT lead_id FROM scoring.link WHERE value = 'b'"))[0]["lead_id"]
    assert third == lead("crm", "hubspot:1:9")
    rig.handler.reset()
    await rig.feed(event("person.identified", {"crm": "hubspot:1:9", "email": "a@kivi.example"}))
    rows = await rig.rows("SELECT value, lead_id FROM scoring.link WHERE value <> 'c' ORDER BY value")
    assert [(row["value"], row["lead_id"]) for row in rows] == [
        ("a@kivi.example", old), ("b", third), ("hubspot:1:9", third),
    ]  # fmt: skip
    # Who is forgotten leaves no mark here either.
    await rig.feed(event("person.deleted", {"email": "a@kivi.example"}))
    assert await rig.rows("SELECT * FROM scoring.apart") == []
