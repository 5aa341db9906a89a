"""Durable HTTP ingest: single events and batches of 100, closed loop with enough clients to keep one core busy."""

import asyncio
import base64
import contextlib
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence

import httpx
import msgspec

from services.runtime.clock import SystemClock
from tests.bench import rig as rigs
from tests.bench.latency import ready
from tests.bench.rig import Rig, end
from tests.e2e.product import free_port

SECONDS = 8
CLIENTS = 32


def item(number: int) -> dict[str, object]:
    """One page view, as a server library sends it."""
    path = f"/articles/{number % 997}"
    return {
        "type": "page",
        "userId": f"user-{number % 20_000}",
        "messageId": str(uuid.uuid4()),
        "timestamp": SystemClock().now().isoformat(timespec="milliseconds"),
        "properties": {
            "url": f"https://aurora.example{path}",
            "path": path,
            "title": "An article",
            "referrer": "https://search.example/",
        },
        "context": {
            "library": {"name": "bench", "version": "1"},
            "ip": "203.0.113.9",
            "userAgent": "Mozilla/5.0 Chrome/156.0",
        },
    }


class Caller:
    """A keep-alive connection that writes ready bytes and reads the status: the client must cost less than the server."""

    def __init__(self, port: int, key: str) -> None:
        self.port = port
        self.auth = base64.b64encode(f"{key}:".encode()).decode()

    def request(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
        """A whole HTTP request; with the key when no other headers are given."""
        more = headers if headers is not None else {"Authorization": f"Basic {self.auth}"}
        lines = [f"POST {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in more.items())]
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def run(self, requests: list[bytes], until: float) -> int:
        """Answers of 200 until the time is over."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        good = number = 0
        while time.perf_counter() < until:
            writer.write(requests[number % len(requests)])
            number += 1
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            good += head.startswith(b"HTTP/1.1 200")
        writer.close()
        return good


async def taking(port: int) -> None:
    """Wait until events are taken."""
    async with asyncio.timeout(60), httpx.AsyncClient() as http:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)


async def measure(ports: Sequence[int], key: str, size: int) -> tuple[float, float]:
    """Requests and events a second, all acknowledged as durable, over clients that are spread over `ports`."""
    per_client = 40 if size > 1 else 400
    callers = [Caller(ports[c % len(ports)], key) for c in range(CLIENTS)]
    bodies = [
        [
            callers[c].request(
                "/v1/batch", msgspec.json.encode({"batch": [item(c * 10_000 + n * size + i) for i in range(size)]})
            )
            if size > 1
            else callers[c].request("/v1/page", msgspec.json.encode(item(c * 10_000 + n)))
            for n in range(per_client)
        ]
        for c in range(CLIENTS)
    ]
    began = time.perf_counter()
    good = sum(await asyncio.gather(*(c.run(b, began + SECONDS) for c, b in zip(callers, bodies, strict=True))))
    took = time.perf_counter() - began
    return good / took, good * size / took


async def one(r: Rig, title: str, *, kafka: bool) -> None:
    """The ingest stage alone, on the broker or on PostgreSQL: one process, then two."""
    setup = free_port()
    url = await r.fresh_database(f"ingest_{setup}")
    first = r.spawn("up", setup, url, kafka=kafka)
    client = await ready(r, setup)
    key = client.access["source"]
    await client.close()
    end(first)
    ports: list[int] = []
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for sizes in ((1, 100), (100,)):
            ports.append(free_port())
            processes.append(r.spawn("ingest", ports[-1], url, kafka=kafka))
            await taking(ports[-1])
            for size in sizes:
                before = r.cpu_of(*(p.pid for p in processes))
                requests, rate = await measure(ports, key, size)
                used = r.cpu_of(*(p.pid for p in processes))
                cpu = {k: (used[k] - before[k]) / (rate * SECONDS) * 1e6 for k in used}
                what = (
                    f"{'single' if size == 1 else f'batches of {size}'}, {len(ports)} process{'es' * (len(ports) > 1)}"
                )
                print(
                    f"  {title:18s} {what:28s}{requests:>7,.0f} requests/s {rate:>10,.0f} events/s   CPU µs an event: "
                    + ", ".join(f"{k} {v:.1f}" for k, v in cpu.items()),
                    flush=True,
                )
    finally:
        for process in processes:
            end(process)


async def main() -> None:
    """Both logs."""
    print(f"\nDurable HTTP ingest, {CLIENTS} connections, closed loop; the client shares the two cores")
    async with rigs.rig() as r:
        await one(r, "Kafka", kafka=True)
        await one(r, "log in PostgreSQL", kafka=False)
