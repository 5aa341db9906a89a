"""POST to inbox SSE, open loop: requests leave on a fixed schedule whatever the answers do, so that stalls show."""

import asyncio
import contextlib
import re
import statistics
import time
import uuid

import httpx

from services.cli.client import Client
from services.runtime.clock import SystemClock
from services.runtime.settings import Settings
from tests.bench import rig as rigs
from tests.bench.rig import Rig, end
from tests.e2e.product import free_port

RATES = (50, 200)
SECONDS = 10
PEOPLE = 400
# A path that only one page view has: by it a notice is matched to its POST.
MARKER = re.compile(r"/m[0-9a-f]{12}\b")


async def measure(client: Client, rate: int, seconds: float) -> list[float]:
    """Milliseconds from the scheduled moment of each POST to its notice on Anna's stream."""
    clock = SystemClock()
    people = [(f"u-{n}", f"bench.{n}@nordwind.example") for n in range(PEOPLE)]
    for at in range(0, PEOPLE, 100):
        await client.batch(
            [
                {
                    "type": "identify",
                    "userId": u,
                    "messageId": str(uuid.uuid4()),
                    "timestamp": clock.now().isoformat(),
                    "traits": {"email": e, "title": "VP Operations"},
                }
                for u, e in people[at : at + 100]
            ]
        )
    await asyncio.sleep(4)
    sent: dict[str, float] = {}
    took: dict[str, float] = {}
    headers = {"Authorization": f"Bearer {client.access['reps']['anna']}"}
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with (
        httpx.AsyncClient(base_url=client.access["url"], limits=limits, timeout=30) as http,
        http.stream("GET", "/v1/inbox/stream", headers=headers, timeout=None) as stream,
    ):

        async def read() -> None:
            async for line in stream.aiter_lines():
                now = time.perf_counter()
                if line.startswith("data:"):
                    for key in MARKER.findall(line):
                        took.setdefault(key, now)

        reading = asyncio.create_task(read())
        posts = []
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            marker = f"/m{uuid.uuid4().hex[:12]}"
            sent[marker] = due
            user, _ = people[number % PEOPLE]
            page = {
                "userId": user,
                "messageId": str(uuid.uuid4()),
                "timestamp": clock.now().isoformat(),
                "properties": {"url": f"https://aurora.example{marker}", "path": marker},
            }
            posts.append(asyncio.create_task(http.post("/v1/page", json=page, auth=(client.access["source"], ""))))
        answers = await asyncio.gather(*posts, return_exceptions=True)
        await asyncio.sleep(2)
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError):
            await reading
    failed = sum(1 for a in answers if isinstance(a, BaseException) or a.status_code != 200)
    if failed:
        print(f"  {failed} requests failed")
    return [(took[k] - sent[k]) * 1000 for k in sent if k in took]


def show(title: str, took: list[float], expected: int) -> None:
    """Percentiles in milliseconds."""
    if len(took) < 2:
        print(f"  {title:28s} no notices came")
        return
    cuts = statistics.quantiles(took, n=100)
    print(
        f"  {title:28s} p50 {cuts[49]:6.1f} ms   p95 {cuts[94]:6.1f} ms   p99 {cuts[98]:6.1f} ms   ({len(took)} of {expected} seen)",
        flush=True,
    )


async def one(r: Rig, title: str, *, kafka: bool) -> None:
    """One product, all stages in one process."""
    port = free_port()
    url = await r.fresh_database(f"latency_{port}")
    # Alerts of one account join after the first; each join is sent again, which is what is timed here.
    process = r.spawn("up", port, url, kafka=kafka)
    try:
        client = await ready(r, port)
        for rate in RATES:
            took = await measure(client, rate, SECONDS)
            show(f"{title}, {rate}/s", took, rate * SECONDS)
        await client.close()
    finally:
        end(process)


async def ready(r: Rig, port: int) -> Client:
    """A client once the product takes events."""
    limit = time.monotonic() + 90
    async with httpx.AsyncClient() as http:
        while time.monotonic() < limit:
            with contextlib.suppress(httpx.HTTPError):
                if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return Client.from_folder(Settings(data_dir=r.work / f"data-{port}").data_dir)
            await asyncio.sleep(0.1)
    raise RuntimeError(f"not ready: {r.log_of('up', port)}")


async def main() -> None:
    """Both logs."""
    print(f"\nPOST to SSE, open loop, {SECONDS} s, one process; every event goes to one rep's one joined notice")
    async with rigs.rig() as r:
        await one(r, "log in PostgreSQL", kafka=False)
        await one(r, "Kafka", kafka=True)
