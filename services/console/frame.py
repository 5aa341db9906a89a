"""What every page shares: who asks, how it is drawn, which headers it gets, how its forms are read."""

import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from services.console.assets import Assets
from services.console.filters import FILTERS, upright
from services.console.navigation import Entry, links, start
from services.console.policy import PagePolicy
from services.runtime.access import Access, Identity, Role, admit, same_origin, session_cookie
from services.runtime.clock import Clock
from services.runtime.errors import BadMessage, LeadRouterError, Refused
from services.runtime.http import status_of

TEMPLATES: Final = Path(__file__).parent / "templates"
FORM_MAX_BYTES: Final = 256 * 1024
# A page of ours as it stands in an address; never another site's (`//…`, `/\\…`).
OUR_PAGE: Final = re.compile(r"/(?!/)[\w.~%!$&'()*+,;=:@/?-]{1,1000}", re.ASCII)
ROLE_NAMES: Final[Mapping[Role, str]] = {
    "rep": "reps",
    "marketing": "marketing operations",
    "ops": "operations",
    "admin": "administrators",
}

Endpoint = Callable[[Request], Awaitable[Response]]


class Frame:
    """The frame around the pages of one process."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self.access = access
        self.clock = clock
        self._assets = Assets()
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=upright,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._pages: set[str] = set()
        self._templates.globals["asset"] = self._assets.address
        self._templates.globals["navigation"] = self._navigation
        self._templates.filters.update(FILTERS)

    def asset_route(self) -> BaseRoute:
        """Where the pages' CSS, modules and pictures are."""
        return self._assets.route()

    def page(self, path: str, endpoint: Endpoint, *roles: Role, method: str = "GET") -> BaseRoute:
        """A page. With `roles`, whoever is not signed in goes to `/` first, and other roles are refused (403); admin may all.

        A form (`POST`) is refused unless it comes from a page of ours. Errors are told as a page to whoever reads pages.
        """
        if method == "GET":
            self._pages.add(path)

        async def guarded(request: Request) -> Response:
            ours = same_origin(request)
            if method != "GET" and (ours is False or (ours is None and session_cookie(request))):
                msg = "this form was sent by a page of another site; it was not done"
                raise Refused(msg, code="forbidden")
            if roles:
                identity = await self.who(request)
                if identity is None:
                    return RedirectResponse(_sign_in(request), 303)
                if identity.role not in (*roles, "admin"):
                    meant = " and ".join(ROLE_NAMES[role] for role in roles)
                    msg = f"this is for {meant}; you are signed in for {ROLE_NAMES[identity.role]}"
                    raise Refused(msg, code="forbidden")
            return await endpoint(request)

        return Route(path, PagePolicy(_as_app(self._telling(guarded))), methods=[method])

    def fragment(self, path: str, endpoint: Endpoint, *roles: Role) -> BaseRoute:
        """A part of a page, fetched by a module: 401 instead of the way to the sign-in."""

        async def guarded(request: Request) -> Response:
            await admit(request, *roles)
            return await endpoint(request)

        return Route(path, PagePolicy(_as_app(guarded)), methods=["GET"])

    def start(self, identity: Identity) -> str | None:
        """The page where this role begins; None when there is none."""
        return start(identity.role, self._pages)

    def _navigation(self, identity: Identity | None) -> list[Entry]:
        return links(identity.role, self._pages) if identity is not None else []

    def _telling(self, endpoint: Endpoint) -> Endpoint:
        """Errors as a page, for whoever asks for pages; others get the JSON of every error."""

        async def told(request: Request) -> Response:
            try:
                return await endpoint(request)
            except LeadRouterError as error:
                if not reads_pages(request):
                    raise
                identity = await self.who(request)
                return self.draw("error.html", status_of(error), identity=identity, message=error.message)

        return told

    async def who(self, request: Request) -> Identity | None:
        """Who is signed in, if anybody."""
        with contextlib.suppress(Refused):
            return await admit(request)
        return None

    async def signed_in(self, request: Request) -> Identity:
        """Who asks. Raises `Refused` (401) for nobody."""
        return await admit(request)

    def draw(self, template: str, status: int = 200, **values: Any) -> Response:
        """A template as an answer that nobody keeps. Pages need `identity` (None: not signed in) among the values."""
        html = self.html(template, **values)
        return HTMLResponse(html, status, {"cache-control": "no-store"})

    def html(self, template: str, **values: Any) -> str:
        """A template as text: for fragments that travel over a stream."""
        return self._templates.get_template(template).render({"now": self.clock.now(), **values})


def reads_pages(request: Request) -> bool:
    """Whether errors are told as a page; others get the JSON of every error."""
    return "text/html" in request.headers.get("accept", "")


def our_page(address: str) -> str | None:
    """The address of a page of ours that somebody wanted to see before signing in; None for anything else."""
    return address if OUR_PAGE.fullmatch(address) else None


def _sign_in(request: Request) -> str:
    """Where to sign in; from there a page that was asked for is shown after all."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"/?{urlencode({'next': wanted})}" if request.method == "GET" and our_page(wanted) else "/"


async def form(request: Request, max_bytes: int = FORM_MAX_BYTES) -> dict[str, str]:
    """The fields of a posted form, the first value of each. Raises `BadMessage` beyond `max_bytes`."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            msg = f"the form is larger than {max_bytes} bytes"
            raise BadMessage(msg, code="too_large")
    read = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in read.items()}


def _as_app(endpoint: Endpoint) -> ASGIApp:
    """The endpoint as an ASGI app, so that the policy can stand around it."""
    return Route("/", endpoint).app
