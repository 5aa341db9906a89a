"""The traffic of the benches: made once, deterministic, so that every contestant reads the same records."""

import random
import uuid
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Literal

import msgspec

Keys = Literal["zipf", "uniform"]

# What a B2B company's tools report: mostly mail, some visits, few strong signals. Weights in thousandths.
MIX: tuple[tuple[str, int], ...] = (
    ("email.delivered", 380),
    ("email.opened", 240),
    ("email.clicked", 20),
    ("page.viewed", 340),
    ("content.downloaded", 10),
    ("form.submitted", 6),
    ("webinar.attended", 4),
)
REPEATS = 0.02  # share of records that are somebody's retry
LINKED = 0.25  # share of people whose browser is known as well
ZIPF = 1.0


@dataclass(frozen=True)
class Plan:
    """What to make.

    Attributes:
        people: Distinct people; with `uniform` keys most are met once (cold), with `zipf` a few are met often.
        days: Own times are spread over so many days back from `start`.
    """

    records: int
    people: int = 20_000
    keys: Keys = "zipf"
    days: int = 1
    seed: int = 7
    start: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)


def people_of(plan: Plan) -> Iterator[int]:
    """Which person each record is about."""
    draw = random.Random(plan.seed)
    if plan.keys == "uniform":
        for _ in range(plan.records):
            yield draw.randrange(plan.people)
        return
    sums = list(accumulate(1 / (rank**ZIPF) for rank in range(1, plan.people + 1)))
    for _ in range(plan.records):
        yield bisect(sums, draw.random() * sums[-1])


def events(plan: Plan) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each record of `tracking.events`, as CloudEvents JSON of about 580 bytes."""
    draw = random.Random(plan.seed + 1)
    signals = [s for s, weight in MIX for _ in range(weight)]
    encode = msgspec.json.encode
    recent: list[tuple[bytes, bytes]] = []
    for number, person in enumerate(people_of(plan)):
        if recent and draw.random() < REPEATS:
            yield draw.choice(recent)
            continue
        signal = draw.choice(signals)
        # A moment of its own for each person's events of a signal, so that nothing looks like a scanner's burst.
        at = plan.start - timedelta(seconds=draw.random() * plan.days * 86_400)
        mail = f"person.{person:07d}@company{person % 5000:04d}.example"
        ids = [{"kind": "email", "value": mail}]
        if signal == "page.viewed" and person % 100 < LINKED * 100:
            ids.append({"kind": "anonymous", "value": f"browser-{person:07d}"})
        data: dict[str, object] = {
            "signal": signal,
            "ids": ids,
            "received_at": (at + timedelta(milliseconds=350)).isoformat(timespec="milliseconds"),
            "occurred_at": at.isoformat(timespec="milliseconds"),
            "name": signal.replace(".", " ").title(),
            "actor": "human",
            "url": f"https://aurora.example/articles/{number % 997}",
            "path": f"/articles/{number % 997}",
            "user_agent": "Mozilla/5.0 Chrome/156.0",
        }
        if signal.startswith("email."):
            data["message_id"] = f"m-{number}"
            data["campaign"] = f"autumn-{person % 13}"
        event = {
            "specversion": "1.0",
            "id": str(uuid.UUID(int=draw.getrandbits(128), version=4)),
            "source": "/sources/bench",
            "type": f"leadrouter.{signal}.v1",
            "time": at.isoformat(timespec="milliseconds"),
            "subject": mail,
            "data": data,
        }
        record = (f"email:{mail}".encode(), encode(event))
        if len(recent) < 5000:
            recent.append(record)
        else:
            recent[draw.randrange(5000)] = record
        yield record


def plain_events(plan: Plan) -> Iterator[tuple[bytes, bytes]]:
    """The yardstick's own log: flat events of 418 bytes, one lead each, 2 % repeats."""
    draw = random.Random(plan.seed + 2)
    kinds = ("open", "click", "visit", "form")
    recent: list[tuple[bytes, bytes]] = []
    for person in people_of(plan):
        if recent and draw.random() < REPEATS:
            yield draw.choice(recent)
            continue
        lead = f"lead-{person:07d}"
        at = plan.start - timedelta(seconds=draw.random() * plan.days * 86_400)
        flat = {
            "id": str(uuid.UUID(int=draw.getrandbits(128), version=4)),
            "lead": lead,
            "kind": draw.choice(kinds),
            "weight": 1,
            "at": at.timestamp(),
            "url": f"https://aurora.example/articles/{person % 997}",
        }
        value = msgspec.json.encode(flat)
        value = value[:-1] + b',"pad":"' + b"x" * (418 - len(value) - 9) + b'"}'
        record = (lead.encode(), value)
        if len(recent) < 5000:
            recent.append(record)
        else:
            recent[draw.randrange(5000)] = record
        yield record


def average_bytes(sample: Sequence[tuple[bytes, bytes]]) -> float:
    """Mean size of the values, in bytes."""
    return sum(len(v) for _, v in sample) / max(1, len(sample))
