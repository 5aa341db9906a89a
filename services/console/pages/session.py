"""Coming and going: `/` (sign in, or the page that fits the role), `/sign-in`, `/sign-out`."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from services.console.filters import sentence
from services.console.frame import Frame, form, our_page
from services.runtime.access import address_of, delete_session_cookie, session_cookie, set_session_cookie
from services.runtime.errors import Unavailable
from services.runtime.security import hash_token


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
            self._frame.page("/sessions", self.sessions, "rep", "marketing", "ops"),
            self._frame.page("/sessions/end", self.end, "rep", "marketing", "ops", method="POST"),
        )

    async def home(self, request: Request) -> Response:
        """Sign in; else the page that fits the role."""
        identity = await self._frame.who(request)
        wanted = our_page(request.query_params.get("next", ""))
        if identity is None:
            return self._draw(wanted)
        return RedirectResponse(wanted or self._frame.start(identity) or "/overview", 303)

    async def sign_in(self, request: Request) -> Response:
        """Swap a token for a session, without JavaScript."""
        sent = await form(request, 4096)
        token, wanted = sent.get("token", "").strip(), our_page(sent.get("next", ""))
        try:
            identity = await self._frame.access.sign_in(token, address_of(request))
        except Unavailable as error:
            if error.code != "too_many_requests":
                raise
            answer = self._draw(wanted, 429, sentence(error.message))
            answer.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
            return answer
        if identity is None:
            problem = "This token is unknown or revoked. Ask your administrator for another."
            return self._draw(wanted, 401, problem)
        session, _ends = await self._frame.access.open_session(identity)
        home = RedirectResponse(wanted or "/", 303)
        set_session_cookie(home, request, session)
        return home

    def _draw(self, wanted: str | None, status: int = 200, problem: str | None = None) -> Response:
        return self._frame.draw("sign_in.html", status, identity=None, problem=problem, wanted=wanted)

    async def sessions(self, request: Request) -> Response:
        """Where I am signed in."""
        identity = await self._frame.signed_in(request)
        found = await self._frame.access.sessions(identity.token_id)
        here = hash_token(session_cookie(request) or "").hex()
        return self._frame.draw("sessions.html", identity=identity, sessions=found, here_id=here)

    async def end(self, request: Request) -> Response:
        """End one of my sessions, or all of them: open streams end with them."""
        identity = await self._frame.signed_in(request)
        which = (await form(request, 4096)).get("session", "")
        if which == "all":
            await self._frame.access.end_sessions(identity.token_id)
        else:
            await self._frame.access.end_session(which[:128], identity.token_id)
        return RedirectResponse("/sessions", 303)

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        session = session_cookie(request)
        if session:
            await self._frame.access.close_session(session)
        answer = RedirectResponse("/", 303)
        delete_session_cookie(answer, request)
        return answer
