"""The company's own site in a real browser: `/site.js` on a site of another origin with a strict policy, and `/demo-site`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, Page, Request, expect
from starlette.requests import Request as Asked
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from services.runtime.http import Server, make_app
from tests.e2e.product import Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.xdist_group("e2e-site")]

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


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A running product."""
    made = Product(tmp_path_factory.mktemp("site") / "data")
    asyncio.run(made.start())
    yield made
    asyncio.run(made.stop())


@pytest.fixture
async def shop(product: Product) -> AsyncIterator[Shop]:
    made = Shop(product)
    await made.server.start()
    yield made
    await made.server.stop(2)


@pytest.fixture
async def visitor(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """A person's browser."""
    context = await chromium.new_context(user_agent=PERSON)
    context.set_default_timeout(20_000)
    await context.add_init_script(WATCH)
    yield context
    await context.close()


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


# -- the demo site


async def test_the_owner_greets_on_the_demo_site_within_the_visit(product: Product, visitor: BrowserContext) -> None:
    page = await visitor.new_page()
    await page.goto(f"{product.url}/demo-site")
    await page.get_by_role("button", name="Anni Virta").click()
    await expect(page.locator("#who")).to_contain_text("Anni Virta")
    await page.get_by_role("link", name="Pricing").first.click()
    box = await greeted(page)
    await expect(box).to_contain_text("Anna Aalto")
    await expect(box.get_by_role("status")).to_contain_text("I look after Nordwind Industries Oyj")
    link = box.get_by_role("link", name="Book a time")
    assert await link.get_attribute("href") == "https://meet.seller.example/anna"
    assert await link.get_attribute("rel") == "noopener noreferrer"
    notices = await inbox(product, "anna")
    mine = [one["kind"] for one in notices if (one["lead"] or {}).get("email") == "anni.virta@nordwind.example"]
    assert mine[:1] == ["visiting_now"]
    assert await violations(page) == []
    # By keyboard, and for good: neither this page nor the next greets again.
    await box.get_by_role("button", name="Close").focus()
    await page.keyboard.press("Escape")
    await expect(box).to_have_count(0)
    await page.get_by_role("link", name="Product").click()
    await page.wait_for_timeout(1500)
    await expect(page.get_by_role("region", name="Greeting")).to_have_count(0)
    assert await violations(page) == []


async def test_who_serves_themselves_is_shown_the_way_to_the_shop(product: Product, visitor: BrowserContext) -> None:
    page = await visitor.new_page()
    await page.goto(f"{product.url}/demo-site/pricing?lang=fi")
    await page.get_by_role("button", name="Aino Paja").click()
    box = await greeted(page, "Tervehdys")
    await expect(box.get_by_role("link", name="Kauppaan")).to_have_attribute(
        "href", "https://shop.aurora.example/start"
    )
    await expect(box.get_by_role("status")).to_contain_text("verkkokaupassamme")


async def test_the_demo_form_makes_a_lead(product: Product, visitor: BrowserContext) -> None:
    page = await visitor.new_page()
    await page.goto(f"{product.url}/demo-site/demo")
    for label, value in (
        ("Your name", "Dora Demo"),
        ("Work e-mail", "dora@fjordsoft.example"),
        ("Title", "Head of Sales"),
    ):
        await page.get_by_label(label).fill(value)
    await page.get_by_role("button", name="Ask", exact=True).click()
    await expect(page.get_by_role("heading", name="Thank you")).to_be_visible()
    async with asyncio.timeout(20):
        while "demo.requested" not in [act["signal"] for act in await timeline(product, "dora@fjordsoft.example")]:
            await asyncio.sleep(0.1)
    assert await violations(page) == []


async def test_the_demo_site_is_accessible_with_its_greeting(product: Product, chromium: Browser) -> None:
    axe = pytest.importorskip("axe_playwright_python.async_playwright").Axe()
    for scheme in ("light", "dark"):
        context = await chromium.new_context(
            user_agent=PERSON, bypass_csp=True, color_scheme=scheme, reduced_motion="reduce"
        )  # type: ignore[arg-type]
        page = await context.new_page()
        await page.goto(f"{product.url}/demo-site/pricing")
        await page.get_by_role("button", name="Anni Virta").click()
        await (await greeted(page)).get_by_role("link", name="Book a time").wait_for()
        found = await axe.run(page)
        assert [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]] == [], scheme
        await context.close()


@pytest.mark.parametrize("key", [None, "no-such-key"])
async def test_no_demo_site_without_a_publishable_key(product: Product, key: str | None) -> None:
    from services.cli.first_start import demo_site_key
    from services.runtime.settings import Settings

    conf = Settings(_env_file=None, environment="production", data_dir=product.folder, demo_site_key=key)
    assert demo_site_key(conf) == key
    local = Settings(_env_file=None, data_dir=product.folder)
    assert demo_site_key(local) == json.loads((product.folder / "access.json").read_text())["publishable"]


# -- on a site of another origin


async def test_nothing_is_sent_or_stored_before_consent_nor_after_it_is_taken_back(
    shop: Shop, visitor: BrowserContext
) -> None:
    wire = Wire(visitor, shop)
    page = await visitor.new_page()
    await page.goto(shop.add("consent", script='data-consent="required"'))
    await page.wait_for_function("() => window.leadRouter && window.leadRouter.loaded")
    await page.evaluate(
        "leadRouter.track('Before'); leadRouter.identify('u-9', {email: 'u9@kivi.example'}); history.pushState({}, '', '/consent?2')"
    )
    await page.wait_for_timeout(600)
    assert wire.paths == ["/site.js"]
    assert await stored(page) == [[], [], ""]
    assert await page.evaluate("leadRouter.id()") is None
    await page.evaluate("leadRouter.consent(true)")
    await wire.until(lambda event: event.get("event") == "Before")
    assert [event["type"] for event in wire.events] == ["page", "track", "identify", "page"]
    assert len({event["anonymousId"] for event in wire.events}) == 1
    assert (await stored(page))[0] == ["lr_anon", "lr_consent"]
    wire.events.clear()
    await page.reload()
    await wire.until(of("page"))  # remembered
    await page.evaluate("leadRouter.consent(false)")
    assert await stored(page) == [[], [], ""]
    wire.events.clear()
    wire.paths.clear()
    await page.evaluate("leadRouter.track('After')")
    await page.reload()
    await page.wait_for_function("() => window.leadRouter && window.leadRouter.loaded")
    await page.wait_for_timeout(600)
    assert (wire.events, set(wire.paths) - {"/site.js"}) == ([], set())
    assert await stored(page) == [[], [], ""]


@pytest.mark.parametrize("signal", ["globalPrivacyControl: {get: () => true}", "doNotTrack: {get: () => '1'}"])
async def test_a_browser_that_asks_not_to_be_followed_is_not(shop: Shop, visitor: BrowserContext, signal: str) -> None:
    await visitor.add_init_script(f"Object.defineProperties(navigator, {{{signal}}})")
    wire = Wire(visitor, shop)
    page = await visitor.new_page()
    await page.goto(shop.add("signals", script="data-respect-signals"))
    await page.wait_for_function("() => window.leadRouter && window.leadRouter.loaded")
    await page.evaluate("leadRouter.track('Anything'); leadRouter.consent(true); leadRouter.page()")
    await page.wait_for_timeout(600)
    assert wire.paths == ["/site.js"]
    assert await stored(page) == [[], [], ""]
    await page.goto(shop.add("plain"))  # a site that does not heed them
    await wire.until(of("page"))


FORM = """
<form id="buy" action="/thanks" data-lead-router="Demo Requested">
  <input name="work" type="email" value="fia@kivi.example"><input name="who" autocomplete="given-name" value="Fia">
  <input name="title" value="Head of Sales"><textarea name="note">hello</textarea>
  <select name="size"><option>1-10</option><option selected>11-50</option></select>
  <input type="checkbox" name="news" checked><input type="checkbox" name="not_checked">
  <input name="n1" type="password" value="SECRET-1"><input name="n2" type="hidden" value="SECRET-2">
  <input name="n3" autocomplete="cc-number" value="SECRET-3"><input name="card_no" value="SECRET-4">
  <input name="n5" value="4111 1111 1111 1111"><input name="n6" data-lead-router-skip value="SECRET-6">
  <input name="n7" autocomplete="section-a current-password" value="SECRET-7"><input name="n8" type="file">
  <input name="henkilotunnus" value="SECRET-9"><input name="n10" autocomplete="one-time-code" value="SECRET-10">
  <input name="__proto__" value="x"><input name="constructor" value="y"><button>Send</button>
</form>
<form id="quiet" action="/thanks"><input name="n11" value="SECRET-11"><button>Other</button></form>
"""


async def test_a_form_sends_only_what_it_may_and_only_when_it_asks_for_it(shop: Shop, visitor: BrowserContext) -> None:
    shop.add("thanks")
    wire = Wire(visitor, shop)
    page = await visitor.new_page()
    for button in ("Send", "Other"):
        await page.goto(shop.add("form", FORM))
        await page.wait_for_function("() => window.leadRouter && window.leadRouter.loaded")
        await page.get_by_role("button", name=button).click()
        await page.wait_for_url("**/thanks**")
    sent = await wire.until(of("track"))
    await wire.until(lambda event: event["type"] == "page" and "/thanks" in event["context"]["page"]["url"])
    assert (sent["event"], sent["properties"]) == (
        "Demo Requested",
        {
            "form": "buy", "work": "fia@kivi.example", "who": "Fia", "title": "Head of Sales", "note": "hello",
            "size": "11-50", "news": "on", "constructor": "y",
        },
    )  # fmt: skip
    named = await wire.until(of("identify"))
    assert named["traits"] == {"email": "fia@kivi.example", "firstName": "Fia", "title": "Head of Sales"}
    assert [event["type"] for event in wire.events].count("track") == 1
    forms = [{**event, "context": None} for event in wire.events if event["type"] != "page"]
    assert "SECRET" not in json.dumps(forms)
    assert "4111" not in json.dumps(forms)
    assert await violations(page) == []


async def test_what_does_not_get_through_is_sent_again_also_by_the_next_page(
    shop: Shop, visitor: BrowserContext
) -> None:
    wire = Wire(visitor, shop)
    page = await visitor.new_page()
    down = True

    async def refuse(route: Any) -> None:
        if down:
            await route.abort("connectionrefused")
        else:
            await route.continue_()

    await visitor.route("**/v1/batch*", refuse)
    await page.add_init_script("if (location.search === '?1') navigator.sendBeacon = () => false")
    await page.goto(shop.add("first") + "?1")
    first = await wire.until(of("page"))
    async with asyncio.timeout(20):  # it tries again by itself
        while [event["messageId"] for event in wire.events].count(first["messageId"]) < 2:
            await asyncio.sleep(0.05)
    await page.evaluate("leadRouter.track('Last Word')")
    down = False
    wire.events.clear()
    await page.goto(shop.add("second"))
    last = await wire.until(lambda event: event.get("event") == "Last Word")
    again = await wire.until(lambda event: event["messageId"] == first["messageId"])
    assert again["timestamp"] == first["timestamp"]  # the same event: it counts once
    assert again["anonymousId"] == last["anonymousId"]
    assert "lr_queue" not in (await stored(page))[0]


async def test_pages_that_never_load_again_are_seen_and_an_sdks_visitor_is_ours(
    shop: Shop, visitor: BrowserContext
) -> None:
    wire = Wire(visitor, shop)
    page = await visitor.new_page()
    await page.goto(shop.add("spa", script="data-sdk"))
    await wire.until(of("page"))
    await page.evaluate("history.pushState({}, '', '/spa?step=2'); history.replaceState({}, '', '/spa?step=2')")
    await wire.until(lambda event: event["properties"]["url"].endswith("step=2"))
    assert [event["type"] for event in wire.events] == ["page", "page"]
    assert {event["anonymousId"] for event in wire.events} == {"their-id-1"}
    async with asyncio.timeout(10):
        while not any(url.endswith("visitor=their-id-1") for url in wire.urls):
            await asyncio.sleep(0.05)


async def test_one_stream_a_browser_greets_in_every_tab_and_moves_on_when_its_tab_closes(
    shop: Shop, visitor: BrowserContext
) -> None:
    wire = Wire(visitor, shop)
    url = shop.add("tabs", script='data-chat="https://chat.seller.example/"', lang="sv-FI")
    tabs = [await visitor.new_page() for _ in range(3)]
    for tab in tabs:
        await tab.goto(url)
        await wire.until(of("page"))
    await tabs[0].wait_for_timeout(800)
    assert wire.paths.count("/v1/site/stream") == 1
    await tabs[2].evaluate("who => leadRouter.identify(who)", {**ANNI, "email": "tabs@nordwind.example"})
    await tabs[2].evaluate("history.pushState({}, '', '/tabs?pricing'), leadRouter.page()")
    for tab in tabs:
        box = await greeted(tab, "Hälsning")
        await expect(box.get_by_role("link", name="Boka en tid")).to_be_visible()
        await expect(box.get_by_role("link", name="Chatta")).to_have_attribute("href", "https://chat.seller.example/")
        assert await violations(tab) == []
    assert wire.paths.count("/v1/site/stream") == 1
    await tabs[0].close()
    async with asyncio.timeout(10):
        while wire.paths.count("/v1/site/stream") < 2:
            await asyncio.sleep(0.05)
    await (await greeted(tabs[1], "Hälsning")).get_by_role("button", name="Stäng").click()
    await expect(tabs[2].get_by_role("region", name="Hälsning")).to_have_count(0)


async def test_names_made_of_markup_are_text(product: Product, shop: Shop, visitor: BrowserContext) -> None:
    evil = "<img src=x onerror=window.hacked=1><b>Bold</b>"
    access = json.loads((product.folder / "access.json").read_text())
    headers = {"authorization": f"Bearer {access['admin']}"}
    async with httpx.AsyncClient(base_url=product.url, headers=headers) as http:
        rep = (await http.get("/v1/reps/ben")).json()
        body = {name: rep[name] for name in ("timezone", "hours", "languages", "manager", "meeting_link")}
        answer = await http.put("/v1/reps/ben", json={**body, "name": evil, "title": evil})
        assert answer.status_code == 200, answer.text
        try:
            page = await visitor.new_page()
            await page.goto(shop.add("evil"))
            await page.wait_for_function("() => window.leadRouter && window.leadRouter.loaded")
            await page.evaluate(
                "who => { leadRouter.identify(who); history.pushState({}, '', '/pricing'); }",
                {"email": "evil@stella.example", "name": evil, "title": "Logistics Director"},
            )
            box = await greeted(page)
            await expect(box.get_by_text(evil, exact=True).first).to_be_visible()
            assert await box.locator("img").count() == 0
            assert await page.evaluate("window.hacked === undefined")
            assert await violations(page) == []
        finally:
            with contextlib.suppress(httpx.HTTPError):
                await http.put("/v1/reps/ben", json={**body, "name": rep["name"], "title": rep["title"]})
