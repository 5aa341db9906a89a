"""The stage as it runs: the log in PostgreSQL, the loop, a real HTTP port."""

import asyncio
import contextlib
import time

import httpx
import pytest

from schemas.codec import CloudEvent, Message, encode, scored_decoder
from schemas.messages import LeadOutcome
from schemas.topics import LEAD_OUTCOMES, LEAD_SCORED, TRACKING_EVENTS
from services.directory.store import DirectoryCache
from services.eventlog.open import open_log
from services.policy.cache import PolicyCache
from services.runtime.access import Access
from services.runtime.clock import SystemClock
from services.runtime.db import Listener
from services.runtime.health import Loops
from services.runtime.http import Server, make_app
from services.runtime.settings import Settings
from services.scoring.service import ScoringService
from tests.integration.scoring.conftest import event
from tests.support.offline import key_of


class Running:
    """The stage and what it needs. `open` makes it, `start` lets it run."""

    def __init__(self, db, **settings):
        self.db = db
        self.settings = Settings(partitions=2, lease_s=2, heartbeat_s=0.2, **settings)

    async def open(self):
        settings = self.settings
        clock = SystemClock()
        self.listener = Listener(self.db)
        self.log = open_log(settings, self.db, self.listener)
        await self.log.ensure_topics()
        self.policies = PolicyCache(self.db, self.listener, clock)
        self.directory = DirectoryCache(self.db, self.listener)
        self.access = Access(self.db, clock, self.listener)
        await self.policies.start()
        await self.directory.start()
        self.failed = []
        self.service = ScoringService(
            settings=settings, db=self.db, listener=self.listener, log=self.log, policies=self.policies, directory=self.directory,
            access=self.access, clock=clock, loops=Loops(clock), on_fatal=self.failed.append,
        )  # fmt: skip

    async def start(self):
        await self.listener.start()
        await self.service.start()
        app = make_app(self.service.routes(), self.service.routers(), self.access, "test")
        self.server = Server(app, "127.0.0.1", 0)
        await self.server.start()
        token = await self.access.create("marketing", None, "test")
        rep = await self.access.create("rep", "anna", "anna")
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.server.port}", headers={"Authorization": f"Bearer {token}"}
        )
        self.rep = {"Authorization": f"Bearer {rep}"}
        self.reader = self.log.reader(LEAD_SCORED.name, "test")
        await self.reader.assign({0: 0, 1: 0})
        for _ in range(100):
            if await self.service.ready() is None:
                return self
            await asyncio.sleep(0.1)
        raise AssertionError(await self.service.ready())

    async def stop(self):
        await self.http.aclose()
        await self.server.stop(1)
        await self.service.stop(5)
        await self.policies.stop()
        await self.directory.stop()
        await self.listener.stop()
        await self.log.close()

    async def send(self, *values, key=b"email:x"):
        await self.log.writer().publish([Message(topic=TRACKING_EVENTS.name, key=key, value=value) for value in values])

    async def scored(self, n, seconds=10.0):
        """The next `n` messages."""
        found = []
        end = time.monotonic() + seconds
        while len(found) < n and time.monotonic() < end:
            found += [scored_decoder.decode(record.value) for record in await self.reader.poll(100, 0.2)]
        assert len(found) == n, (found, self.failed)
        return found


@pytest.fixture
async def running(rig):
    async with rig.db.raw() as pg:
        await pg.execute("DELETE FROM log.lease")
    made = Running(rig.db)
    await made.open()
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
    assert made.failed == []


async def test_an_event_is_scored_and_told_within_milliseconds(running):
    await running.send(event("person.identified", {"email": "vp@nordwind.example", "user": "u"}))
    (told,) = await running.scored(1)
    assert told.id == f"{told.data.lead_id}.1"
    assert (told.source, told.type, told.subject) == ("/scoring", "leadrouter.lead.scored.v1", told.data.lead_id)
    took = []
    for n in range(20):
        began = time.monotonic()
        await running.send(event("page.viewed", {"user": "u"}, path=f"/p{n}"), key=b"user:u")
        await running.scored(1)
        took.append(time.monotonic() - began)
    assert sorted(took)[10] < 0.25, took


async def test_people_and_their_timeline(running):
    await running.send(
        event("person.identified", {"email": "vp@nordwind.example", "user": "u"}, ago=60, traits={"title": "VP"}),
        event("page.viewed", {"user": "u"}, ago=30, path="/pricing", url="https://a.example/pricing"),
        event("email.opened", {"email": "vp@nordwind.example"}, ago=20, actor="machine", message_id="m"),
        event("webinar.attended", {"email": "vp@nordwind.example"}, ago=200 * 86400, name="Forecasting"),
    )
    await running.scored(1)
    (person,) = (await running.http.get("/v1/people", params={"email": "VP@nordwind.example"})).json()["items"]
    assert person["known"] is True
    assert person["account_domain"] == "nordwind.example"
    assert [(i["kind"], i["value"], i["how"], i["verified"]) for i in person["identifiers"]] == [
        ("email", "vp@nordwind.example", "self", True), ("user", "u", "together", True),
    ]  # fmt: skip
    same = (await running.http.get("/v1/people", params={"user_id": "u"}, headers=running.rep)).json()["items"][0]
    assert same["lead_id"] == person["lead_id"]
    first = (await running.http.get(f"/v1/people/{same['key']}/timeline", params={"limit": 3})).json()
    assert [(i["signal"], i["state"], i["human"]) for i in first["items"]] == [
        ("email.opened", "machine", 0.0), ("page.viewed", "scored", 1.0), ("person.identified", "scored", 1.0),
    ]  # fmt: skip
    assert first["items"][0]["reasons"] == ["source_says"]
    assert first["items"][1]["url"] == "https://a.example/pricing"
    assert first["items"][1]["source"] == "/test"
    rest = (await running.http.get(f"/v1/people/{same['key']}/timeline", params={"cursor": first["next"]})).json()
    assert [(i["signal"], i["state"], i["name"]) for i in rest["items"]] == [
        ("webinar.attended", "too_old", "Forecasting")
    ]
    assert rest["next"] is None
    visitor = (await running.http.get("/v1/people", params={"anonymous_id": "never"})).json()
    assert visitor == {"items": [], "next": None}
    assert (await running.http.get("/v1/people")).status_code == 400
    assert (await running.http.get("/v1/people/" + "0" * 32)).status_code == 404
    assert (await running.http.get("/v1/people/" + "0" * 32 + "/timeline")).status_code == 404
    assert (await running.http.get(f"/v1/people/{same['key']}/timeline", params={"cursor": "x"})).status_code == 400


async def test_forgetting_a_person_over_http(running):
    await running.send(event("person.identified", {"email": "bye@kivi.example"}), key=b"email:bye@kivi.example")
    await running.scored(1)
    assert (await running.http.delete("/v1/people/bye@kivi.example", headers=running.rep)).status_code == 403
    assert (await running.http.delete("/v1/people/nobody")).status_code == 400
    answer = await running.http.delete("/v1/people/Bye@Kivi.example")
    assert answer.status_code == 202
    job = answer.json()
    (told,) = await running.scored(1)
    assert told.data.kind == "erased"
    for _ in range(50):
        shown = (await running.http.get(f"/v1/people/jobs/{job['id']}")).json()
        if shown["state"] == "done":
            break
        await asyncio.sleep(0.05)
    assert shown["state"] == "done"
    assert (await running.http.get("/v1/people", params={"email": "bye@kivi.example"})).json()["items"] == []
    assert (await running.http.get("/v1/people/jobs/none")).status_code == 404


async def test_outcomes_are_kept_once_and_shown(running):
    await running.send(event("person.identified", {"email": "won@kivi.example"}))
    (told,) = await running.scored(1)
    lead = told.data.lead_id
    outcome = encode(
        CloudEvent(
            id="o-1", source="/router", type="leadrouter.lead.outcome.v1",
            data=LeadOutcome(kind="declined", lead_id=lead, at=told.data.as_of, rep="anna", reason="bad_fit"),
        )
    )  # fmt: skip
    messages = [
        Message(topic=LEAD_OUTCOMES.name, key=lead.encode(), value=value) for value in (outcome, b"no", outcome)
    ]
    await running.log.writer().publish(messages)
    outcomes = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            while not outcomes:
                await asyncio.sleep(0.05)
                found = await running.http.get("/v1/people", params={"email": "won@kivi.example"})
                outcomes = found.json()["items"][0]["outcomes"]
    assert [(o["kind"], o["reason"], o["rep"]) for o in outcomes] == [("declined", "bad_fit", "anna")]
    async with running.db.raw() as pg:
        assert [row["reason"] for row in await pg.fetch("SELECT reason FROM log.dead_letter")] == ["not_an_outcome"]


async def test_a_visitor_is_found_by_its_browser(running):
    await running.send(event("page.viewed", {"anonymous": "c-1"}, path="/x"), key=b"anonymous:c-1")
    items = []
    for _ in range(50):
        items = (await running.http.get("/v1/people", params={"anonymous_id": "c-1"})).json()["items"]
        if items:
            break
        await asyncio.sleep(0.05)
    assert (items[0]["key"], items[0]["lead_id"]) == (key_of("anonymous", "c-1"), None)
    (seen,) = (await running.http.get(f"/v1/people/{items[0]['key']}/timeline")).json()["items"]
    assert seen["path"] == "/x"
