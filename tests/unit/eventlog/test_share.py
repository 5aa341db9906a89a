"""Fair shares: whatever the start, owners that follow the plan come to rest, evenly, and never hold one twice."""

from hypothesis import given
from hypothesis import strategies as st

from services.eventlog.core.share import Plan, plan, targets

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])


def test_a_single_owner_takes_everything() -> None:
    assert plan(dict.fromkeys(range(6)), [], "a") == Plan(take=(0, 1, 2, 3, 4, 5))


def test_a_newcomer_gets_its_share_and_no_more_moves_than_needed() -> None:
    owners: dict[int, str | None] = dict.fromkeys(range(6), "a")
    assert plan(owners, ["a", "b"], "a") == Plan(give=(3, 4, 5))
    assert plan(owners, ["a", "b"], "b") == Plan()


def test_more_owners_than_partitions() -> None:
    owners: dict[int, str | None] = {0: "a", 1: "b"}
    for me in "abc":
        assert plan(owners, ["a", "b", "c"], me) == Plan()


@given(st.dictionaries(NAMES, st.integers(0, 20), min_size=1), st.integers(1, 64))
def test_shares_sum_up_and_differ_by_one_at_most(held: dict[str, int], parts: int) -> None:
    shares = targets(parts, held)
    assert sum(shares.values()) == parts
    assert max(shares.values()) - min(shares.values()) <= 1


@given(
    st.integers(1, 24),
    st.sets(NAMES, min_size=1),
    st.lists(st.one_of(st.none(), NAMES), min_size=24, max_size=24),
    st.randoms(use_true_random=False),
)
def test_owners_come_to_rest_evenly(parts: int, live: set[str], start: list[str | None], random: object) -> None:
    owners = {part: start[part] if start[part] in live else None for part in range(parts)}
    for _ in range(20):
        before = dict(owners)
        for me in sorted(live, key=lambda _: random.random()):  # type: ignore[attr-defined]
            todo = plan(owners, live, me)
            for part in todo.give:
                assert owners[part] == me
                owners[part] = None
            for part in todo.take:
                assert owners[part] is None, "takes only what is free"
                owners[part] = me
        if before == owners:
            break
    counts = [list(owners.values()).count(owner) for owner in live]
    assert sum(counts) == parts
    assert max(counts) - min(counts) <= 1
    assert all(plan(owners, live, me) == Plan() for me in live), "nobody moves any more"
