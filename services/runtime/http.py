"""How we speak HTTP: one app, and one shape for every error: `{"code": …, "message": …, "detail": …}`.

Doors for the rooms: `ApiError`, `make_app`, `page`, `encode_cursor`, `decode_cursor`, `Server`.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import sqlalchemy.exc
import structlog
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.runtime.access import Access
from services.runtime.errors import BadMessage, Conflict, Fenced, LeadRouterError, Refused, Unavailable
from services.runtime.guard import BODY_MAX_BYTES, BodyTooLarge, BodyTooSlow, Guard, allowed_methods, error_body
from services.runtime.paging import Cursor, Limit, decode_cursor, decode_place, encode_cursor, encode_place, page
from services.runtime.server import Server

__all__ = [
    "ApiError", "Cursor", "ErrorBody", "Limit", "Server", "decode_cursor", "decode_place", "encode_cursor", "encode_place",
    "make_app", "page",
]  # fmt: skip

log = structlog.get_logger(__name__)

VERSION: Final = "0.1.0"
# Codes that say more than the class of their error: the status that fits.
STATUS_OF_CODE: Final[Mapping[str, int]] = {
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "gone": 410,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid": 422,
}
CODE_OF_STATUS: Final[Mapping[int, str]] = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "request_timeout",
    409: "conflict",
    410: "gone",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    429: "too_many_requests",
}
PROBLEMS_MAX: Final = 20


class ApiError(LeadRouterError):
    """An error that an API answers with, status and all.

    Args:
        status: 400 to 599.
        code: Stable snake_case word.
        detail: Anything JSON that a program can use.
    """

    def __init__(
        self, status: int, code: str, message: str, detail: Any = None, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, code=code, detail=detail)
        self.status = status
        self.headers = dict(headers or {})


class ErrorBody(BaseModel):
    """Every error looks like this."""

    code: str
    message: str
    detail: Any = None


def make_app(
    routes: Sequence[BaseRoute],
    routers: Sequence[APIRouter],
    access: Access | None = None,
    title: str = "Lead Router",
    *,
    body_max_bytes: int = BODY_MAX_BYTES,
    body_limits: Mapping[str, int] | None = None,
    public_url: str | None = None,
) -> FastAPI:
    """The app of one process.

    `app.state.access` holds the Access, `app.state.stopping` an event that is set when streams should end.

    Args:
        routes: Plain Starlette routes, matched first: the hot ones.
        routers: APIs of the rooms.
        body_max_bytes: Largest body of a request, in bytes; `body_limits` names paths that take another size.
        public_url: How browsers call us, when a proxy stands before us.
    """
    app: FastAPI = FastAPI(
        title=title,
        version=VERSION,
        routes=list(routes),
        docs_url=None,  # its page loads scripts from a CDN; /openapi.json is all a tool needs
        redoc_url=None,
        middleware=[
            Middleware(
                Guard, router=lambda: app.router, body_max_bytes=body_max_bytes, body_limits=dict(body_limits or {})
            )
        ],
        exception_handlers={
            HTTPException: _http_error,
            RequestValidationError: _validation_error,
            LeadRouterError: _our_error,
            sqlalchemy.exc.DBAPIError: _database_error,
            asyncpg.PostgresError: _database_error,
            asyncpg.InterfaceError: _database_error,
        },
        responses={"default": {"model": ErrorBody, "description": "Any error"}},
        telemetry={"operation_spans": False, "logs": False},
        redirect_slashes=False,
    )
    app.state.access = access
    app.state.stopping = asyncio.Event()
    app.state.public_url = public_url
    for router in routers:
        app.include_router(router)
    return app


def answer(
    status: int, code: str, message: str, detail: Any = None, headers: Mapping[str, str] | None = None
) -> Response:
    """An error as a response, for plain routes that answer by themselves."""
    return Response(error_body(code, message, detail), status, headers, "application/json")


def status_of(error: LeadRouterError) -> int:
    """The HTTP status of one of our errors."""
    match error:
        case ApiError():
            return error.status
        case BodyTooLarge():
            return 413
        case BodyTooSlow():
            return 408
        case Unavailable() | Fenced():
            return 429
        case BadMessage():
            return STATUS_OF_CODE.get(error.code, 400)
        case Refused() | Conflict():
            return STATUS_OF_CODE.get(error.code, 409)
        case _:
            return 500


async def _our_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, LeadRouterError):
        raise error
    status = status_of(error)
    headers: dict[str, str] = dict(error.headers) if isinstance(error, ApiError) else {}
    if status == 429 and "Retry-After" not in headers:
        wait_s = error.retry_after_s if isinstance(error, Unavailable) else 1.0
        headers["Retry-After"] = str(max(1, math.ceil(wait_s)))
    if status in (408, 413):
        headers["Connection"] = "close"  # the rest of the body is still on its way
    if status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return answer(status, error.code, error.message, error.detail, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code = CODE_OF_STATUS.get(error.status_code, "error")
    headers = dict(error.headers or {})
    detail: Any = None
    message = error.detail if isinstance(error.detail, str) else HTTPStatus(error.status_code).phrase
    if not isinstance(error.detail, str):
        detail = error.detail
    if error.status_code == 404 and message == "Not Found":
        message = f"there is nothing at {request.url.path}"
    elif error.status_code == 405:
        methods = allowed_methods(request.app.router, request.scope)
        headers["Allow"] = ", ".join(methods)
        message = f"{request.url.path} does not answer {request.method}; it answers {headers['Allow']}"
    return answer(error.status_code, code, message, detail, headers)


async def _validation_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    # What was sent is not repeated: it may hold personal data.
    problems = [
        {"where": ".".join(str(part) for part in found["loc"]), "message": found["msg"], "type": found["type"]}
        for found in error.errors()[:PROBLEMS_MAX]
    ]
    first = problems[0] if problems else {"where": "body", "message": "is not valid"}
    return answer(422, "invalid", f"{first['where']}: {first['message']}", problems)


async def _database_error(request: Request, error: Exception) -> Response:
    """Errors of the database that say something about the request; anything else is a bug, and stays one."""
    cause: BaseException | None = error
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        cause = error.orig.__cause__ if error.orig is not None else None  # asyncpg's own error, below SQLAlchemy's
    match cause:
        # asyncpg's own DataError (a value that does not fit its parameter) is an InterfaceError and a ValueError.
        case asyncpg.DataError() | ValueError():
            log.warning("value refused by the database", path=request.url.path, error=type(cause).__name__)
            return answer(
                400, "bad_request", "a value in the request cannot be stored: out of range, or a NUL character"
            )
        case asyncpg.QueryCanceledError() | asyncpg.LockNotAvailableError() | asyncpg.DeadlockDetectedError():
            log.warning("database too slow", path=request.url.path, error=type(cause).__name__)
            return answer(429, "database_busy", "the database is busy; try again", headers={"Retry-After": "2"})
        case _:
            raise error
