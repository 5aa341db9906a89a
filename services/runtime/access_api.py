"""HTTP for tokens and browser sessions: `/v1/tokens` (admin), `/v1/session`."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.runtime.access import (
    TOKEN_MAX_CHARS,
    Access,
    Identity,
    Role,
    TokenInfo,
    address_of,
    delete_session_cookie,
    require,
    same_origin,
    session_cookie,
    set_session_cookie,
)
from services.runtime.errors import Refused
from services.runtime.http import Cursor, Limit, decode_place, encode_place, page


class NewToken(BaseModel):
    """What a token is to be for."""

    model_config = ConfigDict(strict=True, extra="forbid")

    role: Role
    rep: str | None = Field(
        None, min_length=1, max_length=100, pattern=r"^[^\x00]*$", description="The rep's id, for role rep"
    )
    name: str = Field("", max_length=200, pattern=r"^[^\x00]*$", description="For people: whose, what for")


class SignIn(BaseModel):
    """A token, to be swapped for a session."""

    model_config = ConfigDict(strict=True, extra="forbid")

    token: str = Field(min_length=1, max_length=TOKEN_MAX_CHARS)


def access_router(access: Access) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1", tags=["access"])
    admin = Annotated[Identity, Depends(require("admin"))]
    anybody = Annotated[Identity, Depends(require())]

    @router.post("/tokens", status_code=201)
    async def create_token(new: NewToken, _caller: admin) -> dict[str, Any]:
        """Make a token. It is shown this once."""
        token = await access.create(new.role, new.rep, new.name)
        made = await access.identify(token)
        return {**_identity(made), "id": made.token_id if made else None, "token": token}

    @router.get("/tokens")
    async def list_tokens(_caller: admin, limit: Limit = 50, cursor: Cursor = None) -> dict[str, Any]:
        """Tokens, newest first, without the tokens themselves."""
        found = await access.list(limit + 1, decode_place(cursor, UUID))
        last = found[limit - 1] if len(found) > limit else None
        following = encode_place(last.created_at, last.id) if last else None
        return page([_shown(token) for token in found[:limit]], following)

    @router.delete("/tokens/{token_id}", status_code=204)
    async def revoke_token(token_id: str, _caller: admin) -> Response:
        """Revoke a token; its sessions end with it, at once."""
        if not await access.revoke(token_id):
            msg = f"there is no live token {token_id}"
            raise Refused(msg, code="not_found")
        return Response(status_code=204)

    @router.get("/session")
    async def show_session(caller: anybody) -> dict[str, Any]:
        """Who I am."""
        return _identity(caller)

    @router.post("/session")
    async def sign_in(asked: SignIn, request: Request) -> Response:
        """Swap a token for a session cookie."""
        # Else another site could sign a browser in as somebody of its choice.
        if same_origin(request) is False:
            msg = "sign in from our own page, not from another site"
            raise Refused(msg, code="forbidden")
        identity = await access.sign_in(asked.token, address_of(request))
        if identity is None:
            msg = "this token is unknown or revoked; ask your administrator for another"
            raise Refused(msg, code="unauthorized")
        session, _ends = await access.open_session(identity)
        answer = JSONResponse(_identity(identity))
        set_session_cookie(answer, request, session)
        return answer

    @router.delete("/session", status_code=204)
    async def sign_out(request: Request) -> Response:
        """End the session of this browser. Without one, nothing happens."""
        session = session_cookie(request)
        if session and not same_origin(request):
            msg = "a page of another site asked to sign you out; it was not done"
            raise Refused(msg, code="forbidden")
        if session:
            await access.close_session(session)
        answer = Response(status_code=204)
        delete_session_cookie(answer, request)
        return answer

    return router


def _identity(identity: Identity | None) -> dict[str, Any]:
    return {"role": identity.role, "rep": identity.rep, "name": identity.name} if identity else {}


def _shown(token: TokenInfo) -> dict[str, Any]:
    return {
        "id": token.id,
        "role": token.role,
        "rep": token.rep,
        "name": token.name,
        "created_at": token.created_at.isoformat(),
        "revoked_at": token.revoked_at.isoformat() if token.revoked_at else None,
    }
