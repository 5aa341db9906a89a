"""A site of another origin with a strict policy, and what a browser on it has sent to the product."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
from playwright.async_api import BrowserContext, Page, Request, expect
from starlette.requests import Request as Asked
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from services.runtime.http import Server, make_app
from tests.e2e.product import Product

# A headless browser says so in its name, and headless browsers are machines.
PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
ANNI = {"email": "anni.site@nordwind.example", "name": "Anni Site", "title": "VP Operations"}
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => window.violations.push(e.violatedDirective + " " + e.blockedURI));
"""


class Shop:
    """The company's site: pages of a test's own under a strict policy, on another port."""

    def __init__(self, product: Product) -> None:
        self.product = product.url
        self.key = json.loads((product.folder / "access.json").read_text())["publishable"]
        self.pages: dict[str, tuple[str, str, str]] = {}
        self.server = Server(
            make_app([Route("/{name}", self._page, methods=["GET", "POST"])], [], None, "shop"), "127.0.0.1", 0
        )

    def add(self, name: str, body: str = "<h1>Shop</h1>", script: str = "", lang: str = "en") -> str:
        """A page; `script` are more attributes of the snippet's tag, or `-` for no snippet. Its address."""
        self.pages[name] = (body, script, lang)
        return f"{self.url}/{name}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def _page(self, request: Asked) -> Response:
        name = request.path_params["name"]
        if name == "sdk.js":
            code = 'window.analytics = { user: () => ({ anonymousId: () => "their-id-1" }) };'
            return Response(code, media_type="text/javascript")
        if name not in self.pages:
            return Response(status_code=404)
        body, script, lang = self.pages[name]
        sdk = '<script src="/sdk.js"></script>' if "data-sdk" in script else ""
        policy = (
            f"default-src 'none'; script-src 'self' {self.product}; connect-src {self.product}; img-src data:; form-action 'self'; "
            "base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
        )
        html = f"""<!doctype html><html lang="{lang}"><head><title>Shop {name}</title><link rel="icon" href="data:,">{sdk}
            <script async src="{self.product}/site.js?key={self.key}" {script}></script></head><body>{body}</body></html>"""
        return HTMLResponse(html, headers={"content-security-policy": policy})


class Wire:
    """What the browser has sent to the product, and what it has opened there."""

    def __init__(self, context: BrowserContext, shop: Shop) -> None:
        self.events: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.urls: list[str] = []
        self._base = shop.product
        context.on("request", self._seen)

    def _seen(self, request: Request) -> None:
        if not request.url.startswith(self._base):
            return
        self.urls.append(request.url)
        self.paths.append(request.url.removeprefix(self._base).partition("?")[0])
        if request.post_data:
            self.events += json.loads(request.post_data)["batch"]

    async def until(self, test: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                for event in self.events:
                    if test(event):
                        return event
                await asyncio.sleep(0.05)


def of(kind: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["type"] == kind


async def violations(page: Page) -> Any:
    return await page.evaluate("window.violations")


async def stored(page: Page) -> Any:
    return await page.evaluate("[Object.keys(localStorage), Object.keys(sessionStorage), document.cookie]")


async def timeline(product: Product, email: str) -> list[dict[str, Any]]:
    access = json.loads((product.folder / "access.json").read_text())
    async with httpx.AsyncClient(base_url=product.url, headers={"authorization": f"Bearer {access['admin']}"}) as http:
        found = (await http.get("/v1/people", params={"email": email})).json()["items"]
        if not found:
            return []
        return list((await http.get(f"/v1/people/{found[0]['key']}/timeline")).json()["items"])


async def inbox(product: Product, rep: str) -> list[dict[str, Any]]:
    token = json.loads((product.folder / "access.json").read_text())["reps"][rep]
    async with httpx.AsyncClient(base_url=product.url, headers={"authorization": f"Bearer {token}"}) as http:
        return list((await http.get("/v1/inbox")).json()["items"])


async def greeted(page: Page, lang: str = "Greeting") -> Any:
    box = page.get_by_role("region", name=lang)
    await expect(box).to_be_visible(timeout=20_000)
    return box
