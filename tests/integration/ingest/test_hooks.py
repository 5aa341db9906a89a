"""Vendors' hooks and other clients' protocols over a real port: probes, dead letters, replayed tokens, ignored types."""

import asyncio
import gzip
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from services.ingest.api import tokens
from services.ingest.api.tokens import UsedTokens
from services.runtime.telemetry import REGISTRY
from tests.integration.ingest.conftest import Ingest

ANNE = "anne@nordwind.example"
OPEN = {"event": "open", "email": ANNE, "timestamp": 1_795_000_000, "sg_event_id": "o1", "sg_message_id": "m.filter1"}


async def hook(ingest: Ingest, platform: str, secret: str | None = None) -> str:
    made = await ingest.create(f"{platform} hook", platform, secret=secret)
    return f"/hooks/{made.id}"


def ignored(platform: str, kind: str) -> float:
    return REGISTRY.get_sample_value("leadrouter_ingest_ignored_total", {"platform": platform, "type": kind}) or 0.0


async def test_events_bad_items_and_ignored_types_of_one_request(ingest: Ingest) -> None:
    path = await hook(ingest, "sendgrid")
    before, unknown = ignored("sendgrid", "processed"), ignored("sendgrid", "teleported")
    body = [
        OPEN,
        {**OPEN, "event": "processed"},
        {**OPEN, "event": "teleported", "sg_event_id": "o2"},
        {"email": ANNE},
        5,
    ]
    answer = await ingest.http.post(path, content=json.dumps(body))
    assert answer.status_code == 200
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (2, 2)
    assert sorted(event.data.signal for event in await ingest.events()) == ["email.opened", "teleported"]
    assert ignored("sendgrid", "processed") == before + 1
    assert ignored("sendgrid", "teleported") == unknown + 1
    assert len(await ingest.dead()) == 2


async def test_a_malformed_body_is_a_dead_letter_and_no_error(ingest: Ingest) -> None:
    for platform in ("customerio", "mailchimp", "mandrill", "mautic", "facebook_lead_ads", "unbounce"):
        answer = await ingest.http.post(await hook(ingest, platform), content=b"\xff{not this")
        assert answer.status_code == 200, platform
    broken = {"content": gzip.compress(b"{}")[:-4], "headers": {"content-encoding": "gzip"}}
    assert (await ingest.http.post(await hook(ingest, "typeform"), **broken)).status_code == 200
    assert len(await ingest.dead()) >= 6


async def test_probes_at_set_up(ingest: Ingest) -> None:
    facebook = await hook(ingest, "facebook_lead_ads", "app-secret")
    token = facebook.rpartition("/")[2]
    asked = {"hub.mode": "subscribe", "hub.verify_token": token, "hub.challenge": "1158201444"}
    answer = await ingest.http.get(facebook, params=asked)
    assert (answer.status_code, answer.text, answer.headers["content-type"][:10]) == (200, "1158201444", "text/plain")
    wrong = await ingest.http.get(facebook, params={**asked, "hub.verify_token": "no"})
    assert "1158201444" not in wrong.text

    mandrill = await hook(ingest, "mandrill", "key")
    assert (await ingest.http.head(mandrill)).status_code == 200
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert (
        await ingest.http.post(mandrill, content=urlencode({"mandrill_events": "[]"}), headers=form)
    ).status_code == 200
    full = urlencode({"mandrill_events": json.dumps([{"event": "open", "msg": {"email": ANNE}}])})
    assert (await ingest.http.post(mandrill, content=full, headers=form)).status_code == 401

    mailchimp = await hook(ingest, "mailchimp", "s3cret")
    assert (await ingest.http.get(mailchimp)).status_code == 200
    body = urlencode({"type": "subscribe", "data[email]": ANNE})
    assert (await ingest.http.post(mailchimp, content=body)).status_code == 401
    assert (await ingest.http.post(f"{mailchimp}?secret=s3cret", content=body)).status_code == 200
    ping = [{"msys": {}}]
    assert (await ingest.http.post(await hook(ingest, "sparkpost"), content=json.dumps(ping))).json() == {
        "success": True
    }


async def test_a_mailgun_token_counts_for_one_event(ingest: Ingest) -> None:
    path = await hook(ingest, "mailgun", "signing-key")
    signature = {"timestamp": "1795000000", "token": "t1",
                 "signature": hmac.new(b"signing-key", b"1795000000t1", hashlib.sha256).hexdigest()}  # fmt: skip
    event = {"event": "opened", "id": "e1", "timestamp": 1795000000.1, "recipient": ANNE}

    async def send(**more: Any) -> int:
        body = json.dumps({"signature": signature, "event-data": {**event, **more}})
        return (await ingest.http.post(path, content=body)).status_code

    assert await send() == 200
    assert await send() == 200  # its own retry: the same event, with the same id
    assert await send(id="e2", recipient="ben@stella.example") == 401
    assert {event.id for event in await ingest.events()} == {"e1"}
    # A process beside us, or this one after a restart, knows it too.
    beside = UsedTokens(ingest.db, ingest.clock)
    source_id = path.rpartition("/")[2]
    assert not await beside.claim(source_id, "t1", b"another body")
    assert await beside.claim("another source", "t1", b"another body")


async def test_one_token_at_the_same_moment_in_two_processes(ingest: Ingest) -> None:
    processes = [UsedTokens(ingest.db, ingest.clock) for _ in range(2)]
    claims = [one.claim("s", f"t{n}", f"body {n} {m}".encode()) for m, one in enumerate(processes) for n in range(50)]
    found = await asyncio.gather(*claims)
    assert [a + b for a, b in zip(found[:50], found[50:], strict=True)] == [1] * 50


async def test_tokens_of_long_ago_go_however_many(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "SWEEP_ROWS", 2)
    one = UsedTokens(ingest.db, ingest.clock)
    assert await one.claim("s", "kept", b"body")
    async with ingest.db.raw() as pg:
        await pg.execute(
            "INSERT INTO ingest.used_token SELECT int4send(n), '', now() - interval '401 days' FROM generate_series(1, 5) n"
        )
    later = UsedTokens(ingest.db, ingest.clock)
    async with asyncio.timeout(20):
        while True:
            assert not await later.claim("s", "kept", b"another body")
            async with ingest.db.raw() as pg:
                if await pg.fetchval("SELECT count(*) FROM ingest.used_token") == 1:
                    break


async def test_posthog_clients(ingest: Ingest) -> None:
    body = {
        "api_key": "the-write-key",
        "batch": [{"event": "$pageview", "uuid": "1", "distinct_id": ANNE, "properties": {}}],
    }
    raw = json.dumps(body).encode()
    for number, path in enumerate(("/batch/", "/batch", "/capture/", "/e/")):
        sent = raw.replace(b'"1"', f'"u{number}"'.encode())
        content = gzip.compress(sent) if number % 2 else sent
        answer = await ingest.http.post(
            f"{path}?compression=gzip-js", content=content, headers={"content-type": "text/plain"}
        )
        assert (answer.status_code, answer.json()) == (200, {"success": True}), path
    auth = {"authorization": "Bearer the-write-key"}
    events = [{"event": "Demo Requested", "uuid": "v1", "distinct_id": "u7", "properties": {}}, {"uuid": "v2"}]
    answer = await ingest.http.post("/i/v1/analytics/events", content=json.dumps({"batch": events}), headers=auth)
    assert answer.status_code == 200
    assert {name: one["result"] for name, one in answer.json()["results"].items()} == {"v1": "ok", "v2": "drop"}
    assert {event.id for event in await ingest.events()} == {"u0", "u1", "u2", "u3", "v1"}
    assert (await ingest.http.post("/batch/", content=raw.replace(b"the-write-key", b"no-such-key"))).status_code == 401
    asked = {"origin": "https://shop.example", "access-control-request-headers": "content-type"}
    preflight = await ingest.http.options("/e/", headers=asked)
    assert preflight.headers["access-control-allow-headers"] == "content-type"


async def test_snowplow_trackers(ingest: Ingest) -> None:
    event = {"e": "pv", "eid": "s1", "duid": "d1", "aid": "the-write-key", "url": "https://shop.example/pricing"}
    origin = {"origin": "https://shop.example"}
    path = "/com.snowplowanalytics.snowplow/tp2"
    answer = await ingest.http.post(path, content=json.dumps({"schema": "iglu:x", "data": [event]}), headers=origin)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert answer.headers["access-control-allow-credentials"] == "true"
    preflight = await ingest.http.options(path, headers={**origin, "access-control-request-headers": "content-type"})
    assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
    pixel = await ingest.http.get("/i", params={**event, "eid": "s2"})
    assert (pixel.status_code, pixel.headers["content-type"], pixel.content[:3]) == (200, "image/gif", b"GIF")
    assert (await ingest.http.get("/i", params={**event, "aid": "nobody-knows"})).status_code == 401
    assert {event.id for event in await ingest.events()} == {"s1", "s2"}


async def test_the_generic_source_is_mapped_by_its_address(ingest: Ingest) -> None:
    path = await hook(ingest, "generic")
    query = {"event": "/what", "email": "/who", "id": "/nr"}
    answer = await ingest.http.post(
        path, params=query, content=json.dumps({"what": "Signed Up", "who": ANNE, "nr": "1"})
    )
    assert answer.json() == {"success": True}
    (event,) = await ingest.events()
    assert (event.data.signal, event.id) == ("product.signed_up", "1")
