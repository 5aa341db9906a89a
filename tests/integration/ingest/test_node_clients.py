"""The vendors' own Node clients against a live ingest. They need Node and a folder of packages:

npm install --prefix FOLDER @segment/analytics-node @rudderstack/rudder-sdk-node posthog-node @snowplow/node-tracker
LEAD_ROUTER_NODE_MODULES=FOLDER/node_modules pytest tests/integration/ingest/test_node_clients.py
"""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.integration.ingest.conftest import Ingest
from tests.integration.ingest.test_clients import Counting

NODE = shutil.which("node")
MODULES = os.environ.get("LEAD_ROUTER_NODE_MODULES", "")
pytestmark = pytest.mark.skipif(
    NODE is None or not MODULES,
    reason="Node clients not driven: needs node and LEAD_ROUTER_NODE_MODULES (see the top of test_node_clients.py)",
)
SCRIPTS = {
    "@segment/analytics-node": """
        const { Analytics } = require('@segment/analytics-node')
        const client = new Analytics({ writeKey: KEY, host: HOST })
        client.track({ userId: 'u7', event: 'Demo Requested' })
        client.identify({ userId: 'u7', traits: { email: 'anne@nordwind.example' } })
        client.closeAndFlush().then(done)
    """,
    "@rudderstack/rudder-sdk-node": """
        const Rudder = require('@rudderstack/rudder-sdk-node')
        const client = new (Rudder.default || Rudder)(KEY, { dataPlaneUrl: HOST })
        client.track({ userId: 'u7', event: 'Demo Requested' })
        client.identify({ userId: 'u7', traits: { email: 'anne@nordwind.example' } })
        client.flush().then(done, done)
    """,
    "posthog-node": """
        const { PostHog } = require('posthog-node')
        const client = new PostHog(KEY, { host: HOST })
        client.capture({ distinctId: 'u7', event: 'Demo Requested' })
        client.identify({ distinctId: 'u7', properties: { email: 'anne@nordwind.example' } })
        client.shutdown().then(done)
    """,
    "@snowplow/node-tracker": """
        const s = require('@snowplow/node-tracker')
        const tracker = s.newTracker({ namespace: 't', appId: KEY, encodeBase64: true }, { endpoint: HOST, bufferSize: 1 })
        tracker.setUserId('anne@nordwind.example')
        tracker.track(s.buildStructEvent({ category: 'web', action: 'Demo Requested' }))
        tracker.track(s.buildSelfDescribingEvent({ event: { schema: 'iglu:com.acme/identify/jsonschema/1-0-0',
                                                            data: { email: 'anne@nordwind.example' } } }))
        setTimeout(done, 1500)
    """,
}


@pytest.mark.parametrize("package", SCRIPTS)
async def test_a_node_client(ingest: Ingest, package: str) -> None:
    if not (Path(MODULES) / package).is_dir():
        pytest.skip(f"{package} is not in {MODULES}")
    assert NODE is not None
    counting = Counting(ingest)
    script = (
        f"const KEY = 'the-write-key', HOST = '{ingest.url}'; const done = () => process.exit(0);" + SCRIPTS[package]
    )
    process = await asyncio.create_subprocess_exec(
        NODE, "-e", script, env={**os.environ, "NODE_PATH": MODULES}, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    found = sorted(event.data.signal for event in await ingest.events())
    assert found == ["demo.requested", "person.identified"]
    assert set(counting.answers) == {200}
