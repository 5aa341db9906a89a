"""Who belongs together: visitors who become known, merges, forwarded mails, two partitions."""

import asyncio

import pytest

from services.eventlog.ports import Batch
from services.runtime.errors import Conflict, Fenced
from tests.integration.scoring.conftest import event
from tests.support.offline import key_of


async def lead_of(rig, kind, value):
    rows = await rig.rows("SELECT lead_id FROM scoring.link WHERE key = $1::uuid", key_of(kind, value))
    return rows[0]["lead_id"].hex if rows else None


async def test_a_visitor_is_no_lead_until_known_and_brings_its_points_and_last_acts(rig):
    await rig.feed(event("page.viewed", {"anonymous": "c1"}, path="/pricing", ago=30))
    assert await rig.scored() == []
    await rig.feed(event("form.submitted", {"email": "f@fjordsoft.example", "anonymous": "c1"}))
    (scored,) = await rig.scored()
    assert {part.signal: round(part.points) for part in scored.curve} == {
        "form.submitted": 8, "page.viewed": 1, "pricing_visits": 12,
    }  # fmt: skip
    assert [(c.signal, c.path, c.visitor) for c in scored.causes] == [
        ("page.viewed", "/pricing", "c1"), ("form.submitted", None, "c1"),
    ]  # fmt: skip


async def test_somebody_from_a_named_account_is_a_lead_and_is_merged_when_known(rig):
    await rig.feed(event("page.viewed", {"anonymous": "c2"}, path="/case/steel", ip="198.51.100.7"))
    (visitor,) = await rig.scored()
    assert (visitor.known, visitor.account.domain, visitor.account.matched_by) == (False, "nordwind.example", "network")
    assert visitor.lead_id == key_of("anonymous", "c2")
    assert visitor.causes[0].visitor == "c2"
    await rig.feed(event("page.viewed", {"anonymous": "c2"}, path="/about"))
    (again,) = await rig.scored()
    assert (again.lead_id, again.version) == (visitor.lead_id, 2)
    await rig.feed(event("person.identified", {"email": "vp@nordwind.example", "anonymous": "c2"}))
    told = {one.lead_id: one for one in await rig.scored()}
    loser, winner = told[visitor.lead_id], told[key_of("email", "vp@nordwind.example")]
    assert (loser.kind, loser.merged_into, loser.version) == ("merged", winner.lead_id, 3)
    assert (winner.kind, winner.merged_from, winner.known) == ("changed", [visitor.lead_id], True)
    assert {m.value for m in winner.members} == {"vp@nordwind.example", "c2"}
    # Not one of its events is lost, and the next goes to the person.
    await rig.feed(event("page.viewed", {"anonymous": "c2"}, path="/pricing"))
    (scored,) = await rig.scored()
    assert scored.lead_id == winner.lead_id
    assert {p.signal: round(p.points) for p in scored.curve} == {"page.viewed": 3, "pricing_visits": 12}


async def test_an_address_elsewhere_is_nobody(rig):
    await rig.feed(event("page.viewed", {"anonymous": "c3"}, ip="203.0.113.9", path="/pricing"))
    await rig.feed(event("page.viewed", {"anonymous": "c3"}, ip="198.51.100.7", path="/", actor="machine"))
    assert await rig.scored() == []


async def test_two_people_become_one_on_a_servers_word_and_the_older_lives_on(rig):
    await rig.feed(event("person.identified", {"user": "u9"}, ago=60))
    await rig.feed(event("webinar.attended", {"email": "g@kivi.example"}, ago=30))
    old, new = key_of("user", "u9"), key_of("email", "g@kivi.example")
    await rig.scored()
    await rig.feed(event("person.identified", {"email": "g@kivi.example", "user": "u9"}))
    told = {one.lead_id: one for one in await rig.scored()}
    assert told[new].merged_into == old
    assert told[old].merged_from == [new]
    assert told[old].person.email == "g@kivi.example"
    assert {p.signal for p in told[old].curve} == {"webinar.attended"}
    assert await lead_of(rig, "email", "g@kivi.example") == old


async def test_a_browser_key_never_merges_two_leads_and_never_overwrites_a_verified_fact(rig):
    await rig.feed(event("person.identified", {"email": "h@kivi.example"}, traits={"title": "CFO"}, ago=60))
    await rig.feed(event("person.identified", {"user": "u10"}, ago=60))
    await rig.scored()
    both = {"email": "h@kivi.example", "user": "u10", "anonymous": "c4"}
    await rig.feed(event("person.identified", both, trust="publishable", traits={"title": "Intern"}))
    assert await lead_of(rig, "user", "u10") != await lead_of(rig, "email", "h@kivi.example")
    assert await lead_of(rig, "anonymous", "c4") == await lead_of(rig, "email", "h@kivi.example")
    (scored,) = await rig.scored()
    assert scored.person.title == "CFO"


async def test_a_forwarded_mail_link_makes_no_one_person_of_two(rig):
    await rig.feed(event("form.submitted", {"email": "i@kivi.example", "anonymous": "c5"}, ago=60))
    await rig.feed(event("page.viewed", {"anonymous": "c5"}, path="/one", ago=50))
    await rig.feed(
        event("email.clicked", {"email": "j@tundra.example", "anonymous": "c5"}, ago=40, link="https://x.example")
    )
    await rig.feed(event("page.viewed", {"anonymous": "c5"}, path="/pricing", ago=30))
    await rig.feed(event("page.viewed", {"anonymous": "c5"}, path="/pricing", ago=45))  # from before, come late
    told = await rig.scored()
    first, second = key_of("email", "i@kivi.example"), key_of("email", "j@tundra.example")
    last = {one.lead_id: one for one in told}
    assert set(last) == {first, second}
    assert {p.signal: round(p.points) for p in last[second].curve if p.signal != "email.clicked"} == {
        "page.viewed": 1, "pricing_visits": 12,
    }  # fmt: skip
    assert {p.signal: round(p.points) for p in last[first].curve} == {
        "form.submitted": 8, "page.viewed": 2, "pricing_visits": 12,
    }  # fmt: skip
    assert not any(one.kind == "merged" for one in told)
    # And back: the browser is the first person's again.
    await rig.feed(event("form.submitted", {"email": "i@kivi.example", "anonymous": "c5"}, ago=20))
    await rig.feed(event("page.viewed", {"anonymous": "c5"}, path="/pricing", ago=10))
    assert [one.lead_id for one in await rig.scored()] == [first, first]


async def test_a_role_mailbox_gives_the_account_and_no_person(rig):
    await rig.feed(event("form.submitted", {"email": "info@fjordsoft.example", "anonymous": "c6"}))
    (scored,) = await rig.scored()
    assert (scored.known, scored.person.role_mailbox, scored.account.domain) == (False, True, "fjordsoft.example")
    assert await lead_of(rig, "anonymous", "c6") is None


async def test_a_lead_takes_so_many_addresses_and_no_more(rig):
    for n in range(8):
        await rig.feed(event("person.identified", {"email": f"n{n}@kivi.example", "user": "shared"}))
    (row,) = await rig.rows(
        "SELECT emails, size FROM scoring.lead WHERE id = $1::uuid", key_of("email", "n0@kivi.example")
    )
    assert (row["emails"], row["size"]) == (5, 6)


async def test_members_of_two_partitions_are_summed_whole(rig):
    """Two processes own two identifiers of one lead; each sees all of it, whoever comes last."""
    await rig.feed(event("person.identified", {"email": "k@kivi.example", "user": "u11"}))
    await rig.scored()
    other = rig.make()
    for _ in range(6):
        await asyncio.gather(
            rig.feed(event("page.viewed", {"email": "k@kivi.example"}, path="/pricing"), part=0),
            rig.feed(event("page.viewed", {"user": "u11"}, path="/pricing"), part=1, handler=other),
        )
    told = await rig.scored()
    assert sorted(one.version for one in told) == list(range(2, 14))
    last = max(told, key=lambda one: one.version)
    # Points fade from the middle of their day on, so a little is gone by the evening; a visit that was not summed is 12.
    points = {p.signal: p.points for p in last.curve}
    assert points == {"page.viewed": pytest.approx(12, rel=0.05), "pricing_visits": pytest.approx(144, rel=0.05)}


async def test_two_processes_that_create_the_same_lead_agree(rig):
    other = rig.make()
    for n in range(5):
        ids = {"email": f"o{n}@kivi.example", "user": f"u2{n}", "anonymous": f"d{n}"}
        await asyncio.gather(
            rig.feed(event("person.identified", ids), part=0),
            rig.feed(event("page.viewed", {"user": f"u2{n}"}, path="/pricing"), part=1, handler=other),
        )
        leads = {await lead_of(rig, kind, value) for kind, value in ids.items()}
        assert len(leads) == 1
    assert len(await rig.rows("SELECT 1 FROM scoring.event")) == 10


async def test_pipelined_batches_see_what_those_before_them_have_changed(rig):
    """N+1 is prepared before N is applied, as the loop does it."""
    handler = rig.handler
    one = rig.batch(event("person.identified", {"email": "p@kivi.example", "anonymous": "c7"}))
    two = rig.batch(event("page.viewed", {"anonymous": "c7"}, path="/pricing"))
    three = rig.batch(
        event("person.identified", {"email": "p@kivi.example", "user": "u12"}), event("page.viewed", {"user": "u12"})
    )
    works = [await handler.prepare(one), await handler.prepare(two), await handler.prepare(three)]
    for batch, work in zip((one, two, three), works, strict=True):
        await handler.apply(batch, work)
    told = await rig.scored()
    assert [(t.version, len(t.members)) for t in told] == [(1, 2), (2, 2), (3, 3)]
    assert {t.lead_id for t in told} == {key_of("email", "p@kivi.example")}


async def test_the_same_event_in_two_batches_in_flight_counts_once(rig):
    same = event("page.viewed", {"email": "q@kivi.example"}, path="/pricing")
    one, two = rig.batch(same), rig.batch(same)
    works = [await rig.handler.prepare(one), await rig.handler.prepare(two)]
    await rig.handler.apply(one, works[0])
    await rig.handler.apply(two, works[1])
    (scored,) = await rig.scored()
    assert scored.windows["pricing_visits"][0][1] == 1000


async def test_a_conflict_writes_nothing_and_is_settled_by_reading_again(rig):
    await rig.feed(event("page.viewed", {"email": "r@kivi.example"}))
    batch = rig.batch(event("page.viewed", {"email": "r@kivi.example"}))
    work = await rig.handler.prepare(batch)
    await rig.feed(event("page.viewed", {"email": "r@kivi.example"}), part=1, handler=rig.make())
    with pytest.raises(Conflict):
        await rig.handler.apply(batch, work)
    assert len(await rig.rows("SELECT 1 FROM scoring.event")) == 2
    rig.handler.reset()
    await rig.handler.apply(batch, await rig.handler.prepare(batch))
    assert (await rig.counters())[key_of("email", "r@kivi.example")].popitem()[1] == 3000


async def test_a_lost_lease_writes_nothing(rig):
    batch = rig.batch(event("page.viewed", {"email": "s@kivi.example"}))
    stale = Batch(batch.stage, batch.topic, batch.records, batch.first, batch.next, {0: 0})
    with pytest.raises(Fenced):
        await rig.handler.apply(stale, await rig.handler.prepare(stale))
    assert await rig.rows("SELECT 1 FROM scoring.event") == []


async def test_a_browser_and_whoever_links_it_never_each_see_half(rig):
    """The browser's owner prepared while nobody knew it; meanwhile another partition has linked it to a person."""
    other = rig.make()
    page = rig.batch(event("page.viewed", {"anonymous": "c9"}, path="/pricing"), part=1)
    prepared = await other.prepare(page)
    await rig.feed(event("form.submitted", {"email": "t@kivi.example", "anonymous": "c9"}))
    with pytest.raises(Conflict):
        await other.apply(page, prepared)
    other.reset()
    await rig.run(page, other)
    first, second = await rig.scored()
    assert [p.signal for p in first.curve] == ["form.submitted"]
    assert [p.signal for p in second.curve] == ["form.submitted", "page.viewed", "pricing_visits"]
    assert [c.signal for c in second.causes] == ["page.viewed"]


async def test_at_the_same_moment_too(rig):
    other = rig.make()
    for n in range(15):
        ids = {"email": f"same{n}@kivi.example", "anonymous": f"same{n}"}
        await asyncio.gather(
            rig.feed(event("page.viewed", {"anonymous": f"same{n}"}, path="/pricing"), part=1, handler=other),
            rig.feed(event("form.submitted", ids)),
        )
        told = await rig.scored()
        last = max(told, key=lambda one: one.version)
        assert {p.signal for p in last.curve} == {"form.submitted", "page.viewed", "pricing_visits"}, n


async def test_a_process_that_remembers_leads_tells_of_them_as_another_process_has_made_them(rig):
    one, two = {"email": "a@kivi.example"}, {"user": "b"}
    await rig.feed(event("page.viewed", one, ago=60), event("page.viewed", two, ago=50))
    await rig.feed(event("page.viewed", one, ago=40), event("page.viewed", two, ago=30))  # both are remembered now
    other = rig.make()
    await rig.feed(event("person.identified", {**one, **two}), part=1, handler=other)
    await rig.scored()
    await rig.feed(event("webinar.attended", two))
    (told,) = await rig.scored()
    assert told.lead_id == key_of("email", "a@kivi.example")
    assert {(m.kind, m.value) for m in told.members} == {("email", "a@kivi.example"), ("user", "b")}
    assert {p.signal: round(p.points) for p in told.curve} == {"page.viewed": 4, "webinar.attended": 24}
