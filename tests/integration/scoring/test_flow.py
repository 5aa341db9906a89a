"""Events in, `lead.scored` out."""

from tests.integration.scoring.conftest import event
from tests.support.offline import expect, key_of

VP = {"email": "vp@nordwind.example", "user": "u-1"}


async def test_identify_makes_a_known_lead_with_account_and_fit(rig):
    await rig.feed(event("person.identified", VP, traits={"name": "Veera Virta", "title": "VP Operations"}))
    (scored,) = await rig.scored()
    assert (scored.kind, scored.known, scored.version) == ("changed", True, 1)
    assert scored.lead_id == key_of("email", "vp@nordwind.example")
    assert (scored.account.domain, scored.account.named, scored.account.owner) == ("nordwind.example", True, "anna")
    assert (scored.person.email, scored.person.name, scored.person.title) == (
        VP["email"],
        "Veera Virta",
        "VP Operations",
    )
    assert (scored.person.function, scored.person.level) == ("operations", "vp")
    assert scored.fit.grade == "A"
    assert [(m.kind, m.value) for m in scored.members] == [("email", VP["email"]), ("user", "u-1")]
    assert [c.signal for c in scored.causes] == ["person.identified"]


async def test_page_of_a_named_account_is_told_at_once_with_the_whole_lead(rig):
    await rig.feed(event("person.identified", VP, traits={"title": "VP Operations"}))
    await rig.feed(event("page.viewed", {"user": "u-1"}, path="/pricing", url="https://aurora.example/pricing"))
    _, scored = await rig.scored()
    assert (scored.version, scored.person.title) == (2, "VP Operations")
    assert scored.lead_id == key_of("email", VP["email"])
    assert {part.signal: round(part.points) for part in scored.curve} == {"page.viewed": 1, "pricing_visits": 12}
    assert scored.windows["pricing_visits"][0][1] == 1000
    (cause,) = scored.causes
    assert (cause.path, cause.human, cause.actor) == ("/pricing", 1.0, "unknown")


async def test_small_changes_are_not_told(rig):
    known = {"email": "a@fjordsoft.example"}
    await rig.feed(event("person.identified", known))
    await rig.scored()
    await rig.feed(event("page.viewed", known, path="/blog"), event("page.viewed", known, path="/blog/2"))
    assert await rig.scored() == []
    await rig.feed(*[event("page.viewed", known, path=f"/blog/{n}") for n in range(3)])
    (scored,) = await rig.scored()
    assert len(scored.causes) == 3
    assert round(scored.curve[0].points) == 5


async def test_repeats_change_nothing(rig):
    first = [
        event("person.identified", VP, traits={"title": "VP Operations"}),
        event("page.viewed", {"user": "u-1"}, path="/pricing"),
        event("email.clicked", {"email": VP["email"]}, message_id="m", link="https://a.example/x"),
    ]
    await rig.feed(*first, *first)
    await rig.scored()
    before = await rig.counters()
    await rig.feed(*reversed(first))
    await rig.feed(*first, handler=rig.make())
    assert await rig.counters() == before
    assert await rig.scored() == []
    assert len(await rig.rows("SELECT id FROM scoring.event")) == 3
    assert before == expect(first, rig.policies.active).counters | {
        key: value for key, value in before.items() if not value
    }


async def test_poison_is_buried_and_neighbours_go_on(rig):
    good = event("page.viewed", {"email": "b@kivi.example"}, path="/pricing")
    await rig.feed(
        b"\xff\xfe", b"{}", b"null", None, good,
        event("page.viewed", {"user": "null"}), event("page.viewed", {}),
        good.replace(b"T", b"X", 1) if False else event("page.viewed", {"email": "c@kivi.example"}).replace(b"Z", b"", 1),
        b'{"specversion":"1.0","id":"1","source":"s","type":"x","data":{"signal":"page.viewed"},"big":"' + b"x" * 200_000 + b'"}',
    )  # fmt: skip
    dead = await rig.rows("SELECT reason FROM log.dead_letter ORDER BY off")
    assert [row["reason"] for row in dead] == [
        "bad_json", "not_a_tracking_event", "not_a_tracking_event", "no_value", "placeholder_id", "no_identifier", "bad_time", "too_large",
    ]  # fmt: skip
    (scored,) = await rig.scored()
    assert scored.person.email == "b@kivi.example"


async def test_old_events_are_kept_and_not_scored(rig):
    await rig.feed(event("webinar.attended", {"email": "d@kivi.example"}, ago=100 * 86400))
    assert set((await rig.counters())[key_of("email", "d@kivi.example")]) == set()
    assert len(await rig.rows("SELECT id FROM scoring.event_side")) == 1


async def test_other_producers_are_read_leniently(rig):
    await rig.feed(
        b'{"specversion":"1.0","id":"1","source":"s","type":"leadrouter.demo.requested.v1","data":{"email":"Eve@Kivi.Example"}}',
        b'{"specversion":"1.0","id":"2","source":"s","type":"Savings Calculator Used","subject":"eve@kivi.example","data":{}}',
    )
    (scored,) = await rig.scored()
    assert scored.person.email == "eve@kivi.example"
    assert {part.signal for part in scored.curve} == {"demo_request", "calculator_used"}
