"""What a company's own web site uses: the snippet `/site.js`, and the stream of greetings."""

import hashlib
import inspect
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.notify.api.stream import EventStream
from services.notify.channels.site import SiteChannel
from services.runtime.errors import Unavailable
from services.runtime.http import answer

# Whether a key is a live publishable source key. Ingest owns the sources: it gives us this question.
PublishableKey = Callable[[str], bool | Awaitable[bool]]

SNIPPET: Final = Path(__file__).parent.parent / "static" / "site.js"
KEY_MAX: Final = 200
VISITOR_MAX: Final = 200
# Read by pages of any site, without cookies: the key in the address is all there is.
CORS: Final = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}


def site_routes(channel: SiteChannel, publishable_key: PublishableKey, beat_s: float | None = None) -> list[BaseRoute]:
    """`/site.js` and `/v1/site/stream`."""
    code = packed(SNIPPET.read_text(encoding="utf-8"))
    etag = f'"{hashlib.sha256(code).hexdigest()[:24]}"'

    async def known(key: str) -> bool:
        if not 0 < len(key) <= KEY_MAX:
            return False
        found = publishable_key(key)
        return bool(await found if inspect.isawaitable(found) else found)

    async def snippet(request: Request) -> Response:
        if not await known(request.query_params.get("key", "")):
            return _refused()
        headers = {**CORS, "cache-control": "public, max-age=300", "etag": etag}
        # A proxy that compresses makes it a weak one: W/"…".
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(code, media_type="text/javascript; charset=utf-8", headers=headers)

    async def greetings(request: Request) -> Response:
        key = request.query_params.get("key", "")
        visitor = request.query_params.get("visitor", "")
        if not await known(key):
            return _refused()
        if not 0 < len(visitor) <= VISITOR_MAX:
            message = f"say which browser: ?visitor=<anonymous id>, 1 to {VISITOR_MAX} characters"
            return answer(400, "visitor_missing", message, headers=CORS)
        channel.end_with(getattr(request.app.state, "stopping", None))
        try:
            sub = channel.subscribe(key, visitor)
        except Unavailable as error:
            return answer(429, error.code, error.message, headers={**CORS, "Retry-After": "60"})
        # A browser that reconnects says which greeting it has had.
        sub.last_id = request.headers.get("last-event-id", "")

        async def allowed() -> bool:
            try:
                return await known(key)
            except Unavailable:
                return True

        return EventStream(
            sub,
            allowed=allowed,
            begin=lambda: channel.go_live(sub),
            end=lambda: channel.remove(sub),
            beat_s=beat_s,
            headers=CORS,
        )

    return [
        Route("/site.js", snippet, methods=["GET"]),
        Route("/v1/site/stream", greetings, methods=["GET"]),
    ]


def packed(code: str) -> bytes:
    """The snippet without indentation and comments of whole lines: what browsers get."""
    first, _, rest = code.partition("*/")
    lines = [line.strip() for line in rest.splitlines()]
    kept = "\n".join(line for line in lines if line and not line.startswith("//"))
    return f"{first.splitlines()[0]} */\n{kept}\n".encode()


def _refused() -> Response:
    return answer(
        401,
        "unauthorized",
        "?key= must be a publishable source key (lead-router source add NAME --publishable)",
        headers=CORS,
    )
