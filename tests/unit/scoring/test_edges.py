"""Small parts at their edges."""

from array import array

from services.scoring.core import companies, counting, identity, material
from services.scoring.core.companies import Companies
from services.scoring.core.counters import MOST, add, index_of, total
from services.scoring.core.counting import Counting
from services.scoring.core.emit import CauseIn, EmitIn, Member
from services.scoring.core.identity import ANONYMOUS, EMAIL
from services.scoring.core.link import SELF, SIZE_MAX, Lead, Link, Ties
from services.scoring.core.profile import PENDING_MOST, Profile
from services.scoring.core.snapshot import Telling
from services.scoring.core.split import Held, part
from tests.support.offline import key_of
from tests.unit.scoring.support import NOW_MS, VIEW, Memory, message, policy


def test_a_counter_never_leaves_its_32_bits():
    state = array("I")
    index = index_of(state)
    assert add(state, index, 7, 5) == (0, 5)
    assert add(state, index, 7, -9) == (5, 0)
    assert add(state, index, 7, MOST + 5) == (0, MOST)
    assert index_of(state) == index


def test_what_was_taken_back_to_nothing_is_not_in_the_total():
    assert total([array("I", [20000 << 8 | 7, 0, 20000 << 8 | 8, 5]).tobytes()]) == {(8, 20000): 5}


def test_pending_engagement_fits_its_column():
    profile = Profile(b"k" * 16, 0, "x")
    profile.gain(1e12)
    assert profile.pending == PENDING_MOST
    profile.gain(-1e13)
    assert profile.pending == -PENDING_MOST


def test_caches_are_emptied_when_full(monkeypatch):
    monkeypatch.setattr(companies, "MOST", 2)
    monkeypatch.setattr(counting, "MOST", 2)
    answers = Companies(VIEW)
    assert [answers.is_named(d) for d in ("nordwind.example", "a.example", "b.example", "nordwind.example")] == [
        True,
        False,
        False,
        True,
    ]
    assert answers.named_by_ip("198.51.100.1") == answers.named_by_ip("198.51.100.1") == "nordwind.example"
    rules = Counting(policy())
    codes = [len(rules.of("page.viewed", path, None, None).parts) for path in ("/pricing", "/a", "/b", "/pricing")]
    assert codes == [2, 1, 1, 2]
    assert rules.of("Savings Calculator Used", None, None, None).code == 64
    names = identity.Names(1)
    names.remember(("user", "a", "user", "a"), ())
    names.remember(("user", "b", "user", "b"), ())
    assert len(names.groups) == 1


def test_profiles_are_read_and_written_as_stored():
    memory = Memory()
    memory.batch(
        message("email.delivered", {"email": "a@kivi.example"}, message_id="m", ago=500),
        message("person.identified", {"email": "a@kivi.example"}, traits={"title": "CFO"}, ago=9),
    )
    (one,) = memory.profiles.values()
    again = Profile(
        one.key,
        one.kind,
        one.value,
        1,
        one.seen_day,
        one.pending,
        one.state.tobytes(),
        one.packed_traits(),
        one.packed_mails(),
    )
    assert again.traits == one.traits
    assert again.mails == one.mails
    assert (again.packed_traits(), again.packed_mails()) == (one.packed_traits(), one.packed_mails())
    memory.profiles[one.key] = again
    done, _, _ = memory.batch(message("person.identified", {"email": "a@kivi.example"}, traits={"title": "COO"}))
    assert again.traits["title"].value == "COO"
    assert done.traits_changed
    memory.batch(
        message("email.delivered", {"email": "a@kivi.example"}, message_id="m"),
        message("email.delivered", {"email": "a@kivi.example"}),
    )
    assert again.mails["m"].delivered == NOW_MS - 500_000


def test_what_a_browser_did_just_now_is_told_with_the_person():
    memory = Memory()
    memory.batch(message("page.viewed", {"anonymous": "c"}, path="/pricing", ago=50))
    done, ties, _ = memory.batch(message("form.submitted", {"email": "a@kivi.example", "anonymous": "c"}))
    key = bytes.fromhex(key_of("anonymous", "c"))
    before = CauseIn(
        b"e" * 16, "page.viewed", NOW_MS - 50_000, NOW_MS, 1000, 0, None, "/pricing", None, None, False, "c"
    )
    (emit,) = material.told(done, ties, 5000, {key: [before]})
    assert [cause.signal for cause in emit.causes] == ["page.viewed", "form.submitted"]


def test_what_many_leads_share_is_worked_out_once():
    telling = Telling(policy(), VIEW)
    emit = EmitIn("changed", b"l" * 16, NOW_MS, True, "kivi.example", None, [])
    one, two = (telling.snapshot(emit, 1, [Member(0, f"{name}@kivi.example", True, 1)]) for name in ("a", "b"))
    assert one.account is two.account
    assert one.fit is two.fit
    assert telling.snapshot(emit, 1, [Member(2, "u", True, 1)]).account is None


def test_only_members_can_go():
    members = [Held(b"a" * 16, 2, "a", True, 1), Held(b"b" * 16, 2, "b", True, 1)]
    assert part(Lead(b"a" * 16), members, [b"x" * 16]) == "not_a_member"


def test_a_persons_own_browser_changes_nothing_again():
    memory = Memory()
    both = {"email": "a@kivi.example", "anonymous": "c"}
    memory.batch(message("x", both, ago=9))
    _, ties, emits = memory.batch(
        message("x", both), message("x", {**both, "user": "u"}), message("x", {**both, "user": "u"})
    )
    assert len(ties.changes.linked) == 1
    assert len(emits) == 1


def test_an_address_that_moves_takes_its_count_along():
    memory = Memory()
    memory.batch(
        message("x", {"user": "u"}, ago=9),
        message("x", {"email": "a@kivi.example", "user": "u"}, ago=8, trust="publishable"),
    )
    memory.batch(message("x", {"crm": "k"}, ago=7), message("x", {"email": "a@kivi.example", "crm": "k"}, ago=6))
    old, new = memory.leads[bytes.fromhex(key_of("user", "u"))], memory.leads[bytes.fromhex(key_of("crm", "k"))]
    assert [(lead.size, lead.emails) for lead in (old, new)] == [(1, 0), (2, 1)]


def kept(memory, *, lead, kind, value, known=True, size=1, verified=True):
    """A lead with one identifier, as it would come from the database."""
    key = bytes.fromhex(key_of({EMAIL: "email", ANONYMOUS: "anonymous"}[kind], value))
    memory.leads[lead] = Lead(lead, since=1, size=size, kinds=1 if kind == EMAIL else 0, known=known)
    memory.links[key] = Link(key, kind, value, lead, SELF, verified, 1)
    return key


def test_a_click_whose_signal_the_policy_has_given_up_is_taken_back_without_points():
    memory = Memory()
    who = {"email": "a@kivi.example"}
    memory.batch(message("email.clicked", who, message_id="m", link="https://x.example/1", ago=60))
    (profile,) = memory.profiles.values()
    (click,) = profile.mails["m"].clicks
    code = 200  # of no rule
    click.counters = [counter >> 8 << 8 | code for counter in click.counters]
    for counter in click.counters:
        profile.add(counter, click.weight)
    pending = profile.pending
    done, _, _ = memory.batch(
        *(message("email.clicked", who, message_id="m", link=f"https://x.example/{n}", ago=60 - n / 10) for n in (2, 3))
    )
    assert len(done.reversals) == 1
    assert profile.pending == pending
    assert [profile.state[profile.index[counter]] for counter in click.counters] == [0]


def test_clicks_of_a_scanner_are_no_alert_and_a_visitors_are_taken_back_in_silence():
    memory = Memory()

    def clicks(who, *numbers):
        return [
            message("email.clicked", who, message_id="m", link=f"https://x.example/{n}", ago=60 - n / 10)
            for n in numbers
        ]

    done, _, _ = memory.batch(*clicks({"email": "a@nordwind.example"}, 1, 2, 3))
    assert done.alerts
    assert not any(row.alert for row in done.alerts)
    memory.batch(*clicks({"anonymous": "c"}, 1, 2))
    done, _, emits = memory.batch(*clicks({"anonymous": "c"}, 3))
    assert len(done.reversals) == 2
    assert emits == []


def test_nobody_is_told_of_a_mailbox_that_names_neither_a_person_nor_a_company():
    memory = Memory()
    _, ties, emits = memory.batch(message("form.submitted", {"email": "info@gmail.com"}))
    assert len(ties.changes.created) == 1
    assert emits == []


def test_a_lead_that_nobody_was_told_of_is_merged_away_in_silence():
    memory = Memory()
    kept(memory, lead=b"v" * 16, kind=ANONYMOUS, value="c", known=False)
    _, ties, emits = memory.batch(message("form.submitted", {"email": "a@kivi.example", "anonymous": "c"}))
    assert [loser.id for loser, _ in ties.changes.merged] == [b"v" * 16]
    assert [emit.kind for emit in emits] == ["changed"]


def test_a_browser_does_not_pass_to_a_lead_that_is_full():
    memory = Memory()
    memory.batch(message("x", {"email": "a@kivi.example", "anonymous": "c"}, ago=50))
    kept(memory, lead=b"f" * 16, kind=EMAIL, value="full@nordwind.example", size=SIZE_MAX)
    _, ties, _ = memory.batch(message("x", {"email": "full@nordwind.example", "anonymous": "c"}, ago=40))
    assert ties.changes.refused["too_many_identifiers"] == 1
    assert ties.changes.turned == []


def test_a_link_that_followed_a_merge_is_written_from_where_it_is_stored():
    memory = Memory()
    key = kept(memory, lead=b"o" * 16, kind=EMAIL, value="a@kivi.example", verified=False)
    memory.leads[b"n" * 16] = Lead(b"n" * 16, since=1, size=2, kinds=1, known=True)
    memory.leads[b"o" * 16].merged_into = b"n" * 16
    _, ties, _ = memory.batch(message("x", {"email": "a@kivi.example"}))
    assert ties.changes.moved == {key: b"n" * 16}


def test_parted_leads_stay_apart_whatever_a_source_says():
    memory = Memory()
    one = kept(memory, lead=b"1" * 16, kind=EMAIL, value="a@kivi.example")
    other = kept(memory, lead=b"2" * 16, kind=EMAIL, value="b@kivi.example", verified=False)
    ties = Ties(memory.links, memory.leads, 9, lambda _: None, {frozenset((b"1" * 16, b"2" * 16))})
    names = memory.names
    idents = (names.ident("email", "a@kivi.example"), names.ident("email", "b@kivi.example"))
    ties.place(idents, 5, trusted=True)
    assert ties.lead_of(one).id == b"1" * 16
    assert ties.lead_of(other).id == b"2" * 16
    assert ties.changes.refused["parted_by_hand"] == 1


def test_a_mailbox_of_many_takes_no_browser_however_often_they_come_together():
    memory = Memory()
    who = {"email": "info@kivi.example", "anonymous": "c"}
    memory.batch(message("page.viewed", who, ago=9))
    _, ties, _ = memory.batch(message("page.viewed", who, ago=5))
    assert list(memory.links) == [bytes.fromhex(key_of("email", "info@kivi.example"))]
    assert not ties.changes.moved
