"""`/templates`: what reps are given to say, filled in for an example lead."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.frame import Frame
from services.console.rooms import ConsoleRooms
from services.console.views.templates import Case, choices, cover, example_of, messages
from services.router.store.reads import Filters

EMAIL_MAX: Final = 320


class TemplatePages:
    """The ready messages."""

    def __init__(self, frame: Frame, rooms: ConsoleRooms) -> None:
        self._frame = frame
        self._policies = rooms.policies
        self._leads = rooms.router.leads
        self._directory = rooms.directory

    def routes(self) -> Sequence[BaseRoute]:
        """The page."""
        return (self._frame.page("/templates", self.show, "marketing"),)

    async def show(self, request: Request) -> Response:
        """Every message; the one that fits the case first."""
        policy, asked = self._policies.active, request.query_params
        spoken = sorted(
            {rep.languages[0] for rep in self._directory.view.reps.values() if rep.active and rep.languages}
        )
        offered = choices(policy, spoken)
        chosen = {name: asked.get(name, "") for name in offered}
        chosen = {name: value if value in dict(offered[name]) else "" for name, value in chosen.items()}
        email = asked.get("email", "").strip()[:EMAIL_MAX]
        lead = await self._lead(request, email) if email else None
        if lead is not None:
            chosen |= {"segment": lead["segment"] or "", "stage": lead["stage"]}
        rep = self._directory.view.rep(lead["assignee"]) if lead is not None and lead["assignee"] else None
        case = Case(**chosen, languages=rep.languages if rep is not None else ())
        segment = policy.segment(case.segment or None) or policy.segments[0]
        values = example_of(lead, (rep.name, rep.title or "") if rep is not None else None, segment.shop_url) | {
            "segment": segment.name,
            "stage": (case.stage or "qualified").replace("_", " "),
        }
        languages, rows = cover(policy, spoken)
        return self._frame.draw(
            "templates.html",
            identity=await self._frame.signed_in(request),
            here="/templates",
            messages=messages(policy, case, values),
            languages=languages,
            cover=rows,
            offered=offered,
            case=chosen,
            asked=any(chosen.values()),
            email=email,
            lead=lead,
            version=policy.version,
        )

    async def _lead(self, request: Request, email: str) -> Mapping[str, Any] | None:
        identity = await self._frame.signed_in(request)
        items, _ = await self._leads.page(identity, Filters(email=email), 1, None)
        return items[0] if items else None
