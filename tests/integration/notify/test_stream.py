"""From the log to the rep's open stream."""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta

import pytest

from schemas.messages import AccountRef, LeadRef
from services.notify.channels.inbox import STREAMS_PER_REP
from tests.unit.notify.messages import OLLI, SOMEBODY, VERA, alert, handover, offer, told, viewed

pytestmark = pytest.mark.needs_postgres


def now():
    return datetime.now(UTC)


def visit(event_id, lead=VERA, **more):
    at = more.pop("at", None) or now()
    return alert(lead, at=at, what=[viewed(event_id, at)], **more)


async def test_one_notice_once_then_joined_and_nobody_else_hears(replica):
    anna, ben = await replica.token(rep="anna"), await replica.token(rep="ben")
    stream, other = await replica.stream(anna), await replica.stream(ben)
    assert stream.status == 200
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-store"
    assert stream.headers["x-accel-buffering"] == "no"
    assert stream.retry >= 1000
    first = visit("e1")
    await replica.publish(("m1", first))
    got = await stream.get()
    assert (got.event, got.id) == ("notice", "1")
    assert {
        "id", "seq", "kind", "state", "lead", "account", "what", "why", "say", "assignment", "created_at",
    } <= set(got.data)  # fmt: skip
    assert (got.data["kind"], got.data["state"], got.data["assignment"]) == ("visiting_now", "new", None)
    assert got.data["lead"]["email"] == VERA.email
    assert got.data["account"] == {"domain": "nordwind.example", "name": "Nordwind Industries Oyj"}
    assert got.data["say"]["body"]
    # The log may repeat a message, and somebody may publish it again: once is once.
    await replica.publish(("m1", first), ("m1", first))
    await stream.none()
    await replica.publish(("m2", visit("e2")))
    joined = await stream.get()
    assert (joined.data["id"], joined.data["state"], joined.id) == (got.data["id"], "joined", "2")
    assert [w["event_id"] for w in joined.data["what"]] == ["e1", "e2"]
    [item] = (await replica.get("/v1/inbox", anna))["items"]
    assert item["seq"] == 2
    assert (await replica.get("/v1/inbox", ben))["items"] == []
    await other.none(0.1)


async def test_late_news_is_missed_quietly(replica):
    anna = await replica.token(rep="anna")
    stream = await replica.stream(anna)
    await replica.publish(("m1", visit("e1", at=now() - timedelta(hours=1))))
    got = await stream.get()
    assert (got.data["kind"], got.data["quiet"]) == ("you_missed", True)
    await replica.publish(("m2", visit("e2", at=now() - timedelta(minutes=50))))
    again = await stream.get()
    assert (again.data["id"], again.data["kind"], again.data["state"]) == (got.data["id"], "you_missed", "joined")


async def test_claim_recall_and_erasure_are_seen_on_open_streams(replica):
    anna, ben = await replica.token(rep="anna"), await replica.token(rep="ben")
    one, two = await replica.stream(anna), await replica.stream(ben)
    await replica.publish(("m1", handover(rep="anna")), ("m2", visit("e1", recipients=["ben"])))
    offered, seen = await one.get(), await two.get()
    assert offered.data["assignment"] == {"id": "o1", "gen": 1, "state": "offered"}
    assert seen.data["kind"] == "visiting_now"
    await replica.publish(("m3", told("claimed", by="anna", assignment=offer(state="accepted"))))
    assert (await one.get()).data["assignment"]["state"] == "accepted"
    taken = (await two.get()).data
    assert (taken["id"], taken["state"], taken["by"]) == (seen.data["id"], "claimed", "anna")
    await replica.publish(("m4", handover(OLLI, rep="ben", offer_id="o2")))
    await two.get()
    await replica.publish(
        ("m5", told("recalled", lead=OLLI, assignment=offer("ben", offer_id="o2", state="recalled"), why="A scanner."))
    )
    gone = (await two.get()).data
    assert (gone["state"], gone["note"]) == ("recalled", "A scanner.")
    await replica.publish(("m6", told("erased", lead=VERA)))
    erased = (await one.get()).data
    assert erased["lead"] == {"id": VERA.id, "email": None, "name": None, "title": None}
    async with replica.db.raw() as pg:
        assert await pg.fetchval("SELECT count(*) FROM notify.notice WHERE body::text LIKE '%vera@%'") == 0


async def test_resume_by_last_event_id_has_no_gap_and_no_double(replica):
    anna = await replica.token(rep="anna")
    leads = [LeadRef(id=f"{i:032x}", email=f"p{i}@x.example") for i in range(300)]

    def some(start, count):
        return [(f"m{i}", handover(leads[i], offer_id=f"o{i}")) for i in range(start, start + count)]

    first = await replica.stream(anna)
    await replica.publish(*some(0, 40))
    got = [await first.get() for _ in range(20)]
    await first.close()
    assert [e.id for e in got] == [str(i) for i in range(1, 21)]
    # More comes while nobody listens, and more while the resumed stream replays.
    await replica.publish(*some(40, 120))
    await replica.caught_up(anna, 160)

    async def pour():
        for start in range(160, 300, 10):
            await replica.publish(*some(start, 10))

    pouring = asyncio.create_task(pour())
    second = await replica.stream(anna, last_id=got[-1].id)
    rest = [await second.get() for _ in range(280)]
    await pouring
    assert [int(e.id) for e in rest] == list(range(21, 301))
    await second.none(0.2)
    third = await replica.stream(anna, "/v1/inbox/stream?after=298")
    assert [(await third.get()).id for _ in range(2)] == ["299", "300"]


async def test_without_a_cursor_a_stream_starts_now(replica):
    anna = await replica.token(rep="anna")
    await replica.publish(("m1", handover()))
    await replica.caught_up(anna, 1)
    stream, strange = await replica.stream(anna), await replica.stream(anna, last_id="not-a-number")
    ahead = await replica.stream(anna, last_id="999999")
    await asyncio.sleep(0.2)
    for one in (stream, strange, ahead):
        assert one.events.empty()
    await replica.publish(("m2", handover(OLLI, offer_id="o2")))
    for one in (stream, strange, ahead):
        assert (await one.get()).data["lead"]["email"] == OLLI.email
    await replica.get("/v1/inbox/stream?after=x", anna, 400)


async def test_a_stale_alert_is_not_replayed_as_news(replica):
    anna = await replica.token(rep="anna")
    await replica.publish(("m1", visit("e1", fresh_s=1)))
    await replica.caught_up(anna, 1)
    await asyncio.sleep(1.1)
    stream = await replica.stream(anna, last_id=0)
    assert (await stream.get()).data["kind"] == "you_missed"
    [item] = (await replica.get("/v1/inbox?open=1", anna))["items"]
    assert item["kind"] == "you_missed"


async def test_an_alert_seen_in_time_leaves_the_open_list_when_it_is_over(replica):
    anna = await replica.token(rep="anna")
    stream = await replica.stream(anna)
    await replica.publish(("m1", visit("e1", fresh_s=2)))
    await stream.get()
    assert len(await replica.caught_up(anna, 1, "&open=1")) == 1
    await asyncio.sleep(2.1)
    assert (await replica.get("/v1/inbox?open=1", anna))["items"] == []
    [item] = (await replica.get("/v1/inbox", anna))["items"]
    assert (item["kind"], item["state"]) == ("visiting_now", "expired")


async def test_two_replicas_serve_any_rep_whoever_wrote(replicas):
    one, two = replicas
    anna = await one.token(rep="anna")
    streams = [await one.stream(anna), await two.stream(anna)]
    leads = [LeadRef(id=f"{i:032x}") for i in range(30)]
    for i, lead in enumerate(leads):
        await replicas[i % 2].publish((f"m{i}", handover(lead, offer_id=f"o{i}")))
    for stream in streams:
        assert [int((await stream.get()).id) for _ in leads] == list(range(1, 31))
    # Both replicas write the same inbox at once: alerts of one account join one notice, whoever handles them.
    await asyncio.gather(*(replicas[i % 2].publish((f"a{i}", visit(f"e{i}", lead))) for i, lead in enumerate(leads)))
    happened = 0
    async with asyncio.timeout(10):
        while happened < 30:
            happened = (await streams[0].get()).data["happened"]
    items = (await one.get("/v1/inbox?limit=200", anna))["items"]
    assert len([i for i in items if i["kind"] == "visiting_now"]) == 1


async def test_a_revoked_token_ends_its_streams_everywhere(replicas):
    one, two = replicas
    anna = await one.token(rep="anna")
    identity = await one.access.identify(anna)
    streams = [await one.stream(anna), await two.stream(anna)]
    await one.access.revoke(identity.token_id)
    for stream in streams:
        await asyncio.wait_for(stream.ended.wait(), 3)
        assert stream.comments >= 1


async def test_a_hundred_streams_and_the_latency(replica, capsys):
    reps = [f"rep{i}" for i in range(20)]
    tokens = [await replica.token(rep=rep) for rep in reps]
    streams = [[await replica.stream(token) for _ in range(5)] for token in tokens]
    took = []
    for i in range(60):
        k = i % 20
        began = time.perf_counter()
        lead = LeadRef(id=f"{i:032x}")
        at = now()
        await replica.publish(
            (
                f"m{i}",
                alert(
                    lead,
                    account=AccountRef(domain=f"c{i}.example"),
                    recipients=[reps[k]],
                    at=at,
                    what=[viewed(f"e{i}", at)],
                ),
            )
        )
        for stream in streams[k]:
            got = await stream.get()
            assert got.data["lead"]["id"] == lead.id
        took.append((time.perf_counter() - began) * 1000)
        if i % 3 == 0:
            await asyncio.sleep(0.03)
    took.sort()
    with capsys.disabled():
        p50, p99 = statistics.median(took), took[int(len(took) * 0.99) - 1]
        print(f"\n  publish → 5 of 100 streams: p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {took[-1]:.1f} ms")
    for mine in streams:
        for stream in mine:
            assert stream.events.empty()


async def test_streams_of_one_rep_are_bounded_and_those_of_others_stay_free(replica):
    anna, ben, admin = await replica.token(rep="anna"), await replica.token(rep="ben"), await replica.token("admin")
    streams = [await replica.stream(anna) for _ in range(STREAMS_PER_REP)]
    for token, path in ((anna, "/v1/inbox/stream"), (admin, "/v1/inbox/stream?rep=anna&after=0")):
        answer = await replica.client.get(path, headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (
            429,
            "too_many_streams",
            "30",
        )
    other = await replica.stream(ben)
    assert other.status == 200
    # Those that stand go on, and one that closes makes room.
    await replica.publish(("m1", alert()))
    for stream in streams:
        assert (await stream.get()).data["state"] == "new"
    await streams.pop().close()
    for _ in range(100):
        if replica.service._inbox_channel.open_streams == STREAMS_PER_REP:
            break
        await asyncio.sleep(0.03)
    again = await replica.stream(anna, last_id=0)
    assert again.status == 200
    assert (await again.get()).data["lead"]["name"] == "Vera Virta"


async def test_streams_end_when_the_server_stops(database):
    from tests.integration.notify.conftest import Replica

    one = await Replica(database).start()
    anna = await one.token(rep="anna")
    streams = [await one.stream(anna) for _ in range(5)]
    began = time.monotonic()
    await one.server.stop(5)
    for stream in streams:
        await asyncio.wait_for(stream.ended.wait(), 2)
    assert time.monotonic() - began < 3
    assert one.service._inbox_channel.open_streams == 0
    await one.stop()


async def test_a_database_that_says_no_keeps_no_process_from_ending(replica):
    replica.service._inbox_channel.arrived("n1", 1)
    async with replica.db.raw() as pg:
        await pg.execute("ALTER TABLE notify.notice RENAME TO away")
    await replica.service.stop(1)
    assert replica.service._site_channel.ready() == "the site hub does not run"


async def test_roles_and_lists(replica):
    anna, admin, ops = await replica.token(rep="anna"), await replica.token("admin"), await replica.token("ops")
    await replica.publish(*((f"m{i}", handover(LeadRef(id=f"{i:032x}"), offer_id=f"o{i}")) for i in range(5)))
    await replica.caught_up(anna, 5)
    page = await replica.get("/v1/inbox?limit=3", anna)
    more = await replica.get(f"/v1/inbox?limit=3&cursor={page['next']}", anna)
    assert [i["seq"] for i in page["items"] + more["items"]] == [5, 4, 3, 2, 1]
    assert more["next"] is None
    assert len((await replica.get("/v1/inbox?rep=anna", admin))["items"]) == 5
    await replica.get("/v1/inbox", admin, 400)
    await replica.get("/v1/inbox?rep=ben", anna, 403)
    await replica.get("/v1/inbox", ops, 403)
    await replica.get("/v1/inbox", None, 401)
    await replica.get("/v1/inbox/stream", None, 401)
    await replica.get("/v1/inbox/stream", ops, 403)
    await replica.get("/v1/inbox?cursor=AAAA", anna, 400)
    headers = {"Authorization": f"Bearer {anna}"}
    notice = page["items"][0]["id"]
    assert (await replica.client.post(f"/v1/inbox/{notice}/read", headers=headers)).status_code == 200
    assert (await replica.client.post("/v1/inbox/none/read", headers=headers)).status_code == 404
    assert len((await replica.get("/v1/inbox?open=1", anna))["items"]) == 4
    slo = await replica.get("/v1/ops/slo", ops)
    found = {(i["window"], i["kind"], i["measure"]): i for i in slo["items"]}
    assert found["hour", "handover", "received_to_notice"]["count"] == 5


async def test_poison_is_buried_and_its_neighbours_go_on(replica):
    from schemas.codec import Message
    from schemas.topics import LEAD_ROUTED

    anna = await replica.token(rep="anna")
    stream = await replica.stream(anna)
    bad = [b"not json", b'{"id":"x","source":"/r","type":"t","data":{"kind":"alert"}}']
    await replica.log.writer().publish([Message(topic=LEAD_ROUTED.name, key=VERA.id.encode(), value=v) for v in bad])
    await replica.publish(("nul", alert(LeadRef(id="a b"))), ("m1", handover()))
    assert (await stream.get()).data["kind"] == "handover"
    for _ in range(50):
        async with replica.db.raw() as pg:
            reasons = [r["reason"] for r in await pg.fetch("SELECT reason FROM log.dead_letter")]
        if len(reasons) == 3:
            break
        await asyncio.sleep(0.05)
    assert sorted(reasons) == ["invalid", "undecodable", "undecodable"]
    assert SOMEBODY.id
