"""The traffic of the chaos runs: the same for the same seed. A company's people, its machines, and some rubbish.

Every person is met under three names (a browser, a user id, an address) that events tie together in any order. Mails
are clicked by people and by scanners. Some records come twice, all come out of order, and some are no events at all.
The records go into `tracking.events` as other producers write them: straight into the log.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.codec import Message
from schemas.topics import TRACKING_EVENTS
from services.eventlog.ports import LogWriter
from services.runtime.errors import Unavailable

COMPANIES = ("nordwind", "stella", "fjordsoft", "kivi", "tundra", "vesi", "pikkupaja", "lyseo")
TITLES = ("VP Operations", "Head of Marketing", "Markkinointijohtaja", "Student", "Sales Assistant", "CFO", None)
PATHS = ("/pricing", "/blog/one", "/integrations", "/fi/pricing/enterprise", "/careers")
REPEATS = 0.03
POISON = 0.01
EVENTS_A_PERSON = 9
SPREAD_DAYS = 4
SHOP = "https://aurora.example"


@dataclass(frozen=True)
class Traffic:
    """What was made.

    Attributes:
        messages: In the order in which they are to be written, repeats and poison among them.
        poison: Values (None for no value) that can never be events.
    """

    messages: Sequence[Message]
    poison: frozenset[bytes | None]


@dataclass(frozen=True)
class Person:
    """One person and the names that events give them."""

    number: int
    run: str

    @property
    def names(self) -> dict[str, str]:
        """Kind to value."""
        company = COMPANIES[self.number % len(COMPANIES)]
        tag = f"{self.run}{self.number:05d}"
        return {"email": f"person.{tag}@{company}.example", "user": f"u-{tag}", "anonymous": f"browser-{tag}"}

    def ids(self, *kinds: str) -> list[dict[str, str]]:
        """Identifiers as they travel."""
        return [{"kind": kind, "value": self.names[kind]} for kind in kinds]


def iso(at: datetime) -> str:
    """A time as producers write it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def make(events: int, seed: int, now: datetime | None = None, people: int | None = None) -> Traffic:
    """So many records.

    Args:
        events: Records in all, repeats and poison included.
        seed: The same seed (and `now`) makes the same records; others name other people.
        now: The times of the events lie within `SPREAD_DAYS` before it; the wall clock if not given.
    """
    draw = random.Random(seed)
    now = now or datetime.now(UTC)
    crowd = [Person(n, f"s{seed}x") for n in range(people or max(3, events // EVENTS_A_PERSON))]
    maker = _Maker(draw, now, seed)
    wanted = int(events * (1 - REPEATS - POISON))
    good = [maker.identify(person) for person in crowd]
    while len(good) < wanted:
        good += maker.act(draw.choice(crowd))
    del good[wanted:]
    draw.shuffle(good)
    poison = [_poison(draw, n) for n in range(max(4, int(events * POISON)))]
    repeats = [draw.choice(good) for _ in range(max(0, events - wanted - len(poison)))]
    messages = good
    for extra in (*repeats, *poison):
        # Anywhere behind the first tenth: most repeats come long after, some before the original.
        messages.insert(draw.randrange(len(messages) // 10, len(messages) + 1), extra)
    return Traffic(tuple(messages), frozenset(message.value for message in poison))


class _Maker:
    """Makes events; each has an id of its own."""

    def __init__(self, draw: random.Random, now: datetime, seed: int) -> None:
        self._draw, self._now, self._seed, self._number = draw, now, seed, 0

    def _at(self) -> datetime:
        return self._now - timedelta(seconds=self._draw.random() * SPREAD_DAYS * 86_400)

    def _event(self, signal: str, ids: list[dict[str, str]], at: datetime, **data: Any) -> Message:
        self._number += 1
        received = min(self._now, at + timedelta(seconds=self._draw.random() * 3))
        body = {
            "specversion": "1.0",
            "id": f"{self._seed}-{self._number}",
            "source": "/sources/chaos",
            "type": f"leadrouter.{signal}.v1",
            "time": iso(at),
            "data": {
                "signal": signal,
                "ids": ids,
                "occurred_at": iso(at),
                "received_at": iso(received),
                **data,
            },
        }
        key = f"{ids[0]['kind']}:{ids[0]['value']}".encode()
        return Message(topic=TRACKING_EVENTS.name, key=key, value=json.dumps(body).encode())

    def identify(self, person: Person) -> Message:
        """User id and address named in one breath; often the browser too."""
        kinds = ("email", "user", "anonymous") if self._draw.random() < 0.6 else ("email", "user")
        traits: dict[str, Any] = {"name": f"Person {person.number}"}
        title = self._draw.choice(TITLES)
        if title:
            traits["title"] = title
        return self._event("person.identified", person.ids(*kinds), self._at(), traits=traits)

    def act(self, person: Person) -> list[Message]:
        """Something that a person does, or a machine in their name."""
        draw, at = self._draw, self._at()
        kind = draw.random()
        if kind < 0.45:
            path = draw.choice(PATHS)
            ids = person.ids(*draw.choice((("anonymous",), ("user",), ("user", "anonymous"))))
            return [self._event("page.viewed", ids, at, path=path, url=SHOP + path)]
        if kind < 0.60:
            return self._mail(person, at)
        if kind < 0.72:
            return [self._event("email.opened", person.ids("email"), at, message_id=f"m-{person.number}-0")]
        if kind < 0.82:
            return [self._event("content.downloaded", person.ids("email"), at, name="Buyer's guide")]
        if kind < 0.90:
            return [self._event("webinar.attended", person.ids("user"), at)]
        if kind < 0.95:
            return [self._event("demo.requested", person.ids("email", "anonymous"), at)]
        if kind < 0.97:
            old = at - timedelta(days=120)
            return [self._event("content.downloaded", person.ids("email"), old, received_at=iso(at))]
        return [self._event("form.submitted", person.ids("email"), at, untimed=True)]

    def _mail(self, person: Person, at: datetime) -> list[Message]:
        """A click; now and then with its delivery, now and then a scanner that follows every link."""
        draw, ids = self._draw, person.ids("email")
        mail = f"m-{person.number}-{draw.randrange(3)}"
        clicks = draw.choice((1, 1, 1, 4))
        made = [
            self._event(
                "email.clicked",
                ids,
                at + timedelta(milliseconds=400 * n),
                message_id=mail,
                link=f"{SHOP}/link/{n}",
                actor=draw.choice((None, None, "human", "machine")) if clicks == 1 else None,
            )
            for n in range(clicks)
        ]
        if draw.random() < 0.4:
            earlier = at - timedelta(seconds=draw.choice((1, 5, 3600)))
            made.append(self._event("email.delivered", ids, earlier, message_id=mail))
        return made


def _poison(draw: random.Random, number: int) -> Message:
    """Rubbish of some kind; the number makes it one of its kind."""
    mark = b"%d." % number
    event = {
        "specversion": "1.0",
        "id": f"bad-{number}",
        "source": "/sources/chaos",
        "type": "leadrouter.page.viewed.v1",
    }
    values: tuple[bytes | None, ...] = (
        b"\xff\xfe\x00" + mark + draw.randbytes(40),
        mark + b"{" * 2000,
        json.dumps({**event, "data": 7}).encode(),
        json.dumps({**event, "data": {"signal": "page.viewed", "ids": [{"kind": "user", "value": "null"}]}}).encode(),
        json.dumps({**event, "data": {"signal": "page.viewed", "ids": []}}).encode(),
        json.dumps({**event, "time": "2015-2-02", "data": {"signal": "page.viewed"}}).encode(),
        b'{"specversion":"1.0","id":"' + mark + b'","source":"s","type":"x","data":',
        None,
    )
    value = values[number % len(values)]
    key = draw.choice((None, b"", draw.randbytes(5), b"\xc3\x28"))
    return Message(topic=TRACKING_EVENTS.name, key=key, value=value)


async def write(writer: LogWriter, messages: Sequence[Message], at_once: int = 100, pause_s: float = 0.0) -> None:
    """Write all, in order, through whatever the log goes through; what is unsure is written again."""
    for start in range(0, len(messages), at_once):
        part = messages[start : start + at_once]
        while True:
            try:
                await writer.publish(part)
                break
            except Unavailable:
                await asyncio.sleep(0.3)
        if pause_s:
            await asyncio.sleep(pause_s)
