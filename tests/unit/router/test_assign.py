"""Who gets the lead: the laws of sharing, and why somebody is skipped."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.router.core.assign import UNIT, choose, credits_after, credits_returned
from services.router.core.model import Member, Roster

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
POOL = "sdr"


def roster(weights: dict[str, int], credits_: dict[str, int], away: frozenset[str] = frozenset(), **more) -> Roster:
    members = [
        Member(
            rep=rep,
            weight=weight,
            credit=credits_.get(rep, 0),
            ok=rep not in away,
            code="absent" if rep in away else "available",
        )
        for rep, weight in weights.items()
    ]
    return Roster(pool=POOL, members=members, **more)


def give(weights: dict[str, int], absences: list[frozenset[str]]) -> tuple[list[str | None], list[dict[str, float]]]:
    """Picks, and after each one how many leads every rep is owed by the weights of those who were there."""
    credits_: dict[str, int] = {}
    owed = dict.fromkeys(weights, 0.0)
    picks, history = [], []
    for away in absences:
        pick = choose(roster(weights, credits_, away), POOL, NOW)
        credits_ = credits_after(pick, credits_)
        there = {rep: w for rep, w in weights.items() if rep not in away}
        for rep, weight in there.items():
            owed[rep] += weight / sum(there.values())
        if pick.rep is not None:
            owed[pick.rep] -= 1
        picks.append(pick.rep)
        history.append(dict(owed))
    return picks, history


def test_smooth_weighted_round_robin_is_smooth() -> None:
    picks, _ = give({"a": 5, "b": 1, "c": 1}, [frozenset()] * 7)
    assert "".join(map(str, picks)) == "aabacaa"


def test_the_example_pool_shares_four_leads_as_two_one_one() -> None:
    picks, _ = give({"chloe": 2, "daavid": 1, "emil": 1}, [frozenset()] * 8)
    assert picks == ["chloe", "daavid", "emil", "chloe"] * 2


weights_of = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 9), min_size=1, max_size=8)


@settings(max_examples=1000, deadline=None)
@given(weights_of, st.integers(1, 80))
def test_nobody_is_more_than_one_lead_from_what_the_weights_say_at_any_prefix(
    weights: dict[str, int], leads: int
) -> None:
    _, history = give(weights, [frozenset()] * leads)
    assert all(abs(owed) <= 1 + 1e-6 for step in history for owed in step.values())


def test_the_one_who_is_owed_most_is_passed_over_when_others_would_wait_too_long() -> None:
    weights = dict.fromkeys("abcdefg", 1) | {"h": 9}
    _, history = give(weights, [frozenset()] * 16)
    assert max(abs(owed) for step in history for owed in step.values()) <= 1


@settings(max_examples=300)
@given(weights_of, st.integers(1, 80))
def test_whole_rounds_give_exactly_the_weights(weights: dict[str, int], rounds: int) -> None:
    total = sum(weights.values())
    picks, _ = give(weights, [frozenset()] * (total * min(rounds, 3)))
    assert {rep: picks.count(rep) for rep in weights} == {rep: w * min(rounds, 3) for rep, w in weights.items()}


@settings(max_examples=200)
@given(st.data(), weights_of)
def test_absences_keep_everybody_close_and_nobody_is_flooded_on_return(
    data: st.DataObject, weights: dict[str, int]
) -> None:
    """Entitlement counts only while a rep is there. The bound is what a search over many pools found (1.11), rounded up."""
    away = st.frozensets(st.sampled_from(sorted(weights)), max_size=len(weights) - 1)
    absences = data.draw(st.lists(away, min_size=1, max_size=60))
    picks, history = give(weights, absences)
    assert all(pick not in gone for pick, gone in zip(picks, absences, strict=True))
    assert all(abs(owed) < 1.25 for step in history for owed in step.values())


@given(weights_of, st.integers(0, 40))
def test_leave_freezes_the_credit(weights: dict[str, int], leads: int) -> None:
    weights = {**weights, "z": 3}
    credits_: dict[str, int] = {}
    for _ in range(5):
        credits_ = credits_after(choose(roster(weights, credits_), POOL, NOW), credits_)
    before = credits_.get("z", 0)
    for _ in range(leads):
        credits_ = credits_after(choose(roster(weights, credits_, frozenset("z")), POOL, NOW), credits_)
    assert credits_.get("z", 0) == before


@given(weights_of, st.integers(0, 30))
def test_a_returned_credit_leaves_no_trace(weights: dict[str, int], leads: int) -> None:
    credits_: dict[str, int] = {}
    for _ in range(leads):
        credits_ = credits_after(choose(roster(weights, credits_), POOL, NOW), credits_)
    pick = choose(roster(weights, credits_), POOL, NOW)
    after = credits_after(pick, credits_)
    assert sum(after.values()) == 0
    assert pick.rep is not None
    returned = credits_returned(pick.rep, pick.shares, after)
    assert {k: v for k, v in returned.items() if v} == {k: v for k, v in credits_.items() if v}
    assert sum(pick.shares.values()) == UNIT


def test_a_pick_outside_the_pool_costs_no_credit() -> None:
    owner = Member(rep="anna", name="Anna")
    pick = choose(roster({"a": 1}, {}, owner=owner), POOL, NOW)
    assert (pick.rep, pick.via, pick.reason.code) == ("anna", "owner", "owner_of_account")
    assert credits_after(pick, {"a": 5}) == {"a": 5}
    assert credits_returned("anna", pick.shares, {"a": 5}) == {"a": 5}


def test_an_account_has_one_rep_before_fairness() -> None:
    pick = choose(roster({"a": 1, "b": 1}, {"b": -UNIT}, account_rep=Member(rep="b", name="Bo")), POOL, NOW)
    assert (pick.rep, pick.via, pick.reason.text) == ("b", "account", "Bo already works this account")


def test_the_rep_of_the_account_keeps_it_over_a_weekend_but_not_over_a_holiday() -> None:
    def away(days: int | None) -> Member:
        until = None if days is None else NOW + timedelta(days=days)
        return Member(rep="b", ok=False, code="absent", text="Bo is absent", until=until)

    assert choose(roster({"a": 1}, {}, account_rep=away(3)), POOL, NOW).rep == "b"
    for days in (5, None):
        pick = choose(roster({"a": 1}, {}, account_rep=away(days)), POOL, NOW)
        assert pick.rep == "a"
        assert [(c.rep, c.code) for c in pick.candidates] == [("b", "absent"), ("a", "next_in_turn")]


def test_the_rep_of_the_account_is_named_once_and_their_return_counts_for_the_next_try() -> None:
    back = NOW + timedelta(days=9)
    away = Member(rep="a", ok=False, code="absent", until=back)
    pick = choose(Roster(pool=POOL, members=[away], account_rep=away), POOL, NOW)
    assert (pick.retry_at, [c.rep for c in pick.candidates]) == (back, ["a"])


def test_every_candidate_is_told_why_not() -> None:
    members = [
        Member(rep="zero", weight=0),
        Member(rep="full", open=8, open_limit=8, name="Anna"),
        Member(rep="today", day=3, day_limit=3),
        Member(rep="away", ok=False, code="outside_hours", text="Bo is off work", until=NOW + timedelta(hours=2)),
        Member(rep="left", ok=False, code="inactive"),
        Member(rep="again"),
        Member(rep="next", credit=5),
        Member(rep="other"),
    ]
    pick = choose(Roster(pool=POOL, members=members), POOL, NOW, refused=["again"])
    codes = {c.rep: c.code for c in pick.candidates}
    assert codes == {
        "zero": "weight_zero", "full": "full", "today": "full_today", "away": "outside_hours", "left": "inactive",
        "again": "gave_it_back", "next": "next_in_turn", "other": "not_next",
    }  # fmt: skip
    assert "Anna: 8 of 8 open" in {c.text for c in pick.candidates}
    assert pick.rep == "next"


def test_ties_go_to_who_has_waited_longest_then_by_name() -> None:
    members = [
        Member(rep="b", last_at=NOW),
        Member(rep="c", last_at=NOW - timedelta(days=1)),
        Member(rep="d", last_at=NOW),
    ]
    assert choose(Roster(pool=POOL, members=members), POOL, NOW).rep == "c"
    assert choose(Roster(pool=POOL, members=[*members, Member(rep="a")]), POOL, NOW).rep == "a"


@pytest.mark.parametrize(
    ("members", "code", "wait"),
    [
        ([], "empty_pool", timedelta(hours=1)),
        ([Member(rep="a", ok=False, code="inactive")], "nobody_available", timedelta(hours=1)),
        ([Member(rep="a", ok=False, until=NOW + timedelta(hours=5)), Member(rep="b", ok=False, until=NOW + timedelta(hours=3))], "nobody_available", timedelta(hours=3)),
        ([Member(rep="a", ok=False, until=NOW - timedelta(hours=3))], "nobody_available", timedelta(minutes=1)),
        ([Member(rep="a", day=1, day_limit=1)], "nobody_available", timedelta(hours=14)),
    ],
)  # fmt: skip
def test_nobody_there_gives_a_date(members: list[Member], code: str, wait: timedelta) -> None:
    pick = choose(Roster(pool=POOL, members=members), POOL, NOW)
    assert (pick.rep, pick.reason.code, pick.retry_at) == (None, code, NOW + wait)
    assert "asked again at" in pick.reason.text
    assert credits_after(pick, {"a": 3}) == {"a": 3}


def test_when_everybody_gave_it_back_the_manager_is_asked() -> None:
    boss = Member(rep="maria", name="Maria")
    pick = choose(roster({"a": 1, "b": 1}, {}, manager=boss), POOL, NOW, refused=["a", "b"])
    assert (pick.rep, pick.via) == ("maria", "manager")
    assert "everybody in sdr gave it back" in pick.reason.text
    refused = choose(roster({"a": 1}, {}, manager=boss), POOL, NOW, refused=["a", "maria"])
    assert refused.rep is None
    assert choose(roster({"a": 1}, {}, frozenset("a"), manager=boss), POOL, NOW).rep is None


def test_an_owner_handover_falls_to_the_manager_and_then_waits() -> None:
    gone = Member(rep="anna", name="Anna", ok=False, code="absent", until=NOW + timedelta(days=9))
    boss = Member(rep="maria", name="Maria")
    assert choose(Roster(owner=gone, manager=boss), "owner", NOW).rep == "maria"
    waits = choose(Roster(owner=gone), "owner", NOW)
    assert (waits.reason.code, waits.retry_at) == ("owner_absent", NOW + timedelta(days=9))
    left = choose(Roster(owner=Member(rep="anna", ok=False, code="inactive")), "owner", NOW)
    assert left.retry_at == NOW + timedelta(hours=1)
    assert choose(Roster(), "owner", NOW).reason.code == "no_owner"
    same = Member(rep="anna", name="Anna")
    assert len(choose(Roster(owner=gone, account_rep=same, manager=boss), "owner", NOW).candidates) == 2


def test_choosing_is_repeatable() -> None:
    one = roster({"a": 2, "b": 1}, {"a": 7}, account_rep=Member(rep="x", ok=False))
    assert choose(one, POOL, NOW) == choose(one, POOL, NOW)


def day(limit: int | None, **had: int) -> Roster:
    """A pool in which `a` has weight 2 and everybody has had some handovers today."""
    members = [
        Member(rep=rep, weight=2 if rep == "a" else 1, handovers=n, handovers_limit=limit) for rep, n in had.items()
    ]
    return Roster(pool=POOL, members=members)


def test_who_has_had_the_handovers_of_a_day_is_passed_over_while_others_have_not() -> None:
    pick = choose(day(3, a=3, b=2, c=3), POOL, NOW)
    assert (pick.rep, pick.reason.code) == ("b", "next_in_turn")
    spent = [c for c in pick.candidates if c.code == "handovers_spent"]
    assert [(c.rep, c.text) for c in spent] == [
        ("a", "a: 3 of 3 handovers today"),
        ("c", "c: 3 of 3 handovers today"),
    ]
    assert spent[0].until == datetime(2026, 3, 5, tzinfo=UTC)
    assert set(pick.shares) == {"b"}


def test_when_all_have_had_them_the_one_with_the_fewest_for_their_weight_gets_it_and_the_reason_says_so() -> None:
    pick = choose(day(3, a=5, b=3, c=4), POOL, NOW)
    assert (pick.rep, pick.reason.code, pick.reason.seen, pick.reason.limit) == ("a", "over_handovers", 5, 3)
    assert (
        pick.reason.text == f"Everybody in {POOL} has had the handovers of a day; a the fewest for their share: 5 of 3"
    )
    assert choose(day(3, a=7, b=3, c=4), POOL, NOW).rep == "b"


def test_when_all_have_had_as_many_for_their_weight_it_is_one_after_the_other_again() -> None:
    pick = choose(day(3, a=6, b=3, c=3), POOL, NOW)
    assert (pick.rep, pick.reason.code) == ("a", "over_handovers")
    assert [c.code for c in pick.candidates] == ["next_in_turn", "not_next", "not_next"]


def test_without_a_limit_handovers_do_not_matter() -> None:
    assert choose(day(None, a=500, b=0), POOL, NOW).rep == "a"


def test_whoever_would_make_others_wait_too_long_is_passed_over() -> None:
    weights = {"a": 2, "b": 2, "c": 9, "d": 2, "e": 1, "f": 2, "g": 9, "h": 9}
    _, history = give(weights, [frozenset()] * sum(weights.values()))
    assert max(abs(owed) for at in history for owed in at.values()) < 1


def test_when_nobody_can_be_kept_from_waiting_the_one_who_is_owed_most_is_next() -> None:
    owed = {"a": -4 * UNIT, "b": 2 * UNIT, "c": 2 * UNIT}
    assert choose(roster({"a": 2, "b": 1, "c": 1}, owed), POOL, NOW).rep == "b"
