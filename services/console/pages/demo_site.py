"""`/demo-site`: a small site of a company that does not exist, with `/site.js` on it, to see the greeting come.

It is there on a local start, whose publishable key stands in `access.json`, and elsewhere only when the operator names a
publishable key for it. A publishable key is public by nature: it stands in the page.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.frame import Frame, form
from services.runtime.http import ApiError

LANGUAGES: Final = ("en", "fi", "sv")
FORM_MAX_BYTES: Final = 16_384

Key = Callable[[], Awaitable[str | None]]


class Role(msgspec.Struct, frozen=True):
    """Somebody that the visitor may pretend to be."""

    id: str
    name: str
    email: str
    title: str
    says: str


# People of the example company's directory (examples/accounts.csv).
CAST: Final = (
    Role(
        "demo-anni",
        "Anni Virta",
        "anni.virta@nordwind.example",
        "VP Operations",
        "a named account: its owner Anna greets",
    ),
    Role("demo-sven", "Sven Stella", "sven@stella.example", "Logistics Director", "an account with an owner, Ben"),
    Role("demo-aino", "Aino Paja", "aino@pikkupaja.example", "Founder", "a small company: the way to the web shop"),
)


class DemoSitePages:
    """The pages of the demo site.

    Args:
        key: The publishable key that the pages use; None: there is no demo site here.
    """

    def __init__(self, frame: Frame, key: Key) -> None:
        self._frame = frame
        self._key = key

    def routes(self) -> Sequence[BaseRoute]:
        """All of them, open to anybody."""
        return (
            self._frame.page("/demo-site", self.page("home")),
            self._frame.page("/demo-site/pricing", self.page("pricing")),
            self._frame.page("/demo-site/demo", self.page("demo")),
            self._frame.page("/demo-site/thanks", self.thanks, method="POST"),
        )

    def page(self, here: str) -> Callable[[Request], Awaitable[Response]]:
        """One page of the site."""

        async def drawn(request: Request) -> Response:
            return await self._drawn(request, here)

        return drawn

    async def thanks(self, request: Request) -> Response:
        """The answer to the form. Nothing is kept here: what counts went to Lead Router from the browser."""
        await form(request, FORM_MAX_BYTES)
        return await self._drawn(request, "thanks")

    async def _drawn(self, request: Request, here: str) -> Response:
        key = await self._key()
        if key is None:
            raise ApiError(
                404, "not_found", "there is no demo site here: set LEAD_ROUTER_DEMO_SITE_KEY to a publishable key"
            )
        language = request.query_params.get("lang", "en")
        return self._frame.draw(
            "demo_site.html",
            here=here,
            key=key,
            lang=language if language in LANGUAGES else "en",
            ask=request.query_params.get("consent") == "ask",
            cast=CAST,
        )
