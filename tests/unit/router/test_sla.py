"""When is a rep reminded of an offer, and which timers still mean something?"""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from services.router.core import sla
from services.router.core.model import Held
from tests.support.routing import NOW, example_policy

POLICY = example_policy()
HELD = Held(id="a1", rep="chloe", gen=1, state="offered", pool="sdr-midmarket", offered_at=NOW)


def ladder(held: Held) -> list[tuple[str, timedelta]]:
    """Every step of an offer at NOW, one after the other."""
    found: list[tuple[str, timedelta]] = []
    since, done = NOW, None
    while (
        timer := sla.next_step("l", held, POLICY.sla, lambda m, s=since: s + timedelta(minutes=m), done)
    ) is not None:
        assert timer.gen == held.gen
        since, done = timer.due_at, timer.kind
        found.append((timer.kind, since - NOW))
    return found


def test_the_ladder_of_an_offer() -> None:
    steps = [
        ("remind", timedelta(minutes=15)),
        ("escalate", timedelta(minutes=45)),
        ("reassign", timedelta(minutes=60)),
    ]
    assert ladder(HELD) == steps
    assert ladder(msgspec.structs.replace(HELD, pool=None)) == steps[:2]
    assert sla.next_step("l", HELD, POLICY.sla, lambda _: None) is None


@pytest.mark.parametrize(
    ("kind", "held", "gen", "due"),
    [
        ("remind", HELD, 1, True),
        ("remind", None, 1, False),
        ("escalate", msgspec.structs.replace(HELD, state="accepted"), 1, False),
        ("reassign", msgspec.structs.replace(HELD, gen=2), 2, False),
        ("remind", msgspec.structs.replace(HELD, snoozed_until=NOW + timedelta(1)), 1, False),
        ("remind", msgspec.structs.replace(HELD, snoozed_until=NOW), 1, True),
        ("snooze", HELD, 1, True),
        ("snooze", None, 1, False),
        ("cooldown", None, 5, False),
        ("retry", None, 1, True),
    ],
)
def test_a_timer_of_an_older_offer_means_nothing(kind: Any, held: Held | None, gen: int, due: bool) -> None:
    assert sla.still_due(sla.Timer(lead_id="l", kind=kind, due_at=NOW, gen=1), held, gen) is due
    assert sla.still_due(sla.Timer(lead_id="l", kind="decay", due_at=NOW), held, gen)
