"""The vendors' Python clients, with nothing changed but host and key, against the whole product.

What each does by itself on a refusal is written down here as it is; `docs/sources` says the same to people.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import posthog
import pytest
import rudderstack.analytics.client as rudder
import snowplow_tracker as snowplow
from segment.analytics.client import Client as Segment

from tests.clients.conftest import Live, somebody
from tests.clients.proxy import Between

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("clients")]
# (host, key, email): makes the calls below and waits until they are sent. Gives what the client reports as lost.
Sends = Callable[[str, str, str], list[Any]]
CALLS = ["demo.requested", "page.viewed", "person.identified"]
URL = "https://shop.example/pricing"
PATIENCE_S = 10.0
# What comes again within this time after a client has ended would be a resend.
QUIET_S = 1.5


def _segment(host: str, key: str, email: str, *, gzip: bool = False) -> list[Any]:
    lost: list[Any] = []
    client = Segment(key, host=host, gzip=gzip, upload_interval=0.2, on_error=lambda *found: lost.append(found))
    client.identify(email, {"email": email})
    client.page(email, name="Prices", properties={"url": URL})
    client.track(email, "Demo Requested")
    client.flush()
    client.shutdown()
    return lost


def _rudder(host: str, key: str, email: str, *, gzip: bool = True) -> list[Any]:
    lost: list[Any] = []
    client = rudder.Client(key, host=host, gzip=gzip, upload_interval=0.2, on_error=lambda *found: lost.append(found))
    client.identify(email, {"email": email})
    client.page(email, name="Prices", properties={"url": URL})
    client.track(email, "Demo Requested")
    client.flush()
    client.shutdown()
    return lost


def _posthog(host: str, key: str, email: str, **options: Any) -> list[Any]:
    lost: list[Any] = []
    client = posthog.Posthog(
        key, host=host, flush_interval=0.2, max_retries=5, on_error=lambda *found: lost.append(found), **options
    )
    client.set(distinct_id=email, properties={"email": email})
    client.capture("$pageview", distinct_id=email, properties={"$current_url": URL})
    client.capture("Demo Requested", distinct_id=email)
    client.shutdown()
    return lost


def _snowplow(host: str, key: str, email: str, *, method: Any = "post") -> list[Any]:
    lost: list[Any] = []
    sent: list[Any] = []
    emitter = snowplow.Emitter(
        host,
        method=method,
        batch_size=3,
        max_retry_delay_seconds=1,
        on_success=sent.extend,
        on_failure=lambda _, failed: lost.extend(failed),
    )
    tracker = snowplow.Tracker("t", emitter, subject=snowplow.Subject().set_user_id(email), app_id=key)
    tracker.track(snowplow.PageView(page_url=URL, page_title="Prices"))
    tracker.track(snowplow.StructuredEvent(category="web", action="Demo Requested"))
    known = snowplow.SelfDescribingJson("iglu:com.acme/identify/jsonschema/1-0-0", {"email": email})
    tracker.track(snowplow.SelfDescribing(known))
    tracker.flush()
    # It sends again from a timer, for as long as the program lives.
    end = time.monotonic() + PATIENCE_S
    while len(sent) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    emitter.custom_retry_codes = dict.fromkeys((-1, 413, 429), False)
    emitter.retry_timer.cancel()
    return lost


CLIENTS: dict[str, Sends] = {
    "segment": _segment,
    "segment gzip": lambda *to: _segment(*to, gzip=True),
    "rudder": _rudder,
    "rudder plain": lambda *to: _rudder(*to, gzip=False),
    "posthog": _posthog,
    "posthog v0 gzip": lambda *to: _posthog(*to, capture_mode="v0", gzip=True),
    "posthog v1": lambda *to: _posthog(*to, capture_mode="v1"),
    "snowplow": _snowplow,
    "snowplow get": lambda *to: _snowplow(*to, method="get"),
}


async def each(work: Callable[[str, Sends], Awaitable[Any]]) -> dict[str, Any]:
    """Every client at the same time; what came of each."""
    async with asyncio.timeout(90):
        found = await asyncio.gather(*(work(name, sends) for name, sends in CLIENTS.items()))
    return dict(zip(CLIENTS, found, strict=True))


async def test_one_scored_event_per_call_and_nothing_is_sent_again(live: Live) -> None:
    async def work(_: str, sends: Sends) -> Any:
        async with Between(live.url) as between:
            email, key = somebody(), (await live.source())["write_key"]
            lost = await asyncio.to_thread(sends, between.url, key, email)
            taken = between.taken()
            assert len(set(taken)) == len(taken), "an event was sent twice"
            return lost, set(between.answers()), len(taken), await live.scored(email, 3)

    assert await each(work) == dict.fromkeys(CLIENTS, ([], {200}, 3, CALLS))


@pytest.mark.parametrize("status", [400, 401, 413])
async def test_what_never_can_succeed_is_posted_once(live: Live, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.clients.test_python.PATIENCE_S", 2.5)

    async def work(_: str, sends: Sends) -> Any:
        async with Between(live.url) as between:
            # A wrong key is refused by the product itself.
            between.always = None if status == 401 else status
            await asyncio.to_thread(sends, between.url, "nobody-knows-it", somebody())
            await asyncio.sleep(QUIET_S)
            tries = Counter(between.posted())
            assert len(tries) == 3
            return set(between.answers()), set(tries.values()) == {1}

    expected = dict.fromkeys(CLIENTS, ({status}, True))
    if status == 413:
        # Snowplow's tracker tries a 413 again for ever. Its posts hold ten events: the product answers none with 413.
        expected |= dict.fromkeys(("snowplow", "snowplow get"), ({413}, False))
    assert await each(work) == expected


async def test_three_429_lose_nothing_and_double_nothing(live: Live) -> None:
    async def work(_: str, sends: Sends) -> Any:
        async with Between(live.url) as between:
            between.refuse = [429, 429, 429]
            email, key = somebody(), (await live.source())["write_key"]
            await asyncio.to_thread(sends, between.url, key, email)
            taken = between.taken()
            return between.answers().get(429), sorted(Counter(taken).values()), await live.scored(email, 3)

    assert await each(work) == dict.fromkeys(CLIENTS, (3, [1, 1, 1], CALLS))
