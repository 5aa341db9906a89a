"""What the tests of ingest share: one way from a body to our messages, without any I/O."""

import json
from datetime import UTC, datetime
from typing import Any

from schemas.codec import CloudEvent
from schemas.messages import Tracking, Trust
from services.ingest.core.limits import BadItem
from services.ingest.core.mapping import Facts, to_event
from services.ingest.core.spelling import Speller
from services.ingest.sources.base import Arrival, Limits, clean_body
from services.ingest.sources.registry import PLATFORMS

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LIMITS = Limits()


def arrival(body: Any, kind: str = "batch", headers: dict[str, str] | None = None) -> Arrival:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Arrival(
        kind=kind,
        method="POST",
        url="https://leads.example/x",
        headers=headers or {},
        query={},
        raw=raw,
        body=clean_body(raw),
        received_at=NOW,
    )


def facts(trust: Trust = "secret", peer: str | None = None) -> Facts:
    return Facts(source="/sources/s1", trust=trust, received_at=NOW, peer=peer, user_agent="Browser/1")


def events(
    body: Any,
    kind: str = "batch",
    *,
    platform: str = "segment",
    headers: dict[str, str] | None = None,
    trust: Trust = "secret",
    peer: str | None = None,
    limits: Limits = LIMITS,
) -> tuple[list[CloudEvent[Tracking]], list[str]]:
    """Good events, and the codes of the bad ones in the order of their place."""
    parsed = PLATFORMS[platform].parse(arrival(body, kind, headers), limits)
    bad = [(rejected.index, rejected.code) for rejected in parsed.rejected]
    good = []
    for index, seen in parsed.seen:
        try:
            good.append(to_event(seen, facts(trust, peer), Speller()))
        except BadItem as error:
            bad.append((index, error.code))
    return good, [code for _, code in sorted(bad)]


def one(body: Any, kind: str = "batch", **more: Any) -> CloudEvent[Tracking]:
    """The one event of a body that must be good."""
    if kind == "batch" and isinstance(body, dict) and "batch" not in body:
        body = {"batch": [body]}
    good, bad = events(body, kind, **more)
    assert bad == []
    assert len(good) == 1
    return good[0]


def bad(item: Any, **more: Any) -> str:
    """The code of an item that must be bad."""
    good, codes = events({"batch": [item]}, **more)
    assert good == []
    assert len(codes) == 1
    return codes[0]
