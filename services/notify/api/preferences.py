"""`/v1/me/preferences`, `/v1/reps/{id}/preferences`, `/v1/preferences`: what each rep wants to hear, where and when."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.directory.core.people import Rep
from services.notify.core.delivery import KINDS
from services.notify.core.preference import Preferences, layered, problem_of
from services.notify.store import preferences as store
from services.notify.store.endpoints import EndpointStore
from services.notify.store.preferences import EVERYBODY
from services.runtime.access import Identity, require
from services.runtime.clock import Clock
from services.runtime.db import Database
from services.runtime.errors import BadMessage, Refused

RepId = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Self = Annotated[Identity, Depends(require("rep"))]
Setting = Annotated[Identity, Depends(require("marketing"))]
BUILT_IN: Final = Preferences()


class StepIn(BaseModel):
    """A step of the ladder."""

    model_config = ConfigDict(strict=True, extra="forbid")

    after_min: int = Field(ge=1, le=10_080)
    to: str = Field(min_length=1, max_length=64)


class PreferencesIn(BaseModel):
    """What is left out, or null, is as for everybody."""

    model_config = ConfigDict(strict=True, extra="forbid")

    channels: dict[str, list[str]] | None = Field(None, max_length=20)
    quiet_hours: str | None = Field(None, max_length=500)
    paused_until: AwareDatetime | None = Field(None, strict=False)
    interrupts_per_hour: int | None = Field(None, ge=1, le=60)
    ladder: list[StepIn] | None = Field(None, max_length=10)
    delegate: str | None = Field(None, max_length=200)


class Desk:
    """Reads and writes preferences, for the API and for the console's pages.

    Args:
        reps: The directory's reps, as they are now.
        per_hour: Interruptions in an hour when nobody has said anything.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        endpoints: EndpointStore,
        reps: Callable[[], Mapping[str, Rep]],
        per_hour: int,
    ) -> None:
        self._db = db
        self._clock = clock
        self._endpoints = endpoints
        self._reps = reps
        self._base = Preferences(interrupts_per_hour=per_hour)

    async def shown(self, rep: str) -> dict[str, Any]:
        """What is set for a rep (or, with the empty id, for everybody), what holds, and what there is to choose from."""
        async with self._db.raw() as pg:
            said = await store.load(pg, [rep])
        own, everybody = said.get(rep, BUILT_IN), said.get(EVERYBODY, BUILT_IN)
        there = [e for e in await self._endpoints.list() if not e.feed and (not e.reps or rep in e.reps or not rep)]
        return {
            "rep": rep or None,
            "own": msgspec.to_builtins(own),
            "everybody": msgspec.to_builtins(everybody),
            "effective": msgspec.to_builtins(layered(self._base, everybody, own)),
            "channels": [{"id": e.id, "name": e.name, "kind": e.kind, "kinds": e.kinds} for e in there],
            "kinds": list(KINDS),
        }

    async def set(self, rep: str, asked: Preferences, by: str) -> None:
        """Keep what was asked for.

        Raises:
            BadMessage: `invalid`, with what is wrong.
        """
        names = {e.id: e.name for e in await self._endpoints.list() if not e.feed}
        problem = problem_of(asked, names, frozenset(self._reps()))
        if problem is None and asked.delegate is not None and asked.delegate == rep:
            problem = "delegate: somebody else"
        if problem is not None:
            raise BadMessage(problem, code="invalid")
        await store.save(self._db, rep, asked, self._clock.now(), by)

    def known(self, rep: str) -> bool:
        """Whether the directory has this rep."""
        return rep in self._reps()


def preference_router(desk: Desk) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1", tags=["preferences"])

    @router.get("/me/preferences")
    async def mine(who: Self) -> dict[str, Any]:
        """What I want to hear, where and when."""
        return await desk.shown(_own(who))

    @router.put("/me/preferences")
    async def set_mine(who: Self, body: PreferencesIn) -> dict[str, Any]:
        """Set all of it; what is left out is as for everybody."""
        await desk.set(_own(who), _asked(body), who.name)
        return await desk.shown(_own(who))

    @router.get("/reps/{rep_id}/preferences")
    async def of_rep(_who: Setting, rep_id: RepId) -> dict[str, Any]:
        """A rep's preferences."""
        return await desk.shown(_there(desk, rep_id))

    @router.put("/reps/{rep_id}/preferences")
    async def set_of_rep(who: Setting, rep_id: RepId, body: PreferencesIn) -> dict[str, Any]:
        """Set a rep's preferences."""
        await desk.set(_there(desk, rep_id), _asked(body), who.name)
        return await desk.shown(rep_id)

    @router.get("/preferences")
    async def of_everybody(_who: Setting) -> dict[str, Any]:
        """What holds for reps who have said nothing."""
        return await desk.shown(EVERYBODY)

    @router.put("/preferences")
    async def set_of_everybody(who: Setting, body: PreferencesIn) -> dict[str, Any]:
        """Set what holds for reps who have said nothing."""
        await desk.set(EVERYBODY, _asked(body), who.name)
        return await desk.shown(EVERYBODY)

    return router


def _own(who: Identity) -> str:
    if not who.rep:
        msg = "these are a rep's own; as an admin use /v1/reps/{id}/preferences"
        raise BadMessage(msg, code="rep_missing")
    return who.rep


def _there(desk: Desk, rep: str) -> str:
    if not desk.known(rep):
        msg = f"there is no rep {rep[:64]!r}"
        raise Refused(msg, code="not_found")
    return rep


def _asked(body: PreferencesIn) -> Preferences:
    return msgspec.convert(body.model_dump(exclude_none=True), Preferences)
