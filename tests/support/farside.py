"""A far side of our own for tests of channels: an HTTP server that answers as vendors do, well or badly.

`answers` is a list of what to say next (the last one stays): `ok()`, `status(503)`, `too_many(7)`, `slow(…)`, `torn()`,
`redirect(url)`, `text("ok")`, `json({...})`, or a function of the request. What came is in `requests`.
"""

import asyncio
import contextlib
import json as json_module
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """What was received, to the last byte."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json_module.loads(self.body)


@dataclass
class Answer:
    """What to say. `wait`: an event, or seconds, before the answer; `torn`: hang up in the middle of it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    wait: asyncio.Event | float | None = None
    torn: bool = False


Said = Answer | Callable[[Request], Answer]


def ok() -> Answer:
    """Taken."""
    return Answer()


def status(code: int, body: bytes = b"") -> Answer:
    """A bare status."""
    return Answer(code, body=body)


def text(body: str, code: int = 200) -> Answer:
    """Plain text, as Slack's incoming webhooks speak."""
    return Answer(code, {"content-type": "text/plain"}, body.encode())


def json(content: Any, code: int = 200, **headers: str) -> Answer:
    """JSON."""
    return Answer(code, {"content-type": "application/json", **headers}, json_module.dumps(content).encode())


def too_many(retry_after_s: int) -> Answer:
    """429 with Retry-After."""
    return Answer(429, {"retry-after": str(retry_after_s)}, b"slow down")


def slow(wait: asyncio.Event | float) -> Answer:
    """An answer that keeps one waiting."""
    return Answer(wait=wait)


def torn() -> Answer:
    """The connection breaks in the middle of the answer."""
    return Answer(torn=True)


def redirect(url: str) -> Answer:
    """Elsewhere."""
    return Answer(307, {"location": url})


class FarSide:
    """The server. `url` is where it listens; `down` hangs up on whoever connects."""

    def __init__(self, *answers: Said) -> None:
        self.answers: list[Said] = list(answers) or [ok()]
        self.requests: list[Request] = []
        self.at_once = 0
        self.most_at_once = 0
        self.down = False
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._came = asyncio.Condition()

    async def __aenter__(self) -> "FarSide":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), 2)

    async def came(self, count: int, seconds: float = 10.0) -> list[Request]:
        """Wait until `count` requests have come."""
        async with asyncio.timeout(seconds), self._came:
            await self._came.wait_for(lambda: len(self.requests) >= count)
        return self.requests

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while not self.down and await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = first.split(" ")
        request = Request(method, path, headers, body)
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer = said(request) if callable(said) else said
        async with self._came:
            self.requests.append(request)
            self._came.notify_all()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if isinstance(answer.wait, asyncio.Event):
                await answer.wait.wait()
            elif answer.wait is not None:
                await asyncio.sleep(answer.wait)
        finally:
            self.at_once -= 1
        lines_out = [f"HTTP/1.1 {answer.status} X", f"content-length: {len(answer.body) + 10 * answer.torn}"]
        lines_out += [f"{k}: {v}" for k, v in answer.headers.items()]
        writer.write("\r\n".join(lines_out).encode() + b"\r\n\r\n" + answer.body)
        await writer.drain()
        return not answer.torn
