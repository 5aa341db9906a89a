"""Stands between a client and the product on a port of its own: counts what is posted, and can refuse before it forwards."""

import gzip
import json
from collections import Counter
from typing import Any
from urllib.parse import parse_qs

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.runtime.server import Server

CODES = {400: "malformed_json", 401: "unknown_key", 413: "too_large", 429: "busy"}
RETRY_AFTER_S = 1
IDS = ("messageId", "uuid", "eid")
# Of one connection only.
_HOP = {
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "keep-alive",
    "content-encoding",
    "accept-encoding",
}


class Post:
    """One request that carries events, and how it was answered."""

    def __init__(self, request: Request, body: bytes) -> None:
        self.method = request.method
        self.path = request.url.path
        self.query = request.url.query
        self.headers = dict(request.headers)
        self.gzipped = body.startswith(b"\x1f\x8b")
        self.body = gzip.decompress(body) if self.gzipped else body
        self.status = 0

    def events(self) -> list[dict[str, Any]]:
        """The events in it, as the client wrote them."""
        found: Any = json.loads(self.body) if self.body else {name: v[0] for name, v in parse_qs(self.query).items()}
        if isinstance(found, dict):
            found = found.get("batch") or (found.get("data") if "schema" in found else None) or [found]
        return [one for one in found if any(one.get(name) for name in IDS)]

    def ids(self) -> list[str]:
        """The client's own ids of the events in it."""
        return [next(str(one[name]) for name in IDS if one.get(name)) for one in self.events()]


class Between:
    """The proxy.

    Attributes:
        refuse: Statuses that the next requests are answered with, each once.
        always: The status that every request is answered with; None: they are forwarded.
        posts: Every request with events, in the order of their answers.
        beside: Paths of other requests: what a client fetches, or tells its vendor of itself.
    """

    def __init__(self, target: str) -> None:
        self.beside: list[str] = []
        self.refuse: list[int] = []
        self.always: int | None = None
        self.posts: list[Post] = []
        self.preflights: list[dict[str, str]] = []
        self._target = target
        self._http = httpx.AsyncClient(timeout=30)
        methods = ["GET", "POST", "OPTIONS", "HEAD"]
        app = Starlette(routes=[Route("/{path:path}", self._take, methods=methods)])
        self._server = Server(app, "127.0.0.1", 0)

    async def __aenter__(self) -> "Between":
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(20)  # at once, unless the machine is very busy
        await self._http.aclose()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def port(self) -> int:
        return self._server.port

    def answers(self) -> dict[int, int]:
        """How many requests were answered with which status."""
        return dict(Counter(post.status for post in self.posts))

    def posted(self) -> list[str]:
        """Ids of the events in all requests that were answered, whatever the answer."""
        return [one for post in self.posts for one in post.ids()]

    def taken(self) -> list[str]:
        """Ids of the events in requests that were answered with 200."""
        return [one for post in self.posts if post.status == 200 for one in post.ids()]

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        if request.method == "OPTIONS":
            self.preflights.append(dict(request.headers))
            return await self._forward(request, body)
        post = Post(request, body)
        if not post.events():
            self.beside.append(post.path)
            return await self._forward(request, body)
        status = self.refuse.pop(0) if self.refuse else self.always
        answer = await self._forward(request, body) if status is None else _refusal(status, request)
        post.status = answer.status_code
        self.posts.append(post)
        return answer

    async def _forward(self, request: Request, body: bytes) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        if "content-encoding" in request.headers:
            headers["content-encoding"] = request.headers["content-encoding"]
        url = f"{self._target}{request.url.path}" + (f"?{request.url.query}" if request.url.query else "")
        answer = await self._http.request(request.method, url, content=body, headers=headers)
        kept = {name: value for name, value in answer.headers.items() if name not in _HOP}
        return Response(answer.content, answer.status_code, kept)


def _refusal(status: int, request: Request) -> Response:
    """As the product itself refuses."""
    content = json.dumps({"code": CODES[status], "message": "refused by a test", "detail": None})
    headers = {"access-control-allow-origin": request.headers.get("origin", "*"), "content-type": "application/json"}
    headers["access-control-allow-credentials"] = "true"
    if status == 429:
        headers["retry-after"] = str(RETRY_AFTER_S)
    return Response(content, status, headers)
