"""Coming and going: `/` (sign in, or the page that fits the role), `/sign-in`, `/sign-out`."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from services.console.frame import Frame, form
from services.runtime.access import (
    COOKIE_HTTP,
    COOKIE_HTTPS,
    SESSION_DAYS,
    secure,
    session_cookie,
)


class SessionPages:
    """Sign in, sign out, and where each role starts."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def routes(self) -> Sequence[BaseRoute]:
        """All of them."""
        return (
            self._frame.page("/", self.home),
            self._frame.page("/sign-in", self.sign_in, method="POST"),
            self._frame.page("/sign-out", self.sign_out, method="POST"),
        )

    async def home(self, request: Request) -> Response:
        """Sign in; else the page that fits the role."""
        identity = await self._frame.who(request)
        if identity is None:
            return self._frame.draw("sign_in.html", identity=None, problem=None)
        return RedirectResponse(self._frame.start(identity) or "/overview", 303)

    async def sign_in(self, request: Request) -> Response:
        """Swap a token for a session, without JavaScript."""
        token = (await form(request, 4096)).get("token", "").strip()
        identity = await self._frame.access.identify(token)
        if identity is None:
            problem = "This token is unknown or revoked. Ask your administrator for another."
            return self._frame.draw("sign_in.html", 401, identity=None, problem=problem)
        session, _ends = await self._frame.access.open_session(identity)
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
        if session:
            await self._frame.access.close_session(session)
        answer = RedirectResponse("/", 303)
        https = secure(request)
        answer.delete_cookie(
            COOKIE_HTTPS if https else COOKIE_HTTP, path="/", secure=https, httponly=True, samesite="lax"
        )
        return answer
