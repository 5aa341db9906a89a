"""Cards, pages, policy: nothing a lead calls itself becomes code."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import ClassVar

import httpx
import msgspec
import pytest
from starlette.responses import Response

from services.console.assets import Assets
from services.console.filters import ago, initials
from services.console.frame import Frame
from services.console.navigation import links, start
from services.console.pages.inbox import InboxPages
from services.console.pages.session import SessionPages
from services.console.rooms import ConsoleRooms
from services.console.views.inbox import card, cards, mailto, reflow, until_of
from services.console.views.reminders import each_once
from services.directory.core.match import DirectoryView
from services.directory.core.people import Rep
from services.notify.api.desk import Listed
from services.notify.core.desk import desk, numbered
from services.notify.core.message import apply
from services.router.api.desk import Offer
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

    async def sign_in(self, token, address):
        return self.people.get(token)

    identify_session = identify

    async def open_session(self, identity):
        return identity.rep or identity.role, None

    async def close_session(self, session):
        pass


class FakeDesk:
    """Always the same notices, all of them open."""

    def __init__(self, items):
        self.items = [Listed(one, one.open) for one in items]

    async def open(self, rep, limit):
        opened = [one for one in self.items if one.open]
        return opened[:limit], len(each_once(opened)), len(self.items)

    async def past(self, rep, limit):
        return [one for one in self.items if not one.open]

    async def since(self, rep, after, limit):
        return [one for one in self.items if one.notice.seq > after]

    async def one(self, rep, notice_id):
        return next((one for one in self.items if one.notice.id == notice_id), None)


class FakeOffers:
    """The router says nothing of any offer."""

    async def offers(self, ids):
        return {}


def client(items=(), *, token=None):
    access = FakeAccess()
    rooms = dict.fromkeys(ConsoleRooms.__dataclass_fields__)
    view = DirectoryView(reps=[Rep(id="anna", name="Anna Aalto", timezone="Europe/Helsinki")])
    rooms |= {
        "access": access,
        "clock": FixedClock(NOW),
        "notify": SimpleNamespace(desk=FakeDesk(items)),
        "router": SimpleNamespace(desk=FakeOffers(), leads=None),
        "directory": SimpleNamespace(view=view),
    }
    rooms = SimpleNamespace(**rooms)
    frame = Frame(access, rooms.clock)
    routes = [
        *SessionPages(frame).routes(),
        *InboxPages(frame, rooms).routes(),
        frame.page("/overview", overview, "ops"),
        frame.asset_route(),
    ]
    headers = {"Cookie": f"lead_router_session={token}"} if token else {}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(make_app(routes, [], access)), base_url="http://console", headers=headers
    )


async def overview(request):
    return Response("overview")


def seen(notice, **more):
    return card(Listed(notice, notice.open), NOW, **more)


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
    offered = seen(notices(handover())[0])
    assert (offered.answerable, offered.section, offered.tone, offered.badge, offered.gen) == (
        True,
        "task",
        "task",
        "yours to answer",
        1,
    )
    [joined] = notices(alert(), alert(SOMEBODY, what=[viewed(f"e{i}") for i in range(2, 9)]))
    now = seen(joined)
    assert (now.answerable, now.section, now.name) == (False, "now", "Somebody from Nordwind Industries Oyj")
    assert (now.about, len(now.did), now.more) == ("", 4, 4)
    assert now.did[0].where == "/pricing"
    assert now.did[0].who
    assert now.until
    assert seen(notices(handover(), told("recalled", assignment=offer()))[0]).tone == "gone"
    assert seen(notices(handover(), told("closed", assignment=offer()))[0]).section == "past"
    missed = seen(notices(alert(OLLI, at=NOW - timedelta(hours=1), account=None))[0])
    assert (missed.section, missed.tone, missed.badge, missed.about) == (
        "missed",
        "quiet",
        "you missed",
        "Plant Manager",
    )


def test_a_card_follows_the_router_before_its_notice_does():
    [notice] = notices(handover())

    def with_offer(**more):
        values = {"id": "o1", "gen": 1, "lead_id": VERA.id, "rep": "anna", "state": "offered", "since": NOW}
        return seen(notice, offer=Offer(**values | more), names={"olli": "Olli"}, zone="Europe/Helsinki")

    assert with_offer().section == "task"
    mine = with_offer(state="accepted")
    assert (mine.section, mine.tone, mine.note) == ("past", "mine", "You have accepted it.")
    theirs = with_offer(state="accepted", rep="olli", since=NOW - timedelta(seconds=20))
    assert (theirs.section, theirs.note) == ("past", "Olli took it 20 s ago.")
    asleep = with_offer(snoozed_until=NOW + timedelta(hours=1))
    assert (asleep.section, asleep.note) == ("snoozed", "Comes back Tue 24 Nov, 12:00.")
    assert with_offer(snoozed_until=NOW - timedelta(hours=1)).section == "task"
    assert with_offer(state="declined").section == "past"


def test_what_is_due_for_an_accepted_lead_is_done_not_answered():
    step = told("due", recipients=["anna"], assignment=offer(state="accepted"), why="Day 2 of the cadence: send a mail")
    [_, notice] = notices(handover(), told("claimed", assignment=offer(state="accepted"), by="anna"), step)
    held = Offer(id="o1", gen=1, lead_id=VERA.id, rep="anna", state="accepted", since=NOW)
    mine = seen(notice, offer=held)
    assert (mine.section, mine.answerable, mine.why) == ("task", False, "Day 2 of the cadence: send a mail")
    asleep = msgspec.structs.replace(held, snoozed_until=NOW + timedelta(hours=1))
    assert seen(notice, offer=asleep).section == "snoozed"
    assert seen(notice, offer=msgspec.structs.replace(held, state="won")).section == "past"
    assert seen(notice, offer=msgspec.structs.replace(held, rep="olli"), names={"olli": "Olli"}).section == "past"


def test_a_manager_who_is_told_of_an_offer_is_not_asked_to_answer_it():
    [notice] = notices(told("due", assignment=offer("olli"), recipients=["anna"], why="Olli has not answered."))
    held = Offer(id="o1", gen=1, lead_id=VERA.id, rep="olli", state="offered", since=NOW)
    asked = seen(notice, offer=held)
    assert (asked.section, asked.answerable) == ("task", False)
    assert seen(notice, offer=msgspec.structs.replace(held, rep="anna")).answerable


def test_claimed_tells_who():
    by = told("claimed", assignment=offer(state="accepted"), by="olli")
    assert seen(notices(handover(), by)[0], names={"olli": "Olli"}).note == "Olli took it just now."
    mine = seen(notices(handover(), told("claimed", assignment=offer(state="accepted"), by="anna"))[0])
    assert (mine.tone, mine.badge) == ("mine", "yours")


def test_of_one_offer_only_the_newest_is_open():
    [first] = notices(handover())
    again = msgspec.structs.replace(first, id="later", seq=9, kind="due")
    found = cards([Listed(again, True), Listed(first, True)], NOW, {}, {}, "UTC")
    assert [one.id for one in found] == ["later"]
    closed = cards([Listed(again, True), Listed(first, False)], NOW, {}, {}, "UTC")
    assert [one.section for one in closed] == ["task", "past"]


def test_snoozes_end_in_the_time_of_the_rep():
    assert until_of("30m", NOW, "UTC") == NOW + timedelta(minutes=30)
    assert until_of("1h", NOW, "UTC") == NOW + timedelta(hours=1)
    # 9:00 in Helsinki is 7:00 UTC in winter; late in the evening there it is tomorrow already.
    assert until_of("tomorrow", NOW, "Europe/Helsinki") == datetime(2026, 11, 25, 7, tzinfo=UTC)
    assert until_of("tomorrow", datetime(2026, 11, 24, 23, tzinfo=UTC), "Europe/Helsinki") == datetime(
        2026, 11, 26, 7, tzinfo=UTC
    )
    assert until_of("never", NOW, "UTC") is None


def test_words_that_travel_in_a_link_are_encoded():
    found = mailto("vera@x.example", "A & B?", "Line\nbcc: all@x.example" + "x" * 3000)
    assert found.startswith("mailto:vera@x.example?subject=A%20%26%20B%3F&body=Line%0Abcc%3A%20all%40x.example")
    assert "&bcc" not in found
    assert len(found) < 4000
    assert (
        reflow("Hello,\n\n" + "a" * 60 + "\nb\n- list\nshort\nline")
        == "Hello,\n\n" + "a" * 60 + " b\n- list\nshort\nline"
    )


@pytest.mark.parametrize(
    ("url", "shown"), [("/case", "/case"), ("https://aurora.example", "aurora.example"), (None, "")]
)
def test_where(url, shown):
    assert seen(notices(alert(what=[viewed(url=url)]))[0]).did[0].where == shown


async def test_signing_in_and_out_needs_no_script():
    async with client() as http:
        page = await http.get("/")
        assert "Sign in" in page.text
        assert (await http.get("/inbox?show=90")).headers["location"] == "/?next=%2Finbox%3Fshow%3D90"
        assert (await http.post("/inbox/seen", headers={"Sec-Fetch-Site": "same-origin"})).headers["location"] == "/"
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


async def test_signing_in_leads_to_the_page_that_was_asked_for():
    ours = {"Sec-Fetch-Site": "same-origin"}
    lead = f"/leads/{'a' * 32}?said=kept"
    async with client() as http:
        assert f'name="next" value="{lead}"' in (await http.get("/", params={"next": lead})).text
        wrong = await http.post("/sign-in", data={"token": "nobody", "next": lead})
        assert f'name="next" value="{lead}"' in wrong.text
        right = await http.post("/sign-in", data={"token": "anna", "next": lead}, headers=ours)
        assert right.headers["location"] == lead
        for foreign in (
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "/",
            "x" * 2000,
        ):
            assert "evil" not in (await http.get("/", params={"next": foreign})).text
            home = await http.post("/sign-in", data={"token": "anna", "next": foreign}, headers=ours)
            assert home.headers["location"] == "/", foreign
    async with client(token="anna") as http:
        assert (await http.get("/", params={"next": lead})).headers["location"] == lead
        assert (await http.get("/", params={"next": "//evil.example"})).headers["location"] == "/inbox"


async def test_a_name_cannot_turn_the_line_around_it():
    turned = msgspec.structs.replace(VERA, name="\u202eVera \u2067Virta", title="محمد")
    async with client(notices(handover(turned)), token="anna") as http:
        page = (await http.get("/inbox")).text
    assert "Vera Virta" in page
    assert "محمد" in page
    assert not set(page) & {chr(n) for n in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


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
        assert '<div id="list" data-after="2" data-open="2"' in part.text
        news = (await http.get("/inbox/news?after=1")).text
        assert 'data-after="2"' in news
        assert news.count("<article") == 1
        assert (await http.get("/inbox/news?after=nonsense")).text.count("<article") == 2
    async with client([], token="anna") as http:
        assert "Nothing waits for you" in (await http.get("/inbox")).text


async def test_roles():
    async with client(token="ops") as http:
        assert (await http.get("/")).headers["location"] == "/overview"
        page = (await http.get("/overview")).text
        assert page == "overview"
        assert (await http.get("/inbox")).status_code == 403
        assert (await http.get("/inbox/list")).status_code == 403
        refused = await http.get("/inbox", headers={"Accept": "text/html"})
        assert refused.status_code == 403
        assert "That did not work" in refused.text
        assert "This is for reps; you are signed in for operations." in refused.text
    async with client(notices(handover()), token="admin") as http:
        assert "Anna Aalto" in (await http.get("/inbox")).text
        assert "Vera Virta" in (await http.get("/inbox?rep=anna")).text
    async with client() as http:
        assert (await http.get("/inbox/list")).status_code == 401


def test_navigation_shows_the_pages_that_there_are():
    assert [one.path for one in links("rep", {"/inbox", "/me", "/policy"})] == ["/inbox", "/me"]
    assert [one.path for one in links("admin", {"/policy", "/inbox"})] == ["/inbox", "/policy"]
    assert start("marketing", {"/leads", "/policy"}) == "/policy"
    assert start("ops", {"/leads"}) == "/leads"
    assert start("rep", set()) is None


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
        # A page of another release, while replicas change to this one: it works, and is not kept.
        other = await http.get("/console/0/inbox.js")
        assert (other.status_code, other.content) == (200, found.content)
        assert other.headers["cache-control"] == "no-store"
        assert (await http.get(address.replace("inbox", "nothing"))).status_code == 404
