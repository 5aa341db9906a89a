"""The stories of the example company, as the router sees them."""

from datetime import timedelta

import msgspec

from services.router.core.claim import Asked
from services.runtime.access import Identity
from tests.support.routing import NOW, Person, Room, cause

ADMIN = Identity("admin", None, "t", "admin")
READY = {"pricing_visits": 2.0, "page.viewed": 2.0}


async def lead(room: Room, person: Person) -> dict:
    return await room.leads.one(ADMIN, person.id)


async def make_qualified(room: Room, email: str) -> Person:
    person = Person(email)
    await room.send(person.says(0, cause(f"{email} known", "person.identified")))
    await room.send(person.says(60, cause(f"{email} webinar", "webinar.attended"), windows=READY))
    return person


async def test_midmarket_lead_waits_for_the_agreement_and_then_goes_to_an_sdr(room: Room) -> None:
    person = Person("maria@fjordsoft.example")
    await room.send(person.says(24, cause("w", "webinar.attended")))
    before = await lead(room, person)
    assert (before["route"], before["segment"], before["stage"], before["track"]) == (
        "nurture",
        "midmarket",
        "identified",
        "newsletter",
    )
    [first], _ = await room.leads.decisions(ADMIN, person.id, 10, None)
    assert {"segment", "below_handover_stage", "engagement_below"} <= {r["code"] for r in first["reasons"]}
    assert any("16 points short of 40" in r["text"] for r in first["counterfactual"])

    await room.send(
        person.says(47, cause("p", "page.viewed", path="/pricing", url="https://a.example/pricing"), windows=READY)
    )
    after = await lead(room, person)
    assert (after["route"], after["stage"], after["assignee"], after["pool"]) == (
        "sdr",
        "qualified",
        "chloe",
        "sdr-midmarket",
    )
    assert after["engagement"]["score"] == 47.0
    handover = (await room.routed("decided"))[-1]
    assert handover.assignment is not None
    assert handover.recipients == ["chloe"]
    assert (handover.assignment.state, handover.assignment.gen) == ("offered", 1)
    assert handover.say is not None
    # Nobody knows Maria's language: the message is in the first of Chloe's.
    assert (handover.say.language, handover.say.body.splitlines()[0]) == ("sv", "Hej Maria!")
    assert "Maria, Head of Marketing at Fjordsoft AS: viewed /pricing" in handover.why
    assert await room.routed("alert") == []


async def test_four_accounts_are_shared_by_weight_and_a_colleague_goes_to_the_same_rep(room: Room) -> None:
    people = [await make_qualified(room, f"maria@{d}.example") for d in ("fjordsoft", "kivi", "tundra", "vesi")]
    got = [(await lead(room, person))["assignee"] for person in people]
    assert sorted(got) == ["chloe", "chloe", "daavid", "emil"]
    assert got[0] == "chloe"
    colleague = await make_qualified(room, "sanna@kivi.example")
    assert (await lead(room, colleague))["assignee"] == got[1]
    [newest, *_], _ = await room.leads.decisions(ADMIN, colleague.id, 10, None)
    assert newest["reasons"][-1]["code"] == "rep_of_account"


async def test_one_batch_with_all_of_them_gives_the_same(room: Room) -> None:
    people = [Person(f"maria@{d}.example") for d in ("fjordsoft", "kivi", "tundra", "vesi")]
    await room.send(
        *[p.says(60, cause(f"{i}", "webinar.attended", NOW + timedelta(seconds=i))) for i, p in enumerate(people)]
    )
    got = [(await lead(room, person))["assignee"] for person in people]
    assert got == ["chloe", "daavid", "emil", "chloe"]


async def test_named_account_goes_to_its_owner_and_a_visit_is_told_at_once(room: Room) -> None:
    vp = Person("anni@nordwind.example", function="operations", level="vp")
    await room.send(vp.says(0, cause("known", "person.identified")))
    now = await lead(room, vp)
    assert (now["route"], now["segment"], now["assignee"], now["track"]) == ("owner", "enterprise", "anna", None)
    assert [m.kind for m in await room.routed()] == ["decided"]

    visit = cause("visit", "page.viewed", path="/pricing", url="https://a.example/pricing", visitor="anon-1")
    await room.send(vp.says(13, visit))
    [alert] = await room.routed("alert")
    assert (alert.alert, alert.recipients, alert.visitors) == ("visiting_now", ["anna"], ["anon-1"])
    assert alert.greeter == {
        "name": "Anna Aalto",
        "title": "Key Account Director",
        "link": "https://meet.seller.example/anna",
    }
    assert alert.fresh_until == NOW + timedelta(seconds=120)
    assert alert.why == "Anni, Head of Marketing at Nordwind Industries Oyj viewed /pricing"
    assert alert.say is not None
    assert len(await room.routed("decided")) == 1


async def test_somebody_from_a_named_account_is_told_to_the_owner(room: Room) -> None:
    nobody = Person(None, domain="nordwind.example", grade=None, role=None, function=None, level=None)
    await room.send(nobody.says(1, cause("v", path="/case/steel", visitor="cookie")))
    [alert] = await room.routed("alert")
    assert alert.recipients == ["anna"]
    assert alert.why.startswith("Somebody from Nordwind Industries")
    assert alert.lead.email is None
    assert alert.visitors == ["cookie"]
    shown = await lead(room, nobody)
    assert (shown["route"], shown["stage"], shown["known"]) == ("nurture", "unknown", False)
    assert "not_known" in {r.code for r in (await room.routed("decided"))[0].reasons}


async def test_volume_serves_itself_until_a_demo_is_asked_for(room: Room) -> None:
    founder = Person("founder@pikkupaja.example", function="general_management", level="c_level", grade="B")
    await room.send(founder.says(26, cause("p1", path="/pricing"), cause("p2", path="/pricing"), windows=READY))
    now = await lead(room, founder)
    assert (now["route"], now["track"], now["segment"]) == ("nurture", "self_serve", "volume")
    reasons = (await room.routed("decided"))[0].reasons
    assert "https://shop.aurora.example/start" in next(r.text for r in reasons if r.code == "shop_link")
    await room.send(founder.says(66, cause("demo", "demo.requested"), windows=READY | {"demo_request": 1.0}))
    now = await lead(room, founder)
    assert (now["route"], now["assignee"], now["pool"], now["stage"]) == ("sdr", "elin", "closers", "ready_to_buy")


async def test_the_record_says_so_when_somebody_known_looks_at_prices_later(room: Room) -> None:
    founder = Person("founder@pikkupaja.example", function="general_management", level="c_level", grade="B")
    await room.send(founder.says(1, cause("about", path="/about")))
    await room.send(founder.says(13, cause("p1", path="/pricing"), windows=READY))
    await room.send(founder.says(19, cause("p2", path="/pricing"), windows=READY))
    shown = [[r.seen for r in told.reasons if r.code == "shop_link"] for told in await room.routed("decided")]
    assert shown == [[], ["https://shop.aurora.example/start"]]


async def test_who_serves_themselves_is_shown_the_shop_at_each_visit_and_nobody_is_told(room: Room) -> None:
    founder = Person("founder@pikkupaja.example", function="general_management", level="c_level", grade="B")
    await room.send(founder.says(20, cause("p1", path="/pricing"), windows=READY))
    visit = cause("p2", path="/pricing", visitor="browser-1")
    await room.send(founder.says(26, visit, cause("p3", path="/about", visitor="browser-1"), windows=READY))
    [alert] = await room.routed("alert")
    assert (alert.recipients, alert.visitors) == ([], ["browser-1"])
    assert alert.greeter == {"shop": "https://shop.aurora.example/start"}
    assert alert.fresh_until == NOW + timedelta(seconds=120)


async def test_a_rep_who_has_taken_the_lead_greets_and_one_who_has_only_been_asked_does_not(room: Room) -> None:
    person = await make_qualified(room, "maria@fjordsoft.example")
    await room.send(person.says(60, cause("v1", path="/pricing", visitor="b-1")))
    [offered] = await room.routed("alert")
    assert (offered.recipients, offered.greeter) == (["chloe"], None)
    now = await lead(room, person)
    mine = {"assignment_id": now["assignment"]["id"], "gen": now["assignment"]["gen"], "rep": "chloe"}
    await room.answers.give(person.id, Asked(command="accept", **mine), lambda _lead: True)
    await room.send(person.says(61, cause("v2", path="/pricing", visitor="b-1")))
    taken = (await room.routed("alert"))[-1]
    assert (taken.visitors, (taken.greeter or {}).get("name")) == (["b-1"], "Chloe Carlsson")


async def test_the_wrong_person_stays_in_nurture_whatever_they_do(room: Room) -> None:
    student = Person("student@gmail.com", grade="D", role="student", function="student", level="student")
    teacher = Person("teacher@lyseo.example", grade="D", role=None, function="education", level="staff")
    idle = Person("idle@gmail.com", grade="D", role="student", function="student", level="student")
    await room.send(
        student.says(120, cause("s"), windows=READY | {"pricing_visits": 6.0}),
        teacher.says(120, cause("t")),
        idle.says(0, cause("i", "person.identified")),
    )
    for person in (student, teacher, idle):
        assert (await lead(room, person))["route"] == "nurture"
        [decision], _ = await room.leads.decisions(ADMIN, person.id, 10, None)
        assert "fit_below" in {r["code"] for r in decision["reasons"]}


async def test_everything_again_changes_nothing(room: Room) -> None:
    vp, mql = Person("anni@nordwind.example"), Person("maria@fjordsoft.example")
    messages = [
        vp.says(0, cause("a", "person.identified")),
        vp.says(13, cause("b", path="/pricing")),
        mql.says(60, cause("c", "webinar.attended")),
    ]
    for message in messages:
        await room.send(message)
    before = (
        await room.ids(),
        await room.fetch("SELECT * FROM router.lead ORDER BY id"),
        await room.fetch("SELECT * FROM router.pool_state"),
    )
    await room.send(*messages)
    for message in messages:
        await room.send(message)
    after = (
        await room.ids(),
        await room.fetch("SELECT * FROM router.lead ORDER BY id"),
        await room.fetch("SELECT * FROM router.pool_state"),
    )
    assert after == before


async def test_a_late_visit_carries_its_age(room: Room) -> None:
    vp = Person("anni@nordwind.example")
    await room.send(vp.says(0, cause("a", "person.identified")))
    await room.send(vp.says(13, cause("old", at=NOW - timedelta(hours=1), received_at=NOW, path="/pricing")))
    [alert] = await room.routed("alert")
    assert alert.fresh_until == NOW - timedelta(hours=1) + timedelta(seconds=120)


async def test_machines_and_opens_never_alert(room: Room) -> None:
    vp = Person("anni@nordwind.example")
    await room.send(vp.says(0, cause("a", "person.identified")))
    scan = [cause(f"s{i}", "email.clicked", actor="machine", human=0.02) for i in range(9)]
    await room.send(
        vp.says(0.1, *scan, cause("open", "email.opened"), cause("maybe", "email.clicked", actor="unknown", human=0.3))
    )
    assert await room.routed("alert") == []


async def test_a_reversal_recalls_an_untouched_offer_and_returns_the_credit(room: Room) -> None:
    person = await make_qualified(room, "maria@fjordsoft.example")
    await room.send(
        person.says(20, cause("maria@fjordsoft.example webinar", "webinar.attended", reversed=True), kind="reversed")
    )
    now = await lead(room, person)
    assert (now["route"], now["assignee"], now["stage"]) == ("nurture", None, "identified")
    [recalled] = await room.routed("recalled")
    assert (recalled.recipients, recalled.reasons[0].code) == (["chloe"], "reversed")
    assert recalled.assignment is not None
    assert recalled.assignment.state == "recalled"
    [state] = await room.fetch("SELECT state->'credits'->>'chloe' AS chloe FROM router.pool_state")
    assert state["chloe"] == "0"
    assert (
        await room.fetch("SELECT count(*) AS n FROM router.timer WHERE kind IN ('remind', 'escalate', 'reassign')")
    )[0]["n"] == 0


async def test_a_dead_message_is_buried_and_its_neighbours_go_on(room: Room) -> None:
    vp = Person("anni@nordwind.example")
    await room.send(b"{not json", vp.says(0, cause("a")), vp.says(0, cause("b"), lead_id="short"))
    assert (await lead(room, vp))["assignee"] == "anna"
    assert len(await room.fetch("SELECT reason FROM log.dead_letter WHERE stage = 'router'")) == 2


HOSTILE = (
    'Anni "the boss" O\'Neil',
    "back\\slash \\n \\",
    "line\nbreak\ttab",
    "{a,b}",
    "NULL",
    "null",
    "",
    "\u2028 ÄÖ \U0001f600",
    ",",
    "  ",
)


async def test_what_people_are_called_is_stored_as_it_is(room: Room) -> None:
    people = [Person(f"p{n}@fjordsoft.example") for n in range(len(HOSTILE) + 1)]
    names = [*HOSTILE, None]
    messages = [
        one.says(0, person=msgspec.structs.replace(one.person, name=name, title=name))
        for one, name in zip(people, names, strict=True)
    ]
    await room.send(*messages)
    stored = {row["id"].hex: row for row in await room.fetch("SELECT id, name, title FROM router.lead")}
    assert [(stored[one.id]["name"], stored[one.id]["title"]) for one in people] == [(name, name) for name in names]
