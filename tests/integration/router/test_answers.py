"""What reps answer: accept, decline, snooze, won, lost; at once and effect once."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from schemas.messages import LeadScored
from services.policy.core.compile import compile_policy
from services.router.commands.answers import Answered
from services.router.core.claim import Asked
from services.runtime.access import Identity
from services.runtime.errors import BadMessage, Refused
from tests.support.routing import EXAMPLES, NOW, Person, Room, cause, example_view, hex_of, with_people

ADMIN = Identity("admin", None, "t", "admin")
ANYBODY = lambda lead: True  # noqa: E731


async def offer(room: Room, domain: str = "fjordsoft") -> tuple[Person, dict[str, Any]]:
    person = Person(f"maria@{domain}.example")
    await room.send(person.says(60, cause(f"{domain} w", "webinar.attended")))
    return person, await room.leads.one(ADMIN, person.id)


async def give(room: Room, lead: dict[str, Any], command: Any, rep: str | None = None, **more: Any) -> Answered:
    one = lead["assignment"]
    values: dict[str, Any] = {"assignment_id": one["id"], "gen": one["gen"], "rep": rep or one["rep"], **more}
    return await room.answers.give(lead["id"], Asked(command=command, **values), ANYBODY)


async def refused(room: Room, lead: dict[str, Any], command: Any, rep: str | None = None, **more: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await give(room, lead, command, rep, **more)
    return caught.value


async def owed(room: Room, pool: str = "sdr-midmarket") -> dict[str, int]:
    rows = await room.fetch(
        "SELECT r.key, r.value FROM router.pool_state, json_each_text(state->'credits') AS r WHERE pool = $1", pool
    )
    return {row["key"]: int(row["value"]) for row in rows}


async def test_an_accept_counts_once_and_may_be_sent_again(room: Room) -> None:
    _, lead = await offer(room)
    first, again = await give(room, lead, "accept"), await give(room, lead, "accept")
    assert (first.state, first.effect, again.state, again.effect) == ("accepted", True, "accepted", False)
    [outcome] = await room.outcomes()
    assert (outcome.kind, outcome.rep, outcome.decision_id is not None) == ("accepted", "chloe", True)
    [claimed] = await room.routed("claimed")
    assert (claimed.recipients, claimed.by) == (["chloe"], "chloe")
    assert await room.fetch("SELECT kind FROM router.timer WHERE kind IN ('remind', 'escalate', 'reassign')") == []


async def test_two_accepts_at_the_same_moment_have_one_effect(room: Room) -> None:
    _, lead = await offer(room)
    answers = await asyncio.gather(*(give(room, lead, "accept") for _ in range(5)))
    assert sorted(a.effect for a in answers) == [False] * 4 + [True]
    assert len(await room.routed("claimed")) == 1


async def test_accept_and_decline_at_the_same_moment_leave_one_of_them(room: Room) -> None:
    for domain in ("fjordsoft", "kivi", "tundra", "vesi"):
        _, lead = await offer(room, domain)
        got = await asyncio.gather(
            give(room, lead, "accept"), give(room, lead, "decline", reason="bad_fit"), return_exceptions=True
        )
        rows = await room.fetch("SELECT state FROM router.assignment WHERE lead_id = $1", lead["id"])
        # A rep may accept and then decline, but never the other way round.
        assert rows == [{"state": "declined"}]
        assert not isinstance(got[1], BaseException)


async def test_another_rep_of_the_pool_is_told_who_has_it(room: Room) -> None:
    _, lead = await offer(room)
    error = await refused(room, lead, "accept", "daavid")
    assert (error.code, error.detail) == ("already_taken", {"by": "chloe"})
    await give(room, lead, "accept")
    error = await refused(room, lead, "accept", "daavid")
    assert "has accepted it" in error.message


async def test_a_rep_who_may_not_see_the_lead_finds_nothing(room: Room) -> None:
    _, lead = await offer(room)
    one = lead["assignment"]
    asked = Asked(command="accept", assignment_id=one["id"], gen=one["gen"], rep="farid")
    with pytest.raises(Refused, match="no such lead"):
        await room.answers.give(lead["id"], asked, lambda lead: False)
    with pytest.raises(Refused, match="no such lead"):
        await room.answers.give(hex_of("nobody"), asked, ANYBODY)


async def test_a_stale_generation_is_refused(room: Room) -> None:
    _, lead = await offer(room)
    assert (await refused(room, lead, "accept", gen=7)).code == "stale_assignment"
    assert (await refused(room, lead, "accept", assignment_id=hex_of("other"))).code == "stale_assignment"


async def test_a_decline_cools_the_lead_down_until_a_date_and_returns_the_credit(room: Room) -> None:
    person, lead = await offer(room)
    assert (await owed(room))["chloe"] < 0
    answered = await give(room, lead, "decline", reason="bad_fit")
    assert answered.cooldown_until == room.clock.now() + timedelta(days=90)
    assert set((await owed(room)).values()) == {0}
    shown = await room.leads.one(ADMIN, person.id)
    assert (shown["route"], shown["assignee"], shown["track"], shown["cooldown_reason"]) == (
        "nurture",
        None,
        "newsletter",
        "bad_fit",
    )
    [newest, *_], _ = await room.leads.decisions(ADMIN, person.id, 10, None)
    cooling = next(r for r in newest["reasons"] if r["code"] == "cooling_down")
    assert cooling["text"] == "Rests until 2026-06-02 (bad fit)"
    assert newest["counterfactual"][0]["code"] == "cooldown_ends"
    assert (await refused(room, lead, "accept")).code == "stale_assignment"
    [closed] = await room.routed("closed")
    assert closed.assignment is not None
    assert (closed.recipients, closed.assignment.state) == (["chloe"], "declined")

    await room.send(person.says(70, cause("more", "webinar.attended")))
    assert (await room.leads.one(ADMIN, person.id))["route"] == "nurture"
    await room.send(person.says(70, at=NOW + timedelta(days=89), kind="changed"))
    await room.tick(NOW + timedelta(days=90, seconds=2))
    again = await room.leads.one(ADMIN, person.id)
    assert (again["route"], again["assignee"], again["assignment"]["gen"]) == ("sdr", "chloe", 2)


async def test_not_mine_goes_to_the_next_in_the_pool_at_once(room: Room) -> None:
    person, lead = await offer(room)
    answered = await give(room, lead, "decline", reason="not_mine")
    assert (answered.state, answered.assignee, answered.cooldown_until) == ("declined", "daavid", None)
    shown = await room.leads.one(ADMIN, person.id)
    assert (shown["assignee"], shown["assignment"]["gen"]) == ("daavid", 2)
    kinds = [m.kind for m in await room.routed()]
    assert kinds == ["decided", "closed", "decided"]
    [newest, *_], _ = await room.leads.decisions(ADMIN, person.id, 10, None)
    assert {c["rep"]: c["code"] for c in newest["candidates"]}["chloe"] == "gave_it_back"
    colleague = Person("sanna@fjordsoft.example")
    await room.send(colleague.says(60, cause("c", "webinar.attended")))
    assert (await room.leads.one(ADMIN, colleague.id))["assignee"] == "daavid"


async def test_when_everybody_gave_it_back_the_manager_gets_it(room: Room) -> None:
    person, lead = await offer(room)
    for _ in range(3):
        await give(room, lead, "decline", reason="wrong_person")
        lead = await room.leads.one(ADMIN, person.id)
    assert lead["assignee"] == "maria"


async def test_a_decline_for_good_disqualifies(room: Room) -> None:
    person, lead = await offer(room)
    await give(room, lead, "decline", reason="competitor")
    shown = await room.leads.one(ADMIN, person.id)
    assert (shown["stage"], shown["route"], shown["track"]) == ("disqualified", "nurture", "newsletter")
    await room.send(person.says(90, cause("more", "webinar.attended")))
    assert (await room.leads.one(ADMIN, person.id))["stage"] == "disqualified"


@pytest.mark.parametrize(
    ("command", "more"),
    [("decline", {}), ("decline", {"reason": "nonsense"}), ("snooze", {}), ("snooze", {"until": NOW})],
)
async def test_an_answer_without_its_reason_or_time_is_refused(room: Room, command: str, more: dict[str, Any]) -> None:
    _, lead = await offer(room)
    with pytest.raises(BadMessage):
        await give(room, lead, command, **more)


async def test_a_snooze_stops_the_clock_and_reminds_when_it_ends(room: Room) -> None:
    _, lead = await offer(room)
    until = NOW + timedelta(hours=3)
    await give(room, lead, "snooze", until=until)
    assert (await give(room, lead, "snooze", until=until)).effect is False
    await room.tick(NOW + timedelta(hours=2))
    assert await room.routed("due") == []
    await room.tick(until)
    [due] = await room.routed("due")
    assert (due.recipients, due.reasons[0].code) == (["chloe"], "snooze_ended")
    await room.tick(until + timedelta(minutes=15))
    assert [m.reasons[0].code for m in await room.routed("due")] == ["snooze_ended", "sla_remind"]
    assert (await give(room, lead, "accept")).state == "accepted"


async def test_won_makes_a_customer_and_lost_rests(room: Room) -> None:
    person, lead = await offer(room)
    await give(room, lead, "accept")
    await give(room, lead, "won")
    assert (await give(room, lead, "won")).effect is False
    assert (await room.leads.one(ADMIN, person.id))["stage"] == "customer"
    other, second = await offer(room, "kivi")
    await give(room, second, "lost", reason="no_budget")
    assert (await room.leads.one(ADMIN, other.id))["cooldown_until"] is not None
    assert [o.kind for o in await room.outcomes()] == ["accepted", "won", "lost"]


async def test_a_deal_of_the_crm_is_the_outcome(room: Room) -> None:
    person, lead = await offer(room)
    await give(room, lead, "accept")
    await room.send(person.says(60, cause("deal", "deal.won")))
    shown = await room.leads.one(ADMIN, person.id)
    assert (shown["stage"], shown["assignment"], shown["outcome"]) == ("customer", None, "won")
    assert [(o.kind, o.assignment_id) for o in await room.outcomes()][-1] == ("won", lead["assignment"]["id"])
    await room.send(person.says(60, cause("deal", "deal.won", reversed=True), kind="reversed"))
    assert (await room.leads.one(ADMIN, person.id))["stage"] == "qualified"
    other, _ = await offer(room, "kivi")
    await room.send(other.says(60, cause("lost", "deal.lost")))
    shown = await room.leads.one(ADMIN, other.id)
    assert (shown["assignment"], shown["cooldown_reason"]) == (None, "lost")


async def test_an_accepted_lead_is_kept_after_a_reversal_and_the_rep_is_told(room: Room) -> None:
    person, lead = await offer(room)
    await give(room, lead, "accept")
    await room.send(person.says(5, cause("fjordsoft w", "webinar.attended", reversed=True), kind="reversed"))
    shown = await room.leads.one(ADMIN, person.id)
    assert (shown["assignee"], shown["assignment"]["state"], shown["stage"]) == ("chloe", "accepted", "identified")
    [due] = await room.routed("due")
    assert (due.recipients, due.reasons[0].code) == (["chloe"], "evidence_reversed")
    [struck] = await room.routed("recalled")
    assert (struck.assignment, [w.event_id for w in struck.what]) == (None, [hex_of("event", "fjordsoft w")])


async def test_answers_race_with_reversals_without_a_trace_of_both(room: Room) -> None:
    """Whoever is first wins: accepted and kept, or recalled and refused; never both, never neither."""
    for domain in ("fjordsoft", "kivi", "tundra", "vesi"):
        person, lead = await offer(room, domain)
        message: LeadScored = person.says(5, cause(f"{domain} w", reversed=True), kind="reversed")
        got = await asyncio.gather(give(room, lead, "accept"), room.send(message), return_exceptions=True)
        [row] = await room.fetch("SELECT state FROM router.assignment WHERE lead_id = $1", lead["id"])
        assert row["state"] == ("recalled" if isinstance(got[0], Refused) else "accepted")


async def test_commands_follow_a_merge(room: Room) -> None:
    person, lead = await offer(room)
    other = Person("maria2@fjordsoft.example")
    await room.send(person.says(60, kind="merged", merged_into=other.id), other.says(60, merged_from=[person.id]))
    answered = await give(room, lead, "accept")
    assert (answered.lead_id, answered.state) == (other.id, "accepted")


async def test_a_pool_is_skipped_over_while_absent_and_not_flooded_on_return(room: Room) -> None:
    room.view = with_people(example_view(), chloe={"active": False})
    for index in range(4):
        person = Person(f"x{index}@gmail.com", domain=None)
        person.account = None
        await room.send(person.says(60, cause(str(index), "demo.requested"), windows={"demo_request": 1.0}))
    assert await owed(room) == {}
    shares = await room.fetch("SELECT rep_id, count(*) AS n FROM router.assignment GROUP BY rep_id ORDER BY rep_id")
    assert shares == [{"rep_id": "elin", "n": 2}, {"rep_id": "farid", "n": 2}]


async def test_the_message_of_a_won_deal_says_customer_and_of_one_ruled_out_disqualified(room: Room) -> None:
    _, lead = await offer(room)
    await give(room, lead, "accept")
    await give(room, lead, "won")
    _, other = await offer(room, "kivi")
    await give(room, other, "decline", reason="competitor")
    assert [closed.stage for closed in await room.routed("closed")] == ["customer", "disqualified"]


async def test_a_reversed_act_strikes_what_was_told_of_it_and_leaves_what_was_accepted(room: Room) -> None:
    person, lead = await offer(room)
    await give(room, lead, "accept")
    await room.send(person.says(60, cause("look", path="/pricing")))
    assert [w.event_id for a in await room.routed("alert") for w in a.what] == [hex_of("event", "look")]
    await room.send(person.says(60, cause("look", path="/pricing", reversed=True), kind="reversed"))
    [struck] = await room.routed("recalled")
    assert (struck.assignment, [w.event_id for w in struck.what]) == (None, [hex_of("event", "look")])
    assert (await room.leads.one(ADMIN, person.id))["assignment"]["state"] == "accepted"


async def test_a_recalled_offer_names_the_acts_that_were_taken_back(room: Room) -> None:
    person, _ = await offer(room)
    await room.send(person.says(5, cause("fjordsoft w", "webinar.attended", reversed=True), kind="reversed"))
    [recalled] = await room.routed("recalled")
    assert recalled.assignment is not None
    assert [w.event_id for w in recalled.what] == [hex_of("event", "fjordsoft w")]


async def test_a_pool_gives_each_rep_the_handovers_of_a_day_before_anybody_gets_more(room: Room) -> None:
    text = (EXAMPLES / "policy.yaml").read_text()
    room.policies.active = compile_policy(text.replace("handovers_per_day: 12", "handovers_per_day: 1"), 1)
    held = [(await offer(room, domain))[1]["assignee"] for domain in ("fjordsoft", "kivi", "tundra")]
    assert sorted(held) == ["chloe", "daavid", "emil"]
    vesi, lead = await offer(room, "vesi")
    assert lead["assignee"] == "chloe"
    [newest, *_], _ = await room.leads.decisions(ADMIN, vesi.id, 10, None)
    assert "over_handovers" in [reason["code"] for reason in newest["reasons"]]
    # What comes back untouched does not count, and tomorrow is another day.
    await give(room, lead, "decline", reason="not_now")
    [state] = await room.fetch(
        "SELECT state::json -> 'given' AS given FROM router.pool_state WHERE pool = 'sdr-midmarket'"
    )
    assert json.loads(state["given"]) == {"chloe": 1, "daavid": 1, "emil": 1}
