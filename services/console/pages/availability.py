"""`/me`: a rep's own hours, absences and pause of alerts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from services.console.frame import Frame, form, reads_pages
from services.console.rooms import ConsoleRooms
from services.console.views.availability import PAUSES, hours_of, pause_until, preferences_of, reach, week, zones
from services.directory.core.people import Rep
from services.directory.own import OwnAvailability, OwnBody
from services.notify.core.preference import Preferences
from services.runtime.access import Identity
from services.runtime.errors import BadMessage, LeadRouterError, Refused
from services.runtime.http import status_of

SAID: Final[Mapping[str, str]] = {
    "hours": "Your hours are saved. Leads wait for them from now on.",
    "away": "Your absence is noted: you get nothing meanwhile.",
    "back": "The absence is taken away.",
    "paused": "Alerts are paused. Handovers still come.",
    "resumed": "Alerts are on again.",
    "reach": "Saved. It counts from the next notice on.",
}

Make = Callable[[Mapping[str, str], Rep], OwnBody]


class AvailabilityPages:
    """Reps change their own; an admin may look into anybody's with `?rep=`."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._rooms = rooms
        self._own = OwnAvailability(rooms.directory, rooms.directory_store, rooms.clock)

    def routes(self) -> Sequence[BaseRoute]:
        """The page and its forms."""
        page = self._frame.page
        return (
            page("/me", self.me, "rep"),
            page("/me/hours", self._change("hours", _hours), "rep", method="POST"),
            page("/me/absence", self._change("away", _away), "rep", method="POST"),
            page("/me/absence/remove", self._change("back", _back), "rep", method="POST"),
            page("/me/pause", self._change("paused", self._pause), "rep", method="POST"),
            page("/me/reach", self.reach, "rep", method="POST"),
        )

    async def me(self, request: Request) -> Response:
        """The page."""
        identity = await self._frame.signed_in(request)
        if identity.role == "admin" and not request.query_params.get("rep"):
            reps = sorted((rep for rep in self._rooms.directory.view.reps.values() if rep.active), key=lambda r: r.name)
            return self._frame.draw("inbox_chooser.html", identity=identity, reps=reps, where="/me")
        said = SAID.get(request.query_params.get("said", ""))
        return await self._draw(identity, self._rep(identity, request), said=said)

    async def reach(self, request: Request) -> Response:
        """Channels by kind, quiet hours, how often at most, who steps in."""
        identity = await self._frame.signed_in(request)
        rep = self._rep(identity, request)
        fields = await form(request, 65_536)
        desk = self._rooms.notify.preferences
        if desk is None:
            raise Refused("there are no channels here", code="not_found")
        try:
            asked = preferences_of(fields, await desk.shown(rep.id))
            await desk.set(rep.id, msgspec.convert(asked, Preferences), identity.name)
        except BadMessage as error:
            if not reads_pages(request):
                raise
            return await self._draw(identity, rep, status=422, problem=error.message, tried={"reach": fields})
        return self._back(identity, rep, "reach")

    def _change(self, code: str, make: Make) -> Callable[[Request], Awaitable[Response]]:
        async def changed(request: Request) -> Response:
            identity = await self._frame.signed_in(request)
            rep = self._rep(identity, request)
            fields = await form(request, 16_384)
            try:
                await self._own.change(rep.id, make(fields, rep))
            except LeadRouterError as error:
                status = status_of(error)
                if status >= 500 or status == 429 or not reads_pages(request):
                    raise
                return await self._draw(identity, rep, status=status, problem=error.message, tried={code: fields})
            except ValidationError as error:
                return await self._draw(
                    identity, rep, status=422, problem=error.errors()[0]["msg"], tried={code: fields}
                )
            return self._back(identity, rep, "resumed" if code == "paused" and fields.get("pause") == "off" else code)

        return changed

    async def _draw(self, identity: Identity, rep: Rep, status: int = 200, **more: Any) -> Response:
        now = self._frame.clock.now()
        desk = self._rooms.notify.preferences
        return self._frame.draw(
            "me.html",
            status,
            identity=identity,
            rep=rep,
            week=week(rep, now, self._rooms.directory.view.available(rep.id, now)),
            zones=zones(),
            reach=reach(await desk.shown(rep.id)) if desk is not None else None,
            colleagues=sorted(
                (one.id, one.name or one.id)
                for one in self._rooms.directory.view.reps.values()
                if one.active and one.id != rep.id
            ),
            pauses=PAUSES,
            query="?" + urlencode({"rep": rep.id}) if identity.role == "admin" else "",
            # What was sent and not taken, by form: the others show what is kept.
            **{"said": None, "problem": None, "tried": {}, **more},
        )

    def _back(self, identity: Identity, rep: Rep, code: str) -> Response:
        query = {"said": code, **({"rep": rep.id} if identity.role == "admin" else {})}
        return RedirectResponse(f"/me?{urlencode(query)}", 303)

    def _rep(self, identity: Identity, request: Request) -> Rep:
        asked = request.query_params.get("rep", "") if identity.role == "admin" else identity.rep
        return self._own.rep(asked)

    def _pause(self, fields: Mapping[str, str], rep: Rep) -> OwnBody:
        choice = fields.get("pause", "")
        until = pause_until(choice, self._rooms.clock.now(), rep.timezone)
        if until is None and choice != "off":
            raise BadMessage("say how long to pause", code="invalid")
        return OwnBody.model_validate({"alerts_paused_until": until})


def _hours(fields: Mapping[str, str], _rep: Rep) -> OwnBody:
    hours = hours_of(fields)
    if not hours:
        raise BadMessage("a week without hours gets no leads at all; add an absence instead", code="invalid")
    return OwnBody.model_validate({"hours": hours, "timezone": fields.get("timezone") or None})


def _away(fields: Mapping[str, str], _rep: Rep) -> OwnBody:
    start = fields.get("from", "")
    absence = {"from": start, "until": fields.get("until") or start, "note": fields.get("note", "")}
    return OwnBody.model_validate({"add_absences": [absence]})


def _back(fields: Mapping[str, str], _rep: Rep) -> OwnBody:
    return OwnBody.model_validate({"remove_absences": [fields.get("absence", "")]})
