"""The engine of deliveries over a real PostgreSQL and a far side of our own: once, in time, and never in another's way."""

import asyncio
import base64
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from standardwebhooks import Webhook

from services.notify.handler.delivering import Deliverer
from services.notify.handler.planning import Planner
from services.notify.store.endpoints import EndpointStore
from services.runtime.clock import FixedClock
from services.runtime.db import Database
from services.runtime.errors import BadMessage
from services.runtime.secretbox import SecretBox
from tests.integration.notify.far import KEY, Rig, notice, put, running
from tests.support import farside
from tests.support.farside import FarSide

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


def signed(request: farside.Request, secret: str) -> str:
    """What the standard's own library signs."""
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    return Webhook(secret).sign(request.headers["webhook-id"], at, request.body.decode())


async def test_a_notice_goes_out_once_signed_and_changes_follow(database: Database) -> None:
    async with FarSide() as far, running(Rig(database)) as rig:
        await rig.add(url=far.url + "/in?k=1", secret=SECRET)
        one = notice(rig.clock)
        await put(database, one)
        (first,) = await far.came(1)
        assert (first.method, first.path) == ("POST", "/in?k=1")
        told = Webhook(SECRET).verify(first.body, first.headers)
        assert (told["type"], told["data"]["id"]) == ("notice.new", one.id)
        await rig.settled(1)
        await put(database, msgspec.structs.replace(one, state="claimed", by="ben"))
        second = (await far.came(2))[1]
        told = Webhook(SECRET).verify(second.body, second.headers)
        assert (told["type"], told["data"]["by"]) == ("notice.claimed", "ben")
        assert first.headers["webhook-id"] != second.headers["webhook-id"]
        rows = await rig.settled(2)
        assert [(r["purpose"], r["state"], r["attempts"]) for r in rows] == [
            ("tell", "delivered", 1),
            ("change", "delivered", 1),
        ]


async def test_what_was_there_before_the_first_channel_is_not_told(database: Database) -> None:
    async with FarSide() as far, running(Rig(database)) as rig:
        await put(database, notice(rig.clock))
        async with asyncio.timeout(10), database.raw() as pg:
            while not await pg.fetchval("SELECT planned FROM notify.plan WHERE rep_id = 'anna'"):
                await asyncio.sleep(0.05)
        await rig.add(url=far.url)
        await put(database, one := notice(rig.clock))
        (came,) = await far.came(1)
        assert came.json["data"]["id"] == one.id
        assert len(await rig.settled(1)) == 1


async def test_a_channel_that_is_away_for_an_hour_gets_everything_once(rig: Rig, clock: FixedClock) -> None:
    async with FarSide(farside.status(503)) as far:
        await rig.add(url=far.url, feed=False)
        await rig.add(url=far.url + "/feed")
        sent = [notice(clock), notice(clock, "visiting_now"), notice(clock, "visiting_now", rep="ben")]
        await put(rig.db, *sent)
        for _ in range(12):
            await rig.work()
            clock.at += timedelta(minutes=5)
        failed = len(far.requests)
        assert 10 < failed < 120, "it is asked again, but not in a hurry"
        far.answers = [farside.ok()]
        for _ in range(30):
            clock.at += timedelta(minutes=15)
            await rig.work()
        ids = Counter(r.headers["webhook-id"] for r in far.requests[failed:])
        assert len(ids) == 6
        assert set(ids.values()) == {1}
        kinds = Counter((r.path, r.json["data"]["kind"]) for r in far.requests[failed:])
        assert kinds == {
            ("/", "handover"): 1,
            ("/", "you_missed"): 2,
            ("/feed", "handover"): 1,
            ("/feed", "you_missed"): 2,
        }
        assert {r["state"] for r in await rig.rows()} == {"delivered"}


async def test_retry_after_holds_the_whole_endpoint_and_is_clamped(rig: Rig, clock: FixedClock) -> None:
    async with FarSide(farside.too_many(90), farside.too_many(999_999), farside.ok()) as far:
        await rig.add(url=far.url, concurrency=1)
        await put(rig.db, notice(clock), notice(clock))
        await rig.work()
        assert len(far.requests) == 1
        clock.at += timedelta(seconds=89)
        await rig.work()
        assert len(far.requests) == 1
        clock.at += timedelta(seconds=2)
        await rig.work()
        assert len(far.requests) == 2
        clock.at += timedelta(minutes=59)
        await rig.work()
        assert len(far.requests) == 2
        clock.at += timedelta(minutes=2)
        await rig.work()
        assert len(far.requests) == 4
        assert {r["state"] for r in await rig.rows()} == {"delivered"}


async def test_permanent_and_temporary(rig: Rig, clock: FixedClock) -> None:
    answers = {
        "/404": farside.status(404),
        "/redirect": farside.redirect("http://127.0.0.1:1/elsewhere"),
        "/410": farside.status(410),
        "/401": farside.status(401),
        "/500": farside.status(500),
        "/torn": farside.torn(),
        "/ok": farside.ok(),
    }
    async with FarSide(lambda request: answers[request.path]) as far:
        ids = {await rig.add(url=far.url + path, name=path): path for path in answers}
        ids[await rig.add(url="http://10.0.0.1/private", name="private")] = "private"
        ids[await rig.add(url="https://[64:ff9b::a00:1]/private", name="nat64")] = "nat64"
        ids[await rig.add(url="http://127.0.0.1:9/nobody", name="nobody")] = "nobody"
        await put(rig.db, notice(clock))
        await rig.work()
        rows = {ids[r["endpoint"]]: (r["state"], r["reason"], r["uncertain"]) for r in await rig.rows()}
        assert rows == {
            "/404": ("gave_up", "refused", False),
            "/redirect": ("gave_up", "refused", False),
            "/410": ("gave_up", "endpoint_gone", False),
            "/401": ("due", "failed", False),
            "/500": ("due", "failed", False),
            "/torn": ("due", "failed", True),
            "/ok": ("delivered", "", False),
            "private": ("gave_up", "refused", False),
            "nat64": ("gave_up", "refused", False),
            "nobody": ("due", "failed", False),
        }
        gone = await rig.endpoints.find("/410")
        assert (gone.enabled, gone.disabled_reason) == (False, "endpoint_gone")
        private = await rig.endpoints.find("private")
        assert "10.0.0.1" in (private.last_error or "")


async def test_a_slow_endpoint_delays_no_other(database: Database) -> None:
    free = asyncio.Event()
    async with FarSide(farside.slow(free)) as slow, FarSide() as quick, running(Rig(database)) as rig:
        await rig.add(url=slow.url, name="slow", concurrency=2)
        await rig.add(url=quick.url, name="quick", per_s=1000.0)
        await put(database, *(notice(rig.clock) for _ in range(40)))
        await quick.came(40)
        assert (len(slow.requests), slow.most_at_once) == (2, 2)
        free.set()
        await rig.settled(80, 20)
        assert slow.most_at_once == 2
        assert quick.most_at_once <= 4


async def test_two_processes_share_a_queue_and_its_limits(database: Database, database_url: str) -> None:
    other = Database(database_url, pool_size=4)
    async with FarSide(farside.slow(0.01)) as far, running(Rig(database)) as rig, running(Rig(other)):
        await rig.add(url=far.url, per_s=1000.0, concurrency=3)
        for some in range(6):
            await put(database, *(notice(rig.clock, rep=f"rep{some}") for _ in range(10)))
        rows = await rig.settled(60, 20)
        assert {(r["state"], r["attempts"]) for r in rows} == {("delivered", 1)}
        assert set(Counter(r.headers["webhook-id"] for r in far.requests).values()) == {1}
        assert len(far.requests) == 60
        assert far.most_at_once <= 3
    await other.close()


@pytest.mark.parametrize("step", ["notify.planned", "notify.taken", "notify.sent"])
async def test_killed_at_any_step_it_is_sent_once_more_at_most(
    database: Database, database_url: str, step: str
) -> None:
    async with FarSide() as far:
        rig = Rig(database)
        await rig.add(url=far.url)
        await put(database, notice(rig.clock))
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.notify.channel_worker", database_url, step
        )
        assert await asyncio.wait_for(worker.wait(), 30) == 137
        clock = FixedClock(datetime.now(UTC) + timedelta(seconds=61))
        again = Rig(database, clock)
        await again.work()
        await again.stop()
        await rig.stop()
        (row,) = await again.rows()
        assert row["state"] == "delivered"
        sent = [r.headers["webhook-id"] for r in far.requests]
        assert len(sent) == (2 if step == "notify.sent" else 1)
        assert len(set(sent)) == 1
        assert all(r.json["data"]["kind"] == "handover" for r in far.requests)


async def test_a_bug_in_a_loop_keeps_the_rest_from_nothing(database: Database) -> None:
    """The process ends by it, and on its way out everything else is stopped, settled and closed."""
    fatal: list[type[Exception]] = []

    def broken() -> dict:
        raise ZeroDivisionError

    class Store(EndpointStore):
        async def list(self, *_: object) -> list:  # type: ignore[override]
            return broken()

    rig = Rig(database)
    await rig.add(url="http://127.0.0.1:9")
    await put(rig.db, notice(rig.clock))
    heard = lambda error: fatal.append(type(error))  # noqa: E731
    store = Store(rig.db, SecretBox(KEY))
    planner = Planner(rig.db, rig.clock, rig.listener, changing=(), reps=broken, per_hour=12, on_fatal=heard)
    deliverer = Deliverer(rig.db, rig.clock, rig.listener, store, rig.tools, reps=dict, on_fatal=heard)
    await planner.start()
    await deliverer.start()
    async with asyncio.timeout(10):
        while len(fatal) < 2:
            await asyncio.sleep(0.02)
    assert fatal == [ZeroDivisionError] * 2
    await planner.stop()
    await deliverer.stop(1)


async def test_rotation_signs_with_both_then_with_the_new_alone(rig: Rig, clock: FixedClock) -> None:
    async with FarSide() as far:
        await rig.add(url=far.url, name="hook", secret=SECRET)
        _, made = await rig.endpoints.rotate("hook", {})
        await put(rig.db, notice(clock))
        await rig.work()
        first = far.requests[0]
        assert len(first.headers["webhook-signature"].split()) == 2
        for secret in (SECRET, made["secret"]):
            assert signed(first, secret) in first.headers["webhook-signature"].split()
        _, last = await rig.endpoints.rotate("hook", {})
        await put(rig.db, notice(clock))
        await rig.work()
        second = far.requests[1]
        for secret in (made["secret"], last["secret"]):
            assert signed(second, secret) in second.headers["webhook-signature"].split()
        assert signed(second, SECRET) not in second.headers["webhook-signature"].split()
        with pytest.raises(BadMessage, match="no secret"):
            await rig.endpoints.rotate("hook", {"nothing": "x"})


async def test_disabled_after_long_failure_and_enabled_again(rig: Rig, clock: FixedClock) -> None:
    async with FarSide(farside.status(500)) as far:
        await rig.add(url=far.url, name="hook")
        await put(rig.db, notice(clock))
        for _ in range(45):
            await rig.work()
            clock.at += timedelta(hours=4)
            await put(rig.db, notice(clock))
        found = await rig.endpoints.find("hook")
        assert (found.enabled, found.disabled_reason) == (False, "failing_long")
        calls = len(far.requests)
        await put(rig.db, notice(clock))
        await rig.work()
        assert len(far.requests) == calls
        far.answers = [farside.ok()]
        await rig.store.enable(found.id, on=True, reason="", now=clock.now())
        await rig.work()
        assert len(far.requests) > calls
        states = Counter(r["state"] for r in await rig.rows())
        assert states["delivered"] > 5
        assert not states["due"]
