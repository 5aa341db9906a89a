"""Parts for tests of the console in a real browser: the product once a module, signing in, axe, a proxy over replicas."""

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from services.cli.client import Client
from tests.e2e.product import Product, free_port
from tests.support.browser import WAIT_MS
from tests.support.postgres import execute, run_alone, url_of
from tests.support.scene import open_scene

expect.set_options(timeout=WAIT_MS)
LOOKS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
# Told by the page itself; Playwright's own scripts are outside the policy.
WATCH: Final = """
document.addEventListener("securitypolicyviolation", (event) =>
    console.error(`VIOLATION ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


@dataclass
class Console:
    """A running product with a scene played in it."""

    product: Product
    database_url: str
    folder: Path
    access: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.product.port}"

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """The public API."""
        found = self.product.client()
        yield found
        await found.close()

    def token(self, who: str) -> str:
        """The token of a rep or of a role."""
        return str(self.access["reps"].get(who) or self.access[who])

    def replica(self) -> Product:
        """Another process over the same database, not started."""
        return Product(self.folder / secrets.token_hex(4), LEAD_ROUTER_DATABASE_URL=self.database_url)

    async def sign_in(self, context: BrowserContext, who: str, url: str | None = None) -> Page:
        """A page on which `who` has signed in, through the form."""
        context.set_default_timeout(WAIT_MS)
        page = await context.new_page()
        await page.goto(url or self.url)
        await page.fill("#token", self.token(who))
        await page.click("main button")
        await page.wait_for_url("**/*")
        return page


@contextlib.contextmanager
def playing(postgres_server: str, template_database: str, folder: Path) -> Iterator[Console]:
    """The product over a database of its own, its scene played once."""
    name = f"test_console_{secrets.token_hex(6)}"
    run_alone(execute(postgres_server, f'CREATE DATABASE "{name}" TEMPLATE "{template_database}" STRATEGY FILE_COPY'))
    made = Console(
        Product(folder / "data", LEAD_ROUTER_DATABASE_URL=url_of(postgres_server, name)),
        url_of(postgres_server, name),
        folder,
    )

    async def begin() -> None:
        await made.product.start()
        async with made.client() as client:
            made.access = client.access
            await open_scene(client)

    try:
        run_alone(begin())
        yield made
    finally:
        if made.product.process is not None and made.product.process.poll() is None:
            run_alone(made.product.stop())
        run_alone(execute(postgres_server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def console(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Console]:
    """The product with its scene, once for the module."""
    with playing(postgres_server, template_database, tmp_path_factory.mktemp("console")) as made:
        yield made


async def api(console: Console, who: str, method: str, path: str, **more: Any) -> httpx.Response:
    """The answer to `who`, without a browser."""
    headers = {"Authorization": f"Bearer {console.token(who)}"}
    async with httpx.AsyncClient(base_url=console.url, headers=headers) as http:
        return await http.request(method, path, **more)


async def findings(page: Page) -> list[str]:
    """What axe finds on the page. The context must be made with `bypass_csp=True`: axe is injected."""
    from axe_playwright_python.async_playwright import Axe

    result = await Axe().run(page)
    return [
        f"{page.url}: {one['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for one in result.response["violations"]
        for node in one["nodes"][:3]
    ]


async def outgrown(page: Page) -> list[str]:
    """What is wider than the card it stands in, or than the screen; what scrolls by itself may be."""
    found: list[str] = await page.evaluate(
        """() => {
          const out = [];
          if (document.documentElement.scrollWidth > innerWidth) out.push("the page");
          for (const one of document.querySelectorAll("main .card :is(input, select, textarea, button, td, th, h1, h2, h3, p, li)")) {
            if (one.closest(".scroll, .y-editor, .hidden, summary") || !one.checkVisibility()) continue;
            const box = one.getBoundingClientRect();
            if (box.right > one.closest(".card").getBoundingClientRect().right + 0.5) out.push(one.outerHTML.slice(0, 120));
          }
          return out;
        }"""
    )
    return [f"{page.url}: {one}" for one in found]


async def watched(browser: Browser, **options: Any) -> tuple[BrowserContext, list[str]]:
    """A context whose pages tell of violations of their policy and of errors of their scripts."""
    context = await browser.new_context(**options)
    told: list[str] = []
    await context.add_init_script(WATCH)

    def listen(page: Page) -> None:
        page.on("pageerror", lambda error: told.append(f"{page.url}: {error}"))
        page.on(
            "console",
            lambda message: (
                told.append(f"{page.url}: {message.text}")
                if message.type == "error" and ("VIOLATION" in message.text or "Content Security" in message.text)
                else None
            ),
        )

    context.on("page", listen)
    return context, told


class RoundRobin:
    """A proxy that gives each connection to the next replica, as a load balancer without stickiness does."""

    def __init__(self, *ports: int) -> None:
        self.port = free_port()
        self.used = dict.fromkeys(ports, 0)
        self._next = cycle(ports)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "RoundRobin":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        port = next(self._next)
        self.used[port] += 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", port)
            try:
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
            finally:
                back.close()
        except OSError:
            pass
        finally:
            writer.close()
            self._tasks.discard(task)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    with contextlib.suppress(OSError):
        sink.close()
