"""What every HTTP request passes on its way in and out: one pure ASGI layer, cheap enough for the hot routes.

In: a request id, limits of size and time for the body, no NUL bytes. Out: security headers, HEAD and OPTIONS where a
route does not answer them itself, an honest 500 for what nobody caught, and a 429 for what the end of the process cut.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import structlog
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.runtime.errors import LeadRouterError

log = structlog.get_logger(__name__)

BODY_MAX_BYTES: Final = 1_048_576
# The slowest honest client: 1 MiB at 256 kbit/s takes 33 s.
BODY_TIMEOUT_S: Final = 40.0
# Who is still sending does not read an answer, and a closed connection would lose it: the rest of a body that is too
# large is thrown away first, at most so much and so long.
DRAIN_MAX_BYTES: Final = 67_108_864
DRAIN_S: Final = 10.0
RETRY_AFTER_S: Final = 2
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}\Z")

# Answers are data: a browser must not sniff, frame or run them. A page sets its own policy, which then stands.
HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


class BodyTooLarge(LeadRouterError):
    """The body has more bytes than this path takes."""

    default_code = "too_large"


class BodyTooSlow(LeadRouterError):
    """The body did not arrive in time."""

    default_code = "request_timeout"


def error_body(code: str, message: str, detail: Any = None) -> bytes:
    """The body of every error."""
    return msgspec.json.encode({"code": code, "message": message, "detail": detail})


def allowed_methods(router: Router, scope: Scope) -> list[str]:
    """The methods that the path of `scope` answers; empty when there is no such path."""
    probe = {key: value for key, value in scope.items() if key not in ("fastapi", "path_params", "endpoint", "route")}
    found = [
        method
        for method in METHODS
        if any(route.matches({**probe, "method": method})[0] is Match.FULL for route in router.routes)
    ]
    if "GET" in found and "HEAD" not in found:
        found.insert(found.index("GET") + 1, "HEAD")
    return found if not found or "OPTIONS" in found else [*found, "OPTIONS"]


class Guard:
    """The layer. Outermost of ours, inside nothing but the server.

    Args:
        router: A function that gives the app's router, asked at request time.
        body_max_bytes: Largest body, in bytes.
        body_limits: Path to another limit, in bytes, for paths that take more or less.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        router: Callable[[], Router],
        body_max_bytes: int = BODY_MAX_BYTES,
        body_limits: Mapping[str, int] | None = None,
        body_timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        self._app = app
        self._router = router
        self._body_max_bytes = body_max_bytes
        self._body_limits = dict(body_limits or {})
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, length = _read_headers(scope)
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        method = scope["method"]
        sender = _Sender(send, request_id)
        if b"%00" in scope.get("raw_path", b"") or b"%00" in scope["query_string"] or "\x00" in scope["path"]:
            await sender.answer(400, "bad_request", "the address holds a NUL byte; take it out")
            return
        if method in ("HEAD", "OPTIONS"):
            methods = allowed_methods(self._router(), scope)
            if method == "OPTIONS" and methods and not self._answers(scope):
                await sender.answer_options(methods)
                return
            if method == "HEAD":
                sender.headless = True  # also where the route answers by itself: a stream would never end
                if "GET" in methods and not self._answers(scope):
                    scope = {**scope, "method": "GET"}  # the server keeps its own scope: it sends no body to a HEAD
        limit = self._body_limits.get(scope["path"], self._body_max_bytes)
        receiver = _Receiver(receive, limit, self._body_timeout_s)
        sender.rest = receiver
        if length > limit:
            sender.closing = True
            await sender.answer(413, "too_large", _too_large(limit))
            return
        try:
            await self._app(scope, receiver, sender)
        except ClientDisconnect:
            return
        except BodyTooLarge as error:
            sender.closing = True
            await sender.answer(413, error.code, error.message)
        except BodyTooSlow as error:
            sender.closing = True
            await sender.answer(408, error.code, error.message)
        except _HeadAnswered:
            return
        except asyncio.CancelledError:
            if sender.started:
                raise
            # The server ends and waits no longer. Its own answer were a 500, after which many senders give up.
            sender.closing = True
            await sender.answer(429, "stopping", "this process ends; send it again", RETRY_AFTER_S)
        except Exception:
            log.exception("request failed", method=method, path=scope["path"], request_id=request_id.decode())
            if sender.started:
                raise
            message = f"something broke on our side; tell your administrator the request id {request_id.decode()}"
            await sender.answer(500, "internal", message)

    def _answers(self, scope: Scope) -> bool:
        probe = {key: value for key, value in scope.items() if key != "fastapi"}
        return any(route.matches(dict(probe))[0] is Match.FULL for route in self._router().routes)


def _read_headers(scope: Scope) -> tuple[bytes, int]:
    request_id, length = b"", 0
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = int(value) if value.isdigit() else 0
        elif name == b"x-request-id" and REQUEST_ID.match(value):
            request_id = value
    return request_id or secrets.token_hex(8).encode(), length


def _too_large(limit: int) -> str:
    return f"the body is larger than {limit} bytes; send it in smaller parts"


class _HeadAnswered(OSError):
    """A stream was asked for its head only: there is nobody to stream to."""


class _Receiver:
    """Counts the bytes of the body and the seconds it takes."""

    __slots__ = ("_end", "_left", "_limit", "_receive", "_timeout_s", "_whole")

    def __init__(self, receive: Receive, limit: int, timeout_s: float) -> None:
        self._receive = receive
        self._limit = self._left = limit
        self._timeout_s = timeout_s
        self._end: float | None = None
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()
        loop = asyncio.get_running_loop()
        if self._end is None:
            self._end = loop.time() + self._timeout_s
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError as error:
            msg = f"the body did not arrive within {self._timeout_s:g} s"
            raise BodyTooSlow(msg) from error
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._left < 0:
                raise BodyTooLarge(_too_large(self._limit))
        return message

    async def drain(self) -> None:
        """Read what is left of the body and forget it."""
        left = DRAIN_MAX_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while not self._whole and left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    self._whole = not message.get("more_body", False)


class _Sender:
    """Adds our headers; sends no body to a HEAD."""

    __slots__ = ("_ended", "_request_id", "_send", "closing", "headless", "rest", "started")

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._request_id = request_id
        self._ended = False
        self.started = False
        self.headless = False
        self.closing = False
        self.rest: _Receiver | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            if message["status"] == 413 and self.rest is not None:
                await self.rest.drain()
            headers = list(message.get("headers", ()))
            there = {name.lower() for name, _ in headers}
            headers += [pair for pair in HEADERS if pair[0] not in there]
            headers.append((b"x-request-id", self._request_id))
            if self.closing:
                headers.append((b"connection", b"close"))
            await self._send({**message, "headers": headers})
            return
        if not self.headless:
            await self._send(message)
            return
        if self._ended:
            raise _HeadAnswered
        self._ended = True
        await self._send({"type": "http.response.body", "body": b""})

    async def answer(self, status: int, code: str, message: str, retry_after_s: int | None = None) -> None:
        if self.started:
            return
        body = error_body(code, message)
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if retry_after_s is not None:
            head.append((b"retry-after", str(retry_after_s).encode()))
        await self({"type": "http.response.start", "status": status, "headers": head})
        await self({"type": "http.response.body", "body": body})

    async def answer_options(self, methods: list[str]) -> None:
        allow = [(b"allow", ", ".join(methods).encode())]
        await self({"type": "http.response.start", "status": 204, "headers": allow})
        await self({"type": "http.response.body", "body": b""})
