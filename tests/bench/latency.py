"""POST to inbox SSE, open loop: requests leave on a fixed schedule whatever the answers do, so that stalls show."""

import asyncio
import base64
import contextlib
import re
import statistics
import time
import uuid

import httpx
import msgspec

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
MARKER = re.compile(rb"/m[0-9a-f]{12}\b")
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
OK = 200


class Visitors:
    """Browsers on kept connections, as cheap as can be: they share the two cores with what is measured.

    An HTTP client library costs more for each request than the four stages together.
    """

    def __init__(self, host: str, port: int, write_key: str) -> None:
        self._at = host, port
        self._key = base64.b64encode(f"{write_key}:".encode()).decode()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, path: str, body: object) -> int:
        """Send JSON on a free connection, a new one if none is; returns the status."""
        data = msgspec.json.encode(body)
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._at)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode() + data)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(answer)
        await reader.readexactly(int(length[1]) if length is not None else 0)
        self._idle.append((reader, writer))
        return int(answer[9:12])

    def close(self) -> None:
        """Close every connection."""
        for _, writer in self._idle:
            writer.close()


class Screen:
    """A rep's open inbox: notes when each marker is first seen."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._at = host, port
        self._token = token
        self.seen: dict[str, float] = {}
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Returns when the stream stands."""
        reader, writer = await asyncio.open_connection(*self._at, limit=1 << 22)
        ask = f"GET /v1/inbox/stream HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self._token}\r\n\r\n"
        writer.write(ask.encode())
        await reader.readuntil(b"retry:")
        self._reading = asyncio.create_task(self._read(reader, writer))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                now = time.perf_counter()
                for key in MARKER.findall(line):
                    self.seen.setdefault(key.decode(), now)
        finally:
            writer.close()

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)


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
    url = httpx.URL(client.access["url"])
    visitors = Visitors(url.host, url.port or 80, client.access["source"])
    screen = Screen(url.host, url.port or 80, client.access["reps"]["anna"])
    await screen.open()
    sent: dict[str, float] = {}
    posts = []
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        marker = f"/m{uuid.uuid4().hex[:12]}"
        sent[marker] = due
        page = {
            "userId": people[number % PEOPLE][0],
            "messageId": str(uuid.uuid4()),
            "timestamp": clock.now().isoformat(),
            "properties": {"url": f"https://aurora.example{marker}", "path": marker},
        }
        posts.append(asyncio.create_task(visitors.post("/v1/page", page)))
    answers = await asyncio.gather(*posts, return_exceptions=True)
    await asyncio.sleep(2)
    await screen.close()
    visitors.close()
    failed = sum(1 for answer in answers if answer != OK)
    if failed:
        print(f"  {failed} requests failed")
    return [(screen.seen[k] - sent[k]) * 1000 for k in sent if k in screen.seen]


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
