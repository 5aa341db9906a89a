"""The company's own site: the snippet, and greetings."""

import asyncio

import pytest

from services.notify.channels import site as site_channel
from tests.integration.notify.test_stream import visit
from tests.unit.notify.messages import SOMEBODY, told

pytestmark = pytest.mark.needs_postgres

ANNA = {"name": "Anna Aalto", "title": "Account manager"}


async def test_a_visitor_is_greeted_now_or_a_second_later(replica):
    early = await replica.stream(None, "/v1/site/stream?key=pk_site&visitor=anon-1")
    other = await replica.stream(None, "/v1/site/stream?key=pk_site&visitor=anon-2")
    assert early.headers["access-control-allow-origin"] == "*"
    await replica.publish(("m1", visit("e1", SOMEBODY, visitors=["anon-1"], greeter=ANNA)))
    hello = await early.get()
    assert hello.event == "greeting"
    assert hello.data["from"] == ANNA
    assert hello.data["account"] == "Nordwind Industries Oyj"
    assert hello.data["text"]
    late = await replica.stream(None, "/v1/site/stream?key=pk_site&visitor=anon-1")
    assert (await late.get()).data == hello.data
    again = await replica.stream(None, "/v1/site/stream?key=pk_site&visitor=anon-1", last_id=hello.id)
    for stream in (again, other, early, late):
        await stream.none(0.15)
    await replica.publish(("m2", told("erased", lead=SOMEBODY)))
    for _ in range(50):
        async with replica.db.raw() as pg:
            if not await pg.fetchval("SELECT count(*) FROM notify.greeting"):
                break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("a greeting of an erased lead is still there")


async def test_keys_visitors_and_bounds(replica, monkeypatch):
    for path in ("/site.js", "/site.js?key=", "/site.js?key=wrong", "/v1/site/stream?key=wrong&visitor=a"):
        answer = await replica.client.get(path)
        assert answer.status_code == 401, path
        assert answer.json()["code"] == "unauthorized"
    for visitor in ("", "x" * 201):
        assert (await replica.client.get(f"/v1/site/stream?key=pk_site&visitor={visitor}")).status_code == 400
    monkeypatch.setattr(site_channel, "STREAMS_PER_KEY", 2)
    held = [await replica.stream(None, f"/v1/site/stream?key=pk_site&visitor=v{i}") for i in range(2)]
    full = await replica.client.get("/v1/site/stream?key=pk_site&visitor=v9")
    assert full.status_code == 429
    assert full.headers["retry-after"] == "60"
    await held[0].close()
    await asyncio.sleep(0.2)
    assert (await replica.stream(None, "/v1/site/stream?key=pk_site&visitor=v9")).status == 200


async def test_the_snippet(replica):
    answer = await replica.client.get("/site.js?key=pk_site")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert len(answer.content) < 14_000
    text = answer.text
    for never in ("document.cookie", "innerHTML", "eval(", "new Function", "insertAdjacent", 'createElement("style")'):
        assert never not in text
    same = await replica.client.get("/site.js?key=pk_site", headers={"If-None-Match": answer.headers["etag"]})
    assert same.status_code == 304
    weak = await replica.client.get("/site.js?key=pk_site", headers={"If-None-Match": f"W/{answer.headers['etag']}"})
    assert weak.status_code == 304
