"""The vendors' Node clients, with nothing changed but host and key, against the whole product."""

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.clients.conftest import Live, somebody
from tests.clients.node import MODULES, node
from tests.clients.proxy import Between

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("clients")]
CALLS = ["demo.requested", "page.viewed", "person.identified"]
SCRIPTS = {
    "segment": """
        const { Analytics } = require('@segment/analytics-node')
        const client = new Analytics({ writeKey: KEY, host: HOST })
        client.on('error', () => {})
        client.identify({ userId: EMAIL, traits: { email: EMAIL } })
        client.page({ userId: EMAIL, name: 'Prices', properties: { url: URL_ } })
        client.track({ userId: EMAIL, event: 'Demo Requested' })
        client.closeAndFlush({ timeout: 20000 }).then(done, done)
    """,
    "rudder": """
        const Rudder = require('@rudderstack/rudder-sdk-node')
        const client = new (Rudder.default || Rudder)(KEY, { dataPlaneUrl: HOST, flushInterval: 200, errorHandler: () => {} })
        client.identify({ userId: EMAIL, traits: { email: EMAIL } })
        client.page({ userId: EMAIL, name: 'Prices', properties: { url: URL_ } })
        client.track({ userId: EMAIL, event: 'Demo Requested' })
        client.flush().then(done, done)
    """,
    "posthog": """
        const { PostHog } = require('posthog-node')
        const client = new PostHog(KEY, { host: HOST, fetchRetryDelay: 300 })
        client.on('error', () => {})
        client.identify({ distinctId: EMAIL, properties: { email: EMAIL } })
        client.capture({ distinctId: EMAIL, event: '$pageview', properties: { $current_url: URL_ } })
        client.capture({ distinctId: EMAIL, event: 'Demo Requested' })
        client.shutdown(20000).then(done, done)
    """,
    # Keeps what was refused for its next event or flush: it has no timer of its own.
    "snowplow": """
        const s = require('@snowplow/node-tracker')
        let left = 3
        const tracker = s.newTracker({ namespace: 't', appId: KEY, encodeBase64: true }, { endpoint: HOST, bufferSize: 1,
            onRequestSuccess: batch => { left -= batch.length; if (left <= 0) done() },
            onRequestFailure: found => found.willRetry ? setTimeout(() => tracker.flush(), 200) : (left -= found.events.length) > 0 || done() })
        tracker.setUserId(EMAIL)
        tracker.track(s.buildPageView({ pageUrl: URL_, pageTitle: 'Prices' }))
        tracker.track(s.buildStructEvent({ category: 'web', action: 'Demo Requested' }))
        tracker.track(s.buildSelfDescribingEvent({ event: { schema: 'iglu:com.acme/identify/jsonschema/1-0-0',
                                                            data: { email: EMAIL } } }))
    """,
}
# A little later, so that a resend would still come; and an end for clients that never give up.
HEAD = """
    const { HOST, KEY, EMAIL } = process.env, URL_ = 'https://shop.example/pricing'
    const done = () => setTimeout(() => process.exit(0), 1000)
    setTimeout(() => process.exit(0), Number(process.env.PATIENCE_S) * 1000)
"""


async def send(name: str, host: str, key: str, email: str, patience_s: float = 25) -> None:
    """Run a client until it has sent its three events or given up."""
    env = {**os.environ, "NODE_PATH": str(MODULES), "HOST": host, "KEY": key, "EMAIL": email}
    env["PATIENCE_S"] = str(patience_s)
    run = [node(), "-e", HEAD + SCRIPTS[name]]
    done = await asyncio.to_thread(subprocess.run, run, env=env, capture_output=True, timeout=80, check=False)
    assert done.returncode == 0, done.stderr.decode()


async def each(work: Callable[[str], Awaitable[Any]]) -> dict[str, Any]:
    """Every client at the same time; what came of each."""
    node()
    async with asyncio.timeout(90):
        found = await asyncio.gather(*map(work, SCRIPTS))
    return dict(zip(SCRIPTS, found, strict=True))


async def test_one_scored_event_per_call_and_nothing_is_sent_again(live: Live) -> None:
    async def work(name: str) -> Any:
        async with Between(live.url) as between:
            email, key = somebody(), (await live.source())["write_key"]
            await send(name, between.url, key, email)
            taken = Counter(between.taken())
            return set(between.answers()), sorted(taken.values()), await live.scored(email, 3)

    assert await each(work) == dict.fromkeys(SCRIPTS, ({200}, [1, 1, 1], CALLS))


@pytest.mark.parametrize("status", [400, 401, 413])
async def test_what_never_can_succeed_is_posted_once(live: Live, status: int) -> None:
    async def work(name: str) -> Any:
        async with Between(live.url) as between:
            between.always = None if status == 401 else status  # a wrong key is refused by the product itself
            await send(name, between.url, "nobody-knows-it", somebody(), patience_s=6)
            sizes = [len(post.ids()) for post in between.posts]
            tries = Counter(between.posted())
            assert len(tries) == 3
            return set(between.answers()), sizes if max(tries.values()) > 1 else "once"

    found = await each(work)
    if status == 413:
        # It sends smaller batches, later, until an event alone is refused; that one it drops.
        status_, sizes = found.pop("posthog")
        assert (status_, sizes[:2]) == ({413}, [3, 1])
        # It tries for ever. Its posts have 40,000 bytes at most: the product answers none of them with 413.
        assert found.pop("snowplow")[1] != "once"
    assert found == {name: ({status}, "once") for name in found}


async def test_three_429_lose_nothing_and_double_nothing(live: Live) -> None:
    async def work(name: str) -> Any:
        async with Between(live.url) as between:
            between.refuse = [429, 429, 429]
            email, key = somebody(), (await live.source())["write_key"]
            await send(name, between.url, key, email)
            taken = Counter(between.taken())
            return between.answers().get(429), sorted(taken.values()), await live.scored(email, 3)

    assert await each(work) == dict.fromkeys(SCRIPTS, (3, [1, 1, 1], CALLS))
