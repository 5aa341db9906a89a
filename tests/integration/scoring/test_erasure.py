"""Being forgotten: everything of a person goes, and does not come back."""

import uuid

from services.scoring.store.people import PeopleStore
from services.scoring.store.probe import bodies
from tests.integration.scoring.conftest import event
from tests.support.offline import key_of

WHO = {"email": "gone@kivi.example", "user": "u-gone"}
TABLES = ("profile", "link", "lead", "event", "event_side", "link_history")


async def everything(rig):
    found = b""
    for table in TABLES:
        found += str(await rig.rows(f"SELECT * FROM scoring.{table}")).encode()
    for row in await rig.rows("SELECT body FROM scoring.segment"):
        found += b"".join(bytes(raw) for raw in bodies(row["body"]))
    return found


async def test_a_person_is_forgotten_with_all_identifiers_and_bodies(rig):
    await rig.feed(event("person.identified", {**WHO, "anonymous": "c-gone"}, traits={"name": "Secret Person"}))
    await rig.feed(
        event("page.viewed", {"anonymous": "c-gone"}, path="/secret"),
        event("page.viewed", {"email": "stays@kivi.example"}, path="/stays"),
        event("webinar.attended", {"user": "u-gone"}, ago=200 * 86400),
    )
    before = await rig.scored()
    await rig.feed(
        event("page.viewed", {"user": "u-gone"}), event("person.deleted", {"email": WHO["email"]}, id_="job-1")
    )
    told = await rig.scored()
    assert [(one.kind, one.lead_id) for one in told if one.kind == "erased"] == [
        ("erased", key_of("email", WHO["email"]))
    ]
    assert told[-1].version > max(one.version for one in before if one.lead_id == told[-1].lead_id)
    left = await everything(rig)
    for secret in (b"gone", b"Secret", b"/secret", key_of("email", WHO["email"]).encode()):
        assert secret not in left
    assert b"stays@kivi.example" in left
    assert b"/stays" in left
    (job,) = await rig.rows("SELECT id, done_at, profiles FROM scoring.erasure")
    assert (job["id"], job["profiles"]) == ("job-1", 3)
    assert job["done_at"] is not None


async def test_later_events_of_the_address_are_dropped_by_every_process(rig):
    await rig.feed(event("person.identified", WHO))
    other = rig.make()
    await rig.feed(event("page.viewed", {"user": "u-gone"}), part=1, handler=other)
    await rig.feed(event("person.deleted", {"email": WHO["email"]}))
    await rig.scored()
    other.suppressed_changed("")
    await rig.feed(event("page.viewed", {"email": WHO["email"]}), event("page.viewed", {"email": "stays@kivi.example"}))
    await rig.feed(event("page.viewed", {"user": "u-gone"}), part=1, handler=other)
    assert [one.person.email for one in await rig.scored()] == ["stays@kivi.example"]
    assert b"gone" not in await everything(rig)


async def test_a_second_request_tells_nothing_more(rig):
    await rig.feed(event("person.identified", WHO))
    await rig.feed(event("person.deleted", {"email": WHO["email"]}))
    await rig.scored()
    await rig.feed(
        event("person.deleted", {"email": WHO["email"]}), event("person.deleted", {"email": "never@kivi.example"})
    )
    assert await rig.scored() == []


async def test_a_batch_prepared_before_the_erasure_does_not_bring_the_person_back(rig):
    await rig.feed(event("person.identified", WHO))
    one = rig.batch(event("person.deleted", {"email": WHO["email"]}))
    two = rig.batch(event("page.viewed", {"user": "u-gone"}), event("page.viewed", {"email": WHO["email"]}))
    works = [await rig.handler.prepare(one), await rig.handler.prepare(two)]
    await rig.handler.apply(one, works[0])
    try:
        await rig.handler.apply(two, works[1])
    except Exception:
        rig.handler.reset()
        await rig.run(two)
    assert b"gone" not in await everything(rig)


async def test_other_rooms_forget_in_the_same_transaction_under_every_name(rig):
    told = []

    async def elsewhere(pg, names):
        told.append((pg.is_in_transaction(), names))

    handler = rig.make(elsewhere=elsewhere)
    await rig.feed(event("person.identified", {**WHO, "crm": "hubspot:1:7"}), handler=handler)
    await rig.feed(event("person.deleted", {"email": WHO["email"]}, id_="job-9"), handler=handler)
    assert told == [(True, [("email", WHO["email"]), ("crm", "hubspot:1:7"), ("user", "u-gone")])]


async def test_a_request_is_done_when_every_stage_has_forgotten(rig):
    asked, answers = [], [False, True]

    async def everywhere(leads):
        asked.append(leads)
        return answers.pop(0)

    people = PeopleStore(rig.db, everywhere)
    await people.ask("job-7")
    await rig.feed(event("person.identified", WHO))
    assert (await people.job("job-7")).scored_at is None
    await rig.feed(event("person.deleted", {"email": WHO["email"]}, id_="job-7"))
    (told,) = [one for one in await rig.scored() if one.kind == "erased"]
    first = await people.job("job-7")
    assert (first.scored_at is not None, first.done_at) == (True, None)
    second = await people.job("job-7")
    assert second.done_at is not None
    assert await people.job("job-7") == second  # asked no more
    assert asked == [[(told.lead_id, told.version)]] * 2
    (row,) = await rig.rows("SELECT leads, versions FROM scoring.erasure")
    assert (row["leads"], row["versions"]) == ([], [])
    assert await people.job("none") is None


async def test_a_request_that_found_nobody_is_done_at_once_and_an_old_one_too(rig):
    async def never(leads):
        raise AssertionError(leads)

    people = PeopleStore(rig.db, never)
    await rig.feed(event("person.deleted", {"email": "never@kivi.example"}, id_="job-8"))
    assert (await people.job("job-8")).done_at is not None
    await rig.rows(
        "INSERT INTO scoring.erasure (id, done_at, leads, versions) VALUES ('old', now() - interval '31 days', $1, '{1}') RETURNING id",
        [uuid.uuid4()],
    )
    assert (await people.job("old")).done_at is not None
