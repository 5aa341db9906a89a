"""Server-sent events as a raw ASGI response: about 15 kB a client, ends cleanly at every kind of end."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from services.notify.channels.subscription import Subscription

# Proxies close what is silent for 30 to 60 s; the beat is also when the session is checked again.
BEAT_S: Final = 10.0
BEAT_SPREAD_S: Final = 4.0
# A write that the client does not take for so long: it is gone, though its connection is not.
SEND_TIMEOUT_S: Final = 30.0
# Reconnects after a restart are spread: each client gets its own pause.
RETRY_MS: Final = 1000
RETRY_SPREAD_MS: Final = 2000

HEADERS: Final[Mapping[str, str]] = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
}

Check = Callable[[], Awaitable[bool]]


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


class EventStream(Response):
    """Streams a subscription until the client goes, the session ends, the server stops or the client is too slow.

    Args:
        sub: What to stream.
        allowed: Asked at each beat; False ends the stream.
        begin: Called once when the past has been replayed: from now on frames come through `sub`.
        end: Called once at the end, whatever the end.
        past: Frames to send first.
        beat_s: Seconds between beats, at most 15.
    """

    def __init__(
        self,
        sub: Subscription,
        *,
        allowed: Check,
        begin: Callable[[], None],
        end: Callable[[], None],
        past: AsyncIterator[bytes] | None = None,
        beat_s: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(headers={**HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self._sub = sub
        self._allowed = allowed
        self._begin = begin
        self._end = end
        self._past = past or _nothing()
        self._beat_s = beat_s or BEAT_S + secrets.randbelow(1000) / 1000 * BEAT_SPREAD_S

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "HEAD":
            # Monitors ask so, and wait for the end of an answer without a body.
            self._end()
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": b""})
            return
        watch = asyncio.create_task(self._watch(receive))
        try:
            await self._stream(send)
        except (asyncio.CancelledError, TimeoutError, OSError):
            # The server has stopped waiting for us, or the client does not read: there is nobody to tell.
            self._sub.end("gone")
        finally:
            watch.cancel()
            self._end()

    async def _stream(self, send: Send) -> None:
        sub = self._sub
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        retry = RETRY_MS + secrets.randbelow(RETRY_SPREAD_MS)
        # The first bytes go out at once, so that proxies and clients know that the stream stands.
        await self._write(send, f": here\nretry: {retry}\n\n".encode())
        async for frames in self._past:
            await self._write(send, frames)
        self._begin()
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + self._beat_s
        while sub.ended is None:
            frames = await sub.frames(max(0.0, beat_at - loop.time()))
            if frames:
                await self._write(send, frames)
            if loop.time() >= beat_at and sub.ended is None:
                if not await self._allowed():
                    sub.end("revoked")
                    break
                await self._write(send, b": beat\n\n")
                beat_at = loop.time() + self._beat_s
        if sub.ended != "gone":
            await asyncio.wait_for(send({"type": "http.response.body", "body": b"", "more_body": False}), 1)

    async def _write(self, send: Send, body: bytes) -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await send({"type": "http.response.body", "body": body, "more_body": True})

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._sub.end("gone")
