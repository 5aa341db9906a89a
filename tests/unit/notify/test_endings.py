"""The fold: how a notice ends, or loses a part of what it tells: claimed, recalled, closed, erased."""

from schemas.messages import Reason
from services.notify.core.notice import encode
from tests.unit.notify.messages import OLLI, SOMEBODY, VERA, alert, handover, offer, told, viewed
from tests.unit.notify.office import Office


def test_claimed_tells_the_others_by_whom():
    office = Office()
    office.take(
        handover(rep="anna"), alert(recipients=["ben", "chloe"]), told("due", recipients=["chloe"], assignment=offer())
    )
    changed = office.take(told("claimed", by="anna", assignment=offer(state="accepted")))
    by_rep = {(n.rep, n.kind): n for n in changed}
    assert by_rep["anna", "handover"].assignment.state == "accepted"
    assert by_rep["anna", "handover"].state == "claimed"
    assert by_rep["ben", "visiting_now"].state == "claimed"
    assert by_rep["ben", "visiting_now"].by == "anna"
    assert by_rep["ben", "visiting_now"].note == "Taken by anna."
    assert by_rep["chloe", "due"].assignment.state == "closed"


def test_the_claimers_own_alert_and_alerts_about_others_too_stay():
    office = Office()
    office.take(alert(recipients=["anna", "ben"]), alert(OLLI, recipients=["ben"], what=[viewed("e2")]))
    assert office.take(told("claimed", by="anna")) == []


def test_recalled_strikes_the_offer_through_with_why():
    office = Office()
    office.take(handover(), handover(OLLI, rep="ben", offer_id="o2"))
    [gone] = office.take(told("recalled", assignment=offer(state="recalled"), why="The click was a scanner's."))
    assert (gone.rep, gone.state, gone.note, gone.assignment.state) == (
        "anna",
        "recalled",
        "The click was a scanner's.",
        "recalled",
    )
    assert office.take(told("recalled", assignment=offer(offer_id="other"), lead=OLLI)) == []
    [other] = office.take(told("recalled", lead=OLLI, reasons=[Reason(code="reversed", text="It was a machine.")]))
    assert other.note == "It was a machine."


def test_recalled_events_leave_their_alert():
    office = Office()
    office.take(alert(), alert(what=[viewed("e2")]))
    [part] = office.take(told("recalled", what=[viewed("e1")]))
    assert (part.state, [w.event_id for w in part.what], part.happened) == ("new", ["e2"], 1)
    assert office.take(told("recalled", what=[viewed("unknown")])) == []
    [gone] = office.take(told("recalled", what=[viewed("e2")]))
    assert (gone.state, gone.note) == ("recalled", "Withdrawn.")


def test_what_is_left_of_an_alert_is_told_in_its_own_words():
    office = Office()
    office.take(alert(why="Vera viewed /a"), alert(OLLI, what=[viewed("e2")], why="Olli viewed /b"))
    [joined] = office.of("anna")
    assert (joined.lead.id, joined.why) == (OLLI.id, "Olli viewed /b")
    [left] = office.take(told("recalled", lead=OLLI, what=[viewed("e2")]))
    assert (left.lead.id, left.lead.name, left.assignment) == (VERA.id, VERA.name, None)
    assert left.why.startswith(f"{VERA.name} is on the site now")
    assert OLLI.name not in left.say.body


def test_what_is_left_of_ones_own_acts_keeps_the_lead():
    office = Office()
    office.take(alert(why="Vera viewed /a"), alert(what=[viewed("e2")], why="Vera viewed /b"))
    [before] = office.of("anna")
    [left] = office.take(told("recalled", what=[viewed("e2")]))
    assert (left.lead, left.say, left.assignment) == (before.lead, before.say, before.assignment)
    assert (left.why == "Vera viewed /b", VERA.name in left.why) == (False, True)


def test_closed_ends_what_waits():
    office = Office()
    office.take(handover(), alert(recipients=["ben"]), handover(OLLI, rep="chloe", offer_id="o2"))
    changed = office.take(told("closed", assignment=offer(state="declined"), by="anna"))
    assert {(n.rep, n.state) for n in changed} == {("anna", "expired"), ("ben", "expired")}
    assert office.of("anna")[0].assignment.state == "declined"
    assert office.take(told("closed", lead=OLLI, assignment=offer(offer_id="older"))) == []
    [other] = office.take(told("closed", lead=OLLI))
    assert (other.assignment.state, other.note) == ("closed", "Closed.")


def test_closed_leaves_an_alert_that_is_about_others_too():
    office = Office()
    office.take(alert(), alert(OLLI, what=[viewed("e2")]))
    assert office.take(told("closed")) == []


def test_erased_leaves_nothing_personal_anywhere():
    office = Office()
    office.take(handover(), alert(), alert(OLLI, what=[viewed("e2")]), alert(SOMEBODY, recipients=["chloe"]))
    office.take(told("claimed", by="anna", assignment=offer(state="accepted")))
    office.take(told("erased"))
    text = "".join(encode(n) for one in office.desks.values() for n in one.notices.values())
    for personal in ("vera@", "Vera", "VP Operations"):
        assert personal not in text
    assert "olli@" in text
    alert_left = next(n for n in office.of() if n.kind == "visiting_now")
    assert alert_left.state == "new"
    assert [w.event_id for w in alert_left.what] == ["e2"]
    handed = next(n for n in office.of() if n.kind == "handover")
    assert (handed.state, handed.what, handed.lead.id) == ("claimed", [], VERA.id)


def test_erased_expires_what_was_open():
    office = Office()
    office.take(handover())
    [gone] = office.take(told("erased"))
    assert gone.state == "expired"
    assert gone.say is None


def test_acts_taken_back_strike_alerts_and_leave_the_offer():
    office = Office()
    office.take(handover(), alert())
    [struck] = office.take(told("recalled", what=alert().what))
    assert (struck.kind, struck.state) == ("visiting_now", "recalled")
