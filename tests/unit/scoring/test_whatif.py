"""What if one more event came? The same as when it does come, and nothing of the person is touched."""

import msgspec
import pytest

from services.policy.core.compile import compile_policy
from services.scoring.core import traits
from services.scoring.core.counters import total
from services.scoring.core.emit import Member
from services.scoring.core.identity import EMAIL, Names
from services.scoring.core.read import DAY_MS, Event, read
from services.scoring.core.whatif import NOBODY, Person, told, with_event
from tests.unit.scoring.support import EXAMPLES, NOW_MS, VIEW, Memory, message, policy

VERA = {"email": "vera@nordwind.example"}
TODAY = NOW_MS // DAY_MS


def event(signal, ids=VERA, **data) -> Event:
    found = read(message(signal, ids, **data), NOW_MS, Names(), 100_000)
    assert isinstance(found, Event)
    return found


def stored(memory: Memory, version=3) -> Person:
    """The one lead of `memory`, as the store reads it."""
    (lead,) = {link.lead for link in memory.links.values()}
    members = []
    for link in memory.links.values():
        profile = memory.profiles.get(link.key)
        state, facts = (profile.state.tobytes(), profile.packed_traits()) if profile else (b"", None)
        members.append(Member(link.kind, link.value, link.verified, link.since, state, facts))
    row = memory.leads[lead]
    return Person(lead=lead, version=version, known=row.known, account=row.account, members=members)


def counted(person: Person) -> dict[tuple[str, int], dict[tuple[int, int], int]]:
    return {(one.kind, one.value): total([one.state]) for one in person.members}


def facts(person: Person) -> dict[str, object]:
    return traits.merged(traits.unpack(one.traits) for one in person.members)


@pytest.mark.parametrize(
    ("signal", "ids", "more"),
    [
        ("page.viewed", VERA, {"path": "/pricing", "url": "https://a.example/pricing"}),
        ("page.viewed", {**VERA, "user": "u", "anonymous": "c"}, {"path": "/about"}),
        ("email.clicked", VERA, {"link": "https://a.example/pricing"}),
        ("email.opened", VERA, {}),
        ("page.viewed", VERA, {"path": "/pricing", "actor": "machine"}),
        ("person.identified", VERA, {"traits": {"title": "CFO"}}),
        ("person.identified", {**VERA, "user": "u"}, {"account": {"name": "Nordwind"}, "trust": "publishable"}),
        ("savings_calculator_used", VERA, {"name": "Savings Calculator Used"}),
        ("never.heard", VERA, {}),
    ],
)
def test_the_trial_counts_what_the_fold_counts(signal, ids, more):
    """The trial has its own code for one event: it must not say anything that scoring would not."""
    memory = Memory()
    memory.batch(
        message("person.identified", VERA, ago=99, traits={"title": "Buyer"}), message("page.viewed", VERA, ago=60)
    )
    value = message(signal, ids, **more)
    one = read(value, NOW_MS, Names(), 100_000)
    assert isinstance(one, Event)
    tried, cause = with_event(stored(memory), one, policy())
    memory.batch(value)
    real = stored(memory)
    assert counted(tried) == counted(real)
    assert facts(tried) == facts(real)
    assert (tried.lead, tried.known) == (real.lead, real.known)
    assert cause.weight == memory.weights[one.id]


def test_the_person_is_left_as_it_was():
    memory = Memory()
    memory.batch(message("person.identified", VERA, traits={"title": "Buyer"}))
    person = stored(memory)
    before = msgspec.msgpack.encode(person)
    after, _ = with_event(person, event("form.submitted", {**VERA, "user": "u"}, traits={"title": "CFO"}), policy())
    assert msgspec.msgpack.encode(person) == before
    assert len(after.members) == 2
    assert after != person


def test_a_stranger_becomes_known_by_a_strong_identifier_only():
    visitor, cause = with_event(Person(), event("page.viewed", {"anonymous": "c"}, path="/pricing"), policy())
    assert (visitor.lead, visitor.known, cause.visitor) == (NOBODY, False, "c")
    person, cause = with_event(visitor, event("form.submitted", {**VERA, "anonymous": "c"}), policy())
    assert (person.known, cause.visitor) == (True, "c")
    assert [one.value for one in person.members] == ["c", VERA["email"]]
    # Counted for the strongest; the browser keeps what it had.
    assert counted(person)[EMAIL, VERA["email"]] == {(policy().signals["form.submitted"].code, TODAY): 1000}
    assert person.members[0] == visitor.members[0]
    again, cause = with_event(person, event("page.viewed"), policy())
    assert (again.known, cause.visitor, len(again.members)) == (True, None, 2)


def test_who_is_known_stays_known_in_a_browser_without_a_name():
    person, _ = with_event(Person(known=True), event("page.viewed", {"anonymous": "c"}), policy())
    assert person.known


def test_a_click_counts_by_its_link_as_well_as_a_page_by_its_address():
    text = (EXAMPLES / "policy.yaml").read_text()
    more = "  price_clicks: {of: email.clicked, url_contains: /prices, points: 3, half_life: 14d}\n  demo_request:\n"
    rules = compile_policy(text.replace("  demo_request:\n", more, 1))
    there = {"link": "https://a.example/prices", "url": "https://mail.example/r/1"}
    for data, counts in ((there, True), ({"url": there["link"]}, True), ({"url": there["url"]}, False)):
        person, cause = with_event(Person(), event("email.clicked", **data), rules)
        said = told(person, [cause], rules, VIEW, NOW_MS)
        assert ("price_clicks" in {part.signal for part in said.curve}) is counts, data


def test_only_a_secret_key_vouches_for_a_new_identifier():
    (sure,) = with_event(Person(), event("form.submitted"), policy())[0].members
    (unsure,) = with_event(Person(), event("form.submitted", trust="publishable"), policy())[0].members
    assert (sure.verified, unsure.verified) == (True, False)
    assert sure.since == NOW_MS


def test_a_machine_is_named_as_such_and_counts_nothing():
    person, cause = with_event(Person(), event("page.viewed", actor="machine", path="/pricing"), policy())
    assert counted(person) == {(EMAIL, VERA["email"]): {}}
    said = told(person, [cause], policy(), VIEW, NOW_MS)
    assert (said.causes[0].actor, said.causes[0].human, said.curve) == ("machine", 0.0, [])


def test_what_would_be_told():
    memory = Memory()
    memory.batch(message("person.identified", VERA, traits={"title": "VP Operations"}))
    stands = stored(memory)
    quiet = told(stands, [], policy(), VIEW, NOW_MS)
    assert (quiet.kind, quiet.lead_id, quiet.version, quiet.policy_version) == ("changed", stands.lead.hex(), 4, 1)
    assert (quiet.causes, quiet.known, quiet.windows) == ([], True, {})
    one = event("page.viewed", path="/pricing", url="https://a.example/pricing")
    person, cause = with_event(stands, one, policy())
    loud = told(person, [cause], policy(), VIEW, NOW_MS)
    assert loud.windows == {"pricing_visits": [(TODAY, 1000)]}
    assert {part.signal: part.points for part in loud.curve}["pricing_visits"] > 0
    assert (loud.person.email, loud.person.role) == (VERA["email"], "decision_maker")
    assert loud.account is not None
    assert (loud.account.domain, loud.account.named) == ("nordwind.example", True)
    assert [(c.event_id, c.path, c.human) for c in loud.causes] == [(one.id.hex(), "/pricing", 1.0)]


def test_the_points_fade_with_the_time_that_is_asked_about():
    person, _ = with_event(Person(), event("form.submitted"), policy())

    def points(now_ms: int) -> float:
        (part,) = told(person, [], policy(), VIEW, now_ms).curve
        return part.points

    assert points(NOW_MS + 30 * DAY_MS) == pytest.approx(points(NOW_MS) / 2, rel=1e-6)


def test_a_visitor_gets_the_account_of_its_network():
    said = told(Person(network="nordwind.example"), [], policy(), VIEW, NOW_MS)
    assert said.account is not None
    assert (said.account.domain, said.account.matched_by, said.version) == ("nordwind.example", "network", 1)
