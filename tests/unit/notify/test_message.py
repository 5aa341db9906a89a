"""The fold: which notices a routed message makes and changes."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.messages import AccountRef, LeadRef, LeadRouted, What
from services.notify.core.budget import BURST
from services.notify.core.collapse import WHAT_MAX, collapse_key, joinable
from services.notify.core.desk import Desk
from services.notify.core.message import apply, kind_of, needs, notice_id, problem_of, reps_of
from services.notify.core.notice import decode, encode, shown
from tests.unit.notify.messages import NORDWIND, NOW, OLLI, SOMEBODY, VERA, alert, handover, offer, told, viewed
from tests.unit.notify.office import WINDOW_S, Office


def test_an_offer_becomes_one_handover_for_its_rep_alone():
    office = Office()
    [notice] = office.take(handover())
    assert (notice.rep, notice.kind, notice.state, notice.seq) == ("anna", "handover", "new", 1)
    assert notice.assignment.id == "o1"
    assert notice.why == "Named account, identified."
    assert notice.say.body
    assert not notice.quiet


def test_the_same_offer_told_twice_is_one_notice():
    office = Office()
    office.take(handover())
    assert office.take(handover()) == []


def test_handovers_never_join():
    office = Office()
    office.take(handover(), handover(OLLI, offer_id="o2"))
    assert [n.state for n in office.of()] == ["new", "new"]


def test_a_newer_offer_ends_the_older_one():
    office = Office()
    office.take(handover(rep="anna", gen=1))
    changed = office.take(handover(rep="ben", gen=2, offer_id="o2"))
    assert {(n.rep, n.state) for n in changed} == {("anna", "recalled"), ("ben", "new")}
    # An older offer that comes late ends nothing.
    office.take(handover(rep="chloe", gen=1, offer_id="o0"))
    assert office.of("ben")[0].state == "new"


def test_an_offer_again_under_the_same_id_but_a_new_generation():
    office = Office()
    office.take(handover(gen=1))
    changed = office.take(handover(gen=2))
    assert [n.state for n in changed] == ["recalled", "new"]


def test_decisions_without_an_open_offer_tell_nobody():
    office = Office()
    nurture = LeadRouted(kind="decided", lead=VERA, route="nurture")
    accepted = handover()
    accepted.assignment.state = "accepted"
    assert office.take(nurture, accepted) == []
    apply(office.desks, "x", accepted, NOW, WINDOW_S)
    assert office.of() == []


def test_an_alert_joins_for_thirty_minutes_from_the_first():
    office = Office()
    [first] = office.take(alert())
    later = NOW + timedelta(minutes=29)
    [again] = office.take(alert(what=[viewed("e2", later, "https://x/case")], at=later), now=later)
    assert again.id == first.id
    assert (again.state, again.seq, again.happened, len(again.what)) == ("joined", 2, 2, 2)
    assert again.fresh_until == later + timedelta(seconds=120)
    last = NOW + timedelta(minutes=30)
    [new] = office.take(alert(what=[viewed("e3", last)], at=last), now=last)
    assert new.id != first.id
    assert new.state == "new"


def test_an_alert_joined_before_it_was_ever_sent_is_still_new():
    office = Office()
    [notice] = office.take(alert(), alert(what=[viewed("e2")]))
    assert (notice.state, notice.seq, len(notice.what)) == ("new", 1, 2)


def test_alerts_of_another_kind_account_or_rep_do_not_join():
    office = Office()
    stella = AccountRef(domain="stella.example", name="Stella")
    notices = office.take(
        alert(), alert(kind="clicked"), alert(account=stella), alert(recipients=["ben"]), alert(account=None)
    )
    assert len({n.id for n in notices}) == 5


def test_two_people_of_one_account_join_and_the_latest_is_shown():
    office = Office()
    office.take(alert())
    [joined] = office.take(alert(SOMEBODY, what=[viewed("e9")]))
    assert joined.leads == [VERA.id, SOMEBODY.id]
    assert joined.lead.email is None
    assert joined.why == "Somebody from Nordwind Industries Oyj is on the site now: looked at /pricing."
    assert "Vera" not in joined.say.body
    assert [w.who for w in joined.what] == ["Vera Virta", "Somebody from Nordwind Industries Oyj"]


def test_late_news_is_missed_not_visiting_now():
    office = Office()
    office.take(alert())
    hour_ago = NOW - timedelta(hours=1)
    [missed] = office.take(alert(at=hour_ago, what=[viewed("e7", hour_ago)]))
    assert missed.kind == "you_missed"
    assert missed.quiet
    assert missed.fresh_until is None
    [joined] = office.take(alert(OLLI, at=hour_ago, what=[viewed("e8", hour_ago)]))
    assert joined.id == missed.id
    assert joined.fresh_until is None


def test_freshness_is_judged_again_when_it_is_shown():
    [notice] = Office().take(alert())
    assert shown(notice, NOW, delivered=False) is notice
    late = NOW + timedelta(seconds=121)
    assert shown(notice, late, delivered=False).kind == "you_missed"
    assert (shown(notice, late, delivered=True).kind, shown(notice, late, delivered=True).state) == (
        "visiting_now",
        "expired",
    )
    [offered] = Office().take(handover())
    assert shown(offered, late, delivered=False) is offered


def test_an_alert_without_a_kind_takes_it_from_what_was_done():
    def of(signal):
        return kind_of(alert(kind=None, what=[What(signal=signal, at=NOW)]), NOW)

    assert [of("email.opened"), of("email.clicked"), of("page.viewed")] == ["opened", "clicked", "visiting_now"]
    assert kind_of(alert(kind=None, what=[]), NOW) == "visiting_now"


def test_who_is_told():
    assert reps_of(alert(recipients=["anna", "ben", "anna"])) == ["anna", "ben"]
    assert reps_of(alert(recipients=[], assignee="ben")) == ["ben"]
    assert reps_of(alert(recipients=[], assignment=offer("chloe"), assignee="ben")) == ["chloe"]
    assert reps_of(alert(recipients=[])) == []
    assert reps_of(told("claimed")) == []
    assert reps_of(told("decided", assignment=offer(state="accepted"))) == []


def test_due_joins_per_offer():
    office = Office()
    [first] = office.take(told("due", recipients=["anna"], assignment=offer()))
    assert first.kind == "due"
    assert first.why == "Vera Virta is waiting for your answer."
    [again] = office.take(told("due", recipients=["anna"], assignment=offer(), why="45 minutes."))
    assert (again.id, again.state, again.why) == (first.id, "joined", "45 minutes.")
    [other] = office.take(told("due", recipients=["anna"]))
    assert other.id != first.id


def test_over_the_budget_alerts_come_quietly_but_come():
    office = Office()
    accounts = [AccountRef(domain=f"c{i}.example") for i in range(int(BURST) + 2)]
    notices = office.take(*[alert(account=a) for a in accounts])
    assert len(notices) == len(accounts)
    assert [n.quiet for n in notices] == [False] * int(BURST) + [True, True]
    [offered] = office.take(handover())
    assert not offered.quiet


def test_what_is_bounded_and_counted_and_each_event_once():
    office = Office()
    office.take(alert(what=[]))
    for i in range(WHAT_MAX + 5):
        office.take(alert(what=[viewed(f"x{i}", NOW + timedelta(seconds=i)), viewed("x0")]))
    office.take(alert(what=[viewed(None), viewed(None)]))
    [notice] = office.of()
    assert len(notice.what) == WHAT_MAX
    assert notice.happened >= WHAT_MAX + 7


def test_needs():
    wanted = needs(
        [
            handover(),
            alert(OLLI),
            alert(recipients=[]),
            told("claimed", lead=SOMEBODY),
            told("erased", lead=LeadRef(id="d" * 32)),
        ],
        NOW,
    )
    assert wanted.reps == {"anna"}
    assert wanted.keys == {"visiting_now|nordwind.example"}
    assert wanted.leads == {VERA.id, SOMEBODY.id}
    assert wanted.erased == {"d" * 32}


@pytest.mark.parametrize("bad", ["", "a\0b", "a b", "x" * 300])
def test_identifiers_that_cannot_be_stored(bad):
    for message in (
        alert(LeadRef(id=bad)),
        alert(recipients=[bad]),
        alert(account=AccountRef(domain=bad)),
        told("claimed", assignment=offer(rep=bad)),
    ):
        assert "identifier" in problem_of(message)


def test_times_need_their_zone():
    assert problem_of(alert()) is None
    naive = alert()
    naive.fresh_until = naive.fresh_until.replace(tzinfo=None)
    assert "zone" in problem_of(naive)


def test_a_notice_survives_its_json():
    [notice] = Office().take(alert())
    assert decode(encode(notice)) == notice
    assert notice.id == notice_id("m1", "anna")


kinds = st.sampled_from(["alert", "decided", "claimed", "recalled", "closed", "due", "erased"])


@given(
    st.lists(
        st.tuples(kinds, st.sampled_from([VERA, OLLI, SOMEBODY]), st.sampled_from(["anna", "ben"]), st.integers(0, 5)),
        max_size=25,
    )
)
def test_laws_seq_rises_without_gaps_and_each_notice_has_one_row(steps):
    office = Office("anna", "ben")
    seen = {"anna": 0, "ben": 0}
    for i, (kind, lead, rep, minutes) in enumerate(steps):
        now = NOW + timedelta(minutes=minutes)
        match kind:
            case "alert":
                message = alert(lead, recipients=[rep], what=[viewed(f"e{i}", now)], at=now)
            case "decided":
                message = handover(lead, rep=rep, gen=i, offer_id=f"o{i}")
            case _:
                message = told(kind, lead=lead, by=rep, recipients=[rep], what=[viewed(f"e{i - 1}")])
        for notice in office.take(message, now=now):
            seen[notice.rep] += 1
            assert notice.seq == seen[notice.rep]
    open_offers = [n for r in ("anna", "ben") for n in office.of(r) if n.kind == "handover" and n.open]
    assert len({n.lead.id for n in open_offers}) == len(open_offers)
    assert all(isinstance(d, Desk) for d in office.desks.values())
    assert NORDWIND.domain


def test_kinds_and_keys():
    assert kind_of(handover(), NOW) == "handover"
    assert kind_of(told("due"), NOW) == "due"
    assert collapse_key("handover", account="x", lead_id="1") is None
    assert joinable([], None, NOW, WINDOW_S) is None
    assert problem_of(LeadRouted(kind="closed", lead=VERA)) is None
    assert needs([told("decided"), told("due", recipients=["anna"])], NOW).keys == {f"due|{VERA.id}"}


def test_an_offer_leaves_notices_without_one_alone():
    office = Office()
    office.take(told("due", recipients=["anna"]))
    assert [n.kind for n in office.take(handover())] == ["handover"]


def test_an_offer_leaves_its_own_reminder_alone():
    office = Office()
    office.take(told("due", recipients=["anna"], assignment=offer()))
    assert [n.kind for n in office.take(handover())] == ["handover"]
