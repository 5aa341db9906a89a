"""What vendors' events cost in ingest: signature and reading in µs, and webhooks a second, durable, beside the Segment API.

The first table is one core without I/O; payloads are the own examples of the tests, so batches are as small as a webhook's
usually are. The second drives the ingest process over HTTP, with the log in PostgreSQL.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil

from schemas.codec import encode
from services.ingest.commands import create_source, open_store
from services.ingest.core.mapping import Facts, to_event
from services.ingest.core.spelling import Speller
from services.ingest.sources.base import Arrival, Limits, nothing_to_verify
from services.ingest.sources.registry import PLATFORMS
from services.ingest.store import NewSource
from services.migrations.run import migrate
from services.runtime.db import Database
from services.runtime.embedded import EmbeddedPostgres
from services.runtime.settings import Settings
from tests.bench.ingest import CLIENTS, Caller, item, taking
from tests.bench.rig import ROOT, end
from tests.bench.signing import secret_of, sign, with_token
from tests.e2e.product import free_port
from tests.unit.ingest.sources.examples import EXAMPLES, Example
from tests.unit.ingest.sources.reading import NOW, arrival

CPU_S = 0.1
HTTP_S = 3
LIMITS = Limits()
FACTS = Facts(source="/sources/bench", trust="secret", received_at=NOW)
URL = "https://leads.example/hooks/s1"


def each_us(work: Callable[[], int]) -> float:
    """CPU µs for one of what `work` does; it says how many it did."""
    done = 0
    started = time.process_time()
    while time.process_time() - started < CPU_S:
        done += work()
    return (time.process_time() - started) / done * 1e6


def signed(example: Example) -> Arrival:
    """The example as a good request."""
    at = int(NOW.timestamp())
    body = example.body
    if example.platform == "mailgun" and isinstance(body, dict):
        body = with_token(body["event-data"], at, "t1")
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return arrival(raw, {**example.headers, **sign(example.platform, raw, at, URL)}, url=URL)


def costs(example: Example, speller: Speller) -> tuple[float | None, float]:
    """µs to check the signature of the example's request, and µs to read one event of it: parse, map, encode."""
    platform, request = PLATFORMS[example.platform], signed(example)
    secrets = (secret_of(example.platform),)

    def read() -> int:
        events = 0
        for _, seen in platform.parse(request, LIMITS).seen:
            encode(to_event(seen, FACTS, speller))
            events += 1
        return events

    if platform.verify is nothing_to_verify or platform.verify(request, secrets) is not None:
        return None, each_us(read)  # the example is of a form that the platform does not sign
    return each_us(lambda: platform.verify(request, secrets) is None), each_us(read)


def table() -> None:
    """Print the dearest example of each platform."""
    speller = Speller()
    worst: dict[str, tuple[float | None, float]] = {}
    for example in EXAMPLES:
        if example.signals:
            found = costs(example, speller)
            before = worst.get(example.platform, found)
            verify = max((one for one in (before[0], found[0]) if one is not None), default=None)
            worst[example.platform] = verify, max(before[1], found[1])
    base = worst["segment"][1]
    print("\n## Sources: check the signature, read and map an event (CPU µs)\n")
    print("| platform | signature, a request | read, an event | against a Segment call |\n|---|---|---|---|")
    for name, (verify, read) in sorted(worst.items(), key=lambda pair: pair[1][1]):
        print(f"| {name} | {'-' if verify is None else f'{verify:.0f}'} | {read:.0f} | {read / base:.1f} |")


def _customerio(number: int) -> dict[str, object]:
    known = {"identifiers": {"email": f"user-{number % 20_000}@bench.example"}, "href": "https://aurora.example/a"}
    return {
        "event_id": str(uuid.uuid4()),
        "metric": "clicked",
        "object_type": "email",
        "timestamp": int(time.time()),
        "data": {**known, "delivery_id": f"d{number}"},
    }


def _mailgun(number: int) -> dict[str, object]:
    return {
        "event": "opened",
        "id": str(uuid.uuid4()),
        "timestamp": time.time(),
        "recipient": f"user-{number % 20_000}@bench.example",
    }


def _sendgrid(number: int) -> dict[str, object]:
    return {
        "event": "open",
        "email": f"user-{number % 20_000}@bench.example",
        "timestamp": int(time.time()),
        "sg_event_id": str(uuid.uuid4()),
        "sg_message_id": f"m{number}.filter1",
    }


def _requests(kind: str, caller: Caller, sources: dict[str, NewSource], first: int, count: int) -> list[bytes]:
    """Ready bytes of one connection."""
    made: list[bytes] = []
    for n in range(first, first + count):
        if kind == "/v1/track":
            made.append(
                caller.request(kind, msgspec.json.encode({**item(n), "type": "track", "event": "Demo Requested"}))
            )
            continue
        if kind == "/v1/batch":
            made.append(caller.request(kind, msgspec.json.encode({"batch": [item(n * 100 + i) for i in range(100)]})))
            continue
        path, at = f"/hooks/{sources[kind].id}", int(time.time())
        if kind == "customerio":
            body = msgspec.json.encode(_customerio(n))
        elif kind == "mailgun":
            body = with_token(_mailgun(n), at, uuid.uuid4().hex)
        else:
            body = msgspec.json.encode([_sendgrid(n * 100 + i) for i in range(100)])
        made.append(caller.request(path, body, sign(kind, body, at, "")))
    return made


KINDS = (
    ("/v1/track", "single call", 1),
    ("/v1/batch", "batches of 100", 100),
    ("customerio", "webhook, one event, HMAC", 1),
    ("mailgun", "webhook, one event, token kept", 1),
    ("sendgrid", "webhook of 100 events, ECDSA", 100),
)


async def durable() -> None:
    """Print requests and events a second, each acknowledged as durable, and the CPU of the ingest process."""
    folder = Path(tempfile.mkdtemp(prefix="lead-router-bench-"))
    postgres = EmbeddedPostgres(folder / "pg")
    process: subprocess.Popen[bytes] | None = None
    try:
        url = await postgres.start(supervised=False)
        settings = Settings(_env_file=None, data_dir=folder / "data", database_url=url)
        db = Database(url, pool_size=2)
        await migrate(db)
        store = open_store(db, settings)
        names = ("segment", "customerio", "mailgun", "sendgrid")
        sources = {name: await create_source(store, name, name, secret=secret_of(name)) for name in names}
        await db.close()
        port = free_port()
        env = {k: v for k, v in os.environ.items() if not k.startswith("LEAD_ROUTER_")} | {
            "LEAD_ROUTER_PORT": str(port),
            "LEAD_ROUTER_DATA_DIR": str(folder / "data"),
            "LEAD_ROUTER_DATABASE_URL": url,
            "LEAD_ROUTER_LOG_LEVEL": "warning",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "ingest"], cwd=ROOT, env=env, stdout=subprocess.DEVNULL
        )
        await taking(port)
        print(f"\n## Sources: durable over HTTP, {CLIENTS} connections, log in PostgreSQL\n")
        print("| | requests/s | against a single call | events/s | CPU µs an event |\n|---|---|---|---|---|")
        base = 0.0
        for kind, title, size in KINDS:
            caller = Caller(port, sources["segment"].write_key)
            count = 40 if size > 1 else 300
            ready = [_requests(kind, caller, sources, c * count, count) for c in range(CLIENTS)]
            before, began = _cpu(process.pid), time.perf_counter()
            good = sum(await asyncio.gather(*(caller.run(one, began + HTTP_S) for one in ready)))
            rate = good / (time.perf_counter() - began)
            base = base or rate
            cpu = (_cpu(process.pid) - before) / max(1, good * size) * 1e6
            shown = f"{kind} {title}"
            print(f"| {shown} | {rate:,.0f} | {rate / base:.2f} | {rate * size:,.0f} | {cpu:.0f} |", flush=True)
    finally:
        if process is not None:
            await asyncio.to_thread(end, process)
        await postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _cpu(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


async def main() -> None:
    """Both tables."""
    table()
    await durable()
