"""The console: POST to a card in Chromium's DOM, the stream's fan-out against a raw response, memory of an open inbox."""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psutil
import structlog
from playwright.async_api import async_playwright
from starlette.types import Receive, Scope, Send
from uvicorn import Config, Server

from services.cli.client import Client
from services.cli.stories import Cast, Teller
from services.notify.api.stream import EventStream
from services.notify.channels.subscription import Subscription
from tests.e2e.product import Product, free_port
from tests.support.browser import chromium_path, flags

NOTICES: Final = 30
CLIENTS: Final = 200
FRAMES: Final = 300
OPEN: Final = 100
# Notes the moment at which the page has a new card, by the clock that the bench reads too.
SEEN: Final = """
() => { window.seen = {}; new MutationObserver(() => {
  for (const one of document.querySelectorAll("article h3")) window.seen[one.textContent] ??= Date.now();
}).observe(document.getElementById("inbox"), {childList: true, subtree: true}); }
"""


async def main() -> None:
    """Print the three tables."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    ours, raw = await fan_out(ours=True), await fan_out(ours=False)
    print(
        f"\n## Console\n\nfan-out to {CLIENTS} streams, frames per CPU second: {ours:,.0f}, a raw ASGI response {raw:,.0f}: ratio {ours / raw:.2f}"
    )
    with tempfile.TemporaryDirectory(prefix="lead-router-bench-") as folder:
        product = Product(Path(folder) / "data")
        await product.start()
        client = product.client()
        try:
            await _memory(product, client)
            await _latency(product, client)
        finally:
            await client.close()
            await product.stop()


async def fan_out(*, ours: bool) -> float:
    """Frames delivered per CPU second of this process, which serves and reads: the same readers for both."""
    subs: list[Subscription] = []
    body = b'event: notice\nid: 1\ndata: {"id": "' + b"x" * 900 + b'"}\n\n'
    raw: list[asyncio.Queue[bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if ours:
            sub = Subscription("anna")
            subs.append(sub)

            async def allowed() -> bool:
                return True

            await EventStream(sub, allowed=allowed, begin=lambda: None, end=lambda: None)(scope, receive, send)
            return
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        raw.append(queue)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b": here\n\n", "more_body": True})
        while frame := await queue.get():
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    port = free_port()
    server = Server(Config(app, port=port, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    read = [0] * CLIENTS
    readers = [asyncio.create_task(_read(port, read, i)) for i in range(CLIENTS)]
    while len(subs if ours else raw) < CLIENTS:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    before, cpu = list(read), time.process_time()
    want = len(body) * FRAMES
    for _ in range(FRAMES):
        for sub in subs:
            sub.push(body)
        for queue in raw:
            queue.put_nowait(body)
        await asyncio.sleep(0)
        # A reader that is far behind would be ended: what is measured is the way of a frame, not its waiting.
        while min(read[i] - before[i] for i in range(CLIENTS)) < want * _ // FRAMES - 64 * len(body):
            await asyncio.sleep(0)
    while min(read[i] - before[i] for i in range(CLIENTS)) < want:
        await asyncio.sleep(0.001)
    spent = time.process_time() - cpu
    for sub in subs:
        sub.end("stopping")
    for queue in raw:
        queue.put_nowait(b"")
    await asyncio.gather(*readers)
    server.should_exit = True
    await task
    return CLIENTS * FRAMES / spent


async def _read(port: int, read: list[int], index: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /v1/inbox/stream HTTP/1.1\r\nHost: bench\r\n\r\n")
    size = 0
    await reader.readuntil(b"\r\n\r\n")
    while size_line := await reader.readline():
        size = int(size_line, 16)
        await reader.readexactly(size + 2)
        if not size:
            break
        read[index] += size
    writer.close()


async def _memory(product: Product, client: Client) -> None:
    """Resident memory of the server before and with many inboxes open."""
    assert product.process is not None
    process = psutil.Process(product.process.pid)
    token = client.access["admin"]
    streams = []

    async def open_one() -> None:
        # A rep has a few: each is somebody else's.
        reader, writer = await asyncio.open_connection("127.0.0.1", product.port)
        path = f"/v1/inbox/stream?rep=rep{len(streams)}"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        streams.append(writer)

    for _ in range(10):
        await open_one()
    await asyncio.sleep(1)
    before = process.memory_info().rss
    for _ in range(OPEN):
        await open_one()
    await asyncio.sleep(1)
    print(f"memory of an open inbox: {(process.memory_info().rss - before) / OPEN / 1024:.0f} kB ({OPEN} opened)")
    for writer in streams:
        writer.close()


async def _latency(product: Product, client: Client) -> None:
    """From before the POST until the browser's DOM has the card."""
    program = chromium_path()
    if program is None:
        print("POST to DOM: skipped, no Chromium")
        return
    teller = Teller(client, Cast(suffix="bench"))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=flags())
        page = await browser.new_page()
        await page.goto(f"http://127.0.0.1:{product.port}")
        await page.fill("#token", client.access["reps"]["anna"])
        await page.click("main button")
        await page.locator("#live[data-state=live]").wait_for()
        await page.evaluate(SEEN)
        sent: dict[str, float] = {}
        for n in range(NOTICES):
            person = {
                "user": f"u{n}",
                "email": f"bench{n}@nordwind.example",
                "name": f"Bench No{n}",
                "title": "VP Operations",
            }
            sent[person["name"]] = time.time() * 1000
            await teller.send(teller.identify(person))
            await asyncio.sleep(0.2)
        await asyncio.sleep(1)
        seen: dict[str, Any] = await page.evaluate("() => window.seen")
        await browser.close()
    took = sorted(seen[name] - at for name, at in sent.items() if name in seen)
    print(
        f"POST to DOM, {len(took)} of {NOTICES} offers: p50 {statistics.median(took):.0f} ms, "
        f"p95 {took[int(len(took) * 0.95)]:.0f} ms, worst {took[-1]:.0f} ms"
    )
