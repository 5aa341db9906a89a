"""`/ops/tokens`: who may come in: tokens and open sessions; an admin makes and revokes them."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from services.console.frame import Frame, form, reads_pages
from services.console.rooms import ConsoleRooms
from services.runtime.access import ROLES
from services.runtime.errors import BadMessage, LeadRouterError, Refused

SHOWN: Final = 500
NAME_MAX: Final = 200


class TokenPages:
    """Tokens and sessions."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._access = rooms.access
        self._directory = rooms.directory

    def routes(self) -> Sequence[BaseRoute]:
        """The page, and the forms of an admin."""
        page = self._frame.page
        return (
            page("/ops/tokens", self.show, "ops"),
            page("/ops/tokens", self.create, "admin", method="POST"),
            page("/ops/tokens/revoke", self.revoke, "admin", method="POST"),
            page("/ops/tokens/sessions", self.end, "admin", method="POST"),
        )

    async def show(self, request: Request) -> Response:
        """Who may come in."""
        done = {"revoked": "Revoked; its sessions ended with it.", "ended": "The session has ended."}
        return await self._draw(request, done=done.get(request.query_params.get("done", "")))

    async def create(self, request: Request) -> Response:
        """Make a token, and show it this once."""
        sent = await form(request, 4096)
        role, rep, name = sent.get("role", ""), sent.get("rep", "").strip(), sent.get("name", "").strip()[:NAME_MAX]
        try:
            chosen = next((one for one in ROLES if one == role), None)
            if chosen is None:
                msg = f"one of {', '.join(ROLES)} is needed as role"
                raise BadMessage(msg, code="bad_role")
            if chosen == "rep" and self._directory.view.rep(rep) is None:
                msg = "choose the rep whose token it is"
                raise BadMessage(msg, code="bad_role")
            token = await self._access.create(chosen, rep if chosen == "rep" else None, name)
        except LeadRouterError as error:
            if not reads_pages(request):
                raise
            return await self._draw(request, 422, problem=error.message, sent=sent)
        return await self._draw(request, made={"token": token, "role": role, "name": name or rep or role})

    async def revoke(self, request: Request) -> Response:
        """End a token and its sessions."""
        token_id = (await form(request, 1024)).get("token", "")
        if token_id == (await self._frame.signed_in(request)).token_id:
            return await self._draw(request, 409, problem="This is the token that you are signed in with.")
        if not await self._access.revoke(token_id):
            msg = "there is no such live token"
            raise Refused(msg, code="not_found")
        return RedirectResponse("/ops/tokens?done=revoked", 303)

    async def end(self, request: Request) -> Response:
        """End one session."""
        session = (await form(request, 1024)).get("session", "")
        if not await self._access.end_session(session):
            msg = "this session has ended already"
            raise Refused(msg, code="not_found")
        return RedirectResponse("/ops/tokens?done=ended", 303)

    async def _draw(self, request: Request, status: int = 200, **more: Any) -> Response:
        values = {"made": None, "problem": None, "done": None, "sent": {}, **more}
        reps = sorted(self._directory.view.reps.values(), key=lambda rep: rep.name)
        tokens = await self._access.list(SHOWN)
        return self._frame.draw(
            "tokens.html",
            status,
            identity=await self._frame.signed_in(request),
            here="/ops/tokens",
            live=[one for one in tokens if one.revoked_at is None],
            gone=[one for one in tokens if one.revoked_at is not None],
            sessions=await self._access.sessions(),
            roles=ROLES,
            reps=[(rep.id, rep.name or rep.id) for rep in reps if rep.active],
            **values,
        )
