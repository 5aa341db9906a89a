"""Machines: opens, bursts, and clicks that turn out to be a scanner's."""

import itertools
import random
from uuid import UUID

import pytest

from services.runtime.settings import Settings
from services.scoring.core.actor import verdict_of
from services.scoring.core.traps import trap_of
from services.scoring.service import evidence_of
from services.scoring.store.people import PeopleStore
from tests.integration.scoring.conftest import event
from tests.support.offline import expect, key_of

WHO = {"email": "scanned@nordwind.example", "user": "u-7"}
CLICK, DELIVERED, OPENED = "email.clicked", "email.delivered", "email.opened"


def burst(n=9, start=2.0):
    return [
        event(CLICK, {"user": "u-7"}, ago=start - i * 0.1, message_id="scan-1", link=f"https://aurora.example/l{i}")
        for i in range(n)
    ]


async def test_a_scanners_burst_moves_nothing_and_tells_nobody(rig):
    await rig.feed(event("person.identified", WHO, traits={"title": "COO"}))
    await rig.scored()
    await rig.feed(event(DELIVERED, {"user": "u-7"}, ago=3, message_id="scan-1"), *burst())
    assert await rig.scored() == []
    rows = await rig.rows("SELECT weight, verdict FROM scoring.event WHERE signal = 3")
    assert {(row["weight"], row["verdict"] & 3) for row in rows} == {(0, 3)}


async def test_fifty_machine_opens_are_nothing(rig):
    await rig.feed(event("person.identified", WHO))
    await rig.scored()
    opens = [event(OPENED, {"user": "u-7"}, message_id=f"m{n}", actor="machine") for n in range(25)]
    opens += [event(OPENED, {"user": "u-7"}, message_id=f"m{n}", user_agent="Mozilla/5.0") for n in range(25)]
    await rig.feed(*opens)
    assert await rig.scored() == []


async def test_clicks_first_taken_as_human_are_taken_back_exactly(rig):
    await rig.feed(event("person.identified", WHO))
    before = await rig.counters()
    clicks = burst(3, start=60)
    await rig.feed(clicks[0])
    await rig.feed(clicks[1])
    told = await rig.scored()
    assert [one.kind for one in told] == ["changed"] * 3
    assert told[-1].curve[0].points == pytest.approx(8.4, rel=0.03)  # from noon to midnight 2.4 % are lost
    await rig.feed(clicks[2])
    (reversed_,) = await rig.scored()
    assert reversed_.kind == "reversed"
    assert [(c.signal, c.reversed, c.actor, c.human) for c in reversed_.causes] == [
        (CLICK, True, "machine", 0.0), (CLICK, True, "machine", 0.0), (CLICK, False, "machine", 0.0),
    ]  # fmt: skip
    assert reversed_.curve == []
    after = await rig.counters()
    assert after[key_of("user", "u-7")] == {}
    assert after[key_of("email", WHO["email"])] == before[key_of("email", WHO["email"])]


async def test_a_late_delivery_report_makes_machines_of_clicks(rig):
    await rig.feed(event("person.identified", WHO))
    await rig.feed(*burst(2, start=100))
    await rig.scored()
    await rig.feed(event(DELIVERED, {"user": "u-7"}, ago=101, message_id="scan-1"))
    (scored,) = await rig.scored()
    assert scored.kind == "reversed"
    assert len(scored.causes) == 3


async def test_a_single_click_right_after_delivery_is_doubtful_and_pages_nobody(rig):
    await rig.feed(event("person.identified", WHO))
    await rig.scored()
    await rig.feed(
        event(DELIVERED, {"user": "u-7"}, ago=10, message_id="m"), event(CLICK, {"user": "u-7"}, ago=5, message_id="m")
    )
    assert await rig.scored() == []
    assert [row["weight"] for row in await rig.rows("SELECT weight FROM scoring.event WHERE signal = 3")] == [300]


async def test_a_link_that_nobody_sees_takes_back_what_counted_before(rig):
    handler = rig.make(trap=trap_of("/nobody-sees"))
    links = ("https://x.example/a", "https://x.example/b?c=1")
    await rig.feed(event("person.identified", WHO), handler=handler)
    await rig.feed(
        *[event(CLICK, {"user": "u-7"}, ago=60 - 9 * n, message_id="m", link=link) for n, link in enumerate(links)],
        event(CLICK, {"user": "u-7"}, ago=200, message_id="m", link="https://x.example/long-before"),
        event(CLICK, {"user": "u-7"}, ago=55, message_id="another", link="https://x.example/a"),
        handler=handler,
    )
    await rig.scored()
    before = await rig.counters()
    hidden = "https://x.example/nobody-sees/1"
    await rig.feed(event(CLICK, {"user": "u-7"}, ago=40, message_id="m", link=hidden), handler=handler)
    (scored,) = await rig.scored()
    assert scored.kind == "reversed"
    assert sorted((c.reversed, c.actor, c.human) for c in scored.causes) == [
        (False, "machine", 0.0), (True, "machine", 0.0), (True, "machine", 0.0),
    ]  # fmt: skip
    taken = [
        before[key_of("user", "u-7")][n] - left for n, left in (await rig.counters())[key_of("user", "u-7")].items()
    ]
    assert set(taken) == {1400}
    shown = await PeopleStore(rig.db).timeline(UUID(key_of("user", "u-7")), None, 10)
    assert [(one["link"], one["human"], one["reasons"]) for one in shown if one["signal"] == CLICK] == [
        (hidden, 0, ["honeypot"]), (links[1], 0, ["honeypot"]), ("https://x.example/a", 0.7, []), (links[0], 0, ["honeypot"]),
        ("https://x.example/long-before", 0.7, []),
    ]  # fmt: skip


async def test_apples_relays_judge_opens_and_never_visits(rig):
    relay, _ = evidence_of(Settings(_env_file=None))
    handler = rig.make(relay=relay)
    where = {"ip": "104.28.42.7", "user_agent": None}
    await rig.feed(
        event(OPENED, {"user": "u-7"}, ago=3, message_id="m", **where),
        event(OPENED, {"user": "u-7"}, ago=2, message_id="m", ip="192.0.2.1"),
        event("page.viewed", {"user": "u-7"}, ago=1, path="/pricing", **where),
        handler=handler,
    )
    rows = await rig.rows("SELECT weight, verdict FROM scoring.event ORDER BY id")
    assert [(row["weight"], verdict_of(row["verdict"])) for row in rows] == [
        (0, ("machine", "apple_egress")), (300, ("unknown", "")), (1000, ("unknown", "")),
    ]  # fmt: skip


async def test_any_order_and_any_cut_gives_the_same_counters(rig):
    events = [
        event(DELIVERED, {"user": "u-7"}, ago=63, message_id="scan-1"),
        *burst(4, start=62),
        *[
            event(CLICK, {"user": "u-7"}, ago=50 - 10 * n, message_id="other", link=f"https://x.example/{n}")
            for n in range(3)
        ],
        *[event("page.viewed", {"user": "u-7"}, ago=n * 40_000, path="/pricing") for n in range(6)],
        event(OPENED, {"user": "u-7"}, ago=1, message_id="other"),
    ]
    wanted = expect(events, rig.policies.active).counters[key_of("user", "u-7")]
    order = random.Random(7)
    handler = rig.handler
    for turn in range(4):
        shuffled = order.sample(events, len(events))
        cut = order.randrange(1, len(events))
        for part in (shuffled[:cut], shuffled[cut:], shuffled[: cut // 2]):
            if part:
                await rig.feed(*part, handler=handler)
        assert (await rig.counters())[key_of("user", "u-7")] == wanted, turn
        async with rig.db.raw() as pg:
            for table in ("event", "event_side", "profile", "link", "lead"):
                await pg.execute(f"DELETE FROM scoring.{table}")
        handler.reset()
    assert list(itertools.chain(wanted)), "the story must count something"
