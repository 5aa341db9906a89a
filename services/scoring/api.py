"""People over HTTP: who is this, what did they do, and forget them."""

from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Path, Query
from msgspec import to_builtins
from pydantic import BaseModel, ConfigDict, Field

from schemas.codec import CloudEvent, Message, encode
from schemas.messages import Identifier, Tracking
from schemas.signals import event_type
from schemas.topics import TRACKING_EVENTS
from services.eventlog.ports import LogWriter
from services.runtime.access import Identity, require
from services.runtime.clock import Clock
from services.runtime.errors import BadMessage, LeadRouterError
from services.runtime.http import ApiError
from services.runtime.paging import Cursor, Limit, decode_cursor, encode_cursor, page
from services.scoring.core.identity import Names
from services.scoring.store.people import Job, PeopleStore
from services.scoring.store.split import Splitter

SOURCE: Final = "/scoring/api"
Reader = Annotated[Identity, Depends(require("marketing", "ops", "rep"))]
Eraser = Annotated[Identity, Depends(require("marketing", "ops"))]
Named = Annotated[str | None, Query(min_length=1, max_length=256)]
Key = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Key of a profile, or a lead id")]


class Split(BaseModel):
    """Which identifiers belong to somebody else: their keys, or the lead whose merge was wrong."""

    model_config = ConfigDict(strict=True, extra="forbid")

    keys: list[Annotated[str, Field(pattern="^[0-9a-f]{32}$")]] = Field(default=[], max_length=50)
    merged: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")


def people_router(store: PeopleStore, splitter: Splitter, writer: LogWriter, clock: Clock) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/people", tags=["people"])

    @router.get("")
    async def find(
        _caller: Reader, email: Named = None, anonymous_id: Named = None, user_id: Named = None, crm_id: Named = None
    ) -> dict[str, Any]:
        """The person or visitor with this identifier: at most one."""
        given = {"email": email, "anonymous": anonymous_id, "user": user_id, "crm": crm_id}
        named = [(kind, value) for kind, value in given.items() if value is not None]
        if len(named) != 1:
            raise BadMessage("give one of email, anonymous_id, user_id, crm_id", code="no_identifier")
        found = await store.person(*named[0])
        return page([found] if found else [])

    @router.get("/jobs/{job_id}")
    async def show_job(_caller: Eraser, job_id: Annotated[str, Path(max_length=64)]) -> dict[str, Any]:
        """How far a request to be forgotten is."""
        job = await store.job(job_id)
        if job is None:
            raise ApiError(404, "not_found", f"there is no job {job_id}")
        return _shown(job)

    @router.get("/{key}")
    async def show(_caller: Reader, key: Key) -> dict[str, Any]:
        """The person with this profile or lead."""
        found = await store.by_key(UUID(key))
        if found is None:
            raise ApiError(404, "not_found", "nobody with this key was ever seen")
        return found

    @router.get("/{key}/timeline")
    async def timeline(_caller: Reader, key: Key, cursor: Cursor = None, limit: Limit = 50) -> dict[str, Any]:
        """What the person did, newest first, by all of their identifiers."""
        before = decode_cursor(cursor, str)
        try:
            edge = UUID(before[0]) if before else None
        except ValueError as error:
            raise BadMessage("the cursor is not one of this list; begin again without it", code="bad_cursor") from error
        items = await store.timeline(UUID(key), edge, limit + 1)
        if items is None:
            raise ApiError(404, "not_found", "nobody with this key was ever seen")
        more = len(items) > limit
        return page(items[:limit], encode_cursor(items[limit - 1]["event_id"]) if more else None)

    _add_changes(router, store, splitter, writer, clock)
    return router


def _add_changes(router: APIRouter, store: PeopleStore, splitter: Splitter, writer: LogWriter, clock: Clock) -> None:
    names = Names(10_000)

    @router.post("/{lead_id}/split")
    async def split(_caller: Eraser, lead_id: Key, body: Split) -> dict[str, Any]:
        """Undo a merge: these identifiers are another person. Points go with their identifiers."""
        if bool(body.keys) == bool(body.merged):
            raise BadMessage("give either keys or merged", code="invalid")
        keys = [UUID(key) for key in body.keys] if body.keys else None
        old, new = await splitter.split(UUID(lead_id), keys, UUID(body.merged) if body.merged else None)
        return {"lead_id": old.hex, "new_lead_id": new.hex}

    @router.delete("/{email}", status_code=202)
    async def forget(_caller: Eraser, email: Annotated[str, Path(max_length=256)]) -> dict[str, Any]:
        """Forget a person: profiles, events and their bodies. Later events of the same address are dropped."""
        ident = names.ident("email", email)
        if isinstance(ident, str):
            raise BadMessage(f"{email!r} is no e-mail address", code="bad_identifier")
        job = uuid4().hex
        await store.ask(job)
        now = clock.now()
        event = CloudEvent(
            id=job,
            source=SOURCE,
            type=event_type("person.deleted"),
            time=now,
            data=Tracking(
                signal="person.deleted",
                ids=[Identifier(kind="email", value=ident.value)],
                received_at=now,
                occurred_at=now,
            ),
        )
        try:
            # The request travels with the person's events, so that what was sent before it is forgotten too.
            await writer.publish(
                [Message(topic=TRACKING_EVENTS.name, key=f"email:{ident.value}".encode(), value=encode(event))]
            )
        except LeadRouterError:
            await store.withdraw(job)
            raise
        found = await store.job(job)
        return _shown(found) if found else {"id": job, "state": "asked"}


def _shown(job: Job) -> dict[str, Any]:
    state = "done" if job.done_at else "forgetting" if job.scored_at else "asked"
    return {"state": state, **to_builtins(job)}
