"""Leads that turn out to be one person, two persons, or to be forgotten."""

from datetime import timedelta

import pytest

from schemas.messages import LeadScored, PersonRef
from services.router.core.assign import UNIT
from services.router.core.claim import Asked
from services.router.store.reads import Filters
from services.runtime.access import Identity
from services.runtime.errors import Refused
from tests.support.routing import NOW, Person, Room, cause, hex_of

ADMIN = Identity("admin", None, "t", "admin")


def merged_away(loser: Person, winner: Person) -> LeadScored:
    """As scoring says it: bare, only ids."""
    return loser.says(0, kind="merged", merged_into=winner.id, known=False, person=PersonRef(), account=None, fit=None)


async def offer(room: Room, email: str) -> Person:
    person = Person(email)
    await room.send(person.says(60, cause(f"{email} w", "webinar.attended")))
    return person


async def accept(room: Room, person: Person) -> None:
    one = (await room.leads.one(ADMIN, person.id))["assignment"]
    asked = Asked(command="accept", assignment_id=one["id"], gen=one["gen"], rep=None)
    await room.answers.give(person.id, asked, lambda lead: True)


@pytest.mark.parametrize("loser_first", [True, False])
async def test_the_assignment_moves_to_the_lead_that_lives_on(room: Room, loser_first: bool) -> None:
    loser, winner = await offer(room, "maria@fjordsoft.example"), Person("maria.m@fjordsoft.example")
    gone = merged_away(loser, winner)
    lives = winner.says(80, cause("id", "person.identified"), merged_from=[loser.id])
    for message in (gone, lives) if loser_first else (lives, gone):
        await room.send(message)
    shown = await room.leads.one(ADMIN, winner.id)
    assert (shown["assignee"], shown["assignment"]["state"], shown["stage"]) == ("chloe", "offered", "qualified")
    assert (await room.leads.one(ADMIN, loser.id))["id"] == winner.id
    assert len(await room.fetch("SELECT id FROM router.assignment")) == 1
    items, _ = await room.leads.page(ADMIN, Filters(), 10, None)
    assert [item["id"] for item in items] == [winner.id]
    await room.send(gone, lives)
    assert (await room.leads.one(ADMIN, winner.id))["assignment"] == shown["assignment"]


async def test_a_chain_of_merges_in_one_batch_ends_the_younger_offer_before_the_older_moves(room: Room) -> None:
    first, between, last = await offer(room, "maria@fjordsoft.example"), Person("m@fjordsoft.example"), "m@kivi.example"
    await room.send(between.says(0))
    end = Person(last)
    await room.send(end.says(60, cause("later", "webinar.attended", NOW + timedelta(minutes=1))))
    await room.send(between.says(60, merged_from=[first.id]), end.says(60, merged_from=[between.id]))
    rows = await room.fetch("SELECT lead_id, rep_id, state FROM router.assignment ORDER BY state DESC")
    assert [(row["lead_id"].hex, row["rep_id"], row["state"]) for row in rows] == [
        (end.id, "chloe", "offered"),
        (end.id, "daavid", "closed"),
    ]


async def test_of_two_assignments_the_older_accepted_one_stays(room: Room) -> None:
    one, two = await offer(room, "maria@fjordsoft.example"), await offer(room, "maria@kivi.example")
    await accept(room, one)
    await room.send(two.says(60, merged_from=[one.id], at=NOW + timedelta(minutes=1)))
    shown = await room.leads.one(ADMIN, two.id)
    assert (shown["assignee"], shown["assignment"]["state"]) == ("chloe", "accepted")
    [closed] = await room.routed("closed")
    assert (closed.recipients, closed.reasons[0].code) == (["daavid"], "merged")
    assert {r["state"] for r in await room.fetch("SELECT state FROM router.assignment")} == {"accepted", "closed"}


async def test_the_winner_keeps_its_own_when_it_has_the_better_right(room: Room) -> None:
    one, two = await offer(room, "maria@fjordsoft.example"), await offer(room, "maria@kivi.example")
    await accept(room, two)
    await room.send(merged_away(one, two))
    shown = await room.leads.one(ADMIN, two.id)
    assert (shown["assignee"], shown["assignment"]["state"]) == ("daavid", "accepted")
    [state] = await room.fetch("SELECT state->'credits'->>'chloe' AS c FROM router.pool_state")
    assert state["c"] == str(UNIT // 2)  # of the one pick that stands, by two of four weights
    assert len(await room.fetch("SELECT 1 FROM router.assignment WHERE state IN ('offered', 'accepted')")) == 1


async def test_a_lead_comes_back_when_it_is_split_off_again(room: Room) -> None:
    one, two = await offer(room, "maria@fjordsoft.example"), Person("maria.m@fjordsoft.example")
    await room.send(merged_away(one, two), two.says(60, merged_from=[one.id]))
    await room.send(one.says(10, kind="split"), two.says(5, kind="split"))
    assert (await room.leads.one(ADMIN, one.id))["id"] == one.id
    shown = await room.leads.one(ADMIN, two.id)
    assert (shown["stage"], shown["assignee"]) == ("identified", None)
    assert [m.reasons[0].code for m in await room.routed("recalled")] == ["reversed"]


async def test_a_cooldown_and_a_refusal_survive_a_merge(room: Room) -> None:
    one, two = await offer(room, "maria@fjordsoft.example"), Person("maria.m@fjordsoft.example")
    held = (await room.leads.one(ADMIN, one.id))["assignment"]
    asked = Asked(command="decline", assignment_id=held["id"], gen=held["gen"], rep=None, reason="bad_fit")
    await room.answers.give(one.id, asked, lambda lead: True)
    await room.send(two.says(90, cause("x", "webinar.attended"), merged_from=[one.id]))
    shown = await room.leads.one(ADMIN, two.id)
    assert (shown["route"], shown["cooldown_reason"]) == ("nurture", "bad_fit")


async def test_erasure_forgets_the_person_and_tells_the_rep_and_notify(room: Room) -> None:
    person = await offer(room, "maria@fjordsoft.example")
    merged = await offer(room, "maria.m@fjordsoft.example")
    await room.send(merged_away(merged, person))
    await room.send(person.says(0, kind="erased", known=False))
    for table in ("lead", "decision", "assignment", "cause", "timer"):
        for row in await room.fetch(f"SELECT t::text AS text FROM router.{table} t"):
            assert "maria" not in row["text"].replace('"manager"', "").lower() or table == "decision"
    assert await room.fetch("SELECT id FROM router.decision") == []
    assert await room.fetch("SELECT kind FROM router.timer") == []
    [told] = await room.routed("erased")
    assert (told.lead.id, told.lead.email, told.recipients) == (person.id, None, ["chloe"])
    with pytest.raises(Refused):
        await room.leads.one(ADMIN, person.id)
    person.version -= 2
    await room.send(person.says(60, cause("late", "webinar.attended")))
    with pytest.raises(Refused):
        await room.leads.one(ADMIN, person.id)


async def test_the_erasure_of_somebody_unknown_is_passed_on(room: Room) -> None:
    person = Person("nobody@fjordsoft.example")
    await room.send(person.says(0, kind="erased", known=False))
    assert [m.lead.id for m in await room.routed("erased")] == [person.id]


async def test_an_event_belongs_to_one_lead_only(room: Room) -> None:
    vp, other = Person("anni@nordwind.example"), Person("kalle@nordwind.example")
    visit = cause("visit", path="/pricing")
    await room.send(vp.says(13, visit))
    await room.send(other.says(13, visit))
    assert len(await room.routed("alert")) == 1
    assert hex_of("event", "visit") == visit.event_id


async def test_a_merge_of_leads_that_were_never_seen_leaves_no_stub(room: Room) -> None:
    one, two = Person("maria@fjordsoft.example"), Person("maria.m@fjordsoft.example")
    await room.send(merged_away(one, two))
    assert await room.fetch("SELECT id FROM router.lead WHERE merged_into IS NULL") == []
    assert await room.routed() == []
    await room.send(two.says(60, cause("w", "webinar.attended"), merged_from=[one.id]))
    assert (await room.leads.one(ADMIN, one.id))["assignee"] == "chloe"
