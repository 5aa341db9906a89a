"""What nobody answers, told as a page to whoever reads pages; programs get the JSON of every error."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from services.console.frame import Frame, reads_pages
from services.runtime.errors import Refused

SHOWN_MAX: Final = 200


class Nowhere(BaseRoute):
    """A route behind all others, also behind those of other rooms that are added later."""

    path: Final = "/{nothing:path}"
    methods: Final = frozenset({"GET"})

    def __init__(self, frame: Frame) -> None:
        self._page = frame.page(self.path, self.nothing)

    async def nothing(self, request: Request) -> Response:
        """Says so."""
        msg = f"there is nothing at {request.url.path[:SHOWN_MAX]}"
        raise Refused(msg, code="not_found")

    @override
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """A browser's GET of an address that no other route knows, whatever the method."""
        if scope["type"] != "http" or scope["method"] not in self.methods or not reads_pages(Request(scope)):
            return Match.NONE, {}
        others = (route for route in scope["app"].router.routes if route is not self)
        if any(route.matches(dict(scope))[0] is not Match.NONE for route in others):
            return Match.NONE, {}
        return Match.FULL, {"endpoint": self.nothing}

    @override
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._page.handle(scope, receive, send)
