"""The neutral doors with the makers' own libraries: CloudEvents in its three modes, Standard Webhooks signed."""

import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks import Webhook

from tests.clients.conftest import Live, somebody

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("clients")]


def event(signal: str, email: str, **data: Any) -> CloudEvent:
    attributes = {
        "id": secrets.token_hex(8),
        "source": "https://crm.example/jan%C3%A9",
        "type": f"leadrouter.{signal}.v1",
        "time": datetime.now(UTC),
        "subject": email,
        "partitionkey": email,
        "datacontenttype": "application/json",
    }
    return CloudEvent(attributes, {"url": "https://shop.example/pricing", **data})


def batch(events: list[CloudEvent]) -> HTTPMessage:
    """The binding has no batch of its own: an array of structured events."""
    bodies = [json.loads(to_structured(one, JSONFormat()).body) for one in events]
    return HTTPMessage({"content-type": "application/cloudevents-batch+json"}, json.dumps(bodies).encode())


async def post(live: Live, path: str, message: HTTPMessage, key: str | None) -> httpx.Response:
    async with httpx.AsyncClient(base_url=live.url, timeout=30) as http:
        auth = (key, "") if key else None
        return await http.post(path, content=message.body, headers=message.headers, auth=auth)


async def test_cloudevents_in_three_modes(live: Live) -> None:
    email, key = f"jané.{somebody()}", (await live.source("cloudevents"))["write_key"]
    one, two = event("page.viewed", email), event("webinar.attended", email)
    three, four = event("content.downloaded", email), event("demo.requested", email)
    messages = [to_binary(one, JSONFormat()), to_structured(two, JSONFormat()), batch([three, four])]
    assert "%C3%A9" in messages[0].headers["ce-partitionkey"]
    for message in [*messages, *messages]:  # the second time is a sender's retry
        answer = await post(live, "/events", message, key)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    expected = ["content.downloaded", "demo.requested", "page.viewed", "webinar.attended"]
    assert await live.scored(email, 4) == expected
    assert (await post(live, "/events", messages[0], "nobody-knows-it")).status_code == 401
    broken = HTTPMessage(messages[1].headers, messages[1].body[:-1])
    assert (await post(live, "/events", broken, key)).status_code == 400


@pytest.mark.parametrize("door", ["/events", "hook"])
async def test_standard_webhooks_signed_by_the_library(live: Live, door: str) -> None:
    email, source = somebody(), await live.source("standardwebhooks")
    path = source["hook_url"].removeprefix(live.url) if door == "hook" else door
    signer = Webhook(source["secret"])

    def signed(body: bytes, at: datetime | None = None, by: Webhook = signer, id_: str = "") -> HTTPMessage:
        at = at or datetime.now(UTC)
        id_ = id_ or f"msg_{secrets.token_hex(8)}"
        headers = {
            "content-type": "application/json",
            "webhook-id": id_,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": by.sign(id_, at, body.decode()),
        }
        return HTTPMessage(headers, body)

    body = json.dumps({"type": "demo.requested", "data": {"email": email, "note": "ä"}}).encode()
    first = signed(body, id_=f"msg_{secrets.token_hex(8)}")
    for _ in range(2):
        answer = await post(live, path, first, None)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert await live.scored(email, 1) == ["demo.requested"]

    refused = [
        signed(body, at=datetime.now(UTC) - timedelta(minutes=6)),
        signed(body, at=datetime.now(UTC) + timedelta(minutes=6)),
        signed(body, by=Webhook(Webhook._SECRET_PREFIX + "bm90IHRoaXMgb25l")),
        HTTPMessage(signed(body).headers, body + b" "),
    ]
    for message in refused:
        assert (await post(live, path, message, None)).status_code == 401

    rotated = (await live.ask("POST", f"/v1/sources/{source['id']}/rotate")).json()
    assert rotated["secret"] != source["secret"]
    for by in (signer, Webhook(rotated["secret"])):
        assert (await post(live, path, signed(body, by=by), None)).status_code == 200
