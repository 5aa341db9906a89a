"""What happens later: SLA steps, cool-downs, decay, nobody there, and leads that nobody has."""

from datetime import timedelta

from services.directory.core.people import Absence
from services.router.commands import metrics
from services.router.store.reads import Reads
from services.runtime.access import Identity
from tests.support.routing import NOW, Person, Room, cause, example_view, with_people

ADMIN = Identity("admin", None, "t", "admin")
MINUTE = timedelta(minutes=1)
OFFERED = NOW + timedelta(seconds=1)  # the room's clock: SLA clocks begin when the rep can know


async def offer(room: Room, email: str = "maria@fjordsoft.example", score: float = 60) -> Person:
    person = Person(email)
    await room.send(person.says(score, cause(f"{email} w", "webinar.attended")))
    return person


async def test_an_unanswered_offer_climbs_the_ladder_and_goes_to_the_next_rep(room: Room) -> None:
    person = await offer(room)
    await room.tick(NOW + 14 * MINUTE)
    assert await room.routed("due") == []
    await room.tick(OFFERED + 15 * MINUTE)
    await room.tick(OFFERED + 45 * MINUTE)
    told = [(m.reasons[0].code, m.recipients) for m in await room.routed("due")]
    assert told == [("sla_remind", ["chloe"]), ("sla_escalate", ["maria"])]
    # A reminder says what the offer said, and so does what the manager is told: it is Chloe's message.
    [offered] = await room.routed("decided")
    assert offered.say is not None
    assert [m.say for m in await room.routed("due")] == [offered.say, offered.say]
    await room.tick(OFFERED + 60 * MINUTE)
    shown = await room.leads.one(ADMIN, person.id)
    assert (shown["assignee"], shown["assignment"]["gen"]) == ("daavid", 2)
    [recalled] = await room.routed("recalled")
    assert (recalled.recipients, recalled.reasons[0].code) == (["chloe"], "sla_reassign")
    [state] = await room.fetch("SELECT state->'credits'->>'daavid' AS d FROM router.pool_state")
    assert int(state["d"]) < 0
    [newest, *_], _ = await room.leads.decisions(ADMIN, person.id, 10, None)
    assert newest["trigger"] == "timer.reassign"
    await room.tick(OFFERED + 120 * MINUTE)
    assert (await room.leads.one(ADMIN, person.id))["assignee"] == "emil"


async def test_a_slow_rep_keeps_the_lead_when_nobody_else_is_there(room: Room) -> None:
    room.view = with_people(example_view(), daavid={"active": False}, emil={"active": False}, maria={"active": False})
    person = await offer(room)
    before = await room.fetch("SELECT state::text FROM router.pool_state")
    await room.tick(NOW + 61 * MINUTE)
    shown = await room.leads.one(ADMIN, person.id)
    assert (shown["assignee"], shown["assignment"]["gen"]) == ("chloe", 1)
    assert await room.routed("recalled") == []
    assert await room.fetch("SELECT state::text FROM router.pool_state") == before


async def test_an_owner_is_never_replaced_by_the_clock(room: Room) -> None:
    person = Person("anni@nordwind.example")
    await room.send(person.says(0, cause("a", "person.identified")))
    await room.tick(NOW + timedelta(hours=9))
    assert (await room.leads.one(ADMIN, person.id))["assignee"] == "anna"
    assert [m.reasons[0].code for m in await room.routed("due")] == ["sla_remind", "sla_escalate"]


async def test_nobody_there_gives_a_dated_reason_and_a_second_try(room: Room) -> None:
    away = {"absences": (Absence(start=NOW - timedelta(days=1), end=NOW + timedelta(days=2)),)}
    room.view = with_people(example_view(), chloe=away, daavid=away, emil=away)
    person = await offer(room)
    shown = await room.leads.one(ADMIN, person.id)
    assert (shown["route"], shown["assignee"], shown["waiting_reason"]) == ("sdr", None, "nobody_available")
    assert shown["waiting_until"] == "2026-03-06T10:00:00Z"
    [decision], _ = await room.leads.decisions(ADMIN, person.id, 10, None)
    assert "asked again at 2026-03-06 10:00 UTC" in decision["reasons"][-1]["text"]
    assert {c["code"] for c in decision["candidates"]} == {"absent"}
    assert await Reads(room.db).orphans(NOW) == []
    await room.tick(NOW + timedelta(days=2))
    shown = await room.leads.one(ADMIN, person.id)
    assert (shown["assignee"], shown["waiting_until"]) == ("chloe", None)


async def test_interest_fades_and_the_stage_is_left_below_the_band(room: Room) -> None:
    person = await offer(room, score=44)
    await room.fetch("DELETE FROM router.timer WHERE kind <> 'decay'")
    # 44 points with a half-life of 30 days are 40 after 4.1 days (a look), and 32, the lower edge of the band, after 13.8.
    for days in (4.1, 13.8):
        [timer] = await room.fetch("SELECT due_at FROM router.timer WHERE kind = 'decay'")
        assert timedelta(days=days - 0.1) < timer["due_at"] - NOW < timedelta(days=days + 0.1)
        assert (await room.leads.one(ADMIN, person.id))["stage"] == "qualified"
        await room.tick(timer["due_at"])
    shown = await room.leads.one(ADMIN, person.id)
    assert (shown["stage"], shown["route"], shown["assignee"]) == ("identified", "nurture", None)
    assert (await room.routed("recalled"))[0].reasons[0].code == "cooled_off"


async def test_a_decay_timer_that_comes_too_early_is_set_again(room: Room) -> None:
    person = await offer(room, score=44)
    await room.fetch("DELETE FROM router.timer WHERE kind <> 'decay'")
    await room.send(person.says(50, at=NOW + timedelta(days=10)))
    [timer] = await room.fetch("SELECT due_at FROM router.timer WHERE kind = 'decay'")
    await room.tick(timer["due_at"])
    [later] = await room.fetch("SELECT due_at FROM router.timer WHERE kind = 'decay'")
    assert later["due_at"] > timer["due_at"] + timedelta(days=9)
    assert (await room.leads.one(ADMIN, person.id))["stage"] == "qualified"


async def test_timers_of_another_owner_are_left_alone(room: Room) -> None:
    await offer(room)
    room.clock.at = NOW + timedelta(hours=1)
    await room.handler.tick({})
    assert await room.routed("due") == []


async def test_the_sweep_finds_and_mends_an_orphan(room: Room) -> None:
    person = await offer(room)
    await room.fetch("UPDATE router.assignment SET state = 'closed'")
    await room.fetch("UPDATE router.lead SET assignee = NULL")
    orphans = await Reads(room.db).orphans(NOW)
    assert orphans == [person.id]
    metrics.ORPHANS.set(0)
    await room.fetch(
        "INSERT INTO router.timer (lead_id, kind, part, due_at, gen) VALUES ($1, 'retry', $2, $3, 0)",
        person.id,
        room.part_of(person.id),
        NOW,
    )
    await room.tick(NOW + MINUTE)
    assert (await room.leads.one(ADMIN, person.id))["assignee"] is not None
    assert await Reads(room.db).orphans(NOW) == []


async def test_an_owner_on_a_long_leave_is_stood_in_for_by_the_manager(room: Room) -> None:
    away = {"absences": (Absence(start=NOW - timedelta(days=1), end=NOW + timedelta(days=20), note="parental leave"),)}
    room.view = with_people(example_view(), anna=away)
    person = Person("anni@nordwind.example")
    await room.send(person.says(0, cause("a", "person.identified")))
    shown = await room.leads.one(ADMIN, person.id)
    assert (shown["route"], shown["assignee"]) == ("owner", "maria")
    room.view = with_people(example_view(), anna=away, maria={"active": False})
    other = Person("kalle@nordwind.example")
    await room.send(other.says(0, cause("b", "person.identified")))
    shown = await room.leads.one(ADMIN, other.id)
    assert (shown["assignee"], shown["waiting_reason"]) == (None, "owner_absent")


async def test_a_full_rep_is_passed_over(room: Room) -> None:
    room.view = with_people(example_view(), chloe={"capacity_open": 1}, daavid={"capacity_per_day": 1})
    for domain in ("fjordsoft", "kivi", "tundra", "vesi"):
        await offer(room, f"maria@{domain}.example")
    rows = await room.fetch("SELECT rep_id, count(*) AS n FROM router.assignment GROUP BY rep_id ORDER BY rep_id")
    assert rows == [{"rep_id": "chloe", "n": 1}, {"rep_id": "daavid", "n": 1}, {"rep_id": "emil", "n": 2}]
    last = await room.fetch(
        "SELECT record->'pick'->'candidates' AS c FROM router.decision ORDER BY routed_at DESC, at DESC LIMIT 4"
    )
    assert any("Chloe Carlsson: 1 of 1 open" in row["c"] for row in last)
