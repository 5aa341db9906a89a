"""The vendors' own Python clients against a live ingest: each call is one event, and nothing is sent twice."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.integration.ingest.conftest import Ingest

ANNE = "anne@nordwind.example"
KEY = "the-write-key"


class Counting:
    """Counts answers by status, and can give bad ones first."""

    def __init__(self, ingest: Ingest) -> None:
        self.answers: Counter[int] = Counter()
        self.refuse: list[int] = []
        config = ingest.server._server.config
        self._app = config.loaded_app
        config.loaded_app = self
        self._config = config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self.refuse:
            status = self.refuse.pop(0)
            self.answers[status] += 1
            await send({"type": "http.response.start", "status": status, "headers": [(b"retry-after", b"1")]})
            await send({"type": "http.response.body", "body": b""})
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.answers[message["status"]] += 1
            await send(message)

        await self._app(scope, receive, counted)


@pytest.fixture
def counting(ingest: Ingest) -> Counting:
    return Counting(ingest)


async def threaded(work: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        await asyncio.to_thread(work)


@pytest.mark.parametrize("mode", ["v0", "v1"])
@pytest.mark.parametrize("gzip", [False, True])
async def test_posthog(ingest: Ingest, counting: Counting, mode: str, gzip: bool) -> None:
    posthog = pytest.importorskip("posthog")

    def work() -> None:
        lost: list[Any] = []
        client = posthog.Posthog(
            KEY, host=ingest.url, gzip=gzip, capture_mode=mode, flush_interval=0.05, on_error=lambda *a: lost.append(a)
        )
        client.capture("Demo Requested", distinct_id="u7", properties={"page": 1})
        client.set(distinct_id="u7", properties={"email": ANNE})
        client.alias("u6", "u7")
        client.shutdown()
        assert lost == []

    await threaded(work)
    found = sorted(event.data.signal for event in await ingest.events())
    assert found == ["demo.requested", "person.identified", "person.identified"]
    assert set(counting.answers) == {200}


@pytest.mark.parametrize("method", ["post", "get"])
async def test_snowplow(ingest: Ingest, counting: Counting, method: str) -> None:
    snowplow = pytest.importorskip("snowplow_tracker")

    def work() -> None:
        emitter = snowplow.Emitter("127.0.0.1", protocol="http", port=ingest.server.port, method=method, batch_size=1)
        subject = snowplow.Subject()
        subject.set_user_id(ANNE)
        tracker = snowplow.Tracker("t", emitter, subject=subject, app_id=KEY)
        tracker.track(snowplow.PageView(page_url="https://shop.example/pricing", page_title="Prices"))
        tracker.track(snowplow.StructuredEvent(category="web", action="Form Submitted"))
        own = snowplow.SelfDescribingJson("iglu:com.acme/demo_requested/jsonschema/1-0-0", {"plan": "ä"})
        tracker.track(snowplow.SelfDescribing(own))
        tracker.flush()

    await threaded(work)
    found = {event.data.signal: event.data for event in await ingest.events()}
    assert sorted(found) == ["demo.requested", "form.submitted", "page.viewed"]
    assert found["page.viewed"].path == "/pricing"
    assert counting.answers == {200: 3}


async def test_rudderstack(ingest: Ingest, counting: Counting) -> None:
    rudder = pytest.importorskip("rudderstack.analytics.client")

    def work() -> None:
        client = rudder.Client(KEY, host=ingest.url, upload_interval=0.05, max_retries=2)
        client.identify("u7", {"email": ANNE})
        client.track("u7", "Webinar Attended", {"a": 1})
        client.shutdown()

    await threaded(work)
    assert sorted(event.data.signal for event in await ingest.events()) == ["person.identified", "webinar.attended"]
    assert set(counting.answers) == {200}


async def test_three_refusals_lose_nothing_and_double_nothing(ingest: Ingest, counting: Counting) -> None:
    posthog = pytest.importorskip("posthog")
    counting.refuse = [429, 429, 429]

    def work() -> None:
        client = posthog.Posthog(KEY, host=ingest.url, flush_interval=0.05, max_retries=5)
        client.capture("Demo Requested", distinct_id="u7")
        client.shutdown()

    await threaded(work)
    assert [event.data.signal for event in await ingest.events()] == ["demo.requested"]
    assert counting.answers[429] == 3


async def test_a_wrong_key_is_tried_once(ingest: Ingest, counting: Counting) -> None:
    rudder = pytest.importorskip("rudderstack.analytics.client")

    def work() -> None:
        client = rudder.Client("nobody-knows-it", host=ingest.url, upload_interval=0.05, max_retries=3)
        client.track("u7", "Webinar Attended")
        client.shutdown()

    await threaded(work)
    assert counting.answers == {401: 1}
    assert await ingest.events() == []
