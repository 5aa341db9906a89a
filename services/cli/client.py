"""A small client of our own public API, for the demo and the tests: reads `access.json` and speaks HTTP."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import Misconfigured, Unavailable

TIMEOUT_S = 30.0


@dataclass
class Told:
    """One server-sent event. `took_ms`: milliseconds since the last batch was sent."""

    event: str
    id: str | None
    data: dict[str, Any]
    took_ms: float


class Stream:
    """Reads a server-sent event stream in the background."""

    def __init__(self, client: "Client", response: httpx.Response) -> None:
        self._client = client
        self._response = response
        self._queue: asyncio.Queue[Told] = asyncio.Queue()
        self._task = asyncio.create_task(self._read())

    async def next(self, seconds: float, *, kind: str | None = None, email: str | None = None) -> Told | None:
        """The next event of this kind and person within `seconds`, or None."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                told = await asyncio.wait_for(self._queue.get(), left)
            except TimeoutError:
                return None
            if kind and told.data.get("kind") != kind:
                continue
            if email and (told.data.get("lead") or {}).get("email") != email:
                continue
            return told
        return None

    async def close(self) -> None:
        """Stop reading."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, httpx.HTTPError):
            await self._task

    async def _read(self) -> None:
        event, ident, data = "message", None, ""
        async for line in self._response.aiter_lines():
            if not line:
                if data:
                    took = (time.monotonic() - self._client.sent_at) * 1000
                    self._queue.put_nowait(Told(event, ident, json.loads(data), took))
                event, data = "message", ""
            elif line.startswith("event:"):
                event = line[6:].strip()
            elif line.startswith("id:"):
                ident = line[3:].strip()
            elif line.startswith("data:"):
                data += line[5:].strip()


class Client:
    """Speaks to a running Lead Router with the tokens of its `access.json`."""

    def __init__(self, access: dict[str, Any], clock: Clock | None = None) -> None:
        self.access = access
        self.clock = clock or SystemClock()
        self.sent_at = time.monotonic()
        self._http = httpx.AsyncClient(base_url=access["url"], timeout=TIMEOUT_S)

    @classmethod
    def from_folder(cls, folder: Path) -> "Client":
        """Reads `access.json` of a data folder."""
        path = folder / "access.json"
        access: Any = None
        try:
            with contextlib.suppress(ValueError):
                access = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            msg = f"{path} is not there: start the service first (make run), or set LEAD_ROUTER_DATA_DIR to its data folder"
            raise Misconfigured(msg) from error
        if not isinstance(access, dict) or not isinstance(access.get("url"), str):
            msg = f"{path} is damaged: move it away and start the service again, which makes another"
            raise Misconfigured(msg)
        return cls(access)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def batch(self, items: list[dict[str, Any]]) -> None:
        """POST a Segment batch with the secret write key."""
        self.sent_at = time.monotonic()
        body = {"batch": items, "sentAt": self.clock.now().isoformat(timespec="milliseconds")}
        answer = await self._call("POST", "/v1/batch", json=body, auth=(self.access["source"], ""))
        if answer.status_code != 200:
            msg = f"POST /v1/batch answered {answer.status_code}: {answer.text[:200]}"
            raise Unavailable(msg)

    async def get(self, path: str, who: str = "admin") -> Any:
        """GET as admin, marketing, ops or a rep; the decoded answer."""
        answer = await self._call("GET", path, headers=self._bearer(who))
        if answer.status_code != 200:
            msg = f"GET {path} answered {answer.status_code}: {answer.text[:200]}"
            raise Unavailable(msg)
        return answer.json()

    async def leads(self, query: str) -> list[dict[str, Any]]:
        """Leads by a query string."""
        items: list[dict[str, Any]] = (await self.get(f"/v1/leads?{query}"))["items"]
        return items

    async def lead(self, email: str) -> dict[str, Any] | None:
        """The lead with this e-mail address."""
        return next(iter(await self.leads(f"email={quote(email, safe='')}")), None)

    async def decisions(self, lead_id: str) -> list[dict[str, Any]]:
        """Decisions of a lead, newest first."""
        items: list[dict[str, Any]] = (await self.get(f"/v1/leads/{lead_id}/decisions"))["items"]
        return items

    async def notices(self, rep: str) -> list[dict[str, Any]]:
        """A rep's inbox."""
        items: list[dict[str, Any]] = (await self.get("/v1/inbox", rep))["items"]
        return items

    async def machine_events(self, email: str) -> int:
        """How many events of a person's timeline are marked as made by machines."""
        people = (await self.get(f"/v1/people?email={quote(email, safe='')}"))["items"]
        if not people:
            return 0
        items = (await self.get(f"/v1/people/{people[0]['key']}/timeline"))["items"]
        return sum(1 for item in items if item["actor"] == "machine")

    async def command(self, lead_id: str, verb: str, body: dict[str, Any], who: str) -> int:
        """A rep's answer; the status code."""
        answer = await self._call("POST", f"/v1/leads/{lead_id}/{verb}", json=body, headers=self._bearer(who))
        return answer.status_code

    @contextlib.asynccontextmanager
    async def inbox(self, rep: str) -> AsyncIterator[Stream]:
        """A rep's live inbox."""
        async with self._stream("/v1/inbox/stream", self._bearer(rep)) as stream:
            yield stream

    @contextlib.asynccontextmanager
    async def site(self, visitor: str) -> AsyncIterator[Stream]:
        """A visitor's greetings."""
        async with self._stream(f"/v1/site/stream?key={self.access['publishable']}&visitor={visitor}", {}) as stream:
            yield stream

    @contextlib.asynccontextmanager
    async def _stream(self, path: str, headers: dict[str, str]) -> AsyncIterator[Stream]:
        try:
            async with self._open_stream(path, headers) as stream:
                yield stream
        except httpx.HTTPError as error:
            raise self._away(error) from error

    @contextlib.asynccontextmanager
    async def _open_stream(self, path: str, headers: dict[str, str]) -> AsyncIterator[Stream]:
        async with self._http.stream(
            "GET", path, headers=headers, timeout=httpx.Timeout(TIMEOUT_S, read=None)
        ) as response:
            if response.status_code != 200:
                await response.aread()
                msg = f"GET {path.split('?', maxsplit=1)[0]} answered {response.status_code}: {response.text[:200]}"
                raise Unavailable(msg)
            stream = Stream(self, response)
            try:
                yield stream
            finally:
                await stream.close()

    async def _call(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            raise self._away(error) from error

    def _away(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(f"{self.access['url']} does not answer ({type(error).__name__}): is the service running?")

    def _bearer(self, who: str) -> dict[str, str]:
        token = self.access.get(who) or self.access["reps"].get(who)
        if token is None:
            msg = f"access.json has no token for {who}"
            raise Misconfigured(msg)
        return {"Authorization": f"Bearer {token}"}
