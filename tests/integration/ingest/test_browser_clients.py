"""The vendors' own browser clients in Chromium, from a page of another origin: preflights, beacons, text/plain, gzip.

    npm install --prefix FOLDER --ignore-scripts @segment/analytics-next @rudderstack/analytics-js posthog-js \\
        @snowplow/browser-tracker
    LEAD_ROUTER_NODE_MODULES=FOLDER/node_modules pytest tests/integration/ingest/test_browser_clients.py
"""

import asyncio
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.messages import Tracking
from tests.integration.ingest.conftest import Ingest
from tests.integration.ingest.test_clients import Counting

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MODULES = os.environ.get("LEAD_ROUTER_NODE_MODULES", "")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or not MODULES,
    reason="browser clients not driven: needs Chromium and LEAD_ROUTER_NODE_MODULES (see test_browser_clients.py)",
)
# Script inside the package, and what the page does with it. HOST is `http://127.0.0.1:port`.
CLIENTS = {
    "posthog-js": (
        "dist/array.full.no-external.js",
        """posthog.init(KEY, { api_host: HOST, advanced_disable_flags: true, disable_external_dependency_loading: true,
                              autocapture: false, disable_session_recording: true, opt_out_useragent_filter: true, request_batching: true });
           posthog.identify('u7', { email: 'anne@nordwind.example' }); posthog.capture('Demo Requested');""",
    ),
    "@snowplow/browser-tracker": (
        "dist/index.umd.min.js",
        """const s = snowplowBrowserTracking; s.newTracker('t', HOST, { appId: KEY }); s.setUserId('u7'); s.trackPageView();
           s.trackStructEvent({ category: 'web', action: 'Demo Requested' });""",
    ),
    "@segment/analytics-next": (
        "dist/umd/index.js",
        """const [a] = [AnalyticsNext.AnalyticsBrowser.load({ writeKey: KEY, cdnSettings: { integrations: {
               'Segment.io': { apiKey: KEY, apiHost: HOST.replace('http://', '') + '/v1', protocol: 'http' } } } })];
           a.page(); a.identify('u7', { email: 'anne@nordwind.example' }); a.track('Demo Requested');""",
    ),
    "@rudderstack/analytics-js": (
        "dist/npm/modern/bundled/umd/index.js",
        """const r = new rudderanalytics.RudderAnalytics(); r.load(KEY, HOST, { configUrl: HOST, getSourceConfig: () => ({
               source: { id: 's', name: 's', writeKey: KEY, enabled: true, config: { statsCollection: {} }, workspaceId: 'w',
                         destinations: [], connections: [] } }) });
           r.page(); r.identify('u7', { email: 'anne@nordwind.example' }); r.track('Demo Requested');""",
    ),
}


class _Pages(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which it is served: another origin than the ingest's."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Pages, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield tmp_path, f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.mark.parametrize("package", CLIENTS)
async def test_a_browser_client(ingest: Ingest, pages: tuple[Path, str], package: str) -> None:
    script, does = CLIENTS[package]
    source = Path(MODULES) / package / script
    if not source.is_file():
        pytest.skip(f"{package} is not in {MODULES}")
    await ingest.service.create_source("site", "segment", "the-publishable-key", publishable=True)
    counting = Counting(ingest)
    folder, address = pages
    for file in source.parent.glob("*.js"):
        shutil.copy(file, folder)
    page = f"""<!doctype html><meta charset=utf-8><title>Prices</title><script src="{source.name}"></script>
        <script>const KEY = 'the-publishable-key', HOST = '{ingest.url}'; {does}</script>"""
    (folder / "pricing.html").write_text(page)
    assert CHROMIUM is not None
    browser = await asyncio.create_subprocess_exec(
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run",
        f"--user-data-dir={folder / 'profile'}", f"{address}/pricing.html",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    found: dict[str, Tracking] = {}
    try:
        async with asyncio.timeout(60):
            while "demo.requested" not in found or "page.viewed" not in found:
                await asyncio.sleep(0.5)
                found = {event.data.signal: event.data for event in await ingest.events()}
    finally:
        browser.terminate()
        await browser.wait()
    assert found["page.viewed"].path == "/pricing.html"
    assert found["page.viewed"].trust == "publishable"
    assert {one.kind for one in found["demo.requested"].ids} >= {"user"}
    assert set(counting.answers) <= {200, 404}, counting.answers  # 404: what we do not serve, e.g. its own metrics
