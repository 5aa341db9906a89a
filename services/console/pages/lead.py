"""`/leads`: mine, with filters and search; `/leads/{id}`: one lead with everything behind it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from schemas.messages import Stage
from services.console.answering import SAID, Answering
from services.console.filters import clock, sentence, words
from services.console.frame import Frame, form
from services.console.rooms import ConsoleRooms
from services.console.views import lead as view
from services.console.views.inbox import DECLINES, SNOOZES, mailto, reflow
from services.router.store.reads import Filters
from services.runtime.access import Identity
from services.runtime.errors import Refused
from services.runtime.http import decode_place

PAGE: Final = 50
TIMELINE: Final = 200
SHOWN: Final = 40
DECISIONS: Final = 20
STAGES: Final[tuple[str, ...]] = get_args(Stage)


class LeadPages:
    """Reps see their own leads, those of their pools and of whom they manage; everybody else sees all."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._rooms = rooms
        self._answering = Answering(rooms)

    def routes(self) -> Sequence[BaseRoute]:
        """The list, a lead, the answer to its offer."""
        page = self._frame.page
        return (
            page("/leads", self.leads, "rep", "marketing", "ops"),
            page("/leads/{lead_id}", self.lead, "rep", "marketing", "ops"),
            page("/leads/{lead_id}/answer", self.answer, "rep", method="POST"),
        )

    async def leads(self, request: Request) -> Response:
        """Leads, newest first; a rep begins with their own."""
        identity = await self._frame.signed_in(request)
        asked = {
            name: request.query_params.get(name, "").replace("\x00", "")[:200].strip()
            for name in ("q", "stage", "segment", "whose")
        }
        whose = asked["whose"] or ("mine" if identity.role == "rep" and not asked["q"] else "all")
        filters = Filters(
            q=asked["q"] or None,
            stage=asked["stage"] if asked["stage"] in STAGES else None,
            segment=asked["segment"] or None,
            assignee=identity.rep if whose == "mine" and identity.role == "rep" else None,
        )
        found, more = await self._rooms.router.leads.page(
            identity, filters, PAGE, decode_place(request.query_params.get("cursor"), UUID)
        )
        kept = {name: value for name, value in asked.items() if value}
        return self._frame.draw(
            "leads.html",
            identity=identity,
            lines=view.lines(found, self._answering.names(), self._frame.clock.now()),
            asked={**asked, "whose": whose},
            said=SAID.get(request.query_params.get("said", "")),
            stages=[(one, words(one)) for one in STAGES],
            segments=[one.name for one in self._rooms.policies.active.segments],
            more="/leads?" + urlencode({**kept, "cursor": more}) if more else None,
            first="/leads?" + urlencode(kept) if request.query_params.get("cursor") else None,
        )

    async def lead(self, request: Request) -> Response:
        """One lead. A rep who may not see it hears that there is none."""
        identity = await self._frame.signed_in(request)
        lead_id = key_of(request)
        router, now = self._rooms.router, self._frame.clock.now()
        lead = await router.leads.one(identity, lead_id)
        zone, names, policy = self._answering.zone(identity.rep), self._answering.names(), self._rooms.policies.active
        decisions, _ = await router.leads.decisions(identity, lead_id, DECISIONS, None)
        items = await self._rooms.scoring.people.timeline(UUID(lead["id"]), None, TIMELINE) or []
        account = lead["account"]
        beside: list[dict[str, Any]] = []
        if account is not None:
            there, _ = await router.leads.page(identity, Filters(domain=account["domain"]), 9, None)
            beside = [one for one in there if one["id"] != lead["id"]][:8]
        history = view.score_history(items, policy, now)
        held = lead["assignment"]
        mine = held is not None and (
            identity.role == "admin" or (identity.rep is not None and held["rep"] == identity.rep)
        )
        say = await self._rooms.notify.desk.said_of(lead["assignee"], lead["id"]) if lead["assignee"] else None
        body = None if say is None else say.body if say.edited else reflow(say.body)
        said = request.query_params.get("said", "")
        return self._frame.draw(
            "lead.html",
            identity=identity,
            lead=lead,
            name=view.called(lead),
            standing=view.standing(lead, names, zone),
            points=round(lead["engagement"]["score"]),
            chart=view.chart(history, view.marks_of(decisions), zone) if history else None,
            moments=view.moments(items[:SHOWN], now, zone, policy),
            older=len(items) > SHOWN,
            steps=view.steps(decisions, names, zone),
            assignments=[
                self._assignment(one, names, zone) for one in await router.desk.assignments(identity, lead_id)
            ],
            told=[
                {
                    **one,
                    "rep": names.get(one["rep"], one["rep"]),
                    "words": view.TOLD.get(one["kind"], words(one["kind"])),
                }
                for one in (await self._rooms.notify.desk.of_lead(lead["id"]))[:12]
            ],
            beside=view.lines(beside, names, now, company=False),
            say=say,
            body=body,
            mailto=mailto(lead["email"], say.subject, body) if say is not None and body and lead["email"] else None,
            held=held if mine else None,
            declines=DECLINES,
            snoozes=SNOOZES,
            losses=view.LOSSES,
            said=(said, SAID[said]) if said in SAID else await self._said(said, lead, identity),
            zone=zone,
        )

    async def answer(self, request: Request) -> Response:
        """The rep's answer to the offer, or how it ended."""
        identity = await self._frame.signed_in(request)
        lead_id = key_of(request)
        lead = await self._rooms.router.leads.one(identity, lead_id)
        rep = identity.rep or lead["assignee"] or ""
        code, _ = await self._answering.give(identity, rep, lead["id"], await form(request, 4096))
        said = urlencode({"said": code})
        try:
            await self._rooms.router.leads.one(identity, lead["id"])
        except Refused:
            return RedirectResponse(f"/leads?{said}", 303)  # it is the rep's no longer
        return RedirectResponse(f"/leads/{lead['id']}?{said}", 303)

    async def _said(self, code: str, lead: Mapping[str, Any], identity: Identity) -> tuple[str, str] | None:
        if code == "taken":
            return code, sentence(view.standing(lead, self._answering.names(), self._answering.zone(identity.rep)))
        if code == "snoozed" and lead["assignment"]:
            offer = (await self._rooms.router.desk.offers([lead["assignment"]["id"]])).get(lead["assignment"]["id"])
            if offer is not None and offer.snoozed_until is not None:
                return code, f"Snoozed until {clock(offer.snoozed_until, self._answering.zone(identity.rep))}."
        return None

    def _assignment(self, row: Mapping[str, Any], names: Mapping[str, str], zone: str) -> dict[str, Any]:
        return {
            "rep": names.get(row["rep_id"], row["rep_id"]),
            "state": row["state"],
            "reason": view.ENDED.get(row["reason"] or "", words(row["reason"] or "")),
            "at": row["offered_at"],
            "when": clock(row["offered_at"], zone),
            "ended": clock(row["ended_at"], zone) if row["ended_at"] else None,
            "accepted": clock(row["accepted_at"], zone) if row["accepted_at"] else None,
        }


def key_of(request: Request) -> str:
    """The lead id of the address. Raises `Refused` (404) for anything else."""
    found = str(request.path_params["lead_id"]).lower()
    if len(found) != 32 or not set(found) <= set("0123456789abcdef"):
        raise Refused("there is no such lead, or it is not yours to see", code="not_found")
    return found
