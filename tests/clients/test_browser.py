"""The vendors' browser clients in Chromium, on a page of another origin: preflights, text/plain, gzip, beacons."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Browser, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from services.runtime.server import Server
from tests.clients.conftest import Live, somebody
from tests.clients.node import packages
from tests.clients.proxy import Between

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240), pytest.mark.xdist_group("clients")]
CALLS = ["demo.requested", "page.viewed", "person.identified"]
QUIET_S = 1.5
# PostHog gathers for three seconds; its first second try would come as long after that.
REFUSED_S = 8.0
# A person's: what a headless browser calls itself is a crawler to scoring (and to PostHog), and rightly so.
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
# Script inside the package, what starts the client, and what calls it. `C` is the client.
CLIENTS = {
    "segment": (
        "@segment/analytics-next/dist/umd/index.js",
        "window.C = AnalyticsNext.AnalyticsBrowser.load({ writeKey: KEY, cdnURL: PAGES });",
        "C.identify(EMAIL, { email: EMAIL }); C.page('Prices'); C.track('Demo Requested');",
    ),
    "rudder": (
        "@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js",
        """window.C = new rudderanalytics.RudderAnalytics(); C.load(KEY, HOST, { ...OPTIONS, getSourceConfig: () => ({
             source: { id: 's', name: 's', writeKey: KEY, enabled: true, config: { statsCollection: {} }, workspaceId: 'w',
                       destinations: [], connections: [] } }) });""",
        "C.identify(EMAIL, { email: EMAIL }); C.page('Prices'); C.track('Demo Requested');",
    ),
    "posthog": (
        "posthog-js/dist/array.full.no-external.js",
        """window.C = posthog; posthog.init(KEY, { api_host: HOST, advanced_disable_flags: true, autocapture: false,
             disable_external_dependency_loading: true, disable_session_recording: true, capture_pageview: false,
             capture_pageleave: false, person_profiles: 'always' });""",
        "C.identify(EMAIL, { email: EMAIL }); C.capture('$pageview'); C.capture('Demo Requested');",
    ),
    "snowplow": (
        "@snowplow/browser-tracker/dist/index.umd.min.js",
        """window.C = snowplowBrowserTracking; C.newTracker('t', HOST, { appId: KEY, ...OPTIONS }); C.setUserId(EMAIL);""",
        """C.trackSelfDescribingEvent({ event: { schema: 'iglu:com.acme/identify/jsonschema/1-0-0', data: { email: EMAIL } } });
           C.trackPageView({ title: 'Prices' }); C.trackStructEvent({ category: 'web', action: 'Demo Requested' });""",
    ),
}


# What the server must put up with: first path, content type, gzip without saying so, headers that preflights ask for.
HOW = {
    "segment": ("/v1/i", "text/plain", False, {"authorization"}),
    "rudder": ("/v1/identify", "application/json", False, {"anonymousid,authorization,content-type,sentat"}),
    "posthog": ("/e/", "text/plain", True, set()),
    "snowplow": ("/com.snowplowanalytics.snowplow/tp2", "application/json", False, {"content-type"}),
}


@pytest.fixture
async def pages() -> AsyncIterator[str]:
    """A web site of another origin than the product's; it also serves what Segment's CDN would, under `/to/<port>`."""

    async def page(_: Request) -> Response:
        return HTMLResponse("<!doctype html><meta charset=utf-8><title>Prices</title><h1>Prices</h1>")

    async def settings(request: Request) -> Response:
        sends = {"apiKey": request.path_params["key"], "apiHost": f"127.0.0.1:{request.path_params['port']}/v1"}
        return JSONResponse({"integrations": {"Segment.io": {**sends, "protocol": "http"}}, "plan": {}})

    routes = [
        Route("/pricing", page),
        Route("/elsewhere", page),
        Route("/to/{port:int}/v1/projects/{key}/settings", settings),
        Mount("/lib", StaticFiles(directory=packages())),
    ]
    server = Server(Starlette(routes=routes), "127.0.0.1", 0)
    await server.start()
    yield f"http://localhost:{server.port}"
    await server.stop(20)


async def opened(chromium: Browser, name: str, pages: str, between: Between, **known: Any) -> Page:
    """The page with the client started."""
    script, start, _ = CLIENTS[name]
    context = await chromium.new_context(user_agent=USER_AGENT)
    await context.add_init_script("Object.defineProperty(navigator, 'webdriver', { get: () => false })")
    page = await context.new_page()
    await page.goto(f"{pages}/pricing")
    await page.add_script_tag(url=f"{pages}/lib/{script}")
    known = {"OPTIONS": {}, **known, "HOST": between.url, "PAGES": f"{pages}/to/{between.port}"}
    await page.evaluate(f"known => {{ Object.assign(window, known); {start} }}", known)
    return page


async def until(came: Callable[[], list[str]], events: int, seconds: float = 60, quiet_s: float = QUIET_S) -> None:
    """Wait until so many different events came, and a little longer: a resend would still come."""
    async with asyncio.timeout(seconds):
        while len(set(came())) < events:
            await asyncio.sleep(0.1)
    await asyncio.sleep(quiet_s)


async def each(work: Callable[[str], Awaitable[Any]]) -> dict[str, Any]:
    """Every client at the same time, in one browser; what came of each."""
    async with asyncio.timeout(100):
        found = await asyncio.gather(*map(work, CLIENTS))
    return dict(zip(CLIENTS, found, strict=True))


async def test_one_scored_event_per_call_and_nothing_is_sent_again(live: Live, chromium: Browser, pages: str) -> None:
    async def work(name: str) -> Any:
        async with Between(live.url) as between:
            email, key = somebody(), (await live.source(publishable=True))["write_key"]
            page = await opened(chromium, name, pages, between, KEY=key, EMAIL=email)
            await page.evaluate(f"() => {{ {CLIENTS[name][2]} }}")
            await until(between.taken, 3, 45)
            asked = {found["access-control-request-headers"] for found in between.preflights}
            # Segment's three calls are three requests that may overtake each other.
            first = min(between.posts, key=lambda post: post.path)
            how = first.path, first.headers["content-type"].partition(";")[0], first.gzipped, asked
            return how, sorted(Counter(between.taken()).values()), await live.scored(email, 3)

    assert await each(work) == {name: (how, [1, 1, 1], CALLS) for name, how in HOW.items()}


async def test_what_never_can_succeed_is_posted_once(live: Live, chromium: Browser, pages: str) -> None:
    async def work(name: str, status: int) -> Any:
        async with Between(live.url) as between:
            between.always = None if status == 401 else status  # a wrong key is refused by the product itself
            page = await opened(chromium, name, pages, between, KEY="nobody-knows-it", EMAIL=somebody())
            await page.evaluate(f"() => {{ {CLIENTS[name][2]} }}")
            await until(between.posted, 3, 45, REFUSED_S)
            return set(between.answers()), sorted(Counter(between.posted()).values())

    async def all_three(name: str) -> Any:
        return await asyncio.gather(*(work(name, status) for status in (400, 401, 413)))

    expected = [({status}, [1, 1, 1]) for status in (400, 401, 413)]
    assert await each(all_three) == dict.fromkeys(CLIENTS, expected)


async def test_three_429_lose_nothing_and_double_nothing(live: Live, chromium: Browser, pages: str) -> None:
    async def work(name: str) -> Any:
        async with Between(live.url) as between:
            between.refuse = [429, 429, 429]
            email, key = somebody(), (await live.source(publishable=True))["write_key"]
            page = await opened(chromium, name, pages, between, KEY=key, EMAIL=email)
            await page.evaluate(f"() => {{ {CLIENTS[name][2]} }}")
            if name == "posthog":
                # It drops what is answered with any 4xx, 429 too; only 5xx and silence make it try again.
                await until(between.posted, 3, 45, REFUSED_S)
                return between.answers(), between.taken(), []
            if name == "snowplow":
                # It sends what was refused with its next event, or when told to: it has no timer of its own.
                await page.evaluate("() => { setInterval(() => C.flushBuffer(), 300) }")
            await until(between.taken, 3)
            return between.answers().get(429), sorted(Counter(between.taken()).values()), await live.scored(email, 3)

    found = await each(work)
    answers, *kept = found.pop("posthog")
    assert set(answers) == {429}
    assert kept == [[], []]
    assert found == {name: (3, [1, 1, 1], CALLS) for name in found}


@pytest.mark.parametrize("name", ["posthog", "rudder"])
async def test_beacons_of_a_page_that_is_left(live: Live, chromium: Browser, pages: str, name: str) -> None:
    """No preflight, the key in the query or the body; the last click before leaving is often the best signal."""
    # A browser promises nothing for a beacon, and a busy one drops some: three pages are left, one must have got through.
    # Only what never came is forgiven: what came must be taken, whole and by beacon, from every page.
    for left in (2, 1, 0):
        async with Between(live.url) as between:
            email, key = somebody(), (await live.source(publishable=True))["write_key"]
            options = {"useBeacon": True, "beaconQueueOptions": {"flushQueueInterval": 60_000}}
            page = await opened(chromium, name, pages, between, KEY=key, EMAIL=email, OPTIONS=options)
            await page.wait_for_timeout(1000)  # somebody reads the page
            await page.evaluate(f"() => {{ {CLIENTS[name][2]} }}")
            await page.goto(f"{pages}/elsewhere")
            try:
                await until(between.posted, 3, 20)
            except TimeoutError:
                assert set(between.answers()) <= {200}, between.answers()
                if not left:
                    raise
                continue
            assert set(between.answers()) == {200}
            assert between.preflights == []
            # The browser says itself how it sent: a beacon asks nobody. PostHog's first event leaves at once, as any other.
            assert "no-cors" in {post.headers["sec-fetch-mode"] for post in between.posts}
            assert "/beacon/v1/batch" in {post.path for post in between.posts} or name == "posthog"
            # PostHog sends by beacon once more what may still be under way: that must count once all the same.
            assert len(set(between.taken())) == 3
            assert len(between.taken()) == 3 or name == "posthog"
            assert await live.scored(email, 3) == CALLS
            return


async def test_snowplow_pixels(live: Live, chromium: Browser, pages: str) -> None:
    async with Between(live.url) as between:
        email, key = somebody(), (await live.source(publishable=True))["write_key"]
        options = {"eventMethod": "get", "encodeBase64": True}
        page = await opened(chromium, "snowplow", pages, between, KEY=key, EMAIL=email, OPTIONS=options)
        await page.evaluate(f"() => {{ {CLIENTS['snowplow'][2]} }}")
        await until(between.taken, 3)
        assert {(post.method, post.path) for post in between.posts} == {("GET", "/i")}
        assert await live.scored(email, 3) == CALLS
