"""Cadences: contact steps after the handover, one after the other, until they reply, meet, decline or buy."""

import asyncio
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest

import services.router.service  # noqa: F401 registers the steps
from schemas.messages import LeadRouted
from services.policy.core.compile import compile_policy
from services.policy.core.policy import Policy
from services.router.commands.answers import Answered
from services.router.core.claim import Asked
from services.runtime.access import Identity
from services.runtime.db import Database
from services.runtime.errors import Fenced
from tests.support.routing import EXAMPLES, NOW, Person, Process, Room, cause, example_view, with_people

ADMIN = Identity("admin", None, "t", "admin")
ACCEPTED = NOW + timedelta(seconds=1)  # the room's clock
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TEXT = (EXAMPLES / "policy.yaml").read_text()


def policy_with(old: str, new: str) -> Policy:
    assert old in TEXT
    return compile_policy(TEXT.replace(old, new), 1)


async def give(room: Room, lead: dict[str, Any], command: Any, **more: Any) -> Answered:
    one = lead["assignment"]
    values: dict[str, Any] = {"assignment_id": one["id"], "gen": one["gen"], "rep": one["rep"], **more}
    return await room.answers.give(lead["id"], Asked(command=command, **values), lambda lead: True)


async def accepted(room: Room, email: str = "maria@fjordsoft.example") -> tuple[Person, dict[str, Any]]:
    person = Person(email)
    await room.send(person.says(60, cause(f"{email} w", "webinar.attended")))
    lead = await room.leads.one(ADMIN, person.id)
    await give(room, lead, "accept")
    return person, await room.leads.one(ADMIN, person.id)


async def timer(room: Room) -> datetime | None:
    rows = await room.fetch("SELECT due_at FROM router.timer WHERE kind = 'cadence'")
    return rows[0]["due_at"] if rows else None


async def told(room: Room) -> list[LeadRouted]:
    return [one for one in await room.routed("due") if one.reasons[0].code == "cadence_step"]


async def test_step_after_step_on_the_reps_days_until_the_last(room: Room) -> None:
    person, lead = await accepted(room)
    assert await told(room) == [], "nothing at once: the rep has the lead in front of them"
    await room.tick(ACCEPTED + 2 * HOUR - timedelta(seconds=1))
    assert await told(room) == []
    at = ACCEPTED + 2 * HOUR
    for days, words in ((0, "call"), (2, "send a mail"), (3, "call"), (4, "send a mail")):
        at += days * DAY
        await room.tick(at - timedelta(seconds=1))
        before = len(await told(room))
        await room.tick(at)
        *older, newest = await told(room)
        assert len(older) == before
        assert newest.why.endswith(f"cadence “first-two-weeks”: {words}")
    steps = await told(room)
    assert [one.why.split(" of ")[0] for one in steps] == ["Day 0", "Day 2", "Day 5", "Day 9"]
    assert {tuple(one.recipients) for one in steps} == {("chloe",)}
    assert steps[1].say is not None
    assert steps[1].say.subject == "Ska vi jämföra erfarenheter?", "without words of its own: the ready message"
    assert steps[3].say is not None
    assert steps[3].say.subject == "Shall I close the file, Maria?"
    assert "Chloe Carlsson" in steps[3].say.body
    assert {one.assignment.state for one in steps if one.assignment} == {"accepted"}
    assert await timer(room) is None
    shown = (await room.leads.one(ADMIN, person.id))["cadence"]
    assert (shown["step"], shown["steps"], shown["next"], shown["ended"]) == (4, 4, None, None)
    ids = [one for one in await room.ids() if ".cadence." in one]
    assert ids == [f"{lead['assignment']['id']}.cadence.{index}" for index in range(4)]


async def test_later_steps_come_when_the_rep_begins_work(room: Room) -> None:
    office = {"hours": "mon-fri 09:00-17:00", "timezone": "Europe/Helsinki"}
    room.view = with_people(example_view(), chloe=office)
    await accepted(room)  # Wednesday 12:00 in Helsinki
    await room.tick(datetime.fromisoformat("2026-03-04T14:00:01+02:00"))
    assert await timer(room) == datetime.fromisoformat("2026-03-06T09:00+02:00")
    await room.tick(datetime.fromisoformat("2026-03-06T09:00+02:00"))
    # Three working days after Friday.
    assert await timer(room) == datetime.fromisoformat("2026-03-11T09:00+02:00")


@pytest.mark.parametrize(
    ("command", "more"),
    [("decline", {"reason": "not_now"}), ("won", {}), ("lost", {"reason": "no_budget"})],
)
async def test_an_answer_ends_it(room: Room, command: str, more: dict[str, Any]) -> None:
    _, lead = await accepted(room)
    assert lead["cadence"]["next"]["do"] == "call"
    await give(room, lead, command, **more)
    assert await timer(room) is None
    await room.tick(NOW + 20 * DAY)
    assert await told(room) == []
    assert (await room.leads.one(ADMIN, lead["id"]))["cadence"] is None
    [row] = await room.fetch("SELECT memory::text FROM router.lead")
    assert "cadence" not in row["memory"]


@pytest.mark.parametrize("signal", ["email.replied", "meeting.booked"])
async def test_a_reply_or_a_meeting_ends_it_and_it_goes_on_when_that_is_taken_back(room: Room, signal: str) -> None:
    person, lead = await accepted(room)
    reply = cause("r", signal, at=ACCEPTED + HOUR)
    await room.send(person.says(60, reply, at=ACCEPTED + HOUR))
    assert await timer(room) is None
    shown = (await room.leads.one(ADMIN, lead["id"]))["cadence"]
    assert shown["next"] is None
    assert shown["ended"] in {"they replied", "a meeting is booked"}
    await room.tick(ACCEPTED + 3 * HOUR)
    assert await told(room) == []
    back = cause("r", signal, at=ACCEPTED + HOUR, reversed=True)
    await room.send(person.says(60, back, at=ACCEPTED + 3 * HOUR, kind="reversed"))
    await room.tick(ACCEPTED + 4 * HOUR)
    assert [one.why.split(" of ")[0] for one in await told(room)] == ["Day 0"]


async def test_machines_old_replies_and_clicks_do_not_end_it(room: Room) -> None:
    person, _ = await accepted(room)
    others = [
        cause("auto", "email.replied", at=ACCEPTED + HOUR, actor="machine"),
        cause("late", "email.replied", at=NOW - DAY),
        cause("click", "email.clicked", at=ACCEPTED + HOUR),
        cause("away", "meeting.booked", at=ACCEPTED + HOUR, human=0.0),
        cause("else", "email.replied", at=ACCEPTED + HOUR, reversed=True),
    ]
    await room.send(person.says(60, *others, at=ACCEPTED + HOUR))
    assert await timer(room) == ACCEPTED + 2 * HOUR


async def test_a_deal_in_the_crm_and_erasure_end_it(room: Room) -> None:
    one, _ = await accepted(room)
    await room.send(one.says(60, cause("won", "deal.won", at=ACCEPTED + HOUR), at=ACCEPTED + HOUR))
    assert await timer(room) is None
    other, _ = await accepted(room, "olli@kivi.example")
    assert await timer(room) is not None
    await room.send(other.says(at=ACCEPTED + HOUR, kind="erased"))
    assert await timer(room) is None
    [row] = await room.fetch("SELECT memory::text FROM router.lead WHERE erased")
    assert "cadence" not in row["memory"]


async def test_a_merge_takes_it_along(room: Room) -> None:
    loser, lead = await accepted(room)
    winner = Person("maria.virtanen@fjordsoft.example")
    await room.send(winner.says(60, at=ACCEPTED + HOUR, kind="merged", merged_from=[loser.id]))
    assert await room.fetch("SELECT lead_id FROM router.timer WHERE kind = 'cadence'") == [
        {"lead_id": (await room.fetch("SELECT id FROM router.lead WHERE email = $1", winner.email))[0]["id"]}
    ]
    await room.tick(ACCEPTED + 2 * HOUR)
    [step] = await told(room)
    assert step.lead.id == winner.id
    assert step.assignment is not None
    assert step.assignment.id == lead["assignment"]["id"]


async def test_a_snooze_keeps_the_step_back_and_moves_the_rest_along(room: Room) -> None:
    _, lead = await accepted(room)
    until = ACCEPTED + 5 * DAY
    await give(room, lead, "snooze", until=until)
    await room.tick(ACCEPTED + 3 * HOUR)
    assert await told(room) == []
    await room.tick(until + HOUR)
    due = [one.reasons[0].code for one in await room.routed("due")]
    assert due == ["snooze_ended", "cadence_step"], "the step's words are those that stay in the inbox"
    assert await timer(room) == until + HOUR + 2 * DAY


async def test_days_without_the_service_bring_one_step_not_three(room: Room) -> None:
    await accepted(room)
    await room.tick(ACCEPTED + 30 * DAY)
    assert len(await told(room)) == 1
    assert await timer(room) == ACCEPTED + 32 * DAY


async def test_one_that_begins_with_the_offer_begins_anew_with_the_next_rep(room: Room) -> None:
    room.policies.active = policy_with(
        "    segments: [enterprise, midmarket]\n    steps:\n      - {day: 0, do: call, after_hours: 2}",
        "    start: offered\n    steps:\n      - {day: 0, do: call, after_hours: 0.5}",
    )
    person = Person("maria@fjordsoft.example")
    await room.send(person.says(60, cause("w", "webinar.attended")))
    await room.tick(ACCEPTED + HOUR / 2)
    await room.tick(ACCEPTED + HOUR)
    assert (await room.leads.one(ADMIN, person.id))["assignment"]["gen"] == 2
    await room.tick(ACCEPTED + 1.5 * HOUR)
    assert [(one.recipients, one.why.split(" of ")[0]) for one in await told(room)] == [
        (["chloe"], "Day 0"),
        (["daavid"], "Day 0"),
    ]
    lead = await room.leads.one(ADMIN, person.id)
    before = await timer(room)
    await give(room, lead, "accept")
    assert await timer(room) == before, "an acceptance does not begin it again"


async def test_a_policy_without_it_ends_it_silently(room: Room) -> None:
    _, lead = await accepted(room)
    room.policies.active = policy_with("  - name: first-two-weeks\n", "  - name: another\n")
    assert (await room.leads.one(ADMIN, lead["id"]))["cadence"] is None
    await room.tick(ACCEPTED + 2 * HOUR)
    assert await told(room) == []
    assert await timer(room) is None
    [row] = await room.fetch("SELECT memory::text FROM router.lead")
    assert "cadence" not in row["memory"]


async def test_a_segment_without_one_has_none(room: Room) -> None:
    person = Person("paavo@pikkupaja.example")
    await room.send(person.says(60, cause("d", "demo.requested"), windows={"demo_request": 1.0}))
    lead = await room.leads.one(ADMIN, person.id)
    assert lead["segment"] == "volume"
    await give(room, lead, "accept")
    assert await timer(room) is None


async def test_a_step_is_told_once_when_the_transaction_fails(room: Room) -> None:
    await accepted(room)
    await room.fetch("UPDATE log.lease SET epoch = 2")
    with pytest.raises(Fenced):
        await room.tick(ACCEPTED + 2 * HOUR)
    assert await told(room) == []
    await room.fetch("UPDATE log.lease SET epoch = 1")
    for _ in range(3):
        await room.tick(ACCEPTED + 2 * HOUR)
    assert len(await told(room)) == 1


CHILD = """
import asyncio, sys
from services.runtime import crash
from services.runtime.db import Database
from tests.support.routing import Process

async def main():
    crash.arm(sys.argv[2])
    await Process(Database(sys.argv[1], pool_size=4)).start()
    await asyncio.sleep(30)

asyncio.run(main())
"""


@pytest.mark.parametrize("step", ["router.decided", "router.assigned"])
async def test_a_step_is_told_once_when_the_process_is_killed(
    step: str, room: Room, database: Database, database_url: str
) -> None:
    _, lead = await accepted(room)
    await room.fetch("DELETE FROM log.lease")
    child = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", CHILD, database_url, step], capture_output=True, timeout=60, check=False
    )
    assert child.returncode == 137, child.stderr[-2000:]
    process = await Process(database).start()
    async with asyncio.timeout(20):
        while not await told(room):
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    await process.stop()
    assert [one for one in await room.ids() if ".cadence." in one] == [f"{lead['assignment']['id']}.cadence.0"]
