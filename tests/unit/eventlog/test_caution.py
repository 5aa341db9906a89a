"""A stage locks for a while after it has met others, longer each time, and tries again without now and then."""

from services.eventlog.caution import STRETCH_MAX, Caution


def locked(caution: Caution) -> int:
    """Batches until it does without locks."""
    count = 0
    while caution.wary:
        caution.done()
        count += 1
    return count


def test_alone_it_never_locks() -> None:
    caution = Caution()
    for _ in range(5):
        assert not caution.wary
        caution.done()


def test_a_doubt_locks_one_batch() -> None:
    caution = Caution()
    caution.doubt()
    caution.doubt()
    assert locked(caution) == 1


def test_who_meets_others_over_and_over_meets_them_less_and_less() -> None:
    caution = Caution()
    stretches = []
    for _ in range(6):
        caution.conflict()
        caution.doubt()  # the loop says so as well
        stretches.append(locked(caution))
    assert stretches == [16, 256, STRETCH_MAX, STRETCH_MAX, STRETCH_MAX, STRETCH_MAX]


def test_trust_comes_back() -> None:
    caution = Caution()
    for _ in range(4):
        caution.conflict()
    assert locked(caution) == 256
    for _ in range(8):
        caution.done()
    caution.conflict()
    assert locked(caution) == 16
