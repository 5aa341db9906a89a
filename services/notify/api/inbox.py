"""A rep's notices: the list, the stream, and "read"."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from services.notify.api.stream import EventStream
from services.notify.channels.inbox import InboxChannel
from services.notify.core.notice import ALERTS, OPEN_STATES, Notice, decode, shown
from services.runtime.access import Identity, admit, require
from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.errors import LeadRouterError, Refused
from services.runtime.http import ApiError, Cursor, Limit, decode_cursor, encode_cursor

SEQ_MAX = 2**63 - 1
# Of the alerts; and what is still something to do or to know at $2: not read, and no alert that the rep had in time and
# that is over.
ALERT: Final = f"kind IN ({', '.join(repr(kind) for kind in sorted(ALERTS))})"
OPEN: Final = f"""
state IN ({", ".join(repr(state) for state in sorted(OPEN_STATES))}) AND read_at IS NULL
  AND (NOT {ALERT} OR fresh_until IS NULL OR fresh_until > $2 OR delivered_at IS NULL)"""
_PAGE: Final = """
SELECT seq, body::text AS body, delivered_at FROM notify.notice
 WHERE rep_id = $1 AND seq < $3 AND {which} ORDER BY seq DESC LIMIT $4"""
PAGE: Final = _PAGE.format(which="$2::timestamptz IS NOT NULL")
PAGE_OPEN: Final = _PAGE.format(which=OPEN)
READ: Final = "UPDATE notify.notice SET read_at = coalesce(read_at, $2) WHERE id = $3 AND rep_id = $1 RETURNING id"
REP = Query(max_length=200, description="Whose inbox; only the role admin may name another")


class Inbox:
    """Reads of inboxes, for the API and for the console's pages."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def page(
        self, rep: str, limit: int, before: int | None = None, *, open_only: bool = False
    ) -> tuple[list[Notice], int | None]:
        """Notices of `rep`, newest change first, and the seq to go on from (None at the end)."""
        now = self._clock.now()
        start = SEQ_MAX if before is None else before
        async with self._db.raw() as pg:
            rows = await pg.fetch(PAGE_OPEN if open_only else PAGE, rep, now, start, limit + 1)
        items = [shown(decode(row["body"]), now, delivered=row["delivered_at"] is not None) for row in rows[:limit]]
        return items, rows[limit - 1]["seq"] if len(rows) > limit else None

    async def read(self, rep: str, notice_id: str) -> bool:
        """Mark one notice as read; False when the rep has no such notice."""
        async with self._db.raw() as pg:
            return await pg.fetchval(READ, rep, self._clock.now(), notice_id) is not None


def whose(identity: Identity, rep: str | None) -> str:
    """Whose inbox the caller may see.

    Raises:
        Refused: A rep asks for another's.
        ApiError: An admin does not say whose.
    """
    if identity.role == "rep" and identity.rep:
        if rep not in (None, identity.rep):
            msg = "an inbox belongs to its rep; leave ?rep= away"
            raise Refused(msg, code="forbidden")
        return identity.rep
    if not rep:
        raise ApiError(400, "rep_missing", "say whose inbox: ?rep=<rep id>; a rep's own token needs no ?rep=")
    return rep


def inbox_router(inbox: Inbox) -> APIRouter:
    """`/v1/inbox` and `/v1/inbox/{id}/read`."""
    router = APIRouter(prefix="/v1/inbox", tags=["inbox"])
    caller = Annotated[Identity, Depends(require("rep"))]

    @router.get("")
    async def list_notices(
        identity: caller,
        rep: Annotated[str | None, REP] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
        open: Annotated[bool, Query(description="Only what still needs the rep")] = False,  # noqa: A002 the name of the parameter
    ) -> Response:
        """Notices, newest change first."""
        before = decode_cursor(cursor, int)
        start = min(before[0], SEQ_MAX) if before else None
        items, last = await inbox.page(whose(identity, rep), limit, start, open_only=open)
        following = encode_cursor(last) if last is not None else None
        body: dict[str, Any] = {"items": items, "next": following}
        return Response(msgspec.json.encode(body), media_type="application/json")

    @router.post("/{notice_id}/read")
    async def mark_read(notice_id: str, identity: caller, rep: Annotated[str | None, REP] = None) -> dict[str, Any]:
        """The rep has read it: it leaves `open=1`."""
        if not await inbox.read(whose(identity, rep), notice_id):
            msg = f"there is no notice {notice_id[:64]} in this inbox"
            raise Refused(msg, code="not_found")
        return {"id": notice_id, "read": True}

    return router


def cursor_of(request: Request) -> int | None:
    """Where the reader stopped: `Last-Event-ID`, else `?after=`; None: from now on.

    A Last-Event-ID that is no number is taken as none: a browser would never come back from an error.

    Raises:
        ApiError: `?after=` is not a number.
    """
    header = request.headers.get("last-event-id", "").strip()
    if header.isascii() and header.isdigit():
        return min(int(header[:19]), SEQ_MAX)
    asked = request.query_params.get("after")
    if asked is None or header:
        return None
    if not (asked.isascii() and asked.isdigit() and len(asked) <= 19):
        raise ApiError(400, "bad_cursor", "?after= is the seq of a notice, a number from 0")
    return min(int(asked), SEQ_MAX)


def inbox_stream(channel: InboxChannel, beat_s: float | None = None) -> BaseRoute:
    """`/v1/inbox/stream`: notices as they come. A plain route: thousands of them may stand open."""

    async def stream(request: Request) -> Response:
        identity = await admit(request, "rep")
        rep = whose(identity, request.query_params.get("rep"))
        after = cursor_of(request)
        channel.end_with(getattr(request.app.state, "stopping", None))
        sub = await channel.subscribe(rep, after)

        async def allowed() -> bool:
            try:
                return await admit(request, "rep") == identity
            except Refused:
                return False
            except LeadRouterError:
                return True  # the database is away: whoever was allowed stays until it can be asked

        return EventStream(
            sub,
            allowed=allowed,
            begin=lambda: channel.go_live(sub),
            end=lambda: channel.remove(sub),
            past=channel.replay(sub) if after is not None else None,
            beat_s=beat_s,
        )

    return Route("/v1/inbox/stream", stream, methods=["GET"])
