"""What must come out of scoring? A plain, slow fold of tracking messages, written without looking at the stage's own.

For tests, benchmarks and chaos runs: give it every message of `tracking.events`, in any order, as often as they came; it
answers with the counters of every identifier. It shares only three definitions with the product: what an event id is,
how a click of a mail is judged together with the others (a table of its own below), and the policy.

Not modelled: cookies that pass from one person to another, erasure, and more than 1,000 events a minute on one key.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any

from services.policy.core.policy import Policy

DAY_MS = 86_400_000
RANK = {"email": 0, "crm": 1, "user": 2, "anonymous": 3}
OPEN, CLICK, DELIVERED = "email.opened", "email.clicked", "email.delivered"


def key_of(kind: str, value: str) -> str:
    """Hex key of an identifier's profile."""
    return blake2b(f"{kind}|{value}".encode(), digest_size=16).hexdigest()


@dataclass
class Expected:
    """What the messages add up to.

    Attributes:
        counters: Profile key (hex) to {(signal code, UTC day): thousandths}, zeros left out.
        events: Ids (hex) of distinct events.
        together: Sets of profile keys that verified events named in one breath, joined where they touch.
    """

    counters: dict[str, dict[tuple[int, int], int]] = field(default_factory=dict)
    events: set[str] = field(default_factory=set)
    together: list[set[str]] = field(default_factory=list)


def expect(messages: Iterable[bytes], policy: Policy, dedupe_days: int = 90) -> Expected:
    """Fold all messages."""
    distinct: dict[str, dict[str, Any]] = {}
    for raw in messages:
        event = json.loads(raw)
        distinct.setdefault(_id(event), event)
    done = Expected(events=set(distinct))
    counters: dict[str, dict[tuple[int, int], int]] = defaultdict(lambda: defaultdict(int))
    mails: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = defaultdict(list)
    for id_, event in distinct.items():
        data = event["data"]
        ids = sorted({(RANK[i["kind"]], i["kind"], i["value"]) for i in data["ids"]})
        keys = [key_of(kind, value) for _, kind, value in ids]
        if data.get("trust", "secret") == "secret":
            _join(done.together, set(keys))
        key = keys[0]
        counters[key]
        if _received(event) - _occurred(event) > dedupe_days * DAY_MS:
            continue
        if data["signal"] in (CLICK, DELIVERED):
            mails[key, data.get("message_id") or data.get("campaign") or ""].append((id_, event))
        if data["signal"] != CLICK:
            _add(counters[key], event, _alone(event), policy)
    for (key, _), seen in mails.items():
        for event, weight in _judged(seen):
            _add(counters[key], event, weight, policy)
    done.counters = {key: {c: n for c, n in sorted(of.items()) if n} for key, of in counters.items()}
    return done


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000 + 0.5)


def _received(event: dict[str, Any]) -> int:
    return _ms(event["data"]["received_at"])


def _occurred(event: dict[str, Any]) -> int:
    return min(_ms(event["data"].get("occurred_at") or event["time"]), _received(event))


def _id(event: dict[str, Any]) -> str:
    at = _received(event) // DAY_MS * DAY_MS if event["data"].get("untimed") else _ms(event["time"])
    return at.to_bytes(6).hex() + blake2b(f"{event['source']}\0{event['id']}".encode(), digest_size=10).hexdigest()


def _alone(event: dict[str, Any]) -> int:
    """Thousandths of an event by itself, for events without a user agent."""
    data = event["data"]
    table = {
        OPEN: {None: 300, "unknown": 300, "proxied": 900, "human": 1000, "machine": 0},
        CLICK: {None: 700, "unknown": 700, "proxied": 1000, "human": 1000, "machine": 0},
    }.get(data["signal"], {"machine": 0})
    return table.get(data.get("actor"), 1000)


def _judged(seen: list[tuple[str, dict[str, Any]]]) -> list[tuple[dict[str, Any], int]]:
    clicks = sorted((_occurred(e), id_, e) for id_, e in seen if e["data"]["signal"] == CLICK)
    delivered = min((_occurred(e) for _, e in seen if e["data"]["signal"] == DELIVERED), default=None)
    bad: set[str] = set()
    for at, _, _ in clicks:
        near = [c for c in clicks if at <= c[0] <= at + 3000 and _alone(c[2])]
        if len({c[2]["data"].get("link") or c[2]["id"] for c in near}) >= 3:
            bad |= {c[1] for c in near}
    run: list[tuple[int, str, dict[str, Any]]] = []
    for click in [*[c for c in clicks if _alone(c[2])], None]:
        if click is None or (run and click[0] - run[-1][0] > 3000):
            if len(run) > 1 and delivered is not None and any(-5000 <= c[0] - delivered <= 2000 for c in run):
                bad |= {c[1] for c in run}
            run = []
        if click is not None:
            run.append(click)
    out = []
    for at, id_, event in clicks:
        weight = _alone(event)
        if id_ in bad:
            weight = 0
        elif weight < 1000 and delivered is not None and -5000 <= at - delivered <= 10_000:
            weight = min(weight, 300)
        out.append((event, weight))
    return out


def _add(of: dict[tuple[int, int], int], event: dict[str, Any], weight: int, policy: Policy) -> None:
    data = event["data"]
    day = _occurred(event) // DAY_MS
    url = data.get("link") or data.get("url")
    for rule in policy.counted(data["signal"], data.get("path"), data.get("name"), url):
        of[rule.code, day] += weight


def _join(sets: list[set[str]], keys: set[str]) -> None:
    touching = [one for one in sets if one & keys]
    for one in touching:
        sets.remove(one)
        keys = keys | one
    sets.append(keys)
