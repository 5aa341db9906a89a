"""The stories of the example company, told as live traffic: what comes in, what must come out.

Each story sends what real clients send, then looks through the public API for what the product promises. It is what
`lead-router demo` plays, and what the end-to-end tests hold the product to.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from services.cli.client import Client, Told

SHOP = "https://aurora.example"
NOTICE_S = 5.0
DECIDE_S = 8.0


@dataclass
class Seen:
    """One promise and what was seen of it."""

    promise: str
    seen: str
    kept: bool


ALONE = Seen("something to tell of", "play the stories before it too", kept=False)


@dataclass
class Cast:
    """Who plays. A fresh suffix each time, so that the demo can be played again and again."""

    suffix: str = field(default_factory=lambda: uuid.uuid4().hex[:6])

    def person(self, first: str, last: str, domain: str, title: str) -> dict[str, str]:
        """An identified person, as a product's own user table would name them."""
        mail = f"{first}.{last}.{self.suffix}@{domain}".lower()
        return {"user": f"u-{first}-{self.suffix}".lower(), "email": mail, "name": f"{first} {last}", "title": title}


class Teller:
    """Tells the stories one after another and yields what was seen."""

    def __init__(self, client: Client, cast: Cast | None = None) -> None:
        self.client = client
        self.cast = cast or Cast()
        self.sent: list[list[dict[str, Any]]] = []
        self.people: dict[str, dict[str, str]] = {}

    def stories(self) -> list[tuple[str, str, Callable[[], AsyncIterator[Seen]]]]:
        """Name, what comes in, and the story itself."""
        return [
            ("named account", "a VP Operations of Nordwind becomes known, then reads the prices", self.named_account),
            (
                "MQL",
                "heads of marketing of four software and industry companies: webinar, a click, prices twice",
                self.mql,
            ),
            ("volume", "the founder of a six-person shop reads prices, then asks for a demo", self.volume),
            ("machines", "a scanner clicks every link of a mail within two seconds", self.machines),
            ("wrong person", "a student and a teacher, both very active", self.wrong_person),
            ("late", "a page view that happened an hour ago", self.late),
            ("somebody from Nordwind", "an unknown browser from Nordwind's own network", self.somebody),
            ("again", "everything above is sent a second time", self.again),
            ("answers", "two browsers accept the same lead at once", self.answers),
        ]

    # -- what a server library sends ---------------------------------------------------------------------------

    def identify(self, person: dict[str, str]) -> dict[str, Any]:
        """An `identify` call with the traits we score."""
        traits = {"email": person["email"], "name": person["name"], "title": person["title"]}
        return self._item("identify", userId=person["user"], traits=traits)

    def page(
        self,
        path: str,
        *,
        user: str | None = None,
        ago_s: float = 0,
        anonymous: str | None = None,
        ip: str | None = None,
    ) -> dict[str, Any]:
        """A `page` call."""
        who = {"userId": user} if user else {"anonymousId": anonymous}
        context: dict[str, Any] = {"page": {"url": SHOP + path, "path": path}}
        if ip:
            context["ip"] = ip
        return self._item(
            "page", ago_s, name=path, properties={"url": SHOP + path, "path": path}, context=context, **who
        )

    def track(self, user: str, event: str, *, ago_s: float = 0, **properties: Any) -> dict[str, Any]:
        """A `track` call."""
        return self._item("track", ago_s, event=event, userId=user, properties=properties)

    def _item(self, kind: str, ago_s: float = 0, **fields: Any) -> dict[str, Any]:
        at = self.client.clock.now() - timedelta(seconds=ago_s)
        return {
            "type": kind,
            "messageId": str(uuid.uuid4()),
            "timestamp": at.isoformat(timespec="milliseconds"),
            **fields,
        }

    async def send(self, *items: dict[str, Any]) -> None:
        """One batch, remembered so that it can be sent again."""
        self.sent.append(list(items))
        await self.client.batch(list(items))

    async def interest(self, user: str) -> None:
        """What someone does who means it: a webinar, the prices on two days, a click, a download."""
        await self.send(self.track(user, "Webinar Attended", webinar="Forecasting that holds"))
        click = self.track(user, "Email Link Clicked", link=f"{SHOP}/case", message_id=f"mail-{user}")
        await self.send(self.page("/pricing", user=user, ago_s=86_400), self.page("/pricing", user=user), click)
        await self.send(self.track(user, "Content Downloaded", name="Buyer's guide"))

    # -- the stories --------------------------------------------------------------------------------------------

    async def named_account(self) -> AsyncIterator[Seen]:
        """The owner is told at once, and once."""
        vp = self.people["vp"] = self.cast.person("Anni", "Virta", "nordwind.example", "VP Operations")
        async with self.client.inbox("anna") as anna, self.client.inbox("ben") as ben:
            await self.send(self.identify(vp))
            lead = await self.until(vp["email"], lambda x: x.get("route") == "owner")
            yield _is(
                "route owner, segment enterprise, assignee anna",
                _pick(lead, "route", "segment", "assignee"),
                ["owner", "enterprise", "anna"],
            )
            handover = await anna.next(NOTICE_S, kind="handover", email=vp["email"])
            yield Seen("one handover in Anna's inbox", _told(handover), handover is not None)
            await self.send(self.page("/pricing", user=vp["user"]))
            visit = await anna.next(NOTICE_S, kind="visiting_now", email=vp["email"])
            took = f", {visit.took_ms:.0f} ms after the visit" if visit else ""
            yield Seen(
                "Anna hears of the visit within 2 s", _told(visit) + took, visit is not None and visit.took_ms < 2000
            )
            await self.send(self.page("/integrations", user=vp["user"]))
            joined = await anna.next(NOTICE_S, kind="visiting_now")
            same = visit is not None and joined is not None and joined.data["id"] == visit.data["id"]
            yield Seen("another page joins that notice", _told(joined), same)
            other = await ben.next(0.3)
            yield Seen("nobody else is told", _told(other), other is None)

    async def mql(self) -> AsyncIterator[Seen]:
        """Nurture until the agreement is met, then a fair share for each SDR."""
        firsts = ("Maria", "Kaisa", "Åsa", "Väinö")
        domains = ("fjordsoft.example", "kivi.example", "tundra.example", "vesi.example")
        reps: list[str] = []
        for number, (first, domain) in enumerate(zip(firsts, domains, strict=True)):
            person = self.cast.person(f"M{number}", first, domain, "Head of Marketing")
            self.people[f"marketer{number}"] = person
            await self.send(self.identify(person))
            lead = await self.until(person["email"], lambda x: bool(x.get("route")))
            if number == 0:
                missing = await self.missing(lead)
                yield Seen(
                    "before any interest: nurture, and what is missing in words",
                    missing,
                    _pick(lead, "route") == ["nurture"] and bool(missing),
                )
            await self.interest(person["user"])
            lead = await self.until(person["email"], lambda x: x.get("route") == "sdr")
            reps.append(str((lead or {}).get("assignee")))
            if number == 0:
                yield _is(
                    "then qualified, handed to sdr-midmarket",
                    _pick(lead, "route", "segment", "stage"),
                    ["sdr", "midmarket", "qualified"],
                )
        fair = sorted(reps) == ["chloe", "chloe", "daavid", "emil"]
        yield Seen(
            "weights 2:1:1 hold over four companies (on a first run)",
            ", ".join(reps),
            fair or await self.had_reps(domains),
        )
        colleague = self.cast.person("Sanna", "Salo", domains[0], "Sales Director")
        await self.send(self.identify(colleague))
        await self.interest(colleague["user"])
        lead = await self.until(colleague["email"], lambda x: x.get("route") == "sdr")
        yield _is("a colleague goes to the same rep", _pick(lead, "assignee"), [reps[0]])

    async def volume(self) -> AsyncIterator[Seen]:
        """The shop link first; a person only when asked for."""
        founder = self.people["founder"] = self.cast.person("Aino", "Paja", "pikkupaja.example", "Founder")
        await self.send(
            self.identify(founder),
            self.page("/pricing", user=founder["user"]),
            self.page("/pricing", user=founder["user"]),
        )
        lead = await self.until(founder["email"], lambda x: x.get("track") == "self_serve")
        yield _is(
            "nurture on the self-serve track",
            _pick(lead, "route", "track", "segment"),
            ["nurture", "self_serve", "volume"],
        )
        await self.send(self.track(founder["user"], "Demo Requested", form="demo"))
        lead = await self.until(founder["email"], lambda x: x.get("route") == "sdr")
        who = (lead or {}).get("assignee")
        yield Seen("after the demo request: one of the closers", str(who), who in {"elin", "farid"})

    async def machines(self) -> AsyncIterator[Seen]:
        """A scanner's clicks are shown, not scored, and wake nobody."""
        coo = self.cast.person("Bo", "Stella", "stella.example", "Chief Operating Officer")
        await self.send(self.identify(coo))
        before = await self.until(coo["email"], lambda x: bool(x.get("segment")))
        await asyncio.sleep(1)
        async with self.client.inbox("ben") as ben:
            mail = f"scan-{self.cast.suffix}"
            clicks = [
                self.track(coo["user"], "Email Link Clicked", ago_s=2 - i * 0.1, message_id=mail, link=f"{SHOP}/l{i}")
                for i in range(9)
            ]
            await self.send(self.track(coo["user"], "Email Delivered", ago_s=3, message_id=mail), *clicks)
            told = await ben.next(2.0)
        after = await self.client.lead(coo["email"])
        rise = _score(after) - _score(before)
        yield Seen("the score stays", f"{rise:+.1f} points", after is not None and rise < 5)
        yield Seen("no notice", _told(told), told is None)
        marked = await self.client.machine_events(coo["email"])
        yield Seen("the timeline shows them as machine", f"{marked} events", marked >= 9)

    async def wrong_person(self) -> AsyncIterator[Seen]:
        """Interest alone is not enough."""
        for first, domain, title in (("Stu", "gmail.com", "Student"), ("Tea", "lyseo.example", "Teacher")):
            person = self.cast.person(first, "Keen", domain, title)
            pages = [self.page("/pricing", user=person["user"]) for _ in range(6)]
            more = [self.track(person["user"], "Webinar Attended"), self.track(person["user"], "Content Downloaded")]
            await self.send(self.identify(person))
            await self.send(*pages, *more)
            lead = await self.until(person["email"], lambda x: _score(x) > 20)
            codes = [r["code"] for d in (await self.decisions(lead))[:1] for r in d["reasons"]]
            yield Seen(
                f"{title}: nurture, because of the fit",
                f"{_pick(lead, 'route')} {codes}",
                _pick(lead, "route") == ["nurture"] and "fit_below" in codes,
            )

    async def late(self) -> AsyncIterator[Seen]:
        """Old news scores, and wakes nobody."""
        kalle = self.cast.person("Kalle", "Myöhäinen", "nordwind.example", "Director of Operations")
        kalle["email"] = f"kalle.{self.cast.suffix}@nordwind.example"
        await self.send(self.identify(kalle))
        await self.until(kalle["email"], lambda x: bool(x.get("segment")))
        async with self.client.inbox("anna") as anna:
            await self.send(self.page("/pricing", user=kalle["user"], ago_s=3600))
            lead = await self.until(kalle["email"], lambda x: _score(x) > 0)
            told = await anna.next(1.5, kind="visiting_now")
        yield Seen("it counts", f"{_score(lead):.1f} points", _score(lead) > 0)
        yield Seen("no 'visiting now'", _told(told), told is None)

    async def somebody(self) -> AsyncIterator[Seen]:
        """An unknown visitor of a named account: the owner is told, the visitor greeted in her name."""
        visitor = str(uuid.uuid4())
        async with self.client.inbox("anna") as anna, self.client.site(visitor) as site:
            await self.send(self.page("/case/steel", anonymous=visitor, ip="198.51.100.7"))
            told = await anna.next(NOTICE_S, kind="visiting_now")
            greeting = await site.next(NOTICE_S)
        domain = (told.data.get("account") or {}).get("domain") if told else None
        yield Seen("Anna hears of somebody from Nordwind", _told(told), domain == "nordwind.example")
        yield Seen(
            "the visitor is greeted in Anna's name",
            str(greeting.data.get("text")) if greeting else "nothing",
            greeting is not None,
        )

    async def again(self) -> AsyncIterator[Seen]:
        """The same requests once more change nothing at all."""
        if not self.people:
            yield ALONE
            return
        emails = [p["email"] for p in self.people.values()]
        before = [await self.picture(e) for e in emails]
        async with self.client.inbox("anna") as anna, self.client.inbox("chloe") as chloe:
            for items in self.sent:
                await self.client.batch(items)
            told = await anna.next(2.0) or await chloe.next(0.2)
        after = [await self.picture(e) for e in emails]
        yield Seen("scores, routes and decisions stand", f"{len(emails)} leads compared", before == after)
        yield Seen("no notice", _told(told), told is None)

    async def answers(self) -> AsyncIterator[Seen]:
        """One accepts, the other hears that it is taken."""
        if "marketer1" not in self.people:
            yield ALONE
            return
        lead = await self.client.lead(self.people["marketer1"]["email"])
        rep = str((lead or {}).get("assignee"))
        notice = next(
            (
                n
                for n in await self.client.notices(rep)
                if lead and n["lead"]["id"] == lead["id"] and n.get("assignment")
            ),
            None,
        )
        if lead is None or notice is None:
            yield Seen("a handover to answer", "none found", kept=False)
            return
        body = {"assignment_id": notice["assignment"]["id"], "gen": notice["assignment"]["gen"]}
        other = "emil" if rep != "emil" else "daavid"
        tries = await asyncio.gather(*(self.client.command(lead["id"], "accept", body, who) for who in (rep, other)))
        yield Seen(
            "one 200, the other refused", ", ".join(map(str, tries)), tries[0] == 200 and tries[1] in {403, 404, 409}
        )

    # -- looking ------------------------------------------------------------------------------------------------

    async def until(
        self, email: str, test: Callable[[dict[str, Any]], bool], seconds: float = DECIDE_S
    ) -> dict[str, Any] | None:
        """The lead as soon as `test` holds, or as it is after `seconds`."""

        async def look() -> dict[str, Any] | None:
            lead = await self.client.lead(email)
            return lead if lead and test(lead) else None

        return await _until(look, seconds) or await self.client.lead(email)

    async def decisions(self, lead: dict[str, Any] | None) -> list[dict[str, Any]]:
        """The lead's decisions, newest first."""
        return await self.client.decisions(lead["id"]) if lead else []

    async def missing(self, lead: dict[str, Any] | None) -> str:
        """What the newest decision says is missing."""
        newest = (await self.decisions(lead))[:1]
        return "; ".join(r["text"] for d in newest for r in d["counterfactual"] or d["reasons"])

    async def picture(self, email: str) -> tuple[Any, ...]:
        """What must not change when requests are repeated."""
        lead = await self.client.lead(email) or {}
        return (
            *_pick(lead, "route", "stage", "segment", "assignee"),
            round(_score(lead), 0),
            len(await self.decisions(lead or None)),
        )

    async def had_reps(self, domains: tuple[str, ...]) -> bool:
        """Whether earlier leads had already given these companies their reps."""
        for domain in domains:
            found = await self.client.leads(f"q={domain}")
            if len({x.get("assignee") for x in found if x.get("assignee")}) > 1 or len(found) < 2:
                return False
        return True


def _pick(lead: dict[str, Any] | None, *names: str) -> list[Any]:
    return [(lead or {}).get(n) for n in names]


def _score(lead: dict[str, Any] | None) -> float:
    return float(((lead or {}).get("engagement") or {}).get("score") or 0)


def _is(promise: str, seen: list[Any], wanted: list[Any]) -> Seen:
    return Seen(promise, " · ".join(map(str, seen)), seen == wanted)


def _told(told: Told | None) -> str:
    if told is None:
        return "nothing"
    return f"{told.data.get('kind')}: {told.data.get('why') or told.data.get('text') or ''}"[:110]


async def _until(look: Callable[[], Awaitable[dict[str, Any] | None]], seconds: float) -> dict[str, Any] | None:
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        if found := await look():
            return found
        await asyncio.sleep(0.05)
    return None
