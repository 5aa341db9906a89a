"""The doors over a real port: who may send, what comes out, what bad input gets."""

import asyncio
import gzip
import json
import zlib
from typing import Any

import httpx
import segment.analytics as segment_sdk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.ingest.conftest import Ingest

PAGE = {"type": "page", "anonymousId": "a1", "messageId": "m1", "properties": {"path": "/pricing"}}


def batch(*items: Any, **more: Any) -> dict[str, Any]:
    return {"batch": list(items), **more}


def problem(answer: httpx.Response, status: int, code: str) -> None:
    """The answer is an error in our shape."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["code"] == code
    assert body["message"]
    assert "detail" in body


async def test_a_batch(ingest: Ingest) -> None:
    answer = await ingest.post("/v1/batch", batch(PAGE, {**PAGE, "messageId": "m2"}))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    events = await ingest.events()
    assert sorted(event.id for event in events) == ["m1", "m2"]
    assert {event.source for event in events} == {f"/sources/{ingest.source.id}"}


async def test_every_single_call(ingest: Ingest) -> None:
    item = {"userId": "u1", "event": "Form Submitted", "previousId": "u0", "groupId": "g1", "writeKey": "the-write-key"}
    paths = ["track", "t", "identify", "i", "page", "p", "screen", "s", "group", "g", "alias", "a"]
    for path in paths:
        answer = await ingest.post(f"/v1/{path}", {**item, "messageId": path}, key=None)
        assert answer.json() == {"success": True}, path
    signals = {event.id: event.data.signal for event in await ingest.events()}
    kinds = [
        "form.submitted",
        "person.identified",
        "page.viewed",
        "page.viewed",
        "account.updated",
        "person.identified",
    ]
    assert [signals[path] for path in paths[::2]] == kinds
    assert [signals[path] for path in paths[1::2]] == kinds


async def test_pixels_and_merges_of_rudderstack(ingest: Ingest) -> None:
    query = {"writeKey": "the-write-key", "anonymousId": "a1", "context.page.url": "https://shop.example/pricing"}
    for _ in range(2):
        answer = await ingest.http.get("/pixel/v1/page", params=query)
        assert (answer.status_code, answer.headers["content-type"], answer.content[:3]) == (200, "image/gif", b"GIF")
    answer = await ingest.http.get("/pixel/v1/track", params={**query, "event": "Demo Requested", "messageId": "p3"})
    assert answer.status_code == 200
    assert (await ingest.http.get("/pixel/v1/page", params={"anonymousId": "a1"})).status_code == 401
    answer = await ingest.post("/v1/merge", {"userId": "u1", "previousId": "u0", "messageId": "p4"})
    assert answer.json() == {"success": True}
    events = await ingest.events()
    assert sorted(event.data.signal for event in events) == [
        "demo.requested", "page.viewed", "page.viewed", "person.identified"
    ]  # fmt: skip
    assert {event.data.path for event in events if event.data.signal == "page.viewed"} == {"/pricing"}
    assert all(b"the-write-key" not in bytes(event.data.properties) for event in events)


async def test_keys_wherever_clients_put_them(ingest: Ingest) -> None:
    inside = {**batch(PAGE), "writeKey": "the-write-key"}
    for path, body, more in (
        ("/v1/b", inside, {"key": None}),
        ("/v1/import", batch(PAGE), {}),
        ("/beacon/v1/batch?writeKey=the-write-key", batch(PAGE), {"key": None}),
        ("/v1/batch", batch(PAGE), {"headers": {"content-type": "text/plain"}}),
        ("/v1/batch", batch(PAGE), {"headers": {"content-type": "application/x-www-form-urlencoded"}}),
    ):
        answer = await ingest.post(path, body, **more)
        assert (answer.status_code, answer.json()) == (200, {"success": True})


async def test_a_bearer_key_and_no_key(ingest: Ingest) -> None:
    good = {"authorization": "Bearer the-write-key"}
    assert (await ingest.post("/v1/batch", batch(PAGE), key=None, headers=good)).status_code == 200
    problem(await ingest.post("/v1/batch", batch(PAGE), key=None), 401, "unknown_key")
    problem(await ingest.post("/v1/batch", batch(PAGE), key="some-other-key"), 401, "unknown_key")
    problem(await ingest.post("/v1/batch", batch(PAGE), key="x" * 5000), 401, "unknown_key")
    for header in ("Basic", "Basic !!!", "Basic " + "=" * 20, "Digest x"):
        answer = await ingest.post("/v1/batch", batch(PAGE), key=None, headers={"authorization": header})
        problem(answer, 401, "unknown_key")


async def test_compressed_bodies(ingest: Ingest) -> None:
    body = json.dumps(batch(PAGE)).encode()
    for content, headers in (
        (gzip.compress(body), {"content-encoding": "gzip"}),
        (gzip.compress(body), {"content-type": "text/plain"}),
        (gzip.compress(body[:10]) + gzip.compress(body[10:]), {}),
        (zlib.compress(body), {"content-encoding": "deflate"}),
        (body, {"content-encoding": "gzip"}),
    ):
        assert (await ingest.post("/v1/batch", content, headers=headers)).json() == {"success": True}
    problem(await ingest.post("/v1/batch", gzip.compress(body)[:-9]), 400, "bad_compression")
    problem(await ingest.post("/v1/batch", b"\x1f\x8b" + b"x" * 50), 400, "bad_compression")
    problem(await ingest.post("/v1/batch", body, headers={"content-encoding": "br"}), 415, "unsupported_encoding")


async def test_bombs_and_giants(ingest: Ingest) -> None:
    bomb = gzip.compress(b"0" * 100_000_000)
    problem(await ingest.post("/v1/batch", bomb), 413, "inflated_too_large")
    giant = json.dumps(batch({**PAGE, "properties": {"x": "y" * 10_000_000}})).encode()
    problem(await ingest.post("/v1/batch", giant), 413, "too_large")
    many = batch(*[{"type": "page", "userId": "u"}] * 2001)
    problem(await ingest.post("/v1/batch", many), 413, "too_many_items")
    assert (await ingest.post("/v1/batch", batch(PAGE))).status_code == 200, "the worker is alive"


async def test_a_giant_in_chunks(ingest: Ingest) -> None:
    async def chunks() -> Any:
        for _ in range(40):
            yield b"x" * 65_536

    try:
        answer = await ingest.http.post("/v1/batch", content=chunks(), auth=("the-write-key", ""))
    except httpx.TransportError:
        pass  # the connection may be closed on a client that goes on sending
    else:
        problem(answer, 413, "too_large")
    assert (await ingest.post("/v1/batch", batch(PAGE))).status_code == 200


async def test_bodies_that_nobody_can_read(ingest: Ingest) -> None:
    for body, code in (
        (b"{", "malformed_json"),
        (b"", "empty_body"),
        (b"[" * 10_000 + b"]" * 10_000, "nested_too_deep"),
        (b'{"batch":"x"}', "wrong_shape"),
        (b"\x00\xff", "malformed_json"),
    ):
        problem(await ingest.post("/v1/batch", body), 400, code)
    assert {letter.reason for letter in await ingest.dead()} >= {"malformed_json", "nested_too_deep", "wrong_shape"}


async def test_half_good_batches(ingest: Ingest) -> None:
    deep = json.loads("[" * 500 + "]" * 500)
    bad = {
        "placeholder_id": {**PAGE, "anonymousId": "null"},
        "wrong_type": {**PAGE, "anonymousId": ["x"]},
        "no_id": {"type": "page"},
        "bad_time": {**PAGE, "timestamp": "soon"},
        "absurd_time": {**PAGE, "timestamp": "2999-01-01T00:00:00Z"},
        "email_too_long": {**PAGE, "properties": {"email": "a" * 10_000 + "@x.example"}},
        "nested_too_deep": {**PAGE, "properties": {"x": deep}},
        "unknown_type": {**PAGE, "type": "levitate"},
        "bad_characters": {**PAGE, "anonymousId": "a\u0000b"},
        "event_too_large": {**PAGE, "properties": {"x": "y" * 40_000}},
    }
    items = [
        {**PAGE, "messageId": "good-1", "timestamp": "2026-2-02T00:30:08.276Z"},
        *bad.values(),
        {**PAGE, "messageId": "good-2"},
    ]
    answer = await ingest.post("/v1/batch", batch(*items))
    assert answer.status_code == 200
    body = answer.json()
    assert (body["success"], body["accepted"], body["rejected"]) == (True, 2, len(bad))
    assert {entry["code"] for entry in body["detail"]} == set(bad)
    assert sorted(event.id for event in await ingest.events()) == ["good-1", "good-2"]
    letters = {letter.reason: letter for letter in await ingest.dead()}
    assert set(letters) == set(bad)
    assert json.loads(letters["placeholder_id"].value or b"")["anonymousId"] == "null"

    again = await ingest.post("/v1/batch", batch(*items))
    assert again.status_code == 200
    assert len(await ingest.dead()) == len(bad), "the same bad item sent again is the same dead letter"


async def test_dead_letters_are_mended_and_replayed(ingest: Ingest) -> None:
    bad = {**PAGE, "anonymousId": "null", "messageId": "m9"}
    await ingest.post("/v1/batch", batch(bad, {**bad, "messageId": "m8"}, {"type": "page", "messageId": "m7"}))
    first = (await ingest.dead())[0]
    again = f"/v1/ops/dead-letters/{first.id}/replay"
    problem(await ingest.api("POST", again), 400, first.reason)
    async with ingest.db.raw() as pg:  # mended by hand; a newer parser or policy would do the same
        await pg.execute("UPDATE log.dead_letter SET value = replace(convert_from(value, 'UTF8'), 'null', 'a9')::bytea")
    answer = await ingest.api("POST", "/v1/ops/dead-letters/replay", json={"stage": "ingest"})
    assert answer.json()["replayed"] == 2, "one still names nobody: it waits on"
    events = await ingest.events()
    assert sorted((event.id, event.data.ids[0].value) for event in events) == [("m8", "a9"), ("m9", "a9")]
    assert {event.source for event in events} == {f"/sources/{ingest.source.id}"}
    assert [letter.reason for letter in await ingest.dead() if letter.replayed_at is None] == ["no_id"]


async def test_a_browser_and_its_preflight(ingest: Ingest) -> None:
    made = await ingest.create("site", "segment", publishable=True)
    preflight = await ingest.http.request(
        "OPTIONS",
        "/v1/p",
        headers={
            "origin": "https://aurora.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "anonymousid,authorization,content-type,sentat",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "anonymousid" in preflight.headers["access-control-allow-headers"]
    page = {**PAGE, "context": {"ip": "198.51.100.7"}}
    answer = await ingest.post("/v1/p", page, key=made.write_key, headers={"content-type": "text/plain"})
    assert answer.headers["access-control-allow-origin"] == "*"
    event = (await ingest.events())[0]
    assert (event.data.trust, event.data.ip) == ("publishable", "127.0.0.1")
    refused = await ingest.post("/v1/p", page, key="not-a-key")
    assert refused.headers["access-control-allow-origin"] == "*"


async def test_probes_and_wrong_methods(ingest: Ingest) -> None:
    assert (await ingest.http.head("/v1/batch")).status_code == 200
    assert (await ingest.http.head("/events")).status_code == 200
    hook = f"/hooks/{ingest.source.id}"
    assert (await ingest.http.head(hook)).status_code == 200
    assert (await ingest.http.get(hook)).status_code == 200
    problem(await ingest.http.get("/v1/batch"), 405, "method_not_allowed")
    problem(await ingest.post("/hooks/" + "0" * 32, PAGE, key=None), 401, "unknown_key")


async def test_cloudevents(ingest: Ingest) -> None:
    event = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/crm",
        "type": "leadrouter.demo.requested.v1",
        "subject": "jane@fjordsoft.example",
        "data": {"path": "/demo"},
    }
    bearer = {"authorization": "Bearer the-write-key"}
    structured = {**bearer, "content-type": "application/cloudevents+json"}
    assert (await ingest.post("/events", event, key=None, headers=structured)).json() == {"success": True}
    batched = {"content-type": "application/cloudevents-batch+json"}
    answer = await ingest.post("/events", [{**event, "id": "e2"}, {**event, "id": ""}], headers=batched)
    assert (answer.status_code, answer.json()["rejected"]) == (200, 1)
    binary = {f"ce-{name}": str(value) for name, value in event.items() if name != "data"}
    binary |= {"ce-id": "e3", "ce-subject": "jan%C3%A9@fjordsoft.example", "content-type": "application/json"}
    assert (await ingest.post("/events", event["data"], headers=binary)).json() == {"success": True}
    events = {found.id: found for found in await ingest.events()}
    assert sorted(events) == ["e1", "e2", "e3"]
    assert events["e3"].data.ids[0].value == "jané@fjordsoft.example"
    problem(
        await ingest.post("/events", event, key=None, headers={"content-type": "application/json"}), 401, "unknown_key"
    )
    asked = await ingest.http.options("/events", headers={"webhook-request-origin": "events.example"})
    assert (asked.status_code, asked.headers["webhook-allowed-origin"]) == (200, "events.example")


async def test_standard_webhooks(ingest: Ingest) -> None:
    from datetime import UTC, datetime

    from standardwebhooks import Webhook

    made = await ingest.create("generic", "standardwebhooks")
    assert made.secret is not None
    body = json.dumps(
        {"type": "contact.created", "timestamp": "2026-11-03T20:26:10Z", "data": {"email": "jane@x.example"}}
    )
    at = datetime.now(UTC)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp()))}
    headers["webhook-signature"] = Webhook(made.secret).sign("msg_1", at, body)
    for path in ("/events", f"/hooks/{made.id}"):
        assert (await ingest.post(path, body.encode(), key=None, headers=headers)).json() == {"success": True}
        forged = {**headers, "webhook-id": "msg_2"}
        problem(await ingest.post(path, body.encode(), key=None, headers=forged), 401, "bad_signature")
    problem(await ingest.post(f"/hooks/{made.id}", body.encode(), key=None), 401, "bad_signature")
    assert {event.id for event in await ingest.events()} == {"msg_1"}


async def test_a_hook_never_says_no_to_a_body(ingest: Ingest) -> None:
    answer = await ingest.post(f"/hooks/{ingest.source.id}", b"{half", key=None)
    assert (answer.status_code, answer.json()["code"]) == (200, "malformed_json")
    assert [letter.reason for letter in await ingest.dead()] == ["malformed_json"]


async def test_many_at_once_are_committed_together(ingest: Ingest) -> None:
    answers = await asyncio.gather(
        *(ingest.post("/v1/batch", batch({**PAGE, "messageId": f"m{i}"})) for i in range(60))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len(await ingest.events()) == 60


async def test_whoever_waits_when_the_process_ends_is_told_to_send_again(ingest: Ingest) -> None:
    """PostgreSQL stands still for longer than the process waits at its end."""
    async with ingest.db.transaction() as pg:
        await pg.execute("LOCK TABLE log.partition")
        posted = asyncio.create_task(ingest.post("/v1/batch", batch(PAGE)))
        await asyncio.sleep(0.2)
        await ingest.server.stop(1)
        answer = await posted
    problem(answer, 429, "stopping")
    assert "retry-after" in answer.headers


async def test_the_real_segment_client(ingest: Ingest) -> None:
    failed: list[Any] = []

    def drive(compress: bool) -> None:
        client = segment_sdk.Client(
            "the-write-key",
            host=ingest.url,
            gzip=compress,
            on_error=lambda error, _: failed.append(error),
            max_retries=0,
        )
        client.identify("u1", {"email": "vp@nordwind.example", "title": "VP Operations"})
        client.track("u1", "Webinar Attended", {"webinar": "x"})
        client.page(user_id="u1", name="Pricing", properties={"url": "https://aurora.example/pricing"})
        client.group("u1", "g1", {"name": "Nordwind", "domain": "nordwind.example"})
        client.screen("u1", name="Home")
        client.alias("a1", "u1")
        client.track("u1", "Numbers", {"nan": float("nan"), "emoji": "\U0001f600"})
        client.flush()
        client.shutdown()

    await asyncio.to_thread(drive, False)
    await asyncio.to_thread(drive, True)
    assert failed == []
    signals = sorted(event.data.signal for event in await ingest.events())
    once = [
        "account.updated",
        "numbers",
        "page.viewed",
        "page.viewed",
        "person.identified",
        "person.identified",
        "webinar.attended",
    ]
    assert signals == sorted(once * 2)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["batch", "type", "userId", "event", "context", "traits", "properties", "timestamp", "sentAt"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.one_of(
        st.binary(max_size=300),
        json_values.map(lambda v: json.dumps(v).encode()),
        json_values.map(lambda v: json.dumps({"batch": [v, PAGE]}).encode()),
        st.binary(max_size=100).map(gzip.compress),
        st.binary(max_size=60).map(lambda tail: b'{"batch":[{"type":"page","userId":"' + tail + b'"}]}'),
    ),
    path=st.sampled_from(["/v1/batch", "/v1/track", "/v1/i", "/events", "hook"]),
)
async def test_fuzz(ingest: Ingest, body: bytes, path: str) -> None:
    where = f"/hooks/{ingest.source.id}" if path == "hook" else path
    answer = await ingest.post(where, body)
    assert answer.status_code in (200, 400, 413)
    if answer.json().get("success") is not True:
        assert answer.json()["code"]
        assert answer.json()["message"]
    assert ingest.service._committer.ended is False
