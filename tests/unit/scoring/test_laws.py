"""Laws: order, split and repetition of events do not matter; merging and un-merging lose nothing."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scoring.core.counters import pairs, total
from services.scoring.core.link import Lead
from services.scoring.core.split import Held, part
from tests.support.offline import expect
from tests.unit.scoring.support import Memory, message, policy

PEOPLE = [
    {"email": "a@kivi.example"}, {"user": "u1"}, {"email": "b@nordwind.example", "user": "u2"}, {"anonymous": "c1"}, {"crm": "x"},
]  # fmt: skip
SIGNALS = ["page.viewed", "email.opened", "form.submitted", "demo.requested", "something.else", "deal.won"]


@st.composite
def stories(draw):
    """Messages of a few people, clicks of two mails among them."""
    out = []
    for number in range(draw(st.integers(1, 25))):
        ids = draw(st.sampled_from(PEOPLE))
        ago = draw(st.one_of(st.integers(0, 20), st.integers(0, 100 * 86400)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            data = {
                "message_id": draw(st.sampled_from(["m1", "m2"])),
                "link": f"https://l.example/{draw(st.integers(0, 4))}",
            }
            actor = draw(st.sampled_from([None, None, "human", "machine"]))
            out.append(
                message("email.clicked", ids, ago, id_=str(number), **data, **({"actor": actor} if actor else {}))
            )
        elif kind == 1:
            out.append(
                message("email.delivered", ids, ago, id_=str(number), message_id=draw(st.sampled_from(["m1", "m2"])))
            )
        else:
            path = draw(st.sampled_from([None, "/pricing", "/blog"]))
            out.append(message(draw(st.sampled_from(SIGNALS)), ids, ago, id_=str(number), path=path))
    return out


def cut(values, order):
    rest = list(values)
    while rest:
        size = order.randint(1, len(rest))
        yield rest[:size]
        rest = rest[size:]


@settings(deadline=None, max_examples=150)
@given(stories(), st.randoms(use_true_random=False))
def test_any_order_any_cut_any_repetition_equals_a_plain_fold(story, order):
    wanted = expect(story, policy()).counters
    memory = Memory()
    delivered = story + order.choices(story, k=len(story) // 2)
    order.shuffle(delivered)
    for batch in cut(delivered, order):
        memory.batch(*batch)
    assert memory.counters() == wanted
    assert {id_.hex() for id_ in memory.seen} == expect(story, policy()).events


@settings(deadline=None, max_examples=60)
@given(stories(), st.randoms(use_true_random=False))
def test_each_events_final_weight_is_the_same_in_any_order(story, order):
    first, second = Memory(), Memory()
    first.batch(*story)
    shuffled = list(story)
    order.shuffle(shuffled)
    for batch in cut(shuffled, order):
        second.batch(*batch)
    assert first.weights == second.weights


IDS = st.lists(
    st.tuples(st.sampled_from(["email", "user", "crm"]), st.integers(0, 3)),
    min_size=1,
    max_size=3,
    unique_by=lambda pair: pair[0],
)


@settings(deadline=None, max_examples=100)
@given(st.lists(IDS, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_people_are_joined_as_connected_evidence_says_in_any_order(named, order):
    story = [
        message(
            "person.identified",
            {k: f"v{n}@kivi.example" if k == "email" else f"v{n}" for k, n in ids},
            ago=number,
            id_=str(number),
        )
        for number, ids in enumerate(named)
    ]
    wanted = sorted(expect(story, policy()).together, key=sorted)
    for _ in range(2):
        memory = Memory()
        for batch in cut(story, order):
            memory.batch(*batch)
        assert memory.groups() == wanted
        for key, lead in memory.leads.items():
            if lead.merged_into is None:
                members = [link for link in memory.links.values() if link.lead == key]
                assert (lead.size, lead.emails) == (len(members), sum(link.kind == 0 for link in members))
        order.shuffle(story)


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(st.tuples(st.integers(1, 255), st.integers(20_000, 20_100)), st.integers(1, 10_000)), max_size=4
    )
)
def test_a_merged_lead_has_the_sum_of_its_members(members):
    from array import array

    states = [
        array("I", [n for (code, day), count in one.items() for n in (day << 8 | code, count)]).tobytes()
        for one in members
    ]
    wanted = {}
    for one in members:
        for key, count in one.items():
            wanted[key] = wanted.get(key, 0) + count
    assert total(states) == wanted
    assert [{(c, d): n for c, d, n in pairs(state)} for state in states] == members


@settings(deadline=None)
@given(st.sets(st.integers(0, 9), min_size=2), st.randoms(use_true_random=False))
def test_parting_and_joining_again_is_nothing(numbers, order):
    members = [
        Held(bytes([n]) * 16, order.choice([0, 1, 2, 3]), f"v{n}@kivi.example", True, order.randint(0, 9))
        for n in numbers
    ]
    leaving = [one.key for one in members if order.random() < 0.5]
    parted = part(Lead(members[0].key), members, leaving)
    if isinstance(parted, str):
        assert parted == "nobody_left"
        return
    strong = sorted((m for m in members if m.kind != 3), key=lambda m: (m.since, m.kind, m.key))
    assert parted.old.size + parted.new.size == len(members)
    assert strong[0].key not in parted.moved
    assert parted.new.id in parted.moved
    assert parted.old.emails + parted.new.emails == sum(m.kind == 0 for m in members)
    assert parted.old.kinds | parted.new.kinds == sum(1 << k for k in {m.kind for m in strong})


def test_the_verifier_itself_counts_a_simple_story():
    story = [message("page.viewed", {"user": "u"}, path="/pricing", id_="1")] * 3
    (counters,) = expect(story, policy()).counters.values()
    assert sorted(counters.values()) == [1000, 1000]
    assert random.Random(1).random() < 1
