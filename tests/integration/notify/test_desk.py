"""What a rep's page asks of the inbox: how much waits, counted as the rep counts."""

from services.notify.api.desk import RepDesk
from services.notify.core.notice import ShownAssignment
from services.runtime.clock import FixedClock
from tests.integration.notify.far import Rig, notice, put


async def test_an_offer_and_its_reminder_are_one_thing_however_many_there_are(rig: Rig, clock: FixedClock) -> None:
    def offer(number: int, kind: str = "handover"):
        behind = ShownAssignment(id=f"o{number}", gen=1, state="offered")
        return notice(clock, kind=kind, assignment=behind)

    desk = RepDesk(rig.db, clock)
    await put(rig.db, *(offer(n) for n in range(60)), *(offer(n, "due") for n in range(60)))
    listed, count, seq = await desk.open("anna", 50)
    # Those that are listed are reminders alone; what they remind of stands further down.
    assert (len(listed), count, seq) == (50, 60, 120)
    assert {one.notice.kind for one in listed} == {"due"}
    # Alerts of a lead with an offer are things of their own, and so is an offer that nobody can tell from others.
    alert = notice(clock, kind="visiting_now", assignment=ShownAssignment(id="o1", gen=1, state="offered"))
    await put(
        rig.db, alert, notice(clock, kind="handover", assignment=None), notice(clock, kind="due", assignment=None)
    )
    _, count, _ = await desk.open("anna", 50)
    assert count == 63
