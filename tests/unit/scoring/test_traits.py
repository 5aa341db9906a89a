"""What is known of the person, in any order."""

from hypothesis import given
from hypothesis import strategies as st

from services.scoring.core import traits
from services.scoring.core.traits import Trait

SAID = st.lists(
    st.tuples(
        st.sampled_from(["title", "name"]), st.sampled_from(["a", "b", 3, True]), st.booleans(), st.integers(0, 3)
    ),
    max_size=12,
)


@given(SAID, st.randoms(use_true_random=False))
def test_the_order_in_which_facts_come_does_not_matter(said, order):
    def learned(facts):
        known = {}
        for name, value, verified, at in facts:
            traits.learn(known, {name: value}, None, verified=verified, at=at)
        return known

    shuffled = list(said)
    order.shuffle(shuffled)
    assert learned(said) == learned(shuffled)


def test_a_verified_fact_beats_a_newer_claim():
    known = {}
    assert traits.learn(known, {"title": "CFO"}, None, verified=True, at=1) is True
    assert traits.learn(known, {"title": "Intern"}, None, verified=False, at=9) is False
    assert traits.learn(known, {"title": "CFO"}, None, verified=True, at=9) is False
    assert known["title"] == Trait(True, 9, "CFO")


def test_only_plain_facts_are_kept_and_not_too_many():
    known = {}
    said = {
        "a": None,
        "b": [],
        "c": "  ",
        "d": " x ",
        "e": 1.5,
        "f": True,
        "g": 2**60,
        "company": {"name": "Kivi", "size": {"x": 1}},
    }
    traits.learn(known, said, {"domain": "kivi.example"}, verified=True, at=1)
    assert {name: trait.value for name, trait in known.items()} == {
        "d": "x", "e": 1.5, "f": True, "account.name": "Kivi", "account.domain": "kivi.example",
    }  # fmt: skip
    traits.learn(known, {f"t{n:03}": n for n in range(100)}, None, verified=True, at=1)
    assert len(known) == traits.NAMES_MAX
    assert traits.unpack(traits.pack(known)) == known
    assert traits.pack({}) is None
    assert traits.unpack(None) == {}


def test_the_person_is_read_from_many_spellings():
    assert traits.person({"firstName": "Eve", "last_name": "Koski", "jobTitle": "CFO", "account.name": "X", "locale": "fi"}) == {
        "name": "Eve Koski", "title": "CFO", "language": "fi",
    }  # fmt: skip
    assert traits.person({"name": "Eve", "firstName": "E", "title": 7, "phone": ""}) == {"name": "Eve"}


def test_what_an_event_says_of_the_company_stands_before_the_persons_words():
    facts = traits.company(
        {"name": "Eve", "company": "Own Words", "Industry": "x", "account.name": "Kivi", "account.industry": "retail"}
    )
    assert facts == {"company": "Kivi", "industry": "retail"} or facts["company"] == "Kivi"
    assert "name" not in facts


def test_members_are_merged_by_the_same_rule():
    assert traits.merged([{"t": Trait(True, 1, "a")}, {"t": Trait(False, 5, "b"), "u": Trait(False, 1, 1)}, {}]) == {
        "t": "a",
        "u": 1,
    }
