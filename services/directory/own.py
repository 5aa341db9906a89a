"""A rep's own availability: hours, absences, a pause of alerts. `GET` and `PATCH /v1/me/availability`, and the same for the console."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends

from services.directory.bodies import AvailabilityBody, Text, reading
from services.directory.core import fields
from services.directory.core.people import Rep
from services.directory.store import DirectoryCache, DirectoryStore
from services.runtime.access import Identity, require
from services.runtime.clock import Clock
from services.runtime.http import ApiError

Own = Annotated[Identity, Depends(require("rep"))]


class OwnBody(AvailabilityBody):
    """What a rep may change of themselves. What is left out stays."""

    hours: Text | None = None
    timezone: Text | None = None

    def changed(self, rep: Rep) -> Rep:
        """The rep with the change.

        Raises:
            ApiError: 422 with the field that cannot be.
        """
        zone = reading("timezone", lambda: fields.timezone(self.timezone or rep.timezone))
        hours = reading("hours", lambda: fields.hours(self.hours or rep.hours))
        return self.applied(msgspec.structs.replace(rep, timezone=zone, hours=hours))


class OwnAvailability:
    """Reads and changes one rep's own availability."""

    def __init__(self, cache: DirectoryCache, store: DirectoryStore, clock: Clock) -> None:
        self._cache = cache
        self._store = store
        self._clock = clock

    def rep(self, rep_id: str | None) -> Rep:
        """The rep as the directory has them.

        Raises:
            ApiError: 404 for somebody who is no rep of the directory.
        """
        found = self._cache.view.rep(rep_id) if rep_id else None
        if found is None:
            raise ApiError(404, "not_found", "the directory does not know you; ask marketing operations to add you")
        return found

    async def change(self, rep_id: str, body: OwnBody) -> Rep:
        """Change it, all or nothing; the change is seen by every stage within a second.

        Raises:
            ApiError: 404 for an unknown rep, 422 for a value that cannot be.
            Refused: `not_found`: an absence to remove is not this rep's.
        """
        async with self._store.changing("people") as pg:
            known = await self._store.reps(pg)
            if rep_id not in known:
                raise ApiError(404, "not_found", f"there is no rep {rep_id[:64]}")
            if body.remove_absences:
                await self._store.remove_absences(pg, rep_id, body.remove_absences)
            await self._store.write_reps(pg, [body.changed(known[rep_id])], known)
        await self._cache.refresh()
        return self.rep(rep_id)

    def shown(self, rep: Rep) -> dict[str, Any]:
        """The availability as the API shows it."""
        now = self._cache.view.available(rep.id, self._clock.now())
        return {
            "rep": rep.id,
            "timezone": rep.timezone,
            "hours": rep.hours,
            "country": rep.country,
            "absences": [{"id": a.id, "from": a.start, "until": a.end, "note": a.note} for a in rep.absences],
            "alerts_paused_until": rep.alerts_paused_until,
            "now": {"available": now.ok, "code": now.code, "text": now.text, "until": now.until},
        }


def own_router(own: OwnAvailability) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/me", tags=["directory"])

    @router.get("/availability")
    async def show(caller: Own) -> dict[str, Any]:
        """My hours, absences and pause, and whether I can be given something now."""
        return own.shown(own.rep(caller.rep))

    @router.patch("/availability")
    async def change(caller: Own, body: OwnBody) -> dict[str, Any]:
        """Change my hours, absences or pause; what the body leaves out stays, `alerts_paused_until: null` ends a pause."""
        if caller.rep is None:
            raise ApiError(404, "not_found", "you are no rep; PATCH /v1/reps/{id} changes another's")
        return own.shown(await own.change(caller.rep, body))

    return router
