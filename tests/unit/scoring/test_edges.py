"""Small parts at their edges."""

from array import array

from services.scoring.core import companies, counting, identity, material
from services.scoring.core.companies import Companies
from services.scoring.core.counters import MOST, add, index_of
from services.scoring.core.counting import Counting
from services.scoring.core.emit import CauseIn, EmitIn, Member
from services.scoring.core.link import Lead
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
