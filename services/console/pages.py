"""The pages: `/` (sign in, inbox or operations), `/inbox`, and the fragment that keeps the inbox live."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from services.console.assets import Assets
from services.console.policy import PagePolicy
from services.console.view import DECLINES, card
from services.notify.core.notice import Notice
from services.runtime.access import (
    COOKIE_HTTP,
    COOKIE_HTTPS,
    SESSION_DAYS,
    Access,
    Identity,
    admit,
    same_origin,
    secure,
    session_cookie,
)
from services.runtime.clock import Clock, SystemClock
from services.runtime.errors import Refused

TEMPLATES: Final = Path(__file__).parent / "templates"
SHOWN: Final = 50
FORM_MAX_BYTES: Final = 4096


class InboxPages(Protocol):
    """Where the notices come from: `NotifyService.inbox`."""

    async def page(
        self, rep: str, limit: int, before: int | None = None, *, open_only: bool = False
    ) -> tuple[list[Notice], int | None]:
        """Notices of `rep`, newest change first, and where to go on."""
        ...


class Console:
    """The pages of one process. `inbox` None: this process does not serve notify, and shows no inbox."""

    def __init__(self, access: Access, inbox: InboxPages | None, clock: Clock) -> None:
        self._access = access
        self._inbox = inbox
        self._clock = clock
        self._assets = Assets()
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["asset"] = self._assets.address

    def routes(self) -> list[BaseRoute]:
        """All of them."""
        return [
            Route("/", PagePolicy(_page(self.home)), methods=["GET"]),
            Route("/inbox", PagePolicy(_page(self.inbox)), methods=["GET"]),
            Route("/inbox/list", PagePolicy(_page(self.inbox_list)), methods=["GET"]),
            Route("/sign-in", PagePolicy(_page(self.sign_in)), methods=["POST"]),
            Route("/sign-out", PagePolicy(_page(self.sign_out)), methods=["POST"]),
            self._assets.route(),
        ]

    async def home(self, request: Request) -> Response:
        """Sign in; else the page that fits the role."""
        identity = await self._who(request)
        if identity is None:
            return self._draw("sign_in.html", identity=None, problem=None)
        if identity.role == "rep":
            return await self.inbox(request)
        return self._draw("desk.html", identity=identity)

    async def inbox(self, request: Request) -> Response:
        """The live inbox; an admin looks at a rep's with `?rep=`."""
        identity = await self._who(request)
        if identity is None:
            return RedirectResponse("/", 303)
        rep = self._rep(identity, request)
        return self._draw("inbox.html", identity=identity, rep=rep, **await self._cards(rep))

    async def inbox_list(self, request: Request) -> Response:
        """The list alone, for the module that follows the stream."""
        identity = await admit(request, "rep")
        return self._draw("_list.html", identity=identity, **await self._cards(self._rep(identity, request)))

    async def sign_in(self, request: Request) -> Response:
        """Swap a token for a session, without JavaScript."""
        if same_origin(request) is False:
            msg = "sign in from our own page, not from another site"
            raise Refused(msg, code="forbidden")
        token = (await _form(request)).get("token", "").strip()
        identity = await self._access.identify(token)
        if identity is None:
            problem = "This token is unknown or revoked. Ask your administrator for another."
            return self._draw("sign_in.html", 401, identity=None, problem=problem)
        session, _ends = await self._access.open_session(identity)
        answer = RedirectResponse("/", 303)
        https = secure(request)
        answer.set_cookie(
            COOKIE_HTTPS if https else COOKIE_HTTP,
            session,
            max_age=SESSION_DAYS * 86_400,
            path="/",
            secure=https,
            httponly=True,
            samesite="lax",
        )
        return answer

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        session = session_cookie(request)
        if session and not same_origin(request):
            msg = "a page of another site asked to sign you out; it was not done"
            raise Refused(msg, code="forbidden")
        if session:
            await self._access.close_session(session)
        answer = RedirectResponse("/", 303)
        https = secure(request)
        answer.delete_cookie(
            COOKIE_HTTPS if https else COOKIE_HTTP, path="/", secure=https, httponly=True, samesite="lax"
        )
        return answer

    async def _who(self, request: Request) -> Identity | None:
        with contextlib.suppress(Refused):
            return await admit(request)
        return None

    def _rep(self, identity: Identity, request: Request) -> str:
        if identity.role == "rep" and identity.rep:
            return identity.rep
        if identity.role != "admin":
            msg = f"the inbox is for reps; this token has the role {identity.role}"
            raise Refused(msg, code="forbidden")
        rep = request.query_params.get("rep", "")
        if not rep:
            msg = "say whose inbox: /inbox?rep=<rep id>"
            raise Refused(msg, code="not_found")
        return rep

    async def _cards(self, rep: str) -> dict[str, Any]:
        notices, _ = await self._inbox.page(rep, SHOWN) if self._inbox else ([], None)
        now = self._clock.now()
        cards = [card(notice, now) for notice in notices]
        return {
            "open_cards": [c for c in cards if c.open],
            "past_cards": [c for c in cards if not c.open],
            "after": max((n.seq for n in notices), default=0),
            "declines": DECLINES,
            "served": self._inbox is not None,
        }

    def _draw(self, template: str, status: int = 200, **values: Any) -> Response:
        html = self._templates.get_template(template).render(values)
        return HTMLResponse(html, status, {"cache-control": "no-store"})


def _page(endpoint: Callable[..., Any]) -> ASGIApp:
    """The endpoint as an ASGI app, so that the policy can stand around it."""
    return Route("/", endpoint).app


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_MAX_BYTES:
            return {}
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def console_routes(access: Access, inbox: InboxPages | None = None, clock: Clock | None = None) -> list[BaseRoute]:
    """The console's routes.

    Args:
        inbox: `NotifyService.inbox` when this process runs notify: then the inbox is drawn on the server.
    """
    return Console(access, inbox, clock or SystemClock()).routes()
