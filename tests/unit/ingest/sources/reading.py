"""One way from a vendor's request to our messages, without any I/O."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from schemas.codec import CloudEvent
from schemas.messages import Tracking
from services.ingest.core.limits import BadItem
from services.ingest.core.mapping import Facts, to_event
from services.ingest.core.spelling import Speller
from services.ingest.sources.base import Arrival, BadBody, Limits, clean_body
from services.ingest.sources.registry import platform_named

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LIMITS = Limits()
FORM = "application/x-www-form-urlencoded"


class Read(msgspec.Struct):
    """What became of a request."""

    events: list[CloudEvent[Tracking]]
    bad: list[str]
    ignored: list[str]
    refused: str | None = None

    @property
    def signals(self) -> list[str]:
        return [event.data.signal for event in self.events]

    @property
    def one(self) -> Tracking:
        """The one event of a request that must be good."""
        assert (self.bad, self.refused) == ([], None)
        assert len(self.events) == 1, self
        return self.events[0].data


def arrival(
    body: Any,
    headers: dict[str, str] | None = None,
    *,
    url: str = "https://leads.example/hooks/s1",
    query: dict[str, str] | None = None,
    now: datetime = NOW,
    kind: str = "hook",
    method: str = "POST",
) -> Arrival:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Arrival(
        kind=kind,
        method=method,
        url=url,
        headers={name.lower(): value for name, value in (headers or {}).items()},
        query=query or {},
        raw=raw,
        body=clean_body(raw),
        received_at=now,
    )


def form(fields: dict[str, str] | Sequence[tuple[str, str]]) -> bytes:
    return urlencode(fields).encode()


def read(platform: str, body: Any, headers: dict[str, str] | None = None, **more: Any) -> Read:
    found = platform_named(platform)
    assert found is not None
    made = Read(events=[], bad=[], ignored=[])
    try:
        parsed = found.parse(arrival(body, headers, **more), LIMITS)
    except BadBody as error:
        made.refused = error.code
        return made
    made.bad = [bad.code for bad in parsed.rejected]
    made.ignored = [item.type for item in parsed.ignored]
    facts = Facts(source="/sources/s1", trust="secret", received_at=NOW)
    for _, seen in parsed.seen:
        try:
            made.events.append(to_event(seen, facts, Speller()))
        except BadItem as error:
            made.bad.append(error.code)
    return made


def ids(event: Tracking) -> list[str]:
    return [f"{one.kind}:{one.value}" for one in event.ids]


def verified(platform: str, secrets: Sequence[str], *args: Any, **more: Any) -> str | None:
    found = platform_named(platform)
    assert found is not None
    return found.verify(arrival(*args, **more), secrets)
