"""Budget, digest, quiet hours and the ladder as they run; a far side of our own stands for the rep's channel."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from services.notify.core.notice import decode
from services.notify.core.preference import Preferences, Step
from services.notify.store import plans, preferences
from services.runtime.clock import FixedClock
from services.runtime.db import Database
from services.runtime.telemetry import REGISTRY
from tests.integration.notify.far import ANNA, NOW, Rig, notice, put
from tests.support import farside
from tests.support.farside import FarSide

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def rig(database: Database, clock: FixedClock):
    one = Rig(database, clock, per_hour=2)
    yield one
    await one.stop()


async def say(rig: Rig, rep: str, **asked) -> None:
    await preferences.save(rig.db, rep, Preferences(**asked), rig.clock.now(), "test")


def news(clock: FixedClock, **more):
    """An alert that stays news for a day: these tests are about other rules."""
    return notice(clock, "visiting_now", **more, fresh_until=clock.now() + timedelta(days=1))


async def inbox(rig: Rig, rep: str):
    async with rig.db.raw() as pg:
        rows = await pg.fetch("SELECT body::text AS body FROM notify.notice WHERE rep_id = $1 ORDER BY seq", rep)
    return [decode(row["body"]) for row in rows]


async def test_over_the_budget_comes_a_digest_and_nothing_is_dropped(rig: Rig, clock: FixedClock) -> None:
    async with FarSide() as far:
        await rig.add(url=far.url, feed=False)
        sent = []
        for _ in range(6):
            sent.append(news(clock))
            await put(rig.db, sent[-1])
            await rig.work()
            clock.at += MINUTE
        assert [r.json["data"]["id"] for r in far.requests] == [n.id for n in sent[:2]]
        # An offer is no alert: it goes, and counts.
        await put(rig.db, offer := notice(clock))
        await rig.work()
        assert far.requests[2].json["data"]["id"] == offer.id
        clock.at = NOW + timedelta(minutes=61)
        await rig.work()
        (digest,) = far.requests[3:]
        assert digest.json["type"] == "notice.digest"
        assert [n["id"] for n in digest.json["data"]["items"]] == [n.id for n in sent[2:]]
        rows = await rig.rows()
        assert Counter((r["purpose"], r["state"]) for r in rows) == {
            ("tell", "delivered"): 7,
            ("digest", "delivered"): 1,
        }
        # The digest took the place of an alert: at most two in any hour.
        await put(rig.db, news(clock))
        await rig.work()
        assert len(far.requests) == 4


async def test_a_digest_of_what_was_seen_meanwhile_is_not_sent(rig: Rig, clock: FixedClock) -> None:
    async with FarSide() as far:
        await rig.add(url=far.url, feed=False)
        await say(rig, "anna", paused_until=NOW + timedelta(hours=2))
        one, two = news(clock), news(clock)
        await put(rig.db, one, two)
        await rig.work()
        assert not far.requests
        await put(rig.db, msgspec.structs.replace(one, state="recalled"))
        async with rig.db.raw() as pg:
            await pg.execute("UPDATE notify.notice SET read_at = now() WHERE id = $1", two.id)
        clock.at += timedelta(hours=2, seconds=1)
        await rig.work()
        assert not far.requests
        rows = await rig.rows("purpose IN ('tell', 'digest')")
        assert Counter((r["purpose"], r["state"], r["reason"]) for r in rows) == {
            ("tell", "skipped", "acknowledged"): 2,
            ("digest", "skipped", "empty"): 1,
        }


async def test_a_digest_that_fails_comes_again_whole(rig: Rig, clock: FixedClock) -> None:
    async with FarSide(farside.status(500)) as far:
        await rig.add(url=far.url, feed=False)
        await say(rig, "", paused_until=NOW + timedelta(hours=2))
        await put(rig.db, news(clock), news(clock), news(clock))
        await rig.work()
        clock.at += timedelta(hours=2, seconds=1)
        await rig.work()
        assert len(far.requests) == 1
        far.answers = [farside.ok()]
        # Meanwhile something else is held: it is not of this digest, which has its id already.
        await say(rig, "", paused_until=clock.now() + timedelta(hours=1))
        await put(rig.db, late := news(clock))
        clock.at += timedelta(hours=1, seconds=1)
        await rig.work()
        again, more = far.requests[1:]
        assert again.headers["webhook-id"] == far.requests[0].headers["webhook-id"]
        assert again.json["data"] == far.requests[0].json["data"]
        assert more.json["data"]["id"] == late.id, "a digest of one is that message"
        assert {r["state"] for r in await rig.rows()} == {"delivered"}


async def test_quiet_hours_that_begin_on_the_way_hold_it(rig: Rig, clock: FixedClock) -> None:
    """The channel was away until the rep's evening began (17:00 in Helsinki is 15:00 UTC)."""
    clock.at = datetime(2026, 11, 24, 14, 58, tzinfo=UTC)
    async with FarSide(farside.status(503)) as far:
        await rig.add(url=far.url, feed=False)
        await say(rig, "anna", quiet_hours="daily 17:00-08:00")
        await put(rig.db, one := notice(clock), two := notice(clock))
        await rig.work()
        tried = len(far.requests)
        far.answers = [farside.ok()]
        clock.at = datetime(2026, 11, 24, 20, 0, tzinfo=UTC)
        await rig.work()
        assert len(far.requests) == tried
        assert {r["state"] for r in await rig.rows("purpose = 'tell'")} == {"held"}
        clock.at = datetime(2026, 11, 25, 6, 0, 1, tzinfo=UTC)
        await rig.work()
        (digest,) = far.requests[tried:]
        assert {n["id"] for n in digest.json["data"]["items"]} == {one.id, two.id}
        assert {r["state"] for r in await rig.rows("purpose = 'tell'")} == {"delivered"}


async def test_the_ladder_climbs_and_stops_when_the_offer_is_taken(rig: Rig, clock: FixedClock) -> None:
    async with FarSide() as first, FarSide() as second:
        await rig.add(url=first.url, feed=False)
        later = await rig.add(url=second.url, feed=False, kinds=[])
        ladder = [Step(after_min=5, to=later), Step(after_min=10, to="delegate"), Step(after_min=20, to="manager")]
        await say(rig, "anna", ladder=ladder, delegate="ben")
        await put(rig.db, one := notice(clock))
        await rig.work()
        assert (len(first.requests), len(second.requests)) == (1, 0)
        clock.at = NOW + 5 * MINUTE
        await rig.work()
        assert [r.json["type"] for r in second.requests] == ["notice.unanswered"]
        clock.at = NOW + 10 * MINUTE
        await rig.work()
        (copy,) = await inbox(rig, "ben")
        assert (copy.kind, copy.assignment, copy.lead) == ("due", None, one.lead)
        assert copy.why.startswith("anna has not reacted for 10 minutes. You stand in for them.")
        await rig.work()
        assert len(first.requests) == 2, "and it goes out by the delegate's channels"
        await put(rig.db, msgspec.structs.replace(one, state="claimed", by="anna", note="You have accepted it."))
        await rig.work()
        (copy,) = await inbox(rig, "ben")
        assert copy.state == "claimed"
        clock.at = NOW + 30 * MINUTE
        await rig.work()
        assert not await inbox(rig, "maria")
        steps = {r["step"]: (r["state"], r["reason"]) for r in await rig.rows("purpose = 'step'")}
        assert steps == {1: ("delivered", ""), 2: ("delivered", ""), 3: ("skipped", "acknowledged")}


@pytest.mark.parametrize("how", ["read", "declined", "claimed", "recalled"])
async def test_any_first_reaction_stops_the_ladder(rig: Rig, clock: FixedClock, how: str) -> None:
    await say(rig, "", ladder=[Step(after_min=10, to="manager")])
    await put(rig.db, one := notice(clock))
    await rig.work()
    if how == "read":
        async with rig.db.raw() as pg:
            await pg.execute("UPDATE notify.notice SET read_at = now() WHERE id = $1", one.id)
    elif how == "declined":
        assert one.assignment is not None
        over = msgspec.structs.replace(one.assignment, state="declined")
        await put(rig.db, msgspec.structs.replace(one, state="expired", assignment=over))
    else:
        await put(rig.db, msgspec.structs.replace(one, state=how))
    clock.at = NOW + 11 * MINUTE
    await rig.work()
    assert not await inbox(rig, "maria")


async def test_a_step_to_nobody_is_told(rig: Rig, clock: FixedClock) -> None:
    rig.people["anna"] = msgspec.structs.replace(ANNA, manager="gone")
    await say(rig, "", ladder=[Step(after_min=1, to="delegate"), Step(after_min=2, to="manager")])
    await put(rig.db, notice(clock))
    await rig.work()
    clock.at = NOW + 3 * MINUTE
    await rig.work()
    assert {(r["state"], r["reason"]) for r in await rig.rows()} == {("skipped", "nobody")}


async def test_preferences_choose_the_channels(rig: Rig, clock: FixedClock) -> None:
    async with FarSide() as one, FarSide() as two, FarSide() as feed:
        first = await rig.add(url=one.url, feed=False)
        second = await rig.add(url=two.url, feed=False, kinds=["handover"])
        await rig.add(url=feed.url, reps=["ben"], segments=["enterprise"])
        await say(rig, "anna", channels={"visiting_now": [second, "inbox"], "handover": []})
        await put(rig.db, news(clock), notice(clock), news(clock, rep="ben"), news(clock, rep="ben", segment="volume"))
        await rig.work()
        told = {
            name: [(r.json["data"]["rep"], r.json["data"]["kind"]) for r in far.requests]
            for name, far in (("one", one), ("two", two), ("feed", feed))
        }
        assert told == {
            "one": [("ben", "visiting_now")] * 2,
            "two": [("anna", "visiting_now")],
            "feed": [("ben", "visiting_now")],
        }
        assert first != second


async def test_what_waits_for_a_channel_that_is_gone_goes_too(rig: Rig, clock: FixedClock) -> None:
    await rig.add(url="http://127.0.0.1:9", name="hook")
    await put(rig.db, notice(clock))
    await rig.planner.turn()
    await rig.deliverer.tick()
    gauges = ("deliveries_due", "deliveries_oldest_seconds", "endpoint_failing_seconds")

    def shown() -> list[float | None]:
        return [REGISTRY.get_sample_value(f"leadrouter_{name}", {"endpoint": "hook"}) for name in gauges]

    assert None not in shown()
    async with rig.db.raw() as pg:
        await pg.execute("DELETE FROM notify.endpoint")
    for _ in range(11):
        await rig.deliverer.tick()
    assert await rig.rows() == []
    # Else it would wait and fail for ever in the eyes of who watches.
    assert shown() == [None] * 3


async def test_held_rows_whose_digest_is_lost_get_one(rig: Rig, clock: FixedClock) -> None:
    async with FarSide() as far:
        await rig.add(url=far.url, feed=False)
        await say(rig, "anna", paused_until=NOW + timedelta(hours=1))
        await put(rig.db, one := news(clock))
        await rig.work()
        async with rig.db.raw() as pg:
            await pg.execute("DELETE FROM notify.delivery WHERE purpose = 'digest'")
        clock.at += timedelta(hours=2)
        for _ in range(11):
            await rig.deliverer.tick()
        await rig.work()
        (request,) = far.requests
        assert request.json["data"]["id"] == one.id


async def test_what_came_before_the_first_channel_is_not_told_and_no_lock_is_waited_for(
    rig: Rig, clock: FixedClock
) -> None:
    async def left() -> list[str]:
        async with rig.db.raw() as pg:
            rows = await pg.fetch(
                "SELECT p.rep_id FROM notify.plan p JOIN notify.inbox i USING (rep_id) WHERE i.seq > p.planned"
            )
        return [row["rep_id"] for row in rows]

    await plans.skip_all(rig.db)
    await put(rig.db, notice(clock), notice(clock, rep="ben"))
    await plans.skip_all(rig.db)
    assert await left() == []
    await put(rig.db, notice(clock), notice(clock, rep="ben"))
    async with rig.db.transaction() as other:
        await other.execute("SELECT 1 FROM notify.plan WHERE rep_id = 'anna' FOR UPDATE")
        await plans.skip_all(rig.db)
        assert await left() == ["anna"]
    await plans.skip_all(rig.db)
    async with FarSide() as far:
        await rig.add(url=far.url)
        await rig.work()
        assert far.requests == []
