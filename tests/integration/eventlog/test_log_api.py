"""What operators see and may do, over HTTP."""

from collections.abc import AsyncIterator

import httpx
import pytest

from services.eventlog.api import lag_of, log_router
from services.eventlog.deadletter import bury, list_letters, replay, replay_many, show_letter
from services.eventlog.ports import DeadRecord
from services.runtime.access import Access
from services.runtime.clock import SystemClock
from services.runtime.errors import BadMessage
from services.runtime.http import make_app
from tests.support.logs import LEDGER, Kit, Ledger, consumer, quick, read_all, until

pytestmark = pytest.mark.needs_postgres
NOT_TEXT = b"\x00\xff bytes \x00"


@pytest.fixture
async def kit(which_log: str | None, database_url: str) -> AsyncIterator[Kit]:
    made = await Kit(database_url, quick(kafka=which_log)).open()
    async with made.db.raw() as pg:
        await pg.execute(LEDGER)
    yield made
    await made.close()


@pytest.fixture
async def ops(kit: Kit) -> AsyncIterator[httpx.AsyncClient]:
    access = Access(kit.db, SystemClock())
    app = make_app(routes=[], routers=[log_router(kit.db, kit.log)], access=access)
    token = await access.create("ops", name="Olli")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test", headers={"authorization": f"Bearer {token}"}
    ) as client:
        yield client


async def die(kit: Kit, *values: bytes, reason: str = "not_json", stage: str = "scoring", topic: str = "") -> None:
    async with kit.db.raw() as pg:
        at = await pg.fetchval("SELECT count(*) FROM log.dead_letter")
        await bury(
            pg,
            stage,
            topic or kit.source,
            [
                DeadRecord(part=2, offset=at + n, reason=reason, detail="why \x00", key=b"\xfe", value=value)
                for n, value in enumerate(values)
            ],
        )


async def test_only_ops_may(kit: Kit, ops: httpx.AsyncClient) -> None:
    for path in ("/v1/ops/lag", "/v1/ops/leases", "/v1/ops/outbox", "/v1/ops/dead-letters", "/v1/ops/dead-letters/1"):
        answer = await ops.get(path, headers={"authorization": ""})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), path
    token = await Access(kit.db, SystemClock()).create("rep", "anna", name="Anna")
    answer = await ops.post("/v1/ops/dead-letters/1/replay", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_lag_and_leases(kit: Kit, ops: httpx.AsyncClient) -> None:
    assert (await ops.get("/v1/ops/lag")).json() == {"items": [], "next": None}
    loop = consumer(kit, Ledger(kit))
    await kit.fill(40)
    await loop.start()
    await until(lambda: kit.has(40))
    await loop.stop(5)
    await kit.log.writer().publish(kit.numbered(3), part=1)
    lag = await lag_of(kit.db, kit.log)
    assert sum(row["records"] for row in lag) == 3
    assert [row["part"] for row in lag if row["records"]] == [1]
    items = (await ops.get("/v1/ops/lag")).json()["items"]
    assert len(items) == 4
    assert set(items[0]) == {"stage", "topic", "part", "position", "end", "records", "seconds", "owner"}
    assert {item["owner"] for item in items} == {None}
    leases = (await ops.get("/v1/ops/leases")).json()["items"]
    assert {item["epoch"] for item in leases} == {1}
    assert (await ops.get("/v1/ops/outbox")).json()["items"] == []


async def test_dead_letters_are_listed_shown_and_put_back_once(kit: Kit, ops: httpx.AsyncClient) -> None:
    await die(kit, b"one", NOT_TEXT)
    await die(kit, b"three", reason="placeholder_id")
    listed = (await ops.get("/v1/ops/dead-letters", params={"limit": 2})).json()
    assert [item["reason"] for item in listed["items"]] == ["placeholder_id", "not_json"]
    rest = (await ops.get("/v1/ops/dead-letters", params={"limit": 2, "cursor": listed["next"]})).json()
    assert len(rest["items"]) == 1
    assert rest["next"] is None
    only = (await ops.get("/v1/ops/dead-letters", params={"reason": "placeholder_id", "stage": "scoring"})).json()
    assert len(only["items"]) == 1
    assert (await ops.get("/v1/ops/dead-letters", params={"cursor": "x"})).json()["code"] == "bad_cursor"
    counts = (await ops.get("/v1/ops/dead-letters/counts")).json()["items"]
    assert {(item["reason"], item["count"]) for item in counts} == {("not_json", 2), ("placeholder_id", 1)}

    number = listed["items"][1]["id"]
    one = (await ops.get(f"/v1/ops/dead-letters/{number}")).json()
    assert (one["value_text"], one["value"], one["key_text"], one["key"]) == (None, "AP8gYnl0ZXMgAA==", None, "/g==")
    assert one["detail"] == "why \x00"
    for _ in range(2):
        answer = await ops.post(f"/v1/ops/dead-letters/{number}/replay")
        assert answer.status_code == 200
        assert answer.json()["replayed_by"] == "Olli"
    records = await read_all(kit.log, kit.source, 1)
    assert [(record.key, record.value, record.part) for record in records] == [(b"\xfe", NOT_TEXT, 2)]
    assert (await ops.post("/v1/ops/dead-letters/999/replay")).status_code == 404
    assert (await ops.get("/v1/ops/dead-letters/999")).json()["code"] == "not_found"
    assert (await ops.post("/v1/ops/dead-letters/99999999999999999999/replay")).status_code == 422

    step = (await ops.post("/v1/ops/dead-letters/replay", json={"reason": "not_json", "at_most": 1})).json()
    assert (step["replayed"], step["left"]) == (1, 0)
    assert (await ops.post("/v1/ops/dead-letters/replay", json={})).json() == {"replayed": 1}
    assert (await ops.post("/v1/ops/dead-letters/replay", json={})).json() == {"replayed": 0}
    assert len(await read_all(kit.log, kit.source, 3)) == 3
    waiting = (await ops.get("/v1/ops/dead-letters", params={"replayed": False})).json()["items"]
    assert waiting == []


async def test_letters_that_came_from_no_topic_stay(kit: Kit) -> None:
    await die(kit, b"a request", stage="ingest", topic="elsewhere")
    await die(kit, b"an event")
    (event, request) = await list_letters(kit.db)
    with pytest.raises(BadMessage, match="did not come from a topic"):
        await replay(kit.db, kit.log.writer(), request.id, "me")
    assert await replay_many(kit.db, kit.log.writer(), "me") == 1
    assert (await show_letter(kit.db, request.id)).replayed_at is None  # type: ignore[union-attr]
    assert (await show_letter(kit.db, event.id)).replayed_by == "me"  # type: ignore[union-attr]
    assert await show_letter(kit.db, 12345) is None


async def test_a_letter_buried_twice_is_one(kit: Kit) -> None:
    record = DeadRecord(part=0, offset=5, reason="r", detail="d" * 9000, key=None, value=None)
    async with kit.db.raw() as pg:
        await bury(pg, "scoring", kit.source, [record])
        await bury(pg, "scoring", kit.source, [record])
    (letter,) = await list_letters(kit.db)
    assert (letter.attempts, letter.value, len(letter.detail)) == (2, None, 2000)
