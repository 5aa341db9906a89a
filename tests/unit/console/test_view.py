"""Cards, pages, policy: nothing a lead calls itself becomes code."""

from datetime import timedelta
from types import SimpleNamespace
from typing import ClassVar

import httpx
import msgspec
import pytest

from services.console.api import console_routes
from services.console.assets import Assets
from services.console.filters import ago, initials
from services.console.rooms import ConsoleRooms
from services.console.views.inbox import card
from services.notify.core.desk import desk, numbered
from services.notify.core.message import apply
from services.runtime.access import Identity
from services.runtime.clock import FixedClock
from services.runtime.http import make_app
from tests.unit.notify.messages import NOW, OLLI, SOMEBODY, VERA, alert, handover, offer, told, viewed

EVIL = '<img src=x onerror="alert(1)"><script>alert(2)</script>'


def notices(*messages):
    desks = {"anna": desk("anna", 0, None, None, NOW)}
    for i, message in enumerate(messages):
        apply(desks, f"m{i}", message, NOW, 1800)
    return numbered(desks["anna"])


class FakeAccess:
    """Tokens that are their own role."""

    people: ClassVar = {
        "anna": Identity("rep", "anna", "t1", "Anna"),
        "admin": Identity("admin", None, "t2", "admin"),
        "ops": Identity("ops", None, "t3", "ops"),
        "marketing": Identity("marketing", None, "t4", "marketing"),
    }

    async def identify(self, token):
        return self.people.get(token)

    identify_session = identify

    async def open_session(self, identity):
        return identity.rep or identity.role, None

    async def close_session(self, session):
        pass


class FakeInbox:
    """Always the same notices."""

    def __init__(self, items):
        self.items = items

    async def page(self, rep, limit, before=None, *, open_only=False):
        return self.items, None


def client(items=(), *, token=None):
    access = FakeAccess()
    rooms = dict.fromkeys(ConsoleRooms.__dataclass_fields__)
    rooms |= {"access": access, "clock": FixedClock(NOW), "notify": SimpleNamespace(inbox=FakeInbox(list(items)))}
    routes = console_routes(ConsoleRooms(**rooms))
    headers = {"Cookie": f"lead_router_session={token}"} if token else {}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(make_app(routes, [], access)), base_url="http://console", headers=headers
    )


def test_ago_and_initials():
    assert [ago(NOW - timedelta(seconds=s), NOW) for s in (-5, 59, 60, 3600, 90_000, 200_000)] == [
        "just now",
        "just now",
        "1 min ago",
        "1 h ago",
        "yesterday",
        "2 days ago",
    ]
    assert [initials(n) for n in ("Vera Virta", "vera@x.example", "Äiti", "", "<x")] == ["VV", "VX", "Ä", "?", "?"]


def test_cards():
    offered = card(notices(handover())[0], NOW)
    assert (offered.answerable, offered.tone, offered.badge, offered.gen) == (True, "task", "yours to answer", 1)
    [joined] = notices(alert(), alert(SOMEBODY, what=[viewed(f"e{i}") for i in range(2, 9)]))
    seen = card(joined, NOW)
    assert (seen.answerable, seen.tone, seen.name) == (False, "now", "Somebody from Nordwind Industries Oyj")
    assert (seen.about, len(seen.did), seen.more) == ("", 5, 3)
    assert seen.did[0].where == "/pricing"
    assert seen.did[0].who
    assert card(notices(handover(), told("recalled", assignment=offer()))[0], NOW).tone == "gone"
    assert card(notices(handover(), told("closed", assignment=offer()))[0], NOW).tone == "over"
    missed = card(notices(alert(OLLI, at=NOW - timedelta(hours=1), account=None))[0], NOW)
    assert (missed.tone, missed.badge, missed.about) == ("quiet", "you missed", "Plant Manager")


@pytest.mark.parametrize(
    ("url", "shown"), [("/case", "/case"), ("https://aurora.example", "aurora.example"), (None, "")]
)
def test_where(url, shown):
    assert card(notices(alert(what=[viewed(url=url)]))[0], NOW).did[0].where == shown


async def test_signing_in_and_out_needs_no_script():
    async with client() as http:
        page = await http.get("/")
        assert "Sign in" in page.text
        assert (await http.get("/inbox")).headers["location"] == "/"
        wrong = await http.post("/sign-in", content="token=nobody")
        assert wrong.status_code == 401
        assert "unknown or revoked" in wrong.text
        foreign = await http.post("/sign-in", content="token=anna", headers={"Sec-Fetch-Site": "cross-site"})
        assert foreign.status_code == 403
        right = await http.post("/sign-in", content="token=anna", headers={"Sec-Fetch-Site": "same-origin"})
        assert right.status_code == 303
        assert "HttpOnly" in right.headers["set-cookie"]
        assert "SameSite=lax" in right.headers["set-cookie"]
        assert (
            await http.post("/sign-in", content="token=" + "x" * 5000, headers={"Sec-Fetch-Site": "none"})
        ).status_code == 413
    async with client(token="anna") as http:
        assert (await http.post("/sign-out", headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403
        assert (await http.post("/sign-out", headers={"Sec-Fetch-Site": "same-origin"})).status_code == 303


async def test_the_inbox_is_drawn_on_the_server_and_escaped():
    evil = msgspec.structs.replace(VERA, name=EVIL, title=EVIL)
    items = notices(handover(evil), alert(evil, what=[viewed(url=f"javascript:{EVIL}")], why=EVIL))
    async with client(items, token="anna") as http:
        assert (await http.get("/")).headers["location"] == "/inbox"
        page = await http.get("/inbox")
        assert page.status_code == 200
        assert "&lt;img src=x" in page.text
        assert "<img src=x" not in page.text
        assert "<script>" not in page.text
        assert "style=" not in page.text
        assert "onclick" not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"
        part = await http.get("/inbox/list")
        assert part.text.lstrip().startswith('<div id="list" data-after="2" data-open="2">')
    async with client([], token="anna") as http:
        assert "Nothing waits for you" in (await http.get("/inbox")).text


async def test_roles():
    async with client(token="ops") as http:
        page = (await http.get("/overview")).text
        assert "Dead letters" in page
        assert "/v1/policy" not in page
        assert (await http.get("/inbox")).status_code == 403
        assert (await http.get("/inbox/list")).status_code == 403
    async with client(token="marketing") as http:
        page = (await http.get("/overview")).text
        assert "/v1/policy" in page
        assert "Dead letters" not in page
    async with client(notices(handover()), token="admin") as http:
        assert "Look into an inbox" in (await http.get("/overview")).text
        assert (await http.get("/inbox")).status_code == 404
        assert "Vera Virta" in (await http.get("/inbox?rep=anna")).text
    async with client() as http:
        assert (await http.get("/inbox/list")).status_code == 401


async def test_assets_change_their_address_with_their_content(tmp_path):
    (tmp_path / "a.css").write_text("a{}")
    (tmp_path / "notes.txt").write_text("x")
    first = Assets(tmp_path)
    with pytest.raises(KeyError):
        first.address("notes.txt")
    (tmp_path / "a.css").write_text("b{}")
    assert Assets(tmp_path).address("a.css") != first.address("a.css")
    address = Assets().address("inbox.js")
    async with client() as http:
        found = await http.get(address)
        assert "immutable" in found.headers["cache-control"]
        assert found.headers["content-type"].startswith("text/javascript")
        assert (await http.get("/console/0/inbox.js")).status_code == 404
        assert (await http.get(address.replace("inbox", "nothing"))).status_code == 404
