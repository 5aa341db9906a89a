"""Thousands of broken requests to a live ingest: no 5xx, and each reject is in the answer or in the dead letters.

The long run: `pytest -m slow tests/integration/ingest/test_fuzz.py`.
"""

import asyncio
import gzip
import json
import random
from collections import Counter
from typing import Any

import pytest
from starlette.types import Message

from services.ingest.api.doors import ANALYTICS
from services.ingest.core.limits import BadItem
from services.ingest.core.mapping import Facts, to_event
from services.ingest.core.spelling import Speller
from services.ingest.handler.receive import _number
from services.ingest.sources.base import Arrival, BadBody, Limits, clean_body
from services.ingest.sources.registry import PLATFORMS
from services.ingest.store import NewSource
from tests.integration.ingest.conftest import Ingest
from tests.unit.ingest.sources.examples import EXAMPLES
from tests.unit.ingest.sources.test_fuzz import any_mutation

SHORT, LONG = 2000, 200_000
AT_ONCE = 32
# Doors of clients that name their source by a key; the others are hooks.
KEYED = {
    "segment": ("/v1/batch", "/v1/b", "/v1/track", "/v1/identify", "/v1/page", "/v1/import", "/beacon/v1/batch"),
    "posthog": ("/batch/", "/capture/", "/e/", "/i/v1/analytics/events"),
    "snowplow": ("/com.snowplowanalytics.snowplow/tp2", "/i"),
    "cloudevents": ("/events",),
}
# What must sign has its tests elsewhere: refused signatures would hide what lies behind them.
UNSIGNED = [example for example in EXAMPLES if not PLATFORMS[example.platform].signed]
TYPES = (
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "",
    "x",
)


async def call(app: Any, path: str, query: bytes, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """One request, straight into the app: a client would cost more than the server."""
    answer: dict[str, Any] = {"body": b""}
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await asyncio.sleep(3600)
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer["status"] = message["status"]
        else:
            answer["body"] += message.get("body", b"")

    raw = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query, "root_path": "", "headers": raw,
        "client": ("127.0.0.1", 5000), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    return answer["status"], answer["body"]


class Fuzz:
    """Sends inputs and checks each answer; what must lie in the dead letters is gathered."""

    def __init__(self, ingest: Ingest, sources: dict[str, NewSource]) -> None:
        self.app = ingest.server._app
        self.clock = ingest.clock
        self.sources = sources
        self.answers: Counter[tuple[int, str]] = Counter()
        self.letters: set[tuple[int, str]] = set()
        self.speller = Speller()

    async def one(self, dice: random.Random) -> None:
        example = dice.choice(UNSIGNED)
        source = self.sources[example.platform]
        body = any_mutation(example, dice)
        headers = dict(example.headers)
        if dice.random() < 0.2:
            headers["content-type"] = dice.choice(TYPES)
        raw = gzip.compress(body, 1) if dice.random() < 0.1 else body
        kind, path = "hook", f"/hooks/{source.id}"
        if example.platform in KEYED and dice.random() < 0.8:
            path = dice.choice(KEYED[example.platform])
            kind = "events" if path == "/events" else ANALYTICS.get(path, path)
            headers["authorization"] = f"Bearer {source.write_key}"
        status, answer = await call(self.app, path, b"", headers, raw)
        assert status in (200, 400, 413), (status, answer, path, body)
        assert kind != "hook" or status == 200, (status, answer, path, body)
        code = json.loads(answer).get("code", "") if answer[:1] == b"{" else ""
        assert status == 200 or code, answer
        self.answers[status, code] += 1
        self.expect(example.platform, source, kind, headers, body)

    def expect(self, platform: str, source: NewSource, kind: str, headers: dict[str, str], body: bytes) -> None:
        """What of this request can never be used, as the parsers say it."""
        body, now = clean_body(body), self.clock.now()
        lower = {name.lower(): value for name, value in headers.items()}
        request = Arrival(
            kind=kind, method="POST", url="", headers=lower, query={}, raw=body, body=body, received_at=now
        )
        try:
            found = PLATFORMS[platform].parse(request, Limits())
        except BadBody as error:
            self.letters.add((_number(source.id, body), error.code))
            return
        self.letters |= {(_number(source.id, bad.raw), bad.code) for bad in found.rejected}
        facts = Facts(source=f"/sources/{source.id}", trust="secret", received_at=now)
        for _, seen in found.seen:
            try:
                to_event(seen, facts, self.speller)
            except BadItem as bad:
                self.letters.add((_number(source.id, seen.raw), bad.code))


@pytest.mark.parametrize("inputs", [SHORT, pytest.param(LONG, marks=(pytest.mark.slow, pytest.mark.timeout(7200)))])
async def test_broken_requests(ingest: Ingest, inputs: int) -> None:
    names = sorted({example.platform for example in UNSIGNED})
    fuzz = Fuzz(ingest, {name: await ingest.create(f"fuzz {name}", name) for name in names})
    dice = random.Random(inputs)
    left = inputs

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await fuzz.one(dice)

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    assert {status for status, _ in fuzz.answers} >= {200, 400}
    async with ingest.db.raw() as pg:
        rows = await pg.fetch("SELECT off, reason FROM log.dead_letter WHERE stage = 'ingest'")
    assert fuzz.letters - {(row["off"], row["reason"]) for row in rows} == set()
    assert len(fuzz.letters) > inputs / 20
